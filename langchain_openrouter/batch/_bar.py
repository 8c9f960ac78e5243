"""The progress bar of a batch: in a terminal, by rich; in a notebook, by IPython's display."""

from __future__ import annotations

import sys
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar as RichBar
from rich.table import Table
from rich.text import Text

from langchain_openrouter._redaction import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from langchain_openrouter.batch._progress import Progress

_BAR_WIDTH = 24
_MINUTE, _HOUR = 60, 3600


def open_bar() -> TerminalBar | NotebookBar:
    """Return the bar for where this runs."""
    return NotebookBar() if in_notebook() else TerminalBar()


def in_notebook() -> bool:
    """Tell whether a notebook's kernel shows what is displayed."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class TerminalBar:
    """A line on standard error that says how far a batch is."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        """Begin to show it."""
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last state there."""
        self._live.stop()

    def show(self, progress: Progress) -> None:
        """Show how far the batch is."""
        self._live.update(render(progress), refresh=True)


class NotebookBar:
    """A line below a notebook's cell; rich's own needs ipywidgets there."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __enter__(self) -> Self:
        """Begin to show it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last state there."""

    def show(self, progress: Progress) -> None:
        """Show how far the batch is."""
        ipython: Any = import_module("IPython.display")  # there in a notebook alone
        html = ipython.HTML(to_html(progress))

        if self._handle is None:
            self._handle = ipython.display(html, display_id=True)
        else:
            self._handle.update(html)


def to_html(progress: Progress) -> str:
    """Return the line as HTML."""
    finished = progress.done + progress.failed
    total = progress.total or (finished if progress.is_last else None)
    value = "" if total is None else f' value="{finished}" max="{total or 1}"'
    return f"<progress{value}></progress> {escape(to_text(progress))}"


def render(progress: Progress) -> RenderableType:
    """Return the line."""
    finished = progress.done + progress.failed
    line = Table.grid(padding=(0, 1))
    if progress.total is None and not progress.is_last:
        line.add_row(RichBar(total=None, width=_BAR_WIDTH, pulse=True), Text(to_text(progress)))
    else:
        total = progress.total or finished or 1
        line.add_row(
            RichBar(total=total, completed=finished, width=_BAR_WIDTH), Text(to_text(progress))
        )

    return line


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


def to_duration(seconds: float) -> str:
    """Return a duration as people write it."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f}:{seconds % _MINUTE:02.0f} min"
    return f"{seconds // _HOUR:.0f}:{seconds % _HOUR // _MINUTE:02.0f} h"
