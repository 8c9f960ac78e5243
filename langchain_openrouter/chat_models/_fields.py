"""The fields of the model: their defaults, the key and the base URL.

The parent reads the environment of OpenAI and of LangSmith's gateway, makes clients and infers
rules from the model's name. Each of its validators that does so is replaced here by one of the same
name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping  # noqa: TC003 - pydantic reads the annotations
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Self

from langchain_core.language_models.model_profile import _warn_unknown_profile_keys
from pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from langchain_openrouter import wire
from langchain_openrouter._distribution import VERSION
from langchain_openrouter._http.deadlines import validate_deadline
from langchain_openrouter._http.headers import feature_headers, request_headers
from langchain_openrouter._http.timeouts import validate_timeout
from langchain_openrouter._http.urls import validate_base_url
from langchain_openrouter._model_profiles import OWN_KEYS, profile_of
from langchain_openrouter._provider_preferences import merge_provider
from langchain_openrouter._pydantic import set_attribute
from langchain_openrouter._shortcuts import shortcuts
from langchain_openrouter.chat_models._arguments import (
    API_KEY_FIELD,
    FIELDS_OF_COPY,
    resolve_arguments,
    settings_of,
    validate_field,
)
from langchain_openrouter.chat_models._endpoints import Endpoint, endpoint_for
from langchain_openrouter.chat_models._parsing import PROVIDER
from langchain_openrouter.chat_models._private_arguments import reveal
from langchain_openrouter.chat_models._request import FIELD_NAMES
from langchain_openrouter.chat_models._request_fields import Provider, RequestFields
from langchain_openrouter.chat_models._shared_dump import forget, serialize, share
from langchain_openrouter.chat_models._usage import sum_usage
from langchain_openrouter.settings import (
    MAX_RETRIES,
    TIMEOUT,
    EnvironmentKey,
    EnvironmentUrl,
    environment_api_key,
    environment_base_url,
    shown_api_key,
    shown_base_url,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.language_models import LangSmithParams, ModelProfile

    from langchain_openrouter.settings import OpenRouterSettings

# Names on the wire, in the order of the body, with the fields that hold the values.
_WIRE_FIELDS = tuple(
    (name, FIELD_NAMES.get(name, name))
    for name in (*wire.REQUEST_FIELDS, *wire.RESPONSES_FIELDS)
    if name not in {"messages", "prompt", "stream", "store"}
)
_WIRE_INDEX = {field: index for index, (_, field) in enumerate(_WIRE_FIELDS)}
# Fields whose empty value means that they are not set.
_EMPTY_IS_UNSET = {"stop", "session_id", "user"}


@lru_cache(maxsize=64)
def _fields_with_default(kind: type[RequestFields]) -> frozenset[int]:
    """Return the indexes in `_WIRE_FIELDS` of the fields that may have a value without being set.

    A default that is validated may become another.
    """
    fields = kind.model_fields
    are_validated = kind.model_config.get("validate_default", False)

    return frozenset(
        index
        for name, index in _WIRE_INDEX.items()
        if (field := fields.get(name)) is not None
        and (
            are_validated
            or field.validate_default
            or field.get_default(call_default_factory=False) is not None
        )
    )


class ChatOpenRouterFields(RequestFields):
    """The fields of `ChatOpenRouter`, resolved and checked.

    An argument comes from its keyword, else from `settings=`, else from the environment
    (`OPENROUTER_*`), else from the default.
    """

    model_config = ConfigDict(
        populate_by_name=True, hide_input_in_errors=True, protected_namespaces=()
    )

    # --- model, key and address -----------------------------------------------------------

    if TYPE_CHECKING:  # a checker then accepts the slug alone, and both names
        model: str = Field(default="", kw_only=False)
        model_name: str = ""
    else:
        model_name: str = Field(alias="model")
    """Slug, as `author/model[:variant]`. Nothing is inferred from it."""

    openai_api_key: SecretStr | str | Callable[[], Any] | None = Field(  # type: ignore[assignment]
        default_factory=shown_api_key, alias="api_key", repr=False
    )
    """The key: a string, or a sync or async callable that is called before each request.

    Without one, OPENROUTER_API_KEY is read when a request is sent.
    """

    openai_api_base: str = Field(default_factory=shown_base_url, alias="base_url")
    """https, or http on loopback. Without one, OPENROUTER_BASE_URL is read for each request."""

    # --- sending --------------------------------------------------------------------------

    request_timeout: float | tuple[float, float] | Any | None = Field(
        default=TIMEOUT, alias="timeout"
    )
    """Seconds to wait for the next byte of a response; every byte restarts the wait.

    A pair is (connect, idle). The limit for connecting is 10 s unless given. None waits without a
    limit.
    """

    deadline: float | None = None
    """Seconds that a call may take in all, its retries and the reading of its stream included.

    `timeout` limits the wait for the next byte alone. After it `DeadlineError` is raised, with what
    has come as its `partial`. None sets no limit.
    """

    max_retries: int = Field(default=MAX_RETRIES, ge=0)
    """Retries after 408, 429, 5xx, connection errors and a 402 that passes. `Retry-After` is obeyed
    up to 60 s, after that 402 up to 120 s; see `settings.retry_limits`."""

    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with every request, instead of the package's own whatever the case of the names.

    Never traced or serialized.
    """

    extra_body: Mapping[str, Any] | None = Field(default=None, exclude=True, repr=False)
    """Merged into the body last; `provider` key by key. Never traced or serialized."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)
    """Fields of the API that this package does not know. Never traced or serialized.

    A field that it knows may be here instead of in its argument, but not in both: that is refused,
    and so is the name of an argument that is no field of the API. Only `provider` may be in both,
    and is merged. In a model that was changed later, `model_kwargs` wins over the fields.
    """

    default_query: Mapping[str, object] | None = Field(default=None, exclude=True, repr=False)
    """Added to the URL of every request. Never traced or serialized."""

    # --- attribution: https://openrouter.ai/docs/app-attribution ----------------------------

    app_url: str | None = None
    """`HTTP-Referer`: the app's URL."""
    app_title: str | None = None
    """`X-OpenRouter-Title`: the app's name."""
    app_categories: list[str] | None = None
    """`X-OpenRouter-Categories`: at most two a request."""

    if TYPE_CHECKING:  # further arguments of the constructor, which set the fields above
        provider: Provider | None = None
        stop_sequences: list[str] | str | None = None
        openrouter_api_base: str | None = None
        settings: OpenRouterSettings | None = None
        openrouter_api_key: SecretStr | str | Callable[[], Any] | None = None
    else:
        # The fields under those names.
        provider = property(attrgetter("openrouter_provider"), doc="`openrouter_provider`.")
        stop_sequences = property(attrgetter("stop"), doc="`stop`.")
        openrouter_api_base = property(attrgetter("openai_api_base"), doc="`base_url`.")
        openrouter_api_key = property(attrgetter(API_KEY_FIELD), doc="`api_key`.")
        settings = property(settings_of)

        def __init__(self, model: str | None = None, /, **values: Any) -> None:
            """Make a model; the slug may be given without `model=`."""
            if model is not None:
                if "model" in values or "model_name" in values:
                    msg = "the model is given twice: by position and by name"
                    raise TypeError(msg)
                values["model"] = model
            super().__init__(**values)

    # --- fields of the parent that are not fields here ------------------------------------

    # A model holds no client: the connections of a process are shared (`_http.pools`).
    client: ClassVar[Any] = None  # type: ignore[misc]
    async_client: ClassVar[Any] = None  # type: ignore[misc]
    root_client: ClassVar[Any] = None  # type: ignore[misc]
    root_async_client: ClassVar[Any] = None  # type: ignore[misc]
    # `_arguments` says what to use instead.
    openai_organization: ClassVar[None] = None  # type: ignore[misc]
    openai_proxy: ClassVar[None] = None  # type: ignore[misc]
    http_socket_options: ClassVar[None] = None  # type: ignore[misc]
    tiktoken_model_name: ClassVar[None] = None  # type: ignore[misc]
    include: ClassVar[None] = None  # type: ignore[misc]
    truncation: ClassVar[None] = None  # type: ignore[misc]
    context_management: ClassVar[None] = None  # type: ignore[misc]
    store: ClassVar[None] = None  # type: ignore[misc]
    use_previous_response_id: ClassVar[bool] = False  # type: ignore[misc]
    stream_chunk_timeout: ClassVar[None] = None  # type: ignore[misc]

    # --- construction ---------------------------------------------------------------------

    @model_validator(mode="before")
    @classmethod
    def build_extra(cls, values: Any) -> Any:
        """Refuse unknown arguments, and fill in those that come from settings.

        Replaces the parent's validator, which moves unknown arguments into `model_kwargs`.
        """
        if not isinstance(values, dict):
            return values
        return resolve_arguments(values, cls.model_fields)

    @field_validator("openai_api_base")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return validate_base_url(value)

    @field_validator("request_timeout")
    @classmethod
    def _check_timeout(cls, value: Any) -> Any:
        return validate_timeout(value)

    @field_validator("deadline", mode="before")
    @classmethod
    def _check_deadline(cls, value: Any) -> Any:
        return validate_deadline(value)

    @field_validator("stream_chunk_timeout", check_fields=False)
    @classmethod
    def _validate_stream_chunk_timeout(cls, value: Any) -> Any:
        """Replace the parent's validator of a field that is none here."""
        return value

    @model_validator(mode="before")
    @classmethod
    def validate_temperature(cls, values: Any) -> Any:
        """Change nothing: the parent's rules by model name are OpenAI's."""
        return values

    @model_validator(mode="after")
    def _infer_use_responses_api(self) -> Self:
        """Change nothing: the parent may choose the Responses API here."""
        return self

    @model_validator(mode="after")
    def validate_environment(self) -> Self:
        """Check combinations of fields.

        Replaces the parent's validator, which reads the environment of OpenAI and makes clients.
        """
        if self.n is not None and self.n < 1:
            msg = "n must be at least 1"
            raise ValueError(msg)
        if self.n is not None and self.n > 1 and self.streaming:
            msg = "n must be 1 when streaming"
            raise ValueError(msg)

        self._headers({})  # raises if a header is not accepted
        if self.__dict__.get("profile", True) is None:
            del self.__dict__["profile"]
        return self

    @model_validator(mode="after")
    def _set_openrouter_version(self) -> Self:
        """Record this package's version for traces, beside LangChain's.

        The name differs from that of the parent's validator, which it would otherwise replace.
        """
        self._add_version("langchain-openrouter-oauth", VERSION)
        return self

    def _resolve_model_profile(self) -> ModelProfile | None:
        """Leave it to `__getattr__`: the profile of most models is never read."""
        return None

    @model_validator(mode="after")
    def _check_profile_keys(self) -> Self:
        """Replace core's check, which warns about the keys that profiles have here besides."""
        profile = self.__dict__.get("profile")
        if isinstance(profile, dict):
            public: Any = {key: value for key, value in profile.items() if key not in OWN_KEYS}
            _warn_unknown_profile_keys(public)
        return self

    if not TYPE_CHECKING:  # with it, a type checker would accept every attribute

        def __getattr__(self, name: str) -> Any:
            """Look the profile up when it is first read; None for an unknown model."""
            if name != "profile":
                return super().__getattr__(name)
            profile = self.__dict__["profile"] = profile_of(self.model_name)
            return profile

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign a field: a key is hidden in every repr and dump, a base URL is checked."""
        super().__setattr__(name, validate_field(name, value))
        forget(self)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy of the model, which shares its connections.

        Args:
            update: New values by field; the key and the base URL by their arguments' names too.
                Only the key, the base URL and the timeout are checked.
            deep: Copy the values of the fields too.

        Raises:
            ValueError: The base URL or the timeout is not valid.
        """
        fields = {
            (field := FIELDS_OF_COPY.get(name, name)): validate_field(field, value)
            for name, value in (update or {}).items()
        }
        copy = super().model_copy(update=fields, deep=deep)

        share(self, copy, set() if deep else set(fields))
        # A new dictionary has no room to spare: the model's own has grown once, to twice the size.
        set_attribute(copy, "__dict__", dict(copy.__dict__.items()))
        return copy

    @property
    def _serialized(self) -> dict[str, Any]:
        """What tracers are told of the model; core's cached property."""
        return serialize(self)

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The environment variable from which a loaded model takes its key."""
        return {API_KEY_FIELD: "OPENROUTER_API_KEY"}

    # --- what a request is made of --------------------------------------------------------

    def _endpoint(self, call: Mapping[str, Any]) -> Endpoint:
        """Return the endpoint of a call."""
        return endpoint_for(call, self.use_responses_api)

    def _key_source(self) -> Any:
        """Return the key, or the callable that returns it when a request is sent."""
        key = self.openai_api_key
        if isinstance(key, EnvironmentKey) or (
            key is None and API_KEY_FIELD not in self.model_fields_set
        ):
            return environment_api_key
        return key

    def _base_url(self) -> str:
        """Return the base URL of a request that is sent now."""
        url = self.openai_api_base
        return environment_base_url() if isinstance(url, EnvironmentUrl) else url

    @property
    def _default_params(self) -> dict[str, Any]:
        """Return the fields of the body that this model sets, by wire name.

        Replaces the parent's property, which cache keys and traces read too.
        """
        values = self.__dict__
        params = {
            name: value
            for name, field in self._wire_fields()
            if (value := values.get(field)) is not None and (value or name not in _EMPTY_IS_UNSET)
        }

        if self.prompt_caching is not None:
            params["prompt_caching"] = self.prompt_caching
        extra = {k: v for k, v in self.model_kwargs.items() if v is not None}
        if "provider" in params and "provider" in extra:
            extra["provider"] = merge_provider(params["provider"], extra["provider"])
        return {**params, **extra}

    def _wire_fields(self) -> Iterable[tuple[str, str]]:
        """Return the fields of the body that may have a value: those set, or with a default."""
        if not shortcuts.enabled:
            return _WIRE_FIELDS
        defaults = _fields_with_default(type(self))
        names = _WIRE_INDEX.keys() & self.__pydantic_fields_set__
        indexes = {_WIRE_INDEX[name] for name in names}.union(defaults)
        return [_WIRE_FIELDS[index] for index in sorted(indexes)]

    def _headers(self, call: Mapping[str, Any]) -> dict[str, str]:
        """Return the headers of a request.

        Args:
            call: The arguments of the call.
        """
        features = feature_headers(
            response_cache=call.get("response_cache", self.response_cache),
            router_metadata=call.get("router_metadata", self.router_metadata),
        )

        return request_headers(
            self.app_url,
            self.app_title,
            self.app_categories,
            features,
            self.default_headers,
            reveal(call.get("extra_headers")),
        )

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        """Return the usage of a batch, in tokens and USD; the parent drops the cost."""
        return {"token_usage": sum_usage(llm_outputs), "model_name": self.model_name}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        """Return LangSmith's parameters; the parent's would name OpenAI as the provider."""
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = PROVIDER
        limit = kwargs.get("max_completion_tokens") or self.max_completion_tokens
        if limit and "ls_max_tokens" not in params:
            params["ls_max_tokens"] = limit

        stops: Any = params.get("ls_stop")
        if isinstance(stops, str):
            params["ls_stop"] = [stops]
        return params
