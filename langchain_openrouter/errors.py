"""The exceptions of this package.

    OpenRouterError
    ├─ ResponseError            ModelError: OpenRouter answered with an error
    │  ├─ InvalidRequestError   400 409 412 413 422 and other 4xx
    │  │  ├─ ContextOverflowError
    │  │  └─ NotFoundError      404 of the management API
    │  ├─ AuthenticationError   401, and no key at all
    │  │  └─ KeyRevokedError    the app has revoked the key that it provisioned
    │  ├─ InsufficientCreditsError  402, and an exhausted key limit
    │  │  └─ InFlightBudgetError    402 for now: running requests hold the budget
    │  ├─ PermissionDeniedError 403
    │  │  └─ ModerationError    the input was flagged
    │  ├─ ModelUnavailableError 404, and no endpoint may serve the request
    │  ├─ RateLimitError        429
    │  ├─ RequestTimeoutError   408 504 524
    │  ├─ RefusalError          the model refused a structured answer, or the request
    │  └─ UpstreamError         5xx, an error during the answer, an unreadable body
    ├─ ConnectionFailedError    no answer, or an answer cut short
    │  └─ ConnectionTimeoutError  no byte came for `timeout` seconds
    │     └─ DeadlineError        it took longer than `deadline` seconds in all
    ├─ SignInError              the sign-in ended without a key
    │  ├─ SignInDeniedError       the user denied it
    │  ├─ SignInTimeoutError      it was not completed in time
    │  ├─ SignInExpiredError      the code, or the sealed sign-in, has expired
    │  ├─ SignInCodeError         no code, a used one, or one of another sign-in
    │  ├─ SignInSealError         a sealed sign-in that was altered, or sealed with another secret
    │  ├─ SignInChallengeError    the service does not take S256
    │  ├─ SignInConnectionError   the exchange failed on the network
    │  ├─ SignInRefusedError      the exchange was refused: 405, 429, 5xx, an unreadable answer
    │  └─ SignInListenerError     no redirect can be received here
    ├─ CostLimitError           a ceiling of yours is reached: the call was not sent
    ├─ KeyStoreError            a stored key cannot be read, or there is no store for one
    └─ BatchError               a batch cannot begin, or go on, as it was called
       ├─ BatchChangedError       its output is of another model, prompt, schema or input
       ├─ BatchInUseError         another process is writing its output
       ├─ BatchTimeoutError       batches at OpenRouter did not end in time, and run on
       └─ BatchRowError           a row has no result: its batch failed, expired, was canceled

Each `ResponseError` is also the `langchain_core.exceptions.Model...Error` of its kind, so that
retry and fallback middleware handle it. See https://openrouter.ai/docs/api-reference/errors.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from langchain_core import exceptions as core

from langchain_openrouter._json import get_list, get_str

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.exceptions import ModelRefusalError as _ModelRefusalError
    from langchain_core.messages import AIMessage
else:  # langchain-core before 1.7.5 has none
    _ModelRefusalError = getattr(core, "ModelRefusalError", core.ModelError)


__all__ = [
    "AuthenticationError",
    "BatchChangedError",
    "BatchError",
    "BatchInUseError",
    "BatchRowError",
    "BatchTimeoutError",
    "ChallengeMethodError",
    "ConnectionFailedError",
    "ConnectionTimeoutError",
    "ContextOverflowError",
    "CostLimitError",
    "DeadlineError",
    "InFlightBudgetError",
    "InsufficientCreditsError",
    "InvalidCodeError",
    "InvalidRequestError",
    "InvalidSealError",
    "KeyRevokedError",
    "KeyStoreError",
    "ListenerError",
    "ModelUnavailableError",
    "ModerationError",
    "NotFoundError",
    "OpenRouterError",
    "PermissionDeniedError",
    "RateLimitError",
    "RefusalError",
    "RequestTimeoutError",
    "ResponseError",
    "SignInChallengeError",
    "SignInCodeError",
    "SignInConnectionError",
    "SignInDeniedError",
    "SignInError",
    "SignInExpiredError",
    "SignInListenerError",
    "SignInRefusedError",
    "SignInSealError",
    "SignInTimeoutError",
    "UpstreamError",
]


class OpenRouterError(core.LangChainException):
    """The base of all exceptions of this package; never raised itself.

    Attributes:
        code: HTTP status, or the status in the body where the two differ.
        error_type: OpenRouter's name of the error, such as `rate_limit_exceeded`.
        retry_after: Seconds the service asks to wait.
        provider: Display name of the upstream provider that failed.
        availability: Why no endpoint serves the request, as sent.
        metadata: The error's details as sent. May quote the prompt: do not log it.
        generation_id: The id of the generation, for support and `GET /generation`.
        partial: The part of the answer that arrived before it failed.
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
        # The `__init__` of LangChain's `Model...Error` classes takes other arguments.
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

    @property
    def status_code(self) -> int | None:
        """The same as `code`: the name that the SDKs of OpenAI and others use."""
        return self.code


