"""The connections: one sealed SDK client per process (sync) and per event loop (async).

The clients are the SDK's own base classes, which read no environment and know no credentials:
they are used for their retries. The key comes with each request, so one pool serves all users.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import httpx2
from openai import APIStatusError
from openai._base_client import AsyncAPIClient, SyncAPIClient

from langchain_openrouter import errors
from langchain_openrouter._read import json_or_text
from langchain_openrouter.settings import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from openai._models import FinalRequestOptions

LONGEST_RETRY_AFTER = 60.0
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=200, keepalive_expiry=60.0)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
_USER_AGENT = f"langchain-openrouter-oauth/{VERSION}"
BODY = "langchain_openrouter.body"
_WAIT = "x-langchain-openrouter-wait"


class _Sealed:
    """Overrides of both clients: our headers alone, our rule of what is worth a retry."""

    def _build_headers(
        self, options: FinalRequestOptions, *, retries_taken: int = 0
    ) -> httpx2.Headers:
        del retries_taken
        headers = {
            "accept": "application/json",
            "content-type": "application/json",
            "user-agent": _USER_AGENT,
        }
        given: Any = options.headers
        headers.update({name.lower(): str(value) for name, value in given.items()})
        return httpx2.Headers(headers)

    def _should_retry(self, response: httpx2.Response) -> bool:
        error = _status_error(response)
        return error.is_retryable and (error.retry_after or 0) <= LONGEST_RETRY_AFTER

    def _parse_retry_after_header(self, response_headers: httpx2.Headers | None = None) -> Any:
        waits = response_headers.get(_WAIT) if response_headers else None
        return None if waits is None else float(waits)

    def _make_status_error_from_response(self, response: httpx2.Response) -> APIStatusError:
        return APIStatusError("", response=response, body=None)


def _status_error(response: httpx2.Response) -> errors.OpenRouterError:
    """Read an error status, and leave its seconds to wait where the SDK looks for them."""
    error = errors.from_body(
        json_or_text(response.extensions.get(BODY, b"")),
        status=response.status_code,
        headers=response.headers,
    )
    if error.retry_after:
        response.headers[_WAIT] = str(error.retry_after)
    return error


class _SyncClient(_Sealed, SyncAPIClient):
    """The SDK's client, which keeps what came of a body that was cut."""

    def _send_request(self, request: httpx2.Request, *, stream: bool, **kwargs: Any) -> Any:
        response = self._client.send(request, stream=True, **kwargs)
        if stream and response.is_success and is_event_stream(response):
            return response
        chunks: list[bytes] = []
        try:
            chunks.extend(response.iter_bytes())
        except httpx2.HTTPError as failure:
            failure.received = b"".join(chunks)  # type: ignore[attr-defined]
            raise
        finally:
            response.close()
        response.extensions[BODY] = b"".join(chunks)
        return response


class _AsyncClient(_Sealed, AsyncAPIClient):
    """The same for an event loop."""

    async def _send_request(self, request: httpx2.Request, *, stream: bool, **kwargs: Any) -> Any:
        response = await self._client.send(request, stream=True, **kwargs)
        if stream and response.is_success and is_event_stream(response):
            return response
        chunks: list[bytes] = []
        try:
            async for chunk in response.aiter_bytes():
                chunks.append(chunk)  # noqa: PERF401 - what came before a cut must be kept
        except httpx2.HTTPError as failure:
            failure.received = b"".join(chunks)  # type: ignore[attr-defined]
            raise
        finally:
            await response.aclose()
        response.extensions[BODY] = b"".join(chunks)
        return response


def is_event_stream(response: httpx2.Response) -> bool:
    """Tell whether the body is a stream of events; an unnamed type is taken for one."""
    kind = response.headers.get("content-type", "")
    return "event-stream" in kind or not kind


# --- the pools --------------------------------------------------------------------------------


def _jar() -> CookieJar:
    """Return a cookie jar that takes nothing: one user's cookie must not go with another's key."""
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))


def _sdk(kind: Any, http_client: Any) -> Any:
    return kind(
        version="0", base_url="http://unset.invalid", http_client=http_client,
        max_retries=0, _strict_response_validation=False,
    )  # fmt: skip


class _Pools:
    """The clients of this process, by event loop and by the proxies the environment names."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sync: dict[Any, _SyncClient] = {}
        self.loops: weakref.WeakKeyDictionary[Any, dict[Any, _AsyncClient]] = (
            weakref.WeakKeyDictionary()
        )
        self.guards: weakref.WeakKeyDictionary[Any, AsyncGenerator[None]] = (
            weakref.WeakKeyDictionary()
        )


_pools = _Pools()


def _forget() -> None:
    """Leave the parent's connections to the parent."""
    global _pools  # noqa: PLW0603 - a fork is the one time that the process changes
    _abandoned.append(_pools)
    _pools = _Pools()


_abandoned: list[_Pools] = []  # kept alive: collecting a socket here would close the parent's TLS
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _surroundings() -> tuple[str | None, ...]:
    """Return what httpx2 reads of the environment when a client is made."""
    get = os.environ.get
    return tuple(get(name) or get(name.lower()) for name in _PROXIES)


def sync_client(own: Any = None) -> _SyncClient:
    """Return this process's client, or one around the user's own httpx2 client."""
    pools = _pools
    if own is not None:
        return _sdk(_SyncClient, own)  # type: ignore[no-any-return]
    key = _surroundings()
    client = pools.sync.get(key)
    if client is None:
        with pools.lock:
            client = pools.sync.get(key)
            if client is None:
                http = httpx2.Client(cookies=_jar(), limits=_LIMITS, follow_redirects=False)
                client = pools.sync[key] = _sdk(_SyncClient, http)
    return client


async def async_client(own: Any = None) -> _AsyncClient:
    """Return the running loop's client, which the loop closes when it ends."""
    pools = _pools
    if own is not None:
        return _sdk(_AsyncClient, own)  # type: ignore[no-any-return]
    loop = asyncio.get_running_loop()
    clients = pools.loops.setdefault(loop, {})
    key = _surroundings()
    client = clients.get(key)
    if client is None:
        http = httpx2.AsyncClient(cookies=_jar(), limits=_LIMITS, follow_redirects=False)
        client = clients[key] = _sdk(_AsyncClient, http)
    if loop not in pools.guards:
        pools.guards[loop] = guard = _close_with_loop(pools, loop)
        await anext(guard)
        _forget_closed(pools)
    return client


def _forget_closed(pools: _Pools) -> None:
    """Let go of loops that were closed by hand, without telling their generators."""
    with pools.lock:
        for loop in [loop for loop in list(pools.loops) if loop.is_closed()]:
            pools.guards.pop(loop, None)
            pools.loops.pop(loop, None)


async def _close_with_loop(pools: _Pools, loop: Any) -> AsyncGenerator[None]:
    """Wait in `loop.shutdown_asyncgens`, which every runner calls before it closes its loop."""
    try:
        yield
    finally:
        pools.guards.pop(loop, None)
        for client in pools.loops.pop(loop, {}).values():
            await client.close()


def close() -> None:
    """Close this process's connections; the next request opens new ones."""
    pools = _pools
    with pools.lock:
        clients = list(pools.sync.values())
        pools.sync.clear()
    for client in clients:
        client.close()


atexit.register(close)


async def aclose() -> None:
    """Close the running loop's connections; the next request opens new ones."""
    guard = _pools.guards.pop(asyncio.get_running_loop(), None)
    if guard is not None:
        await guard.aclose()
