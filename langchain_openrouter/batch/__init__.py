"""Run a model over many rows: `run(model, "prompts.parquet", prompt="Classify: {text}", ...)`.

On this machine; on a Ray cluster, by `run(..., engine="ray")`, or `map_batches` in a pipeline of
Ray Data; or at half the price by OpenRouter's Batch API: `run(..., engine="openrouter")`, or step
by step `submit`, `wait` and `collect`.
"""

from __future__ import annotations

from langchain_openrouter.batch._batch_api import OpenRouterBatches
from langchain_openrouter.batch._batch_values import RemoteBatch
from langchain_openrouter.batch._handles import BatchHandle
from langchain_openrouter.batch._progress import Progress
from langchain_openrouter.batch._ray_engine import RayEngine
from langchain_openrouter.batch._ray_map import map_batches
from langchain_openrouter.batch._remote import (
    acancel,
    acollect,
    adelete,
    astatus,
    await_batch,
    cancel,
    collect,
    delete,
    status,
    wait,
)
from langchain_openrouter.batch._results import BatchResult
from langchain_openrouter.batch._row_result import RowResult
from langchain_openrouter.batch._run import arun, run
from langchain_openrouter.batch._submit import asubmit, submit
from langchain_openrouter.batch._waiting import BatchStatus
from langchain_openrouter.batch._worker_keys import key_from_env, key_from_file

__all__ = [
    "BatchHandle",
    "BatchResult",
    "BatchStatus",
    "OpenRouterBatches",
    "Progress",
    "RayEngine",
    "RemoteBatch",
    "RowResult",
    "acancel",
    "acollect",
    "adelete",
    "arun",
    "astatus",
    "asubmit",
    "await_batch",
    "cancel",
    "collect",
    "delete",
    "key_from_env",
    "key_from_file",
    "map_batches",
    "run",
    "status",
    "submit",
    "wait",
]
