"""Strip exceptions that leave the HTTP client of frames and requests that hold a key."""

from __future__ import annotations

import sys
from contextlib import suppress

_HOLDS_KEY = ("_request", "request", "response")  # attributes of httpx2's and the SDK's errors


class StrippedTracebacks:
    """A context that drops the inner traceback of whatever is raised inside.

    A cancellation, an exception from a signal handler and a network failure all pass through frames
    that hold headers and bodies, and error reporters save the locals of every frame. The frames of
    the caller stay, as does an exception that was already being handled.

    A class, because `contextlib.contextmanager` restores the traceback.
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = sys.exception()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None and not isinstance(error, GeneratorExit):
            strip_traceback(error, until=self._before)


def strip_traceback(error: BaseException, *, until: BaseException | None = None) -> None:
    """Remove frames and requests from an exception, its causes and its contexts.

    Args:
        error: Changed in place.
        until: The exception that the caller was handling, which stays as it is.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or current is until or id(current) in seen:
            continue

        seen.add(id(current))
        current.__traceback__ = None
        for name in _HOLDS_KEY:
            if name in getattr(current, "__dict__", {}):
                with suppress(AttributeError, TypeError):
                    delattr(current, name)

        pending += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            pending += current.exceptions
