"""The wire's answers -> LangChain's, as pure functions shared by whole and streamed answers.

Every reading is lenient: what is missing or of the wrong type is left out, nothing raises.
See https://openrouter.ai/docs/api-reference/overview#completionsresponse-format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
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
from langchain_openrouter.chat_models._messages import ARGUMENTS

if TYPE_CHECKING:
    from langchain_core.messages import InvalidToolCall, ToolCall

PROVIDER = "openrouter"
# OpenRouter's own word, then each provider's, for "the token limit cut it".
_CUT = {"length", "max_output_tokens", "max_tokens", "model_length", "token_limit"}
TRUNCATED_CALL_ERROR = (
    "the token limit cut this call, or its arguments are not a JSON object of at most 200 levels"
)


# What is read by name; anything else that a newer service sends is kept under its own name.
_KNOWN_BODY = {
    "id", "object", "created", "model", "provider", "system_fingerprint", "service_tier",
    "choices", "usage", "error", "user_id",
}  # fmt: skip
_KNOWN_MESSAGE = {
    "role", "content", "refusal", "reasoning", "reasoning_content", "reasoning_details",
    "tool_calls", "images", "annotations", "audio",
}  # fmt: skip


def unwrap_nested_body(body: Any) -> Any:
    """Return the answer itself: now and then it comes inside `provider`, all else null.

    See https://github.com/pydantic/pydantic-ai/issues/3994.
    """
    inner = get_dict(body, "provider")
    if inner is None or not isinstance(inner.get("choices"), list) or body.get("choices"):
        return body
    rest = {key: value for key, value in body.items() if value is not None and key != "provider"}
    return {**rest, **inner}


def unknown_fields(source: dict[str, Any] | None, *, message: bool = False) -> dict[str, Any]:
    """Return what a body or a message holds beyond the fields that are read by name."""
    known = _KNOWN_MESSAGE if message else _KNOWN_BODY
    return {
        name: value
        for name, value in (source or {}).items()
        if name not in known and value is not None
    }


def was_truncated(finish_reason: Any, native: Any) -> bool:
    """Tell whether the token limit ended the answer; for tool calls only `native` says so."""
    return any(
        isinstance(reason, str) and reason.lower() in _CUT for reason in (finish_reason, native)
    )


def parse_arguments(text: str | None, *, cut: bool) -> dict[str, Any] | None:
    """Return a call's arguments, or None where they are not all there.

    No text means no arguments, unless the token limit may have cut them off before they began.
    """
    if text is None or not text.strip():
        return None if cut else {}
    try:
        value = parse_model_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def call_id(given: str | None, taken: set[str], generation_id: str | None, position: int) -> str:
    """Return an id no other call of the message has: the given one, or one made of it.

    A made id depends on nothing but the answer, so that whole and streamed ones agree.
    """
    if given and given not in taken:
        return given
    made = f"{given or f'call_{generation_id or PROVIDER}'}_{position}"
    while made in taken:
        made += "_"
    return made


def parse_tool_calls(
    message: dict[str, Any], *, cut: bool, generation_id: str | None
) -> tuple[list[ToolCall], list[InvalidToolCall], dict[str, str]]:
    """Return the valid calls, the invalid ones, and the arguments' text by call id."""
    valid: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    texts: dict[str, str] = {}
    taken: set[str] = set()
    raw_calls = get_list(message, "tool_calls") or []
    for position, raw in enumerate(raw_calls):
        function = get_dict(raw, "function")
        name = get_str(function, "name")
        text = arguments_text((function or {}).get("arguments"))
        made = call_id(get_str(raw, "id"), taken, generation_id, position)
        taken.add(made)
        last = position == len(raw_calls) - 1
        args = parse_arguments(text, cut=cut and last) if name else None
        if args is None:
            invalid.append(
                invalid_tool_call(name=name, args=text, id=made, error=TRUNCATED_CALL_ERROR)
            )
        else:
            valid.append(tool_call(name=name or "", args=args, id=made))
            texts[made] = text
    return valid, invalid, texts


def arguments_text(arguments: Any) -> str:
    """Return arguments as the text they should have been: some providers send an object."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else dump_json(arguments)


def to_usage_metadata(usage: Any) -> UsageMetadata | None:
    """Return LangChain's standard counts. The rest of `usage` is in the metadata."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = get_int(usage, "prompt_tokens"), get_int(usage, "completion_tokens")
    total = get_int(usage, "total_tokens")
    if prompt is None and completion is None and total is None:
        return None
    details = get_dict(usage, "prompt_tokens_details")
    produced = get_dict(usage, "completion_tokens_details")
    standard = UsageMetadata(
        input_tokens=prompt or 0,
        output_tokens=completion or 0,
        total_tokens=total if total is not None else (prompt or 0) + (completion or 0),
    )
    inputs = _counts(
        details,
        audio="audio_tokens",
        cache_read="cached_tokens",
        cache_creation="cache_write_tokens",
    )
    outputs = _counts(produced, audio="audio_tokens", reasoning="reasoning_tokens")
    if inputs:
        standard["input_token_details"] = InputTokenDetails(**inputs)  # type: ignore[typeddict-item]
    if outputs:
        standard["output_token_details"] = OutputTokenDetails(**outputs)  # type: ignore[typeddict-item]
    return standard


