"""`ChatOpenRouter`: LangChain's OpenAI chat model, with all that OpenRouter sends and accepts."""

from __future__ import annotations

from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage

from langchain_openrouter._http import transport
from langchain_openrouter._http.deadlines import start_deadline
from langchain_openrouter._http.error_context import error_context
from langchain_openrouter._http.metering import new_call
from langchain_openrouter._http.run_key import user_id
from langchain_openrouter._http.stream_events import aiter_events, iter_events
from langchain_openrouter._http.timeouts import to_httpx_timeout
from langchain_openrouter._http.turns import await_turn
from langchain_openrouter._langgraph import warn_if_key_in_run_config
from langchain_openrouter._shortcuts import shortcuts
from langchain_openrouter.chat_models._binding import ChatOpenRouterBinding, prepare_bind
from langchain_openrouter.chat_models._chunk_template import to_generation_chunk
from langchain_openrouter.chat_models._core_methods import remember_methods
from langchain_openrouter.chat_models._endpoints import RESPONSES
from langchain_openrouter.chat_models._fields import ChatOpenRouterFields
from langchain_openrouter.chat_models._per_user import PerUserMixin
from langchain_openrouter.chat_models._private_arguments import REDACTED, redact_private, reveal
from langchain_openrouter.chat_models._refused_parameters import (
    RELAX,
    adapt_payload,
    is_forced,
    relax_refused_choice,
)
from langchain_openrouter.chat_models._request import build_payload
from langchain_openrouter.chat_models._response import (
    chunks_of_event,
    result_from_body,
    to_chat_result,
)
from langchain_openrouter.chat_models._run_handlers import RunHandlersMixin, handlers_of_run
from langchain_openrouter.chat_models._token_counts import TokenCountsMixin
from langchain_openrouter.chat_models._tools import build_tool_kwargs
from langchain_openrouter.chat_models._usage import counts_integers

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Generator,
        Iterator,
        Sequence,
    )

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable

    from langchain_openrouter.chat_models._message_chunk import OpenRouterMessageChunk

__all__ = ["ChatOpenRouter"]


