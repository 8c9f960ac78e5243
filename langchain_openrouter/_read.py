"""Lenient reading of JSON that a network sent: the wrong type reads as absent, nothing raises."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json


def str_of(source: Any, key: str) -> str | None:
    """Return `source[key]` if it is a non-empty string."""
    value = source.get(key) if isinstance(source, dict) else None
    return value if isinstance(value, str) and value else None


def dict_of(source: Any, key: str) -> dict[str, Any] | None:
    """Return `source[key]` if it is an object."""
    value = source.get(key) if isinstance(source, dict) else None
    return value if isinstance(value, dict) else None


def list_of(source: Any, key: str) -> list[Any] | None:
    """Return `source[key]` if it is an array."""
    value = source.get(key) if isinstance(source, dict) else None
    return value if isinstance(value, list) else None


def dicts_of(source: Any, key: str) -> list[dict[str, Any]]:
    """Return the objects among the items of the array `source[key]`."""
    return [item for item in list_of(source, key) or () if isinstance(item, dict)]


def number_of(source: Any, key: str) -> float | None:
    """Return `source[key]` if it is a finite number; a boolean is none."""
    value = source.get(key) if isinstance(source, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if value - value == 0 else None


def count_of(source: Any, key: str) -> int | None:
    """Return `source[key]` as a whole number; the service has sent fractional token counts."""
    value = number_of(source, key)
    return None if value is None else round(value)


def json_of(data: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: The text is not JSON.
    """
    try:
        return from_json(data)
    except ValueError:
        # The fast parser refuses half of a surrogate pair, which a model may well emit.
        text = data if isinstance(data, str) else data.decode("utf-8-sig", "replace")
        return _whole_characters(json.loads(text))


def json_or_text(data: bytes) -> Any:
    """Return the JSON value, or the text where it is not JSON."""
    try:
        return json_of(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def partial_json_of(data: bytes) -> Any:
    """Parse what there is of a JSON text that was cut; None if nothing can be read."""
    try:
        return from_json(data.strip(), allow_partial="trailing-strings")
    except ValueError:
        return None


def _whole_characters(value: Any) -> Any:
    """Replace unpaired surrogates, which no UTF-8 request could carry back."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(item) for key, item in value.items()}
    return value
