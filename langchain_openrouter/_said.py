"""What an error says in words: the service's own, the provider's, or what a body looks like."""

from __future__ import annotations

import json
import re
from typing import Any

from langchain_openrouter._read import dict_of, str_of

_GENERIC = ("Provider returned error", "Internal Server Error")
_TERSE = 16  # characters: a message this short says little


def message_of(error: dict[str, Any], body: Any, metadata: dict[str, Any]) -> str:
    """Return what the service says, with the provider's own words where ours say nothing."""
    message = error.get("message")
    upstream = _upstream_message(metadata.get("raw"))
    if not isinstance(message, str) or not message:
        message = json.dumps(message) if message else upstream or _unreadable(body)
    if upstream and upstream not in message and (message in _GENERIC or len(message) < _TERSE):
        message = f"{message}: {upstream}"
    return message


def _unreadable(body: Any) -> str:
    """Describe a body that tells no error of its own."""
    if isinstance(body, str) and body.strip():
        text = " ".join(re.sub(r"<[^>]*>", " ", body).split())
        return f"the answer is not JSON: {text[:120]!r}"
    return "the answer says no more" if body else "the answer is empty"


def _upstream_message(raw: Any) -> str | None:
    """Return the message inside `metadata.raw`: text, JSON text or an object."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError:
            return raw.strip() or None
    for source in (dict_of(raw, "error"), raw):
        for key in ("message", "msg", "detail", "error"):
            if found := str_of(source, key):
                return found
    return None


def failure_text(failure: Exception, *, timed_out: bool, partial: Any) -> str:
    """Name the failure by its type: its text may hold a URL with credentials."""
    what = "the answer was cut short" if partial is not None else "no answer came"
    why = "no byte came in time" if timed_out else "the connection failed"
    advice = "raise `timeout=` or try again" if timed_out else "try again"
    return f"{what}: {why} ({type(failure).__name__}) - {advice}"
