"""Tools, tool choice and response format -> the wire, as pure functions.

See https://openrouter.ai/docs/features/tool-calling, https://openrouter.ai/docs/features/server-tools
and https://openrouter.ai/docs/features/structured-outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    ToolLike = dict[str, Any] | type | Callable[..., Any] | BaseTool

# SPEC:ChatWebSearchShorthand: the service turns these into openrouter:web_search.
SHORTHANDS = {
    "web_search",
    "web_search_preview",
    "web_search_preview_2025_03_11",
    "web_search_2025_08_26",
}
_EXTRAS = ("cache_control", "defer_loading")


def to_wire_tool(tool: ToolLike, *, strict: bool | None = None) -> dict[str, Any]:
    """Return one tool for the wire; server tools and OpenAI-format functions as they are.

    Raises:
        ValueError: A dict with the type of another vendor's built-in tool, which would
            otherwise become a function that nobody runs.
    """
    if isinstance(tool, dict) and "type" in tool:
        kind = tool["type"]
        if kind == "function" and isinstance(tool.get("function"), dict):
            function = dict(tool["function"])
            if strict is not None:
                function["strict"] = strict
            return {**tool, "function": function}
        if _is_server_tool(tool):
            return dict(tool)
        if isinstance(kind, str) and kind not in {"function", "object", "custom"}:
            msg = (
                f"tool type {kind!r} is not OpenRouter's: use openrouter:web_search and the like "
                "(https://openrouter.ai/docs/features/server-tools), or a function"
            )
            raise ValueError(msg)
    wire = convert_to_openai_tool(tool, strict=strict)
    extras = tool.extras if isinstance(tool, BaseTool) else tool
    for name in _EXTRAS:
        if isinstance(extras, dict) and name in extras:
            wire[name] = extras[name]
    return wire


def _is_server_tool(tool: dict[str, Any]) -> bool:
    """Tell whether OpenRouter runs it: by its type, or by the envelope of a new one."""
    kind = tool["type"]
    if not isinstance(kind, str):
        return False
    return (
        kind.startswith("openrouter:")
        or kind in SHORTHANDS
        or (kind not in {"function", "object", "custom"} and set(tool) == {"type", "parameters"})
    )


def to_wire_tool_choice(  # noqa: C901, PLR0911 - one return for each form of a choice
    choice: Any, tools: Sequence[dict[str, Any]]
) -> Any:
    """Return `tool_choice` for the wire, or None where nothing is asked.

    Takes a tool's name, "auto", "none", "any", "required", True, a server tool's type, and the
    dict forms of OpenAI and Anthropic.

    Raises:
        ValueError: The name is that of no tool given.
    """
    if choice is None or choice is False:
        return None
    if choice is True:
        return "required"
    names = [tool["function"]["name"] for tool in tools if "function" in tool]
    types = [tool["type"] for tool in tools if "function" not in tool]
    if isinstance(choice, dict):
        kind, name = choice.get("type"), choice.get("name")
        if kind == "any":
            return "required"
        if kind in {"auto", "none", "required"}:
            return kind
        if kind in {"function", "tool"} and isinstance(name, str):
            return {"type": "function", "function": {"name": name}}
        return dict(choice)
    if choice in names:
        return {"type": "function", "function": {"name": choice}}
    if choice in {"auto", "none", "required"}:
        return choice
    if choice == "any":
        return "required"
    if choice in types or (isinstance(choice, str) and choice.startswith("openrouter:")):
        return {"type": choice}
    msg = f"tool_choice {choice!r} names no tool: {', '.join(map(repr, [*names, *types]))}"
    raise ValueError(msg)


def to_wire_response_format(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Return `response_format` for a pydantic class, a TypedDict, a JSON schema or a wire dict.

    `strict` is sent only when it was asked for: it can leave no endpoint that serves.
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
    function = dict(convert_to_openai_tool(schema)["function"])
    asked = function.pop("strict", None)
    named = {
        "name": function.pop("name"),
        **({"description": function["description"]} if function.get("description") else {}),
        "schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    return named if asked is None else {**named, "strict": asked}


def is_pydantic(schema: Any) -> bool:
    """Tell whether the schema is a pydantic class."""
    return isinstance(schema, type) and is_basemodel_subclass(schema)
