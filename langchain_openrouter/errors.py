"""Everything that can go wrong, and the one door through which it comes.

    OpenRouterError
    ├─ ResponseError            ModelError: OpenRouter answered with an error
    │  ├─ InvalidRequestError   400 409 412 413 422 and other 4xx
    │  │  └─ ContextOverflowError
    │  ├─ AuthenticationError   401, and no key at all
    │  ├─ InsufficientCreditsError  402, and an exhausted key limit
    │  ├─ PermissionDeniedError 403
    │  │  └─ ModerationError    the input was flagged
    │  ├─ ModelUnavailableError 404, and what no endpoint may serve
    │  ├─ RateLimitError        429
    │  ├─ RequestTimeoutError   408 504 524
    │  ├─ RefusalError          the model refused a structured answer
    │  └─ UpstreamError         5xx, an error in mid-answer, an unreadable body
    ├─ ConnectionFailedError    no answer, or an answer cut short
    │  └─ ConnectionTimeoutError  no byte came for `timeout` seconds
    ├─ SignInError              the sign-in ended without a key
    │  ├─ SignInDeniedError       the user said no
    │  ├─ SignInTimeoutError      nobody answered in time
    │  ├─ SignInExpiredError      the code, or the sealed sign-in, is too old
    │  ├─ InvalidCodeError        no code, a used one, or one of another sign-in
    │  ├─ InvalidSealError        a sealed sign-in that was altered, or sealed with another secret
    │  ├─ ChallengeMethodError    the service does not take S256
    │  ├─ SignInConnectionError   the exchange did not reach the service, or its answer us
    │  ├─ SignInRefusedError      the exchange was refused: 405, 429, 5xx, an unreadable answer
    │  └─ ListenerError           no redirect can be received here
    └─ KeyStoreError            a stored key cannot be read, or there is nowhere to keep one

Each `ResponseError` is also the `langchain_core.exceptions.Model...Error` of its kind, so that
retry and fallback middleware act on it. See https://openrouter.ai/docs/api-reference/errors.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from langchain_core import exceptions as core

from langchain_openrouter._limits import LimitExceededError, StackedEncodingError
from langchain_openrouter._read import dict_of, list_of, number_of, str_of
from langchain_openrouter._redact import shown
from langchain_openrouter._said import failure_text, message_of
from langchain_openrouter._wait import retry_after_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.exceptions import ModelRefusalError as _ModelRefusalError
    from langchain_core.messages import AIMessage

    from langchain_openrouter._failures import Failure
else:  # langchain-core before 1.7.5 has none
    _ModelRefusalError = getattr(core, "ModelRefusalError", core.ModelError)


class OpenRouterError(core.LangChainException):
    """Never raised itself; catches all of ours.

    Attributes:
        code: HTTP status, or the status in the body where the two differ.
        error_type: OpenRouter's own word for the error, such as `rate_limit_exceeded`.
        retry_after: Seconds the service asks to wait.
        provider: Display name of the upstream provider that failed.
        availability: Why no endpoint serves, as sent.
        metadata: The error's details as sent. May quote the prompt: do not log it.
        generation_id: The id of the generation, for support and `GET /generation`.
        partial: What came of the answer before it failed.
        is_retryable: Whether the same request may succeed.
    """

    is_retryable: bool

    def __init__(  # noqa: PLR0913 - the attributes of an error, all optional
        self,
        message: str = "",
        *,
        code: int | None = None,
        error_type: str | None = None,
        retry_after: float | None = None,
        provider: str | None = None,
        availability: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        generation_id: str | None = None,
        partial: AIMessage | None = None,
        is_retryable: bool | None = None,
    ) -> None:
        Exception.__init__(self, message)
        self.code = code
        self.error_type = error_type
        self.retry_after = retry_after
        self.provider = provider
        self.availability = availability
        self.metadata = metadata or {}
        self.generation_id = generation_id
        self.partial = partial
        if is_retryable is not None:
            self.is_retryable = is_retryable


class ResponseError(OpenRouterError, core.ModelError):
    """OpenRouter answered with an error."""


class InvalidRequestError(ResponseError, core.ModelInvalidRequestError):
    """The request was refused: change it."""


class ContextOverflowError(InvalidRequestError, core.ContextOverflowError):
    """The conversation is longer than the model's context."""


class AuthenticationError(ResponseError, core.ModelAuthenticationError):
    """The key is missing, wrong, disabled or expired."""


