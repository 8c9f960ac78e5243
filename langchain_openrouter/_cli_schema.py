"""`--schema`: a file, JSON, or the concise form of https://llm.datasette.io/en/stable/schemas.html."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["parse_schema", "to_list_schema"]

_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}


def parse_schema(text: str) -> dict[str, Any]:
    """Return a JSON schema of an object, with the title that a tool needs.

    Args:
        text: The path of a file of JSON, JSON, or "name, age int, bio: in a sentence".

    Raises:
        ValueError: It is none of them.
        OSError: The file cannot be read.
    """
    if text.lstrip().startswith(("{", "[")):
        schema = _parse_json(text, "--schema")
    elif text.endswith(".json") or ("\n" not in text and Path(text).is_file()):
        schema = _parse_json(Path(text).read_text(encoding="utf-8"), text)
    else:
        schema = parse_concise(text)
    return {"title": "Answer", "description": "The answer.", **schema}


def to_list_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object whose `items` fit a schema."""
    items = {name: value for name, value in schema.items() if name != "title"}

    return {
        "title": "Answer",
        "description": "The answer.",
        "type": "object",
        "properties": {"items": {"type": "array", "items": items}},
        "required": ["items"],
    }


def parse_concise(text: str) -> dict[str, Any]:
    """Return the schema of fields that commas or line ends separate: NAME [TYPE][: DESCRIPTION].

    Raises:
        ValueError: A field has no name, a type that does not exist, or a name of another.
    """
    properties: dict[str, Any] = {}
    fields = filter(None, map(str.strip, text.split("\n" if "\n" in text else ",")))

    for field in fields:
        head, _, description = field.partition(":")
        name, *kinds = head.split() or [""]
        kind = kinds[0] if kinds else "str"
        is_name = name and not set(name) & set("./\\")  # a file that does not exist is no field

        if not is_name or name in properties or kind not in _TYPES or len(kinds) > 1:
            msg = f"the field {field!r}: write NAME, NAME int, float, bool or str, each name once"
            raise ValueError(msg)
        properties[name] = {"type": _TYPES[kind]}
        if description.strip():
            properties[name]["description"] = description.strip()

    if not properties:
        msg = "the schema has no field"
        raise ValueError(msg)
    return {"type": "object", "properties": properties, "required": list(properties)}


def _parse_json(text: str, name: str) -> dict[str, Any]:
    try:
        schema = json.loads(text)
    except ValueError as error:
        msg = f"{name}: {error}"
        raise ValueError(msg) from None

    if not isinstance(schema, dict):
        msg = f"{name}: a JSON schema is an object"
        raise ValueError(msg)  # noqa: TRY004 - a value of the command line
    return schema
