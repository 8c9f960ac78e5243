"""Markdown at a terminal, word by word as it comes.

Nothing that was printed is printed again: a long answer scrolls, and a window may be resized. A
word is printed once it is complete, a line of code with its end, a table with its last row.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.table import Column, Table
from rich.text import Text

from langchain_openrouter._cli_chat._code import highlight
from langchain_openrouter._cli_chat._inline import InlineStyles

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["MarkdownStream"]

# A run without spaces, or one wide character, after which a line may be broken.
_WIDE = "\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60"
# A run has an end, lest each piece of a long one is read again with those before it.
_MAX_RUN = 500  # characters
_TOKEN = re.compile(rf"[ \t]+|[{_WIDE}]|[^ \t{_WIDE}]{{1,{_MAX_RUN}}}")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*([\w+#.-]*)")
_HEADING = re.compile(r"(#{1,6})\s+")
_ITEM = re.compile(r"(\s*)([-*+]|\d{1,9}[.)])\s+")
_QUOTE = re.compile(r"\s*>\s?")
_RULE = re.compile(r"\s*([-*_])(?:\s*\1){2,}\s*")
_SEPARATOR = re.compile(r":?-+:?")
_DECIDED = re.compile(r"\s*[^\s|`~]\S*\s+\S")  # what a line is, is clear before its end


class MarkdownStream:
    """Prints Markdown that comes in pieces.

    Args:
        console: Where.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pending = ""  # of the line that comes
        self._more: list[str] = []  # the rest of it, where it is printed at its end alone
        self._is_in_line = False
        self._inline = InlineStyles()

        self._line_style = ""
        self._column = self._indent = 0
        self._space = ""
        self._fence = self._language = ""
        self._rows: list[str] = []

    def feed(self, text: str) -> None:
        """Print what is complete."""
        if "\n" not in text and self._waits_for_line():
            self._more.append(text)
            return
        *lines, rest = "".join((self._pending, *self._more, text)).split("\n")
        self._more.clear()
        for line in lines:
            self._end_line(line)
        self._pending = rest

        if self._fence or self._rows:
            return
        if self._is_in_line or _DECIDED.match(rest) or self._is_long_word(rest):
            if not self._is_in_line:
                rest = self._begin_line(rest)
            self._pending = self._print_complete(rest)

    def finish(self) -> None:
        """Print the rest; the cursor is at the beginning of a line then."""
        self._pending += "".join(self._more)
        self._more.clear()
        if self._pending or self._is_in_line:
            self._end_line(self._pending)
            self._pending = ""
        self._end_table()
        self._fence = ""

    def _waits_for_line(self) -> bool:
        """Tell whether nothing can be printed before the end of the line."""
        is_row = not self._is_in_line and self._pending.lstrip().startswith("|")
        return bool(self._fence) or is_row

    @staticmethod
    def _is_long_word(line: str) -> bool:
        """Tell whether a line begins with text that is too long for a mark."""
        return len(line) > _MAX_RUN and not line.lstrip().startswith(("|", "`", "~"))

    # --- lines ----------------------------------------------------------------------------

    def _end_line(self, line: str) -> None:
        """Print a line, or the rest of one."""
        if self._fence:
            self._code_line(line)
            return
        if not self._is_in_line and line.lstrip().startswith("|"):
            self._rows.append(line)
            return
        self._end_table()

        if not self._is_in_line:
            if match := _FENCE.match(line):
                self._fence, self._language = match[1], match[2]
                return
            if _RULE.fullmatch(line):
                self._console.print("─" * 20, style="dim")
                return
            line = self._begin_line(line)
        self._print_tokens(line)
        self._print("\n")
        self._is_in_line = False

    def _begin_line(self, line: str) -> str:
        """Print how a line begins; return the rest of it."""
        self._inline.clear()
        self._is_in_line = True
        self._line_style, self._column, self._space, prefix = "", 0, "", ""

        if match := _HEADING.match(line):
            self._line_style = "bold underline" if len(match[1]) == 1 else "bold"
        elif match := _ITEM.match(line):
            prefix = match[1] + ("•" if match[2] in "-*+" else match[2]) + " "
        elif match := _QUOTE.match(line):
            prefix, self._line_style = "│ ", "italic"
        self._print(prefix)
        self._column = self._indent = cell_len(prefix)
        return line[match.end() :] if match else line

    def _code_line(self, line: str) -> None:
        """Print a line of code, or end the block; it is neither wrapped nor padded."""
        stripped = line.strip()
        if stripped.startswith(self._fence) and not stripped.strip(self._fence[0]):
            self._fence = ""
            return
        code = highlight(line, self._language)
        self._console.print(code, soft_wrap=True)

    def _end_table(self) -> None:
        """Print the table whose rows have come."""
        rows = [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in self._rows]
        self._rows = []
        rows = [row for row in rows if not all(_SEPARATOR.fullmatch(cell) for cell in row)]
        if not rows:
            return

        columns = max(map(len, rows))
        head, *body = [
            [self._to_text(cell) for cell in row + [""] * (columns - len(row))] for row in rows
        ]
        table = Table(
            *(Column(cell, overflow="fold") for cell in head), box=box.SIMPLE_HEAD, show_edge=False
        )
        for row in body:
            table.add_row(*row)
        self._console.print(table, soft_wrap=False)

    def _to_text(self, text: str) -> Text:
        self._inline.clear()
        return Text.assemble(*self._inline.split(text))

    # --- words ----------------------------------------------------------------------------

    def _print_complete(self, text: str) -> str:
        """Print the words that have ended; return what may go on."""
        tokens = _TOKEN.findall(text)
        if not tokens:
            return text
        last = tokens.pop()
        self._print_tokens("".join(tokens))
        return str(last)

    def _print_tokens(self, text: str) -> None:
        for token in _TOKEN.findall(text):
            if token.isspace():
                self._space += token
            else:
                self._print_word(token)

    def _print_word(self, word: str) -> None:
        """Print a word, in the next line if this one has no room."""
        pieces = self._inline.split(word)
        width = sum(cell_len(text) for text, _ in pieces)
        space, self._space = self._space.replace("\t", " "), ""
        used = self._column + len(space) + width

        if used > self._console.width and self._column > self._indent:
            self._print("\n" + " " * self._indent)
            self._column = self._indent
        else:
            self._print(space)
            self._column += len(space)
        for text, style in pieces:
            self._print(text, f"{self._line_style} {style}".strip())
        self._column += width

    def _print(self, text: str, style: str = "") -> None:
        if text:
            self._console.print(Text(text, style=style), end="", soft_wrap=True)
