"""A cost ceiling for whatever runs inside it: in this process, or in several on a shared store."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_openrouter import _html
from langchain_openrouter._cost_ledger import LedgerState, to_decimal
from langchain_openrouter._cost_lookup import (
    SETTLE_WAITS,
    aestimate_cost,
    alook_up_cost,
    estimate_cost,
    look_up_cost,
)
from langchain_openrouter._http.metering import Call, Meter
from langchain_openrouter.errors import CostLimitError, KeyStoreError
from langchain_openrouter.key_store._compare_and_set import acompare_and_set, compare_and_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.stores import BaseStore

    from langchain_openrouter._cost_ledger import Decision

__all__ = ["CostMeter"]

_READER_GRACE = 0.25  # seconds in which the reader of a stream comes back to it, or is not awaited
_POLL = 0.1  # seconds between looks at a shared store
_LEASE = 900.0  # seconds after which a call of another process no longer holds its share
_MAX_CONFLICTS = 1000
_MAX_LOOKS = 5  # calls before which one open generation is looked up


class _Running(NamedTuple):
    call: Call
    call_id: str


class CostMeter(Meter):
    """Counts what calls cost, and refuses those that begin when the ceiling is reached.

    Calls that run side by side hold the highest cost of their model's calls so far, and a model
    without one all that is left: a call waits while running ones may use up the rest. So the
    ceiling is exceeded by what one call costs more than that, at most. A stream whose reader is
    busy elsewhere is not waited for.

    Args:
        max_cost: USD.
        before: "estimate" also refuses a call whose estimated cost does not fit.
        store: A store of bytes that other processes share; None counts in this process.
        name: The ceiling's name in the store.

    Raises:
        ValueError: An argument is not valid.
    """

    def __init__(
        self,
        max_cost: float | Decimal,
        *,
        before: Literal["estimate"] | None = None,
        store: BaseStore[str, bytes] | None = None,
        name: str | None = None,
    ) -> None:
        self._max_cost = _validate_amount(max_cost)
        if before not in {None, "estimate"}:
            msg = f'before must be "estimate" or None, not {before!r}'
            raise ValueError(msg)
        if (store is None) != (name is None):
            msg = "a cost limit on a shared store needs both `store` and `name`"
            raise ValueError(msg)

        self._estimates = before == "estimate"
        self._store = store
        self._entry = f"cost-limit:{name}"
        self._state = LedgerState()  # without a store: the state; else what was last read of it
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._running: dict[int, _Running] = {}
        self._open: dict[_Running, int] = {}  # with how often it was looked up before a call
        self._unwritten: list[Callable[[LedgerState], None]] = []
        self._writers: set[asyncio.Task[None]] = set()
        self._loops: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    # --- what was spent -------------------------------------------------------------------

    @property
    def max_cost(self) -> float:
        """The ceiling, in USD."""
        return float(self._max_cost)

    @property
    def spent(self) -> float:
        """What the calls have cost so far, in USD: the sum of what OpenRouter charged."""
        with self._lock:
            return float(self._state.spent)

    @property
    def remaining(self) -> float:
        """What is left of the ceiling, in USD; 0 if it is exceeded."""
        with self._lock:
            return float(max(Decimal(0), self._max_cost - self._state.spent))

    @property
    def by_model(self) -> dict[str, float]:
        """What the calls of each model have cost, in USD."""
        with self._lock:
            return {model: float(cost) for model, cost in self._state.costs.items()}

    @property
    def requests(self) -> int:
        """How many calls have been counted."""
        with self._lock:
            return sum(self._state.requests.values())

    @property
    def unsettled(self) -> tuple[str, ...]:
        """The ids of generations whose cost is not known yet: streams that were left or failed."""
        with self._lock:
            return tuple(item.call.generation_id or "" for item in self._open)

    def settle(self) -> None:
        """Ask `GET /generation` for the costs that are not known, for up to 7.5 seconds.

        What is still not known then stays in `unsettled`.
        """
        self._settle(SETTLE_WAITS)
        self.flush()

    async def asettle(self) -> None:
        """Ask like `settle`."""
        await self._asettle(SETTLE_WAITS)
        await self.aflush()

    def __repr__(self) -> str:
        """Show what was spent, in one line."""
        more = f", {len(self.unsettled)} of unknown cost" if self.unsettled else ""
        return f"<${self.spent:.6f} of ${self.max_cost:.6f}, {self.requests} requests{more}>"

    def _repr_html_(self) -> str:
        rows: list[tuple[Any, ...]] = [
            (model, f"{cost:.6f}") for model, cost in sorted(self.by_model.items())
        ]
        rows.append(("all", f"{self.spent:.6f}"))
        rows.append(("ceiling", f"{self.max_cost:.6f}"))
        return _html.table(("model", "USD"), rows)

    # --- as a meter -----------------------------------------------------------------------

    def admit(self, call: Call) -> None:
        """Let a call begin, or wait until running ones have ended.

        Raises:
            CostLimitError: The ceiling is reached, or the estimate does not fit.
        """
        self._settle(self._settle_waits())
        estimate = estimate_cost(call) if self._estimates else None
        call_id, ignored = secrets.token_hex(8), frozenset[str]()
        while True:
            begin = self._begin(call, call_id, estimate, ignored)
            decision = self._update(begin)
            if decision != "wait":
                break
            with self._ended:
                busy = self._busy_readers()
                self._ended.wait(_READER_GRACE if self._store is None else _POLL)
            ignored = self._ignored(call, busy)

        self._decided(call, call_id, decision, estimate)

    async def aadmit(self, call: Call) -> None:
        """Let a call begin like `admit`."""
        await self._asettle(self._settle_waits())
        estimate = await aestimate_cost(call) if self._estimates else None
        call_id, ignored = secrets.token_hex(8), frozenset[str]()
        ended = asyncio.Event()
        self._loops[ended] = asyncio.get_running_loop()
        try:
            while True:
                ended.clear()
                decision = await self._aupdate(self._begin(call, call_id, estimate, ignored))
                if decision != "wait":
                    break
                busy = self._busy_readers()
                await _wait(ended, _READER_GRACE if self._store is None else _POLL)
                ignored = self._ignored(call, busy)
        finally:
            self._loops.pop(ended, None)

        self._decided(call, call_id, decision, estimate)

    def record(self, call: Call) -> None:
        """Count a call that has ended; the cost of a stream that was left is looked up later."""
        running = self._running.pop(id(call), None)
        if running is None:  # it was refused
            return

        is_open = False
        if call.cost is None and call.outcome != "done" and call.generation_id:
            is_open = True
            with self._lock:
                self._open[running] = 0
        self._write(running, call.cost, is_open=is_open)
        self._wake()

    # --- beginning and waiting ------------------------------------------------------------

    def _begin(
        self, call: Call, call_id: str, estimate: Decimal | None, ignored: frozenset[str]
    ) -> Callable[[LedgerState], Decision]:
        def begin(state: LedgerState) -> Decision:
            now = time.time()
            state.expire(now)

            return state.begin(
                call_id,
                call.model,
                max_cost=self._max_cost,
                estimate=estimate,
                ignoring=ignored,
                expires_at=None if self._store is None else now + _LEASE,
            )

        return begin

    def _decided(
        self, call: Call, call_id: str, decision: Decision, estimate: Decimal | None
    ) -> None:
        """Remember a call that has begun.

        Raises:
            CostLimitError: It may not.
        """
        if decision == "begin":
            self._running[id(call)] = _Running(call, call_id)
            return

        with self._lock:
            spent = {model: float(cost) for model, cost in self._state.costs.items()}
            total = float(self._state.spent)
        shown = None if decision == "reached" or estimate is None else float(estimate)
        raise CostLimitError.build(total, float(self._max_cost), spent, shown)

    def _busy_readers(self) -> set[int]:
        """Return the running streams that do not wait for the network now."""
        return {key for key, item in list(self._running.items()) if not item.call.is_waiting}

    def _ignored(self, call: Call, busy: set[int]) -> frozenset[str]:
        """Return the running calls that may never end while this one waits.

        Those are streams whose readers were busy before and after the wait, and, if this call
        blocks an event loop, the loop's own.
        """
        blocked = _running_loop() if call.loop is None else None
        return frozenset(
            item.call_id
            for key, item in list(self._running.items())
            if (key in busy and not item.call.is_waiting)
            or (blocked is not None and item.call.loop is blocked)
        )

    def _wake(self) -> None:
        with self._ended:
            self._ended.notify_all()
        for event, loop in list(self._loops.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    # --- the state ------------------------------------------------------------------------

    def _update(self, change: Callable[[LedgerState], Any]) -> Any:
        """Change the state, in the store where there is one."""
        if self._store is None:
            with self._lock:
                return change(self._state)

        for _ in range(_MAX_CONFLICTS):
            before = self._store.mget([self._entry])[0]
            state, writes, result = self._changed(before, change)
            if compare_and_set(self._store, self._entry, before, state.to_json()):
                self._written(state, writes)
                return result
        raise _conflict()

    async def _aupdate(self, change: Callable[[LedgerState], Any]) -> Any:
        if self._store is None:
            with self._lock:
                return change(self._state)

        for _ in range(_MAX_CONFLICTS):
            before = (await self._store.amget([self._entry]))[0]
            state, writes, result = self._changed(before, change)
            if await acompare_and_set(self._store, self._entry, before, state.to_json()):
                self._written(state, writes)
                return result
            await asyncio.sleep(0)
        raise _conflict()

    def _changed(
        self, before: bytes | None, change: Callable[[LedgerState], Any]
    ) -> tuple[LedgerState, int, Any]:
        state = LedgerState.from_json(before)
        writes = list(self._unwritten)
        for write in writes:
            write(state)
        return state, len(writes), change(state)

    def _written(self, state: LedgerState, writes: int) -> None:
        with self._lock:
            self._state = state
            del self._unwritten[:writes]

    def _write(self, running: _Running, cost: float | None, *, is_open: bool = False) -> None:
        """Count a call, without waiting for the store on an event loop."""
        call, call_id = running
        known = None if cost is None else to_decimal(cost)
        served = call.facts().model or call.model

        def end(state: LedgerState) -> None:
            state.end(call_id, requested=call.model, served=served, cost=known, is_open=is_open)

        if self._store is None:
            self._update(end)
            return
        with self._lock:
            self._unwritten.append(end)
        loop = _running_loop()
        if loop is None:
            with contextlib.suppress(Exception):  # kept, and written by the next call, which raises
                self.flush()
        else:
            task = loop.create_task(self._write_later())
            self._writers.add(task)
            task.add_done_callback(self._writers.discard)

    async def _write_later(self) -> None:
        with contextlib.suppress(Exception):
            await self.aflush()

    def flush(self) -> None:
        """Write what is not yet in the shared store."""
        if self._unwritten:
            self._update(lambda _: None)

    async def aflush(self) -> None:
        """Write like `flush`."""
        if self._unwritten:
            await self._aupdate(lambda _: None)

    # --- costs that come later ------------------------------------------------------------

    def _settle_waits(self) -> tuple[float, ...]:
        """Return how often to look open costs up before a call: more where they may decide.

        A generation that the service does not know after some look-ups is left to `settle`.
        """
        with self._lock:
            recent = [item for item, looks in self._open.items() if looks < _MAX_LOOKS]
            if not recent:
                return ()
            for item in recent:
                self._open[item] += 1

            highest = [self._state.highest.get(item.call.model) for item in recent]
            known = [cost for cost in highest if cost is not None]
            decides = len(known) < len(highest) or (
                self._state.spent + sum(known, Decimal(0)) >= self._max_cost
            )
            is_new = any(self._open[item] == 1 for item in recent)
        return SETTLE_WAITS[:3] if decides and is_new else SETTLE_WAITS[:1]

    def _settle(self, waits: tuple[float, ...]) -> None:
        for wait in waits:
            if not self._open:
                return
            time.sleep(wait)
            for running in list(self._open):
                self._settled(running, look_up_cost(running.call))

    async def _asettle(self, waits: tuple[float, ...]) -> None:
        for wait in waits:
            if not self._open:
                return
            await asyncio.sleep(wait)
            for running in list(self._open):
                self._settled(running, await alook_up_cost(running.call))

    def _settled(self, running: _Running, cost: float | None) -> None:
        if cost is None:
            return
        with self._lock:
            if running not in self._open:  # another thread was first
                return
            del self._open[running]
        self._write(running, cost)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _validate_amount(max_cost: Any) -> Decimal:
    """Return a ceiling as a decimal.

    Raises:
        ValueError: It is no finite number above 0.
    """
    is_number = isinstance(max_cost, int | float | Decimal) and not isinstance(max_cost, bool)
    if not is_number or not math.isfinite(max_cost) or max_cost <= 0:
        msg = f"max_cost must be a number of USD above 0, not {max_cost!r}"
        raise ValueError(msg)
    return Decimal(str(max_cost))


def _conflict() -> KeyStoreError:
    return KeyStoreError("the cost limit cannot be written: the store refuses every change")
