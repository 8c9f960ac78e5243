"""Build the text of an error from the service's message, the provider's, or the body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from langchain_openrouter._http.limits import LimitExceededError, StackedEncodingError
from langchain_openrouter._json import dump_json, get_dict, get_list, get_str, parse_json

if TYPE_CHECKING:
    from langchain_openrouter._http.failures import Failure

_GENERIC = ("Provider returned error", "Internal Server Error")
_TERSE = 16  # characters; a shorter message is extended by the provider's
_READ = 4_000  # characters of a text that are read: no pattern is matched against more
_AFFORDABLE = re.compile(r"can only afford (\d{1,12})(?!\d)")
# A slug has no blanks; the bound keeps the search linear.
_INVALID_MODEL = re.compile(r"(?<!\S)(\S{1,200}) is not a valid model ID")
_MODEL_NOT_FOUND = re.compile(
    r"No endpoints found for (\S{1,200})"
    r"|model ['\"`]?([^\s'\"`]{1,200})['\"`]? (?:not found|does not exist)",
    re.IGNORECASE,
)
_TAG = re.compile(r"<[^<>]*+>")


def error_message(error: dict[str, Any], body: Any, metadata: dict[str, Any]) -> str:
    """Return the service's message, extended by the provider's where it says too little."""
    message = error.get("message")
    upstream = upstream_message(metadata.get("raw"))
    if not isinstance(message, str) or not message:
        message = _as_text(message) if message else upstream or _describe_unparsable_body(body)

    message = message[:_READ]
    if upstream and upstream not in message and (message in _GENERIC or len(message) < _TERSE):
        message = f"{message}: {upstream}"
    return message


def _as_text(value: Any) -> str:
    try:
        return dump_json(value)
    except (TypeError, ValueError):
        return "the error cannot be read"


def _describe_unparsable_body(body: Any) -> str:
    """Describe a body that holds no error message."""
    if isinstance(body, str) and body.strip():
        text = " ".join(_TAG.sub(" ", body[: 5 * _READ]).split())
        return f"the answer is not JSON: {text[:_READ]}"
    return "the answer says no more" if body else "the answer is empty"


def upstream_message(raw: Any) -> str | None:
    """Return the message inside `metadata.raw`: text, JSON text or an object."""
    parsed = _parse_raw(raw)
    if isinstance(parsed, str):
        return parsed[:_READ].strip() or None

    for source in (get_dict(parsed, "error"), parsed):
        for key in ("message", "msg", "detail", "error"):
            if message := get_str(source, key):
                return message[:_READ]
    return None


def upstream_codes(raw: Any) -> set[str]:
    """Return what the provider calls its error inside `metadata.raw`: its code, type and status."""
    parsed = _parse_raw(raw)
    sources = (get_dict(parsed, "error"), parsed)
    names = (get_str(source, key) for source in sources for key in ("code", "type", "status"))
    return {name for name in names if name is not None}


def _parse_raw(raw: Any) -> Any:
    """Return the provider's error as a JSON value; text that is not JSON stays text."""
    if isinstance(raw, str):
        try:
            return parse_json(raw)
        except ValueError:
            return raw
    return raw


def affordable_tokens(message: str) -> int | None:
    """Return how many tokens an account can pay for, where the message of a 402 says so."""
    match = _AFFORDABLE.search(message)
    return int(match[1]) if match else None


def unknown_model(
    code: int | None, message: str, availability: dict[str, Any] | None
) -> str | None:
    """Return the model that an error calls unknown; None for any other error."""
    if get_str(availability, "code") == "model_not_found":
        models = get_list(availability, "requested_models")
        if models and isinstance(models[0], str):
            return models[0]

    if code == 400 and (match := _INVALID_MODEL.search(message)):  # noqa: PLR2004 - HTTP
        return match[1]
    if code == 404 and (match := _MODEL_NOT_FOUND.search(message)):  # noqa: PLR2004 - HTTP
        return (match[1] or match[2]).rstrip(".,:;")
    return None


def connection_error_message(failure: Failure, *, partial: bool) -> str:
    """Return a message that says which host failed and why, and what to do.

    Args:
        failure: Why no complete response was received.
        partial: Whether a part of the answer was received.
    """
    if isinstance(failure.error, LimitExceededError | StackedEncodingError):
        return failure.reason

    what = "the answer was cut short" if partial else "no answer came"
    advice = "raise `timeout=` or try again" if failure.timed_out else "try again"
    if failure.total:
        advice = "raise `deadline=` to wait longer"
    elif not failure.is_retryable:
        advice = "check the address, the proxy and the certificates that are configured"
    return f"{what}: {failure.reason} - {advice}"
