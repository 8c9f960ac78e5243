"""A request to `POST /responses`: what the service would refuse, and the same as a chat request.

Routing, payment, caching and the default replies read the chat request, so that a conversation is
answered alike at either endpoint.
See `ResponsesRequest` in https://openrouter.ai/openapi.json.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from langchain_openrouter import wire
from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._validation import slug_error

__all__ = ["parse_responses_request", "responses_validation_errors", "to_messages"]

_ROLES = {"system", "developer", "user", "assistant"}
_PARTS = {"input_text", "input_image", "input_file", "input_audio", "input_video"}
_ANSWER_PARTS = {"output_text", "refusal", *_PARTS}
_STATELESS = "This API is stateless: {} is not supported"
# Fields that a chat request has too, by the same name.
_SHARED = (
    "model",
    "models",
    "stream",
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "reasoning",
    "provider",
    "plugins",
    "modalities",
    "cache_control",
    "prompt_cache_options",
    "session_id",
    "user",
)


def parse_responses_request(body: Any, *, strict_models: bool = False) -> dict[str, Any]:
    """Return the chat request that a request stands for.

    Args:
        body: The request's.
        strict_models: Whether a slug must be that of a known model.

    Raises:
        ApiRefusal: The service would refuse it.
    """
    if errors := responses_validation_errors(body):
        raise ApiRefusal(400, "; ".join(errors[:3]))
    for slug in (body.get("model"), *(body.get("models") or ())):
        if slug is not None and (error := slug_error(slug, strict_models)):
            raise ApiRefusal(400, error)
    return _to_chat_request(body)


def responses_validation_errors(body: Any) -> list[str]:
    """Return what is wrong with a request; empty if nothing is."""
    if not isinstance(body, dict):
        return ["Invalid input: expected object"]

    errors = _type_errors(body)
    if not body.get("input"):
        errors.append("input: Input required")
    if body.get("store") not in (None, False):
        errors.append(_STATELESS.format("store: true"))
    errors += [
        _STATELESS.format(name)
        for name in ("previous_response_id", "background", "conversation")
        if body.get(name) not in (None, False)
    ]
    errors += [
        f"provider.{name}: Unrecognized key"
        for name in get_dict(body, "provider") or ()
        if name not in wire.ProviderPreferences.__annotations__
    ]
    calls: set[Any] = set()
    for index, item in enumerate(get_dicts(body, "input")):
        if "call" in str(item.get("type")):
            calls.add(item.get("call_id")) if "output" not in item else None
        errors += [f"input[{index}]{error}" for error in _item_errors(item, calls)]
    return errors + _tool_errors(body)


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(wire.ResponsesRequest)


def _type_errors(body: dict[str, Any]) -> list[str]:
    present = {name: value for name, value in body.items() if value is not None}

    try:
        _adapter().validate_python(present, strict=True)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)
        ]
    return []


def _item_errors(item: dict[str, Any], calls: set[Any]) -> list[str]:
    kind = item.get("type", "message")
    if kind == "message":
        return _message_errors(item)

    if kind in {"function_call_output", "custom_tool_call_output"}:
        errors = [] if item.get("call_id") in calls else [".call_id: No tool call found for it"]
        parts = get_dicts(item, "output")
        return errors + [".output: Invalid option" for p in parts if p.get("type") not in _PARTS]
    required = {
        "function_call": ("call_id", "name", "arguments"),
        "custom_tool_call": ("call_id", "name", "input"),
        "reasoning": ("id",),
        "configuration_update": ("reasoning",),
    }
    return [f".{name}: Required" for name in required.get(str(kind), ()) if name not in item]


def _message_errors(item: dict[str, Any]) -> list[str]:
    role = item.get("role")
    errors = [] if role in _ROLES else [f".role: Invalid option: {role!r}"]
    if role != "assistant" and item.get("content") is None:
        errors.append(".content: expected string or array")

    known = _ANSWER_PARTS if role == "assistant" else _PARTS
    for index, part in enumerate(get_dicts(item, "content")):
        if part.get("type") not in known:
            errors.append(f".content[{index}].type: Invalid option: {part.get('type')!r}")
        if part.get("type") in {"input_text", "output_text"} and "text" not in part:
            errors.append(f".content[{index}].text: expected string")
    return errors


def _tool_errors(body: dict[str, Any]) -> list[str]:
    functions = [tool for tool in get_dicts(body, "tools") if tool.get("type") == "function"]
    errors = [
        "tools: a function needs a name and parameters"
        for tool in functions
        if not get_str(tool, "name") or "parameters" not in tool
    ]

    choice = get_dict(body, "tool_choice")
    if choice is not None and choice.get("type") == "function":
        forced = get_str(choice, "name")
        if forced not in [get_str(tool, "name") for tool in functions]:
            errors.append(f"tool_choice: no function named '{forced}' was specified in 'tools'")
    return errors


# --- the same as a chat request ---------------------------------------------------------------


def _to_chat_request(body: dict[str, Any]) -> dict[str, Any]:
    chat = {name: body[name] for name in _SHARED if body.get(name) is not None}
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    chat["messages"] = to_messages(body)

    if get_list(body, "tools"):
        chat["tools"] = [_to_chat_tool(tool) for tool in get_dicts(body, "tools")]
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function":
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    if choice is not None:
        chat["tool_choice"] = choice

    text_format = get_dict(get_dict(body, "text"), "format")
    if text_format is not None:
        schema = {name: value for name, value in text_format.items() if name != "type"}
        nested = {"json_schema": schema} if text_format.get("type") == "json_schema" else {}
        chat["response_format"] = {"type": text_format.get("type"), **nested}
    return chat


def _to_chat_tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function":
        return tool
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}


def to_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages that the items stand for; the items of one answer are one message."""
    messages: list[dict[str, Any]] = []
    if instructions := get_str(body, "instructions"):
        messages.append({"role": "system", "content": instructions})
    if isinstance(body.get("input"), str):
        return [*messages, {"role": "user", "content": body["input"]}]

    for item in get_dicts(body, "input"):
        kind, role = item.get("type", "message"), item.get("role")
        if kind == "message" and role != "assistant":
            messages.append({"role": role, "content": _to_content(item, "content")})
        elif kind in {"function_call_output", "custom_tool_call_output"}:
            content = _to_content(item, "output")
            messages.append(
                {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
            )
        else:
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            _add_to_answer(messages[-1], item)
    return messages


def _add_to_answer(message: dict[str, Any], item: dict[str, Any]) -> None:
    """Add an item of an answer to the message that it is part of."""
    match item.get("type", "message"):
        case "message":
            content = _to_content(item, "content")
            text = content if isinstance(content, str) else "".join(p["text"] for p in content)
            message["content"] = (message["content"] or "") + text
        case "function_call" | "custom_tool_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            message.setdefault("tool_calls", []).append(call)
        case "reasoning":
            details = message.setdefault("reasoning_details", [])
            details += _to_details(item, len(details))


def _to_details(item: dict[str, Any], start: int) -> list[dict[str, Any]]:
    """Return the details that a reasoning item stands for."""
    details: list[dict[str, Any]] = [
        {"type": "reasoning.summary", "summary": part.get("text")}
        for part in get_dicts(item, "summary")
    ]
    details += [
        {"type": "reasoning.text", "text": part.get("text")} for part in get_dicts(item, "content")
    ]
    if details and item.get("signature"):
        details[-1]["signature"] = item["signature"]
    if item.get("encrypted_content"):
        details.append({"type": "reasoning.encrypted", "data": item["encrypted_content"]})

    layout = {"format": item["format"]} if item.get("format") else {}
    return [{**detail, **layout, "index": n} for n, detail in enumerate(details, start=start)]


def _to_content(item: dict[str, Any], name: str) -> Any:
    """Return the content of a message, or the output of a tool: a text, or parts."""
    value = item.get(name)
    if isinstance(value, str):
        return value
    return [_to_chat_part(part) for part in get_dicts(item, name) if part.get("type") != "refusal"]


def _to_chat_part(part: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a chat message; what has no text keeps its kind alone and its mark."""
    mark = get_dict(part, "prompt_cache_breakpoint")
    marks = {} if mark is None else {"prompt_cache_breakpoint": mark}
    kind = str(part.get("type"))
    if kind in {"input_text", "output_text"}:
        return {"type": "text", "text": part.get("text") or "", **marks}
    names = {"input_image": "image_url", "input_file": "file", "input_video": "video_url"}
    return {**part, "type": names.get(kind, kind)}
