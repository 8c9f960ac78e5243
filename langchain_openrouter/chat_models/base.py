"""`ChatOpenRouter`: LangChain's OpenAI chat model, true to what OpenRouter sends and takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages.utils import count_tokens_approximately

from langchain_openrouter._http import transport
from langchain_openrouter._http.api_key import cache_fingerprint
from langchain_openrouter._http.error_context import error_context
from langchain_openrouter._http.timeouts import to_httpx_timeout
from langchain_openrouter._json import get_dict
from langchain_openrouter._langgraph import warn_if_key_in_run_config
from langchain_openrouter.chat_models._binding import ChatOpenRouterBinding, prepare_bind
from langchain_openrouter.chat_models._parsing import PROVIDER
from langchain_openrouter.chat_models._per_user import PerUser
from langchain_openrouter.chat_models._private_arguments import PRIVATE_KWARGS, REDACTED, reveal
from langchain_openrouter.chat_models._request import build_payload
from langchain_openrouter.chat_models._response import (
    chunks_of_event,
    result_from_body,
    stream_state,
    to_chat_result,
)
from langchain_openrouter.chat_models._structured_output import structured
from langchain_openrouter.chat_models._tools import (
    to_wire_response_format,
    to_wire_tool,
    to_wire_tool_choice,
)
from langchain_openrouter.chat_models._usage import sum_usage

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
            key = transport.resolve_key(self._key_source(), self._base_url())
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
            key = await transport.aresolve_key(self._key_source(), self._base_url())
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
        return build_payload(
            self._params_of_run(),
            kwargs,
            self._convert_input(input_).to_messages(),
            extras=(self.extra_body, reveal(kwargs.get("extra_body"))),
            extra_fields=self.model_kwargs,
        )

    def _request(self, payload: dict[str, Any], kwargs: dict[str, Any], own: Any) -> Any:
        retries = kwargs.get("max_retries")
        base_url = self._base_url()
        return transport.Request(
            url=f"{base_url}/chat/completions",
            base_url=base_url,
            body=transport.encode_json(payload),
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
        warn_if_key_in_run_config(run_manager)
        payload = self._get_request_payload(messages, stop=stop, **{**kwargs, "stream": None})
        response = transport.send(self._request(payload, kwargs, self.http_client))
        with error_context(response, prompt=payload["messages"]):
            return to_chat_result(response, with_headers=self.include_response_headers)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        warn_if_key_in_run_config(run_manager)
        payload = self._get_request_payload(messages, stop=stop, **{**kwargs, "stream": None})
        response = await transport.asend(self._request(payload, kwargs, self.http_async_client))
        with error_context(response, prompt=payload["messages"]):
            return to_chat_result(response, with_headers=self.include_response_headers)

    def _create_chat_result(
        self, response: Any, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        """Return the result of a body: where LangChain's own tools hand one in."""
        return result_from_body(response, generation_info)

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        """Sum the usage of a batch, cost included."""
        return {"token_usage": sum_usage(llm_outputs), "model_name": self.model_name}

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
        warn_if_key_in_run_config(run_manager)
        payload = self._stream_payload(messages, stop, kwargs)
        response = transport.send(self._request(payload, kwargs, self.http_client), stream=True)
        state = stream_state(response, with_headers=self.include_response_headers)
        events = transport.iter_events(response)

        context = error_context(response, prompt=payload["messages"])
        with closing(response), context, closing(events):
            for event in events:
                for chunk in chunks_of_event(state, event):
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
        warn_if_key_in_run_config(run_manager)
        payload = self._stream_payload(messages, stop, kwargs)
        request = self._request(payload, kwargs, self.http_async_client)
        response = await transport.asend(request, stream=True)
        state = stream_state(response, with_headers=self.include_response_headers)
        events = transport.aiter_events(response)

        context = error_context(response, prompt=payload["messages"])
        async with aclosing(response), aclosing(events):
            with context:
                async for event in events:
                    for chunk in chunks_of_event(state, event):
                        if run_manager:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    def _stream_payload(self, messages: Any, stop: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        payload = self._get_request_payload(messages, stop=stop, **{**kwargs, "stream": True})
        if isinstance(payload.get("n"), int) and payload["n"] > 1:
            msg = "n must be 1 when streaming"
            raise ValueError(msg)
        return payload

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
            asked = get_dict(response_format, "json_schema")
            strict = asked.get("strict") if strict and asked else strict
            kwargs["response_format"] = to_wire_response_format(response_format)
        wired = [to_wire_tool(tool, strict=strict) for tool in tools]
        choice = to_wire_tool_choice(tool_choice, wired)
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
        wired = [to_wire_tool(tool) for tool in tools] if tools else None
        return count_tokens_approximately(messages, tools=wired)  # type: ignore[arg-type]

    @staticmethod
    def close() -> None:
        """Close this process's connections, which all models share; the next call reopens."""
        transport.close()

    @staticmethod
    async def aclose() -> None:
        """Close the running event loop's connections."""
        await transport.aclose()
