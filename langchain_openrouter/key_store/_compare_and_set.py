"""Compare-and-set on LangChain's stores of bytes, whose interface has none.

A store may have methods of its own, as `RedisStore` and `FileStore` do:

    compare_and_set(key, expected: bytes | None, value: bytes | None, *, ttl=None) -> bool

and the same as a coroutine, `acompare_and_set`. None means that there is no entry; `ttl` is in
seconds, and a store without expiry may ignore it. Without these methods a store in memory is
locked, and on any other the value is read again right before it is written: a writer in another
process can still write in between.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from langchain_core.stores import InMemoryBaseStore, InMemoryByteStore

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from langchain_core.stores import BaseStore

_locks: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()
_locks_guard = threading.Lock()
_in_progress: set[tuple[int, str]] = set()


def writer_lock(store: BaseStore[str, bytes]) -> AbstractContextManager[Any]:
    """Return the lock of a store in memory, which every writer holds; no lock for other stores."""
    if not isinstance(store, InMemoryBaseStore):
        return nullcontext()
    with _locks_guard:
        return _locks.setdefault(store, threading.RLock())


def put(store: BaseStore[str, bytes], key: str, value: bytes | None) -> None:
    """Write a value; None deletes it."""
    with writer_lock(store):
        if value is None:
            store.mdelete([key])
        else:
            store.mset([(key, value)])


async def aput(store: BaseStore[str, bytes], key: str, value: bytes | None) -> None:
    """Write like `put`."""
    if _never_waits(store):
        put(store, key, value)
    elif value is None:
        await store.amdelete([key])
    else:
        await store.amset([(key, value)])


def compare_and_set(
    store: BaseStore[str, bytes],
    key: str,
    expected: bytes | None,
    value: bytes | None,
    *,
    ttl: float | None = None,
) -> bool:
    """Write a value if the one there is the expected one; return whether it was.

    Args:
        store: The store.
        key: The entry's name.
        expected: The value that must be there; None: there must be no entry.
        value: None deletes the entry.
        ttl: Seconds until the entry expires, on a store that has expiry.
    """
    native = getattr(store, "compare_and_set", None)
    if native is not None:
        return bool(native(key, expected, value, ttl=ttl))

    with writer_lock(store):
        if store.mget([key])[0] != expected:
            return False
        put(store, key, value)
        return True


async def acompare_and_set(
    store: BaseStore[str, bytes],
    key: str,
    expected: bytes | None,
    value: bytes | None,
    *,
    ttl: float | None = None,
) -> bool:
    """Write like `compare_and_set`; tasks of this event loop exclude each other on any store."""
    native = getattr(store, "acompare_and_set", None)
    if native is not None:
        return bool(await native(key, expected, value, ttl=ttl))
    if _never_waits(store):
        return compare_and_set(store, key, expected, value)
    if hasattr(store, "compare_and_set"):
        return await asyncio.to_thread(compare_and_set, store, key, expected, value, ttl=ttl)

    mark = (id(store), key)
    if mark in _in_progress:  # another task is writing it
        return False
    _in_progress.add(mark)
    try:
        if (await store.amget([key]))[0] != expected:
            return False
        await aput(store, key, value)
        return True
    finally:
        _in_progress.discard(mark)


def _never_waits(store: BaseStore[str, bytes]) -> bool:
    """Tell whether the store is a plain dictionary, so that a lock can be held meanwhile."""
    return type(store) is InMemoryByteStore
