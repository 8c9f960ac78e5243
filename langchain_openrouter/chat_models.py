"""`ChatOpenRouter`: LangChain's OpenAI chat model, true to what OpenRouter sends and takes."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, closing
from importlib.metadata import version
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from langchain_openrouter import _transport, errors, wire
from langchain_openrouter._answer import PROVIDER, message_of, total_of
from langchain_openrouter._messages import wire_messages
from langchain_openrouter._read import dict_of, dicts_of, json_of, list_of, partial_json_of, str_of
from langchain_openrouter._stream import StreamState
from langchain_openrouter._structured import parser_of
from langchain_openrouter._tools import wire_response_format, wire_tool, wire_tool_choice
from langchain_openrouter.settings import (
    BASE_URL,
    MAX_RETRIES,
    TIMEOUT,
    OpenRouterSettings,
    checked_base_url,
    request_headers,
    unknown_argument,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx2
    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models import LanguageModelInput, LangSmithParams, ModelProfile
    from langchain_core.messages import AIMessage, BaseMessage

if TYPE_CHECKING:
    Provider = wire.ProviderPreferences | dict[str, Any]
    Reasoning = wire.Reasoning | dict[str, Any]
    Plugins = Sequence[wire.Plugin | dict[str, Any]]
else:  # pydantic would drop the keys that a TypedDict does not name
    Provider = Reasoning = dict[str, Any]
    Plugins = list[dict[str, Any]]

Key = SecretStr | str | Callable[[], str | SecretStr | Awaitable[str | SecretStr]]

# Arguments of a call that do not travel in the body.
_CALL_ONLY = {
    "extra_headers",
    "extra_query",
    "extra_body",
    "timeout",
    "max_retries",
    "stream_usage",
}
# The model's own words for fields of the wire.
_WIRE_NAMES = {
    "model_name": "model",
    "openrouter_provider": "provider",
    "request_metadata": "metadata",
    "stop_sequences": "stop",
}
_FIELD_NAMES = {
    wire_name: ours for ours, wire_name in _WIRE_NAMES.items() if ours != "stop_sequences"
}
_NOT_FIELDS = {"messages", "prompt", "stream", "tools", "tool_choice", "response_format"}
# Words of LangChain's own package for words of LangChain's OpenAI model.
_SYNONYMS = {"openrouter_api_key": "openai_api_key", "openrouter_api_base": "openai_api_base"}
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
# Fields of the parent that are OpenAI's: accepted as None (a model built from another's fields
# has them), refused with a value, since it would do nothing.
_REFUSED = {
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


class ChatOpenRouter(BaseChatOpenAI):
    """Chat with any model on OpenRouter.

    The key is read when a request is sent, and no client is held: a model can be copied, pickled,
    changed and made by the thousand, and all share one pool of connections.

    Setup:
        `pip install langchain-openrouter-oauth`, then pass `api_key=` or set
        `OPENROUTER_API_KEY`.

    Instantiate:
        ```python
        from langchain_openrouter import ChatOpenRouter

        model = ChatOpenRouter(model="openai/gpt-4o-mini", temperature=0)
        ```

    Invoke, stream, tools and structured output are LangChain's:
        ```python
        answer = model.invoke("Why is the sky blue?")
        print(answer.text, answer.response_metadata["cost"])
        ```

    Every field of the API is an argument here and of each call, by its wire name. What the wire
    knows and this package does not goes into `model_kwargs`. Two names differ, since LangChain
    has others behind them: `openrouter_provider` (or `provider`), and `request_metadata` for the
    wire's `metadata`.

    Raises:
        pydantic.ValidationError: An argument is not known or does not fit. No value is shown.
    """

    model_config = ConfigDict(
        populate_by_name=True, hide_input_in_errors=True, protected_namespaces=()
    )

    _SECRET: ClassVar[str] = "openai_api_key"  # noqa: S105 - the field's name

    model_name: str = Field(alias="model")
    """Slug, as `author/model[:variant]`. Nothing is inferred from it."""

    openai_api_key: SecretStr | Callable[[], Any] | None = Field(
        default=None, alias="api_key", repr=False
    )
    """The key: a string, or a sync or async callable that is asked before each request."""

    openai_api_base: str = Field(default=BASE_URL, alias="base_url")  # type: ignore[assignment]
    """https, or http on loopback."""

    openai_organization: str | None = Field(default=None, alias="organization")
    openai_proxy: str | None = Field(default=None, repr=False, exclude=True)
    stream_chunk_timeout: float | None = None
    http_socket_options: Sequence[tuple[int, int, int]] | None = None
    output_version: str | None = None
    """"v1" puts LangChain's standard blocks into `content`."""

    request_timeout: float | tuple[float, float] | Any | None = Field(
        default=TIMEOUT, alias="timeout"
    )
    """Seconds without a byte after which an answer is given up; any byte starts it anew.

    A pair is (connect, idle). Connecting has 10 s. None waits for ever.
    """

    max_retries: int = Field(default=MAX_RETRIES, ge=0)  # type: ignore[assignment]
    """Repeats after 408, 429, 5xx and connection errors; Retry-After is obeyed up to 60 s."""

    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with every request; wins over ours, in any case. Never traced or serialised."""

    extra_body: Mapping[str, Any] | None = Field(default=None, exclude=True, repr=False)
    """Merged into the body last. Never traced or serialised: use `model_kwargs` for that."""

    app_url: str | None = None
    """`HTTP-Referer`. See https://openrouter.ai/docs/app-attribution."""
    app_title: str | None = None
    """`X-OpenRouter-Title`."""
    app_categories: list[str] | None = None
    """`X-OpenRouter-Categories`."""

    models: list[str] | None = None
    """Fallbacks, in order. https://openrouter.ai/docs/features/model-routing"""
    preset: str | None = None
    openrouter_provider: Provider | None = Field(default=None, alias="provider")
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
    tools: list[dict[str, Any]] | None = None
    """Sent with every call that binds none."""
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None

    # --- construction ---------------------------------------------------------------------

    @model_validator(mode="before")
    @classmethod
    def build_extra(cls, values: Any) -> Any:
        """Refuse unknown arguments and fill in what the settings say."""
        if not isinstance(values, dict):
            return values
        by_alias = {field.alias or name: name for name, field in cls.model_fields.items()}
        known = {*by_alias, *cls.model_fields, *_SYNONYMS, "settings"}
        given: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise ValueError(unknown_argument(name, known))
            name = _SYNONYMS.get(name, by_alias.get(name, name))  # noqa: PLW2901
            if name in _REFUSED and value not in (None, False):
                msg = f"`{name}` is not an argument of ChatOpenRouter: {_REFUSED[name]}"
                raise ValueError(msg)
            given[name] = value
        given.pop("use_responses_api", None)
        settings = given.pop("settings", None)
        if settings is not None and not isinstance(settings, OpenRouterSettings):
            msg = "`settings` must be an OpenRouterSettings"
            raise ValueError(msg)
        settings = settings or OpenRouterSettings()
        for name, field in _SETTINGS.items():
            if given.get(field) is None and not (field == "request_timeout" and field in given):
                given[field] = getattr(settings, name)
        return given

    @field_validator("openai_api_base")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return checked_base_url(value)

    @model_validator(mode="before")
    @classmethod
    def validate_temperature(cls, values: Any) -> Any:
        """Replace the parent's rules by model name: a slug tells nothing."""
        return values

    @model_validator(mode="after")
    def _infer_use_responses_api(self) -> Self:
        self.use_responses_api = False
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
        return self

    @model_validator(mode="after")
    def _set_openrouter_version(self) -> Self:
        self._add_version("langchain-openrouter-oauth", version("langchain-openrouter-oauth"))
        return self

    def _resolve_model_profile(self) -> ModelProfile | None:
        """Claim nothing: the parent would look the slug up among OpenAI's own models."""
        return None

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep a key that is assigned as a plain string out of every repr and dump."""
        if name == self._SECRET and isinstance(value, str):
            value = SecretStr(value)
        super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy; `update` may hold another user's key under its field's name or `api_key`."""
        update = dict(update or {})
        for name in ("api_key", "openrouter_api_key"):
            if name in update:
                update[self._SECRET] = update.pop(name)
        if isinstance(update.get(self._SECRET), str):
            update[self._SECRET] = SecretStr(update[self._SECRET])
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("_serialized", None)
        return copy

    # --- identity -------------------------------------------------------------------------

    @property
    def openrouter_api_key(self) -> SecretStr | Callable[[], Any] | None:
        """The key, by the name LangChain's own package gives it."""
        return self.openai_api_key

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Where a loaded model finds its key again."""
        return {self._SECRET: "OPENROUTER_API_KEY"}

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Return the path under which LangChain loads the class."""
        return ["langchain_openrouter", "chat_models"]

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """`dumps` and `loads` work; the key becomes a reference to OPENROUTER_API_KEY."""
        return True

    @property
    def _llm_type(self) -> str:
        return "openrouter-chat"

    @property
    def _default_params(self) -> dict[str, Any]:
        """Return the fields of the body that this model sets, by wire name."""
        params: dict[str, Any] = {"model": self.model_name}
        for name in wire.REQUEST_FIELDS:
            if name in {"messages", "prompt", "stream", "model"}:
                continue
            value = getattr(self, _FIELD_NAMES.get(name, name), None)
            if value is not None and not (name == "stop" and not value):
                params[name] = value
        return {**params, **{k: v for k, v in self.model_kwargs.items() if v is not None}}

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return what traces show: no header and no `extra_body` value."""
        shown = {
            name: dict.fromkeys(value, "**REDACTED**")
            if name in {"extra_headers", "extra_body", "extra_query"} and isinstance(value, Mapping)
            else value
            for name, value in kwargs.items()
        }
        return super()._get_invocation_params(stop=stop, **shown)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = PROVIDER
        limit = kwargs.get("max_completion_tokens") or self.max_completion_tokens
        if limit and "ls_max_tokens" not in params:
            params["ls_max_tokens"] = limit
        return params

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Give each key a cache of its own: an answer belongs to the user who paid for it."""
        secret = self.openai_api_key
        key = secret.get_secret_value() if isinstance(secret, SecretStr) else str(id(secret))
        # Not a password: a fingerprint of a random key, as OpenRouter itself uses in links.
        fingerprint = hashlib.sha256(key.encode()).hexdigest()
        return f"{super()._get_llm_string(stop=stop, **kwargs)}---{fingerprint}"

    def _generate_with_cache(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        if callable(self.openai_api_key) and self.cache is not False:
            self = self.model_copy(update={self._SECRET: self._key()})  # noqa: PLW0642
        return super(ChatOpenRouter, self)._generate_with_cache(messages, *args, **kwargs)

    async def _agenerate_with_cache(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Any:
        if callable(self.openai_api_key) and self.cache is not False:
            self = self.model_copy(update={self._SECRET: await self._akey()})  # noqa: PLW0642
        return await super(ChatOpenRouter, self)._agenerate_with_cache(messages, *args, **kwargs)

    # --- the key --------------------------------------------------------------------------

    def _key(self) -> str:
        """Return the key for a sync request.

        Raises:
            AuthenticationError: There is none, or only an async callable gives it.
        """
        key: Any = self.openai_api_key
        if callable(key):
            key = key()
        if inspect.isawaitable(key):
            if inspect.iscoroutine(key):
                key.close()
            msg = "api_key is an async callable: use ainvoke, astream or abatch"
            raise errors.AuthenticationError(msg)
        return _checked_key(key)

    async def _akey(self) -> str:
        """Return the key for an async request; the callable runs in the caller's context."""
        key: Any = self.openai_api_key
        if callable(key):
            key = key()
        if inspect.isawaitable(key):
            key = await key
        return _checked_key(key)

    # --- the request ----------------------------------------------------------------------

    def _headers(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        return request_headers(
            self.app_url, self.app_title, self.app_categories, self.default_headers, extra
        )

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the body of a request: absent means absent, the order is always the same.

        Raises:
            ValueError: An argument is not known, or a message cannot be sent.
        """
        params = dict(self._default_params)
        if stop is not None:
            kwargs["stop"] = stop
        for name, value in kwargs.items():
            if name in _CALL_ONLY:
                continue
            name = _WIRE_NAMES.get(name, name)  # noqa: PLW2901
            if name not in wire.REQUEST_FIELDS or name in {"messages", "prompt"}:
                if name in self.model_kwargs:
                    params[name] = value
                    continue
                raise ValueError(unknown_argument(name, [*wire.REQUEST_FIELDS, *_WIRE_NAMES]))
            if name == "provider" and isinstance(value, Mapping):
                value = {**(params.get(name) or {}), **value}  # noqa: PLW2901 - privacy stays
            if name == "tools" and value is not None:
                value = [wire_tool(tool) for tool in value]  # noqa: PLW2901
            params[name] = value
        params.update(self.extra_body or {})
        params.update(kwargs.get("extra_body") or {})
        pinned = any(plugin.get("pin_model") for plugin in dicts_of(params, "plugins"))
        params["messages"] = wire_messages(
            self._convert_input(input_).to_messages(), with_model=pinned
        )
        ordered = {name: params.pop(name) for name in wire.REQUEST_FIELDS if name in params}
        return {name: value for name, value in {**ordered, **params}.items() if value is not None}

    def _request(self, payload: dict[str, Any], kwargs: dict[str, Any], own: Any) -> Any:
        retries = kwargs.get("max_retries")
        return _transport.Request(
            url=f"{self.openai_api_base}/chat/completions",
            body=_transport.encode(payload),
            headers=self._headers(kwargs.get("extra_headers")),
            timeout=kwargs.get("timeout", self.request_timeout),
            max_retries=self.max_retries if retries is None else retries,
            query={**(self.default_query or {}), **(kwargs.get("extra_query") or {})},
            client=own,
        )

    # --- whole answers --------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del run_manager
        payload = self._get_request_payload(messages, stop=stop, **{**kwargs, "stream": None})
        request = self._request(payload, kwargs, self.http_client)
        return self._result(_transport.post(request, self._key()), payload)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del run_manager
        payload = self._get_request_payload(messages, stop=stop, **{**kwargs, "stream": None})
        request = self._request(payload, kwargs, self.http_async_client)
        return self._result(await _transport.apost(request, await self._akey()), payload)

    def _result(self, got: httpx2.Response | _transport.Failure, payload: Any) -> ChatResult:
        """Return the result of a response that has been read, or raise its error."""
        if isinstance(got, _transport.Failure):
            raise _error_of(got, payload)
        return self._read_body(_transport.body_of(got), _transport.headers_of(got), payload)

    def _read_body(self, data: bytes, headers: dict[str, str], payload: Any) -> ChatResult:
        """Return the result that a 200 body tells, or raise the error that it tells."""
        try:
            body = json_of(data)
        except ValueError:
            raise _unreadable(data, headers, payload) from None
        if isinstance(body, dict) and not str_of(body, "id") and headers.get("x-generation-id"):
            body = {**body, "id": headers["x-generation-id"]}
        result = self._create_chat_result(body, payload=payload)
        if self.include_response_headers:
            for generation in result.generations:
                generation.message.response_metadata["headers"] = headers
        return result

    def _create_chat_result(
        self, response: Any, generation_info: dict[str, Any] | None = None, *, payload: Any = None
    ) -> ChatResult:
        """Return the result of a body.

        Raises:
            OpenRouterError: The body tells an error, or holds no choice; has what came.
        """
        prompt = errors.prompt_of(list_of(payload, "messages"))
        choices = [choice for choice in dicts_of(response, "choices") if dict_of(choice, "message")]
        partial = message_of(response, choices[0]) if choices else None
        if errors.has_error(response):
            raise errors.from_body(response, partial=_worth(partial), prompt=prompt)
        for choice in choices:
            if errors.has_error(choice):
                raise errors.from_body(
                    choice, generation_id=str_of(response, "id"), partial=_worth(partial),
                    prompt=prompt,
                )  # fmt: skip
            if choice.get("finish_reason") == "error":
                raise errors.from_body(
                    {"message": "the provider stopped in mid-answer", "code": 502},
                    generation_id=str_of(response, "id"), partial=_worth(partial),
                )  # fmt: skip
        if partial is None:
            raise errors.from_body(
                {"message": "the answer holds no message"}, generation_id=str_of(response, "id")
            )
        generations = []
        for choice in choices:
            message = partial if choice is choices[0] else message_of(response, choice)
            info = {k: message.response_metadata.get(k) for k in ("finish_reason", "logprobs")}
            info = {**(generation_info or {}), **{k: v for k, v in info.items() if v is not None}}
            generations.append(ChatGeneration(message=message, generation_info=info or None))
        for generation in generations[1:]:  # usage is that of all choices: count it once
            generation.message.usage_metadata = None  # type: ignore[attr-defined]
        usage = dict_of(response, "usage")
        return ChatResult(
            generations=generations, llm_output={"token_usage": usage} if usage else {}
        )

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        """Sum the usage of a batch, cost included."""
        return {"token_usage": total_of(llm_outputs), "model_name": self.model_name}

    # --- streams --------------------------------------------------------------------------

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        stream_usage: bool | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        del stream_usage  # usage always comes
        payload = self._stream_payload(messages, stop, kwargs)
        request = self._request(payload, kwargs, self.http_client)
        got = _transport.post(request, self._key(), stream=True)
        if isinstance(got, _transport.Failure):
            raise _error_of(got, payload)
        try:
            if _transport.is_event_stream(got):
                state = self._state(got, payload)
                with closing(_transport.events(got)) as events:  # type: ignore[type-var]
                    for data in events:
                        for chunk in self._step(state, data):
                            if run_manager:
                                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                            yield chunk
                last = [] if state.done else [state.finish()]
            else:
                last = self._whole_as_chunks(got, payload)
            for chunk in last:
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            got.close()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        stream_usage: bool | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        del stream_usage  # usage always comes
        payload = self._stream_payload(messages, stop, kwargs)
        request = self._request(payload, kwargs, self.http_async_client)
        got = await _transport.apost(request, await self._akey(), stream=True)
        if isinstance(got, _transport.Failure):
            raise _error_of(got, payload)
        try:
            if _transport.is_event_stream(got):
                state = self._state(got, payload)
                async with aclosing(_transport.aevents(got)) as events:  # type: ignore[type-var]
                    async for data in events:
                        for chunk in self._step(state, data):
                            if run_manager:
                                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                            yield chunk
                last = [] if state.done else [state.finish()]
            else:
                last = self._whole_as_chunks(got, payload)
            for chunk in last:
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            await got.aclose()

    def _stream_payload(self, messages: Any, stop: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        payload = self._get_request_payload(messages, stop=stop, **{**kwargs, "stream": True})
        if isinstance(payload.get("n"), int) and payload["n"] > 1:
            msg = "n must be 1 when streaming"
            raise ValueError(msg)
        return payload

    def _state(self, response: httpx2.Response, payload: dict[str, Any]) -> StreamState:
        headers = _transport.headers_of(response)
        return StreamState(
            headers=headers if self.include_response_headers else None,
            generation_id=headers.get("x-generation-id"),
            prompt=payload.get("messages"),
        )

    def _step(self, state: StreamState, data: Any) -> list[ChatGenerationChunk]:
        """Return the chunks of one event; the last one at `[DONE]`, before the body ends."""
        if isinstance(data, _transport.Failure):
            # After a finish reason nothing but usage can be missing: the answer is whole.
            if state.finished:
                return []
            raise state.error(failure=data.failure, timed_out=data.timed_out)
        chunks = state.read(data)
        return [*chunks, state.finish()] if state.done else chunks

    def _whole_as_chunks(
        self, response: httpx2.Response, payload: dict[str, Any]
    ) -> list[ChatGenerationChunk]:
        """Return the chunks of a body that is no stream: an error, or a whole answer."""
        data, headers = _transport.body_of(response), _transport.headers_of(response)
        self._read_body(data, headers, payload)
        state = self._state(response, payload)
        state.done = True
        return [*state.feed(json_of(data)), state.finish()]

    # --- tools and structured output ------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | Any],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Any | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind functions, pydantic classes, LangChain tools, dicts and server tools alike.

        Args:
            tools: Server tools are dicts such as `{"type": "openrouter:web_search"}`.
            tool_choice: A tool's name, "auto", "none", "any", "required", True, a server tool's
                type, or a dict in OpenAI's form.
            strict: Sent with each function only when given.
            parallel_tool_calls: False allows one call at a time.
            response_format: A schema for the final answer beside the tools.
            **kwargs: Any field of the API.

        Raises:
            ValueError: A tool or an argument is not known.
        """
        if response_format:
            # create_agent asks every OpenAI model for strict tools; what counts is what its
            # user asked for, which is in the format.
            asked = dict_of(response_format, "json_schema")
            strict = asked.get("strict") if strict and asked else strict
            kwargs["response_format"] = wire_response_format(response_format)
        wired = [wire_tool(tool, strict=strict) for tool in tools]
        choice = wire_tool_choice(tool_choice, wired)
        if choice is not None:
            kwargs["tool_choice"] = choice
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(tools=wired, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["function_calling", "json_mode", "json_schema"] = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        tools: list[Any] | None = None,
        require_parameters: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return answers that fit a schema.

        Args:
            schema: A pydantic class gives its instances; a TypedDict or a JSON schema gives
                dicts.
            method: "function_calling" (any model with tools), "json_schema", or "json_mode"
                (any JSON: the prompt must say which).
            include_raw: Return `{"raw", "parsed", "parsing_error"}` and raise nothing for what
                cannot be parsed.
            strict: Sent only when given; with some models it leaves no endpoint that serves.
            tools: Further tools the model may call; needs `method="json_schema"` and
                `include_raw=True`.
            require_parameters: Route only to endpoints that support every parameter sent.
            **kwargs: Any field of the API.

        Raises:
            ValueError: The arguments do not go together. The runnable itself raises
                `OutputParserException` for an answer that was cut or does not fit, and
                `RefusalError`.
        """
        if method not in {"function_calling", "json_mode", "json_schema"}:
            msg = f"method {method!r}: use 'function_calling', 'json_schema' or 'json_mode'"
            raise ValueError(msg)
        if schema is None and method != "json_mode":
            msg = f"method {method!r} needs a schema"
            raise ValueError(msg)
        if strict is not None and method == "json_mode":
            msg = "`strict` needs a schema: use method='json_schema'"
            raise ValueError(msg)
        if tools and (method != "json_schema" or not include_raw):
            msg = "`tools` needs method='json_schema' and include_raw=True"
            raise ValueError(msg)
        if require_parameters:
            preferences = kwargs.pop("provider", None) or kwargs.pop("openrouter_provider", None)
            kwargs["provider"] = {**(preferences or {}), "require_parameters": True}
        shown = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        kwargs = {"ls_structured_output_format": shown, **kwargs}
        name: str | None = None
        llm: Runnable[LanguageModelInput, Any]
        if method == "function_calling":
            tool = wire_tool(schema, strict=strict)  # type: ignore[arg-type]
            name = tool["function"]["name"]
            kwargs = self._filter_disabled_params(parallel_tool_calls=False, **kwargs)
            llm = self.bind_tools([tool], tool_choice=name, **kwargs)
        elif method == "json_schema":
            if tools:
                kwargs["tools"] = [wire_tool(tool, strict=strict) for tool in tools]
            llm = self.bind(response_format=wire_response_format(schema, strict=strict), **kwargs)
        else:
            llm = self.bind(response_format={"type": "json_object"}, **kwargs)
        parser = parser_of(schema, tool=name, with_tools=bool(tools))
        if not include_raw:
            return llm | parser
        parsed = RunnablePassthrough.assign(
            parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
        )
        unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=llm) | parsed.with_fallbacks(
            [unparsed], exception_key="parsing_error"
        )

    # --- tokens and connections -----------------------------------------------------------

    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids of your own `custom_get_token_ids`; a slug names no tokeniser."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        msg = "OpenRouter models have tokenisers of their own: pass `custom_get_token_ids=`"
        raise NotImplementedError(msg)

    def get_num_tokens(self, text: str) -> int:
        """Return an estimate, four characters a token, unless `custom_get_token_ids` is given."""
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return (len(text) + 3) // 4

    def get_num_tokens_from_messages(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[Any] | None = None,
        *,
        allow_fetching_images: bool = True,
    ) -> int:
        """Return an estimate, with no network and no tokeniser."""
        del allow_fetching_images
        wired = [wire_tool(tool) for tool in tools] if tools else None
        return count_tokens_approximately(messages, tools=wired)  # type: ignore[arg-type]

    @staticmethod
    def close() -> None:
        """Close this process's connections, which all models share; the next call reopens."""
        _transport.close()

    @staticmethod
    async def aclose() -> None:
        """Close the running event loop's connections."""
        await _transport.aclose()


def _checked_key(key: Any) -> str:
    """Return a key that can stand in a header.

    Raises:
        AuthenticationError: There is none, or it holds characters that no key has. The key is
            not shown.
    """
    if isinstance(key, SecretStr):
        key = key.get_secret_value()
    if not isinstance(key, str) or not key.strip():
        msg = "no OpenRouter API key: pass `api_key=` or set OPENROUTER_API_KEY"
        raise errors.AuthenticationError(msg)
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        msg = "the API key holds characters that no key has: copy it again"
        raise errors.AuthenticationError(msg)
    return key


def _error_of(got: _transport.Failure, payload: dict[str, Any]) -> errors.OpenRouterError:
    """Return the error of a request that brought no (whole) answer."""
    prompt = errors.prompt_of(payload.get("messages"))
    if got.failure is None:
        body: Any
        try:
            body = json_of(got.body)
        except ValueError:
            body = got.body.decode("utf-8", "replace")
        return errors.from_body(body, status=got.status, headers=got.headers, prompt=prompt)
    return errors.from_body(
        failure=got.failure, timed_out=got.timed_out, partial=_partial_of(got.body)
    )


def _unreadable(
    data: bytes, headers: dict[str, str], payload: dict[str, Any]
) -> errors.OpenRouterError:
    """Return the error of a 200 body that is not JSON, with what of an answer it holds."""
    return errors.from_body(
        data.decode("utf-8", "replace"),
        headers=headers,
        partial=_partial_of(data),
        prompt=errors.prompt_of(payload.get("messages")),
    )


def _partial_of(data: bytes) -> AIMessage | None:
    """Return what can be read of a whole answer that was cut."""
    body = partial_json_of(data)
    choices = dicts_of(body, "choices")
    return _worth(message_of(body, {**choices[0], "finish_reason": "length"})) if choices else None


def _worth(message: AIMessage | None) -> AIMessage | None:
    """Return the message if anything came in it."""
    if message is None:
        return None
    came = message.content or message.additional_kwargs or message.tool_calls
    return message if came or message.invalid_tool_calls else None
