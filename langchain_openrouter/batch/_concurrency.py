"""`ConcurrencyLimit`: how many rows are in flight, by what the answers say.

Up while answers come, down where the service says that it is too much (429, an in-flight 402) and
where answers take longer: the two halves of TCP's congestion control (additive increase,
multiplicative decrease, https://www.rfc-editor.org/rfc/rfc5681), with latency as in TCP Vegas.
"""

from __future__ import annotations

import math

_START = 8
_CEILING = 128
_FEW = 16  # answers that a mean latency is worth something of
_SLOW = 2.0  # times the usual latency, from which answers count as late
_SLOWER = 1.5  # times the usual latency, from which the limit grows slowly
_HELPED = 0.75  # of the latency: what half as many requests must bring it to, if they are the cause
_AGING = 600.0  # seconds in which the best latency seen counts for twice as much: models change
_ON_CONGESTION, _ON_LATENCY = 0.5, 0.9


class ConcurrencyLimit:
    """How many rows may be in flight. Reads no clock: `now` is in seconds of any one clock.

    Args:
        ceiling: The highest limit; None takes 128.

    Attributes:
        limit: The limit now.
        paused_until: Until when no row is started, since the service asked to wait.
    """

    def __init__(self, ceiling: int | None = None) -> None:
        if ceiling is not None and ceiling < 1:
            msg = f"max_concurrency={ceiling}: at least 1"
            raise ValueError(msg)
        self.ceiling = ceiling or _CEILING
        self.limit = min(_START, self.ceiling)
        self.paused_until = 0.0

        self._is_growing_fast = True  # until the first sign of congestion
        self._decreased_at = -math.inf
        self._best_latency = math.inf
        self._best_at = 0.0
        self._latencies: list[float] = []
        self._late_from: tuple[int, float] | None = (
            None  # limit and latency of the first late round
        )
        self._was_full = False

    def room(self, in_flight: int, now: float) -> int:
        """Return how many rows may be started."""
        return 0 if now < self.paused_until else max(0, self.limit - in_flight)

    def on_answer(self, latency: float, in_flight: int, now: float) -> None:
        """Note that an answer came.

        Args:
            latency: Seconds since its row was started.
            in_flight: How many were in flight until then, it included.
            now: The time.
        """
        self._latencies.append(latency)
        self._was_full = self._was_full or in_flight >= self.limit

        if len(self._latencies) >= max(_FEW, self.limit):
            self._end_round(now)

    def on_congestion(self, started: float, now: float, retry_after: float | None = None) -> None:
        """Note that the service refused a request for now.

        Args:
            started: When its row was started: refusals of rows from before the last decrease say
                nothing new.
            now: The time.
            retry_after: Seconds the service asks to wait; no row is started until then.
        """
        if retry_after:
            self.paused_until = max(self.paused_until, now + retry_after)
        if started < self._decreased_at:
            return

        self._decreased_at = now
        self._is_growing_fast = False
        self.limit = max(1, math.floor(self.limit * _ON_CONGESTION))
        self._latencies.clear()
        self._was_full = False

    def _end_round(self, now: float) -> None:
        latency = sum(self._latencies) / len(self._latencies)
        was_full, self._was_full = self._was_full, False
        self._latencies.clear()

        best = self._best_latency * 2 ** ((now - self._best_at) / _AGING)
        if latency < best:
            self._best_latency, self._best_at = latency, now
        if latency > _SLOW * best:
            self._on_late(latency, now)
            return

        self._late_from = None
        if latency > _SLOWER * best:  # twice as many requests brought little
            self._is_growing_fast = False
        if was_full:
            step = self.limit if self._is_growing_fast else max(1, math.isqrt(self.limit))
            self.limit = min(self.ceiling, self.limit + step)

    def _on_late(self, latency: float, now: float) -> None:
        """Lower the limit, until half as many requests have not helped.

        Then they are not the cause: the rows have become longer, or the model slower. The limit is
        what it was, and the latency the usual one from now on.
        """
        self._is_growing_fast = False
        first_limit, first_latency = self._late_from = self._late_from or (self.limit, latency)

        if self.limit > max(1, first_limit // 2):
            self.limit = max(1, math.floor(self.limit * _ON_LATENCY))
        elif latency > _HELPED * first_latency:
            self.limit, self._late_from = first_limit, None
            self._best_latency, self._best_at = latency, now
        else:
            self._late_from = (self.limit, latency)
