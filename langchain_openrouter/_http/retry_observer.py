"""Tells whoever listens that a request is going to be sent again, and why."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_openrouter.errors import OpenRouterError

_observer: ContextVar[Callable[[OpenRouterError], None] | None] = ContextVar(
    "openrouter_retry_observer", default=None
)


@contextmanager
def observe_retries(observer: Callable[[OpenRouterError], None]) -> Iterator[None]:
    """Call `observer` with each error inside after which the request is sent again."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def report_retry(error: OpenRouterError) -> None:
    """Tell the observer of this context, if there is one."""
    observer = _observer.get()
    if observer is not None:
        observer(error)
