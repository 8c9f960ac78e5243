"""Map a response that is an error to an exception whose message is safe to show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_openrouter._http.error_kinds import error_class, is_retryable, status_of
from langchain_openrouter._http.error_messages import (
    affordable_tokens,
    connection_error_message,
    error_message,
    unknown_model,
)
from langchain_openrouter._http.limits import LimitExceededError, StackedEncodingError
from langchain_openrouter._http.retry_after import retry_after_of
from langchain_openrouter._json import get_dict, get_str
from langchain_openrouter._model_slugs import suggest_slugs
from langchain_openrouter._redaction import mask_key, redact
from langchain_openrouter.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    ContextOverflowError,
    DeadlineError,
    InsufficientCreditsError,
    ModelUnavailableError,
    ModerationError,
    NotFoundError,
    OpenRouterError,
    RateLimitError,
    UpstreamError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.messages import AIMessage
    from pydantic import SecretStr

    from langchain_openrouter._http.failures import Failure

_GENERATION_ADVICE = "its record comes some seconds after the answer, on the key that paid for it"
_ADVICE: dict[type[OpenRouterError], str] = {
    AuthenticationError: "check the key at https://openrouter.ai/settings/keys",
    ContextOverflowError: "shorten the conversation or choose a model with a longer context",
    ModerationError: "change the input or the model",
    ModelUnavailableError: "check the model's slug at https://openrouter.ai/models, "
    "the provider preferences and https://openrouter.ai/settings/privacy",
    RateLimitError: "wait and try again",
}
_NEEDS_MANAGEMENT_KEY = (
    "the management API needs a management key: a key for inference does not work there, nor "
    "does a deleted one; https://openrouter.ai/settings/management-keys makes one"
)
_MANAGEMENT_ADVICE: dict[type[OpenRouterError], str] = {
    AuthenticationError: _NEEDS_MANAGEMENT_KEY,
    RateLimitError: "wait and try again",
}
_MAX_NAME_LENGTH = 100  # characters of a provider's name
_MAX_MESSAGE = 600
_MAX_EXCERPT = 160  # of a body that is no JSON: a page of a proxy, mostly
_NO_MESSAGE = "the error says no more"


class _Draft(NamedTuple):
    """The parts of a message that is not redacted yet."""

    message: str
    code: int | None
    provider: str
    retry_after: float | None
    suggestion: str | None
    """`did you mean ...?` for a model that does not exist."""
    limit: int
    """Characters."""
    is_management: bool = False


def error_from_response(  # noqa: PLR0913 - the sources of an error, all optional
    body: Any = None,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    failure: Failure | None = None,
    generation_id: str | None = None,
    partial: AIMessage | None = None,
    is_management: bool = False,
) -> OpenRouterError:
    """Return the error that a response stands for, to be raised inside an `error_context`.

    Args:
        body: A JSON value (`{"error": ...}`, or the `error` itself), or text that is not JSON.
        status: HTTP status, if there was one.
        headers: Response headers: Retry-After and X-Generation-Id are read.
        failure: Why no complete response was received.
        generation_id: The id of the generation, where it is known already.
        partial: The part of the answer that was received.
        is_management: Whether the request was one to the management API.

    See https://openrouter.ai/docs/api-reference/errors.
    """
    headers = headers or {}
    generation_id = generation_id or headers.get("x-generation-id")
    if failure is not None:
        return _from_failure(failure, generation_id, partial)

    error = _from_body(body, status, headers, is_management=is_management)
    error.generation_id = generation_id or error.generation_id
    error.partial = partial
    return error


def _from_body(
    body: Any, status: int | None, headers: Mapping[str, str], *, is_management: bool
) -> OpenRouterError:
    """Return the error of a response that was received, its message not redacted yet."""
    error = _error_of(body)
    # Errors of /responses have it beside the error.
    metadata = get_dict(error, "metadata") or get_dict(body, "metadata") or {}
    availability = get_dict(error, "availability")
    error_type = next(
        filter(None, (get_str(s, "error_type") for s in (metadata, error, body))), None
    )
    code = status_of(error, status, error_type)
    message = error_message(error, body, metadata)
    kind = error_class(
        error,
        code=code,
        error_type=error_type,
        availability=availability,
        metadata=metadata,
        message=message,
    )
    if is_management and kind is ModelUnavailableError:
        kind = NotFoundError
    retry_after = retry_after_of(headers, availability, metadata, error)

    built = kind(
        code=code,
        error_type=redact(error_type, limit=_MAX_NAME_LENGTH) if error_type else None,
        retry_after=retry_after,
        availability=availability,
        metadata=metadata,
        generation_id=get_str(body, "id"),
        is_retryable=is_retryable(kind, code, error_type, availability),
    )
    if isinstance(built, InsufficientCreditsError):
        built.affordable_tokens = affordable_tokens(message)

    provider = get_str(metadata, "provider_name") or ""
    limit = _MAX_EXCERPT if isinstance(body, str) else _MAX_MESSAGE
    suggestion = suggest_slugs(unknown_model(code, message, availability))
    draft = _Draft(message, code, provider, retry_after, suggestion, limit, is_management)
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
    advice = (_MANAGEMENT_ADVICE if draft.is_management else _ADVICE).get(type(error))
    if draft.is_management and error.code == 403 and "management key" in message.lower():  # noqa: PLR2004 - HTTP
        advice = _NEEDS_MANAGEMENT_KEY
    if isinstance(error, RateLimitError) and draft.retry_after is not None:
        advice = f"wait {draft.retry_after:g} s and try again"
    if isinstance(error, ModelUnavailableError) and message.lower().startswith("generation "):
        advice = _GENERATION_ADVICE
    if draft.suggestion is not None:
        advice = draft.suggestion
    error.args = (f"{prefix}{message}{source}" + (f" - {advice}" if advice else ""),)


def _from_failure(
    failure: Failure, generation_id: str | None, partial: AIMessage | None
) -> OpenRouterError:
    """Return the error of a missing or incomplete response; the failure is its cause."""
    kind: type[OpenRouterError] = ConnectionFailedError
    if failure.total:
        kind = DeadlineError
    elif failure.timed_out:
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
