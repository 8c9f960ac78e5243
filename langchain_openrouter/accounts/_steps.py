"""Flows: what is done with the store and the account, as generators, driven sync or async.

A flow yields a step, and is sent the step's result or thrown its error. So it is written once, and
`run` and `arun` differ only in how they send and wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from langchain_core.stores import InMemoryBaseStore
from pydantic import SecretBytes

from langchain_openrouter._http.frames import StrippedTracebacks
from langchain_openrouter.key_store._compare_and_set import (
    acompare_and_set,
    compare_and_set,
    writer_lock,
)

if TYPE_CHECKING:
    from langchain_core.stores import BaseStore

    from langchain_openrouter.accounts._accounts import Accounts

__all__ = [
    "INTERRUPTIONS",
    "Flow",
    "Resources",
    "Step",
    "arun",
    "call",
    "entry_names",
    "pause",
    "read",
    "run",
    "swap",
]

T = TypeVar("T")
_LIFETIME = 10 * 365 * 86_400.0  # seconds: a record outlives what else its store lets expire
INTERRUPTIONS = (Exception, KeyboardInterrupt, SystemExit, asyncio.CancelledError)
"""What a flow may handle with further steps; a generator that is closed can take none."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What steps work on."""

    accounts: Accounts
    store: BaseStore[str, bytes]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, in both forms."""

    do: Callable[[Resources], Any] = field(repr=False)
    ado: Callable[[Resources], Awaitable[Any]] = field(repr=False)


Flow: TypeAlias = Generator[Step, Any, T]


def run(flow: Flow[T], resources: Resources) -> T:
    """Drive a flow in this thread."""
    result: Any = None
    error: BaseException | None = None

    while True:
        try:
            step = flow.send(result) if error is None else flow.throw(error)
        except StopIteration as end:
            value: T = end.value
            return value
        result = error = None
        try:
            result = step.do(resources)
        except INTERRUPTIONS as failure:  # the flow decides what to do about it
            error = failure


async def arun(flow: Flow[T], resources: Resources) -> T:
    """Drive a flow in the running event loop."""
    result: Any = None
    error: BaseException | None = None

    while True:
        try:
            step = flow.send(result) if error is None else flow.throw(error)
        except StopIteration as end:
            value: T = end.value
            return value
        result = error = None
        try:
            result = await step.ado(resources)
        except INTERRUPTIONS as failure:  # the flow decides what to do about it
            error = failure


# --- steps --------------------------------------------------------------------------------------


def read(name: str) -> Step:
    """Read an entry of the store: a secret, since not every store's entries are encrypted."""

    def do(resources: Resources) -> SecretBytes | None:
        with StrippedTracebacks():
            return _to_secret(resources.store.mget([name])[0])

    async def ado(resources: Resources) -> SecretBytes | None:
        with StrippedTracebacks():
            return _to_secret((await resources.store.amget([name]))[0])

    return Step(do, ado)


def swap(name: str, expected: SecretBytes | None, value: SecretBytes | None) -> Step:
    """Write an entry if it is as expected: whether it was."""

    def do(resources: Resources) -> bool:
        with StrippedTracebacks():
            return compare_and_set(
                resources.store, name, _to_bytes(expected), _to_bytes(value), ttl=_LIFETIME
            )

    async def ado(resources: Resources) -> bool:
        with StrippedTracebacks():
            return await acompare_and_set(
                resources.store, name, _to_bytes(expected), _to_bytes(value), ttl=_LIFETIME
            )

    return Step(do, ado)


def _to_secret(value: bytes | None) -> SecretBytes | None:
    return None if value is None else SecretBytes(value)


def _to_bytes(value: SecretBytes | None) -> bytes | None:
    return None if value is None else value.get_secret_value()


def entry_names(prefix: str) -> Step:
    """List the entries of the store whose names begin so."""

    def do(resources: Resources) -> list[str]:
        with writer_lock(resources.store):
            return sorted(set(resources.store.yield_keys(prefix=prefix)))

    async def ado(resources: Resources) -> list[str]:
        if isinstance(resources.store, InMemoryBaseStore):  # nothing waits, and a lock is needed
            return do(resources)
        return sorted({name async for name in resources.store.ayield_keys(prefix=prefix)})

    return Step(do, ado)


def call(resource: str, method: str, *args: Any, **kwargs: Any) -> Step:
    """Call a method of the account; a listing comes complete.

    Args:
        resource: The property of `Accounts`, such as "keys"; "" is the client itself.
        method: The sync form's name.
        *args: Of the method.
        **kwargs: Of the method.
    """

    def target(resources: Resources) -> Any:
        return getattr(resources.accounts, resource) if resource else resources.accounts

    def do(resources: Resources) -> Any:
        result = getattr(target(resources), method)(*args, **kwargs)
        return result.all() if method == "list" else result

    async def ado(resources: Resources) -> Any:
        result = getattr(target(resources), f"a{method}")(*args, **kwargs)
        return await (result.all() if method == "list" else result)

    return Step(do, ado)


def pause(seconds: float) -> Step:
    """Wait."""
    return Step(lambda _: time.sleep(seconds), lambda _: asyncio.sleep(seconds))
