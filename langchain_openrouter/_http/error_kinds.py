"""Choose the class of an error, and whether to retry: by its type and details, then its status."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from langchain_openrouter._http.error_messages import upstream_codes, upstream_message
from langchain_openrouter._json import get_number, get_str
from langchain_openrouter.errors import (
    AuthenticationError,
    ContextOverflowError,
    InFlightBudgetError,
    InsufficientCreditsError,
    InvalidRequestError,
    ModelUnavailableError,
    ModerationError,
    PermissionDeniedError,
    RateLimitError,
    RefusalError,
    RequestTimeoutError,
    ResponseError,
    UpstreamError,
)

if TYPE_CHECKING:
    from langchain_openrouter.errors import OpenRouterError

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

# `code` of an error of `POST /responses`, for which several types are one word:
# https://openrouter.ai/docs/api-reference/responses/error-handling.
_COLLAPSED_CODES = {"server_error", "invalid_prompt"}
_STATUS_OF_CODE = {
    **_STATUS_OF_TYPE,
    "image_content_policy_violation": 403,
    "bio_policy": 403,
    "cyber_policy": 403,
}
# Of a block by the provider, where no type says so.
_CLASS_OF_CODE: dict[str | None, type[ResponseError]] = {
    "image_content_policy_violation": ModerationError,
    "bio_policy": RefusalError,
    "cyber_policy": RefusalError,
}

_OVERFLOW_TYPE = "context_length_exceeded"
# The providers' wordings, where no code says so. Under these types OpenRouter passes them on.
_UNSPECIFIC_TYPES = {None, "invalid_request", "payload_too_large"}
_CONTEXT_OVERFLOW_PATTERN = re.compile(
    r"context[ _](?:length|window)|maximum context|prompt is too long|too many input tokens"
    r"|input tokens exceed the configured limit"  # OpenAI, GPT-5
    r"|exceeds the maximum number of tokens allowed"  # Google
    r"|input is too long for (?:the )?requested model"  # Amazon Bedrock
    r"|maximum prompt length is"  # xAI
    r"|exceeds? (?:the )?context limit",  # Anthropic, where `max_tokens` is counted too
    re.IGNORECASE,
)
# The limits page documents 402, the budgets page 403: both mean that money has run out.
_EXHAUSTED_PATTERN = re.compile(
    r"(?:key|budget|spend\w{0,16}|credit|usage)\b.{0,40}\b(?:limit|exceeded|exhausted)"
    r"|insufficient credits",
    re.IGNORECASE,
)
_CREDIT_SOURCES = {"openrouter_credits", "openrouter_key_limit"}
_LOWEST_ERROR = 400
_HIGHEST_ERROR = 599
_SERVER_ERROR = 500
_STATUS_DIGITS = 3


def status_of(error: dict[str, Any], status: int | None, error_type: str | None) -> int | None:
    """Return the first error status of: code, http_status, the error type's, and HTTP's.

    A code that stands for several types comes last.
    """
    code, collapsed = error.get("code"), None
    if isinstance(code, str):
        digits = len(code) == _STATUS_DIGITS and code.isdecimal() and code.isascii()
        if code in _COLLAPSED_CODES:
            collapsed = _STATUS_OF_CODE[code]
        code = int(code) if digits else _STATUS_OF_CODE.get(code)
        code = None if collapsed else code

    of_type_and_http = (_STATUS_OF_TYPE.get(error_type or ""), status)
    if collapsed:
        of_type_and_http = of_type_and_http[::-1]
    for candidate in (code, error.get("http_status"), *of_type_and_http, collapsed):
        number = get_number({"": candidate}, "")
        if number is not None and _LOWEST_ERROR <= number <= _HIGHEST_ERROR:
            return int(number)
    return status


def error_class(  # noqa: PLR0913 - what an error says of its kind
    error: dict[str, Any],
    *,
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

    blocked = _CLASS_OF_CODE.get(get_str(error, "code") if error_type is None else None)
    if error_type == "refusal" or blocked is not None:
        return blocked or RefusalError
    if status in {400, 413} and _is_overflow(error, error_type, metadata, message):
        return ContextOverflowError
    if status in {402, 403}:
        return _class_of_denial(status, metadata, message)
    return _BY_STATUS.get(status, InvalidRequestError)


def _is_overflow(
    error: dict[str, Any], error_type: str | None, metadata: dict[str, Any], message: str
) -> bool:
    """Tell whether the conversation is too long: by a code of OpenRouter or the provider, or words.

    A provider's own error arrives in `metadata.raw`, whatever OpenRouter's message says.
    """
    raw = metadata.get("raw")

    codes = {error_type, get_str(error, "code"), get_str(metadata, "provider_error_code")}
    if _OVERFLOW_TYPE in codes | upstream_codes(raw):
        return True
    if error_type not in _UNSPECIFIC_TYPES:
        return False

    texts = (message, upstream_message(raw) or "")
    return any(_CONTEXT_OVERFLOW_PATTERN.search(text) for text in texts)


def _class_of_denial(status: int, metadata: dict[str, Any], message: str) -> type[ResponseError]:
    """Return the class of a 402 or 403: money that is spent, or something that is not allowed."""
    source = get_str(metadata, "limit_source")
    reason = get_str(metadata, "reason")
    if source == "openrouter_in_flight_budget" or reason == "in_flight_budget_exhausted":
        return InFlightBudgetError
    if status == 402 or source in _CREDIT_SOURCES:  # noqa: PLR2004 - HTTP
        return InsufficientCreditsError

    if "reasons" in metadata or "flagged_input" in metadata:
        return ModerationError
    return InsufficientCreditsError if _EXHAUSTED_PATTERN.search(message) else PermissionDeniedError


def is_retryable(
    kind: type[OpenRouterError],
    code: int | None,
    error_type: str | None,
    availability: dict[str, Any] | None,
) -> bool:
    """Tell whether to retry: by `availability`, by status if an `UpstreamError`, by class."""
    if availability is not None and isinstance(availability.get("retryable"), bool):
        return bool(availability["retryable"])
    status = _STATUS_OF_TYPE.get(error_type or "", code)
    if kind is UpstreamError and status is not None:
        return status >= _SERVER_ERROR or status < 300  # noqa: PLR2004 - a redirect is no answer
    return kind.is_retryable