class ChatOpenRouter(RunHandlersMixin, PerUserMixin, TokenCountsMixin, ChatOpenRouterFields):
    """Chat with any model on OpenRouter.

    The key is read when a request is sent. Unless `http_client=` is set, a model holds no client:
    it can be copied, pickled and changed, and all models share one pool of connections.

    Setup:
        `pip install langchain-openrouter-oauth`, then pass `api_key=` or set
        `OPENROUTER_API_KEY`.

    Instantiate:
        ```python
        from langchain_openrouter import ChatOpenRouter

        model = ChatOpenRouter(model="openai/gpt-4o-mini", temperature=0)
        ```

    Fields, in `ChatOpenRouterFields`:
        - model, key and address: `model`, `api_key`, `base_url`, `settings`;
        - sending: `timeout`, `deadline`, `max_retries`, `default_headers`, `default_query`,
          `extra_body`, `model_kwargs`, `http_client`, `http_async_client`,
          `include_response_headers`;
        - attribution: `app_url`, `app_title`, `app_categories`;
        - routing and account: `models`, `openrouter_provider` (or `provider`), `route`,
          `plugins`, `session_id`, `trace`, `user`, `request_metadata`, ...;
        - generation: `temperature`, `max_tokens`, `reasoning`, `stop`, `tools`, ...;
        - `use_responses_api`: the other endpoint, `POST /responses`.

        Every field of the API is an argument here and of each call, by its wire name; a field
        that this package does not know goes into `model_kwargs`. Two names differ, since
        LangChain uses them otherwise: `openrouter_provider`, and `request_metadata` for the
        wire's `metadata`.

    Verbs:
        - `invoke`, `stream`, `batch`, their async forms, and the others of a `Runnable`;
        - `bind`, `bind_tools`, `with_structured_output`: a model with arguments for each call;
        - `for_user`, `login`, `alogin` (in `PerUserMixin`): a model on a user's own key;
        - `get_num_tokens`, `get_num_tokens_from_messages`: estimates, without the network;
        - `close`, `aclose`: close the connections.

        ```python
        message = model.invoke("Why is the sky blue?")
        print(message.text, message.response_metadata["cost"])
        ```

    Raises:
        pydantic.ValidationError: An argument is not known or not valid. The error has no values.
    """

    # --- identity -------------------------------------------------------------------------

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Return the path from which LangChain's `loads` imports the class."""
        return ["langchain_openrouter", "chat_models"]

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: `dumps` writes the key as a reference to OPENROUTER_API_KEY."""
        return True

    @property
    def _llm_type(self) -> str:
        return "openrouter-chat"

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the parameters for traces: no value of a header, `extra_body` or `model_kwargs`.

        Replaces the parent's, which shows all of them.
        """
        params = super()._get_invocation_params(stop=stop, **redact_private(kwargs))
        return {**params, **dict.fromkeys(self.model_kwargs, REDACTED)}

    # --- the request ----------------------------------------------------------------------

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the body of a request, as LangChain's tools expect it under this name.

        Raises:
            ValueError: An argument is not known, or a message cannot be sent.
        """
        return self._endpoint(kwargs).to_body(self._chat_payload(input_, stop=stop, **kwargs))

    def _chat_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the body in the form of a chat request, whatever endpoint it goes to."""
        if stop is not None:
            kwargs["stop"] = stop

        # The id of the user whose run this is; not a default, which traces and caches would show.
        user = user_id()
        payload = build_payload(
            {"user": user, **self._default_params} if user else self._default_params,
            kwargs,
            self._to_messages(input_),
            extras=(self.extra_body, reveal(kwargs.get("extra_body"))),
            extra_fields=self.model_kwargs,
            responses=self._endpoint(kwargs) is RESPONSES,
        )
        return adapt_payload(payload, kwargs.get(RELAX), self._base_url())

    def _to_messages(self, input_: LanguageModelInput) -> Sequence[BaseMessage]:
        """Return the messages of an input; core has converted those of a call already."""
        is_cores = type(self)._convert_input is BaseChatModel._convert_input  # noqa: SLF001 - core has no other name
        is_list = type(input_) is list and is_cores and shortcuts.enabled
        if is_list and all(issubclass(kind, BaseMessage) for kind in set(map(type, input_))):
            return input_  # type: ignore[return-value]
        return self._convert_input(input_).to_messages()

    def _request(
        self, payload: dict[str, Any], kwargs: dict[str, Any], client: Any, run_manager: Any = None
    ) -> transport.Request:
        retries = kwargs.get("max_retries")
        base_url, endpoint = self._base_url(), self._endpoint(kwargs)

        return transport.Request(
            url=f"{base_url}{endpoint.path}",
            base_url=base_url,
            body=transport.encode_json(endpoint.to_body(payload)),
            headers=self._headers(kwargs),
            timeout=to_httpx_timeout(kwargs.get("timeout", self.request_timeout)),
            deadline=start_deadline(kwargs.get("deadline", self.deadline)),
            max_retries=self.max_retries if retries is None else retries,
            api_key=self._key_source(),
            query={**(self.default_query or {}), **(reveal(kwargs.get("extra_query")) or {})},
            client=client,
            call=new_call("chat", payload, handlers_of_run(run_manager)),
        )

    def _send(
        self, payload: dict[str, Any], kwargs: dict[str, Any], run_manager: Any, *, stream: bool
    ) -> transport.ApiResponse:
        """Send a request; once more with its tool choice relaxed, if that alone was refused."""
        more = self.http_client, run_manager
        response = transport.send(self._request(payload, kwargs, *more), stream=stream)
        relaxed = relax_refused_choice(response, payload, kwargs.get(RELAX), self._base_url())
        if relaxed is None:
            return response
        return transport.send(self._request(relaxed, kwargs, *more), stream=stream)

    async def _asend(
        self, payload: dict[str, Any], kwargs: dict[str, Any], run_manager: Any, *, stream: bool
    ) -> transport.ApiResponse:
        """Send like `_send`."""
        more = self.http_async_client, run_manager
        response = await transport.asend(self._request(payload, kwargs, *more), stream=stream)
        relaxed = relax_refused_choice(response, payload, kwargs.get(RELAX), self._base_url())
        if relaxed is None:
            return response
        return await transport.asend(self._request(relaxed, kwargs, *more), stream=stream)

    def _reading(self, run_manager: Any) -> dict[str, bool]:
        """Return how a response is read."""
        return {
            "with_headers": self.include_response_headers,
            "without_costs": counts_integers(handlers_of_run(run_manager)),
        }

    # --- complete responses ---------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        warn_if_key_in_run_config(run_manager)
        payload = self._chat_payload(messages, stop=stop, **{**kwargs, "stream": None})
        response = self._send(payload, kwargs, run_manager, stream=False)
        reading = self._reading(run_manager)
        with error_context(response, prompt=payload["messages"]):
            return to_chat_result(response, self._endpoint(kwargs), **reading)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        await await_turn()
        warn_if_key_in_run_config(run_manager)
        payload = self._chat_payload(messages, stop=stop, **{**kwargs, "stream": None})
        response = await self._asend(payload, kwargs, run_manager, stream=False)
        reading = self._reading(run_manager)
        with error_context(response, prompt=payload["messages"]):
            return to_chat_result(response, self._endpoint(kwargs), **reading)

    def _create_chat_result(self, response: Any, generation_info: Any = None) -> ChatResult:
        """Return the result of a response body, for LangChain's tools that call this."""
        return result_from_body(RESPONSES.to_chat_body(response), generation_info)

    # --- streams --------------------------------------------------------------------------

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with closing(self._message_chunks(messages, stop, run_manager, kwargs)) as pieces:
            for message in pieces:
                chunk = to_generation_chunk(message)
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _message_chunks(
        self, messages: Any, stop: Any, run_manager: Any, kwargs: dict[str, Any]
    ) -> Generator[OpenRouterMessageChunk]:
        """Send the request of a stream, and yield the message chunks of its response."""
        warn_if_key_in_run_config(run_manager)
        payload = self._stream_payload(messages, stop, kwargs)
        response = self._send(payload, kwargs, run_manager, stream=True)
        endpoint = self._endpoint(kwargs)
        state = endpoint.new_state(response, **self._reading(run_manager))
        events = iter_events(response)

        context = error_context(response, prompt=payload["messages"])
        with closing(response), context, closing(events):
            for event in events:
                yield from chunks_of_event(state, event, endpoint)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        pieces = self._amessage_chunks(messages, stop, run_manager, kwargs)
        async with aclosing(pieces):
            async for message in pieces:
                chunk = to_generation_chunk(message)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _amessage_chunks(
        self, messages: Any, stop: Any, run_manager: Any, kwargs: dict[str, Any]
    ) -> AsyncGenerator[OpenRouterMessageChunk]:
        """Yield like `_message_chunks`."""
        await await_turn()
        warn_if_key_in_run_config(run_manager)
        payload = self._stream_payload(messages, stop, kwargs)
        response = await self._asend(payload, kwargs, run_manager, stream=True)
        endpoint = self._endpoint(kwargs)
        state = endpoint.new_state(response, **self._reading(run_manager))
        events = aiter_events(response)

        context = error_context(response, prompt=payload["messages"])
        async with aclosing(response), aclosing(events):
            with context:
                async for event in events:
                    for chunk in chunks_of_event(state, event, endpoint):
                        yield chunk

    def _stream_payload(self, messages: Any, stop: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        arguments = {**kwargs, "stream": True}
        arguments.pop("stream_usage", None)  # OpenRouter always sends the usage
        payload = self._chat_payload(messages, stop=stop, **arguments)
        if isinstance(payload.get("n"), int) and payload["n"] > 1:
            msg = "n must be 1 when streaming"
            raise ValueError(msg)
        return payload

    # --- tools and structured output ------------------------------------------------------

    def bind(self, **kwargs: Any) -> Any:
        """Return this model with arguments for each call.

        Args:
            **kwargs: Any field of the API, `stop`, `timeout`, `max_retries`, `extra_headers`,
                `extra_query` or `extra_body`. The values of the last three are in no repr, trace
                or dump. Provider preferences are merged into the model's.
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
        """Return this model with tools for each call.

        Args:
            tools: Functions, pydantic classes, LangChain tools, dicts in OpenAI's form, and server
                tools, which are dicts such as `{"type": "openrouter:web_search"}`.
            tool_choice: A tool's name, "auto", "none", "any", "required", True, a server tool's
                type, or a dict in the form of OpenAI or Anthropic. A choice that forces a tool is
                relaxed for a model that refuses forcing: "auto" is sent, a line in the prompt
                names the tools, and one warning says so. `bind` sends the choice as it is.
            strict: Sent with each function unless None.
            parallel_tool_calls: False allows one call at a time.
            response_format: A schema for the final answer beside the tools.
            **kwargs: Any field of the API.

        Raises:
            ValueError: A tool or an argument is not known.
        """
        kwargs |= build_tool_kwargs(
            tools,
            tool_choice=tool_choice,
            strict=strict,
            response_format=response_format,
            any_server_tool=self._endpoint(kwargs) is RESPONSES,
        )
        if is_forced(kwargs.get("tool_choice")):
            kwargs[RELAX] = "if_refused"
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls

        bound: Runnable[LanguageModelInput, AIMessage] = self.bind(**kwargs)
        return bound

    def with_structured_output(  # noqa: PLR0913 - the parent's arguments
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["auto", "function_calling", "json_mode", "json_schema"] = "auto",
        include_raw: bool = False,
        strict: bool | None = None,
        tools: list[Any] | None = None,
        require_parameters: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return a runnable whose outputs fit a schema.

        Args:
            schema: A pydantic class, for outputs that are its instances; a TypedDict or a JSON
                schema, for dicts.
            method: "auto" chooses what the model supports: "json_schema", also for a model that
                nobody knows; a forced tool; or a tool that the prompt names, and that is asked for
                once more if it was not called. A model that refuses the first choice gets the
                next, and is remembered. The others are sent as they are: "function_calling" (a
                forced tool), "json_schema", or "json_mode" (any JSON: the prompt has to describe
                it).
            include_raw: Return `{"raw", "parsed", "parsing_error"}`, and do not raise for a
                response that cannot be parsed.
            strict: Sent unless None; with some models no endpoint serves strict schemas.
            tools: Further tools that the model may call; needs `method="json_schema"` and
                `include_raw=True`.
            require_parameters: Route only to endpoints that support every parameter sent.
            **kwargs: Any field of the API.

        Raises:
            ValueError: The arguments cannot be combined. The runnable itself raises
                `OutputParserException` for a response that was truncated or does not fit, and
                `RefusalError`.
        """
        from langchain_openrouter.chat_models._structured_output import (  # noqa: PLC0415 - when used
            build_structured_output,
        )

        return build_structured_output(
            self,
            schema,
            method=method,
            include_raw=include_raw,
            strict=strict,
            tools=tools,
            options=kwargs,
            require_parameters=require_parameters,
        )

    # --- connections ----------------------------------------------------------------------

    @staticmethod
    def close() -> None:
        """Close this process's connections, which all models share; a later call opens new ones."""
        transport.close()

    @staticmethod
    async def aclose() -> None:
        """Close the connections of the running event loop; a later call opens new ones."""
        await transport.aclose()


remember_methods(ChatOpenRouter)