def _counts(source: Any, **names: str) -> dict[str, int]:
    counts = {ours: get_int(source, theirs) for ours, theirs in names.items()}
    return {name: count for name, count in counts.items() if count is not None}


def to_response_metadata(
    body: dict[str, Any], choice: dict[str, Any], usage: Any
) -> dict[str, Any]:
    """Return `response_metadata`: only what is there."""
    usage = usage if isinstance(usage, dict) else {}
    metadata: dict[str, Any] = {
        "id": get_str(body, "id"),
        "model_name": get_str(body, "model"),
        "model_provider": PROVIDER,
        "provider": get_str(body, "provider"),
        "finish_reason": finish_reason_of(choice),
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
    found = {name: value for name, value in metadata.items() if value is not None}
    return {**unknown_fields(body), **found}


def finish_reason_of(choice: dict[str, Any]) -> str | None:
    """Return the finish reason; a missing one beside tool calls means `tool_calls`."""
    reason = get_str(choice, "finish_reason")
    return reason or ("tool_calls" if get_dicts(message_or_delta(choice), "tool_calls") else None)


def message_or_delta(choice: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a choice's message or delta, whichever it has."""
    message = get_dict(choice, "message")
    return message if message is not None else get_dict(choice, "delta")


def split_content(raw: Any) -> tuple[str | list[str | dict[str, Any]], list[dict[str, Any]]]:
    """Return the text and the images of a content; parts of an unknown kind beside the text.

    Some providers send a list of parts where a string is documented.
    """
    if isinstance(raw, str):
        return raw, []
    found: list[str | dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    for part in raw if isinstance(raw, list) else []:
        text = part if isinstance(part, str) else get_str(part, "text")
        if isinstance(part, dict) and part.get("type") == "image_url":
            images.append(part)
        elif text is not None and (isinstance(part, str) or part.get("type", "text") == "text"):
            if found and isinstance(found[-1], str):
                found[-1] += text
            else:
                found.append(text)
        elif isinstance(part, dict) and part.get("type", "text") != "text":
            found.append({"type": "non_standard", "value": part})
    if all(isinstance(item, str) for item in found):
        return "".join(item for item in found if isinstance(item, str)), images
    return found, images


def reasoning_text(details: list[Any] | None) -> str:
    """Return the readable text of reasoning details."""
    return "".join(map(detail_text, details or ()))


def detail_text(detail: Any) -> str:
    """Return the readable text of one reasoning detail."""
    return get_str(detail, "text") or get_str(detail, "summary") or ""


def to_additional_kwargs(message: dict[str, Any], images: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `additional_kwargs` of a whole message: only what is there.

    An empty `reasoning_details` is kept: DeepSeek wants it back.
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
    found = {name: value for name, value in extras.items() if value is not None}
    return {**unknown_fields(message, message=True), **found}


def to_ai_message(body: dict[str, Any], choice: dict[str, Any]) -> AIMessage:
    """Return the message of one choice of a whole answer."""
    raw = message_or_delta(choice) or {}
    usage = body.get("usage")
    content, images = split_content(raw.get("content"))
    metadata = to_response_metadata(body, choice, usage)
    cut = was_truncated(choice.get("finish_reason"), choice.get("native_finish_reason"))
    valid, invalid, texts = parse_tool_calls(raw, cut=cut, generation_id=get_str(body, "id"))
    extras = to_additional_kwargs(raw, images)
    if texts:
        extras[ARGUMENTS] = texts
    return AIMessage(
        content=content,
        additional_kwargs=extras,
        response_metadata=metadata,
        tool_calls=valid,
        invalid_tool_calls=invalid,
        usage_metadata=to_usage_metadata(usage),
        id=get_str(body, "id"),
    )


def sum_usage(outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
    """Return the sum of usages: counts and costs alike, at any depth."""
    total: dict[str, Any] = {}
    for output in outputs:
        _add(total, get_dict(output, "token_usage") or {})
    return total


def _add(total: dict[str, Any], usage: dict[str, Any]) -> None:
    for name, value in usage.items():
        if isinstance(value, dict):
            inner = total.setdefault(name, {})
            if isinstance(inner, dict):
                _add(inner, value)
        elif isinstance(value, bool):
            total[name] = bool(total.get(name)) or value
        elif isinstance(value, int | float):
            before = total.get(name)
            total[name] = value + before if isinstance(before, int | float) else value
