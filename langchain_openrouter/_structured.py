"""Structured output: what must be true of an answer before it is parsed.

LangChain's own parsers complete JSON that was cut, and give None for a call that was; here both
are parsing errors, whole and streamed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda

from langchain_openrouter._answer import is_cut
from langchain_openrouter._tools import is_pydantic
from langchain_openrouter.errors import RefusalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.messages import AIMessage


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
        return checked | PydanticOutputParser(pydantic_object=schema)
    return checked | JsonOutputParser()


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
            json.loads(text, strict=False)
        except ValueError:
            what = "was cut by the token limit" if is_cut(reason, native) else "is not JSON"
    elif not any(call["name"] == tool for call in message.tool_calls):
        broken = bool(message.invalid_tool_calls) or is_cut(reason, native)
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
