"""What the live service would refuse in a request's body, by the types of the package's `wire`."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from langchain_openrouter import wire
from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._catalog import unknown_slug_error

__all__ = ["slug_error", "validate_chat", "validate_fields", "validation_errors"]

_ROLES = {"system", "developer", "user", "assistant", "tool"}
_PARTS = {"text", "image_url", "input_audio", "video_url", "input_video", "file"}
_MAX_STOPS = 4


def validate_chat(body: Any, *, strict_models: bool = False) -> None:
    """Refuse a chat request that the live service would refuse.

    Args:
        body: The request's.
        strict_models: Whether a slug must be that of a known model.

    Raises:
        ApiRefusal: The request is malformed, or no model has this slug.
    """
    if errors := validation_errors(body):
        raise ApiRefusal(400, "; ".join(errors[:3]))

    slugs = [slug for slug in (body.get("model"), *(body.get("models") or ())) if slug is not None]
    for slug in slugs:
        if not str(slug).startswith("@preset/") and (error := slug_error(slug, strict_models)):
            raise ApiRefusal(400, error)


def validate_fields(body: Any, fields: tuple[str, ...], *, strict_models: bool = False) -> None:
    """Refuse a request that lacks a field.

    Args:
        body: The request's.
        fields: Their names.
        strict_models: Whether the slug must be that of a known model.

    Raises:
        ApiRefusal: It does, or no model has this slug.
    """
    for name in fields:
        if not (isinstance(body, dict) and body.get(name)):
            raise ApiRefusal(400, f"{name}: Invalid input: received undefined")
    if error := slug_error(body["model"], strict_models):
        raise ApiRefusal(400, error)


def validation_errors(body: Any) -> list[str]:
    """Return what is wrong with a chat request, worded like the service; empty if nothing is."""
    if not isinstance(body, dict):
        return ["Invalid input: expected object"]

    errors = _type_errors(body)
    if not get_list(body, "messages"):
        errors.append('messages: Input required: specify "prompt" or "messages"')
    errors += [
        f"provider.{name}: Unrecognized key"
        for name in get_dict(body, "provider") or ()
        if name not in wire.ProviderPreferences.__annotations__
    ]
    if len(get_list(body, "stop") or ()) > _MAX_STOPS:
        errors.append("stop: Too big: expected at most 4 items")
    for index, message in enumerate(get_dicts(body, "messages")):
        errors += [f"messages[{index}]{error}" for error in _message_errors(message)]
    return errors + _tool_errors(body)


def slug_error(slug: Any, strict: bool) -> str | None:  # noqa: FBT001 - private
    """Return what the service answers to a slug that cannot be one; None for one that can."""
    text = slug if isinstance(slug, str) else ""
    author, slash, name = text.partition("/")
    if not (author and slash and name):
        return f"{text or slug} is not a valid model ID"
    return unknown_slug_error(text) if strict else None


@cache
def _request_adapter() -> TypeAdapter[Any]:
    return TypeAdapter(wire.ChatRequest)


def _type_errors(body: dict[str, Any]) -> list[str]:
    try:
        _request_adapter().validate_python(_without_nulls(body), strict=True)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)
        ]
    return []


def _without_nulls(value: Any) -> Any:
    """Drop nulls: for the service, null is "not set" in every field."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _tool_errors(body: dict[str, Any]) -> list[str]:
    names = [
        get_str(get_dict(tool, "function"), "name")
        for tool in get_dicts(body, "tools")
        if tool.get("type") == "function"
    ]
    errors = ["tools: a function needs a name"] if None in names else []

    forced = get_str(get_dict(get_dict(body, "tool_choice"), "function"), "name")
    if forced is not None and forced not in names:
        errors.append(f"tool_choice: no function named '{forced}' was specified in 'tools'")
    return errors


def _message_errors(message: dict[str, Any]) -> list[str]:
    role = message.get("role")
    errors = [] if role in _ROLES else [f".role: Invalid option: {role!r}"]
    if role == "tool" and not get_str(message, "tool_call_id"):
        errors.append(".tool_call_id: expected string")
    if role in {"user", "system", "developer", "tool"} and message.get("content") is None:
        errors.append(".content: expected string or array")

    for index, part in enumerate(get_dicts(message, "content")):
        errors += [f".content[{index}]{error}" for error in _part_errors(part)]
    errors += [
        ".tool_calls: a call needs an id and a function"
        for call in get_dicts(message, "tool_calls")
        if not (get_str(call, "id") and get_str(get_dict(call, "function"), "name"))
    ]
    return errors


def _part_errors(part: dict[str, Any]) -> list[str]:
    kind = part.get("type")
    if kind not in _PARTS:
        return [f".type: Invalid option: {kind!r}"]
    if kind == "text":
        return [] if isinstance(part.get("text"), str) else [".text: expected string"]
    return [] if isinstance(part.get(kind), dict) else [f".{kind}: expected object"]
