"""Blocks of other providers' answers -> blocks that can be sent, as pure functions.

A thread may have begun with another provider's model. What its answers showed to a reader is kept;
what only that provider can read, such as calls and results of its own tools, is left out.
"""

from __future__ import annotations

import warnings
from typing import Any

from langchain_openrouter._json import get_dict, get_str
from langchain_openrouter._redaction import redact
from langchain_openrouter.chat_models._reasoning_fields import REASONING_BLOCKS

_MAX_LISTED = 12  # types of blocks that a warning names
_MAX_NAME_LENGTH = 60  # characters
_TOOL_KINDS = {
    "server_tool_call",
    "server_tool_call_chunk",
    "server_tool_result",
    "server_tool_use",
    "mcp_tool_use",
    "tool_result",
    "mcp_list_tools",
    "mcp_approval_request",
    "executable_code",
    "code_execution_result",
    "tool_search_output",
    "compaction",
    "json",
    "media",
}
_SERVER = "openrouter:"  # begins the types of the items of OpenRouter's own tools
_TOOL_ENDINGS = ("_call", "_call_output", "_tool_result", "_tool_use")
CALL_BLOCKS = {"tool_call", "invalid_tool_call", "function_call", "custom_tool_call"}
"""Types of content blocks that repeat a message's `tool_calls`."""


class OmittedBlocks:
    """The blocks of a request's messages that are not sent.

    Args:
        messages: Which messages the warning speaks of.
        taker: What does not take them.
    """

    def __init__(self, messages: str = "assistant messages", taker: str = "OpenRouter") -> None:
        self._messages, self._taker = messages, taker
        self._names: dict[str, None] = {}  # in the order of their first appearance

    def add(self, block: Any) -> None:
        """Add a block, or the name of one."""
        if len(self._names) <= _MAX_LISTED:
            name = block if isinstance(block, str) else _name_of(block)
            self._names[redact(name, limit=_MAX_NAME_LENGTH)] = None

    def warn(self) -> None:
        """Warn once of everything that was added."""
        if not self._names:
            return

        names = list(self._names)
        listed = ", ".join(names[:_MAX_LISTED]) + (", ..." if len(names) > _MAX_LISTED else "")
        msg = (
            f"content of {self._messages} is not sent, as {self._taker} does not take it: "
            f"{listed}. The text of the messages is sent; remove these blocks to silence this "
            "warning"
        )
        warnings.warn(msg, UserWarning, stacklevel=2)


def convert_foreign_block(block: Any, *, provider: str | None = None) -> Any:
    """Return a block of an assistant's message in a form that can be sent; None to leave it out.

    Args:
        block: A content block; one that is in a known form already is returned unchanged.
        provider: The `model_provider` in the metadata of the message.
    """
    if not isinstance(block, dict):
        return block
    kind = str(block.get("type"))

    if kind == "non_standard":
        return _convert_non_standard(block, provider)
    if kind in {"guard_content", "reference", "compaction"}:
        return _to_text(block, kind)
    if kind == "image_generation_call":
        return _to_image(block)
    is_of_tool = kind in _TOOL_KINDS or kind.endswith(_TOOL_ENDINGS) or kind.startswith(_SERVER)
    return None if is_of_tool and kind not in CALL_BLOCKS else block


def _convert_non_standard(block: dict[str, Any], provider: str | None) -> Any:
    value = get_dict(block, "value")
    converted = None if value is None else convert_foreign_block(value, provider=provider)
    if get_str(converted, "type") in REASONING_BLOCKS:
        return converted
    # OpenRouter's own part of a new type comes in this form, and is sent back.
    return block if converted is value and provider in {None, "openrouter"} else converted


def unreadable_reasoning(block: dict[str, Any]) -> str | None:
    """Return the name of a block's reasoning that is encrypted for another account, if any."""
    bedrock = get_dict(block, "reasoning_content") or {}
    if block.get("type") == "reasoning" and block.get("encrypted_content"):
        return "encrypted_content"
    return "redacted_content" if bedrock.get("redacted_content") else None


def _to_text(block: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """Return the text that a block showed: guarded or cited text, a summary of the conversation."""
    guarded = get_dict(block, kind) or {}
    text = get_str(block, "text") or get_str(guarded, "text") or get_str(block, "content")
    return {"type": "text", "text": text} if text else None


def _to_image(block: dict[str, Any]) -> dict[str, Any] | None:
    data = get_str(block, "result")
    if data is None:
        return None

    return {
        "type": "image",
        "base64": data,
        "mime_type": f"image/{get_str(block, 'output_format') or 'png'}",
    }


def _name_of(block: Any) -> str:
    """Return the type of a block, or the first key of one without."""
    value = get_dict(block, "value") if get_str(block, "type") == "non_standard" else None
    source = block if value is None else value
    if not isinstance(source, dict):
        return type(source).__name__
    return get_str(source, "type") or next(map(str, source), "an empty block")
