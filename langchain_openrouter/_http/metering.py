"""Who is told of each request that costs money: before it is sent, and when it has ended.

A meter counts costs, and may refuse a request that would exceed a ceiling. A request that no meter
watches has no `Call`: it pays for one lookup of a context variable.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_openrouter._json import get_dict, get_number, get_str

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    from pydantic import SecretStr

    from langchain_openrouter._http.transport import Request

__all__ = [
    "Call",
    "CallFacts",
    "Meter",
    "add_meter",
    "aobserved",
    "facts_from_body",
    "metered",
    "meters_in_context",
    "new_call",
    "observed",
    "register_meters",
    "remember_meters",
    "remove_meter",
]

Kind = Literal["chat", "embeddings", "rerank"]
Outcome = Literal["running", "done", "failed", "stopped"]


class CallFacts(NamedTuple):
    """What a response says of itself; each None where it does not."""

    generation_id: str | None = None
    model: str | None = None
    """The model that served the request."""
    provider: str | None = None
    usage: Mapping[str, Any] | None = None

    @property
    def cost(self) -> float | None:
        """USD."""
        return get_number(self.usage, "cost")


_NO_FACTS = CallFacts()


class Meter:
    """Counts calls. `admit` or `aadmit` is called before each, `record` once it has ended.

    A call for which `admit` raised is ended too, as "failed" and without a cost.
    """

    def admit(self, call: Call) -> None:
        """Let a sync call begin, now or after a wait; raise to refuse it."""

    async def aadmit(self, call: Call) -> None:
        """Let an async call begin like `admit`."""

    def record(self, call: Call) -> None:
        """Take the call's outcome, and its cost where it is known."""


@dataclass(slots=True, eq=False)
class Call:
    """One request that costs money, and what came of it."""

    kind: Kind
    model: str
    """The requested model."""
    body: Mapping[str, Any] = field(repr=False)
    """The request's body."""
    meters: tuple[Meter, ...] = field(repr=False)
    request: Request | None = field(default=None, repr=False)
    """The request as sent, for the look-up of what it cost; set when it is admitted."""
    key: SecretStr | None = field(default=None, repr=False)
    """The key that it is sent with."""
    loop: object = field(default=None, repr=False)
    """The event loop of an async call."""
    facts: Callable[[], CallFacts] = field(default=lambda: _NO_FACTS, repr=False)
    """What has come of the response so far."""
    header_id: str | None = field(default=None, repr=False)
    """The generation id in the response's headers."""
    outcome: Outcome = "running"
    is_waiting: bool = True
    """Whether it waits for the network. A stream whose reader does something else does not."""

    @property
    def generation_id(self) -> str | None:
        """The id of the generation; None if no response has brought it."""
        return self.facts().generation_id or self.header_id

    @property
    def cost(self) -> float | None:
        """USD; None where the response has not said it."""
        return self.facts().cost

    def admit(self, request: Request, key: SecretStr | None) -> None:
        """Ask every meter to let the call begin.

        Raises:
            CostLimitError: A ceiling is reached.
        """
        self.request, self.key = request, key
        try:
            for meter in self.meters:
                meter.admit(self)
        except BaseException:
            self.end("failed")
            raise

    async def aadmit(self, request: Request, key: SecretStr | None) -> None:
        """Ask like `admit`."""
        self.request, self.key, self.loop = request, key, asyncio.get_running_loop()
        try:
            for meter in self.meters:
                await meter.aadmit(self)
        except BaseException:
            self.end("failed")
            raise

    def end(self, outcome: Outcome) -> None:
        """Tell the meters how the call ended; a second time does nothing."""
        if self.outcome != "running":
            return
        self.outcome, self.is_waiting = outcome, False
        for meter in self.meters:
            meter.record(self)

    def end_with(self, error: BaseException | None) -> None:
        """End the call as an exception says: one that is not an `Exception` stopped it."""
        if error is None:
            self.end("done")
        else:
            self.end("failed" if isinstance(error, Exception) else "stopped")


def facts_from_body(body: Any) -> CallFacts:
    """Return what the JSON of a complete response says of itself.

    See https://openrouter.ai/docs/use-cases/usage-accounting.
    """
    return CallFacts(
        get_str(body, "id"),
        get_str(body, "model"),
        get_str(body, "provider"),
        get_dict(body, "usage"),
    )


def observed(chunks: Iterator[bytes], call: Call | None) -> Iterator[bytes]:
    """Note on the call whether it waits for the network; without a call return `chunks`."""
    if call is None:
        return chunks

    def observe() -> Iterator[bytes]:
        for chunk in chunks:
            call.is_waiting = False
            yield chunk
            call.is_waiting = call.outcome == "running"

    return observe()


def aobserved(chunks: AsyncIterator[bytes], call: Call | None) -> AsyncIterator[bytes]:
    """Note like `observed`."""
    if call is None:
        return chunks

    async def observe() -> AsyncIterator[bytes]:
        async for chunk in chunks:
            call.is_waiting = False
            yield chunk
            call.is_waiting = call.outcome == "running"

    return observe()


# --- which meters watch a call ----------------------------------------------------------------


class _Scope(NamedTuple):
    meter: Meter
    owner: object
    outer: _Scope | None


_current: ContextVar[_Scope | None] = ContextVar("openrouter_meters", default=None)
_finders: list[Callable[[], Iterable[Meter]]] = []


def register_meters(find: Callable[[], Iterable[Meter]]) -> None:
    """Register a function that returns further meters of whatever runs around its caller."""
    _finders.append(find)


def add_meter(meter: Meter, owner: object) -> None:
    """Let a meter watch the calls of this context until `remove_meter(owner)`."""
    _current.set(_Scope(meter, owner, _current.get()))


def remove_meter(owner: object) -> None:
    """Remove what `owner` added, and what was added after it.

    Does not use `ContextVar.reset`: a generator may be closed in another context than the one that
    it started in, where there is nothing to remove.
    """
    scope = _current.get()
    while scope is not None and scope.owner is not owner:
        scope = scope.outer
    if scope is not None:
        _current.set(scope.outer)


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Let a meter watch the calls inside, in threads and tasks that copy the context too."""
    owner = object()
    add_meter(meter, owner)
    try:
        yield
    finally:
        remove_meter(owner)


def remember_meters() -> None:
    """Keep the meters that were found for runs that are started in this context."""
    known = set(map(id, _in_scopes()))
    for find in _finders:
        for meter in find():
            if id(meter) not in known:
                add_meter(meter, meter)


def _in_scopes() -> Iterator[Meter]:
    scope = _current.get()
    while scope is not None:
        yield scope.meter
        scope = scope.outer


def meters_in_context(handlers: Iterable[Any] = ()) -> tuple[Meter, ...]:
    """Return the meters that watch a call that is made here, each once.

    Args:
        handlers: Callback handlers of the run; those that are meters are among them.
    """
    meters: dict[int, Meter] = {id(meter): meter for meter in _in_scopes()}
    for find in _finders:
        meters.update((id(meter), meter) for meter in find())
    meters.update((id(item), item) for item in handlers if isinstance(item, Meter))
    return tuple(meters.values())


def new_call(kind: Kind, body: Mapping[str, Any], handlers: Sequence[Any] = ()) -> Call | None:
    """Return the call of a request, or None if nobody watches it.

    Args:
        kind: Which endpoint it goes to.
        body: The request's body.
        handlers: Callback handlers of the run; those that are meters watch it.
    """
    if _current.get() is None and not _finders and not handlers:
        return None

    meters = meters_in_context(handlers)
    return Call(kind, get_str(body, "model") or "", body, meters) if meters else None
