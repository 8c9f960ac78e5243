"""The JSON of a response -> parts of an `AIMessage`; shared by complete and streamed responses.

Pure functions. Parsing is lenient: a field that is missing or of the wrong type is left out, and
nothing raises.
See https://openrouter.ai/docs/api-reference/overview#completionsresponse-format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

from langchain_openrouter._json import (
    dump_json,
    get_dict,
    get_dicts,
    get_int,
    get_list,
    get_number,
    get_str,
    parse_model_json,
)
from langchain_openrouter.chat_models._plain_messages import ARGUMENTS
from langchain_openrouter.chat_models._usage import to_usage_metadata

if TYPE_CHECKING:
    from langchain_core.messages import InvalidToolCall, ToolCall

PROVIDER = "openrouter"
# OpenRouter's finish reason for a response that the token limit cut, then each provider's.
_TRUNCATED = {"length", "max_output_tokens", "max_tokens", "model_length", "token_limit"}
TRUNCATED_CALL_ERROR = (
    "the token limit cut this call, or its arguments are not a JSON object of at most 200 levels"
)

# Fields that are parsed by name; any other, of a newer service, is passed on under its own name.
_KNOWN_BODY = {
    "id",
    "object",
    "created",
    "model",
    "provider",
    "system_fingerprint",
    "service_tier",
    "choices",
    "usage",
    "error",
    "user_id",
}
_KNOWN_MESSAGE = {
    "name",
    "role",
    "content",
    "refusal",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "tool_calls",
    "images",
    "annotations",
    "audio",
}


def unwrap_nested_body(body: Any) -> Any:
    """Return the response itself: sometimes it comes inside `provider`, beside null fields.

    See https://github.com/pydantic/pydantic-ai/issues/3994.
    """
    inner = get_dict(body, "provider")
    if inner is None or not isinstance(inner.get("choices"), list) or body.get("choices"):
        return body

    rest = {key: value for key, value in body.items() if value is not None and key != "provider"}
    return {**rest, **inner}


def unknown_fields(source: dict[str, Any] | None, *, message: bool = False) -> dict[str, Any]:
    """Return the fields of a body, or of a message, that are not parsed by name.

    Args:
        source: A body, an event, a message or a delta.
        message: Whether it is a message or a delta.
    """
    known = _KNOWN_MESSAGE if message else _KNOWN_BODY
    return {
        name: value
        for name, value in (source or {}).items()
        if name not in known and value is not None
    }


def was_truncated(finish_reason: Any, native: Any) -> bool:
    """Tell whether the token limit ended the response.

    Args:
        finish_reason: OpenRouter's; "tool_calls" for a response with tool calls, cut or not.
        native: The provider's own, in `native_finish_reason`.
    """
    return any(
        isinstance(reason, str) and reason.lower() in _TRUNCATED
        for reason in (finish_reason, native)
    )


def parse_arguments(text: str | None, *, cut: bool) -> dict[str, Any] | None:
    """Return a call's arguments, or None if they are not a complete JSON object.

    Args:
        text: The arguments as they came. No text means no arguments, unless `cut`.
        cut: Whether the token limit may have cut the call, even before its arguments began.
    """
    if text is None or not text.strip():
        return None if cut else {}

    try:
        value = parse_model_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def unique_call_id(
    wire_id: str | None, taken: set[str], generation_id: str | None, position: int
) -> str:
    """Return an id that no other call of the message has.

    It depends on the response alone, so that complete and streamed responses have equal ids.

    Args:
        wire_id: The id that came; used if it is not taken.
        taken: The ids of the other calls.
        generation_id: The response's id.
        position: The call's position in the message.
    """
    if wire_id and wire_id not in taken:
        return wire_id

    new_id = f"{wire_id or f'call_{generation_id or PROVIDER}'}_{position}"
    while new_id in taken:
        new_id += "_"
    return new_id


def parse_tool_calls(
    message: dict[str, Any], *, cut: bool, generation_id: str | None
) -> tuple[list[ToolCall], list[InvalidToolCall], dict[str, str]]:
    """Return the valid calls, the invalid ones, and the text of the valid ones' arguments by id.

    Args:
        message: The JSON of a message.
        cut: Whether the token limit ended the response, and so its last call.
        generation_id: The response's id, from which missing ids are made.
    """
    valid: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    texts: dict[str, str] = {}
    taken: set[str] = set()
    raw_calls = get_list(message, "tool_calls") or []

    for position, raw in enumerate(raw_calls):
        function = get_dict(raw, "function")
        name = get_str(function, "name")
        text = arguments_text((function or {}).get("arguments"))
        call_id = unique_call_id(get_str(raw, "id"), taken, generation_id, position)
        taken.add(call_id)

        is_last = position == len(raw_calls) - 1
        args = parse_arguments(text, cut=cut and is_last) if name else None
        if args is None:
            invalid.append(
                invalid_tool_call(name=name, args=text, id=call_id, error=TRUNCATED_CALL_ERROR)
            )
        else:
            valid.append(tool_call(name=name or "", args=args, id=call_id))
            texts[call_id] = text
    return valid, invalid, texts


def arguments_text(arguments: Any) -> str:
    """Return the arguments of a call as text; some providers send an object instead."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else dump_json(arguments)


