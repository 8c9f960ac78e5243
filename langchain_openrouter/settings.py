"""`OpenRouterSettings`: defaults from keywords, the environment and, on request, files.

Precedence is keyword > `settings=` > `OPENROUTER_*` environment > default. Nothing named
`OPENAI_*` or `LANGSMITH_*` is read. A `.env` file or a folder of secrets is read on request
only: `OpenRouterSettings(_env_file=".env")`, `OpenRouterSettings(_secrets_dir="/run/secrets")`.
"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from langchain_openrouter._environ import variables_with_prefix
from langchain_openrouter._http.api_key import (
    InferenceSecret,
    ManagementKey,
    refuse_management_key,
)
from langchain_openrouter._http.limits import ResponseLimits, response_limits
from langchain_openrouter._http.management_key import to_management_key
from langchain_openrouter._http.retry_after import RetryLimits, retry_limits
from langchain_openrouter._http.urls import BASE_URL, validate_base_url
from langchain_openrouter.errors import ConnectionFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic_settings.sources import DotenvType, PathType

__all__ = [
    "OpenRouterSettings",
    "ResponseLimits",
    "RetryLimits",
    "response_limits",
    "retry_limits",
]

TIMEOUT = 300.0
MAX_RETRIES = 2


def _env_aliases(*names: str) -> Any:
    """Return the names that a field is read from: its keyword and environment variables."""
    return AliasChoices(*names)


class OpenRouterSettings(BaseSettings):
    """Settings from keywords, the environment and, on request, files.

    An empty variable counts as unset. No error shows a value.

    Raises:
        pydantic.ValidationError: A value does not fit, or a keyword is not known.
    """

    model_config = SettingsConfigDict(
        env_prefix="OPENROUTER_",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    api_key: SecretStr | None = None
    """Sent as a Bearer token. `OPENROUTER_API_KEY`."""

    management_key: ManagementKey | None = None
    """The key of the management API, for `Accounts` alone. `OPENROUTER_MANAGEMENT_KEY`."""

    base_url: str = Field(
        BASE_URL,
        validation_alias=_env_aliases("base_url", "OPENROUTER_BASE_URL", "OPENROUTER_API_BASE"),
    )
    """https, or http on loopback. `OPENROUTER_BASE_URL` or `OPENROUTER_API_BASE`."""

    app_url: str | None = Field(
        None,
        validation_alias=_env_aliases("app_url", "OPENROUTER_APP_URL", "OPENROUTER_HTTP_REFERER"),
    )
    """`HTTP-Referer`: names the app in OpenRouter's rankings. None by default.

    See https://openrouter.ai/docs/app-attribution.
    """

    app_title: str | None = Field(
        None,
        validation_alias=_env_aliases(
            "app_title", "OPENROUTER_APP_TITLE", "OPENROUTER_X_OPEN_ROUTER_TITLE"
        ),
    )
    """`X-OpenRouter-Title`. Characters outside ASCII are sent percent-encoded (UTF-8)."""

    app_categories: Annotated[list[str] | None, NoDecode] = Field(
        None,
        validation_alias=_env_aliases(
            "app_categories", "OPENROUTER_APP_CATEGORIES", "OPENROUTER_X_OPEN_ROUTER_CATEGORIES"
        ),
    )
    """`X-OpenRouter-Categories`: at most two a request. Comma-separated in the environment."""

    session_id: str | None = Field(None, max_length=256)
    """Groups requests and keeps them on one endpoint, for prompt caching."""

    timeout: float = Field(TIMEOUT, gt=0)
    """Seconds without a byte after which a request fails. Any byte restarts it."""

    max_retries: int = Field(MAX_RETRIES, ge=0)
    """How often a failed request is repeated before the error is raised; 0 means never."""

    if TYPE_CHECKING:

        def __init__(  # noqa: PLR0913 - each is optional
            self,
            *,
            api_key: SecretStr | str | None = None,
            management_key: ManagementKey | SecretStr | str | None = None,
            base_url: str | None = None,
            app_url: str | None = None,
            app_title: str | None = None,
            app_categories: Sequence[str] | None = None,
            session_id: str | None = None,
            timeout: float | None = None,
            max_retries: int | None = None,
            _env_file: DotenvType | None = None,
            _env_file_encoding: str | None = None,
            _secrets_dir: PathType | None = None,
        ) -> None: ...

    else:

        def __init__(self, **values: Any) -> None:
            fields = type(self).model_fields
            unknown = [name for name in values if name not in fields and name[:1] != "_"]
            if unknown:
                raise TypeError(unknown_argument_message(unknown[0], fields))

            super().__init__(**{name: value for name, value in values.items() if value is not None})

    @field_validator("app_categories", mode="before")
    @classmethod
    def _split_categories(cls, value: Any) -> Any:
        """Parse `a,b` or a JSON list."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return json.loads(value)
        return [part.strip() for part in value.split(",") if part.strip()]

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return validate_base_url(value)

    @field_validator("management_key", mode="before")
    @classmethod
    def _check_management_key(cls, value: Any) -> Any:
        return to_management_key(value)

    @field_validator("api_key", mode="before")
    @classmethod
    def _check_api_key(cls, value: Any) -> Any:
        refuse_management_key(value)
        return value


