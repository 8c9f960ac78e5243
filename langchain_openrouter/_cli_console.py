"""What all commands share: consoles that print no escapes of others, tables, key stores."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table

from langchain_openrouter._redaction import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.text import Text

    from langchain_openrouter.key_store import KeyStore

__all__ = [
    "PRINTED",
    "Remember",
    "column_widths",
    "err",
    "open_store",
    "out",
    "print_facts",
    "print_table",
]

PRINTED = "\n\t\u200c\u200d"  # line ends, tabs, and the joiners of emoji and several scripts
_BORDER = 3  # cells of a column: a line, and a space on each side


class Remember(StrEnum):
    """Where a key is stored."""

    KEYRING = "keyring"
    FILE = "file"


class _PlainConsole(Console):
    """Prints text without terminal escapes.

    Text of models and names of the service are printed here, in tables too. `render_str` is
    overridden because rich calls it for every string.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text, keep=PRINTED), **options)


def out() -> Console:
    """Return the console of standard output."""
    return _PlainConsole(highlight=False, soft_wrap=True, markup=False, emoji=False)


def err() -> Console:
    """Return the console of standard error."""
    return _PlainConsole(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows, no cell cut: a table, or lines of one cell where the terminal is too narrow.

    Where the standard output is no terminal, a row is a line, its cells are separated by tabs, and
    there is no heading.
    """
    lines = [[printable(cell) for cell in row] for row in rows]
    console = out()
    if not console.is_terminal:
        for line in lines:
            print("\t".join(line))  # noqa: T201 - for a script
        return

    widths = column_widths([list(headings), *lines], console.width)
    if widths is not None:
        columns = zip(headings, widths, strict=True)
        table = Table(*(Column(name, width=width, overflow="fold") for name, width in columns))
        for line in lines:
            table.add_row(*line)
        console.print(table, soft_wrap=False)
        return

    for first, *others in lines:
        console.print(first, style="bold")
        for heading, cell in zip(headings[1:], others, strict=True):
            if cell:
                console.print(f"  {heading}: {cell}")


def column_widths(rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Return how wide the columns of a table are, so that no word is broken.

    Args:
        rows: The cells, headings included.
        width: Of the terminal, in cells.

    Returns:
        None where there is no room for the longest word of each column.
    """
    columns = list(zip(*rows, strict=True))
    widest = [max(map(cell_len, column)) for column in columns]
    widths = [
        max(cell_len(word) for cell in column for word in (cell.split() or [""]))
        for column in columns
    ]
    spare = width - sum(widths) - _BORDER * len(widths) - 1
    if spare < 0:
        return None

    for n in sorted(range(len(widths)), key=lambda n: widest[n] - widths[n]):
        more = min(spare, widest[n] - widths[n])
        widths[n] += more
        spare -= more
    return widths


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values, no value cut; separated by a tab where it is no terminal."""
    lines = [(printable(name), printable(value)) for name, value in facts]
    console = out()
    width = max((len(name) for name, _ in lines), default=0)

    for name, value in lines:
        if console.is_terminal:
            console.print(f"{name:<{width}}  {value}")  # a long value goes on in the next line
        else:
            print(f"{name}\t{value}")  # noqa: T201 - for a script


def open_store(where: Remember) -> KeyStore:
    """Open the key store of this machine.

    Raises:
        KeyStoreError: There is none.
    """
    from langchain_openrouter.key_store import KeyStore  # noqa: PLC0415 - slow to import

    return KeyStore.keyring() if where is Remember.KEYRING else KeyStore.file()
