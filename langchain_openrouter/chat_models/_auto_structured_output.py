"""Structured output by the method that a model supports, and by the next if it refuses that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.messages import HumanMessage
from langchain_core.runnables import Runnable

from langchain_openrouter._model_refusals import Refusal, is_refusal, learn_from_error, refuses
from langchain_openrouter._redaction import prompt_text
from langchain_openrouter.chat_models._messages import to_wire_messages
from langchain_openrouter.chat_models._parsing import was_truncated
from langchain_openrouter.chat_models._private_arguments import reveal
from langchain_openrouter.chat_models._refused_parameters import loses_reasoning_if_forced
from langchain_openrouter.errors import OpenRouterError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.runnables import RunnableConfig

    from langchain_openrouter.chat_models._fields import ChatOpenRouterFields

Method: TypeAlias = Literal["json_schema", "function_calling", "offered_tool"]

_REFUSALS: dict[str, Refusal] = {"json_schema": "json_schema", "function_calling": "forced_tool"}
_REMINDER = "Call the tool {name} now: its arguments are the answer."


class AutoStructuredOutput(Runnable["LanguageModelInput", Any]):
    """Runs the chain of the first method that the model does not refuse.

    The method is chosen when it is called, so that what was learned since counts.

    Args:
        model: The model.
        options: Arguments of each call: `model` may name another one.
        build: Returns the chain of a method.
    """

    def __init__(
        self,
        model: ChatOpenRouterFields,
        options: Mapping[str, Any],
        build: Callable[[Method], Runnable[Any, Any]],
    ) -> None:
        self._model = model
        self._options = dict(options)
        self._build = build
        self._chains: dict[Method, Runnable[Any, Any]] = {}

    @property
    def method(self) -> Method:
        """The method of a call now."""
        return _Choice(self._model, self._options).method

    def chain(self, method: Method) -> Runnable[Any, Any]:
        """Return the chain of a method; built once, as a schema takes its time."""
        if method not in self._chains:
            self._chains[method] = self._build(method)
        return self._chains[method]

    @property
    def InputType(self) -> Any:  # noqa: N802 - LangChain's name
        """The same as the model's."""
        return self._model.InputType

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        """Whatever the schema describes."""
        return Any

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the structured output."""
        choice = _Choice(self._model, {**self._options, **kwargs})
        while True:
            try:
                return self.chain(choice.method).invoke(input, config, **kwargs)
            except OpenRouterError as error:
                if not choice.switch(error, input):
                    raise

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return like `invoke`."""
        choice = _Choice(self._model, {**self._options, **kwargs})
        while True:
            try:
                return await self.chain(choice.method).ainvoke(input, config, **kwargs)
            except OpenRouterError as error:
                if not choice.switch(error, input):
                    raise

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Yield the structured output as it grows."""
        choice, has_begun = _Choice(self._model, {**self._options, **kwargs}), False

        while True:
            try:
                for item in self.chain(choice.method).stream(input, config, **kwargs):
                    has_begun = True
                    yield item
            except OpenRouterError as error:
                if has_begun or not choice.switch(error, input):
                    raise
            else:
                return

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """Yield like `stream`."""
        choice, has_begun = _Choice(self._model, {**self._options, **kwargs}), False

        while True:
            try:
                async for item in self.chain(choice.method).astream(input, config, **kwargs):
                    has_begun = True
                    yield item
            except OpenRouterError as error:
                if has_begun or not choice.switch(error, input):
                    raise
            else:
                return


class _Choice:
    """The method of a call: the first of those that remain."""

    def __init__(self, model: ChatOpenRouterFields, call: Mapping[str, Any]) -> None:
        slug = str(call.get("model") or call.get("model_name") or model.model_name)
        profile: Any = model.profile if slug == model.model_name else None
        self._model = model
        # As they are sent.
        bodies = (model.extra_body, reveal(call.get("extra_body")))
        params = {**model._default_params, **call}  # noqa: SLF001
        for body in bodies:
            params |= body or {}
        self._params = {**params, "model": slug}
        self._base_url = model._base_url()  # noqa: SLF001

        takes_schema = not refuses(slug, "json_schema", profile, base_url=self._base_url)
        takes_forcing = not refuses(slug, "forced_tool", profile, base_url=self._base_url)
        self._methods: list[Method] = ["json_schema"] if takes_schema else []
        if takes_forcing and not loses_reasoning_if_forced(slug, self._params):
            self._methods.append("function_calling")
        self._methods.append("offered_tool")

    @property
    def method(self) -> Method:
        return self._methods[0]

    def switch(self, error: OpenRouterError, input_: LanguageModelInput) -> bool:
        """Go on to the next method if the error says that this one is refused."""
        refusal = _REFUSALS.get(self.method)
        if refusal is None:
            return False
        messages = self._model._convert_input(input_).to_messages()  # noqa: SLF001 - as it does
        prompt = prompt_text(to_wire_messages(messages))
        if not is_refusal(error, refusal, prompt=prompt):
            return False

        learn_from_error(error, refusal, self._params, base_url=self._base_url, prompt=prompt)
        del self._methods[0]
        return True


class UnforcedTool(Runnable["LanguageModelInput", "AIMessage"]):
    """A model with a tool that it may ignore: asked once more if it does.

    Args:
        model: The model, to convert its input.
        bound: The model with the tool bound.
        name: The tool's name.
    """

    def __init__(self, model: ChatOpenRouterFields, bound: Runnable[Any, Any], name: str) -> None:
        self._model = model
        self.bound = bound
        self._name = name

    @property
    def InputType(self) -> Any:  # noqa: N802 - LangChain's name
        """The same as the model's."""
        return self.bound.InputType

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        """The same as the model's."""
        return self.bound.OutputType

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Return the answer if it calls the tool, else the answer to a reminder."""
        message: AIMessage = self.bound.invoke(input, config, **kwargs)
        if _is_final(message):
            return message
        second: AIMessage = self.bound.invoke(self._reminder(input, message), config, **kwargs)
        return second

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Return like `invoke`."""
        message: AIMessage = await self.bound.ainvoke(input, config, **kwargs)
        if _is_final(message):
            return message
        messages = self._reminder(input, message)
        second: AIMessage = await self.bound.ainvoke(messages, config, **kwargs)
        return second

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessage]:
        """Yield the chunks of the message that `invoke` returns, from its first call on."""
        held: list[Any] = []
        calls = False
        for chunk in self.bound.stream(input, config, **kwargs):
            calls = calls or bool(getattr(chunk, "tool_call_chunks", None))
            held.append(chunk)
            if calls:
                yield from held
                held.clear()

        if calls or not held:
            return
        message = held[0] + held[1:]
        if _is_final(message):
            yield from held
            return
        yield from self.bound.stream(self._reminder(input, message), config, **kwargs)

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessage]:
        """Yield like `stream`."""
        held: list[Any] = []
        calls = False
        async for chunk in self.bound.astream(input, config, **kwargs):
            calls = calls or bool(getattr(chunk, "tool_call_chunks", None))
            held.append(chunk)
            if calls:
                for earlier in held:
                    yield earlier
                held.clear()

        if calls or not held:
            return
        message = held[0] + held[1:]
        if _is_final(message):
            for chunk in held:
                yield chunk
            return
        async for chunk in self.bound.astream(self._reminder(input, message), config, **kwargs):
            yield chunk

    def _reminder(self, prompt: LanguageModelInput, answer: AIMessage) -> list[BaseMessage]:
        """Return the messages of the second request: the first, the answer in text, a reminder."""
        messages = self._model._convert_input(prompt).to_messages()  # noqa: SLF001 - as it does
        answers = [answer] if answer.content else []
        return [*messages, *answers, HumanMessage(_REMINDER.format(name=self._name))]


def _is_final(message: AIMessage) -> bool:
    """Tell whether a second request would be of no use: it calls, was cut, or refuses."""
    metadata = message.response_metadata
    reason = metadata.get("finish_reason")

    return bool(
        message.tool_calls
        or message.invalid_tool_calls
        or message.additional_kwargs.get("refusal")
        or reason == "content_filter"
        or was_truncated(reason, metadata.get("native_finish_reason"))
    )
