"""Run a model over many rows: `run(model, "prompts.parquet", prompt="Classify: {text}", ...)`.

On this machine, or on a Ray cluster: `run(..., engine="ray")`, and `map_batches` for a pipeline of
Ray Data.
"""

from __future__ import annotations

from langchain_openrouter.batch._progress import Progress
from langchain_openrouter.batch._ray_engine import RayEngine
from langchain_openrouter.batch._ray_map import map_batches
from langchain_openrouter.batch._results import BatchResult
from langchain_openrouter.batch._row_result import RowResult
from langchain_openrouter.batch._run import arun, run
from langchain_openrouter.batch._worker_keys import key_from_env, key_from_file

__all__ = [
    "BatchResult",
    "Progress",
    "RayEngine",
    "RowResult",
    "arun",
    "key_from_env",
    "key_from_file",
    "map_batches",
    "run",
]
