"""A value that fits a JSON Schema, with words and numbers out of a text where they fit; pure."""

from __future__ import annotations

import math
import re
from typing import Any

_FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05",
    "email": "ann@example.org",
    "uri": "https://example.org/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
_DEEPEST = 12
# Capital letters at the beginning of a sentence make no name.
_PLAIN = frozenset(
    re.split(
        " ",
        "A An And At Extract Generate Give How I In Is It My Of On Please Return Tell The This Use "
        "What When Where Which Who Why",
    )
)


def conforming(schema: Any, text: str = "") -> Any:
    """Return a value that fits the schema.

    Args:
        schema: A JSON Schema, as providers take it: with `$defs`, `anyOf`, `enum`, limits.
        text: Where numbers and names are taken from.
    """
    root = schema if isinstance(schema, dict) else {}
    return _Value(root, text).of(root, "", 0)


class _Value:
    def __init__(self, root: dict[str, Any], text: str) -> None:
        self._root = root
        self._numbers = [float(n) for n in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", text)]
        quoted = re.findall(r"[\"'“]([^\"'”]{1,80})[\"'”]", text)
        names = [n for n in re.findall(r"\b[A-Z][\w-]+\b", text) if n not in _PLAIN]
        self._words = quoted + names

    def of(self, schema: Any, name: str, depth: int) -> Any:
        schema = self._resolved(schema)
        if depth > _DEEPEST or not isinstance(schema, dict):
            return None
        for key in ("const", "default"):
            if key in schema and (key == "const" or schema[key] is not None):
                return schema[key]
        if schema.get("enum"):
            said = [e for e in schema["enum"] if str(e).lower() in map(str.lower, self._words)]
            return (said or schema["enum"])[0]
        for union in ("anyOf", "oneOf"):
            options = [
                o for o in schema.get(union) or () if self._resolved(o).get("type") != "null"
            ]
            if options:
                return self.of({**schema, **self._resolved(options[0]), union: None}, name, depth)
        for part in schema.get("allOf") or ():
            schema = {**self._resolved(part), **schema}
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), None)
        if kind is None:
            kind = "object" if "properties" in schema else "string"
        return getattr(self, f"_{kind}", lambda *_: None)(schema, name, depth)

    def _resolved(self, schema: Any) -> Any:
        for _ in range(_DEEPEST):
            if not (isinstance(schema, dict) and isinstance(schema.get("$ref"), str)):
                break
            found: Any = self._root
            for step in schema["$ref"].lstrip("#/").split("/"):
                found = found.get(step) if isinstance(found, dict) else None
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**(found or {}), **rest}
        return schema

    def _object(self, schema: dict[str, Any], _: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = set(schema.get("required") or properties)
        return {
            name: self.of(part, name, depth + 1)
            for name, part in properties.items()
            if name in required
        }

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        least = max(1, int(schema.get("minItems") or 1))
        if schema.get("maxItems") == 0:
            return []
        return [self.of(schema.get("items") or {"type": "string"}, name, depth + 1)] * least

    def _string(self, schema: dict[str, Any], name: str, _: int) -> str:
        made = _FORMATS.get(schema.get("format") or "")
        if made is None:
            made = self._words.pop(0) if self._words else (name or "text")
        made = made.ljust(int(schema.get("minLength") or 0), ".")
        return made[: schema.get("maxLength")]

    def _number(self, schema: dict[str, Any], _: str, __: int) -> float:
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

    def _integer(self, schema: dict[str, Any], name: str, depth: int) -> int:
        return round(self._number(schema, name, depth))

    @staticmethod
    def _boolean(*_: Any) -> bool:
        return True
