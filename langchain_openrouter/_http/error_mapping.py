"""Map a response that is an error to an exception whose message is safe to show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_openrouter._http.error_messages import connection_error_message, error_message
from langchain_openrouter._http.limits import LimitExceededError, StackedEncodingError
from langchain_openrouter._http.retry_after import retry_after_of
from langchain_openrouter._json import get_dict, get_number, get_str
from langchain_openrouter._redaction import mask_key, redact
from langchain_openrouter.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    ContextOverflowError,
    InsufficientCreditsError,
    InvalidRequestError,
    ModelUnavailableError,
    ModerationError,
    OpenRouterError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ResponseError,
    UpstreamError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.messages import AIMessage
    from pydantic import SecretStr

    from langchain_openrouter._http.failures import Failure

_BY_STATUS: dict[int, type[ResponseError]] = {
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: ModelUnavailableError,
    408: RequestTimeoutError,
    429: RateLimitError,
    504: RequestTimeoutError,
    524: RequestTimeoutError,
}

# https://openrouter.ai/docs/api-reference/errors: "use this value, not the status code alone".
_STATUS_OF_TYPE = {
    "context_length_exceeded": 400,
    "max_tokens_exceeded": 400,
    "token_limit_exceeded": 400,
    "string_too_long": 400,
    "invalid_request": 400,
    "invalid_prompt": 400,
    "content_policy_violation": 400,
    "refusal": 400,
    "invalid_image": 400,
    "image_too_large": 400,
    "image_too_small": 400,
    "unsupported_image_format": 400,
    "image_download_failed": 400,
    "authentication": 401,
    "payment_required": 402,
    "permission_denied": 403,
    "not_found": 404,
    "image_not_found": 400,
    "precondition_failed": 412,
    "payload_too_large": 413,
    "unprocessable": 422,
    "rate_limit_exceeded": 429,
    "server": 500,
    "server_error": 500,
    "unmapped": 500,
    "provider_unavailable": 502,
    "provider_overloaded": 503,
    "timeout": 504,
}

_CONTEXT_OVERFLOW_PATTERN = re.compile(
    r"context[ _](?:length|window)|maximum context|prompt is too long|too many input tokens",
    re.IGNORECASE,
)
# The limits page documents 402, the budgets page 403: both mean that money has run out.
_EXHAUSTED_PATTERN = re.compile(
    r"(?:key|budget|spend\w{0,16}|credit|usage)\b.{0,40}\b(?:limit|exceeded|exhausted)"
    r"|insufficient credits",
    re.IGNORECASE,
)
_ADVICE: dict[type[OpenRouterError], str] = {
    AuthenticationError: "check the key at https://openrouter.ai/settings/keys",
    ContextOverflowError: "shorten the conversation or choose a model with a longer context",
    ModerationError: "change the input or the model",
    ModelUnavailableError: "check the model's slug at https://openrouter.ai/models, "
    "the provider preferences and https://openrouter.ai/settings/privacy",
    RateLimitError: "wait and try again",
}
_LOWEST_ERROR = 400
_HIGHEST_ERROR = 599
_SERVER_ERROR = 500
_MAX_NAME_LENGTH = 100  # characters of a provider's name
_MAX_MESSAGE = 600
_MAX_EXCERPT = 160  # of a body that is no JSON: a page of a proxy, mostly
_STATUS_DIGITS = 3
_NO_MESSAGE = "the error says no more"


class _Draft(NamedTuple):
    """The parts of a message that is not redacted yet."""

    message: str
    code: int | None
    provider: str
    retry_after: float | None
    limit: int
    """Characters."""


def error_from_response(  # noqa: PLR0913 - the sources of an error, all optional
    body: Any = None,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    failure: Failure | None = None,
    generation_id: str | None = None,
    partial: AIMessage | None = None,
) -> OpenRouterError:
    """Return the error that a response stands for, to be raised inside an `error_context`.

    Args:
        body: A JSON value (`{"error": ...}`, or the `error` itself), or text that is not JSON.
        status: HTTP status, if there was one.
        headers: Response headers: Retry-After and X-Generation-Id are read.
        failure: Why no complete response was received.
        generation_id: The id of the generation, where it is known already.
        partial: The part of the answer that was received.

    See https://openrouter.ai/docs/api-reference/errors.
    """
    headers = headers or {}
    generation_id = generation_id or headers.get("x-generation-id")
    if failure is not None:
        return _from_failure(failure, generation_id, partial)

    error = _from_body(body, status, headers)
    error.generation_id = generation_id or error.generation_id
    error.partial = partial
    return error


def _from_body(body: Any, status: int | None, headers: Mapping[str, str]) -> OpenRouterError:
    """Return the error of a response that was received, its message not redacted yet."""
    error = _error_of(body)
    metadata = get_dict(error, "metadata") or {}
    availability = get_dict(error, "availability")
    error_type = get_str(metadata, "error_type") or get_str(error, "error_type")
    code = _status_of(error, status, error_type)
    message = error_message(error, body, metadata)
    kind = _error_class(code, error_type, availability, metadata, message)
    retry_after = retry_after_of(headers, availability, metadata)

    built = kind(
        code=code,
        error_type=redact(error_type, limit=_MAX_NAME_LENGTH) if error_type else None,
        retry_after=retry_after,
        availability=availability,
        metadata=metadata,
        generation_id=get_str(body, "id"),
        is_retryable=_is_retryable(kind, code, error_type, availability),
    )
    provider = get_str(metadata, "provider_name") or ""
    limit = _MAX_EXCERPT if isinstance(body, str) else _MAX_MESSAGE
    draft = _Draft(message, code, provider, retry_after, limit)
    _write_message(built, draft)
    built.__dict__["_draft"] = draft  # until `redact_error` knows what may not be quoted
    return built


def redact_error(error: OpenRouterError, *, prompt: str = "", key: SecretStr | None = None) -> None:
    """Rewrite an error's message without the prompt and the key of its request.

    The key is masked in all other attributes too, whatever it looks like.
    """
    draft = error.__dict__.pop("_draft", None)
    if draft is not None:
        _write_message(error, draft, prompt, key)
    if key is None:
        return

    error.args = tuple(mask_key(argument, key) for argument in error.args)
    for name in ("metadata", "availability", "error_type", "generation_id"):
        setattr(error, name, mask_key(getattr(error, name), key))
    if error.__cause__ is not None:
        error.__cause__.args = tuple(mask_key(arg, key) for arg in error.__cause__.args)


def _write_message(
    error: OpenRouterError, draft: _Draft, prompt: str = "", key: SecretStr | None = None
) -> None:
    """Set the message: one sentence with what happened and what to do."""
    message = redact(draft.message, prompt, key=key, limit=draft.limit).strip() or _NO_MESSAGE
    provider = redact(draft.provider, prompt, key=key, limit=_MAX_NAME_LENGTH).strip()
    error.provider = provider or None

    prefix = f"{draft.code} " if draft.code is not None else ""
    source = f" ({provider})" if provider else ""
    advice = _ADVICE.get(type(error))
    if isinstance(error, RateLimitError) and draft.retry_after is not None:
        advice = f"wait {draft.retry_after:g} s and try again"
    error.args = (f"{prefix}{message}{source}" + (f" - {advice}" if advice else ""),)


def _from_failure(
    failure: Failure, generation_id: str | None, partial: AIMessage | None
) -> OpenRouterError:
    """Return the error of a missing or incomplete response; the failure is its cause."""
    kind: type[OpenRouterError] = ConnectionFailedError
    if failure.timed_out:
        kind = ConnectionTimeoutError
    elif isinstance(failure.error, LimitExceededError | StackedEncodingError):
        kind = UpstreamError

    error = kind(
        connection_error_message(failure, partial=partial is not None),
        generation_id=generation_id,
        partial=partial,
        is_retryable=failure.is_retryable,
    )
    error.__cause__ = failure.error
    return error


def contains_error(body: Any) -> bool:
    """Tell whether a 200 body, an event or a choice carries an error."""
    if not isinstance(body, dict):
        return False
    if "choices" not in body and isinstance(body.get("message"), str):
        return True  # the error object itself, not wrapped in `error`
    error = body.get("error")
    return bool(error) or (error is not None and error is not False and not body.get("choices"))


def _error_of(body: Any) -> dict[str, Any]:
    """Return the error object, however it is wrapped."""
    if not isinstance(body, dict):
        return {}
    error = body.get("error", body)
    if isinstance(error, str):
        return {**body, "message": error}
    return error if isinstance(error, dict) else {}


def _status_of(error: dict[str, Any], status: int | None, error_type: str | None) -> int | None:
    """Return the first error status of: code, http_status, the error type's, and HTTP's."""
    code = error.get("code")
    if isinstance(code, str):
        digits = len(code) == _STATUS_DIGITS and code.isdecimal() and code.isascii()
        code = int(code) if digits else _STATUS_OF_TYPE.get(code)

    type_status = _STATUS_OF_TYPE.get(error_type or "")
    for candidate in (code, error.get("http_status"), type_status, status):
        number = get_number({"": candidate}, "")
        if number is not None and _LOWEST_ERROR <= number <= _HIGHEST_ERROR:
            return int(number)
    return status


def _error_class(
    code: int | None,
    error_type: str | None,
    availability: dict[str, Any] | None,
    metadata: dict[str, Any],
    message: str,
) -> type[ResponseError]:
    """Choose the class: the type and details of the error take precedence over its status."""
    if availability is not None:
        return RateLimitError if code == 429 else ModelUnavailableError  # noqa: PLR2004 - HTTP

    status = _STATUS_OF_TYPE.get(error_type or "", code)
    if status is None or not _LOWEST_ERROR <= status < _SERVER_ERROR:
        return _BY_STATUS.get(status or 0, UpstreamError)

    if status in {400, 413}:
        is_overflow = error_type == "context_length_exceeded"
        if is_overflow or (not error_type and _CONTEXT_OVERFLOW_PATTERN.search(message)):
            return ContextOverflowError
    if status == 403:  # noqa: PLR2004 - HTTP
        if "reasons" in metadata or "flagged_input" in metadata:
            return ModerationError
        if _EXHAUSTED_PATTERN.search(message):
            return InsufficientCreditsError
    return _BY_STATUS.get(status, InvalidRequestError)


def _is_retryable(
    kind: type[OpenRouterError],
    code: int | None,
    error_type: str | None,
    availability: dict[str, Any] | None,
) -> bool:
    """Tell whether to retry: by availability, then the error type, then the status."""
    if availability is not None and isinstance(availability.get("retryable"), bool):
        return bool(availability["retryable"])
    status = _STATUS_OF_TYPE.get(error_type or "", code)
    if kind is UpstreamError and status is not None:
        return status >= _SERVER_ERROR or status < 300  # noqa: PLR2004 - a redirect is no answer
    return kind.is_retryable