class InsufficientCreditsError(ResponseError):
    """The account, or this key's own limit, is used up.

    Attributes:
        settings_url: The page where the owner of the key that was sent raises its limit; only
            the owner can open it. See https://openrouter.ai/docs/use-cases/oauth-pkce.
    """

    credits_url = "https://openrouter.ai/settings/credits"
    """Where the owner of the account adds credits."""
    settings_url = "https://openrouter.ai/settings/keys"

    def __str__(self) -> str:
        """Say what happened, and where it can be mended."""
        mend = f"add credits at {self.credits_url} or raise the key's limit at {self.settings_url}"
        return f"{super().__str__()} - {mend}"


class PermissionDeniedError(ResponseError, core.ModelPermissionDeniedError):
    """This key may not do this."""


class ModerationError(PermissionDeniedError):
    """The input was flagged; `reasons` says for what.

    `flagged_input` is an excerpt of the prompt: it is in no message, keep it out of logs.
    """

    @property
    def reasons(self) -> list[str]:
        """Why the input was flagged."""
        return [str(reason) for reason in list_of(self.metadata, "reasons") or ()]

    @property
    def flagged_input(self) -> str | None:
        """The flagged text, shortened by the service to about 100 characters."""
        return str_of(self.metadata, "flagged_input")


class ModelUnavailableError(ResponseError, core.ModelNotFoundError):
    """No endpoint serves this model under these constraints; `availability` says why."""


class RateLimitError(ResponseError, core.ModelRateLimitError):
    """Too many requests; `retry_after` seconds where the service says."""


class RequestTimeoutError(ResponseError, core.ModelTimeoutError):
    """OpenRouter or the provider timed out."""


class RefusalError(ResponseError, _ModelRefusalError):
    """The model refused to give the structured answer; `partial` is what it said."""

    @property
    def raw_message(self) -> AIMessage | None:  # type: ignore[override]
        """The answer that holds the refusal: LangChain's name for `partial`."""
        return self.partial


class UpstreamError(ResponseError, core.ModelAPIError):
    """The provider failed, in whole or in mid-answer, or the body cannot be read."""


class ConnectionFailedError(OpenRouterError, core.ModelConnectionError):
    """No answer came, or it was cut short: `partial` holds what came."""


class ConnectionTimeoutError(ConnectionFailedError, core.ModelTimeoutError):
    """No byte came for `timeout` seconds."""


class SignInError(OpenRouterError):
    """The sign-in ended without a key; begin a new one to try again, a code works once."""

    is_retryable = False


class SignInDeniedError(SignInError):
    """The user said no on OpenRouter's page."""


class SignInTimeoutError(SignInError):
    """Nobody finished the sign-in in time."""


class SignInExpiredError(SignInError):
    """The code, which lives ten minutes, or the sealed sign-in is too old."""


class InvalidCodeError(SignInError):
    """There is no code, it is wrong or used, or it belongs to another sign-in."""


class InvalidSealError(SignInError):
    """The sealed sign-in was altered, or sealed with another secret."""


class ChallengeMethodError(SignInError):
    """The service does not take the challenge method S256."""


class SignInConnectionError(SignInError):
    """The exchange did not reach the service, or its answer did not reach us."""


class SignInRefusedError(SignInError):
    """The service refused the exchange for another reason; `code` is the HTTP status."""


class ListenerError(SignInError):
    """No redirect can be received here: use `mode="headless"`."""


class KeyStoreError(OpenRouterError):
    """A stored key cannot be read, or there is nowhere to keep one."""

    is_retryable = False


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