class EnvironmentKey(InferenceSecret):
    """The key that the environment had when a model was created, for display.

    The key that is sent is read from the environment again for each request.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle no key: where it is loaded, the environment is read again."""
        return shown_api_key, ()


class EnvironmentManagementKey(ManagementKey):
    """The management key that the environment had, like `EnvironmentKey`."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle no key: where it is loaded, the environment is read again."""
        return shown_management_key, ()


class EnvironmentUrl(str):
    """The base URL that the environment had, like `EnvironmentKey`."""

    __slots__ = ()


_FROM_ENVIRONMENT = (EnvironmentKey, EnvironmentManagementKey, EnvironmentUrl)
_READ_PER_REQUEST = ("api_key", "management_key", "base_url")
_environment: tuple[int, OpenRouterSettings] | None = None


def _environment_digest() -> int:
    """Return a hash of the OPENROUTER_* variables; no frame holds their values."""
    return hash(variables_with_prefix("OPENROUTER_"))


def environment_settings() -> OpenRouterSettings:
    """Return the settings of the environment as it is now, parsed again only if it changed.

    Raises:
        pydantic.ValidationError: A variable does not fit.
    """
    global _environment  # noqa: PLW0603 - one entry, for the one environment of a process

    digest = _environment_digest()

    cached = _environment
    if cached is None or cached[0] != digest:
        cached = _environment = (digest, OpenRouterSettings())
    return cached[1]


class _EndpointSettings(BaseSettings):
    """What is read for each request, so that no other invalid variable makes it fail."""

    model_config = SettingsConfigDict(
        env_prefix="OPENROUTER_", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    api_key: SecretStr | None = None
    management_key: SecretStr | None = None
    base_url: str = Field(
        BASE_URL,
        validation_alias=_env_aliases("base_url", "OPENROUTER_BASE_URL", "OPENROUTER_API_BASE"),
    )


def _endpoint() -> _EndpointSettings:
    """Return key and base URL of the environment as it is now, parsed again only if it changed."""
    global _endpoint_cache  # noqa: PLW0603 - one entry, for the one environment of a process
    digest = _environment_digest()
    cached = _endpoint_cache
    if cached is None or cached[0] != digest:
        cached = _endpoint_cache = (digest, _EndpointSettings())  # type: ignore[call-arg]
    return cached[1]


_endpoint_cache: tuple[int, _EndpointSettings] | None = None


def environment_api_key() -> SecretStr | None:
    """Return the API key of the environment as it is now."""
    return _endpoint().api_key


def environment_management_key() -> SecretStr | None:
    """Return the management key of the environment as it is now."""
    return _endpoint().management_key


def environment_base_url() -> str:
    """Return the base URL of the environment as it is now.

    Raises:
        ConnectionFailedError: It is not one that a key may be sent to.
    """
    try:
        return validate_base_url(_endpoint().base_url)
    except ValueError as error:
        msg = f"OPENROUTER_BASE_URL cannot be used: {error}"
        raise ConnectionFailedError(msg, is_retryable=False) from None


def shown_api_key() -> EnvironmentKey | None:
    """Return the default of a key field."""
    key = environment_settings().api_key
    return None if key is None else EnvironmentKey(key.get_secret_value())


def shown_management_key() -> EnvironmentManagementKey | None:
    """Return the default of a field for a management key."""
    key = environment_settings().management_key
    return None if key is None else EnvironmentManagementKey(key.get_secret_value())


def shown_base_url() -> EnvironmentUrl:
    """Return the default of a base URL field."""
    return EnvironmentUrl(environment_settings().base_url)


def resolve_settings(values: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Fill in missing arguments from `settings`, the environment, or the defaults.

    Key and base URL of the environment are left out: they are read when a request is sent.

    Args:
        values: Arguments by field; changed in place, a `settings` among them is removed.
        names: The field that each setting fills.

    Raises:
        ValueError: `settings` is not an `OpenRouterSettings`.
    """
    explicit = values.pop("settings", None)
    if explicit is not None and not isinstance(explicit, OpenRouterSettings):
        msg = "`settings` must be an OpenRouterSettings"
        raise ValueError(msg)

    settings = explicit or environment_settings()
    for name, field in names.items():
        if isinstance(values.get(field), _FROM_ENVIRONMENT):
            del values[field]  # copied from another model's fields
        if name in _READ_PER_REQUEST and explicit is None:
            continue
        is_unlimited = name == "timeout" and field in values
        if values.get(field) is None and not is_unlimited:
            values[field] = getattr(settings, name)
    return values


def unknown_argument_message(name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown argument, with the closest known name."""
    known = set(known)
    official = name.removeprefix("openrouter_")  # as LangChain's own package names some fields
    nearest = [official] if official in known else difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{nearest[0]}`?" if nearest else "`help(ChatOpenRouter)` has them all."

    return (
        f"unknown argument `{name}`: {hint} "
        "A field of the API that this package does not know goes into `model_kwargs`."
    )
