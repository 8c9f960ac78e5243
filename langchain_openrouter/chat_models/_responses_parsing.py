"""The body of `POST /responses` -> the body of a chat completion, as pure functions.

What the two endpoints have in common is then parsed once, by `_parsing`. The items of the output
are passed on as they came, in the message's `output_items`, for the next turn.
Parsing is lenient: a field that is missing or of the wrong type is left out, and nothing raises.
See https://openrouter.ai/docs/api-reference/responses/overview.
"""

from __future__ import annotations

from typing import Any

from langchain_openrouter._json import dump_json, get_dict, get_dicts, get_list, get_str
from langchain_openrouter.chat_models._messages import OUTPUT_ITEMS
from langchain_openrouter.chat_models._parsing import arguments_text, unique_call_id
from langchain_openrouter.chat_models._responses_reasoning import to_reasoning_details

CUSTOM_INPUT = "__arg1"
"""The argument that stands for the input of a custom tool, which is text; LangChain's own name."""

# Fields of a body that repeat the request, or the items.
_ECHOES = {
    "background",
    "conversation",
    "frequency_penalty",
    "include",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "output_text",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
}
_RENAMED = {"created_at": "created"}
_DROPPED = {*_ECHOES, "object", "output", "usage", "error", "error_type"}
_FINISH_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
_USAGE_NAMES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}
_TEXT_PARTS = {"output_text", "text", None}
CALL_ITEMS = {"function_call", "custom_tool_call"}
"""Types of items that the caller answers, as LangChain's tool calls."""


def to_chat_body(body: Any) -> Any:
    """Return a response's body in the form of a chat completion; an error in its own form.

    Args:
        body: The JSON of the body. One that has no `output` is returned as it is.
    """
    if not isinstance(body, dict) or not isinstance(body.get("output"), list):
        return body

    items = to_output_items(body)
    chat_body = to_envelope(body)
    chat_body["choices"] = [_to_choice(body, items)]
    if isinstance(body.get("usage"), dict):
        chat_body["usage"] = to_chat_usage(body["usage"])
    if body.get("error"):
        chat_body["error"] = body["error"]
        if body.get("error_type") is not None:
            chat_body["error_type"] = body["error_type"]
    return chat_body


