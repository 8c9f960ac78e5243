"""`run` and `arun`: a model over many rows."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from typing import TYPE_CHECKING, Any

from langchain_openrouter.batch._collector import earlier_objects_frozen
from langchain_openrouter.batch._runner import Batch, RetryFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langchain_openrouter.batch._engines import Engine
    from langchain_openrouter.batch._progress import Progress
    from langchain_openrouter.batch._results import BatchResult

__all__ = ["arun", "run"]

_GRACE_SECONDS = 2.0  # for requests to be canceled, before KeyboardInterrupt is raised all the same
_POLL_SECONDS = 0.2  # a wait without a limit cannot be interrupted on Windows


def run(  # noqa: PLR0913 - the arguments of a batch
    model: Any,
    rows: Any,
    *,
    prompt: Any = None,
    schema: Any = None,
    output: str | Path | None = None,
    key: str | None = None,
    max_cost: float | None = None,
    max_concurrency: int | None = None,
    engine: str | Engine = "local",
    resume: bool = True,
    retry_failed: RetryFailed = True,
    include_raw: bool = False,
    progress: bool | Callable[[Progress], Any] | None = None,
) -> BatchResult:
    """Run a model over many rows; each ends in a result or in an error, with its cost.

    With an `output`, each result is on disk as soon as it is there, in `<output>.part`, and the
    same call goes on where the last one ended: after Ctrl-C, `max_cost`, a crash or a kill. At
    most the rows in flight are sent again. A call with another model, prompt, schema or input is
    refused. The output itself is written at the end of each run, in the order of the input.

    The first Ctrl-C ends the batch as `max_cost` does: rows in flight finish, and the result says
    `stopped="interrupted"`. The second one raises KeyboardInterrupt at once.

    It works inside a running event loop too, as in a notebook, and in the context of the caller:
    `as_user`, callbacks and tracers apply to the rows.

    Args:
        model: A `ChatOpenRouter`, also bound; any Runnable that calls one, such as a chain or an
            agent; `OpenRouterEmbeddings`, whose rows share requests; or `OpenRouterRerank`, whose
            rows have `query` and `documents`.
        rows: A path (JSONL, CSV, TSV or Parquet), a data frame of pandas or polars, a table of
            pyarrow, a data set of Ray, or any iterable, which is read as rows are sent. Rows are
            mappings, or inputs of the model.
        prompt: A text with `{columns}`; messages with such texts; a prompt template of LangChain;
            or a callable that returns the input for a row. None: the row is the input, or its
            column `messages` or `prompt` is; for embeddings `input` or `text`.
        schema: A pydantic class, TypedDict or JSON schema that each answer has to fit.
        output: A file: `.jsonl`, `.parquet` or `.csv`. None keeps the results in memory.
        key: The column that identifies a row, so that the input may be sorted otherwise or grow
            between two runs. None: a row's index does.
        max_cost: USD, for all runs of the batch. A row starts only while what was spent, and the
            mean of it for each row in flight and the next one, stays within; rows run alone until
            one has told its cost. Then rows in flight finish, and a later call with more goes on.
        max_concurrency: The highest number of requests at once; None takes 128. How many there are
            follows the answers: more while they come, fewer after a 429, a 402 of running
            requests, or when they take longer.
        engine: Where rows are run: "local", "ray" (a Ray cluster, see `RayEngine`) or
            "openrouter"; or an `Engine`.
        resume: False begins anew; the first result replaces what is there.
        retry_failed: Whether rows whose error may pass are sent again by a later run; "all" sends
            those too whose error will not.
        include_raw: Whether results hold the whole message, as `raw`.
        progress: None shows a bar in a terminal or a notebook; False nothing; a callable gets a
            `Progress` several times a second.

    While it runs, objects that were there before are frozen (`gc.freeze`), which saves up to an
    eighth of the work for a row; not where some are frozen already.

    Raises:
        BatchError: The batch cannot begin or go on as it was called, two rows have one key, or 50
            rows in a row failed alike.
        AuthenticationError: The key is missing or refused.
        InsufficientCreditsError: There is no money left.
        ValueError: An argument is not valid, or a row lacks a column of the prompt, or its value.
        ImportError: An extra is not installed.

    Example:
        ```python
        from langchain_openrouter.batch import run

        result = run(model, "prompts.jsonl", prompt="Classify: {text}", output="labels.jsonl")
        print(result.done, result.failed, result.spent)
        ```
    """
    batch = Batch(
        model,
        rows,
        prompt=prompt,
        schema=schema,
        output=output,
        key=key,
        max_cost=max_cost,
        max_concurrency=max_concurrency,
        engine=engine,
        resume=resume,
        retry_failed=retry_failed,
        include_raw=include_raw,
        progress=progress,
    )

    return _BatchThread(batch).result()


async def arun(  # noqa: PLR0913 - the arguments of a batch
    model: Any,
    rows: Any,
    *,
    prompt: Any = None,
    schema: Any = None,
    output: str | Path | None = None,
    key: str | None = None,
    max_cost: float | None = None,
    max_concurrency: int | None = None,
    engine: str | Engine = "local",
    resume: bool = True,
    retry_failed: RetryFailed = True,
    include_raw: bool = False,
    progress: bool | Callable[[Progress], Any] | None = None,
) -> BatchResult:
    """Run a model over many rows like `run`, in the running event loop.

    Canceling it cancels the rows in flight; what was done is on disk.
    """
    batch = Batch(
        model,
        rows,
        prompt=prompt,
        schema=schema,
        output=output,
        key=key,
        max_cost=max_cost,
        max_concurrency=max_concurrency,
        engine=engine,
        resume=resume,
        retry_failed=retry_failed,
        include_raw=include_raw,
        progress=progress,
    )

    return await batch.run()


class _BatchThread:
    """Runs a batch in a thread with an event loop of its own, in the caller's context.

    So Ctrl-C, which Python raises in the main thread, meets no code of the batch.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[BatchResult] | None = None

        self._result: BatchResult | None = None
        self._error: BaseException | None = None
        # Not `Thread.join`: interrupted, it takes a running thread for one that has ended
        # (https://bugs.python.org/issue45274).
        self._ended = threading.Event()

    def result(self) -> BatchResult:
        """Run the batch; return its result."""
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._work,), name="openrouter-batch", daemon=True
        )
        try:
            thread.start()
            interrupts = self._wait()
        except BaseException:  # Ctrl-C between two steps of this thread
            self._batch.interrupt()
            self._cancel()
            raise

        error, self._error = self._error, None
        if error is not None and not isinstance(error, asyncio.CancelledError):
            raise error
        if self._result is None or interrupts > 1:
            raise KeyboardInterrupt
        return self._result

    def _wait(self) -> int:
        """Wait for the thread; after a second Ctrl-C not for long.

        Returns:
            How often it was pressed.
        """
        interrupts, last = 0, 0.0

        while True:
            try:
                while not self._ended.wait(_POLL_SECONDS):
                    if interrupts > 1 and time.monotonic() - last > _GRACE_SECONDS:
                        break
            except KeyboardInterrupt:
                interrupts, last = interrupts + 1, time.monotonic()
                if interrupts == 1:
                    self._batch.interrupt()
                else:
                    self._cancel()
            else:
                return interrupts

    def _cancel(self) -> None:
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _work(self) -> None:
        try:
            with earlier_objects_frozen(), asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                self._result = runner.run(self._run())
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._error = error
        finally:
            self._ended.set()

    async def _run(self) -> BatchResult:
        self._task = asyncio.current_task()
        return await self._batch.run()
