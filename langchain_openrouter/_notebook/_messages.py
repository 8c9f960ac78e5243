"""Messages as HTML: reasoning folded, media, citations, tool calls, and what the answer cost.

Text of a model is not trusted: it is escaped, or rendered by `_markdown`.
"""

from __future__ import annotations

import json
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langchain_openrouter._html import NO_MATH
from langchain_openrouter._json import get_dict, get_dicts, get_int, get_number, get_str
from langchain_openrouter._notebook._markdown import (
    external_link,
    markdown_html,
    preformatted,
    visible,
)
from langchain_openrouter._notebook._media import media_html
from langchain_openrouter._notebook._tables import usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["conversation_html", "message_html"]

_MEDIA = {"image", "audio", "video", "file"}
_CALLS = {"tool_call", "tool_call_chunk", "invalid_tool_call", "server_tool_call"}
_SMALL = 'style="opacity:0.7;font-size:0.85em"'
_SUMMARY_LENGTH = 80  # characters of an address in a list of sources
_EXPECTED_ENDS = {"stop", "tool_calls"}


def message_html(message: BaseMessage) -> str:
    """Return a message as HTML; an answer ends in a line with its model, tokens and cost."""
    parts = [_block_group(kind, list(group)) for kind, group in groupby(_blocks(message), _kind)]
    if isinstance(message, AIMessage):
        parts.append(_facts_line(message))
    else:
        name = getattr(message, "name", None)
        role = f"{message.type} {name}" if name else message.type
        parts.insert(0, f"<p {_SMALL}><b>{escape(visible(role))}</b></p>")

    return f"<div {NO_MATH}>{''.join(parts)}</div>"


def conversation_html(messages: Iterable[BaseMessage]) -> str:
    """Return messages, one below the other."""
    return '<hr style="opacity:0.3">'.join(map(message_html, messages))


def _blocks(message: BaseMessage) -> list[Mapping[str, Any]]:
    """Return the content blocks of a message; its text alone, where they cannot be read."""
    if isinstance(message, ToolMessage) and isinstance(message.content, str):
        return [{"type": "result", "text": message.content}]
    try:
        blocks: list[Any] = list(message.content_blocks)
    except Exception:  # noqa: BLE001 - a translator of another package met what it does not know
        blocks = [{"type": "text", "text": str(message.text)}]

    if isinstance(message, AIMessage):
        shown = {block.get("id") for block in blocks if _kind(block) == "call"}
        invalid = message.invalid_tool_calls
        blocks += [
            {**call, "type": "invalid_tool_call"} for call in invalid if call["id"] not in shown
        ]
    return blocks


def _kind(block: Mapping[str, Any]) -> str:
    kind = str(block.get("type"))
    return "call" if kind in _CALLS else "media" if kind in _MEDIA else kind


def _block_group(kind: str, blocks: Sequence[Mapping[str, Any]]) -> str:
    """Return neighboring blocks of one kind."""
    if kind == "reasoning":
        return _reasoning(blocks)
    return "".join(map(_RENDERERS.get(kind, _other), blocks))


def _reasoning(blocks: Sequence[Mapping[str, Any]]) -> str:
    text = "\n\n".join(filter(None, (get_str(block, "reasoning") for block in blocks)))
    if not text:
        return f"<p {_SMALL}>reasoning: not readable</p>" if blocks else ""
    return f"<details><summary {_SMALL}>reasoning</summary>{markdown_html(text)}</details>"


def _text(block: Mapping[str, Any]) -> str:
    html = markdown_html(get_str(block, "text") or "")
    notes = get_dicts(block, "annotations")
    citations = [note for note in notes if note.get("type") == "citation"]
    items = "".join(f"<li>{_citation(note)}</li>" for note in citations)
    return f"{html}<ol {_SMALL}>{items}</ol>" if items else html


def _citation(note: Mapping[str, Any]) -> str:
    url = get_str(note, "url") or ""
    return external_link(url, get_str(note, "title") or url[:_SUMMARY_LENGTH] or "source")


def _call(block: Mapping[str, Any]) -> str:
    name = escape(visible(get_str(block, "name") or "?"))
    args = block.get("args")
    text = args if isinstance(args, str) else _pretty(args)
    error = get_str(block, "error") if block.get("type") == "invalid_tool_call" else None
    note = f" — invalid: {escape(visible(error))}" if error else ""

    label = "server tool" if block.get("type") == "server_tool_call" else "tool"
    return f"<p>{label} <code>{name}</code>{note}</p>{preformatted(text)}"


def _folded(summary: str, text: str) -> str:
    label = escape(visible(summary))
    return f"<details><summary {_SMALL}>{label}</summary>{preformatted(text)}</details>"


def _pretty(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _facts_line(message: AIMessage) -> str:
    """Return model, provider, tokens and cost, as far as they are known."""
    metadata: dict[str, Any] = message.response_metadata
    end = get_str(metadata, "finish_reason")
    facts = [
        get_str(metadata, "model_name"),
        get_str(metadata, "provider"),
        *_token_facts(message),
        usd(get_number(metadata, "cost")),
        f"ended by: {end}" if end and end not in _EXPECTED_ENDS else None,
    ]

    line = " · ".join(escape(visible(fact)) for fact in facts if fact)
    return f"<p {_SMALL}>{line}</p>" if line else ""


def _token_facts(message: AIMessage) -> list[str]:
    usage: Any = message.usage_metadata
    if not usage:
        return []

    sent, received = get_int(usage, "input_tokens"), get_int(usage, "output_tokens")
    cached = get_int(get_dict(usage, "input_token_details"), "cache_read")
    thought = get_int(get_dict(usage, "output_token_details"), "reasoning")
    facts = [
        f"{sent or 0:,} tokens in" + (f" ({cached:,} cached)" if cached else ""),
        f"{received or 0:,} out" + (f" ({thought:,} reasoning)" if thought else ""),
    ]
    return facts if sent or received else []


def _refusal(block: Mapping[str, Any]) -> str:
    return f"<p><b>refused:</b> {escape(visible(str(block.get('refusal'))))}</p>"


def _other(block: Mapping[str, Any]) -> str:
    """Return a block of a kind that has no form of its own: folded, as JSON."""
    return _folded(str(block.get("type")), _pretty(block.get("value", block)))


_RENDERERS = {
    "text": _text,
    "text-plain": _text,
    "media": media_html,
    "call": _call,
    "refusal": _refusal,
    "result": lambda block: preformatted(str(block["text"])),
    "server_tool_result": lambda block: _folded("result", _pretty(block.get("output"))),
}
