"""The calls whose cost is not known yet: streams that were left, answers that were cut."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

from langchain_openrouter._cost_lookup import alook_up_cost, look_up_cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_openrouter._http.metering import Call

__all__ = ["SETTLE_WAITS", "OpenCosts"]

SETTLE_WAITS = (0.0, 0.5, 1.0, 2.0, 4.0)  # seconds before each look-up of a generation
_MAX_LOOKS = 5  # calls before which one generation is looked up, and how many at once
_MAX_MISSES = 5  # look-ups in a row that found nothing, after which calls go on without one


class OpenCosts:
    """Calls to be looked up; safe to use from any thread.

    Args:
        on_cost: Called once for each call whose cost becomes known, with the cost in USD.
    """

    def __init__(self, on_cost: Callable[[Call, float], None]) -> None:
        self._on_cost = on_cost
        self._calls: dict[Call, int] = {}  # with how often it was looked up before another call
        self._misses = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._calls)

    @property
    def generation_ids(self) -> tuple[str, ...]:
        """The ids of the generations."""
        with self._lock:
            return tuple(call.generation_id or "" for call in self._calls)

    def add(self, call: Call) -> None:
        """Add a call whose response has an id and no cost."""
        with self._lock:
            self._calls[call] = 0

    def clear(self) -> None:
        """Forget all, in a forked process."""
        self._lock, self._calls = threading.Lock(), {}

    def before_call(self) -> tuple[list[Call], bool]:
        """Return the calls to look up before another one, and whether one of them is new.

        A generation that the service does not know after some look-ups is left to `settle`, and a
        service that knows none is not asked for long.
        """
        with self._lock:
            if self._misses >= _MAX_MISSES:
                return [], False

            recent = [call for call, looks in self._calls.items() if looks < _MAX_LOOKS]
            recent = recent[-_MAX_LOOKS:]
            is_new = not self._misses and any(self._calls[call] == 0 for call in recent)
            self._calls.update((call, self._calls[call] + 1) for call in recent)
        return recent, is_new

    def settle(
        self, calls: list[Call] | None = None, waits: tuple[float, ...] = SETTLE_WAITS
    ) -> None:
        """Ask `GET /generation` for costs.

        Args:
            calls: None for all.
            waits: Seconds before each look-up of those that are not known yet.
        """
        for wait in waits:
            items = self._remaining(calls)
            if not items:
                return

            time.sleep(wait)
            for call in items:
                self._take(call, look_up_cost(call))
        self._count(calls)

    async def asettle(
        self, calls: list[Call] | None = None, waits: tuple[float, ...] = SETTLE_WAITS
    ) -> None:
        """Ask like `settle`."""
        for wait in waits:
            items = self._remaining(calls)
            if not items:
                return

            await asyncio.sleep(wait)
            for call in items:
                self._take(call, await alook_up_cost(call))
        self._count(calls)

    def _remaining(self, calls: list[Call] | None) -> list[Call]:
        with self._lock:
            return list(self._calls) if calls is None else [c for c in calls if c in self._calls]

    def _take(self, call: Call, cost: float | None) -> None:
        if cost is None:
            return
        with self._lock:
            if self._calls.pop(call, None) is None:  # another thread was first
                return
            self._misses = 0
        self._on_cost(call, cost)

    def _count(self, calls: list[Call] | None) -> None:
        if self._remaining(calls):
            self._misses += 1
