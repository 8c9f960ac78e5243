"""Several small pools of connections in place of a large one.

The pool of httpcore2 looks at each of its connections, twice for each request: with 300 of them an
async call takes 4.4 ms of CPU instead of 1.0, until a minute after the crowd they expire. A client
here has no more connections than requests that it was given at once, which is `MAX_BUSY`; further
requests go to the next client. The first client that has room is taken, so that a quiet process
uses one and the others fall idle, and are closed as idle connections are.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

MAX_BUSY = 2
"""Requests of one client at once: with eight, a call after a crowd takes a tenth longer."""
KEEPALIVE_SECONDS = 60.0
"""For which an idle connection is kept, and a client with nothing but idle connections."""
MAX_KEEPALIVE = 200
"""Idle connections that are kept in all."""

MAX_CLOSED = 4
"""Clients that one request closes; a hundred, after a crowd, take 30 ms."""


class Shard:
    """One client, and the requests that it is busy with."""

    __slots__ = ("busy", "client", "is_keeping", "used_at")

    def __init__(self, client: Any, *, is_keeping: bool) -> None:
        self.client = client
        self.is_keeping = is_keeping
        self.busy: set[object] = set()
        """A token for each request; adding and removing one is atomic."""
        self.used_at = time.monotonic()


class Shards:
    """The clients of a process or an event loop, for one proxy environment.

    Args:
        make: Makes a client that keeps a number of idle connections.
    """

    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._shards: list[Shard] = []
        self._swept_at = time.monotonic()

    def take(self) -> Any:
        """Return the first client that has room, a new one if none has.

        Raises:
            Exception: As `make` raises it.
        """
        with self._lock:
            for shard in self._shards:
                if len(shard.busy) < MAX_BUSY:
                    break
            else:
                shard = self._add()
            shard.used_at = time.monotonic()
            return shard.client

    def _add(self) -> Shard:
        keeping = sum(shard.is_keeping for shard in self._shards)
        is_keeping = keeping < MAX_KEEPALIVE // MAX_BUSY
        shard = Shard(self._make(MAX_BUSY if is_keeping else 0), is_keeping=is_keeping)
        shard.client.shard = shard
        self._shards.append(shard)
        return shard

    def remove_idle(self) -> list[Any]:
        """Remove some clients whose connections have all expired; return them, to be closed.

        The first client stays. Looks at them once in `KEEPALIVE_SECONDS`, and at the next request
        where more than `MAX_CLOSED` have expired.
        """
        now = time.monotonic()
        if len(self._shards) <= 1 or now - self._swept_at < KEEPALIVE_SECONDS:
            return []

        with self._lock:
            first, rest = self._shards[:1], self._shards[1:]
            idle = [s for s in rest if not s.busy and now - s.used_at >= KEEPALIVE_SECONDS]
            if len(idle) <= MAX_CLOSED:
                self._swept_at = now
            idle = idle[:MAX_CLOSED]
            self._shards = [*first, *(shard for shard in rest if shard not in idle)]
        return [shard.client for shard in idle]

    def remove_all(self) -> list[Any]:
        """Remove all clients; return them, to be closed."""
        with self._lock:
            shards, self._shards = self._shards, []
        return [shard.client for shard in shards]


class _Busy:
    """The body of a response that is being read: its client is busy until it is closed."""

    def __init__(self, stream: Any, shard: Shard, token: object) -> None:
        self._stream, self._shard, self._token = stream, shard, token

    def _release(self) -> None:
        self._shard.used_at = time.monotonic()
        self._shard.busy.discard(self._token)

    def __del__(self) -> None:
        self._shard.busy.discard(self._token)  # of a response that nobody closed


class BusyStream(_Busy, httpx2.SyncByteStream):
    """Of a sync client."""

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        """Close the body, and give the client back."""
        try:
            self._stream.close()
        finally:
            self._release()


class AsyncBusyStream(_Busy, httpx2.AsyncByteStream):
    """Of an async client."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        """Close like `BusyStream.close`."""
        try:
            await self._stream.aclose()
        finally:
            self._release()


@contextmanager
def occupied(shard: Shard | None, kind: type[_Busy]) -> Iterator[Callable[[Any], Any]]:
    """Let a client count as busy, during a request and until its stream is closed.

    Args:
        shard: The client's; None for a client of the user's own.
        kind: `BusyStream` or `AsyncBusyStream`.

    Yields:
        Takes the response and returns it: an open one ends the request when it is closed.
    """
    if shard is None:
        yield lambda response: response
        return

    token, is_open = object(), False

    def keep(response: Any) -> Any:
        nonlocal is_open
        if not response.is_closed:
            is_open, response.stream = True, kind(response.stream, shard, token)
        return response

    shard.busy.add(token)
    try:
        yield keep
    finally:
        if not is_open:
            shard.used_at = time.monotonic()
            shard.busy.discard(token)
