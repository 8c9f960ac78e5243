"""A store of bytes in Redis, shared by all workers."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from langchain_core.stores import BaseStore

from langchain_openrouter._extras import import_extra

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

_PREFIX = "langchain-openrouter:"
_RECONNECTS = 3  # a Redis hangs up on idle connections, and is restarted
_CONNECTION_WAIT = 20.0  # seconds to wait for a connection of the pool


class RedisStore(BaseStore[str, bytes]):
    """Bytes in Redis. Needs the package `redis`.

    Args:
        url: For example `redis://host:6379/0`.
        ttl: Seconds after which an entry expires unless it is written again; None means never.
        max_connections: The maximum number of sync, and of async, connections of this process.

    Raises:
        ImportError: redis is not installed (extra `web`).
        redis.exceptions.RedisError: From each method: Redis cannot be reached.
    """

    def __init__(self, url: str, *, ttl: int | None = None, max_connections: int = 20) -> None:
        redis = import_extra("redis", "`RedisStore`", "web")
        from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra
        from redis.retry import Retry  # noqa: PLC0415 - an extra

        self._url = url
        self._ttl = ttl
        # Blocking: a request waits for a connection if all are busy, instead of failing.
        self._options: dict[str, Any] = {
            "max_connections": max_connections,
            "timeout": _CONNECTION_WAIT,
        }
        self._sync: Any = redis.Redis.from_pool(
            redis.BlockingConnectionPool.from_url(
                url, retry=Retry(NoBackoff(), _RECONNECTS), **self._options
            )
        )
        # An event loop cannot use the connections of another.
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    @property
    def _async(self) -> Any:
        import redis.asyncio as redis  # noqa: PLC0415 - an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra

        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            pool = redis.BlockingConnectionPool.from_url(
                self._url, retry=Retry(NoBackoff(), _RECONNECTS), **self._options
            )
            self._by_loop[loop] = redis.Redis.from_pool(pool)
        return self._by_loop[loop]

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, None for each missing key."""
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
        """Delete the entries; missing keys are ignored."""
        if keys:
            self._sync.delete(*(_PREFIX + key for key in keys))

    async def amdelete(self, keys: Sequence[str]) -> None:
        """Delete like `mdelete`."""
        if keys:
            await self._async.delete(*(_PREFIX + key for key in keys))

    def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
    ) -> bool:
        """Write a value if the one there is the expected one; return whether it was.

        Args:
            key: The entry's name.
            expected: The value that must be there; None: there must be no entry.
            value: None deletes the entry.
            ttl: Seconds until the entry expires. None: the entry's current expiry, or the store's
                for a new entry.
        """
        import redis  # noqa: PLC0415 - an extra

        name, options = _PREFIX + key, self._set_options(expected, ttl)
        if expected is None:
            if value is None:
                return not self._sync.exists(name)
            return bool(self._sync.set(name, value, **options))

        with self._sync.pipeline() as pipe:
            pipe.watch(name)
            if pipe.get(name) != expected:
                return False
            pipe.multi()
            if value is None:
                pipe.delete(name)
            else:
                pipe.set(name, value, **options)
            try:
                return bool(pipe.execute()[0])
            except redis.WatchError:
                return False

    async def acompare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
    ) -> bool:
        """Write like `compare_and_set`."""
        import redis  # noqa: PLC0415 - an extra

        name, options = _PREFIX + key, self._set_options(expected, ttl)
        if expected is None:
            if value is None:
                return not await self._async.exists(name)
            return bool(await self._async.set(name, value, **options))

        async with self._async.pipeline() as pipe:
            await pipe.watch(name)
            if await pipe.get(name) != expected:
                return False
            pipe.multi()
            if value is None:
                pipe.delete(name)
            else:
                pipe.set(name, value, **options)
            try:
                return bool((await pipe.execute())[0])
            except redis.WatchError:
                return False

    def _set_options(self, expected: bytes | None, ttl: float | None) -> dict[str, Any]:
        """Return the options of SET: NX where there must be no entry, XX otherwise."""
        if expected is not None and ttl is None:
            return {"xx": True, "keepttl": True}
        lifetime = {"px": max(1, round(ttl * 1000))} if ttl is not None else {"ex": self._ttl}
        return {"nx" if expected is None else "xx": True, **lifetime}

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the names that begin with `prefix`; Redis may return one twice."""
        for name in self._sync.scan_iter(match=_pattern(prefix)):
            yield name.decode().removeprefix(_PREFIX)

    async def ayield_keys(self, *, prefix: str | None = None) -> AsyncIterator[str]:
        """Yield like `yield_keys`."""
        async for name in self._async.scan_iter(match=_pattern(prefix)):
            yield name.decode().removeprefix(_PREFIX)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._async.aclose()
        self._sync.close()


def _pattern(prefix: str | None) -> str:
    """Return the pattern of SCAN, with its special characters escaped."""
    return re.sub(r"([\\*?\[\]^-])", r"\\\1", _PREFIX + (prefix or "")) + "*"