def to_envelope(body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a body beside output, usage and error, without those of the request."""
    return {_RENAMED.get(name, name): value for name, value in body.items() if name not in _DROPPED}


def to_output_items(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the items of a body as they came, but that each call has an id of its own.

    An id that is missing or repeated would leave the results of tools without their calls.
    """
    items: list[dict[str, Any]] = []
    taken: set[str] = set()
    position = 0

    for item in get_dicts(body, "output"):
        if get_str(item, "type") not in CALL_ITEMS:
            items.append(item)
            continue
        call_id = unique_call_id(get_str(item, "call_id"), taken, get_str(body, "id"), position)
        taken.add(call_id)
        position += 1
        items.append(item if item.get("call_id") == call_id else {**item, "call_id": call_id})
    return items


def to_chat_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Return the usage with the names that chat completions have for the counts of tokens."""
    return {_USAGE_NAMES.get(name, name): value for name, value in usage.items()}


def _to_choice(body: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the choice: its message, and why it ended."""
    native = get_str(get_dict(body, "incomplete_details"), "reason") or get_str(body, "status")
    choice = {
        "index": 0,
        "finish_reason": _to_finish_reason(body, items),
        "native_finish_reason": native,
        "message": to_chat_message(items),
    }

    logprobs = [
        entry for part in _message_parts(items) for entry in get_list(part, "logprobs") or ()
    ]
    return {**choice, "logprobs": {"content": logprobs}} if logprobs else choice


def _to_finish_reason(body: dict[str, Any], items: list[dict[str, Any]]) -> str:
    """Return the finish reason that a chat completion would have."""
    status = get_str(body, "status")
    if status == "incomplete":
        reason = get_str(get_dict(body, "incomplete_details"), "reason") or "length"
        return _FINISH_REASONS.get(reason, reason)
    if status not in {None, "completed"}:  # failed, cancelled, or not even begun
        return "error"

    if any(get_str(item, "type") in CALL_ITEMS for item in items):
        return "tool_calls"
    has_refused = any(get_str(part, "type") == "refusal" for part in _message_parts(items))
    return "content_filter" if has_refused else "stop"


def to_chat_message(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the items of an output as the message of a chat completion.

    Args:
        items: As `to_output_items` returns them.
    """
    content: list[Any] = []
    annotations: list[dict[str, Any]] = []
    refusals: list[str] = []
    offset = 0  # of a text in the message's
    for part in _message_parts(items):
        kind, text = get_str(part, "type"), get_str(part, "text")
        if kind == "refusal":
            refusals.append(get_str(part, "refusal") or "")
        elif kind in _TEXT_PARTS:
            content.append(text or "")
            annotations += [to_chat_annotation(a, offset) for a in get_dicts(part, "annotations")]
            offset += len(text or "")
        else:
            content.append(part)

    details: list[dict[str, Any]] = []
    for item in items:
        if get_str(item, "type") == "reasoning":
            details += to_reasoning_details(item, len(details))
    is_text = all(isinstance(piece, str) for piece in content)
    fields: dict[str, Any] = {
        "reasoning_details": details or None,
        "tool_calls": [to_chat_call(i) for i in items if get_str(i, "type") in CALL_ITEMS] or None,
        "images": [image for item in items if (image := _to_image(item))] or None,
        "annotations": annotations or None,
        "refusal": "".join(refusals) or None,
        OUTPUT_ITEMS: items or None,
    }
    message = {"role": "assistant", "content": "".join(content) if is_text else content}
    return {**message, **{name: value for name, value in fields.items() if value is not None}}


def _message_parts(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the parts of all messages among the items."""
    parts: list[dict[str, Any]] = []
    for item in items:
        if get_str(item, "type") == "message":
            text = get_str(item, "content")
            parts += [{"text": text}] if text else get_dicts(item, "content")
    return parts


def to_chat_call(item: dict[str, Any]) -> dict[str, Any]:
    """Return the call of a tool; the input of a custom tool is the argument `__arg1`."""
    if get_str(item, "type") == "custom_tool_call":
        text = item.get("input")
        arguments = dump_json({CUSTOM_INPUT: text if isinstance(text, str) else ""})
    else:
        arguments = arguments_text(item.get("arguments"))
    function = {"name": get_str(item, "name"), "arguments": arguments}
    return {"id": get_str(item, "call_id"), "type": "function", "function": function}


def to_chat_annotation(annotation: dict[str, Any], offset: int = 0) -> dict[str, Any]:
    """Return a citation in the form of a chat completion; one of another kind as it came.

    Args:
        annotation: Of a part of text.
        offset: Where the part begins in the text of the message, to which indices refer then.
    """
    if get_str(annotation, "type") != "url_citation" or "url_citation" in annotation:
        return annotation

    fields = {name: value for name, value in annotation.items() if name != "type"}
    for name in ("start_index", "end_index"):
        if offset and type(fields.get(name)) is int:
            fields[name] += offset
    return {"type": "url_citation", "url_citation": fields}


def _to_image(item: dict[str, Any]) -> dict[str, Any] | None:
    """Return the image that an item holds, as base64 or as a URL."""
    if get_str(item, "type") not in {"image_generation_call", "openrouter:image_generation"}:
        return None

    data = next(
        filter(None, (get_str(item, name) for name in ("result", "image_b64", "image_url"))), None
    )
    if data is None:
        return None
    if not data.startswith(("data:", "http://", "https://")):
        data = f"data:image/{get_str(item, 'output_format') or 'png'};base64,{data}"
    return {"type": "image_url", "image_url": {"url": data}}