class ResponseError(OpenRouterError, core.ModelError):
    """OpenRouter answered with an error."""


class InvalidRequestError(ResponseError, core.ModelInvalidRequestError):
    """The request was refused: change it."""


class ContextOverflowError(InvalidRequestError, core.ContextOverflowError):
    """The conversation is longer than the model's context."""


class NotFoundError(InvalidRequestError):
    """The account has no key, guardrail, user, workspace or credential of this name."""


class AuthenticationError(ResponseError, core.ModelAuthenticationError):
    """The key is missing, wrong, disabled or expired."""


class KeyRevokedError(AuthenticationError):
    """The user's provisioned key was revoked by the app, or disabled in its account."""

    is_retryable = False


class InsufficientCreditsError(ResponseError):
    """There is no money for this request: `limit_source` says whose limit it met.

    Attributes:
        affordable_tokens: How many tokens of `max_tokens` the account can pay for, if the service
            says so.
        settings_url: The page where the owner of the key that was sent raises its limit; only
            the owner can open it. See https://openrouter.ai/docs/use-cases/oauth-pkce.
    """

    credits_url = "https://openrouter.ai/settings/credits"
    """Where the owner of the account adds credits."""
    settings_url = "https://openrouter.ai/settings/keys"
    affordable_tokens: int | None = None

    @property
    def limit_source(self) -> str | None:
        """`openrouter_credits`, `openrouter_key_limit` or `openrouter_in_flight_budget`."""
        return get_str(self.metadata, "limit_source")

    @property
    def reason(self) -> str | None:
        """`weight_exceeds_budget`: this one request is estimated above all that is left."""
        return get_str(self.metadata, "reason")

    @property
    def remedy_hint(self) -> str | None:
        """The service's own advice, as sent."""
        return get_str(self.metadata, "remedy_hint")

    @property
    def remedy(self) -> str:
        """What to do, with the page where the owner of the account or the key does it."""
        add_credits = f"add credits at {self.credits_url}"
        raise_limit = f"raise the key's limit at {self.settings_url}"
        if self.limit_source == "openrouter_key_limit":
            return f"{raise_limit} or wait until it resets"

        lower = ""
        if self.affordable_tokens is not None:
            lower = f"set `max_tokens` to {self.affordable_tokens} or less, "
        elif self.reason == "weight_exceeds_budget":
            lower = "lower `max_tokens`, "
        if lower:
            lower += (
                "shorten the prompt, " if self.limit_source is None else "shorten the prompt or "
            )
        if self.limit_source == "openrouter_credits":
            return f"{lower}{add_credits}"
        return f"{lower}{add_credits} or {raise_limit}"

    def __str__(self) -> str:
        """Return the message and the remedy."""
        return f"{super().__str__()} - {self.remedy}"


class InFlightBudgetError(InsufficientCreditsError):
    """Requests that are running hold the budget: wait `retry_after` seconds and try again."""

    is_retryable = True

    @property
    def remedy(self) -> str:
        """What to do: wait, and hold less of the budget."""
        wait = "wait" if self.retry_after is None else f"wait {self.retry_after:g} s"
        return (
            f"{wait} and try again; fewer requests at once and a lower `max_tokens` hold less of "
            "the budget"
        )


class PermissionDeniedError(ResponseError, core.ModelPermissionDeniedError):
    """The key has no permission for this request."""


class ModerationError(PermissionDeniedError):
    """The input was flagged for `reasons`.

    `flagged_input` is an excerpt of the prompt: it is in no message; keep it out of logs.
    """

    @property
    def reasons(self) -> list[str]:
        """Why the input was flagged."""
        return [str(reason) for reason in get_list(self.metadata, "reasons") or ()]

    @property
    def flagged_input(self) -> str | None:
        """The flagged text, shortened by the service to about 100 characters."""
        return get_str(self.metadata, "flagged_input")


class ModelUnavailableError(ResponseError, core.ModelNotFoundError):
    """No endpoint serves this model under these constraints; `availability` says why."""


