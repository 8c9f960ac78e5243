"""What the live service would refuse in a request's body, by the package's own `wire`; pure."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from langchain_openrouter import wire
from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str

_ROLES = {"system", "developer", "user", "assistant", "tool"}
_PARTS = {"text", "image_url", "input_audio", "video_url", "input_video", "file"}
_MOST_STOPS = 4


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def problems(body: Any) -> list[str]:
    """Return what is wrong with a chat request, in the service's manner; nothing is fine."""
    if not isinstance(body, dict):
        return ["Invalid input: expected object"]
    found = _mistyped(wire.ChatRequest, body)
    if not get_list(body, "messages"):
        found.append('messages: Input required: specify "prompt" or "messages"')
    found += [f"provider.{name}: Unrecognized key" for name in get_dict(body, "provider") or ()
              if name not in wire.ProviderPreferences.__annotations__]  # fmt: skip
    if len(get_list(body, "stop") or ()) > _MOST_STOPS:
        found.append("stop: Too big: expected at most 4 items")
    for place, message in enumerate(get_dicts(body, "messages")):
        found += [f"messages[{place}]{problem}" for problem in _message_problems(message)]
    names = [get_str(get_dict(tool, "function"), "name") for tool in get_dicts(body, "tools")
             if tool.get("type") == "function"]  # fmt: skip
    if None in names:
        found.append("tools: a function needs a name")
    forced = get_str(get_dict(get_dict(body, "tool_choice"), "function"), "name")
    if forced is not None and forced not in names:
        found.append(f"tool_choice: no function named '{forced}' was specified in 'tools'")
    return found


def slug_problem(slug: Any) -> str | None:
    """Return what the service says of a slug that cannot be one."""
    text = slug if isinstance(slug, str) else ""
    author, slash, name = text.partition("/")
    return None if author and slash and name else f"{text or slug} is not a valid model ID"


def _mistyped(kind: Any, value: Any) -> list[str]:
    try:
        _adapter(kind).validate_python(_without_nulls(value), strict=True)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)
        ]
    return []


def _without_nulls(value: Any) -> Any:
    """A null is "not set", which is what every field of the service takes."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _message_problems(message: dict[str, Any]) -> list[str]:
    role = message.get("role")
    found = [] if role in _ROLES else [f".role: Invalid option: {role!r}"]
    if role == "tool" and not get_str(message, "tool_call_id"):
        found.append(".tool_call_id: expected string")
    if role in {"user", "system", "developer", "tool"} and message.get("content") is None:
        found.append(".content: expected string or array")
    for place, part in enumerate(get_dicts(message, "content")):
        kind = part.get("type")
        if kind not in _PARTS:
            found.append(f".content[{place}].type: Invalid option: {kind!r}")
        elif kind != "text" and not isinstance(part.get(kind), dict):
            found.append(f".content[{place}].{kind}: expected object")
        elif kind == "text" and not isinstance(part.get("text"), str):
            found.append(f".content[{place}].text: expected string")
    found += [
        ".tool_calls: a call needs an id and a function"
        for call in get_dicts(message, "tool_calls")
        if not (get_str(call, "id") and get_str(get_dict(call, "function"), "name"))
    ]
    return found
