"""The engine at OpenRouter: rows run there, at half the price, while this process waits or not.

The handle is in `<output>.batch.json` before, while and after the rows are submitted, so that a
process that was killed and is run again waits for the same batches.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_openrouter import errors
from langchain_openrouter.batch._batch_api import OpenRouterBatches
from langchain_openrouter.batch._batch_requests import RequestBuilder, build_requests
from langchain_openrouter.batch._draft import (
    Draft,
    SubmitOptions,
    find_batch_variant,
    hash_description,
    make_handle,
    new_run,
    validate_cost,
    validate_earlier,
)
from langchain_openrouter.batch._engines import batch_file
from langchain_openrouter.batch._handles import BatchHandle
from langchain_openrouter.batch._row_file import AwaitedRows, RowFile, collect_rows
from langchain_openrouter.batch._spool import Spool
from langchain_openrouter.batch._steps import atake_steps
from langchain_openrouter.batch._submission import submission
from langchain_openrouter.batch._submit import refuse_ceilings
from langchain_openrouter.batch._waiting import waiting
from langchain_openrouter.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from langchain_openrouter.batch._feed import RowFeed
    from langchain_openrouter.batch._plan import RowPlan
    from langchain_openrouter.batch._requests import Key
    from langchain_openrouter.batch._row_result import RowResult
    from langchain_openrouter.batch._waiting import BatchStatus

_ROWS_PER_TURN = 100  # read, built and checked before other tasks of the loop have their turn
_MAX_NAMES = 3  # batches that a warning names
_POLL_SECONDS = 0.2  # between looks at whether Ctrl-C was pressed


class OpenRouterEngine:
    """Submits rows to the Batch API, waits for them, and reads their results.

    Args:
        max_concurrency: Means nothing here.
    """

    def __init__(self, max_concurrency: int | None = None) -> None:
        del max_concurrency
        self._path: Path | None = None
        self._fingerprint: Mapping[str, str] = {}
        self._resume = True
        self._memory: BatchHandle | None = None
        self._awaited: AwaitedRows | None = None

    def attach(self, output: Path | None, description: Mapping[str, Any], *, resume: bool) -> None:
        """Note which batch it is; see `RemoteEngine`."""
        self._path = None if output is None else batch_file(output)
        self._fingerprint = hash_description(description)
        self._resume = resume

    def awaits(self, key: Key, index: int) -> bool:
        """Tell whether a row is in batches of an earlier process; see `RemoteEngine`."""
        return self._awaited is not None and self._awaited.find(key, index)

    @property
    def handle(self) -> BatchHandle | None:
        """The handle of batches whose results were not all read; None where there are none."""
        known = self._memory
        if known is None or known.is_collected:
            return None
        return known if known.ids or known.candidates else None

    async def run(self, feed: RowFeed, plan: RowPlan) -> AsyncGenerator[RowResult]:
        """Yield a result for each row, once the batches have ended; see `Engine`.

        Raises:
            ValueError: The Batch API takes something of the model, or of a row, in no batch.
            BatchError: The rows may cost more than the budget.
            ModelUnavailableError: It does not run the model.
        """
        refuse_ceilings()
        budget, spent = feed.take_budget(), feed.spent
        earlier = self._earlier()
        self._awaited = None if earlier is None else AwaitedRows(earlier)
        method = None if earlier is None else earlier.method
        builder = build_requests(plan, method)

        with RowFile() as rows:
            await _read_rows(feed, rows)
            if earlier is not None and not (rows.count or feed.is_ended_early):
                self._save_collected(earlier, feed)  # by a process that ended before it said so
            while rows.count and not feed.is_ended_early:
                left = None if budget is None else budget - (feed.spent - spent)
                resource = builder.resource(OpenRouterBatches)
                handle, has_ended = earlier, False
                while handle is None or not (handle.is_submitted and has_ended):
                    if handle is None or not handle.is_submitted:
                        handle = await self._submit(feed, rows, builder, handle, left)
                    # Once the candidates of a shard have ended, another look says which it is.
                    is_sent = handle.is_submitted or bool(handle.candidates)
                    has_ended = is_sent and await self._wait(feed, handle, resource)
                    if not has_ended:
                        self._leave(feed, handle)
                        return

                answers = collect_rows(handle, rows, builder.answer_plan(plan), resource)
                async with contextlib.aclosing(answers) as results:
                    async for result in results:
                        yield result
                self._save_collected(handle, feed)
                # Rows that the input has got since the earlier process submitted.
                rows.keep_after(handle.shards[-1].last)
                earlier, builder = None, build_requests(plan)
            if feed.is_interrupted and rows.count:
                feed.leave()

    # --- the handle -----------------------------------------------------------------------

    def _earlier(self) -> BatchHandle | None:
        """Return the handle of batches whose results were not all read."""
        if self._path is None or not self._path.exists():
            return None

        earlier = BatchHandle.load(self._path)
        if earlier.is_collected or not earlier.is_sent:
            return None
        if not self._resume:
            if earlier.ids:
                ids = ", ".join(earlier.ids[:_MAX_NAMES])
                warnings.warn(f"batches of before run on, and are billed: {ids}", stacklevel=2)
            return None
        changed = [
            f"`{n}`" for n, h in self._fingerprint.items() if earlier.fingerprint.get(n) != h
        ]
        if changed:
            msg = f"{self._path.name} is of another batch: {', '.join(changed)} changed"
            raise errors.BatchChangedError(msg)
        self._memory = earlier
        return earlier

    def _save(self, handle: BatchHandle) -> None:
        self._memory = handle
        if self._path is not None:
            handle.save(self._path)

    def _save_collected(self, handle: BatchHandle, feed: RowFeed) -> None:
        """Note that the answers to all rows were read; warn, where the input lacks some of them."""
        missing, self._awaited = 0 if self._awaited is None else self._awaited.missing, None
        if not missing:
            feed.flush()
            self._save(replace(handle, is_collected=handle.is_submitted))
            return

        ids = ", ".join(handle.ids[:_MAX_NAMES])
        warnings.warn(
            f"{missing:,} rows that were submitted are not in the input, or have another place "
            f"there: their answers stay at OpenRouter ({ids}), for a call with those rows, or "
            "`collect`",
            stacklevel=2,
        )

    # --- submitting -----------------------------------------------------------------------

    async def _submit(
        self,
        feed: RowFeed,
        rows: RowFile,
        builder: RequestBuilder,
        earlier: BatchHandle | None,
        budget: float | None,
    ) -> BatchHandle:
        """Return the handle of the rows; not all of them are submitted where Ctrl-C came first."""
        with Spool() as spool:
            draft = Draft(builder, new_run(earlier), spool)
            for count, row in enumerate(rows.read()):
                if earlier is not None and row.index > earlier.shards[-1].last:
                    break  # the input has got it since
                draft.add(row)
                if count % _ROWS_PER_TURN == 0:
                    await asyncio.sleep(0)

            models = await builder.resource(Catalog).amodels(output_modalities="all")
            variant = find_batch_variant(models, draft.first.model)
            resource = builder.resource(OpenRouterBatches)
            if earlier is not None:
                validate_earlier(earlier, draft, self._fingerprint, resource.base_url)
            estimate = validate_cost(draft, variant[1], budget)
            handle = earlier or make_handle(
                draft,
                variant,
                fingerprint=self._fingerprint,
                estimate=estimate,
                base_url=resource.base_url,
            )
            feed.on_remote(f"submitting {draft.count:,} rows")
            steps = submission(
                draft,
                handle,
                SubmitOptions(),
                max_retries=resource.max_retries,
                save=self._save,
                should_stop=lambda: feed.is_interrupted,
            )
            return await atake_steps(steps, resource)

    # --- waiting --------------------------------------------------------------------------

    async def _wait(self, feed: RowFeed, handle: BatchHandle, resource: OpenRouterBatches) -> bool:
        """Wait until the batches have ended; return False where Ctrl-C came before that."""

        def show(status: BatchStatus) -> None:
            feed.on_remote(str(status))

        waiter = asyncio.create_task(atake_steps(waiting(handle, on_status=show), resource))
        try:
            while not waiter.done():
                await asyncio.wait({waiter}, timeout=_POLL_SECONDS)
                if feed.is_interrupted and not waiter.done():
                    return False
        finally:
            waiter.cancel()
            with contextlib.suppress(asyncio.CancelledError, errors.OpenRouterError):
                await waiter
        await waiter
        return True

    def _leave(self, feed: RowFeed, handle: BatchHandle) -> None:
        """Leave the batches running, and say how their results are had."""
        feed.leave()
        count = len(handle.ids) + len(handle.candidates)
        if not count:
            return

        if self._path is None:
            how = (
                "The `handle` of the result finds them, and so does that of this warning: keep its "
                "to_json(); `wait` and `collect` read the results, and the same call would submit "
                "the rows again"
            )
        else:
            how = (
                "The same call waits for them and writes their results; "
                f"collect({str(self._path)!r}) reads them too, and `langchain-openrouter batches "
                "show` says how far they are"
            )
        warning = UserWarning(
            f"{count} batches at OpenRouter run on, and are billed; they cannot be canceled. {how}"
        )
        warning.handle = handle  # type: ignore[attr-defined]
        warnings.warn(warning, stacklevel=2)


async def _read_rows(feed: RowFeed, rows: RowFile) -> None:
    """Take all rows of the feed."""
    while batch := feed.take(_ROWS_PER_TURN):
        for row in batch:
            rows.add(row)
        await asyncio.sleep(0)
