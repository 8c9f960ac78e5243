"""The inline marks of Markdown in a word of running text: code, bold, italic, struck out.

A mark that is not closed ends with its line.
"""

from __future__ import annotations

import re

__all__ = ["InlineStyles"]

_MARK = re.compile(r"`+|\*\*|__|~~|\*|_|\\[\\`*_~#\[\]()>.!+-]")
_STYLES = {"**": "bold", "__": "bold", "*": "italic", "_": "italic", "~~": "strike"}
_CODE = "cyan"


class InlineStyles:
    """The marks that are open."""

    def __init__(self) -> None:
        self._code = ""  # the backticks that opened it
        self._open: list[str] = []

    def clear(self) -> None:
        """Close all, as the end of a line does."""
        self._code = ""
        self._open.clear()

    def split(self, word: str) -> list[tuple[str, str]]:
        """Return the pieces of a word without its marks, each with a style of rich."""
        pieces: list[tuple[str, str]] = []
        start = 0

        for match in _MARK.finditer(word):
            mark, before = match[0], word[start : match.start()]
            after = word[match.end() :]
            if mark.startswith("\\") and not self._code:
                pieces += [(before, self._style()), (mark[1:], self._style())]
            elif self._is_mark(mark, word[: match.start()], after):
                pieces.append((before, self._style()))
                self._toggle(mark)
            else:
                continue
            start = match.end()
        pieces.append((word[start:], self._style()))
        return [(text, style) for text, style in pieces if text]

    def _is_mark(self, mark: str, before: str, after: str) -> bool:
        """Tell whether a mark opens or closes, between what is before and after it in its word."""
        if self._code:
            return mark == self._code
        if mark.startswith("`"):
            return True

        is_inside = before[-1:].isalnum() and after[:1].isalnum()
        if "_" in mark and is_inside:
            return False
        return bool(before) or not after if mark in self._open else bool(after)

    def _toggle(self, mark: str) -> None:
        if mark.startswith("`"):
            self._code = "" if self._code else mark
        elif mark in self._open:
            self._open.remove(mark)
        else:
            self._open.append(mark)

    def _style(self) -> str:
        styles = [_STYLES[mark] for mark in self._open]
        return " ".join([*styles, _CODE] if self._code else styles)
