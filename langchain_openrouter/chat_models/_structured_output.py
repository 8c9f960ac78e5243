"""Structured output: what must be true of an answer before it is parsed.

LangChain's own parsers complete JSON that was cut, and give None for a call that was; here both
are parsing errors, whole and streamed.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import (
    Runnable,
    RunnableGenerator,
    RunnableLambda,
    RunnableMap,
    RunnablePassthrough,
)

from langchain_openrouter._json import is_too_deep, parse_model_json
from langchain_openrouter.chat_models._parsing import was_truncated
from langchain_openrouter.chat_models._tools import (
    is_pydantic,
    to_wire_response_format,
    to_wire_tool,
)
from langchain_openrouter.errors import RefusalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import Generation
    from langchain_openai.chat_models.base import BaseChatOpenAI


def structured(  # noqa: PLR0913 - the arguments of `with_structured_output`
    model: BaseChatOpenAI,
    schema: Any,
    *,
    method: str,
    include_raw: bool,
    strict: bool | None,
    tools: list[Any] | None,
    options: dict[str, Any],
    require_parameters: bool,
) -> Runnable[LanguageModelInput, Any]:
    """Return the runnable of `ChatOpenRouter.with_structured_output`, which documents it."""
    _check_arguments(schema, method, include_raw=include_raw, strict=strict, tools=tools)
    if require_parameters:
        preferences = options.pop("provider", None) or options.pop("openrouter_provider", None)
        options["provider"] = {**(preferences or {}), "require_parameters": True}
    shown = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    options = {"ls_structured_output_format": shown, **options}
    name: str | None = None
    llm: Runnable[LanguageModelInput, Any]
    if method == "function_calling":
        tool = to_wire_tool(schema, strict=strict)
        name = tool["function"]["name"]
        options = model._filter_disabled_params(  # noqa: SLF001 - the parent's own use of it
            parallel_tool_calls=False, **options
        )
        llm = model.bind_tools([tool], tool_choice=name, **options)
    elif method == "json_schema":
        if tools:
            options["tools"] = [to_wire_tool(tool, strict=strict) for tool in tools]
        llm = model.bind(response_format=to_wire_response_format(schema, strict=strict), **options)
    else:
        llm = model.bind(response_format={"type": "json_object"}, **options)
    parser = parser_of(schema, tool=name, with_tools=bool(tools))
    if not include_raw:
        return llm | parser
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")


def _check_arguments(
    schema: Any, method: str, *, include_raw: bool, strict: bool | None, tools: list[Any] | None
) -> None:
    """Raise ValueError where the arguments do not go together."""
    msg = None
    if method not in {"function_calling", "json_mode", "json_schema"}:
        msg = f"method {method!r}: use 'function_calling', 'json_schema' or 'json_mode'"
    elif schema is None and method != "json_mode":
        msg = f"method {method!r} needs a schema"
    elif strict is not None and method == "json_mode":
        msg = "`strict` needs a schema: use method='json_schema'"
    elif tools and (method != "json_schema" or not include_raw):
        msg = "`tools` needs method='json_schema' and include_raw=True"
    if msg is not None:
        raise ValueError(msg)


def parser_of(schema: Any, *, tool: str | None, with_tools: bool = False) -> Runnable[Any, Any]:
    """Return the parser of an answer.

    Args:
        schema: A pydantic class gives its instances, anything else gives dicts.
        tool: The tool whose call carries the answer; None where the text does.
        with_tools: Whether the model may call other tools instead, which parses to None.
    """
    if with_tools:
        inner = parser_of(schema, tool=tool)
        return RunnableLambda(lambda message: None if message.tool_calls else inner)
    checked = RunnableGenerator(_Check(tool).stream, _Check(tool).astream)
    if tool is not None:
        if is_pydantic(schema):
            return checked | PydanticToolsParser(tools=[schema], first_tool_only=True)
        return checked | JsonOutputKeyToolsParser(key_name=tool, first_tool_only=True)
    if is_pydantic(schema):
        return checked | _ObjectParser(pydantic_object=schema)
    return checked | _JsonParser()


class _Bounded:
    """Refuses JSON that is nested too deeply, on which LangChain's parsers recurse."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        text = result[0].text
        if is_too_deep(text):
            msg = "the structured answer is nested too deeply: simplify the schema"
            raise OutputParserException(msg, llm_output=text)
        return super().parse_result(result, partial=partial)  # type: ignore[misc]


class _JsonParser(_Bounded, JsonOutputParser):
    pass


class _ObjectParser(_Bounded, PydanticOutputParser[Any]):
    pass


class _Check:
    """Lets messages through, up to the last, if they add up to a whole answer; else raises."""

    def __init__(self, tool: str | None) -> None:
        self.tool = tool

    def stream(self, messages: Iterator[Any]) -> Iterator[Any]:
        seen: list[Any] = []
        for message in messages:
            self._check(seen, message)
            yield message

    async def astream(self, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        seen: list[Any] = []
        async for message in messages:
            self._check(seen, message)
            yield message

    def _check(self, seen: list[Any], message: Any) -> None:
        """Verify the sum of the messages when the last one, or a whole one, is in."""
        seen.append(message)
        if getattr(message, "chunk_position", "last") == "last":
            verify(seen[0] + seen[1:] if len(seen) > 1 else message, tool=self.tool)


def verify(message: AIMessage, *, tool: str | None) -> None:
    """Raise unless the message holds the whole structured answer.

    Raises:
        RefusalError: The model refused, or a content filter stopped it.
        OutputParserException: The answer was cut, is not JSON, or lacks the tool call.
    """
    metadata = message.response_metadata
    reason, native = metadata.get("finish_reason"), metadata.get("native_finish_reason")
    refusal = message.additional_kwargs.get("refusal")
    if refusal or reason == "content_filter":
        msg = "the model refused" if refusal else "a content filter stopped the answer"
        raise RefusalError(msg, partial=message, generation_id=message.id)
    what = None
    if tool is None:
        text = _unfenced(message.text)
        try:
            parse_model_json(text)
        except ValueError:
            what = "was cut by the token limit" if was_truncated(reason, native) else "is not JSON"
    elif not any(call["name"] == tool for call in message.tool_calls):
        broken = bool(message.invalid_tool_calls) or was_truncated(reason, native)
        what = "was cut or is malformed" if broken else f"does not call {tool!r}"
    if what is not None:
        msg = f"the structured answer {what}: raise max_tokens, or simplify the schema"
        raise OutputParserException(msg, llm_output=message.text)


def _unfenced(text: str) -> str:
    """Return the JSON inside a Markdown fence, which some models put around it."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        return text.removesuffix("```").partition("\n")[2]
    return text
