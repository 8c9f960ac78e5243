"""Structured output: the checks that a response must pass before it is parsed.

LangChain's own parsers complete truncated JSON, and return None for a truncated call. Here both
are parsing errors, in complete and in streamed responses.
"""

from __future__ import annotations

from functools import partial
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
from langchain_openrouter.chat_models._auto_structured_output import (
    AutoStructuredOutput,
    UnforcedTool,
)
from langchain_openrouter.chat_models._parsing import was_truncated
from langchain_openrouter.chat_models._refused_parameters import RELAX
from langchain_openrouter.chat_models._tools import (
    is_pydantic,
    to_wire_response_format,
    to_wire_tool,
)
from langchain_openrouter.errors import RefusalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import Generation

    from langchain_openrouter.chat_models._fields import ChatOpenRouterFields


def build_structured_output(  # noqa: PLR0913 - the arguments of `with_structured_output`
    model: ChatOpenRouterFields,
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
    _validate_arguments(schema, method, include_raw=include_raw, strict=strict, tools=tools)
    if require_parameters:
        preferences = options.pop("provider", None) or options.pop("openrouter_provider", None)
        options["provider"] = {**(preferences or {}), "require_parameters": True}

    build = partial(
        _build_chain, model, schema, options, include_raw=include_raw, strict=strict, tools=tools
    )
    if method != "auto" or tools:
        return build("json_schema" if tools else method)
    return AutoStructuredOutput(model, options, build)


def _build_chain(  # noqa: PLR0913 - of `build_structured_output`
    model: ChatOpenRouterFields,
    schema: Any,
    options: Mapping[str, Any],
    method: str,
    *,
    include_raw: bool,
    strict: bool | None,
    tools: list[Any] | None,
) -> Runnable[LanguageModelInput, Any]:
    """Return the model with its parser, by one method: a public one, or "offered_tool"."""
    public_method = "function_calling" if method == "offered_tool" else method
    traced = {"kwargs": {"method": public_method, "strict": strict}, "schema": schema}
    call = {"ls_structured_output_format": traced, **options}

    name = None
    if public_method == "function_calling":
        is_offered = method == "offered_tool"
        llm, name = _bind_tool(model, schema, call, strict=strict, is_offered=is_offered)
    else:
        llm = _bind_format(model, schema, call, method, strict=strict, tools=tools)

    parser = build_parser(schema, tool=name, with_tools=bool(tools))
    return _with_raw(llm, parser) if include_raw else llm | parser


def _bind_tool(
    model: ChatOpenRouterFields,
    schema: Any,
    options: dict[str, Any],
    *,
    strict: bool | None,
    is_offered: bool,
) -> tuple[Runnable[LanguageModelInput, Any], str]:
    """Return the model with the schema as a tool, and the tool's name.

    Args:
        model: The model.
        schema: The schema.
        options: Arguments of each call.
        strict: Sent unless None; an offered tool is strict by default.
        is_offered: Whether the prompt names the tool, instead of a choice that forces it.
    """
    tool = to_wire_tool(schema, strict=True if is_offered and strict is None else strict)
    name = tool["function"]["name"]
    options = model._filter_disabled_params(  # noqa: SLF001 - the parent's own use of it
        parallel_tool_calls=False, **options
    )
    options["tool_choice"] = {"type": "function", "function": {"name": name}}
    if not is_offered:
        return model.bind(tools=[tool], **options), name

    bound = model.bind(tools=[tool], **{RELAX: True}, **options)
    return UnforcedTool(model, bound, name), name


def _bind_format(  # noqa: PLR0913 - of `build_structured_output`
    model: ChatOpenRouterFields,
    schema: Any,
    options: dict[str, Any],
    method: str,
    *,
    strict: bool | None,
    tools: list[Any] | None,
) -> Runnable[LanguageModelInput, Any]:
    """Return the model with a response format, and the further tools."""
    response_format = {"type": "json_object"}

    if method == "json_schema":
        response_format = to_wire_response_format(schema, strict=strict)
    if tools:
        responses = bool(options.get("use_responses_api", model.use_responses_api))
        options["tools"] = [
            to_wire_tool(tool, strict=strict, any_server_tool=responses) for tool in tools
        ]
    return model.bind(response_format=response_format, **options)


def _with_raw(
    llm: Runnable[LanguageModelInput, Any], parser: Runnable[Any, Any]
) -> Runnable[LanguageModelInput, Any]:
    """Return the runnable of `include_raw=True`: LangChain's, which catches parsing errors."""
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")


def _validate_arguments(
    schema: Any, method: str, *, include_raw: bool, strict: bool | None, tools: list[Any] | None
) -> None:
    """Check that the arguments can be combined.

    Raises:
        ValueError: They cannot.
    """
    msg = None
    if method not in {"auto", "function_calling", "json_mode", "json_schema"}:
        msg = f"method {method!r}: use 'auto', 'function_calling', 'json_schema' or 'json_mode'"
    elif schema is None and method != "json_mode":
        msg = f"method {method!r} needs a schema"
    elif strict is not None and method == "json_mode":
        msg = "`strict` needs a schema: use method='json_schema'"
    elif tools and (method not in {"auto", "json_schema"} or not include_raw):
        msg = "`tools` needs method='json_schema' and include_raw=True"

    if msg is not None:
        raise ValueError(msg)


def build_parser(schema: Any, *, tool: str | None, with_tools: bool = False) -> Runnable[Any, Any]:
    """Return the parser of a response.

    Args:
        schema: A pydantic class is parsed to its instances, anything else to dicts.
        tool: The tool whose arguments are the structured output; None if the text is.
        with_tools: Whether the model may call other tools instead; such a response is parsed to
            None.
    """
    if with_tools:
        inner = build_parser(schema, tool=tool)
        return RunnableLambda(lambda message: None if message.tool_calls else inner)

    check = _CompletenessCheck(tool)
    checked = RunnableGenerator(check.stream, check.astream)
    if tool is not None:
        if is_pydantic(schema):
            return checked | PydanticToolsParser(tools=[schema], first_tool_only=True)
        return checked | JsonOutputKeyToolsParser(key_name=tool, first_tool_only=True)
    if is_pydantic(schema):
        return checked | _ObjectParser(pydantic_object=schema)
    return checked | _JsonParser()


class _BoundedDepth:
    """Refuses JSON that is nested too deeply: LangChain's parsers recurse on it."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        text = result[0].text
        if is_too_deep(text):
            msg = "the structured answer is nested too deeply: simplify the schema"
            raise OutputParserException(msg, llm_output=text)
        return super().parse_result(result, partial=partial)  # type: ignore[misc]


class _JsonParser(_BoundedDepth, JsonOutputParser):
    pass


class _ObjectParser(_BoundedDepth, PydanticOutputParser[Any]):
    pass


class _CompletenessCheck:
    """Passes messages on, the last one only if their sum is a complete structured output."""

    def __init__(self, tool: str | None) -> None:
        self.tool = tool

    def stream(self, messages: Iterator[Any]) -> Iterator[Any]:
        received: list[Any] = []
        for message in messages:
            self._add(received, message)
            yield message

    async def astream(self, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        received: list[Any] = []
        async for message in messages:
            self._add(received, message)
            yield message

    def _add(self, received: list[Any], message: Any) -> None:
        """Check the sum of the messages at the last chunk, or at a message that is not a chunk."""
        received.append(message)
        if getattr(message, "chunk_position", "last") == "last":
            total = received[0] + received[1:] if len(received) > 1 else message
            check_complete(total, tool=self.tool)


def check_complete(message: AIMessage, *, tool: str | None) -> None:
    """Check that the message has the complete structured output.

    Args:
        message: A complete message.
        tool: The tool whose arguments are the structured output; None if the text is.

    Raises:
        RefusalError: The model refused, or a content filter stopped it.
        OutputParserException: The output was truncated, is not JSON, or lacks the tool call.
    """
    metadata = message.response_metadata
    reason, native = metadata.get("finish_reason"), metadata.get("native_finish_reason")
    refusal = message.additional_kwargs.get("refusal")
    if refusal or reason == "content_filter":
        msg = "the model refused" if refusal else "a content filter stopped the answer"
        raise RefusalError(msg, partial=message, generation_id=message.id)

    problem = None
    truncated = was_truncated(reason, native)
    if tool is None:
        try:
            parse_model_json(_strip_code_fence(message.text))
        except ValueError:
            problem = "was cut by the token limit" if truncated else "is not JSON"
    elif not any(call["name"] == tool for call in message.tool_calls):
        is_malformed = bool(message.invalid_tool_calls) or truncated
        problem = "was cut or is malformed" if is_malformed else f"does not call {tool!r}"

    if problem is not None:
        msg = f"the structured answer {problem}: raise max_tokens, or simplify the schema"
        raise OutputParserException(msg, llm_output=message.text)


def _strip_code_fence(text: str) -> str:
    """Return the text without the Markdown code fence that some models put around JSON."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        return text.removesuffix("```").partition("\n")[2]
    return text
