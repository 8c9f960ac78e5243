"""Tools, tool choice and response format -> fields of a request, as pure functions.

See https://openrouter.ai/docs/features/tool-calling, https://openrouter.ai/docs/features/server-tools
and https://openrouter.ai/docs/features/structured-outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_openrouter._json import get_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    ToolLike = dict[str, Any] | type | Callable[..., Any] | BaseTool

# The service turns these into openrouter:web_search: ChatWebSearchShorthand in
# https://openrouter.ai/openapi.json.
SHORTHANDS = {
    "web_search",
    "web_search_preview",
    "web_search_preview_2025_03_11",
    "web_search_2025_08_26",
}
# Types of a tool that its caller runs.
_CLIENT_TYPES = {"function", "object", "custom"}
# Choices that name no tool: LangChain's and Anthropic's names, then the wire's.
_CHOICES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
# Fields of a tool on the wire that are in the `extras` of a LangChain tool.
_EXTRAS = ("cache_control", "defer_loading", "async")
_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")


def to_wire_tool(
    tool: ToolLike, *, strict: bool | None = None, any_server_tool: bool = False
) -> dict[str, Any]:
    """Return one tool in the form of the API.

    Args:
        tool: A function, a pydantic class, a LangChain tool, a schema, a function in OpenAI's
            form, or a server tool; the last two are returned unchanged but for `strict`.
        strict: Set on the function unless None.
        any_server_tool: Whether a tool of any type is accepted, as `POST /responses` takes many.

    Raises:
        ValueError: A dict has the type of another vendor's built-in tool, which would otherwise
            become a function that nobody runs.
    """
    if isinstance(tool, dict) and "type" in tool:
        tool = _with_nested_function(tool)
        kind = tool["type"]
        if kind == "function" and isinstance(tool.get("function"), dict):
            function = dict(tool["function"])
            if strict is not None:
                function["strict"] = strict
            return {**tool, "function": function}

        is_accepted = any_server_tool and kind not in {"function", "object"}
        if is_accepted or _is_server_tool(tool):
            return dict(tool)
        if isinstance(kind, str) and kind not in _CLIENT_TYPES:
            msg = (
                f"tool type {kind!r} is not OpenRouter's: use openrouter:web_search and the like "
                "(https://openrouter.ai/docs/features/server-tools), or a function"
            )
            raise ValueError(msg)

    wire_tool = convert_to_openai_tool(tool, strict=strict)
    extras = tool.extras if isinstance(tool, BaseTool) else tool
    for name in _EXTRAS:
        if isinstance(extras, dict) and name in extras:
            wire_tool[name] = extras[name]
    return wire_tool


def _with_nested_function(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a function in the form of chat completions, if it has that of `POST /responses`."""
    if tool["type"] != "function" or "function" in tool or not isinstance(tool.get("name"), str):
        return tool
    function = {name: tool[name] for name in _FUNCTION_FIELDS if tool.get(name) is not None}
    rest = {name: value for name, value in tool.items() if name not in _FUNCTION_FIELDS}
    return {**rest, "function": function}


def build_tool_kwargs(
    tools: Sequence[ToolLike],
    *,
    tool_choice: Any = None,
    strict: bool | None = None,
    response_format: Any | None = None,
    any_server_tool: bool = False,
) -> dict[str, Any]:
    """Return the fields of a request that the arguments of `bind_tools` stand for.

    Raises:
        ValueError: A tool or the choice cannot be sent.
    """
    kwargs: dict[str, Any] = {}
    if response_format:
        # `create_agent` passes strict=True with every response format for an OpenAI model. Its
        # user's own choice is in the format.
        json_schema = get_dict(response_format, "json_schema")
        strict = json_schema.get("strict") if strict and json_schema else strict
        kwargs["response_format"] = to_wire_response_format(response_format)

    kwargs["tools"] = [
        to_wire_tool(tool, strict=strict, any_server_tool=any_server_tool) for tool in tools
    ]
    choice = to_wire_tool_choice(tool_choice, kwargs["tools"])
    if choice is not None:
        kwargs["tool_choice"] = choice
    return kwargs


def _is_server_tool(tool: dict[str, Any]) -> bool:
    """Tell whether OpenRouter runs the tool: by its type, or by the keys of one not yet known."""
    kind = tool["type"]
    if not isinstance(kind, str):
        return False

    return (
        kind.startswith("openrouter:")
        or kind in SHORTHANDS
        or (kind not in _CLIENT_TYPES and set(tool) == {"type", "parameters"})
    )


def to_wire_tool_choice(choice: Any, tools: Sequence[dict[str, Any]]) -> Any:
    """Return `tool_choice` in the form of the API, or None if there is nothing to send.

    Args:
        choice: A tool's name, "auto", "none", "any", "required", True, a server tool's type, or a
            dict in the form of OpenAI or Anthropic.
        tools: The tools of the request, in the form of the API.

    Raises:
        ValueError: None of the tools has that name.
    """
    if choice is None or choice is False:
        return None
    if choice is True:
        return "required"
    if isinstance(choice, dict):
        return _from_choice_dict(choice)

    names = [tool["function"]["name"] for tool in tools if "function" in tool]
    types = [tool["type"] for tool in tools if "function" not in tool]
    if choice in names:
        return {"type": "function", "function": {"name": choice}}
    if choice in _CHOICES:
        return _CHOICES[choice]
    if choice in types or (isinstance(choice, str) and choice.startswith("openrouter:")):
        return {"type": choice}
    msg = f"tool_choice {choice!r} names no tool: {', '.join(map(repr, [*names, *types]))}"
    raise ValueError(msg)


def _from_choice_dict(choice: dict[str, Any]) -> Any:
    kind, name = choice.get("type"), choice.get("name")
    if kind in _CHOICES:
        return _CHOICES[kind]
    if kind in {"function", "tool"} and isinstance(name, str):
        return {"type": "function", "function": {"name": name}}
    return dict(choice)


def to_wire_response_format(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Return `response_format` in the form of the API.

    Args:
        schema: A pydantic class, a TypedDict, a JSON schema, or a `response_format` already.
        strict: Sent unless None; with some models no endpoint serves strict schemas.
    """
    if isinstance(schema, dict):
        if schema.get("type") == "json_schema" and isinstance(schema.get("json_schema"), dict):
            inner = dict(schema["json_schema"])
        elif "schema" in schema and "name" in schema:
            inner = dict(schema)
        elif schema.get("type") in {"text", "json_object", "grammar", "python"}:
            return dict(schema)
        else:
            inner = _named_schema(schema)
    else:
        inner = _named_schema(schema)

    if strict is not None:
        inner["strict"] = strict
    return {"type": "json_schema", "json_schema": inner}


def _named_schema(schema: Any) -> dict[str, Any]:
    """Return the `json_schema` of a response format."""
    function = dict(convert_to_openai_tool(schema)["function"])
    strict = function.pop("strict", None)
    named = {
        "name": function.pop("name"),
        **({"description": function["description"]} if function.get("description") else {}),
        "schema": function.get("parameters") or {"type": "object", "properties": {}},
    }

    return named if strict is None else {**named, "strict": strict}


def is_pydantic(schema: Any) -> bool:
    """Tell whether the schema is a pydantic class."""
    return isinstance(schema, type) and is_basemodel_subclass(schema)
