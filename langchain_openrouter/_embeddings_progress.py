"""How far the requests of one call of `embed` are: a bar, a callable of the user's, or nothing."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_openrouter._progress_bar import BarState, is_watched, open_bar, to_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EmbeddingsProgress", "EmbeddingsReporter", "ShowProgress", "open_progress"]


@dataclass(frozen=True, slots=True)
class EmbeddingsProgress:
    """How far a call of `embed` is."""

    done: int
    """Inputs that have their vectors."""
    total: int
    spent: float
    """USD, as far as the service said."""
    seconds_left: float | None
    """None before the first response."""
    is_last: bool = False
    """Whether this is the last report."""


Show: TypeAlias = Callable[[EmbeddingsProgress], Any]
ShowProgress: TypeAlias = bool | Show | None
"""What shows the progress: see `open_progress`."""


class EmbeddingsReporter:
    """Counts inputs, and reports after each request."""

    def __init__(self, show: Show | None, total: int) -> None:
        self._show, self._total = show, total
        self._start = time.monotonic()
        self._done, self._spent = 0, 0.0
        self.report()

    def on_result(self, count: int, cost: float | None) -> None:
        """Count the inputs of a request, and report."""
        self._done += count
        self._spent += cost or 0.0
        self.report()

    def report(self, *, is_last: bool = False) -> None:
        """Show how far it is; a callable that raises is not called again."""
        if self._show is None:
            return

        seconds, left = time.monotonic() - self._start, self._total - self._done
        seconds_left = left * seconds / self._done if self._done else None
        try:
            self._show(
                EmbeddingsProgress(self._done, self._total, self._spent, seconds_left, is_last)
            )
        except Exception as error:  # noqa: BLE001 - whatever a callable of the user raises
            self._show = None
            warnings.warn(
                f"progress raised {type(error).__name__}: {error} - embedding goes on without",
                stacklevel=2,
            )


@contextmanager
def open_progress(
    progress: ShowProgress, total: int, requests: int
) -> Iterator[EmbeddingsReporter]:
    """Open what shows the progress.

    Args:
        progress: None for a bar where somebody sees it and there are several requests, False for
            nothing, True for a bar, or a callable that gets an `EmbeddingsProgress`.
        total: How many inputs there are.
        requests: How many requests there are.
    """
    with ExitStack() as stack:
        show: Show | None = None
        if callable(progress):
            show = progress
        elif progress is True or (progress is None and requests > 1 and is_watched()):
            bar: Any = stack.enter_context(open_bar())
            show = lambda state: bar.show(_to_bar(state))  # noqa: E731 - one expression

        reporter = EmbeddingsReporter(show, total)
        try:
            yield reporter
        finally:
            reporter.report(is_last=True)


def _to_bar(progress: EmbeddingsProgress) -> BarState:
    parts = [f"{progress.done:,}/{progress.total:,} inputs", f"${progress.spent:.4f}"]
    if progress.seconds_left and not progress.is_last:
        parts.append(f"{to_duration(progress.seconds_left)} left")
    return BarState(" · ".join(parts), progress.done, progress.total)
