"""OpenRouter's own description of a request, where it is at hand."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from tests.support.traffic import SPEC


@cache
def schemas() -> dict[str, Any]:
    """Return the schemas of the specification; none where it is absent."""
    if not SPEC.exists():
        return {}
    loaded = yaml.load(SPEC.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    found: dict[str, Any] = loaded["components"]["schemas"]
    return found


@cache
def _answers(name: str) -> Draft202012Validator | None:
    found = schemas()
    if not found:
        return None
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": {"schemas": found}}
    )


def fits(name: str, body: Any) -> list[str]:
    """Return where a body departs from a schema: the place and the rule, not the values."""
    validator = _answers(name)
    if validator is None:
        return []
    return [
        f"{'.'.join('[]' if isinstance(p, int) else str(p) for p in e.absolute_path)}: {e.validator}"
        + (f" {e.message.rpartition(' is a required')[0]}" if e.validator == "required" else "")
        for e in validator.iter_errors(body)
    ]


@cache
def problems(raw: bytes, path: str = "/chat/completions") -> list[str]:
    """Return what the specification has against a request body."""
    validator = _answers("ResponsesRequest" if path.endswith("/responses") else "ChatRequest")
    if validator is None or not raw:
        return []
    return [error.message[:300] for error in validator.iter_errors(json.loads(raw))]
