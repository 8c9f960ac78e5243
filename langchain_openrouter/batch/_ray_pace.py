"""`Pace`: one budget and one rate for workers that nobody else coordinates, as those of Ray Data.

A named actor holds it. Each worker tells it what is in flight, spent and refused there, and gets
permission for further requests. All numbers are totals of the worker, so that a message that is
repeated or lost changes nothing; and each worker knows all totals, so that an actor which is
restarted, as with its node, has them again from whoever asks first.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_openrouter.batch._concurrency import ConcurrencyLimit

if TYPE_CHECKING:
    from collections.abc import Callable

_SILENCE = 15.0  # seconds without a word, after which a worker's requests count as ended
_SHORTEST = 0.01  # seconds between two messages of a worker
_MESSAGES = 500  # a second, which the actor takes of all workers
_POLL, _LONGEST_POLL = 0.05, 1.0  # seconds until a worker without room asks again


class Totals(NamedTuple):
    """What the requests of a worker came to."""

    settled: int = 0
    """Requests that have ended, and told what they cost."""
    spent: float = 0.0
    """USD."""


class Refusal(NamedTuple):
    """A request that the service refused for now, or sends again."""

    age: float
    """Seconds since it was started."""
    retry_after: float | None


class Ended(NamedTuple):
    """Why no further row is sent: the error that the other rows get."""

    error_type: str
    error: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker tells."""

    worker: str
    in_flight: int
    waiting: int
    """Requests that wait for permission."""
    totals: Totals
    answers: tuple[tuple[float, int], ...] = ()
    """Of requests that were answered since: latency, in seconds, and how many were in flight."""
    refusals: tuple[Refusal, ...] = ()
    ended: Ended | None = None
    """What would meet all other rows too, as where there is no money left."""
    actor: str = ""
    """Which start of the actor the worker knows; empty for a new worker."""
    known: dict[str, Totals] = field(default_factory=dict)
    """All workers' totals, for another start of the actor, which has lost them."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What a worker may do."""

    actor: str
    """Which start of the actor says so."""
    count: int
    """Requests that may be started now."""
    interval: float
    """Seconds before which the worker says nothing further."""
    wait: float
    """Seconds after which it asks again, where nothing has ended."""
    totals: dict[str, Totals]
    ended: Ended | None = None
    needs_totals: bool = False
    """Whether the actor was restarted and has lost them: the worker sends those that it knows."""


class Pace:
    """Budget and rate of all workers.

    Args:
        max_cost: USD; None is no ceiling. The first request runs alone; then one in flight, or to
            come, counts as the mean of those that have ended.
        max_concurrency: Requests at once, at most; None takes 128.
        now: The clock, in seconds.
    """

    def __init__(
        self,
        max_cost: float | None = None,
        max_concurrency: int | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_cost, self._now = max_cost, now
        self._limit = ConcurrencyLimit(max_concurrency)
        self._actor = uuid.uuid4().hex

        self._totals: dict[str, Totals] = {}
        self._in_flight: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._heard: dict[str, float] = {}
        self._ended: Ended | None = None

    @property
    def totals(self) -> Totals:
        """The sum of all workers' totals."""
        values = self._totals.values()
        return Totals(sum(item.settled for item in values), sum(item.spent for item in values))

    def state(self) -> dict[str, Any]:
        """Return the numbers, for whoever watches."""
        totals = self.totals

        return {
            "spent": totals.spent,
            "requests": totals.settled,
            "in_flight": sum(self._in_flight.values()),
            "limit": self._limit.limit,
            "workers": len(self._in_flight),
            "ended": self._ended,
        }

    def exchange(self, report: Report) -> Permission:
        """Take a worker's report; return what it may do."""
        now = self._now()
        self._take(report, now)
        self._forget_silent(now)

        is_informed = report.actor in {"", self._actor} or bool(report.known)
        may_start = is_informed and self._ended is None
        count = min(report.waiting, self._room(report.worker, now)) if may_start else 0
        self._in_flight[report.worker] = report.in_flight + count
        self._waiting[report.worker] = report.waiting - count

        interval = max(_SHORTEST, len(self._in_flight) / _MESSAGES)
        pause = min(_LONGEST_POLL, self._limit.paused_until - now)
        wait = max(interval, _POLL, pause) if is_informed else interval
        return Permission(
            self._actor,
            count,
            interval,
            wait,
            dict(self._totals),
            self._ended,
            needs_totals=not is_informed,
        )

    def _take(self, report: Report, now: float) -> None:
        for worker, totals in ((report.worker, report.totals), *report.known.items()):
            self._totals[worker] = max(totals, self._totals.get(worker, totals))
        others = sum(count for name, count in self._in_flight.items() if name != report.worker)
        self._in_flight[report.worker] = report.in_flight
        self._heard[report.worker] = now
        self._ended = self._ended or report.ended

        for latency, in_flight in report.answers:
            self._limit.on_answer(latency, in_flight + others, now)
        for refusal in report.refusals:
            self._limit.on_congestion(now - refusal.age, now, refusal.retry_after)

    def _forget_silent(self, now: float) -> None:
        """Forget what is in flight at workers that are gone; what they spent stays."""
        for worker in [name for name, at in self._heard.items() if now - at > _SILENCE]:
            for numbers in (self._heard, self._in_flight, self._waiting):
                numbers.pop(worker, None)

    def _room(self, worker: str, now: float) -> int:
        """Return how many requests a worker may start: its share of what all may."""
        in_flight = sum(self._in_flight.values())
        room = min(self._limit.room(in_flight, now), self._affordable(in_flight))

        hungry = sum(1 for name, count in self._waiting.items() if count and name != worker) + 1
        share = max(1, -(-self._limit.limit // hungry) - self._in_flight.get(worker, 0))
        return max(0, min(room, share))

    def _affordable(self, in_flight: int) -> int:
        """Return how many requests the budget has room for; end where it has none for a first."""
        if self._max_cost is None:
            return self._limit.ceiling
        settled, spent = self.totals
        mean = spent / settled if settled else 0.0

        left = self._max_cost - spent - mean * in_flight
        if left <= 0:
            count = 0
        elif not settled:  # the first request alone says what one costs
            count = 0 if in_flight else 1
        else:
            count = int(left / mean + 1e-9) if mean else self._limit.ceiling
        if not count and not in_flight:
            error = f"max_cost={self._max_cost} USD is reached: the row was not sent"
            self._ended = Ended("CostLimitError", error)
        return count
