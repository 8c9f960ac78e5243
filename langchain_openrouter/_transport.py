"""HTTP: one sealed SDK client per process and per event loop; bytes in, events out.

The clients are the SDK's own base classes, which read no environment and know no credentials:
they are used for their retries. The key comes with each request, so one pool serves all users.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import threading
import weakref
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError
from openai._base_client import AsyncAPIClient, SyncAPIClient
from openai._models import FinalRequestOptions

from langchain_openrouter import errors
from langchain_openrouter._read import json_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping

CONNECT_TIMEOUT = 10.0
LONGEST_RETRY_AFTER = 60.0
_AFTER_DONE = 65_536  # bytes read after the end of an answer, so that its connection is reused
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=200, keepalive_expiry=60.0)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
_USER_AGENT = f"langchain-openrouter-oauth/{version('langchain-openrouter-oauth')}"
_BODY = "langchain_openrouter.body"
_WAIT = "x-langchain-openrouter-wait"
DONE = b"[DONE]"


class Request(NamedTuple):
    """One POST, but for its key."""

    url: str
    body: bytes
    headers: dict[str, str]
    timeout: float | httpx2.Timeout | None
    max_retries: int
    query: Mapping[str, Any] | None = None
    client: Any = None
    """The user's own httpx2 client, in place of the shared one."""


