"""Fair turns: how much of one turn of an event loop the streams of that loop take together.

A turn ends after 32 events of any streams, or after 4 ms of them and of what their readers do with
them; the start of a request counts as an event. Streams that have more wait in line, so that a
crowd of them holds up the other tasks of the loop no longer than one stream would. The end of one
turn and the start of the next can meet in one iteration of the loop, which takes both.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from weakref import WeakKeyDictionary

__all__ = ["MAX_EVENTS", "MAX_SECONDS", "Turns", "await_turn", "turns_of_loop"]

MAX_EVENTS = 32
MAX_SECONDS = 0.004
clock = time.perf_counter


class Turns:
    """The turns of one event loop; it has no reference to the loop."""

    __slots__ = ("_ends", "_is_scheduled", "_left", "_waiting", "_woken")

    def __init__(self) -> None:
        self._left, self._ends = MAX_EVENTS, 0.0
        self._is_scheduled = False  # the call that ends this turn
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._woken = 0  # streams of the line that took this turn

    def spend(self) -> bool:
        """Count one event; tell whether the turn is over."""
        left = self._left
        if left == MAX_EVENTS:
            self._ends = clock() + MAX_SECONDS
            self._schedule()
        self._left = left - 1
        return left <= 1 or clock() >= self._ends

    @property
    def is_over(self) -> bool:
        """Whether this turn's events or time are spent."""
        left = self._left
        return left <= 0 or (left < MAX_EVENTS and clock() >= self._ends)

    @property
    def must_wait(self) -> bool:
        """Whether what comes now has to wait: the turn is over, or others are in line."""
        return self.is_over or bool(self._waiting)

    async def enter(self) -> None:
        """Wait for a turn if that is needed."""
        if self.must_wait:
            await self.wait()

    async def wait(self) -> None:
        """Wait for a turn, behind those in line."""
        if not self._waiting:
            self._schedule()
            await asyncio.sleep(0)  # the next turn has begun
            if not self.must_wait:
                return

        is_first_time = True
        while is_first_time or self.is_over:
            future = asyncio.get_running_loop().create_future()
            (self._waiting.append if is_first_time else self._waiting.appendleft)(future)
            is_first_time = False
            self._schedule()
            await future
        self._woken += 1

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Begin the next turn: let some of the line on, in order.

        Twice as many as took the last turn, since a stream may have one event or hundreds.
        """
        self._is_scheduled = False
        self._left = MAX_EVENTS

        number = min(MAX_EVENTS, 2 * max(1, self._woken))
        self._woken = 0
        while number and self._waiting:
            future = self._waiting.popleft()
            if not future.done():  # else its task was canceled
                future.set_result(None)
                number -= 1
        if self._waiting:
            self._schedule()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def turns_of_loop() -> Turns:
    """Return the turns of the running event loop."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = Turns()
    return turns


async def await_turn() -> None:
    """Wait until the start of a request has its turn; does not wait on a loop with no crowd."""
    turns = turns_of_loop()
    await turns.enter()
    turns.spend()
