"""A cost ceiling for whatever runs inside it: in this process, or in several on a shared store."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_core.stores import InMemoryByteStore

from langchain_openrouter import _html
from langchain_openrouter._cost_ledger import CallSize, LedgerState, to_decimal
from langchain_openrouter._cost_lookup import aestimate_cost, call_size, estimate_cost
from langchain_openrouter._cost_process import LoopProbe, process
from langchain_openrouter._http.metering import Call, Meter
from langchain_openrouter._open_costs import SETTLE_WAITS, OpenCosts
from langchain_openrouter.errors import CostLimitError, KeyStoreError
from langchain_openrouter.key_store._compare_and_set import acompare_and_set, compare_and_set

if TYPE_CHECKING:
    from langchain_core.stores import BaseStore

    from langchain_openrouter._cost_ledger import Decision

__all__ = ["CostMeter"]

_READER_GRACE = 0.25  # seconds in which the reader of a stream comes back to it, or is not awaited
_POLL = 0.1  # seconds between looks at the running calls while one waits
_LEASE = 60.0  # seconds for which a call of another process holds its share
_MAX_CONFLICTS = 1000


_Write = Callable[[LedgerState], None]


class _Running(NamedTuple):
    call: Call
    call_id: str
    size: CallSize


class CostMeter(Meter):
    """Counts what calls cost, and refuses those that begin when the ceiling is reached.

    Calls that run side by side hold what their model's calls have cost for their size, and a model
    without one all that is left: a call waits while running ones may use up the rest. So the
    ceiling is exceeded by what running calls cost more than that. Not waited for is a stream whose
    reader is busy elsewhere, and a call on an event loop that does not run.

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
        self._open = OpenCosts(self._count_later)
        self._open_calls: dict[Call, _Running] = {}
        self._unwritten: list[_Write] = []
        self._loops: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        process.meters.add(self)

    @property
    def is_shared(self) -> bool:
        """Whether other processes count together with this one."""
        return self._store is not None

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
        return self._open.generation_ids

    def refresh(self) -> None:
        """Read what other processes have spent from the shared store."""
        self._update(lambda _: None)

    async def arefresh(self) -> None:
        """Read like `refresh`."""
        await self._aupdate(lambda _: None)

    def settle(self) -> None:
        """Ask `GET /generation` for the costs that are not known, for up to 7.5 seconds.

        What is still not known then stays in `unsettled`.
        """
        self._open.settle()
        self.flush()

    async def asettle(self) -> None:
        """Ask like `settle`."""
        await self._open.asettle()
        await self.aflush()

    def __repr__(self) -> str:
        """Show what was spent, in one line."""
        more = f", {len(self.unsettled)} of unknown cost" if self.unsettled else ""
        noun = "request" if self.requests == 1 else "requests"
        return f"<${self.spent:.6f} of ${self.max_cost:.6f}, {self.requests} {noun}{more}>"

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
            DeadlineError: The call's deadline passed while it waited.
        """
        self._open.settle(*self._to_look_up())
        estimate = estimate_cost(call) if self._estimates else None
        begun = _Running(call, secrets.token_hex(8), call_size(call))
        loops = LoopProbe()
        while True:
            ignored = self._ignored(call, loops)
            decision = self._update(self._begin(begun, estimate, ignored))
            if decision != "wait":
                break
            _check_deadline(call)
            with self._ended:
                self._ended.wait(_POLL)

        self._decided(begun, decision, estimate)

    async def aadmit(self, call: Call) -> None:
        """Let a call begin like `admit`."""
        await self._open.asettle(*self._to_look_up())
        estimate = await aestimate_cost(call) if self._estimates else None
        begun = _Running(call, secrets.token_hex(8), call_size(call))
        ended, loops = asyncio.Event(), LoopProbe()
        self._loops[ended] = asyncio.get_running_loop()
        try:
            while True:
                ended.clear()
                ignored = self._ignored(call, loops)
                decision = await self._aupdate(self._begin(begun, estimate, ignored))
                if decision != "wait":
                    break
                _check_deadline(call)
                await _wait(ended, _POLL)
        finally:
            self._loops.pop(ended, None)

        self._decided(begun, decision, estimate)

    def record(self, call: Call) -> None:
        """Count a call that has ended; the cost of a stream that was left is looked up later."""
        running = self._running.pop(id(call), None)
        if running is None:  # it was refused
            return

        process.running.pop(running.call_id, None)
        cost = call.cost
        is_open = cost is None and call.generation_id is not None
        if is_open:
            with self._lock:
                self._open_calls[call] = running
            self._open.add(call)
        elif cost is None and call.outcome == "done":
            cost = 0.0  # a service without costs
        self._write(running, cost, is_open=is_open)
        self._wake()

    # --- beginning and waiting ------------------------------------------------------------

    def _begin(
        self, begun: _Running, estimate: Decimal | None, ignored: frozenset[str]
    ) -> Callable[[LedgerState], Decision]:
        def begin(state: LedgerState) -> Decision:
            now = time.time()
            state.expire(now)

            return state.begin(
                begun.call_id,
                begun.call.model,
                max_cost=self._max_cost,
                size=begun.size,
                estimate=estimate,
                ignoring=ignored,
                expires_at=None if self._store is None else now + _LEASE,
            )

        return begin

    def _decided(self, begun: _Running, decision: Decision, estimate: Decimal | None) -> None:
        """Remember a call that has begun.

        Raises:
            CostLimitError: It may not.
        """
        if decision == "begin":
            self._running[id(begun.call)] = begun
            process.running[begun.call_id] = begun.call
            return

        with self._lock:
            spent = {model: float(cost) for model, cost in self._state.costs.items()}
            total = float(self._state.spent)
        shown = None if decision == "reached" or estimate is None else float(estimate)
        raise CostLimitError.build(total, float(self._max_cost), spent, shown)

    @staticmethod
    def _ignored(call: Call, loops: LoopProbe) -> frozenset[str]:
        """Return the running calls of this process that may never end while this one waits.

        Those are streams whose readers have not come back for a while, and the calls of an event
        loop that does not run, as when this one blocks it.
        """
        now, blocked = time.monotonic(), _running_loop() if call.loop is None else None

        return frozenset(
            call_id
            for call_id, item in process.running.copy().items()
            if (item.idle_since is not None and now - item.idle_since >= _READER_GRACE)
            or (
                (item.loop is not None and item.loop is not call.loop)
                and (item.loop is blocked or loops.is_stuck(item.loop))
            )
        )

    def _wake(self) -> None:
        with self._ended:
            self._ended.notify_all()
        for event, loop in self._loops.copy().items():
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
    ) -> tuple[LedgerState, list[_Write], Any]:
        state = LedgerState.from_json(before)
        writes = list(self._unwritten)
        for write in writes:
            write(state)
        return state, writes, change(state)

    def _written(self, state: LedgerState, writes: list[_Write]) -> None:
        with self._lock:
            self._state = state
            self._unwritten = [write for write in self._unwritten if write not in writes]

    def _write(self, running: _Running, cost: float | None, *, is_open: bool = False) -> None:
        """Count a call, without waiting for the store on an event loop."""
        call, call_id, size = running
        known = None if cost is None else to_decimal(cost)
        requested, served = call.model, call.served_model

        def end(state: LedgerState) -> None:
            state.end(
                call_id, requested=requested, served=served, size=size, cost=known, is_open=is_open
            )

        if self._store is None:
            self._update(end)
            return
        with self._lock:
            self._unwritten.append(end)
        if _running_loop() is None or type(self._store) is InMemoryByteStore:
            self._write_now()
        else:
            process.writer().submit(self._write_now)

    def _write_now(self) -> None:
        with contextlib.suppress(Exception):  # kept, and written by the next call, which raises
            self.flush()

    def flush(self) -> None:
        """Write what is not yet in the shared store."""
        if self._unwritten:
            self._update(lambda _: None)

    async def aflush(self) -> None:
        """Write like `flush`."""
        if self._unwritten:
            await self._aupdate(lambda _: None)

    # --- costs that come later ------------------------------------------------------------

    def _to_look_up(self) -> tuple[list[Call], tuple[float, ...]]:
        """Return the calls to look up before another one, and how often: more if they decide."""
        calls, is_new = self._open.before_call()
        if not is_new:
            return calls, SETTLE_WAITS[:1]

        with self._lock:
            sizes = [(item.call.model, item.size) for item in self._open_calls.values()]
            expected = [self._state.expected(*item) for item in sizes]
            known = [cost for cost in expected if cost is not None]
            left = self._max_cost - self._state.spent
        decides = len(known) < len(expected) or sum(known, Decimal(0)) >= left
        return calls, SETTLE_WAITS[:3] if decides else SETTLE_WAITS[:1]

    def _count_later(self, call: Call, cost: float) -> None:
        with self._lock:
            running = self._open_calls.pop(call, None)
        if running is not None:
            self._write(running, cost)

    def reset_after_fork(self) -> None:
        """Forget the calls of the parent process, which end there."""
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        for running in self._running.values():
            self._state.running.pop(running.call_id, None)
        self._running, self._open_calls, self._unwritten, self._loops = {}, {}, [], {}
        self._open.clear()


def _check_deadline(call: Call) -> None:
    if call.deadline is not None and call.deadline.has_passed:
        raise call.deadline.error()


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
