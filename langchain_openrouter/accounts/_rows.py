"""`Rows`: values of a listing, shown as a table in a notebook; and how a value shows itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar, overload

from langchain_openrouter import _html
from langchain_openrouter._redaction import printable

__all__ = ["Row", "Rows", "format_cell", "row_html"]

_SHOWN = 5  # names in a repr
_MAX_ROWS = 200  # of a table in a notebook
_CENT = 0.01


class Row(Protocol):
    """A value that can be a row of a table."""

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""

    @property
    def identity(self) -> str:
        """What the service knows it by."""


T = TypeVar("T", bound=Row)


class Rows(Sequence[T], Generic[T]):
    """A sequence of values, shown as a table in a notebook."""

    def __init__(self, rows: Iterable[T]) -> None:
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Rows[T]: ...
    def __getitem__(self, index: int | slice) -> T | Rows[T]:
        """Return a value, or the values of a slice."""
        if isinstance(index, slice):
            return Rows(self._rows[index])
        return self._rows[index]

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._rows)

    def __repr__(self) -> str:
        """Show the first five."""
        shown = ", ".join(printable(row.identity) for row in self._rows[:_SHOWN])
        return f"<{len(self)} rows: {shown}{', …' if len(self) > _SHOWN else ''}>"

    def _repr_html_(self) -> str:
        if not self._rows:
            return "<p>none</p>"

        head = tuple(self._rows[0].cells())
        lines = (
            [format_cell(value) for value in row.cells().values()] for row in self._rows[:_MAX_ROWS]
        )
        more = len(self) - _MAX_ROWS
        return _html.table(head, lines) + (f"<p>and {more} more</p>" if more > 0 else "")


def row_html(row: Row) -> str:
    """Return the table of one value: a line for each cell that is known."""
    cells = ((name, format_cell(value)) for name, value in row.cells().items())
    return _html.facts((name, text) for name, text in cells if text)


def format_cell(value: Any) -> str:
    """Return a value in words: dates to the minute, amounts in USD, lists with commas."""
    match value:
        case None | () | "":
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
        case float():
            return f"${value:,.6f}" if 0 < abs(value) < _CENT else f"${value:,.2f}"
        case tuple():
            return printable(", ".join(map(str, value)))

    return printable(str(value))
