"""Fragments of HTML for notebooks; every text is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Jupyter typesets what looks like math: "$5 and not $6". Of these classes MathJax 3 and 4 know the
# first, MathJax 2 the second.
NO_MATH = 'class="mathjax_ignore tex2jax_ignore"'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return a table with a row for each name and value."""
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows
    )
    return f"<table {NO_MATH}>{cells}</table>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a row of headings."""
    headings = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table {NO_MATH}><tr>{headings}</tr>{lines}</table>"


def link(url: str, text: str) -> str:
    """Return a link that opens in a new tab, and sends no referrer."""
    return f'<a href="{escape(url)}" target="_blank" rel="noreferrer">{escape(text)}</a>'
