"""What the progress bar of a batch says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_openrouter._progress_bar import BarState, to_duration
from langchain_openrouter._redaction import printable

if TYPE_CHECKING:
    from langchain_openrouter.batch._progress import Progress

__all__ = ["to_state", "to_text"]


def to_state(progress: Progress) -> BarState:
    """Return what the bar shows."""
    finished = progress.done + progress.failed
    total = progress.total or (finished if progress.is_last else progress.total)
    return BarState(to_text(progress), finished, total)


def to_text(progress: Progress) -> str:
    """Return how far a batch is, in words."""
    finished = progress.done + progress.failed
    rows = f"{finished:,}" if progress.total is None else f"{finished:,}/{progress.total:,}"
    parts = [f"{rows} rows"]
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    parts.append(f"{progress.rows_per_second:,.1f} rows/s")

    cost = f"${progress.spent:.4f}"
    if progress.to_come and not progress.is_last:
        cost += f" + ${progress.to_come:.4f} to come"
    parts.append(cost)
    if progress.seconds_left is not None and not progress.is_last:
        parts.append(f"{to_duration(progress.seconds_left)} left")
    if progress.remote and not progress.is_last:
        parts.append(printable(progress.remote))
    return " · ".join(parts)
