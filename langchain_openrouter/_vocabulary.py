"""Catch misspelled names and values of `reasoning` and of provider preferences.

The API's vocabularies are open, so that only what is nearly a known word is refused: OpenRouter
ignores a misspelled preference without an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_openrouter import wire

_SIMILARITY = 0.75  # of `hihg` and `high`; 0 to 1
_EFFORTS = ("max", "xhigh", "high", "medium", "low", "minimal", "none")
_VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "reasoning": {
        "effort": _EFFORTS,
        "summary": ("auto", "concise", "detailed"),
        "context": ("auto", "all_turns", "current_turn"),
        "mode": ("standard", "pro"),
    },
    "provider": {
        "data_collection": ("allow", "deny"),
        "sort": ("price", "throughput", "latency", "exacto"),
    },
}
_NAMES = {
    "reasoning": tuple(wire.Reasoning.__annotations__),
    "provider": tuple(wire.ProviderPreferences.__annotations__),
}


def validate_vocabulary(name: str, value: Any) -> Any:
    """Return the value of a field of the body.

    Args:
        name: The field's name on the wire.
        value: Its value.

    Raises:
        ValueError: A name or a value in it is nearly a known one.
    """
    if name == "reasoning_effort":
        _check("reasoning_effort", value, _EFFORTS)
    if name not in _NAMES or not isinstance(value, Mapping):
        return value

    for key, item in value.items():
        _check(name, key, _NAMES[name])
        _check(f'{name}["{key}"]', item, _VALUES[name].get(key, ()))
    return value


def _check(where: str, term: Any, known: Iterable[str]) -> None:
    """Refuse a term that is nearly a known one.

    Raises:
        ValueError: It is; the error names the known one.
    """
    if not isinstance(term, str) or term in known:
        return

    nearest = difflib.get_close_matches(term, list(known), n=1, cutoff=_SIMILARITY)
    if nearest:
        msg = (
            f'{where}: unknown "{term}": did you mean "{nearest[0]}"? '
            "What this package does not know goes into `extra_body`."
        )
        raise ValueError(msg)
