"""The engine on this machine: one event loop, as many rows at once as the service takes."""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from typing import TYPE_CHECKING

from langchain_openrouter._http.retry_observer import observe_retries
from langchain_openrouter._progress_bar import to_duration
from langchain_openrouter.batch._concurrency import ConcurrencyLimit
from langchain_openrouter.errors import InFlightBudgetError, RateLimitError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from langchain_openrouter.batch._feed import RowFeed
    from langchain_openrouter.batch._plan import RowPlan
    from langchain_openrouter.batch._requests import PendingRow
    from langchain_openrouter.batch._row_result import RowResult
    from langchain_openrouter.errors import OpenRouterError

CONGESTION = {RateLimitError.__name__, InFlightBudgetError.__name__}
"""Errors that say "not now": their rows are sent again, beyond the model's own retries."""
_ATTEMPTS = 8  # of a row that meets congestion
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds, where the service does not say how long
_POLL_SECONDS = 0.5  # in which a pause notices Ctrl-C


class LocalEngine:
    """Runs rows in the running event loop.

    Args:
        max_concurrency: The highest number of requests at once; None takes 128. How many there are
            is found out, see `ConcurrencyLimit`.
    """

    def __init__(self, max_concurrency: int | None = None) -> None:
        self.limit = ConcurrencyLimit(max_concurrency)

    async def run(self, feed: RowFeed, plan: RowPlan) -> AsyncGenerator[RowResult]:
        """Yield a result for each row, as they come; see `Engine`."""
        requests = _Requests(plan, self.limit)
        failure: BaseException | None = None

        try:
            while True:
                is_ended = failure is not None or requests.start_from(feed)
                if is_ended and not requests.in_flight:
                    break
                await requests.wait()
                for outcome in requests.take_finished():
                    if isinstance(outcome, BaseException):
                        failure = failure or outcome
                    else:
                        yield outcome
        finally:
            await requests.cancel()
        if failure is not None:
            raise failure
        if requests.has_waiting:
            feed.leave()


class _Group:
    """Rows that go into one request."""

    __slots__ = ("attempt", "rows", "started")

    def __init__(self, rows: list[PendingRow], started: float, attempt: int = 0) -> None:
        self.rows, self.started, self.attempt = rows, started, attempt


class _Requests:
    """The requests in flight, and those that wait to be sent again."""

    def __init__(self, plan: RowPlan, limit: ConcurrencyLimit) -> None:
        self._plan, self._limit = plan, limit
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[asyncio.Task[list[RowResult]], _Group] = {}
        self._finished: deque[asyncio.Task[list[RowResult]]] = deque()
        self._wake = asyncio.Event()
        self._again: deque[_Group] = deque()
        self._has_warned = False

    @property
    def in_flight(self) -> int:
        """How many requests are in flight, or have ended and were not taken yet."""
        return len(self._tasks)

    @property
    def has_waiting(self) -> bool:
        """Whether a request waits to be sent again."""
        return bool(self._again)

    def start_from(self, feed: RowFeed) -> bool:
        """Start as many requests as there is room for; tell whether no further one will start."""
        now = self._loop.time()

        for _ in range(self._limit.room(self.in_flight, now)):
            if self._again and not feed.is_ended_early:
                group = self._again.popleft()
                self._start(_Group(group.rows, now, group.attempt))
                continue
            rows = feed.take(self._plan.group_size)
            if not rows:
                break
            self._start(_Group(rows, now))

        return feed.is_ended_early or (feed.is_ended and not self._again)

    def _start(self, group: _Group) -> None:
        task = self._loop.create_task(self._answer(group))
        self._tasks[task] = group
        task.add_done_callback(self._on_done)

    async def _answer(self, group: _Group) -> list[RowResult]:
        def on_retry(error: OpenRouterError) -> None:
            if type(error).__name__ in CONGESTION:
                self._on_congestion(group, self._loop.time(), error.retry_after)

        with observe_retries(on_retry):
            return await self._plan.answer(group.rows)

    def _on_congestion(self, group: _Group, now: float, wait: float | None) -> None:
        self._limit.on_congestion(group.started, now, wait)

        if wait is not None and wait > _LONGEST_WAIT and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"the service asks to wait {to_duration(wait)}, and the batch does. After Ctrl-C "
                "the same call goes on later, where there is an output",
                stacklevel=2,
            )

    def _on_done(self, task: asyncio.Task[list[RowResult]]) -> None:
        self._finished.append(task)
        self._wake.set()

    async def wait(self) -> None:
        """Wait until a request has ended, or the service's pause is over."""
        pause = self._limit.paused_until - self._loop.time()
        timeout = min(pause, _POLL_SECONDS) if pause > 0 else None
        if not self._tasks and timeout is None:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            pass

        self._wake.clear()

    def take_finished(self) -> list[RowResult | BaseException]:
        """Return what came of the requests that have ended, and forget them."""
        outcomes: list[RowResult | BaseException] = []
        while self._finished:
            task = self._finished.popleft()
            group = self._tasks.pop(task)
            if task.cancelled():
                continue
            error = task.exception()
            if error is not None:
                outcomes.append(error)
            elif not self._will_send_again(group, task.result()):
                outcomes += task.result()

        return outcomes

    def _will_send_again(self, group: _Group, results: list[RowResult]) -> bool:
        """Tell whether rows met congestion and are sent again; the limit learns of either."""
        now = self._loop.time()
        if results[0].error_type not in CONGESTION:
            self._limit.on_answer(results[0].latency or 0.0, len(self._tasks) + 1, now)
            return False

        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2**group.attempt)
        self._on_congestion(group, now, results[0].retry_after or wait)
        if group.attempt + 1 >= _ATTEMPTS:
            return False
        self._again.append(_Group(group.rows, group.started, group.attempt + 1))
        return True

    async def cancel(self) -> None:
        """Cancel what is in flight, where the batch itself is canceled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