class Failure(Exception):  # noqa: N818 - a value handed back, never seen by a user
    """What the HTTP client said, with what it had received; holds no request and no key."""

    def __init__(
        self, failure: Exception | None, body: bytes = b"", *, timed_out: bool = False,
        status: int | None = None, headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.failure = failure
        self.body = body
        self.timed_out = timed_out
        self.status = status
        self.headers = dict(headers or {})


# --- the SDK's clients, sealed --------------------------------------------------------------


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
        for name, value in (options.headers or {}).items():
            headers[name.lower()] = str(value)
        return httpx2.Headers(headers)

    def _should_retry(self, response: httpx2.Response) -> bool:
        error = _status_error(response)
        return error.is_retryable and (error.retry_after or 0) <= LONGEST_RETRY_AFTER

    def _parse_retry_after_header(self, response_headers: httpx2.Headers | None = None) -> Any:
        waits = (response_headers or {}).get(_WAIT)
        return None if waits is None else float(waits)

    def _make_status_error_from_response(self, response: httpx2.Response) -> APIStatusError:
        return APIStatusError("", response=response, body=None)


def _status_error(response: httpx2.Response) -> errors.OpenRouterError:
    """Read an error status, and leave its seconds to wait where the SDK looks for them."""
    error = errors.from_body(
        _json_or_text(response.extensions.get(_BODY, b"")),
        status=response.status_code,
        headers=response.headers,
    )
    if error.retry_after:
        response.headers[_WAIT] = str(error.retry_after)
    return error


def _json_or_text(body: bytes) -> Any:
    """Return the JSON value, or the text where it is not JSON."""
    try:
        return json_of(body)
    except ValueError:
        return body.decode("utf-8", "replace")


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
        response.extensions[_BODY] = b"".join(chunks)
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
        response.extensions[_BODY] = b"".join(chunks)
        return response


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
        self.own: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


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
        return pools.own.setdefault(own, _sdk(_SyncClient, own))
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
        return pools.own.setdefault(own, _sdk(_AsyncClient, own))
    loop = asyncio.get_running_loop()
    clients = pools.loops.setdefault(loop, {})
    key = _surroundings()
    client = clients.get(key)
    if client is None:
        http = httpx2.AsyncClient(cookies=_jar(), limits=_LIMITS, follow_redirects=False)
        client = clients[key] = _sdk(_AsyncClient, http)
    if loop not in pools.guards:
        pools.guards[loop] = guard = _close_with_loop(clients)
        await anext(guard)
    return client


async def _close_with_loop(clients: dict[Any, _AsyncClient]) -> AsyncGenerator[None]:
    """Wait in `loop.shutdown_asyncgens`, which every runner calls before it closes its loop."""
    try:
        yield
    finally:
        for client in list(clients.values()):
            await client.close()
        clients.clear()


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


# --- requests -----------------------------------------------------------------------------------


def encode(body: Any) -> bytes:
    """Serialise a request once, in the order given.

    Raises:
        ValueError: Something in it is not JSON; the message names its type, not its value.
    """
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"the request cannot be sent as JSON: {error}"
        raise ValueError(msg) from None
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: JSON can carry it escaped
        return json.dumps(body, separators=(",", ":")).encode()


def timeout_of(timeout: float | tuple[float, ...] | httpx2.Timeout | None) -> Any:
    """Return httpx2's timeouts: the number is the idle time, which any byte starts anew."""
    if isinstance(timeout, httpx2.Timeout):
        return timeout
    if isinstance(timeout, tuple | list):
        connect, read = (*timeout, *timeout)[:2]
        return httpx2.Timeout(read, connect=connect)
    if timeout is None:
        return httpx2.Timeout(None, connect=CONNECT_TIMEOUT)
    return httpx2.Timeout(timeout, connect=min(CONNECT_TIMEOUT, timeout))


def _options(request: Request, key: str) -> FinalRequestOptions:
    """Build the SDK's options."""
    return FinalRequestOptions.construct(
        method="post",
        url=request.url,
        headers={**request.headers, "authorization": f"Bearer {key}"},
        params=dict(request.query or {}),
        max_retries=request.max_retries,
        timeout=timeout_of(request.timeout),
        content=request.body,
    )


def _failure(error: Exception) -> Failure:
    """Strip an SDK error of its request, which holds the key."""
    if isinstance(error, APIStatusError):
        response = error.response
        return Failure(
            None, response.extensions.get(_BODY, b""),
            status=response.status_code, headers=response.headers,
        )  # fmt: skip
    inner = error.__cause__ if isinstance(error, APIConnectionError) else error
    inner = inner if isinstance(inner, Exception) else error
    timed_out = isinstance(error, APITimeoutError) or isinstance(inner, httpx2.TimeoutException)
    return Failure(
        type(inner)(str(type(inner).__name__)) if isinstance(inner, httpx2.HTTPError) else inner,
        getattr(inner, "received", b""),
        timed_out=timed_out,
    )


def post(request: Request, key: str, *, stream: bool = False) -> httpx2.Response | Failure:
    """Send; return the response, read unless `stream`, or what went wrong as a value.

    The failure is a value so that no traceback of ours runs through a frame that knows the key.
    """
    try:
        response: httpx2.Response = sync_client(request.client).request(
            httpx2.Response, _options(request, key), stream=stream
        )
    except (APIConnectionError, APIStatusError, httpx2.HTTPError) as error:
        return _failure(error)
    return response


async def apost(request: Request, key: str, *, stream: bool = False) -> httpx2.Response | Failure:
    """Send like `post`, in the running event loop."""
    client = await async_client(request.client)
    try:
        response: httpx2.Response = await client.request(
            httpx2.Response, _options(request, key), stream=stream
        )
    except (APIConnectionError, APIStatusError, httpx2.HTTPError) as error:
        return _failure(error)
    return response


def body_of(response: httpx2.Response) -> bytes:
    """Return the body of a response that has been read."""
    body: bytes = response.extensions.get(_BODY, b"")
    return body


def headers_of(response: httpx2.Response) -> dict[str, str]:
    """Return the headers, but for cookies, which are one user's."""
    return {name: value for name, value in response.headers.items() if name != "set-cookie"}


def is_event_stream(response: httpx2.Response) -> bool:
    """Tell whether the body is a stream of events; an unnamed type is taken for one."""
    kind = response.headers.get("content-type", "")
    return "event-stream" in kind or not kind


# --- server-sent events -------------------------------------------------------------------------


class Events:
    """Bytes in, `data` out: the lines may be cut anywhere and end in LF, CRLF or CR.

    See https://html.spec.whatwg.org/multipage/server-sent-events.html. Each byte is looked at
    once, so that an image of many megabytes on one line costs no more than its size.
    """

    def __init__(self) -> None:
        self._tail: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that this chunk completes."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r") if chunk else self._after_cr
        if b"\n" not in chunk and b"\r" not in chunk:
            self._tail.append(chunk)
            return []
        lines = b"".join((*self._tail, chunk)).splitlines(keepends=False)
        self._tail = [] if chunk.endswith((b"\n", b"\r")) else [lines.pop()]
        return self._events(lines)

    def end(self) -> list[bytes]:
        """Return an event that the end of the body completes."""
        lines, self._tail = b"".join(self._tail).splitlines(), []
        return self._events([*lines, b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for line in lines:
            if self._first:
                self._first = False
                line = line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901 - a byte order mark
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                found.append(b"\n".join(self._data))
                self._data = []
        return found


def events(response: httpx2.Response) -> Iterator[bytes | Failure]:
    """Yield the data of each event; a cut or a stall as a last `Failure`.

    After `[DONE]` the rest is read, within reason, so that the connection can be reused.
    """
    decoder, chunks = Events(), response.iter_bytes()
    try:
        for chunk in chunks:
            for data in decoder.feed(chunk):
                yield data
                if data == DONE:
                    _drain(chunks)
                    return
        yield from decoder.end()
    except httpx2.HTTPError as error:
        yield _failure(error)


async def aevents(response: httpx2.Response) -> AsyncIterator[bytes | Failure]:
    """Yield like `events`."""
    decoder, chunks = Events(), response.aiter_bytes()
    try:
        async for chunk in chunks:
            for data in decoder.feed(chunk):
                yield data
                if data == DONE:
                    await _adrain(chunks)
                    return
        for data in decoder.end():
            yield data
    except httpx2.HTTPError as error:
        yield _failure(error)


def _drain(chunks: Iterator[bytes]) -> None:
    """Read on to the end; what goes wrong after the end of an answer is no failure of it."""
    room = _AFTER_DONE
    with contextlib.suppress(httpx2.HTTPError):
        for chunk in chunks:
            room -= len(chunk)
            if room < 0:
                return


async def _adrain(chunks: AsyncIterator[bytes]) -> None:
    """Drain like `_drain`, for at most a second."""
    room = _AFTER_DONE
    with contextlib.suppress(httpx2.HTTPError, TimeoutError):
        async with asyncio.timeout(1.0):
            async for chunk in chunks:
                room -= len(chunk)
                if room < 0:
                    return
