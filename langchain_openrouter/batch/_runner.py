"""The batch itself: rows in, results written as they come, whatever the engine."""

from __future__ import annotations

import contextlib
import time
import warnings
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_openrouter import errors
from langchain_openrouter.batch._ceiling import validate_max_cost
from langchain_openrouter.batch._engines import (
    PreparedEngine,
    RemoteEngine,
    find_engine,
    refuse_running,
)
from langchain_openrouter.batch._feed import RowFeed, tells_cost
from langchain_openrouter.batch._lock import OutputLock
from langchain_openrouter.batch._output import refuse_input_as_output, validate_output, write_output
from langchain_openrouter.batch._parts import MemoryPart, Part
from langchain_openrouter.batch._plan import RowPlan, build_plan
from langchain_openrouter.batch._progress import ProgressReporter, open_progress
from langchain_openrouter.batch._requests import (
    PendingRow,
    describe_batch,
    describe_output,
    hash_request,
    row_key,
)
from langchain_openrouter.batch._results import BatchResult
from langchain_openrouter.batch._row_index import State
from langchain_openrouter.batch._rows import Source, open_rows
from langchain_openrouter.batch._shares import to_decimal
from langchain_openrouter.batch._stats import BatchStats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_openrouter.batch._engines import Engine
    from langchain_openrouter.batch._row_index import Known
    from langchain_openrouter.batch._row_result import RowResult

RetryFailed: TypeAlias = "bool | Literal['all']"
_GIVE_UP = 50  # rows in a row that fail with the same error, which the next would meet too
_OF_THE_ROW = {
    "BatchRowError",
    "ContextOverflowError",
    "ModerationError",
    "OutputParserException",
    "RefusalError",
    "ValidationError",
}