class RateLimitError(ResponseError, core.ModelRateLimitError):
    """Too many requests; `retry_after` has the seconds to wait, if the service sent them."""

    @property
    def limit_source(self) -> str | None:
        """Whose limit it is, such as `upstream_provider_shared_pool`; None if not sent."""
        return get_str(self.metadata, "limit_source")


class RequestTimeoutError(ResponseError, core.ModelTimeoutError):
    """OpenRouter or the provider timed out."""


class RefusalError(ResponseError, _ModelRefusalError):
    """The model refused: a structured answer, of which `partial` is the message, or the request."""

    @property
    def raw_message(self) -> AIMessage | None:  # type: ignore[override]
        """The answer that holds the refusal: LangChain's name for `partial`."""
        return self.partial


class UpstreamError(ResponseError, core.ModelAPIError):
    """The provider failed, before or during the answer, or the body cannot be read."""


class ConnectionFailedError(OpenRouterError, core.ModelConnectionError):
    """No response was received, or it was cut short: `partial` holds the part that arrived."""


class ConnectionTimeoutError(ConnectionFailedError, core.ModelTimeoutError):
    """No byte arrived for `timeout` seconds."""


class DeadlineError(ConnectionTimeoutError):
    """The answer was not complete after `deadline` seconds; `partial` holds what arrived."""

    is_retryable = False


class SignInError(OpenRouterError):
    """The sign-in ended without a key. Start a new one to try again: a code works once."""

    is_retryable = False


class SignInDeniedError(SignInError):
    """The user denied the sign-in on OpenRouter's page."""


class SignInTimeoutError(SignInError):
    """The sign-in was not completed in time."""


class SignInExpiredError(SignInError):
    """The code, which is valid for ten minutes, or the sealed sign-in has expired."""


class SignInCodeError(SignInError):
    """The code is missing, wrong, already used, or belongs to another sign-in."""


class SignInSealError(SignInError):
    """The sealed sign-in was altered, or sealed with another secret."""


class SignInChallengeError(SignInError):
    """The service does not accept the challenge method S256."""


class SignInConnectionError(SignInError):
    """The exchange failed on the network: no request or no response arrived."""


class SignInRefusedError(SignInError):
    """The service refused the exchange for another reason; `code` is the HTTP status."""


class SignInListenerError(SignInError):
    """No redirect can be received on this machine: use `mode="headless"`."""


class CostLimitError(OpenRouterError):
    """A ceiling is reached, or a call's estimate does not fit: the call was not sent.

    Attributes:
        spent: What the calls under the ceiling have cost, USD.
        max_cost: The ceiling, USD.
        by_model: What the calls of each model have cost, USD.
        estimate: What the refused call was estimated to cost, USD; None if the ceiling is reached.
    """

    is_retryable = False

    spent: float = 0.0
    max_cost: float = 0.0
    by_model: Mapping[str, float] = MappingProxyType({})
    estimate: float | None = None

    @classmethod
    def build(
        cls, spent: float, max_cost: float, by_model: dict[str, float], estimate: float | None
    ) -> CostLimitError:
        """Return the error of a call that was refused."""
        parts = ", ".join(f"{model} ${cost:.6g}" for model, cost in sorted(by_model.items()))
        text = f"${spent:.6g} of ${max_cost:.6g} are spent" + (f" ({parts})" if parts else "")
        if estimate is not None:
            text += f", and this call may cost ${estimate:.6g}"

        error = cls(f"{text}: it was not sent. Raise `max_cost` to go on")
        error.spent, error.max_cost, error.by_model = spent, max_cost, by_model
        error.estimate = estimate
        return error


class KeyStoreError(OpenRouterError):
    """A stored key cannot be read, or there is no store to write one to."""

    is_retryable = False


class BatchError(OpenRouterError):
    """A batch cannot begin, or go on, as it was called: two rows with one key, a foreign output."""

    is_retryable = False


class BatchChangedError(BatchError):
    """The output has results of another model, prompt, schema or input: they are not mixed."""


class BatchInUseError(BatchError):
    """Another process is writing the output."""

    is_retryable = True


class BatchTimeoutError(BatchError):
    """The batches at OpenRouter did not end in time; they run on, and can be waited for again."""

    is_retryable = True


class BatchRowError(BatchError):
    """A row of a batch at OpenRouter has no result: the batch failed, expired or was canceled.

    `is_retryable` says whether the row may be sent again as it is.
    """


# Former names of the exceptions, which stay importable.
InvalidCodeError = SignInCodeError
InvalidSealError = SignInSealError
ChallengeMethodError = SignInChallengeError
ListenerError = SignInListenerError
