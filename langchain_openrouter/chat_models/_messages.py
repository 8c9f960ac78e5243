"""LangChain's messages -> the `messages` of a request, as pure functions.

The fields of an earlier response are sent back verbatim: reasoning, its details, annotations,
images, audio and the text of tool-call arguments.
See https://openrouter.ai/docs/api-reference/overview.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_openrouter._http.encoding import PlainMessages
from langchain_openrouter._json import (
    dump_compact_json,
    get_dict,
    get_dicts,
    get_str,
    parse_model_json,
)
from langchain_openrouter._shortcuts import shortcuts
from langchain_openrouter.chat_models._content_parts import to_content_parts, with_cache_control
from langchain_openrouter.chat_models._foreign_blocks import (
    CALL_BLOCKS,
    OmittedBlocks,
    convert_foreign_block,
    unreadable_reasoning,
)
from langchain_openrouter.chat_models._incomplete_arguments import unquote_incomplete
from langchain_openrouter.chat_models._plain_messages import (
    ARGUMENTS,
    to_plain_message,
)
from langchain_openrouter.chat_models._reasoning_fields import (
    REASONING_BLOCKS,
    to_reasoning_fields,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTPUT_ITEMS = "output_items"
"""Key of `additional_kwargs`: the items of an answer of `POST /responses`, as they came."""

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant"}
_VERBATIM = ("annotations", "images", "audio", "refusal")
ITEMS_IN_FIELDS = {
    "message",
    "reasoning",
    "function_call",
    "custom_tool_call",
    "image_generation_call",
    "openrouter:image_generation",
}
"""Types of items of `POST /responses` that the fields of a chat message stand for."""
_ITEM_BLOCKS = {"server_tool_call", "server_tool_result"}


def to_wire_messages(
    messages: Sequence[BaseMessage], *, with_model: bool = False, with_items: bool = False
) -> list[dict[str, Any]]:
    """Return the messages in the form of the API; the input is not changed.

    Args:
        messages: LangChain messages.
        with_model: Whether assistant messages name the model that wrote them, which the
            auto-router's `pin_model` reads.
        with_items: Whether assistant messages have their `output_items`, for `POST /responses`.

    Warns:
        UserWarning: Content of assistant messages is left out, as after another provider's tools;
            once for all messages.

    Raises:
        ValueError: A message or a block of one cannot be sent; the error names which.
    """
    wire_messages: list[dict[str, Any]] = PlainMessages()
    omitted = OmittedBlocks()
    may_be_plain = shortcuts.enabled and not with_model
    are_plain = may_be_plain
    for index, message in enumerate(messages):
        plain = to_plain_message(message, _to_wire_calls) if may_be_plain else None
        if plain is not None:
            wire_messages.append(plain)
            continue

        are_plain = False
        wire_message = _to_wire_message(message, f"message {index} ({message.type})", omitted)
        if wire_message["role"] == "assistant":
            _add_items(wire_message, message, omitted, with_items=with_items)
        if with_model and wire_message["role"] == "assistant":
            model = message.response_metadata.get("model_name")
            if isinstance(model, str):
                wire_message["model"] = model
        wire_messages.append(wire_message)

    omitted.warn()
    return wire_messages if are_plain else list(wire_messages)


def _add_items(
    wire_message: dict[str, Any], message: BaseMessage, omitted: OmittedBlocks, *, with_items: bool
) -> None:
    """Add the output items of an assistant message, or to `omitted` what chat has no fields for."""
    items = get_dicts(message.additional_kwargs, OUTPUT_ITEMS)
    if items and with_items:
        wire_message[OUTPUT_ITEMS] = items
        return

    for item in items:
        if str(item.get("type")) not in ITEMS_IN_FIELDS:
            omitted.add(item)
        if item.get("phase") is not None:
            omitted.add("phase")


def _to_wire_message(message: BaseMessage, where: str, omitted: OmittedBlocks) -> dict[str, Any]:
    role = _to_wire_role(message, where)
    if isinstance(message, ChatMessage) and role == "assistant":
        message = AIMessage(**message.model_dump(exclude={"type", "role"}))
    if isinstance(message, AIMessage):
        wire_message = _to_assistant_message(message, where, omitted)
    else:
        content = to_content_parts(
            message.content, where=where, text_only=role in {"system", "developer"}
        )
        wire_message = {"role": role, "content": content}

    mark = message.additional_kwargs.get("cache_control")
    if mark is not None:
        wire_message["content"] = with_cache_control(wire_message["content"], mark)
    if message.name:
        wire_message["name"] = message.name
    if isinstance(message, ToolMessage):
        wire_message["tool_call_id"] = message.tool_call_id
    update = message.additional_kwargs.get("configuration_update")
    if update is not None and role in {"system", "developer"}:
        wire_message["configuration_update"] = update
    return wire_message


def _to_wire_role(message: BaseMessage, where: str) -> str:
    """Return the role of a message on the wire.

    Raises:
        ValueError: The API has no such role.
    """
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, AIMessage):
        return "assistant"
    if isinstance(message, ToolMessage):
        return "tool"

    if isinstance(message, SystemMessage):
        role = message.additional_kwargs.get("__openai_role__")
        return "developer" if role == "developer" else "system"
    if isinstance(message, ChatMessage):
        role = _ROLES.get(message.role, message.role)
        if role in {"system", "developer", "user", "assistant"}:
            return role
        msg = f"{where} has role {message.role!r}: use system, developer, user or assistant"
        raise ValueError(msg)

    msg = f"{where} cannot be sent: use system, human, AI or tool messages"
    raise ValueError(msg)


def _to_assistant_message(message: AIMessage, where: str, omitted: OmittedBlocks) -> dict[str, Any]:
    """Return an assistant message with all fields of the response that it came in."""
    provider = get_str(message.response_metadata, "model_provider")
    blocks: list[dict[str, Any]] = []
    parts: Any = message.content
    images: list[dict[str, Any]] = []
    if isinstance(message.content, list):
        content = _convert_content(_without_item_blocks(message), provider, omitted)
        blocks = [block for block in content if isinstance(block, dict)]
        parts, images = _split_images(content, where, omitted)
    calls = _to_wire_calls(message)
    wire_message: dict[str, Any] = {
        "role": "assistant",
        # Bedrock refuses blank text: a message of tool calls alone has none.
        "content": parts or None if calls else parts,
    }
    if calls:
        wire_message["tool_calls"] = calls
    for block in blocks:
        if not calls and str(block.get("type")) in {*CALL_BLOCKS, "tool_use"}:
            omitted.add(block)  # a call that the message does not have among its own

    extras = message.additional_kwargs
    wire_message.update(to_reasoning_fields(extras, blocks, provider=provider))
    for name in _VERBATIM:
        if isinstance(extras.get(name), bytes):  # Gemini's audio
            omitted.add(name)
        elif extras.get(name) is not None:
            wire_message[name] = extras[name]
    if images:
        wire_message.setdefault("images", images)
    for name, value in _to_audio_and_refusal(blocks, omitted).items():
        wire_message.setdefault(name, value)
    return wire_message


def _without_item_blocks(message: AIMessage) -> list[Any]:
    """Return the blocks of a message without those that its `output_items` hold."""
    content: Any = message.content
    if OUTPUT_ITEMS not in message.additional_kwargs:
        return list(content)
    return [block for block in content if get_str(block, "type") not in _ITEM_BLOCKS]


def _convert_content(content: list[Any], provider: str | None, omitted: OmittedBlocks) -> list[Any]:
    """Return the content of an assistant's message as blocks that can be sent."""
    blocks = []
    for block in content:
        converted = convert_foreign_block(block, provider=provider)
        if converted is None:
            omitted.add(block)
            continue
        if isinstance(converted, dict) and (name := unreadable_reasoning(converted)):
            omitted.add(name)
        blocks.append(converted)

    return blocks


