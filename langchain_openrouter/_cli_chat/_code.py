"""Code in the terminal's own colors, those that can be read on light and on dark."""

from __future__ import annotations

from functools import cache

from pygments.token import Comment, Keyword, Name, Number, String
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.text import Text

__all__ = ["highlight"]

_THEME = ANSISyntaxTheme(
    {
        Comment: Style(dim=True, italic=True),
        Keyword: Style(color="magenta"),
        Name.Function: Style(bold=True),
        Name.Class: Style(bold=True),
        String: Style(color="green"),
        Number: Style(color="cyan"),
    }
)


@cache
def _syntax(language: str) -> Syntax:
    return Syntax("", language or "text", theme=_THEME)


def highlight(line: str, language: str) -> Text:
    """Return a line of code; a language that nobody knows has no colors."""
    code = _syntax(language).highlight(line)
    code.right_crop(len(code.plain) - len(line))
    return code if code.plain == line else Text(line)
