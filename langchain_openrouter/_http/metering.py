"""Who is told of each request that costs money: before it is sent, and when it has ended.

A meter counts costs, and may refuse a request that would exceed a ceiling. A request that no meter
watches has no `Call`: it pays for one lookup of a context variable.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_openrouter._json import get_dict, get_number, get_str
from langchain_openrouter._redaction import contains_api_key, mask_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    from pydantic import SecretStr

    from langchain_openrouter._http.deadlines import Deadline
    from langchain_openrouter._http.transport import Request

__all__ = [
    "Call",
    "CallFacts",
    "Meter",
    "add_meter",
    "aobserved",
    "as_at_creation",
    "facts_from_body",
    "metered",
    "meters_at_creation",
    "meters_in_context",
    "new_call",
    "observed",
    "register_meters",
    "remember_meters",
    "remove_meter",
    "to_slug",
]

_SLUG = re.compile(r"[\w~.:/@+-]{1,200}", re.ASCII)
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
    user: str = ""
    """The `user` that was sent."""
    idle_since: float | None = None
    """Since when a stream's reader has not come back for more, on the monotonic clock; None while
    the call waits for the network."""

    @property
    def generation_id(self) -> str | None:
        """The id of the generation; None if no response has brought it."""
        return self.facts().generation_id or self.header_id

    @property
    def cost(self) -> float | None:
        """USD; None where the response has not said it, or said what is no cost."""
        cost = self.facts().cost
        return cost if cost is not None and 0 <= cost < math.inf else None

    @property
    def served_model(self) -> str:
        """The model that served the call; the requested one if the response names none."""
        model = to_slug(self.facts().model)
        is_key = self.key is not None and mask_key(model, self.key) != model
        return self.model if is_key else model or self.model

    @property
    def deadline(self) -> Deadline | None:
        """When the call must be complete."""
        return None if self.request is None else self.request.deadline

    def admit(self, request: Request, key: SecretStr | None) -> None:
        """Ask every meter to let the call begin.

        Raises:
            CostLimitError: A ceiling is reached.
            DeadlineError: The deadline passed while it waited.
        """
        self.request, self.key = request, key

        try:
            for meter in self.meters:
                meter.admit(self)
            _check_deadline(self.deadline)
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
        self.outcome = outcome
        for meter in self.meters:
            meter.record(self)
        self.body = {}  # a call whose cost is looked up later holds no prompt

    def end_with(self, error: BaseException | None) -> None:
        """End the call as an exception says: one that is not an `Exception` stopped it."""
        if error is None:
            self.end("done")
        else:
            self.end("failed" if isinstance(error, Exception) else "stopped")


def to_slug(model: Any) -> str:
    """Return the name of a model if it has the form of a slug, else an empty text.

    A service may say anything there, and it is shown in tables and errors.
    """
    is_slug = isinstance(model, str) and _SLUG.fullmatch(model) and not contains_api_key(model)
    return model if is_slug else ""


def _check_deadline(deadline: Deadline | None) -> None:
    if deadline is not None and deadline.has_passed:
        raise deadline.error()


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
    """Note on the call when its reader was given a chunk; without a call return `chunks`."""
    if call is None:
        return chunks

    def observe() -> Iterator[bytes]:
        for chunk in chunks:
            call.idle_since = time.monotonic()
            yield chunk
            call.idle_since = None

    return observe()


def aobserved(chunks: AsyncIterator[bytes], call: Call | None) -> AsyncIterator[bytes]:
    """Note like `observed`."""
    if call is None:
        return chunks

    async def observe() -> AsyncIterator[bytes]:
        async for chunk in chunks:
            call.idle_since = time.monotonic()
            yield chunk
            call.idle_since = None

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
    """Remove what `owner` added last.

    What was added after it stays: a generator may end after its consumer has added something. Does
    not use `ContextVar.reset`: a generator may also be closed in another context than the one that
    it started in, where there is nothing to remove.
    """
    scope, inner = _current.get(), []
    while scope is not None and scope.owner is not owner:
        inner.append(scope)
        scope = scope.outer
    if scope is None:
        return

    outer = scope.outer
    for meter, inner_owner, _ in reversed(inner):
        outer = _Scope(meter, inner_owner, outer)
    _current.set(outer)


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Let a meter watch the calls inside, in threads and tasks that copy the context too."""
    owner = object()
    add_meter(meter, owner)
    try:
        yield
    finally:
        remove_meter(owner)


def remember_meters(meters: Iterable[Meter]) -> None:
    """Let meters of a graph watch what other graphs, started in this context, call."""
    known = set(map(id, _in_scopes()))
    for meter in meters:
        if id(meter) not in known:
            add_meter(meter, meter)


def meters_at_creation() -> object | None:
    """Return what a generator that is created here must be given when it starts; None for none."""
    return _current.get()


@contextmanager
def as_at_creation(scope: Any) -> Iterator[None]:
    """Let the meters of `meters_at_creation` watch what is called inside."""
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)


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
    return tuple(sorted(meters.values(), key=id))  # calls that wait for several wait in one order


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
    if not meters:
        return None
    user = get_str(body, "user") or ""
    return Call(kind, get_str(body, "model") or "", body, meters, user=user)
