"""A bar: in a terminal, by rich, on standard error; in a notebook, by IPython's display."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Self

from langchain_openrouter._extras import import_extra
from langchain_openrouter._html import NO_MATH

__all__ = ["BarState", "in_notebook", "is_watched", "open_bar", "to_duration"]

_BAR_WIDTH = 24
_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class BarState:
    """What a bar shows."""

    text: str
    finished: int
    total: int | None
    """None where it is not known: the bar pulses."""


def open_bar() -> TerminalBar | NotebookBar:
    """Return the bar for where this runs.

    Raises:
        ImportError: A terminal's bar needs rich (extra `batch` or `cli`).
    """
    return NotebookBar() if in_notebook() else TerminalBar()


def in_notebook() -> bool:
    """Tell whether a notebook's kernel shows what is displayed."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def is_watched() -> bool:
    """Tell whether there is a notebook, or a terminal and rich."""
    if in_notebook():
        return True
    return sys.stderr.isatty() and find_spec("rich") is not None


class TerminalBar:
    """A line on standard error; none where another live display of rich has the terminal.

    Where the terminal is too narrow, the bar is above its text from then on.
    """

    def __init__(self) -> None:
        self._is_stacked = False
        console = import_extra("rich.console", "a progress bar")
        self._live: Any = import_module("rich.live").Live(
            console=console.Console(stderr=True, highlight=False),
            auto_refresh=False,
            transient=False,
        )

    def __enter__(self) -> Self:
        """Begin to show it."""
        try:
            self._live.start()
        except import_module("rich.errors").LiveError:
            self._live = None
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last state there; a terminal that was closed ends nothing else."""
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()

    def show(self, state: BarState) -> None:
        """Show how far it is, as long as there is a terminal."""
        if self._live is None:
            return

        width = self._live.console.width
        self._is_stacked |= _BAR_WIDTH + 1 + len(state.text) > width
        try:
            self._live.update(_render(state, width if self._is_stacked else None), refresh=True)
        except OSError:
            self.__exit__()
            self._live = None


class NotebookBar:
    """A line below a notebook's cell; rich's own needs ipywidgets there."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __enter__(self) -> Self:
        """Begin to show it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last state there."""

    def show(self, state: BarState) -> None:
        """Show how far it is."""
        ipython: Any = import_module("IPython.display")  # there in a notebook alone
        html = ipython.HTML(_to_html(state))

        if self._handle is None:
            self._handle = ipython.display(html, display_id=True)
        else:
            self._handle.update(html)


def to_duration(seconds: float) -> str:
    """Return a duration as people write it."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f}:{seconds % _MINUTE:02.0f} min"
    return f"{seconds // _HOUR:.0f}:{seconds % _HOUR // _MINUTE:02.0f} h"


def _to_html(state: BarState) -> str:
    value = "" if state.total is None else f' value="{state.finished}" max="{state.total or 1}"'
    return f"<progress{value}></progress> <span {NO_MATH}>{escape(state.text)}</span>"


def _render(state: BarState, width: int | None) -> Any:
    """Return the bar and its text for rich: side by side, or, of a width, one above the other."""
    bar = import_module("rich.progress_bar").ProgressBar(
        total=None if state.total is None else state.total or 1,
        completed=state.finished,
        width=width or _BAR_WIDTH,
        pulse=state.total is None,
    )

    text = import_module("rich.text").Text(state.text)
    grid = import_module("rich.table").Table.grid(padding=(0, 1))
    for row in [(bar, text)] if width is None else [(bar,), (text,)]:
        grid.add_row(*row)
    return grid
