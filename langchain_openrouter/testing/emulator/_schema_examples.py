"""A value that fits a JSON Schema, filled with the names and numbers of a text where they fit."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["example_for"]

_FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05",
    "email": "ann@example.org",
    "uri": "https://example.org/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
_MAX_DEPTH = 12
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
_QUOTED = re.compile(r"[\"'“]([^\"'”]{1,80})[\"'”]")
_NAME = re.compile(r"\b[A-Z][\w-]+\b")
_SENTENCE_END = re.compile(r"(?:\A|[.!?:\n])\s*\Z")


def example_for(schema: Any, text: str = "") -> Any:
    """Return a value that fits the schema.

    Args:
        schema: A JSON Schema, as providers take it: with `$defs`, `anyOf`, `enum`, limits.
        text: Its numbers are used in order; of its names, first those in quotes, then capitalized
            words, and last those that only begin a sentence.
    """
    root = schema if isinstance(schema, dict) else {}
    return _Example(root, text).value(root, "", 0)


class _Example:
    """Builds one value, and uses each name and number of a text once."""

    def __init__(self, root: dict[str, Any], text: str) -> None:
        self._root = root
        self._numbers = [float(number) for number in _NUMBER.findall(text)]
        self._names = _QUOTED.findall(text) + _capitalized_words(text)

    def value(self, schema: Any, name: str, depth: int) -> Any:
        """Return a value for a part of the schema.

        Args:
            schema: The part.
            name: The property that it describes.
            depth: How many parts it lies in; beyond `_MAX_DEPTH` the value is None.
        """
        schema = self._resolve(schema)
        if depth > _MAX_DEPTH or not isinstance(schema, dict):
            return None
        for key in ("const", "default"):
            if key in schema and (key == "const" or schema[key] is not None):
                return schema[key]
        if schema.get("enum"):
            return self._member(schema["enum"])

        for union in ("anyOf", "oneOf"):
            options = [self._resolve(option) for option in schema.get(union) or ()]
            options = [option for option in options if option.get("type") != "null"]
            if options:
                return self.value({**schema, **options[0], union: None}, name, depth)
        for part in schema.get("allOf") or ():
            schema = {**self._resolve(part), **schema}

        return self._of_type(schema, name, depth)

    def _resolve(self, schema: Any) -> Any:
        """Follow references, up to `_MAX_DEPTH` of them."""
        for _ in range(_MAX_DEPTH):
            if not (isinstance(schema, dict) and isinstance(schema.get("$ref"), str)):
                break
            target: Any = self._root
            for step in schema["$ref"].lstrip("#/").split("/"):
                target = target.get(step) if isinstance(target, dict) else None
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**(target or {}), **rest}

        return schema

    def _member(self, members: list[Any]) -> Any:
        """Return the member of an enum that the text names, or the first."""
        names = {name.lower() for name in self._names}
        return next((member for member in members if str(member).lower() in names), members[0])

    def _of_type(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        builders: dict[str, Callable[[], Any]] = {
            "object": lambda: self._object(schema, depth),
            "array": lambda: self._array(schema, name, depth),
            "string": lambda: self._string(schema, name),
            "number": lambda: self._number(schema),
            "integer": lambda: round(self._number(schema)),
            "boolean": lambda: True,
        }

        return builders.get(_type_of(schema), lambda: None)()

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = set(schema.get("required") or properties)
        return {
            name: self.value(part, name, depth + 1)
            for name, part in properties.items()
            if name in required
        }

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        length = max(1, int(schema.get("minItems") or 1))
        if schema.get("maxItems") == 0:
            return []
        return [self.value(schema.get("items") or {"type": "string"}, name, depth + 1)] * length

    def _string(self, schema: dict[str, Any], name: str) -> str:
        text = _FORMATS.get(schema.get("format") or "")
        if text is None:
            text = self._names.pop(0) if self._names else (name or "text")
        text = text.ljust(int(schema.get("minLength") or 0), ".")
        return text[: schema.get("maxLength")]

    def _number(self, schema: dict[str, Any]) -> float:
        value = self._numbers.pop(0) if self._numbers else 1.0
        low, high = schema.get("minimum"), schema.get("maximum")
        if isinstance(schema.get("exclusiveMinimum"), int | float):
            low = max(low if low is not None else value, schema["exclusiveMinimum"] + 1)
        if isinstance(schema.get("exclusiveMaximum"), int | float):
            high = schema["exclusiveMaximum"] - 1

        value = value if low is None else max(value, low)
        value = value if high is None else min(value, high)
        step = schema.get("multipleOf")
        return math.ceil(value / step) * step if step else value


def _capitalized_words(text: str) -> list[str]:
    """Return the capitalized words of a text: those that begin a sentence come last."""
    within: list[str] = []
    first: list[str] = []
    for match in _NAME.finditer(text):
        begins = _SENTENCE_END.search(text, max(match.start() - 4, 0), match.start())
        (first if begins else within).append(match[0])
    return within + first


def _type_of(schema: dict[str, Any]) -> str:
    """Return the first type of a schema that is not null."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), None)
    return kind or ("object" if "properties" in schema else "string")