_CONTEXT = re.compile(
    r"context[ _](?:length|window)|maximum context|prompt is too long|too many input tokens",
    re.IGNORECASE,
)
# 402 by the limits page, 403 by the budgets page: both mean that money has run out.
_EXHAUSTED = re.compile(
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
_LONGEST_NAME = 100  # characters of a provider's name
_STATUS_DIGITS = 3
_SILENT = "the error says no more"


def from_body(  # noqa: PLR0913 - every source of an error comes through here
    body: Any = None,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    failure: Failure | None = None,
    generation_id: str | None = None,
    partial: AIMessage | None = None,
    prompt: str = "",
) -> OpenRouterError:
    """Return the error that `body` tells, ready to raise.

    Args:
        body: A JSON value (`{"error": ...}`, or the `error` itself), or text that is not JSON.
        status: HTTP status, if there was one.
        headers: Response headers: Retry-After and X-Generation-Id are read.
        failure: What the HTTP client met, where no (whole) answer came.
        generation_id: The id of the generation, where it is known already.
        partial: What came of the answer.
        prompt: Text that must not be quoted in the message: what of it the service quotes is
            replaced by `[...]`.
    """
    headers = headers or {}
    generation_id = generation_id or headers.get("x-generation-id")
    if failure is not None:
        return _from_failure(failure, generation_id, partial)
    error = _error_of(body)
    metadata = dict_of(error, "metadata") or {}
    availability = dict_of(error, "availability")
    error_type = str_of(metadata, "error_type") or str_of(error, "error_type")
    code = _status_of(error, status, error_type)
    message = message_of(error, body, metadata)
    kind = _kind_of(code, error_type, availability, metadata, message)
    name = str_of(metadata, "provider_name")
    provider = (shown(name, prompt, limit=_LONGEST_NAME) if name else "").strip() or None
    retry_after = retry_after_of(headers, availability, metadata)
    return kind(
        _text(kind, code, shown(message, prompt).strip() or _SILENT, provider, retry_after),
        code=code,
        error_type=shown(error_type, limit=_LONGEST_NAME) if error_type else None,
        retry_after=retry_after,
        provider=provider,
        availability=availability,
        metadata=metadata,
        generation_id=generation_id or str_of(body, "id"),
        partial=partial,
        is_retryable=_retryable(kind, code, error_type, availability),
    )


def _from_failure(
    failure: Failure, generation_id: str | None, partial: AIMessage | None
) -> OpenRouterError:
    """Return the error of a response that did not come, or not whole; the failure is its cause."""
    kind: type[OpenRouterError] = ConnectionFailedError
    if failure.timed_out:
        kind = ConnectionTimeoutError
    elif isinstance(failure.error, LimitExceededError | StackedEncodingError):
        kind = UpstreamError
    error = kind(
        failure_text(failure, partial=partial is not None),
        generation_id=generation_id,
        partial=partial,
        is_retryable=failure.is_retryable,
    )
    error.__cause__ = failure.error
    return error


def has_error(body: Any) -> bool:
    """Tell whether a 200 body, an event or a choice carries an error."""
    if not isinstance(body, dict):
        return False
    if "choices" not in body and isinstance(body.get("message"), str):
        return True  # the error itself, unwrapped
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
    """Return the first of code, http_status, the type's status and HTTP's that is an error."""
    code = error.get("code")
    if isinstance(code, str):
        digits = len(code) == _STATUS_DIGITS and code.isdecimal() and code.isascii()
        code = int(code) if digits else _STATUS_OF_TYPE.get(code)
    for candidate in (
        code,
        error.get("http_status"),
        _STATUS_OF_TYPE.get(error_type or ""),
        status,
    ):
        number = number_of({"": candidate}, "")
        if number is not None and _LOWEST_ERROR <= number <= _HIGHEST_ERROR:
            return int(number)
    return status


def _kind_of(
    code: int | None,
    error_type: str | None,
    availability: dict[str, Any] | None,
    metadata: dict[str, Any],
    message: str,
) -> type[ResponseError]:
    """Choose the class: the error's own words before its status."""
    if availability is not None:
        return RateLimitError if code == 429 else ModelUnavailableError  # noqa: PLR2004 - HTTP
    status = _STATUS_OF_TYPE.get(error_type or "", code)
    if status is None or not _LOWEST_ERROR <= status < _SERVER_ERROR:
        return _BY_STATUS.get(status or 0, UpstreamError)
    if status in {400, 413} and (
        error_type == "context_length_exceeded" or (not error_type and _CONTEXT.search(message))
    ):
        return ContextOverflowError
    if status == 403:  # noqa: PLR2004 - HTTP
        if "reasons" in metadata or "flagged_input" in metadata:
            return ModerationError
        if _EXHAUSTED.search(message):
            return InsufficientCreditsError
    return _BY_STATUS.get(status, InvalidRequestError)


def _retryable(
    kind: type[OpenRouterError],
    code: int | None,
    error_type: str | None,
    availability: dict[str, Any] | None,
) -> bool:
    """Follow availability, then the type, then the status."""
    if availability is not None and isinstance(availability.get("retryable"), bool):
        return bool(availability["retryable"])
    status = _STATUS_OF_TYPE.get(error_type or "", code)
    if kind is UpstreamError and status is not None:
        return status >= _SERVER_ERROR or status < 300  # noqa: PLR2004 - a redirect is no answer
    return kind.is_retryable


def _text(
    kind: type[OpenRouterError],
    code: int | None,
    message: str,
    provider: str | None,
    retry_after: float | None,
) -> str:
    """Say in one sentence what happened and what to do."""
    source = f" ({provider})" if provider else ""
    prefix = f"{code} " if code is not None else ""
    advice = _ADVICE.get(kind)
    if kind is RateLimitError and retry_after is not None:
        advice = f"wait {retry_after:g} s and try again"
    return f"{prefix}{message}{source}" + (f" - {advice}" if advice else "")