class Batch:
    """One run of a batch.

    Args:
        model: As of `run`, as are the others.
        rows: The rows.
        prompt: The prompt.
        schema: The schema.
        output: The output.
        key: The column of the key.
        max_cost: USD.
        max_concurrency: Requests at once.
        engine: Where the rows are run.
        resume: Whether to go on.
        retry_failed: Which errors of earlier runs are sent again.
        include_raw: Whether results hold the message.
        progress: What shows the progress.

    Raises:
        BatchError: It cannot begin, or go on, as it was called.
        ValueError: An argument is not valid.
    """

    def __init__(  # noqa: PLR0913 - the arguments of `run`
        self,
        model: Any,
        rows: Any,
        *,
        prompt: Any,
        schema: Any,
        output: Any,
        key: str | None,
        max_cost: float | None,
        max_concurrency: int | None,
        engine: Any,
        resume: bool,
        retry_failed: RetryFailed,
        include_raw: bool,
        progress: Any,
    ) -> None:
        self._plan: RowPlan = build_plan(model, prompt, schema, include_raw=include_raw)
        self._engine: Engine = find_engine(engine, max_concurrency)
        if isinstance(self._engine, PreparedEngine):
            self._engine.prepare(self._plan)
        self._source: Source = open_rows(rows)
        self._key, self._retry_failed = key, retry_failed
        self._description = describe_batch(model, self._plan.prompt, schema, key)
        self._schema, self._resume, self._progress = schema, resume, progress

        self._path = None if output is None else Path(output)
        if self._path is not None:
            validate_output(self._path)
            refuse_input_as_output(rows, self._path)
        self._stats, self._earlier_cost, self._earlier_settled = BatchStats(), Decimal(0), 0
        self._max_cost = validate_max_cost(max_cost)
        self._in_a_row: tuple[str, int] = ("", 0)
        self._feed: RowFeed | None = None
        self._has_been_interrupted = self._has_warned = False
        self._read = 0

    def interrupt(self) -> None:
        """Start no further row; those in flight finish. May be called from another thread."""
        self._has_been_interrupted = True
        if self._feed is not None:
            self._feed.stop("interrupted")

    async def run(self) -> BatchResult:
        """Run the rows that are not done, and write the output."""
        if self._path is None:
            return await self._run(MemoryPart(self._description))

        lock = OutputLock(self._path.with_name(f"{self._path.name}.lock"))
        lock.acquire()
        try:
            if not isinstance(self._engine, RemoteEngine):
                refuse_running(self._path)
            return await self._run(self._open_part(self._path))
        finally:
            lock.release()

    def _open_part(self, path: Path) -> Part:
        part_path = path.with_name(f"{path.name}.part")
        if self._resume and path.exists() and not part_path.exists():
            msg = (
                f"{path} exists, and {part_path.name} does not, from which the batch would go on: "
                "choose another output, move it away, or replace it with resume=False"
            )
            raise errors.BatchError(msg)

        return Part(
            part_path, self._description, resume=self._resume, on_earlier=self._count_earlier
        )

    def _count_earlier(self, result: RowResult) -> None:
        self._stats.add(result)
        self._earlier_cost += to_decimal(result.cost or 0.0)
        self._earlier_settled += tells_cost(result)

    async def _run(self, part: Part | MemoryPart) -> BatchResult:
        start = time.monotonic()
        self._feed = feed = RowFeed(
            self._pending(part),
            spent=float(self._earlier_cost),
            settled=self._earlier_settled,
            max_cost=self._max_cost,
        )
        if self._has_been_interrupted:
            feed.stop("interrupted")
        if isinstance(self._engine, RemoteEngine):
            self._engine.attach(self._path, self._description, resume=self._resume)

        with open_progress(self._progress, self._source.total, feed) as progress:
            self._reporter = progress
            feed.on_remote, feed.flush = progress.on_remote, part.flush
            try:
                await self._take_results(part, feed, progress)
            except Exception as error:
                self._add_note(error, part)
                if part.has_begun:
                    self._write_output(part)
                raise
            finally:
                part.flush()
        part.begin()
        self._warn_of_missing(part, feed)
        self._write_output(part)
        return self._to_result(part, feed, time.monotonic() - start)

    async def _take_results(
        self, part: Part | MemoryPart, feed: RowFeed, progress: ProgressReporter
    ) -> None:
        """Write each result of the engine as it comes.

        Raises:
            Exception: What the feed or the engine ended with, after the rows in flight.
        """
        is_remote = isinstance(self._engine, RemoteEngine)
        async with contextlib.aclosing(self._engine.run(feed, self._plan)) as results:
            async for result in results:
                # Of a batch that was collected before, by a process that ended before it said so.
                if is_remote and part.holds(result):
                    feed.pass_over()
                    progress.on_result(result)
                    continue
                part.append(result)
                feed.settle(result)
                self._stats.add(result)
                self._warn_without_cost(result)
                progress.on_result(result)
                self._check_failures(result, feed)

        feed.raise_error()
        if not feed.is_ended:
            msg = f"the engine {type(self._engine).__name__} ended before the last row"
            raise errors.BatchError(msg)

    def _warn_without_cost(self, result: RowResult) -> None:
        """Say once that a ceiling cannot be kept, where an answer does not say what it cost."""
        if self._max_cost is None or result.is_error or result.cost is not None:
            return

        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"row {result.key!r} came without its cost: max_cost counts the others alone, and "
                "cannot be kept",
                stacklevel=2,
            )

    def _write_output(self, part: Part | MemoryPart) -> None:
        if self._path is not None:
            schema = None if self._schema is None else describe_output(self._schema)
            lines = part.lines if isinstance(part, Part) else None
            write_output(self._path, part.results, schema, lines)

    def _warn_of_missing(self, part: Part | MemoryPart, feed: RowFeed) -> None:
        """Leave rows out of the result that the input no longer has, and say so."""
        if not feed.is_exhausted:
            return

        count = part.index.leave_out_unvisited()
        if count:
            warnings.warn(
                f"{count:,} rows of earlier runs are not in the input any more: they are left out "
                f"of the output, and stay in {getattr(part.path, 'name', 'the part')}",
                stacklevel=2,
            )

    def _pending(self, part: Part | MemoryPart) -> Iterator[PendingRow]:
        """Yield the rows that are to be run, read from the input one by one."""
        remote = self._engine if isinstance(self._engine, RemoteEngine) else None

        for index, row in enumerate(self._source.rows):
            self._read = index + 1
            key = row_key(row, index, self._key)
            try:
                value = self._plan.prompt.build(row)
            except ValueError as error:
                msg = f"row {index}: {error}"
                raise ValueError(msg) from error
            request_hash = hash_request(value)
            known = part.visit(key, index, request_hash)
            is_awaited = remote is not None and remote.awaits(key, index)
            if known is None or self._is_sent_again(known, is_awaited=is_awaited):
                yield PendingRow(key, index, value, request_hash)
            else:
                self._reporter.on_known(is_error=known.state is not State.DONE)

    def _is_sent_again(self, known: Known, *, is_awaited: bool) -> bool:
        """Tell whether a row goes to the engine, which has sent it before if it is awaited."""
        if known.state is State.DONE:
            return False
        return (
            is_awaited
            or self._retry_failed == "all"
            or (bool(self._retry_failed) and known.state is State.FAILED)
        )

    def _check_failures(self, result: RowResult, feed: RowFeed) -> None:
        """End the batch where row after row fails in the same way."""
        name = result.error_type or ""
        if name in _OF_THE_ROW:
            return
        last, count = self._in_a_row
        self._in_a_row = (name, count + 1 if name == last else 1)

        if name and self._in_a_row[1] >= _GIVE_UP:
            msg = f"{_GIVE_UP} rows in a row failed, the last with {name}: {result.error}"
            feed.fail(errors.BatchError(msg))

    def _add_note(self, error: Exception, part: Part | MemoryPart) -> None:
        handle = getattr(self._engine, "handle", None)
        if handle is not None and not hasattr(error, "handle"):
            error.handle = handle  # type: ignore[attr-defined]
            error.add_note("Batches at OpenRouter run on: `error.handle` is for wait and collect.")

        if part.path is not None and part.has_begun and self._stats.all.rows:
            error.add_note(
                f"What is done is in {part.path.name}: the same call goes on from there."
            )

    def _to_result(self, part: Part | MemoryPart, feed: RowFeed, seconds: float) -> BatchResult:
        counts = part.index.counts()

        return BatchResult(
            path=self._path,
            stats=self._stats,
            stopped=feed.stopped,
            total=self._read if feed.is_exhausted else self._source.total,
            seconds=seconds,
            spent=feed.spent,
            cost=float(to_decimal(feed.spent) - self._earlier_cost),
            done=counts.get(State.DONE, 0),
            failed=counts.get(State.FAILED, 0) + counts.get(State.REFUSED, 0),
            handle=getattr(self._engine, "handle", None),
            _part=part,
            _schema=self._schema,
        )
