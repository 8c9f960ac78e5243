"""The messages of a chat request -> the `input` items of `POST /responses`, as pure functions.

An answer of that endpoint is sent back as the items that it came in, so long as the message still
says what they say; an answer of chat completions becomes items anew.
See https://openrouter.ai/docs/api-reference/responses/basic-usage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str, parse_model_json
from langchain_openrouter.chat_models._messages import OUTPUT_ITEMS
from langchain_openrouter.chat_models._responses_parsing import CALL_ITEMS, CUSTOM_INPUT
from langchain_openrouter.chat_models._responses_reasoning import (
    has_unknown_details,
    to_reasoning_items,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_openrouter.chat_models._foreign_blocks import OmittedBlocks

# Ids of items that came without one, in the form of the service's own: it stores none of them.
_TEMPORARY = {"message": "msg_tmp_", "reasoning": "rs_tmp_", "image_generation_call": "ig_tmp_"}
_EXPLICIT = {"mode": "explicit"}
# Parts that the results of tools may hold: FunctionCallOutputItem in https://openrouter.ai/openapi.json.
_OUTPUT_PARTS = {"input_text", "input_image", "input_file"}
_INPUT_PARTS = {*_OUTPUT_PARTS, "input_audio", "input_video"}


def to_input_items(
    messages: Sequence[dict[str, Any]], omitted: OmittedBlocks
) -> list[dict[str, Any]]:
    """Return the items of a conversation.

    Args:
        messages: Of a chat request; assistant messages may have their `output_items`.
        omitted: Takes the names of what no item has a field for.
    """
    items: list[dict[str, Any]] = []
    custom_calls: set[str | None] = set()

    for message in messages:
        role = message.get("role")
        if role == "assistant":
            new = _to_assistant_items(message, omitted)
        elif role == "tool":
            new = [_to_call_output(message, custom_calls, omitted)]
        else:
            new = _to_message_items(message, omitted)
        if message.get("name") and role != "tool":
            omitted.add("name")
        custom_calls |= {
            get_str(item, "call_id") for item in new if get_str(item, "type") == "custom_tool_call"
        }
        items += new

    for position, item in enumerate(items):
        prefix = _TEMPORARY.get(get_str(item, "type") or "")
        is_answer = get_str(item, "type") != "message" or item.get("role") == "assistant"
        if prefix and is_answer and not item.get("id"):
            items[position] = {**item, "id": f"{prefix}{position}"}
    return items


# --- system and user --------------------------------------------------------------------------


def _to_message_items(message: dict[str, Any], omitted: OmittedBlocks) -> list[dict[str, Any]]:
    """Return a message of the system or the user, and the items that are among its parts."""
    items: list[dict[str, Any]] = []
    update = get_dict(message, "configuration_update")
    if update is not None:
        items.append({"type": "configuration_update", **update})

    content = message.get("content")
    if isinstance(content, list):
        parts = [_to_input_part(part, omitted) for part in content]
        items += [part for part in parts if get_str(part, "type") not in _INPUT_PARTS]
        content = [part for part in parts if get_str(part, "type") in _INPUT_PARTS]
        if parts and not content:
            return items
    if content or update is None:
        items.append({"type": "message", "role": message.get("role"), "content": content})
    return items


def _to_input_part(part: dict[str, Any], omitted: OmittedBlocks) -> dict[str, Any]:
    """Return a content part; a part of an unknown type is an item of its own, or a new part."""
    kind = get_str(part, "type") or ""
    value = part.get(kind)
    converted = part
    if kind == "text":
        converted = {"type": "input_text", "text": part.get("text") or ""}
    elif kind == "image_url" and isinstance(value, dict):
        converted = {"type": "input_image", "detail": "auto", **value}
        converted["image_url"] = converted.pop("url", None)
    elif kind in {"video_url", "input_video"} and isinstance(value, dict):
        converted = {"type": "input_video", "video_url": value.get("url")}
    elif kind == "file" and isinstance(value, dict):
        converted = {"type": "input_file", **value}
        if str(value.get("file_data")).startswith(("http://", "https://")):
            converted["file_url"] = converted.pop("file_data")
    elif kind == "input_audio":
        converted = {"type": kind, kind: value}

    return _with_breakpoint(converted, part, omitted)


def _with_breakpoint(
    converted: dict[str, Any], part: dict[str, Any], omitted: OmittedBlocks
) -> dict[str, Any]:
    """Return a part with its cache mark, which only texts may have and which has no lifetime."""
    mark = get_dict(part, "cache_control")
    stored = get_dict(part, "prompt_cache_breakpoint")
    if converted is part or (mark is None and stored is None):
        return converted
    if converted["type"] != "input_text":
        omitted.add("cache_control")
        return converted

    if mark is not None and mark.get("ttl") not in {None, "5m"}:
        omitted.add("cache_control.ttl")
    return {**converted, "prompt_cache_breakpoint": stored or dict(_EXPLICIT)}


# --- results of tools -------------------------------------------------------------------------


def _to_call_output(
    message: dict[str, Any], custom_calls: set[str | None], omitted: OmittedBlocks
) -> dict[str, Any]:
    call_id, content = message.get("tool_call_id"), message.get("content")
    output: Any = content if isinstance(content, str) else ""
    if isinstance(content, list):
        output = []
        for part in content:
            converted = _to_input_part(part, omitted)
            if converted["type"] in _OUTPUT_PARTS:
                output.append(converted)
            else:
                omitted.add(converted)

    kind = "custom_tool_call_output" if call_id in custom_calls else "function_call_output"
    return {"type": kind, "call_id": call_id, "output": output}


# --- answers ----------------------------------------------------------------------------------


def _to_assistant_items(message: dict[str, Any], omitted: OmittedBlocks) -> list[dict[str, Any]]:
    """Return an answer: its own items, as far as it has any, and what they do not hold."""
    stored = get_dicts(message, OUTPUT_ITEMS)
    if message.get("audio"):
        omitted.add("audio")
    if stored:
        return _restore_items(stored, message, omitted)

    details = get_list(message, "reasoning_details") or []
    if has_unknown_details(details):
        omitted.add("reasoning_details")
    return [
        *to_reasoning_items(details, get_str(message, "reasoning")),
        *_to_image_items(message, omitted),
        *_to_answer(message, omitted),
        *map(_to_call_item, get_dicts(message, "tool_calls")),
    ]


def _restore_items(
    stored: list[dict[str, Any]], message: dict[str, Any], omitted: OmittedBlocks
) -> list[dict[str, Any]]:
    """Return the items of an answer, with what the message says differently since."""
    calls = {call.get("id"): call for call in get_dicts(message, "tool_calls")}
    is_same = _text_of(stored) == (_text_of(_to_answer(message)) if message.get("content") else "")
    if is_same:
        answer: list[dict[str, Any]] = []
    else:  # edited, or shortened by a middleware
        answer = _to_answer({**message, "annotations": None}, omitted)
        last: dict[str, Any] = next(
            (i for i in reversed(stored) if get_str(i, "type") == "message"), {}
        )
        if answer and last.get("phase") is not None:
            answer[0]["phase"] = last["phase"]

    items: list[dict[str, Any]] = []
    for item in stored:
        kind = get_str(item, "type")
        if kind in CALL_ITEMS:
            call = calls.pop(get_str(item, "call_id"), None)
            items += [_with_arguments(item, call)] if call is not None else []
        elif kind == "message" and not is_same:
            items += answer
            answer = []
        else:
            items.append(item)
    return [*items, *answer, *map(_to_call_item, calls.values())]


def _with_arguments(item: dict[str, Any], call: dict[str, Any]) -> dict[str, Any]:
    """Return the item of a call, with the name and the arguments that the message has now."""
    function = get_dict(call, "function") or {}

    if get_str(item, "type") == "custom_tool_call":
        try:
            text = parse_model_json(function.get("arguments") or "{}")[CUSTOM_INPUT]
        except (ValueError, TypeError, KeyError):
            text = item.get("input")
        changed = {"name": function.get("name"), "input": text}
    else:
        arguments = function.get("arguments") or "{}"
        if item.get("arguments") == "" and arguments == "{}":
            arguments = ""
        changed = {"name": function.get("name"), "arguments": arguments}
    return {**item, **changed}


def _to_answer(
    message: dict[str, Any], omitted: OmittedBlocks | None = None
) -> list[dict[str, Any]]:
    """Return the text and the refusal of an answer as a message; none if it has neither."""
    content = message.get("content")
    texts = [content] if isinstance(content, str) else []
    for part in get_dicts(message, "content"):
        if get_str(part, "type") == "text":
            texts.append(get_str(part, "text") or "")
        elif omitted is not None:
            omitted.add(part)

    parts: list[dict[str, Any]] = []
    if any(texts):
        annotations = _to_annotations(message, omitted)
        parts = [{"type": "output_text", "text": "".join(texts), "annotations": annotations}]
    if refusal := get_str(message, "refusal"):
        parts.append({"type": "refusal", "refusal": refusal})
    if not parts:
        return []
    return [{"type": "message", "role": "assistant", "status": "completed", "content": parts}]


def _to_annotations(message: dict[str, Any], omitted: OmittedBlocks | None) -> list[dict[str, Any]]:
    """Return the citations of an answer; a file that was parsed is none."""
    citations = []

    for annotation in get_dicts(message, "annotations"):
        nested = get_dict(annotation, "url_citation")
        if nested is not None:
            citations.append({"type": "url_citation", **nested})
        elif get_str(annotation, "type") in {"url_citation", "file_citation", "file_path"}:
            citations.append(annotation)
        elif omitted is not None:
            omitted.add(annotation)
    return citations


def _to_call_item(call: dict[str, Any]) -> dict[str, Any]:
    function = get_dict(call, "function") or {}
    return {
        "type": "function_call",
        "call_id": call.get("id"),
        "name": function.get("name"),
        "arguments": function.get("arguments") or "",
    }


def _to_image_items(message: dict[str, Any], omitted: OmittedBlocks) -> list[dict[str, Any]]:
    """Return the images of an answer as the calls that would have made them."""
    items = []

    for image in get_dicts(message, "images"):
        url = get_str(get_dict(image, "image_url"), "url") or ""
        _, separator, data = url.partition(";base64,")
        if separator and url.startswith("data:"):
            call = {"type": "image_generation_call", "status": "completed", "result": data}
            items.append(call)
        else:
            omitted.add("images")
    return items


def _text_of(items: list[dict[str, Any]]) -> str:
    """Return the text of the messages among items."""
    texts = []
    for item in items:
        if get_str(item, "type") == "message":
            texts.append(get_str(item, "content") or "")
            texts += [get_str(part, "text") or "" for part in get_dicts(item, "content")]
    return "".join(texts)