def to_response_metadata(
    body: dict[str, Any], choice: dict[str, Any], usage: Any
) -> dict[str, Any]:
    """Return `response_metadata`, with only the fields that are present.

    Args:
        body: The JSON of a body, or the fields of all events of a stream.
        choice: The choice of the message.
        usage: The `usage` of the response.
    """
    usage = usage if isinstance(usage, dict) else {}
    metadata: dict[str, Any] = {
        "id": get_str(body, "id"),
        "model_name": get_str(body, "model"),
        "model_provider": PROVIDER,
        "provider": get_str(body, "provider"),
        "finish_reason": to_finish_reason(choice),
        "native_finish_reason": get_str(choice, "native_finish_reason"),
        "created": get_int(body, "created"),
        "system_fingerprint": get_str(body, "system_fingerprint"),
        "service_tier": get_str(body, "service_tier"),
        "cost": get_number(usage, "cost"),
        "cost_details": get_dict(usage, "cost_details"),
        "is_byok": usage.get("is_byok") if isinstance(usage.get("is_byok"), bool) else None,
        "server_tool_use": get_dict(usage, "server_tool_use_details")
        or get_dict(usage, "server_tool_use"),
        "token_usage": usage or None,
        "logprobs": get_dict(choice, "logprobs"),
    }

    present = {name: value for name, value in metadata.items() if value is not None}
    return {**unknown_fields(body), **present}


def to_finish_reason(choice: dict[str, Any]) -> str | None:
    """Return the finish reason; a missing one beside tool calls means `tool_calls`."""
    reason = get_str(choice, "finish_reason")
    return reason or ("tool_calls" if get_dicts(message_or_delta(choice), "tool_calls") else None)


def first_choice(event: dict[str, Any]) -> dict[str, Any] | None:
    """Return the choice with index 0, or with an index that is not a number."""
    for choice in get_dicts(event, "choices"):
        index = choice.get("index")
        if not isinstance(index, int) or index == 0:
            return choice
    return None


def message_or_delta(choice: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the message of a choice, or else its delta."""
    message = get_dict(choice, "message")
    return message if message is not None else get_dict(choice, "delta")


def split_content(raw: Any) -> tuple[str | list[str | dict[str, Any]], list[dict[str, Any]]]:
    """Return the text and the images of a message's content.

    Some providers send a list of parts where a string is documented.

    Args:
        raw: The `content` of a message or a delta.

    Returns:
        The content without its images (a string, or strings and parts of an unknown type), and
        the images.
    """
    if isinstance(raw, str):
        return raw, []

    items: list[str | dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    for part in raw if isinstance(raw, list) else []:
        text = part if isinstance(part, str) else get_str(part, "text")
        if isinstance(part, dict) and part.get("type") == "image_url":
            images.append(part)
        elif text is not None and (isinstance(part, str) or part.get("type", "text") == "text"):
            if items and isinstance(items[-1], str):
                items[-1] += text
            else:
                items.append(text)
        elif isinstance(part, dict) and part.get("type", "text") != "text":
            items.append({"type": "non_standard", "value": part})

    if all(isinstance(item, str) for item in items):
        return "".join(item for item in items if isinstance(item, str)), images
    return items, images


def reasoning_text(details: list[Any] | None) -> str:
    """Return the readable text of reasoning details."""
    return "".join(map(detail_text, details or ()))


def detail_text(detail: Any) -> str:
    """Return the readable text of one reasoning detail."""
    return get_str(detail, "text") or get_str(detail, "summary") or ""


def to_additional_kwargs(message: dict[str, Any], images: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the `additional_kwargs` of a complete message, with only the fields present.

    An empty `reasoning_details` counts as present, since DeepSeek requires it in the next request.

    Args:
        message: The JSON of the message.
        images: Images of its content.
    """
    details = get_list(message, "reasoning_details")
    text = (
        get_str(message, "reasoning")
        or get_str(message, "reasoning_content")
        or reasoning_text(details)
    )

    extras: dict[str, Any] = {
        "reasoning_content": text or None,
        "reasoning_details": details,
        "images": [*get_dicts(message, "images"), *images] or None,
        "annotations": get_dicts(message, "annotations") or None,
        "audio": get_dict(message, "audio") or None,
        "refusal": get_str(message, "refusal"),
    }
    present = {name: value for name, value in extras.items() if value is not None}
    return {**unknown_fields(message, message=True), **present}


def to_ai_message(body: dict[str, Any], choice: dict[str, Any]) -> AIMessage:
    """Return the message of one choice of a complete response.

    Args:
        body: The JSON of the body.
        choice: One of its `choices`.
    """
    raw = message_or_delta(choice) or {}
    usage = body.get("usage")
    content, images = split_content(raw.get("content"))
    cut = was_truncated(choice.get("finish_reason"), choice.get("native_finish_reason"))
    valid, invalid, texts = parse_tool_calls(raw, cut=cut, generation_id=get_str(body, "id"))
    extras = to_additional_kwargs(raw, images)
    if texts:
        extras[ARGUMENTS] = texts

    return AIMessage(
        content=content,
        additional_kwargs=extras,
        name=get_str(raw, "name"),
        response_metadata=to_response_metadata(body, choice, usage),
        tool_calls=valid,
        invalid_tool_calls=invalid,
        usage_metadata=to_usage_metadata(usage),
        id=get_str(body, "id"),
    )
