"""The forms in which a text could hide a secret: escaped, encoded, packed, cut into pieces.

Each form takes one pass over the text, and at most two forms are undone on top of each other.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTH = 2
_UNPACKED = 16 << 20  # bytes that are looked at of a packed body
_SHORTEST_RUN = 12  # base64 of the shortest secret that has a form of its own

_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(["\\/bfnrt]))')
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_LINE_BREAK = re.compile(r"\r?\n[ \t]*")
_LINE_END = re.compile(r"\r\n|\n|\r")  # a stream's; others may stand in its texts
_RUN = re.compile(rf"[A-Za-z0-9+/_-]{{{_SHORTEST_RUN},}}")
_STANDARD = str.maketrans("-_", "+/")


def views_of(data: str | bytes, depth: int = _DEPTH) -> Iterator[str]:
    """Yield a text or a body as it is, then in each form that could hide a secret.

    Undone are: JSON escapes, percent-encoding, base64 (also the URL's alphabet, and over several
    lines), gzip and zlib, UTF-16, and a text that is cut over the pieces of a stream or a list.

    Args:
        data: A text, or a body in any encoding.
        depth: How many forms may lie on top of each other.
    """
    if isinstance(data, bytes):
        yield from _views_of_bytes(data, depth)
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    yield text
    if depth == 0:
        return

    for undone in (_unescaped(text), _unquoted(text), *joined_pieces(text)):
        if undone and undone != text:
            yield from views_of(undone, depth - 1)
    for decoded in _from_base64(text):
        yield from views_of(decoded, depth - 1)


def _views_of_bytes(data: bytes, depth: int) -> Iterator[str]:
    if b"\0" in data:  # UTF-16, or text in a binary format
        yield data.replace(b"\0", b"").decode("latin-1")
    if depth and (unpacked := _unpacked(data)):
        yield from views_of(unpacked, depth - 1)


def _unpacked(data: bytes) -> bytes:
    """Return what gzip or zlib packed, up to a bound; nothing where it is neither."""
    if data[:2] != b"\x1f\x8b" and data[:1] != b"\x78":
        return b""
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(data, _UNPACKED)
    except zlib.error:
        return b""


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return ""
    return _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    number = match[1] or match[2]
    return chr(int(number, 16)) if number else _LETTERS.get(match[3], match[3])


def _unquoted(text: str) -> str:
    return unquote(text) if _PERCENT.search(text) else ""


def _from_base64(text: str) -> Iterator[bytes]:
    """Yield what runs of base64 decode to, from each of the four positions it could begin at."""
    runs = [match[0].translate(_STANDARD) for match in _RUN.finditer(text)]
    if _LINE_BREAK.search(text):
        joined = _LINE_BREAK.sub("", text)
        runs += [match[0].translate(_STANDARD) for match in _RUN.finditer(joined)]
    for run in runs:
        if (decoded := _decoded(run)) and (unpacked := _unpacked(decoded)):
            yield unpacked

    for start in range(4) if runs else ():
        yield b"\n".join(_decoded(run[start:]) for run in runs)


def _decoded(run: str) -> bytes:
    try:
        return base64.b64decode(run[: len(run) // 4 * 4] + _padded(run[len(run) // 4 * 4 :]))
    except (binascii.Error, ValueError):
        return b""


def _padded(rest: str) -> str:
    return "" if len(rest) < 2 else rest.ljust(4, "=")  # noqa: PLR2004 - fewer are no byte


# --- a text in pieces -------------------------------------------------------------------------


def json_values(text: str) -> list[Any]:
    """Return the JSON of a body, or of each event of a stream; nothing where it is neither."""
    stripped = text.strip()
    if stripped[:1] in {"{", "["}:
        candidates = [stripped]
    else:
        candidates = [line[5:] for line in _LINE_END.split(text) if line.startswith("data:")]

    values = []
    for candidate in candidates:
        try:
            values.append(json.loads(candidate))
        except (ValueError, RecursionError):
            continue
    return values


def joined_pieces(text: str) -> list[str]:
    """Return the texts that a body holds in pieces: over its events, or over the items of a list.

    Pieces belong together when they stand at the same path. An item of a list is identified by its
    `index` where it has one; all items are also joined as if they had none.
    """
    pieces: defaultdict[Any, list[str]] = defaultdict(list)
    pending: list[tuple[Any, Any, Any]] = [((), None, value) for value in json_values(text)]
    pending.reverse()
    while pending:
        path, flat, value = pending.pop()
        if isinstance(value, str):
            pieces[path].append(value)
            if flat is not None:
                pieces[flat].append(value)
        elif isinstance(value, (Mapping, list)):
            pending += reversed(list(_children(path, flat, value)))

    texts = ["".join(parts) for parts in pieces.values() if len(parts) > 1]
    return ["\n".join(texts)] if texts else []


def _children(path: Any, flat: Any, value: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the values in a mapping or a list: with their path, and with one without indexes."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield (path, name), None if flat is None else (flat, name), item
        return

    for number, item in enumerate(value):
        index = item.get("index") if isinstance(item, Mapping) else None
        within = path if flat is None else flat
        yield (path, "#", index if isinstance(index, int) else number), (within, "#"), item
