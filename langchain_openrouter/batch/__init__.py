"""Run a model over many rows: `run(model, "prompts.parquet", prompt="Classify: {text}", ...)`."""

from __future__ import annotations

from langchain_openrouter.batch._progress import Progress
from langchain_openrouter.batch._results import BatchResult
from langchain_openrouter.batch._row_result import RowResult
from langchain_openrouter.batch._run import arun, run

__all__ = ["BatchResult", "Progress", "RowResult", "arun", "run"]
