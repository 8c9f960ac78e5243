"""The pieces of one field of a stream -> its complete value; pure functions, O(n)."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PARTS = 1024
"""How many pieces of a text are held one by one."""


class TextBuffer:
    """A text that comes in pieces, of which none is held; iterates like a list of one text.

    A list of 100,000 pieces takes 6 MiB and is work for the garbage collector, the text itself
    half a MiB.
    """

    __slots__ = ("_buffer", "append")

    def __init__(self) -> None:
        self._buffer = io.StringIO(newline="")
        self.append = self._buffer.write  # as fast as `list.append`

    def __bool__(self) -> bool:
        """Tell whether there is any text."""
        return self._buffer.tell() > 0

    def __iter__(self) -> Iterator[str]:
        """Yield the text so far."""
        yield self._buffer.getvalue()


def append_part(parts: list[str], text: str) -> None:
    """Append a text to a list whose items may be joined: to one, at 1,024 items."""
    parts.append(text)
    if len(parts) == MAX_PARTS:
        parts[:] = ["".join(parts)]


def digest(item: dict[str, Any]) -> bytes:
    """Return a hash that equal items have in common, whatever the order of their keys."""
    text = json.dumps(item, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass")).digest()


def join_pieces(values: list[Any]) -> Any:
    """Return the complete value of a field: texts and lists concatenated, of others the last.

    Empty values count only if there are no others.

    Args:
        values: The value of the field in each delta, at least one.
    """
    values = [value for value in values if not is_empty(value)] or values[-1:]
    kind = type(values[-1])
    if kind not in {str, list}:
        return values[-1]

    pieces = list(itertools.takewhile(lambda value: type(value) is kind, reversed(values)))[::-1]
    return "".join(pieces) if kind is str else list(itertools.chain.from_iterable(pieces))


class TextDeduplicator:
    """Deduplicates one text that comes in two fields, in either of them first.

    Services send reasoning as plain text and as details, in one event or in different ones. Each
    character is compared once, however far one field is ahead of the other.
    """

    __slots__ = ("_ahead", "_compared", "_lead", "differs")

    def __init__(self) -> None:
        self._ahead: int | None = None  # which field is ahead of the other
        self._lead: list[str] = []  # the text by which it is ahead
        self._compared = 0  # how many characters of `_lead[0]` the other field has matched
        self.differs = False  # the fields have different texts

    @property
    def pending(self) -> bool:
        """Whether one field is ahead of the other."""
        return self._ahead is not None

    def add(self, field: int, text: str) -> str:
        """Add the next text of one field.

        Args:
            field: 0 or 1.
            text: What the field has in one event.

        Returns:
            The part of the text that the other field has not brought before; the complete text
            once the fields differ.
        """
        if self.differs or not text:
            return text
        if self._ahead in {None, field}:
            self._ahead = field
            append_part(self._lead, text)
            return text

        lead, start = "".join(self._lead), self._compared
        self._lead = [lead]
        ahead = lead[start : start + len(text)]
        spaces = len(ahead) - len(ahead.lstrip())  # some services join details with line ends
        for begin in (start, start + spaces):
            if lead.startswith(text, begin):
                return self._advance(begin + len(text))
            rest = len(lead) - begin
            if rest < len(text) and lead.startswith(text[:rest], begin):
                self._lead, self._compared, self._ahead = [text[rest:]], 0, field
                return text[rest:]
        self.differs = True
        return text

    def _advance(self, compared: int) -> str:
        self._compared = compared
        if compared == len(self._lead[0]):
            self._lead, self._compared, self._ahead = [], 0, None
        return ""


def join_base64(pieces: list[str]) -> str:
    """Concatenate base64 that came in pieces, each of which may have padding."""
    if not any("=" in piece for piece in pieces[:-1]):
        return "".join(pieces)

    try:
        return base64.b64encode(b"".join(map(base64.b64decode, pieces))).decode()
    except ValueError:  # binascii.Error is one; a character that is no ASCII is a plain one
        return "".join(pieces)
