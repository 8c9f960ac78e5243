"""The total time of a call: no phase of it, no retry and no piece of a stream takes longer.

An async call is canceled by the event loop. A sync one cannot be: its timeouts shrink with the time
that is left, and a thread hangs up on a body that still trickles when the time is over.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_openrouter._http.failures import Failure
from langchain_openrouter.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    import httpx2

__all__ = [
    "Deadline",
    "RemainingTimeouts",
    "hang_up",
    "in_time",
    "start_deadline",
    "validate_deadline",
]

_LEAST = 0.001  # seconds: a timeout of 0 would mean "do not block"


class Deadline(NamedTuple):
    """When a call must be complete."""

    seconds: float
    """From its start, as the user set it."""
    ends_at: float
    """On the monotonic clock."""

    @property
    def remaining(self) -> float:
        """Seconds; 0 when the time is over."""
        return max(0.0, self.ends_at - time.monotonic())

    @property
    def has_passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.ends_at

    def failure(self) -> Failure:
        """Return the failure of a call that took too long."""
        reason = f"it took longer than deadline={self.seconds:g} seconds"
        return Failure(TimeoutError(reason), reason, timed_out=True, is_retryable=False, total=True)

    def error(self) -> DeadlineError:
        """Return the error of a call that was not sent in time."""
        failure = self.failure()
        return DeadlineError(f"the request was not sent: {failure.reason} - raise `deadline=`")


def start_deadline(seconds: float | None) -> Deadline | None:
    """Return the deadline of a call that starts now; None without one.

    Raises:
        ValueError: As `validate_deadline`.
    """
    if validate_deadline(seconds) is None:
        return None
    return Deadline(float(seconds), time.monotonic() + seconds)  # type: ignore[arg-type,operator]


def validate_deadline(seconds: Any) -> Any:
    """Return a deadline in seconds unchanged.

    Raises:
        ValueError: It is no finite number above 0, and not None.
    """
    if seconds is None:
        return None
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds < math.inf:
        msg = "deadline must be a number of seconds above 0; None waits as long as bytes arrive"
        raise ValueError(msg)
    return seconds


class RemainingTimeouts(dict[str, Any]):
    """httpx2's timeouts of a request, each no longer than the time that is left when it is read."""

    def __init__(self, timeouts: Mapping[str, Any], deadline: Deadline) -> None:
        super().__init__(timeouts)
        self._deadline = deadline

    def get(self, name: str, default: Any = None) -> Any:
        """Return the timeout of a phase that begins now."""
        timeout, remaining = super().get(name, default), max(_LEAST, self._deadline.remaining)
        return remaining if timeout is None else min(timeout, remaining)


@contextmanager
def hang_up(response: httpx2.Response, deadline: Deadline | None) -> Iterator[None]:
    """Close the connection under a sync read when the time is over.

    The read then fails like any whose peer hangs up. The stream of a client that is not httpx2's
    own may have no socket: there the time is looked at between two reads only.
    """
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if deadline and stream is not None else None
    if deadline is None or not hasattr(connection, "fileno"):
        yield
        return

    timer = threading.Timer(deadline.remaining, _shut_down, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


async def in_time(
    response: httpx2.Response, chunks: AsyncIterator[bytes], deadline: Deadline
) -> AsyncIterator[bytes]:
    """Yield the chunks until the deadline has passed; hang up then, whatever the reader does."""
    loop, is_reading, closing = asyncio.get_running_loop(), False, set[asyncio.Task[None]]()

    def close() -> None:
        if not is_reading:
            closing.add(loop.create_task(response.aclose()))

    timer = loop.call_later(deadline.remaining, close)
    try:
        while not deadline.has_passed:
            is_reading = True
            try:
                async with asyncio.timeout(deadline.remaining):
                    chunk = await anext(chunks)
            except (StopAsyncIteration, TimeoutError):
                return
            is_reading = False
            yield chunk
    finally:
        timer.cancel()


def _shut_down(connection: Any) -> None:
    """Shut a socket down through a copy: a TLS socket's own method would disturb its reader."""
    with suppress(OSError, ValueError):
        duplicate = socket.socket(fileno=os.dup(connection.fileno()))
        try:
            duplicate.shutdown(socket.SHUT_RDWR)
        finally:
            duplicate.close()