def _split_images(
    content: list[Any], where: str, omitted: OmittedBlocks
) -> tuple[Any, list[dict[str, Any]]]:
    """Return the wire content of an assistant's message, and the images of it.

    The API has fields of the message for images and for audio.
    """
    in_fields = {*REASONING_BLOCKS, *CALL_BLOCKS, "audio"}
    parts: Any = to_content_parts(
        [b for b in content if not (isinstance(b, dict) and b.get("type") in in_fields)],
        where=where,
        omitted=omitted,
    )

    images = [part for part in parts if _has_type(part, "image_url")]
    rest = [part for part in parts if not _has_type(part, "image_url")]
    # A response has its text as a string: send it back in the same form.
    is_plain = all(set(part) == {"type", "text"} for part in rest)
    return "".join(part["text"] for part in rest) if is_plain else rest, images


def _has_type(block: Any, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def _to_audio_and_refusal(blocks: list[dict[str, Any]], omitted: OmittedBlocks) -> dict[str, Any]:
    """Return the fields of the message that its first audio and its first refusal stand for."""
    fields: dict[str, Any] = {}

    for block in blocks:
        if _has_type(block, "audio"):
            extras = get_dict(block, "extras") or {}
            if "audio" in fields or not (block.get("base64") or extras):
                omitted.add("audio")
            else:
                fields["audio"] = {**extras, "data": block.get("base64")}
        elif _has_type(block, "refusal") and (refusal := get_str(block, "refusal")):
            if "refusal" in fields:
                omitted.add("refusal")
            else:
                fields["refusal"] = refusal

    return fields


def _to_wire_calls(message: AIMessage) -> list[dict[str, Any]]:
    """Return the calls with their arguments as the model wrote them.

    Key order and spacing are part of the prefix that prompt caches compare, so the original text
    is sent unless the arguments have been changed since.

    Raises:
        ValueError: The arguments of a call are not JSON.
    """
    originals: dict[Any, Any] = {}
    for raw in get_dicts(message.additional_kwargs, "tool_calls"):  # ChatOpenAI has them there
        originals[raw.get("id")] = (get_dict(raw, "function") or {}).get("arguments")
    originals.update(get_dict(message.additional_kwargs, ARGUMENTS) or {})

    calls = []
    for call in message.tool_calls:
        arguments = _to_arguments_text(call["args"], originals.get(call["id"]))
        calls.append(_to_wire_call(call["id"], call["name"], arguments))
    calls += [
        _to_wire_call(call.get("id"), call.get("name"), unquote_incomplete(call.get("args") or ""))
        for call in message.invalid_tool_calls
    ]
    return calls


def _to_wire_call(call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {
        "id": call_id or "",
        "type": "function",
        "function": {"name": name or "", "arguments": arguments},
    }


def _to_arguments_text(args: dict[str, Any], original: Any) -> str:
    """Return the original text if it still stands for the arguments; else dump them as JSON.

    Raises:
        ValueError: The arguments are not JSON.
    """
    if isinstance(original, str):
        try:
            if (parse_model_json(original) if original else {}) == args:
                return original or "{}"
        except (ValueError, RecursionError):  # of text that is not JSON; of deep `args`
            pass

    try:
        return dump_compact_json(args)
    except (TypeError, ValueError) as error:
        msg = f"the arguments of a tool call cannot be sent: {error}"
        raise ValueError(msg) from None
