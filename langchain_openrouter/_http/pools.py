"""Connection pools: clients of this process or event loop, by proxy environment, for all users."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from contextlib import suppress
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import httpx2

from langchain_openrouter._environ import values_of
from langchain_openrouter._http.aiohttp_client import disable_session_cookies
from langchain_openrouter._http.clients import AsyncClient, SyncClient, make_client
from langchain_openrouter._http.shards import KEEPALIVE_SECONDS, Shards

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


def _empty_cookie_jar() -> CookieJar:
    """Return a jar that stores nothing: one user's cookie must not go with another's key."""
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))


class _Pools:
    """The clients of this process, by event loop and by proxy environment.

    Attributes:
        lock: Held by whoever adds to a dict here, or removes from it: loops run in many threads.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sync: dict[Any, Shards] = {}

        self.loops: weakref.WeakKeyDictionary[Any, dict[Any, Shards]] = weakref.WeakKeyDictionary()
        self.guards: weakref.WeakKeyDictionary[Any, AsyncGenerator[None]] = (
            weakref.WeakKeyDictionary()
        )

    def of_loop(self, loop: Any) -> dict[Any, Shards]:
        """Return the clients of an event loop, by proxy environment."""
        by_environment = self.loops.get(loop)
        if by_environment is None:
            with self.lock:
                by_environment = self.loops.setdefault(loop, {})
        return by_environment


_pools = _Pools()


def _reset_after_fork() -> None:
    """Give a child process pools of its own: the parent goes on using its connections."""
    global _pools  # noqa: PLW0603 - a fork is the one time that the process changes
    _pools_before_fork.append(_pools)
    _pools = _Pools()


# Kept alive: collecting a socket here would close the parent's TLS connection.
_pools_before_fork: list[_Pools] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def _proxy_environment() -> tuple[Any, ...]:
    """Return the variables that httpx2 reads when a client is created."""
    return values_of(_PROXIES)


@lru_cache(maxsize=8)
def _ssl_context(environment: tuple[Any, ...]) -> ssl.SSLContext:
    """Return the certificates of an environment; reading them takes some 20 ms in each new loop."""
    del environment  # httpx2 reads SSL_CERT_FILE and SSL_CERT_DIR itself
    return httpx2.create_ssl_context()


def _client_options(environment: tuple[Any, ...], keepalive: int) -> dict[str, Any]:
    return {
        "cookies": _empty_cookie_jar(),
        "limits": httpx2.Limits(
            max_connections=None,
            max_keepalive_connections=keepalive,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
        "follow_redirects": False,
        "verify": _ssl_context(environment),
    }


def _make_shards(kind: Any, http: Any, environment: tuple[Any, ...]) -> Shards:
    def make(keepalive: int) -> Any:
        return make_client(kind, http(**_client_options(environment, keepalive)), is_shared=True)

    return Shards(make)


def sync_client(own: Any = None) -> SyncClient:
    """Return a client of this process that has room, or one around the user's own httpx2 client.

    Args:
        own: An `httpx2.Client` of the user's.

    Raises:
        Exception: As httpx2 raises it where the environment names a proxy or a certificate that
            cannot be used.
    """
    pools = _pools
    if own is not None:
        return make_client(SyncClient, own)  # type: ignore[no-any-return]

    key = _proxy_environment()
    shards = pools.sync.get(key)
    if shards is None:
        with pools.lock:
            new = _make_shards(SyncClient, httpx2.Client, key)
            shards = pools.sync.setdefault(key, new)

    for idle in shards.remove_idle():
        with suppress(Exception):  # its peer may have gone long ago
            idle.close()
    return shards.take()  # type: ignore[no-any-return]


async def async_client(own: Any = None) -> AsyncClient:
    """Return a client of the running loop like `sync_client`; it is closed when the loop ends."""
    pools = _pools
    if own is not None:
        disable_session_cookies(own)
        return make_client(AsyncClient, own)  # type: ignore[no-any-return]

    loop = asyncio.get_running_loop()
    by_environment = pools.of_loop(loop)
    key = _proxy_environment()
    shards = by_environment.get(key)
    if shards is None:
        shards = by_environment[key] = _make_shards(AsyncClient, httpx2.AsyncClient, key)

    if loop not in pools.guards:
        guard = _close_when_loop_ends(pools, loop)
        with pools.lock:
            pools.guards[loop] = guard
        await anext(guard)
        _drop_closed_loops(pools)
    for idle in shards.remove_idle():
        with suppress(Exception):
            await idle.close()
    return shards.take()  # type: ignore[no-any-return]


def _drop_closed_loops(pools: _Pools) -> None:
    """Drop loops that were closed without `shutdown_asyncgens`, so that no generator ended."""
    with pools.lock:
        for loop in [loop for loop in pools.loops if loop.is_closed()]:
            pools.guards.pop(loop, None)
            pools.loops.pop(loop, None)


async def _close_when_loop_ends(pools: _Pools, loop: Any) -> AsyncGenerator[None]:
    """Wait in `loop.shutdown_asyncgens`, which every runner calls before it closes its loop."""
    try:
        yield
    finally:
        with pools.lock:
            pools.guards.pop(loop, None)
            by_environment = pools.loops.pop(loop, {})
        for shards in by_environment.values():
            for client in shards.remove_all():
                await client.close()


def close() -> None:
    """Close this process's connections; the next request opens new ones."""
    pools = _pools
    with pools.lock:
        of_environments = list(pools.sync.values())
        pools.sync.clear()
    for shards in of_environments:
        for client in shards.remove_all():
            client.close()


atexit.register(close)


async def aclose() -> None:
    """Close the running loop's connections; the next request opens new ones."""
    pools = _pools
    with pools.lock:
        guard = pools.guards.pop(asyncio.get_running_loop(), None)
    if guard is not None:
        await guard.aclose()
