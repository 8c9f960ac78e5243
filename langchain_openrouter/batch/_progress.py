"""What is shown while a batch runs: a bar of rich, a callable of the user's, or nothing."""

from __future__ import annotations

import contextlib
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_openrouter._progress_bar import is_watched, open_bar
from langchain_openrouter.batch._bar import to_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_openrouter.batch._feed import RowFeed
    from langchain_openrouter.batch._row_result import RowResult

_SECONDS = 0.2  # between two reports


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is."""

    done: int
    """Rows with an output, those of earlier runs included."""
    failed: int
    """Rows with an error."""
    total: int | None
    """Rows of the input, if that is known."""
    in_flight: int
    """Rows that were sent and have no result yet."""
    rows_per_second: float
    """Of this run."""
    spent: float
    """USD, by all runs of the batch."""
    to_come: float | None
    """USD that the remaining rows will cost if they are like those before."""
    seconds_left: float | None
    """Until the last row, at the speed of this run; None where that is not known."""
    is_last: bool = False
    """Whether this is the last report."""
    remote: str | None = None
    """How far the batches at OpenRouter are, with `engine="openrouter"`."""


class ProgressReporter:
    """Counts, and reports a few times a second at the most."""

    def __init__(
        self, show: Callable[[Progress], Any] | None, total: int | None, feed: RowFeed
    ) -> None:
        self._show, self._total, self._feed = show, total, feed
        self._start = self._reported = time.monotonic()
        self._done = self._failed = self._here = 0
        self._spent_before = feed.spent
        self._remote: str | None = None
        self._report()

    def on_remote(self, text: str) -> None:
        """Show how far rows are that run elsewhere."""
        self._remote = text
        self._report()

    def on_known(self, *, is_error: bool) -> None:
        """Count a row of an earlier run."""
        self._count(is_error=is_error)

    def on_result(self, result: RowResult) -> None:
        """Count a row of this run."""
        self._here += 1
        self._count(is_error=result.is_error)

    def _count(self, *, is_error: bool) -> None:
        self._failed += is_error
        self._done += not is_error
        if self._show is not None and time.monotonic() - self._reported >= _SECONDS:
            self._report()

    def _report(self, *, is_last: bool = False) -> None:
        if self._show is not None:
            self._reported = time.monotonic()
            try:
                self._show(self.progress(is_last=is_last))
            except Exception as error:  # noqa: BLE001 - whatever a callable of the user raises
                self._show = None
                warnings.warn(
                    f"progress raised {type(error).__name__}: {error} - the batch goes on without",
                    stacklevel=2,
                )

    def progress(self, *, is_last: bool = False) -> Progress:
        """Return how far the batch is."""
        seconds = time.monotonic() - self._start
        rate = self._here / seconds if seconds else 0.0
        left = None if self._total is None else max(0, self._total - self._done - self._failed)
        mean = (self._feed.spent - self._spent_before) / self._here if self._here else None

        return Progress(
            done=self._done,
            failed=self._failed,
            total=self._total,
            in_flight=self._feed.in_flight,
            rows_per_second=rate,
            spent=self._feed.spent,
            to_come=None if left is None or mean is None else left * mean,
            seconds_left=left / rate if left is not None and rate else None,
            is_last=is_last,
            remote=self._remote,
        )

    def close(self) -> None:
        """Show the last state."""
        self._report(is_last=True)


@contextlib.contextmanager
def open_progress(progress: Any, total: int | None, feed: RowFeed) -> Iterator[ProgressReporter]:
    """Open what shows the progress.

    Args:
        progress: None for a bar where somebody sees it, False for nothing, True for a bar, or a
            callable that gets a `Progress` a few times a second.
        total: Rows of the input.
        feed: What is in flight and spent.
    """
    with contextlib.ExitStack() as stack:
        show: Callable[[Progress], Any] | None = None
        if callable(progress):
            show = progress
        elif progress is not False and (progress or is_watched()):
            bar: Any = stack.enter_context(open_bar())
            show = lambda state: bar.show(to_state(state))  # noqa: E731 - one expression
        reporter = ProgressReporter(show, total, feed)
        try:
            yield reporter
        finally:
            reporter.close()
