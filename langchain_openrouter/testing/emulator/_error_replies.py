"""The errors that OpenRouter documents, by name, as replies for a script.

See https://openrouter.ai/docs/api-reference/errors.
"""

from __future__ import annotations

from typing import Any, get_args

from langchain_openrouter.testing.emulator._replies import Form, Reply

__all__ = ["ERRORS", "error", "error_reply"]

_MESSAGES: dict[str, tuple[int, str]] = {
    "bad_request": (400, 'Input required: specify "prompt" or "messages"'),
    "unknown_model": (400, "nobody/nothing is not a valid model ID"),
    "context_length": (
        400,
        "This endpoint's maximum context length is 4096 tokens. However, you requested about 9000",
    ),
    "authentication": (401, "User not found."),
    "payment_required": (
        402,
        "Insufficient credits. Add more using https://openrouter.ai/credits",
    ),
    "key_limit_402": (402, "Key limit exceeded (total limit)"),
    "unaffordable": (
        402,
        "You requested up to 16384 tokens, but can only afford 3324.",
    ),
    "in_flight_budget": (402, "Your running requests hold the budget of this account"),
    "forced_tool": (400, "Provider returned error"),
    "mandatory_reasoning": (
        400,
        "Reasoning is mandatory for this endpoint and cannot be disabled.",
    ),
    "key_limit": (403, "Key limit exceeded (total limit)"),
    "permission": (403, "Only management keys can perform this operation"),
    "moderation": (403, "Your chosen model requires moderation and your input was flagged"),
    "no_endpoints": (404, "No endpoints found that support tool use"),
    "timeout": (408, "Request timed out"),
    "conflict": (409, "Conflict"),
    "precondition": (412, "Precondition failed"),
    "too_large": (413, "Payload too large"),
    "unprocessable": (422, "Unprocessable"),
    "rate_limit": (429, "Rate limit exceeded: free-models-per-min"),
    "server": (500, "Internal Server Error"),
    "provider": (502, "Provider returned error"),
    "overloaded": (503, "No provider is available"),
    "gateway_timeout": (504, "The provider did not answer in time"),
    "edge_timeout": (524, "A timeout occurred"),
}
_METADATA: dict[str, dict[str, Any]] = {
    "context_length": {"error_type": "context_length_exceeded"},
    "authentication": {"error_type": "authentication"},
    "payment_required": {"error_type": "payment_required", "limit_source": "openrouter_credits"},
    "key_limit_402": {"error_type": "payment_required", "limit_source": "openrouter_key_limit"},
    "unaffordable": {
        "error_type": "payment_required",
        "limit_source": "openrouter_credits",
        "reason": "weight_exceeds_budget",
    },
    "in_flight_budget": {
        "error_type": "payment_required",
        "limit_source": "openrouter_in_flight_budget",
        "reason": "in_flight_budget_exhausted",
    },
    "forced_tool": {
        "provider_name": "Anthropic",
        "raw": 'tool_choice: type "tool" and "any" are not supported for this model.',
    },
    "permission": {"error_type": "permission_denied"},
    "moderation": {
        "reasons": ["violence"],
        "flagged_input": "...",
        "provider_name": "OpenAI",
        "model_slug": "openai/gpt-4o",
    },
    "no_endpoints": {"error_type": "not_found"},
    "precondition": {"error_type": "precondition_failed"},
    "too_large": {"error_type": "payload_too_large"},
    "unprocessable": {"error_type": "unprocessable"},
    "rate_limit": {"error_type": "rate_limit_exceeded"},
    "server": {"error_type": "server"},
    "provider": {
        "error_type": "provider_unavailable",
        "provider_name": "DeepInfra",
        "raw": "upstream died",
    },
    "overloaded": {"error_type": "provider_overloaded"},
    "gateway_timeout": {"error_type": "timeout"},
}
ERRORS = tuple(_MESSAGES)
"""The names."""

_RATE_LIMIT_HEADERS = {
    "x-ratelimit-limit": "20",
    "x-ratelimit-remaining": "0",
    "x-ratelimit-reset": "1767225600000",
}


def error_reply(
    name: str, form: Form = "status", *, text: str = "", retry_after: float | None = None
) -> Reply:
    """Return a documented error as a reply.

    Args:
        name: One of `ERRORS`.
        form: "status"; "body", a 200 that is the error; "choice", in the choice after `text`;
            "event", in mid-stream after `text`.
        text: The part of the message that comes before the error.
        retry_after: Seconds, sent as Retry-After.

    Raises:
        ValueError: The name or the form is not known.
    """
    if name not in _MESSAGES or form not in get_args(Form):
        msg = f"unknown error {name!r} or form {form!r}: names are {', '.join(ERRORS)}"
        raise ValueError(msg)

    code, message = _MESSAGES[name]
    error: dict[str, Any] = {"code": code, "message": message}
    if name in _METADATA:
        error["metadata"] = dict(_METADATA[name])

    headers = dict(_RATE_LIMIT_HEADERS) if name == "rate_limit" and form == "status" else {}
    if retry_after is not None:
        headers["retry-after"] = f"{retry_after:g}"
    return Reply(text=text or None, error=error, form=form, headers=headers)


error = error_reply  # the name in the first release
