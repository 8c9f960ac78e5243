"""The arguments of the model: what it may be told, what is refused, and where defaults come from.

The parent reads the environment of OpenAI and of LangSmith's gateway, makes clients and infers
rules from the model's name; each of its validators that does so is replaced here by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from langchain_openrouter import wire
from langchain_openrouter._http.api_key import to_secret
from langchain_openrouter._http.headers import request_headers
from langchain_openrouter._http.timeouts import validate_timeout
from langchain_openrouter._http.urls import validate_base_url
from langchain_openrouter._model_profiles import profile_of
from langchain_openrouter._version import VERSION
from langchain_openrouter.chat_models._private_arguments import PRIVATE_KWARGS
from langchain_openrouter.chat_models._request import FIELD_NAMES, merge_provider
from langchain_openrouter.settings import (
    MAX_RETRIES,
    TIMEOUT,
    EnvironmentKey,
    EnvironmentUrl,
    environment_api_key,
    environment_settings,
    resolve_settings,
    shown_api_key,
    shown_base_url,
    unknown_argument_message,
)

if TYPE_CHECKING:
    from langchain_core.language_models import ModelProfile

    from langchain_openrouter.settings import OpenRouterSettings

if TYPE_CHECKING:
    Provider = wire.ProviderPreferences | dict[str, Any]
    Reasoning = wire.Reasoning | dict[str, Any]
    Plugins = Sequence[wire.Plugin | dict[str, Any]]
else:  # pydantic would drop the keys that a TypedDict does not name
    Provider = Reasoning = dict[str, Any]
    Plugins = list[dict[str, Any]]

_SYNONYMS = {"openrouter_api_key": "openai_api_key", "openrouter_api_base": "openai_api_base",
             "provider": "openrouter_provider", "stop_sequences": "stop"}  # fmt: skip
_SETTINGS = {
    "api_key": "openai_api_key",
    "base_url": "openai_api_base",
    "timeout": "request_timeout",
    "max_retries": "max_retries",
    "app_url": "app_url",
    "app_title": "app_title",
    "app_categories": "app_categories",
    "session_id": "session_id",
}
# Fields of the parent that are OpenAI's: accepted as None, refused with a value, since it would do
# nothing. They are no fields of ours: each takes room in every copy of a model.
_REFUSED = {
    "organization": "OpenRouter has no organisations on the wire",
    "openai_organization": "OpenRouter has no organisations on the wire",
    "openai_proxy": "set HTTPS_PROXY, or pass `http_client=` and `http_async_client=`",
    "http_socket_options": "pass `http_client=` and `http_async_client=`",
    "tiktoken_model_name": "tokens are counted approximately, with no tokeniser",
    "stream_chunk_timeout": "`timeout=` is started anew by every byte",
    "context_management": "it belongs to the Responses API",
    "include": "it belongs to the Responses API",
    "store": "it belongs to the Responses API",
    "truncation": "it belongs to the Responses API",
    "use_previous_response_id": "it belongs to the Responses API",
    "use_responses_api": "ChatOpenRouter speaks Chat Completions; for the other endpoint use "
    "ChatOpenAI(base_url='https://openrouter.ai/api/v1', use_responses_api=True)",
}

_FIELDS_OF_COPY = {
    "api_key": "openai_api_key",
    "openrouter_api_key": "openai_api_key",
    "base_url": "openai_api_base",
    "openrouter_api_base": "openai_api_base",
}
"""Words of the constructor that `model_copy(update=...)` takes too."""

_SENT = tuple(
    (name, FIELD_NAMES.get(name, name))
    for name in wire.REQUEST_FIELDS
    if name not in {"messages", "prompt", "stream"}
)


class Arguments(BaseChatOpenAI):
    """Every constructor argument of `ChatOpenRouter`, resolved and checked."""

    model_config = ConfigDict(
        populate_by_name=True, hide_input_in_errors=True, protected_namespaces=()
    )

    _SECRET: ClassVar[str] = "openai_api_key"  # noqa: S105 - the field's name

    model_name: str = Field(alias="model")
    """Slug, as `author/model[:variant]`. Nothing is inferred from it."""

    openai_api_key: SecretStr | str | Callable[[], Any] | None = Field(  # type: ignore[assignment]
        default_factory=shown_api_key, alias="api_key", repr=False
    )
    """The key: a string, or a sync or async callable that is asked before each request.

    Without one, OPENROUTER_API_KEY is read when a request is sent.
    """

    openai_api_base: str = Field(default_factory=shown_base_url, alias="base_url")
    """https, or http on loopback. Without one, OPENROUTER_BASE_URL is read for each request."""

    stream_chunk_timeout: float | None = None
    client: ClassVar[Any] = None  # type: ignore[misc]
    async_client: ClassVar[Any] = None  # type: ignore[misc]
    root_client: ClassVar[Any] = None  # type: ignore[misc]
    root_async_client: ClassVar[Any] = None  # type: ignore[misc]
    openai_organization: ClassVar[None] = None  # type: ignore[misc]
    openai_proxy: ClassVar[None] = None  # type: ignore[misc]
    http_socket_options: ClassVar[None] = None  # type: ignore[misc]
    tiktoken_model_name: ClassVar[None] = None  # type: ignore[misc]
    context_management: ClassVar[None] = None  # type: ignore[misc]
    include: ClassVar[None] = None  # type: ignore[misc]
    store: ClassVar[None] = None  # type: ignore[misc]
    truncation: ClassVar[None] = None  # type: ignore[misc]
    use_previous_response_id: ClassVar[bool] = False  # type: ignore[misc]
    use_responses_api: ClassVar[bool] = False  # type: ignore[misc]

    request_timeout: float | tuple[float, float] | Any | None = Field(
        default=TIMEOUT, alias="timeout"
    )
    """Seconds without a byte after which an answer is given up; any byte starts it anew.

    A pair is (connect, idle). Connecting has 10 s. None waits for ever.
    """

    max_retries: int = Field(default=MAX_RETRIES, ge=0)
    """Repeats after 408, 429, 5xx and connection errors; Retry-After is obeyed up to 60 s."""

    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with every request; wins over ours, in any case. Never traced or serialised."""

    extra_body: Mapping[str, Any] | None = Field(default=None, exclude=True, repr=False)
    """Merged into the body last; `provider` key by key. Never traced or serialized."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)
    """Fields of the API that this package does not know. Never traced or serialized."""

    default_query: Mapping[str, object] | None = Field(default=None, exclude=True, repr=False)
    """Sent in the address of every request. Never traced or serialized."""

    app_url: str | None = None
    """`HTTP-Referer`. See https://openrouter.ai/docs/app-attribution."""
    app_title: str | None = None
    """`X-OpenRouter-Title`."""
    app_categories: list[str] | None = None
    """`X-OpenRouter-Categories`."""

    models: list[str] | None = None
    """Fallbacks, in order. https://openrouter.ai/docs/features/model-routing"""
    preset: str | None = None
    openrouter_provider: Provider | None = None
    """Which endpoints may serve. A call's preferences are merged into these, key by key."""
    route: str | None = None
    plugins: Plugins | None = None
    session_id: str | None = Field(default=None, max_length=256)
    trace: dict[str, Any] | None = None
    user: str | None = None
    """Your user's id: keeps one user's abuse from blocking the account."""
    request_metadata: dict[str, str] | None = None
    """The wire's `metadata`. LangChain's own `metadata` is for tracing and is not sent."""

    reasoning: Reasoning | None = None  # type: ignore[assignment]
    """`{"effort": "high"}`, `{"max_tokens": 2000}`, ... https://openrouter.ai/docs/use-cases/reasoning-tokens"""
    include_reasoning: bool | None = None
    max_completion_tokens: int | None = None
    top_k: int | None = None
    top_a: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[str | int, float] | None = None  # type: ignore[assignment]
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    stop_server_tools_when: list[dict[str, Any]] | None = None
    deferred_tools: dict[str, Any] | None = None
    structured_outputs: bool | None = None
    web_search_options: dict[str, Any] | None = None
    x_search_filter: dict[str, Any] | None = None
    modalities: list[str] | None = None
    image_config: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    speed: str | None = None
    cache_control: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    debug: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    stream_options: dict[str, Any] | None = None
    stop: list[str] | str | None = None
    tools: list[dict[str, Any]] | None = None
    """Sent with every call that binds none."""
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None

    if TYPE_CHECKING:  # further words of the constructor, which fill the fields above
        provider: Provider | None = None
        stop_sequences: list[str] | str | None = None
        openrouter_api_base: str | None = None
        settings: OpenRouterSettings | None = None

    # --- construction ---------------------------------------------------------------------

    @model_validator(mode="before")
    @classmethod
    def build_extra(cls, values: Any) -> Any:
        """Refuse unknown arguments and fill in what the settings say."""
        if not isinstance(values, dict):
            return values
        by_alias: dict[str, str] = {
            field.alias or name: name for name, field in cls.model_fields.items()
        }
        known = {*by_alias, *cls.model_fields, *_SYNONYMS, *_REFUSED, "settings"}
        given: dict[str, Any] = {}
        name: str
        for name, value in values.items():
            if name not in known:
                raise ValueError(unknown_argument_message(name, known))
            name = _SYNONYMS.get(name, by_alias.get(name, name))  # noqa: PLW2901
            if name in _REFUSED:
                if value in (None, False):
                    continue
                msg = f"`{name}` is not an argument of ChatOpenRouter: {_REFUSED[name]}"
                raise ValueError(msg)
            given[name] = to_secret(value) if name == cls._SECRET else value
        if given.get(cls._SECRET) is None and cls._SECRET not in values:
            given.pop(cls._SECRET, None)  # `api_key=None` is no key of its own
        if given.get("openai_api_base") is None:
            given.pop("openai_api_base", None)
        return resolve_settings(_without_private_kwargs(given), _SETTINGS)

    @field_validator("openai_api_base")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return validate_base_url(value)

    @field_validator("request_timeout")
    @classmethod
    def _check_timeout(cls, value: Any) -> Any:
        return validate_timeout(value)

    @model_validator(mode="before")
    @classmethod
    def validate_temperature(cls, values: Any) -> Any:
        """Replace the parent's rules by model name: a slug tells nothing."""
        return values

    @model_validator(mode="after")
    def _infer_use_responses_api(self) -> Self:
        """Replace the parent's guess: only Chat Completions are spoken."""
        return self

    @model_validator(mode="after")
    def validate_environment(self) -> Self:
        """Check what can be known now; the environment of other services is not read."""
        if self.n is not None and self.n < 1:
            msg = "n must be at least 1"
            raise ValueError(msg)
        if self.n is not None and self.n > 1 and self.streaming:
            msg = "n must be 1 when streaming"
            raise ValueError(msg)
        self._headers(None)
        if self.__dict__.get("profile", True) is None:
            del self.__dict__["profile"]
        return self

    @model_validator(mode="after")
    def _set_openrouter_version(self) -> Self:
        self._add_version("langchain-openrouter-oauth", VERSION)
        return self

    def _resolve_model_profile(self) -> ModelProfile | None:
        """Leave it to `__getattr__`: most models are never asked for their profile."""
        return None

    if not TYPE_CHECKING:  # a checker takes every name for one that this has

        def __getattr__(self, name: str) -> Any:
            """Look the profile up when it is first asked for; unknown stays None."""
            if name != "profile":
                return super().__getattr__(name)
            profile = self.__dict__["profile"] = profile_of(self.model_name)
            return profile

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep an assigned key out of every repr and dump; check an assigned base URL."""
        super().__setattr__(name, _checked_field(name, value))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy; `update` may hold another user's key under its field's name or `api_key`."""
        fields = {
            (field := _FIELDS_OF_COPY.get(name, name)): _checked_field(field, value)
            for name, value in (update or {}).items()
        }
        copy = super().model_copy(update=fields, deep=deep)
        copy.__dict__.pop("_serialized", None)
        return copy

    def _key_source(self) -> Any:
        """Return the key, or the callable that gives it when a request is sent."""
        key = self.openai_api_key
        if isinstance(key, EnvironmentKey) or (
            key is None and self._SECRET not in self.model_fields_set
        ):
            return environment_api_key
        return key

    def _base_url(self) -> str:
        """Return the base URL of a request that is sent now."""
        url = self.openai_api_base
        return environment_settings().base_url if isinstance(url, EnvironmentUrl) else url

    @property
    def _default_params(self) -> dict[str, Any]:
        """Return the fields of the body that this model sets, by wire name."""
        values = self.__dict__
        params = {
            name: value
            for name, field in _SENT
            if (value := values.get(field)) is not None and (value or name != "stop")
        }
        extra = {k: v for k, v in self.model_kwargs.items() if v is not None}
        if "provider" in params and "provider" in extra:
            extra["provider"] = merge_provider(params["provider"], extra["provider"])
        return {**params, **extra}

    def _headers(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        return request_headers(
            self.app_url, self.app_title, self.app_categories, self.default_headers, extra
        )


def _checked_field(name: str, value: Any) -> Any:
    """Return a field that is assigned or copied in, as the constructor would keep it.

    Raises:
        ValueError: It is a base URL that the constructor would refuse.
    """
    if name == "openai_api_key":
        return to_secret(value)
    if name == "openai_api_base" and isinstance(value, str) and type(value) is not EnvironmentUrl:
        return validate_base_url(value)
    if name == "request_timeout":
        return validate_timeout(value)
    return value


def _without_private_kwargs(values: dict[str, Any]) -> dict[str, Any]:
    """Move headers, query and body out of `model_kwargs`, where they would be sent as a body.

    Raises:
        ValueError: One of them is no mapping.
    """
    extra = values.get("model_kwargs")
    if not isinstance(extra, Mapping) or not any(name in extra for name in PRIVATE_KWARGS):
        return values

    homes = {"extra_headers": "default_headers", "extra_query": "default_query"}
    moved = dict(values)
    for name in PRIVATE_KWARGS:
        value = extra.get(name)
        if value is None:
            continue
        if not isinstance(value, Mapping):
            msg = f"model_kwargs[{name!r}] must be a mapping: pass it as `{homes.get(name, name)}=`"
            raise ValueError(msg)  # noqa: TRY004 - pydantic reports ValueErrors
        home = homes.get(name, name)
        moved[home] = {**value, **(moved.get(home) or {})}
    moved["model_kwargs"] = {k: v for k, v in extra.items() if k not in PRIVATE_KWARGS}
    return moved
