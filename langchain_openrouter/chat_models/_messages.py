"""LangChain's messages -> the `messages` of a request, as pure functions.

What the service once sent goes back verbatim: reasoning, its details, annotations, images, audio
and the text of tool-call arguments. See https://openrouter.ai/docs/api-reference/overview.
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

from langchain_openrouter._json import dump_json, get_dict, get_dicts, get_str, parse_model_json
from langchain_openrouter.chat_models._content_parts import to_content_parts, with_cache_control

if TYPE_CHECKING:
    from collections.abc import Sequence

ARGUMENTS = "tool_call_arguments"
"""Key of `additional_kwargs`: each tool call's arguments as the model wrote them, by call id."""

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant"}
_VERBATIM = ("reasoning_details", "annotations", "images", "audio", "refusal")


def to_wire_messages(
    messages: Sequence[BaseMessage], *, with_model: bool = False
) -> list[dict[str, Any]]:
    """Return the messages as the API takes them; the input is left as it was.

    Args:
        messages: LangChain messages.
        with_model: Whether assistant messages name the model that wrote them, which the
            auto-router's `pin_model` reads.

    Raises:
        ValueError: A message or a block of one cannot be sent; names which.
    """
    wire = []
    for position, message in enumerate(messages):
        sent = _wire_message(message, f"message {position} ({message.type})")
        if with_model and sent["role"] == "assistant":
            model = message.response_metadata.get("model_name")
            if isinstance(model, str):
                sent["model"] = model
        wire.append(sent)
    return wire


def _wire_message(message: BaseMessage, where: str) -> dict[str, Any]:
    role = _role_of(message, where)
    if isinstance(message, AIMessage):
        sent = _assistant(message, where)
    else:
        content = to_content_parts(
            message.content, where=where, text_only=role in {"system", "developer"}
        )
        sent = {"role": role, "content": content}
    mark = message.additional_kwargs.get("cache_control")
    if mark is not None:
        sent["content"] = with_cache_control(sent["content"], mark)
    if message.name:
        sent["name"] = message.name
    if isinstance(message, ToolMessage):
        sent["tool_call_id"] = message.tool_call_id
    update = message.additional_kwargs.get("configuration_update")
    if update is not None and role in {"system", "developer"}:
        sent["configuration_update"] = update
    return sent


def _role_of(message: BaseMessage, where: str) -> str:
    """Return the wire's role."""
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


def _assistant(  # noqa: C901 - one branch for each thing that goes back
    message: AIMessage, where: str
) -> dict[str, Any]:
    """Return an assistant message with all it carried when it came."""
    extras = message.additional_kwargs
    calls = _tool_calls(message)
    images: list[Any] = []
    whole = message.content if isinstance(message.content, list) else []
    blocks = [block for block in whole if isinstance(block, dict)]
    sound = [block for block in blocks if _is_a(block, "audio")]
    content: Any = message.content
    if sound:
        content = [block for block in whole if not _is_a(block, "audio")]
    content = to_content_parts(content, where=where)
    if isinstance(content, list):
        images = [part for part in content if _is_a(part, "image_url")]
        content = _assistant_content([part for part in content if not _is_a(part, "image_url")])
    sent: dict[str, Any] = {
        "role": "assistant",
        # Bedrock refuses blank text: a message of tool calls alone has none.
        "content": content or None if calls else content,
    }
    if calls:
        sent["tool_calls"] = calls
    details, text = _reasoning(blocks)
    reasoning = extras.get("reasoning_content") or extras.get("reasoning") or text
    if isinstance(reasoning, str):
        sent["reasoning"] = reasoning
    for name in _VERBATIM:
        if extras.get(name) is not None:
            sent[name] = extras[name]
    if details and "reasoning_details" not in sent:
        sent["reasoning_details"] = details
    if images and "images" not in sent:
        sent["images"] = images
    if sound and "audio" not in sent:
        sent["audio"] = {**(get_dict(sound[0], "extras") or {}), "data": sound[0].get("base64")}
    for block in blocks:
        if block.get("type") == "refusal" and get_str(block, "refusal"):
            sent.setdefault("refusal", block["refusal"])
    return sent


def _is_a(block: Any, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def _assistant_content(parts: list[dict[str, Any]]) -> Any:
    """Return plain text where the parts are that: what came as a string goes back as one."""
    if all(set(part) == {"type", "text"} for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _reasoning(blocks: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str | None]:
    """Return the reasoning details that content blocks stand for, and their text."""
    details: list[dict[str, Any]] = []
    text = ""
    for block in blocks:
        extras = get_dict(block, "extras") or {}
        match block.get("type"):
            case "reasoning":
                words = get_str(block, "reasoning") or ""
                text += words
                if detail := _detail(extras, words):
                    details.append(detail)
            case "thinking":
                words = get_str(block, "thinking") or ""
                text += words
                details.append(
                    {"type": "reasoning.text", "text": words,
                     "signature": block.get("signature"), "format": "anthropic-claude-v1"}
                )  # fmt: skip
            case "redacted_thinking":
                details.append(
                    {"type": "reasoning.encrypted", "data": block.get("data"),
                     "format": "anthropic-claude-v1"}
                )  # fmt: skip
    return details, text or None


def _detail(extras: dict[str, Any], words: str) -> dict[str, Any] | None:
    """Return the detail that a reasoning block was made of, or a signed one made anew."""
    detail = get_dict(extras, "reasoning_detail")
    if detail is not None:
        key = "summary" if detail.get("type") == "reasoning.summary" else "text"
        return {**detail, key: words} if words and not detail.get(key) else dict(detail)
    signature = get_str(extras, "signature")
    return {"type": "reasoning.text", "text": words, "signature": signature} if signature else None


def _tool_calls(message: AIMessage) -> list[dict[str, Any]]:
    """Return the calls with their arguments as the model wrote them.

    Key order and spacing are part of the prompt cache's prefix, so that the original text is
    sent unless somebody has changed the arguments since.
    """
    originals: dict[Any, Any] = {}
    for raw in get_dicts(message.additional_kwargs, "tool_calls"):  # as ChatOpenAI keeps them
        originals[raw.get("id")] = (get_dict(raw, "function") or {}).get("arguments")
    originals.update(get_dict(message.additional_kwargs, ARGUMENTS) or {})
    calls = [
        _wire_call(call["id"], call["name"], _arguments(call["args"], originals.get(call["id"])))
        for call in message.tool_calls
    ]
    calls += [
        _wire_call(call.get("id"), call.get("name"), call.get("args") or "")
        for call in message.invalid_tool_calls
    ]
    return calls


def _wire_call(call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {
        "id": call_id or "",
        "type": "function",
        "function": {"name": name or "", "arguments": arguments},
    }


def _arguments(args: dict[str, Any], original: Any) -> str:
    """Return the original text if it still says the same, or the arguments as JSON."""
    if isinstance(original, str):
        try:
            if (parse_model_json(original) if original else {}) == args:
                return original or "{}"
        except (ValueError, RecursionError):  # of text that is not JSON; of deep `args`
            pass
    try:
        return dump_json(args, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        msg = f"the arguments of a tool call cannot be sent: {error}"
        raise ValueError(msg) from None
