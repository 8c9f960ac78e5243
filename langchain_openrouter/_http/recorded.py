"""Answers requests with a response that is there already, as that of a row of a batch."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_openrouter._http.transport import ApiResponse, Request

_answer: ContextVar[Callable[[Request], ApiResponse] | None] = ContextVar(
    "openrouter_recorded_answer", default=None
)


def recorded_answer() -> Callable[[Request], ApiResponse] | None:
    """Return what answers the requests of this context, in place of the service."""
    return _answer.get()


@contextmanager
def answer_with(answer: Callable[[Request], ApiResponse]) -> Iterator[None]:
    """Answer the requests that are sent inside; no key is resolved, and nothing is sent.

    Args:
        answer: Returns the response to a request, or raises.
    """
    token = _answer.set(answer)
    try:
        yield
    finally:
        _answer.reset(token)
