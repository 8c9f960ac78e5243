"""LangChain's interface of a store of bytes, on Redis: what one worker keeps another finds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from langchain_core.stores import BaseStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

_PREFIX = "langchain-openrouter:"
_PATIENCE = 20.0  # seconds for a connection of the pool


class RedisStore(BaseStore[str, bytes]):
    """Bytes in Redis. Needs the package `redis`.

    Args:
        url: As `redis://host:6379/0`.
        ttl: Seconds after which what nobody wrote again is gone; None keeps it.
        max_connections: Of each kind, sync and async, in this process.

    Raises:
        redis.exceptions.RedisError: From each method: there is no Redis, or no answer.
    """

    def __init__(self, url: str, *, ttl: int | None = None, max_connections: int = 20) -> None:
        import redis  # noqa: PLC0415 - an extra

        self._url = url
        self._ttl = ttl
        # Blocking: who finds all connections busy waits for one, and is not refused.
        self._options: dict[str, Any] = {"max_connections": max_connections, "timeout": _PATIENCE}
        self._sync: Any = redis.Redis.from_pool(
            redis.BlockingConnectionPool.from_url(url, **self._options)
        )
        # Connections of one event loop are of no use to another.
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    @property
    def _async(self) -> Any:
        import redis.asyncio as redis  # noqa: PLC0415 - an extra

        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            pool = redis.BlockingConnectionPool.from_url(self._url, **self._options)
            self._by_loop[loop] = redis.Redis.from_pool(pool)
        return self._by_loop[loop]

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, None for each that is not there."""
        return list(self._sync.mget([_PREFIX + key for key in keys])) if keys else []

    async def amget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return like `mget`."""
        return list(await self._async.mget([_PREFIX + key for key in keys])) if keys else []

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Write the values."""
        for key, value in key_value_pairs:
            self._sync.set(_PREFIX + key, value, ex=self._ttl)

    async def amset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Write like `mset`."""
        for key, value in key_value_pairs:
            await self._async.set(_PREFIX + key, value, ex=self._ttl)

    def mdelete(self, keys: Sequence[str]) -> None:
        """Delete those that are there."""
        if keys:
            self._sync.delete(*(_PREFIX + key for key in keys))

    async def amdelete(self, keys: Sequence[str]) -> None:
        """Delete like `mdelete`."""
        if keys:
            await self._async.delete(*(_PREFIX + key for key in keys))

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the names that begin with `prefix`."""
        for name in self._sync.scan_iter(match=f"{_PREFIX}{prefix or ''}*"):
            yield name.decode().removeprefix(_PREFIX)

    async def ayield_keys(self, *, prefix: str | None = None) -> AsyncIterator[str]:
        """Yield like `yield_keys`."""
        async for name in self._async.scan_iter(match=f"{_PREFIX}{prefix or ''}*"):
            yield name.decode().removeprefix(_PREFIX)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._async.aclose()
        self._sync.close()
