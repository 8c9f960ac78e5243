"""Iterate the events of a response's stream; its failures are values."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import httpx2

from langchain_openrouter._http.bodies import aiter_body, iter_body
from langchain_openrouter._http.deadlines import hang_up, in_time
from langchain_openrouter._http.failures import Failure, to_failure
from langchain_openrouter._http.frames import StrippedTracebacks
from langchain_openrouter._http.limits import LimitExceededError
from langchain_openrouter._http.metering import aobserved, observed
from langchain_openrouter._http.sse import DONE, SSEDecoder
from langchain_openrouter._http.turns import turns_of_loop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

    from langchain_openrouter._http.transport import ApiResponse

__all__ = ["StreamEvent", "aiter_events", "iter_events"]

_MAX_DRAIN_SECONDS = 1.0
_MAX_DRAIN_BYTES = 65_536  # read after the end of an answer, so that its connection is reused


StreamEvent: TypeAlias = "bytes | Failure | ApiResponse | None"
"""The data of an event; the failure of a stream that broke off; a response that is no stream, also
one that only shows so by its body; None at the end of a stream without `[DONE]`."""


def iter_events(response: ApiResponse) -> Generator[StreamEvent]:
    """Yield the data of each event, then how the stream ended; see `StreamEvent`.

    After `[DONE]` up to 64 KiB more are read, so that the connection can be reused.
    """
    if response.stream is None:
        yield response
        return

    deadline = response.deadline
    decoder, chunks = SSEDecoder(), observed(iter_body(response.stream), response.call)
    body = _UntypedBody(response)
    end: StreamEvent = None
    with StrippedTracebacks():
        try:
            with hang_up(response.stream, deadline):
                for chunk in chunks:
                    body.add(chunk)
                    for data in decoder.feed(chunk):
                        yield data
                        body.is_stream = True
                        if data.strip() == DONE:
                            _drain(chunks)
                            return
                    if deadline is not None and deadline.has_passed:
                        break
            for data in decoder.flush():
                yield data
                body.is_stream = True
        except _STREAM_FAILURES as error:
            end = to_failure(error, url=str(response.stream.url))
        if deadline is not None and deadline.has_passed:
            end = deadline.failure()
    yield end or body.whole_response()


async def aiter_events(response: ApiResponse) -> AsyncGenerator[StreamEvent]:
    """Yield like `iter_events`.

    Events that arrived together are read without waiting, up to what one turn of the event loop
    allows all its streams together; see `turns`.
    """
    if response.stream is None:
        yield response
        return

    deadline = response.deadline
    decoder, turns = SSEDecoder(), turns_of_loop()
    chunks = aobserved(aiter_body(response.stream), response.call)
    if deadline is not None:
        chunks = in_time(response.stream, chunks, deadline)
    body = _UntypedBody(response)
    end: StreamEvent = None
    with StrippedTracebacks():
        try:
            async for chunk in chunks:
                body.add(chunk)
                await turns.enter()
                for data in decoder.feed(chunk):
                    yield data
                    body.is_stream = True
                    if data.strip() == DONE:
                        await _adrain(chunks)
                        return
                    if turns.spend():
                        await turns.wait()
            for data in decoder.flush():
                yield data
                body.is_stream = True
        except _STREAM_FAILURES as error:
            end = to_failure(error, url=str(response.stream.url))
        if deadline is not None and deadline.has_passed:
            end = deadline.failure()
    yield end or body.whole_response()


class _UntypedBody:
    """Keeps a body that came without a content type until its first event shows what it is."""

    __slots__ = ("_chunks", "_response", "is_stream")

    def __init__(self, response: ApiResponse) -> None:
        self.is_stream = bool(response.headers.get("content-type"))
        self._response = response
        self._chunks: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Take a piece; nothing is kept of a stream. The decoder bounds what may come before."""
        if not self.is_stream:
            self._chunks.append(chunk)
        elif self._chunks:
            self._chunks = []

    def whole_response(self) -> ApiResponse | None:
        """Return the response with its body, where no event came and something else did."""
        body = b"".join(self._chunks)
        if self.is_stream or not body.strip():
            return None
        return replace(self._response, body=body, stream=None)


_STREAM_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, LimitExceededError)


def _drain(chunks: Iterator[bytes]) -> None:
    """Read to the end of the body, for at most a second; an error after the answer is ignored.

    In a thread, since a sync read cannot be given up: a server that keeps the connection open
    must not keep the caller waiting.
    """

    def read() -> None:
        room = _MAX_DRAIN_BYTES
        with contextlib.suppress(httpx2.HTTPError, httpx2.StreamError, OSError, ValueError):
            for chunk in chunks:
                room -= len(chunk)
                if room < 0:
                    return

    thread = threading.Thread(target=read, daemon=True, name="openrouter-drain")
    thread.start()
    thread.join(_MAX_DRAIN_SECONDS)


async def _adrain(chunks: AsyncIterator[bytes]) -> None:
    """Drain like `_drain`, for at most a second."""
    room = _MAX_DRAIN_BYTES
    with contextlib.suppress(httpx2.HTTPError, TimeoutError):
        async with asyncio.timeout(_MAX_DRAIN_SECONDS):
            async for chunk in chunks:
                room -= len(chunk)
                if room < 0:
                    return
