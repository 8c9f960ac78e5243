"""`ChatOpenRouter`: LangChain's OpenAI chat model, true to what OpenRouter sends and takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages.utils import count_tokens_approximately

from langchain_openrouter import _result, _transport
from langchain_openrouter._answer import PROVIDER, total_of
from langchain_openrouter._binding import ChatOpenRouterBinding, prepare_bind
from langchain_openrouter._error_context import error_context
from langchain_openrouter._keys import cache_fingerprint
from langchain_openrouter._leak import warn_in_graph
from langchain_openrouter._payload import payload_of
from langchain_openrouter._private import PRIVATE_KWARGS, REDACTED, reveal
from langchain_openrouter._read import dict_of
from langchain_openrouter._stream import StreamState
from langchain_openrouter._structured import structured
from langchain_openrouter._timeouts import to_httpx_timeout
from langchain_openrouter._tools import wire_response_format, wire_tool, wire_tool_choice
from langchain_openrouter._users import PerUser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models import LangSmithParams, LanguageModelInput
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable
    from pydantic import SecretStr


class ChatOpenRouter(PerUser):
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

    # --- identity -------------------------------------------------------------------------

    @property
    def openrouter_api_key(self) -> SecretStr | str | Callable[[], Any] | None:
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

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return what traces show: no value of a header, `extra_body` or `model_kwargs`."""
        shown = {
            name: dict.fromkeys(reveal(value), REDACTED)
            if name in PRIVATE_KWARGS and isinstance(reveal(value), Mapping)
            else value
            for name, value in kwargs.items()
        }
        params = super()._get_invocation_params(stop=stop, **shown)
        return {**params, **dict.fromkeys(self.model_kwargs, REDACTED)}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = PROVIDER
        limit = kwargs.get("max_completion_tokens") or self.max_completion_tokens
        if limit and "ls_max_tokens" not in params:
            params["ls_max_tokens"] = limit
        return params

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Give each key a cache of its own: an answer belongs to the user who paid for it.

        Headers and extra bodies count too, but are not written into the cache.
        """
        private = [reveal(kwargs.pop(name, None)) for name in PRIVATE_KWARGS]
        fingerprint = cache_fingerprint(
            self._key_source(),
            private,
            self.default_headers,
            self.extra_body,
            self.default_query,
            self.model_kwargs,
        )
        return f"{super()._get_llm_string(stop=stop, **kwargs)}---{fingerprint}"

    def _generate_with_cache(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        """Resolve a callable key first: the cache is told apart by the key itself."""
        if callable(self._key_source()) and self.cache is not False:
            key = _transport.resolve_key(self._key_source(), self._base_url())
            keyed = self.model_copy(update={self._SECRET: key})
            return keyed._generate_with_cache(  # noqa: SLF001 - of the same class
                messages, *args, **kwargs
            )
        return super()._generate_with_cache(messages, *args, **kwargs)

    async def _agenerate_with_cache(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Any:
        """Resolve a callable key first, like `_generate_with_cache`."""
        if callable(self._key_source()) and self.cache is not False:
            key = await _transport.aresolve_key(self._key_source(), self._base_url())
            keyed = self.model_copy(update={self._SECRET: key})
            return await keyed._agenerate_with_cache(  # noqa: SLF001 - of the same class
                messages, *args, **kwargs
            )
        return await super()._agenerate_with_cache(messages, *args, **kwargs)

    # --- the request ----------------------------------------------------------------------

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the body of a request: absent means absent, the order is always the same.

        Raises:
            ValueError: An argument is not known, or a message cannot be sent.
        """
        if stop is not None:
            kwargs["stop"] = stop
        return payload_of(
            self._params_of_run(),
            kwargs,
            self._convert_input(input_).to_messages(),
            extras=(self.extra_body, reveal(kwargs.get("extra_body"))),
            also_known=self.model_kwargs,
        )

    def _request(self, payload: dict[str, Any], kwargs: dict[str, Any], own: Any) -> Any:
        retries = kwargs.get("max_retries")
        base_url = self._base_url()
        return _transport.Request(
            url=f"{base_url}/chat/completions",
            base_url=base_url,
            body=_transport.encode_json(payload),
            headers=self._headers(reveal(kwargs.get("extra_headers"))),
            timeout=to_httpx_timeout(kwargs.get("timeout", self.request_timeout)),
            max_retries=self.max_retries if retries is None else retries,
            api_key=self._key_source(),
            query={**(self.default_query or {}), **(reveal(kwargs.get("extra_query")) or {})},
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
        warn_in_graph(run_manager)
        payload = self._get_request_payload(messages, stop=stop, **{**kwargs, "stream": None})
        response = _transport.send(self._request(payload, kwargs, self.http_client))
        with error_context(response):
            return self._to_result(response, payload)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        warn_in_graph(run_manager)
        payload = self._get_request_payload(messages, stop=stop, **{**kwargs, "stream": None})
        response = await _transport.asend(self._request(payload, kwargs, self.http_async_client))
        with error_context(response):
            return self._to_result(response, payload)

    def _to_result(self, response: _transport.ApiResponse, payload: dict[str, Any]) -> ChatResult:
        """Return the result of a response whose body is in, or raise its error."""
        prompt = payload["messages"]
        if response.is_error:
            raise _result.to_error(response, prompt=prompt)

        headers, data = response.headers, response.body
        if "event-stream" in headers.get("content-type", "") and data.strip():
            result = _result.result_of_events(data, headers, prompt=prompt)
        else:
            body = _result.body_of(data, headers, prompt=prompt)
            result = self._create_chat_result(body, prompt=prompt)

        if self.include_response_headers:
            for generation in result.generations:
                generation.message.response_metadata["headers"] = dict(headers)
        return result

    def _create_chat_result(
        self, response: Any, generation_info: dict[str, Any] | None = None, *, prompt: Any = None
    ) -> ChatResult:
        return _result.result_of(response, info=generation_info, prompt=prompt)

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
        warn_in_graph(run_manager)
        payload = self._stream_payload(messages, stop, kwargs)
        response = _transport.send(self._request(payload, kwargs, self.http_client), stream=True)
        state = self._state(response, payload)
        events = _transport.iter_events(response)
        with closing(response), error_context(response), closing(events):
            for event in events:
                for chunk in self._chunks_of_event(state, event, payload):
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

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
        warn_in_graph(run_manager)
        payload = self._stream_payload(messages, stop, kwargs)
        request = self._request(payload, kwargs, self.http_async_client)
        response = await _transport.asend(request, stream=True)
        state = self._state(response, payload)
        events = _transport.aiter_events(response)
        async with aclosing(response), aclosing(events):
            with error_context(response):
                async for event in events:
                    for chunk in self._chunks_of_event(state, event, payload):
                        if run_manager:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    def _stream_payload(self, messages: Any, stop: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        payload = self._get_request_payload(messages, stop=stop, **{**kwargs, "stream": True})
        if isinstance(payload.get("n"), int) and payload["n"] > 1:
            msg = "n must be 1 when streaming"
            raise ValueError(msg)
        return payload

    def _state(self, response: _transport.ApiResponse, payload: dict[str, Any]) -> StreamState:
        return StreamState(
            headers=response.headers if self.include_response_headers else None,
            generation_id=response.headers.get("x-generation-id"),
            prompt=payload.get("messages"),
        )

    def _chunks_of_event(
        self, state: StreamState, event: _transport.StreamEvent, payload: dict[str, Any]
    ) -> list[ChatGenerationChunk]:
        """Return the chunks of one event; the last one at `[DONE]`, before the body ends."""
        if isinstance(event, bytes):
            chunks = state.read(event)
            return [*chunks, state.finish()] if state.done else chunks
        if state.done:  # what follows the end of an answer is not of it
            return []
        if event is None:
            return [state.finish()]
        if isinstance(event, _transport.ApiResponse):
            self._to_result(event, payload)  # raises if it is an error
            body = _result.body_of(event.body, event.headers, prompt=None)
            state.done = True
            return [*state.feed(body), state.finish()]
        if not state.finished:
            raise state.error(failure=event)
        return [state.finish()]  # after a finish reason nothing but usage can be missing

    # --- tools and structured output ------------------------------------------------------

    def bind(self, **kwargs: Any) -> Any:
        """Bind arguments of each call; headers and extra bodies show in no repr, trace or dump.

        Provider preferences are merged into the model's.
        """
        model, prepared = prepare_bind(self, kwargs)
        return ChatOpenRouterBinding(bound=model, kwargs=prepared, config={})

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
        bound: Runnable[LanguageModelInput, AIMessage] = self.bind(tools=wired, **kwargs)
        return bound

    def with_structured_output(  # noqa: PLR0913 - the parent's arguments
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
        return structured(
            self,
            schema,
            method=method,
            include_raw=include_raw,
            strict=strict,
            tools=tools,
            options=kwargs,
            require_parameters=require_parameters,
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
