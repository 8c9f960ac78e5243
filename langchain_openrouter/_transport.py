"""Requests: a body goes out, a response or a failure comes back; a stream gives its events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError
from openai._models import FinalRequestOptions

from langchain_openrouter import _links
from langchain_openrouter._pool import (
    BODY,
    aclose,
    async_client,
    close,
    is_event_stream,
    sync_client,
)
from langchain_openrouter._sse import DONE, Events

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping

__all__ = [
    "Failure", "Request", "aclose", "aevents", "apost", "body_of", "close", "encode",
    "events", "headers_of", "is_event_stream", "post", "settings_url_of", "timeout_of",
]  # fmt: skip

CONNECT_TIMEOUT = 10.0
_SETTINGS_URL = "langchain_openrouter.settings_url"
_IN_A_ROW = 32  # events of one stream before other tasks of the loop have their turn
_AFTER_DONE = 65_536  # bytes read after the end of an answer, so that its connection is reused


class Request(NamedTuple):
    """One request, but for its key; a GET has an empty body."""

    url: str
    body: bytes
    headers: dict[str, str]
    timeout: float | httpx2.Timeout | None
    max_retries: int
    query: Mapping[str, Any] | None = None
    client: Any = None
    """The user's own httpx2 client, in place of the shared one."""
    method: str = "post"
    base_url: str = ""
    """The API's, whose site has the page of the key."""


class Failure(NamedTuple):
    """What the HTTP client said, with what it had received; holds no request and no key."""

    failure: Exception | None
    """None where an HTTP status tells the error."""
    body: bytes = b""
    timed_out: bool = False
    status: int | None = None
    headers: Mapping[str, str] | None = None
    settings_url: str = ""
    """The page of the key that was sent, for its owner."""


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
        method=request.method,
        url=request.url,
        headers={**request.headers, **({"authorization": f"Bearer {key}"} if key else {})},
        params=dict(request.query or {}),
        max_retries=request.max_retries,
        timeout=timeout_of(request.timeout),
        content=request.body or None,
    )


def _failure(error: Exception, settings_url: str = "") -> Failure:
    """Strip an SDK error of its request, which holds the key."""
    if isinstance(error, APIStatusError):
        response = error.response
        return Failure(
            None, body_of(response), status=response.status_code, headers=response.headers,
            settings_url=settings_url,
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
        return _failure(error, _settings_url(request, key))
    response.extensions[_SETTINGS_URL] = _settings_url(request, key)
    return response


async def apost(request: Request, key: str, *, stream: bool = False) -> httpx2.Response | Failure:
    """Send like `post`, in the running event loop."""
    client = await async_client(request.client)
    try:
        response: httpx2.Response = await client.request(
            httpx2.Response, _options(request, key), stream=stream
        )
    except (APIConnectionError, APIStatusError, httpx2.HTTPError) as error:
        return _failure(error, _settings_url(request, key))
    response.extensions[_SETTINGS_URL] = _settings_url(request, key)
    return response


def _settings_url(request: Request, key: str) -> str:
    return _links.settings_url(_links.site_of(request.base_url), _links.fingerprint_of(key))


def settings_url_of(got: httpx2.Response | Failure) -> str:
    """Return the page where the owner of the key that was sent raises its limit."""
    if isinstance(got, Failure):
        return got.settings_url
    return str(got.extensions.get(_SETTINGS_URL, ""))


def body_of(response: httpx2.Response) -> bytes:
    """Return the body of a response that has been read."""
    body: bytes = response.extensions.get(BODY, b"")
    return body


def headers_of(response: httpx2.Response) -> dict[str, str]:
    """Return the headers, but for cookies, which are one user's."""
    return {name: value for name, value in response.headers.items() if name != "set-cookie"}


def events(response: httpx2.Response) -> Generator[bytes | Failure]:
    """Yield the data of each event; a cut or a stall as a last `Failure`.

    After `[DONE]` the rest is read, within reason, so that the connection can be reused.
    """
    decoder, chunks = Events(), response.iter_bytes()
    try:
        for chunk in chunks:
            for data in decoder.feed(chunk):
                yield data
                if data.strip() == DONE:
                    _drain(chunks)
                    return
        yield from decoder.end()
    except httpx2.HTTPError as error:
        yield _failure(error)


async def aevents(response: httpx2.Response) -> AsyncGenerator[bytes | Failure]:
    """Yield like `events`.

    What has arrived at once is read without waiting: a fast stream lets the others have a turn.
    """
    decoder, chunks, in_a_row = Events(), response.aiter_bytes(), 0
    try:
        async for chunk in chunks:
            for data in decoder.feed(chunk):
                yield data
                in_a_row += 1
                if in_a_row == _IN_A_ROW:
                    in_a_row = 0
                    await asyncio.sleep(0)
                if data.strip() == DONE:
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
