"""Parse and read JSON from the network leniently: a value of the wrong type reads as absent.

All JSON from the network and from models is parsed here, by a parser that accepts up to 200 levels
of nesting and numbers of up to 4,300 digits: what it accepts can be copied, compared and serialized
without recursion errors.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic_core import from_json

_LARGEST = 2**63  # a larger number is not a count, and does not fit a 64-bit integer
_LEVELS = 200  # of nesting; the limit of the parser
# A string, closed or not, or a number of more digits than Python converts. Possessive quantifiers,
# so that each character is read once.
_STRING_OR_HUGE = re.compile(
    r'"(?:[^"\\]++|\\.)*+"?|(?<![\d.])-?\d{4301,}+(?:\.\d++)?(?:[eE][+-]?\d++)?', re.DOTALL
)
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]++|[\]}]++', re.DOTALL)
_STRUCTURE = re.compile(r'["\\\[\]{}]|[^"\\\[\]{}]++', re.DOTALL)
# What a JSON string must not hold: control characters and lone surrogates.
_INVALID_CHARACTER = re.compile(
    r"[\x00-\x1f]|[\ud800-\udfff]|\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def get_str(source: Any, key: str) -> str | None:
    """Return `source[key]` if it is a non-empty string."""
    value = source.get(key) if isinstance(source, dict) else None
    return value if isinstance(value, str) and value else None


def get_dict(source: Any, key: str) -> dict[str, Any] | None:
    """Return `source[key]` if it is an object."""
    value = source.get(key) if isinstance(source, dict) else None
    return value if isinstance(value, dict) else None


def get_list(source: Any, key: str) -> list[Any] | None:
    """Return `source[key]` if it is an array."""
    value = source.get(key) if isinstance(source, dict) else None
    return value if isinstance(value, list) else None


def get_dicts(source: Any, key: str) -> list[dict[str, Any]]:
    """Return the objects among the items of the array `source[key]`."""
    return [item for item in get_list(source, key) or () if isinstance(item, dict)]


def is_empty(value: Any) -> bool:
    """Tell whether a value is None or an empty container, and must not replace another value."""
    return value is None or (isinstance(value, str | list | dict) and not value)


def get_number(source: Any, key: str) -> float | None:
    """Return `source[key]` if it is a finite number below 2**63; a boolean is not a number."""
    value = source.get(key) if isinstance(source, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -_LARGEST < value < _LARGEST else None


def get_int(source: Any, key: str) -> int | None:
    """Return `source[key]` as an integer; the service has sent fractional token counts."""
    value = get_number(source, key)
    return None if value is None else round(value)


def parse_json(data: bytes | str) -> Any:
    """Parse JSON of a body or an event; a number of more than 4,300 digits reads as null.

    Raises:
        ValueError: The text is not JSON, or is nested too deeply.
    """
    try:
        return from_json(data)
    except ValueError:
        return from_json(_STRING_OR_HUGE.sub(_without_huge, _decoded(data)))


def parse_model_json(text: str) -> Any:
    """Parse JSON that a model wrote; control characters inside its strings are accepted.

    Raises:
        ValueError: The text is not JSON, is nested too deeply, or holds a number of more than
            4,300 digits.
    """
    try:
        return from_json(text)
    except ValueError:
        return from_json(_STRING_OR_HUGE.sub(_repaired, text))


def parse_json_or_text(data: bytes) -> Any:
    """Return the JSON value, or the text if it is not JSON."""
    try:
        return parse_json(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def parse_cut_json(data: bytes | str) -> Any:
    """Parse the complete part of a truncated JSON text; None if nothing can be parsed."""
    data = data.strip()

    for repair in (None, _repaired):
        try:
            text = data if repair is None else _STRING_OR_HUGE.sub(repair, _decoded(data))
            return from_json(text, allow_partial="trailing-strings")
        except ValueError:
            pass
    return None


def is_too_deep(text: str) -> bool:
    """Tell whether a JSON text is nested more deeply than the parser accepts."""
    if text.count("[") + text.count("{") <= _LEVELS:
        return False

    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match[0]
        if token[0] in "[{":
            depth += len(token)
            if depth > _LEVELS:
                return True
        elif token[0] in "]}":
            depth -= len(token)
    return False


class Nesting:
    """Tracks the nesting of a JSON text that arrives in pieces."""

    __slots__ = ("_depth", "_escaped", "_in_string", "_opened")

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._escaped = self._opened = False

    @property
    def closed(self) -> bool:
        """Whether brackets were opened, and all of them are closed."""
        return self._opened and self._depth <= 0 and not self._in_string

    def feed(self, piece: str) -> None:
        """Read the next piece."""
        for match in _STRUCTURE.finditer(piece):
            part = match[0]
            if self._escaped:  # its first character belongs to the escape before it
                self._escaped = False
            elif part == '"':
                self._in_string = not self._in_string
            elif self._in_string:
                self._escaped = part == "\\"
            elif part in {"{", "["}:
                self._depth += 1
                self._opened = True
            elif part in {"}", "]"}:
                self._depth -= 1


def dump_json(value: Any, *, separators: tuple[str, str] | None = None) -> str:
    """Serialize a value.

    Raises:
        ValueError: It is nested too deeply, or holds a number of more than 4,300 digits.
        TypeError: Something in it is not JSON.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=separators)
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dump_compact_json(value: Any) -> str:
    """Serialize like `dump_json`, without spaces; `json.dumps` would make an encoder each time."""
    try:
        return _compact(value)
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None


def _decoded(data: bytes | str) -> str:
    return data if isinstance(data, str) else data.decode("utf-8-sig", "replace")


def _without_huge(match: re.Match[str]) -> str:
    """Replace a number that Python cannot convert, and repair a string."""
    return _repaired(match) if match[0][0] == '"' else "null"


def _repaired(match: re.Match[str]) -> str:
    """Replace lone surrogates, which cannot be encoded as UTF-8; escape control characters."""
    return _INVALID_CHARACTER.sub(_replacement, match[0]) if match[0][0] == '"' else match[0]


def _replacement(match: re.Match[str]) -> str:
    """Return the replacement of an invalid character; a valid escape stays."""
    character = match[0]
    if match[1] or "\ud800" <= character[0] <= "\udfff":
        return "\N{REPLACEMENT CHARACTER}"
    return f"\\u{ord(character):04x}" if character < " " else character
