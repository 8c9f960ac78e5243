"""OpenRouter's answers -> LangChain's standard content blocks; registered for "openrouter".

Each reasoning detail becomes one reasoning block that carries the detail in `extras`, so that a
message made of its blocks alone can be sent back unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages.block_translators import register_translator

from langchain_openrouter._json import get_dict, get_dicts, get_str
from langchain_openrouter.chat_models._parsing import PROVIDER

if TYPE_CHECKING:
    from collections.abc import Collection

    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.messages.content import ContentBlock

REASONING, PLAIN, TEXT = "lc_rs_", "lc_rs_plain", "lc_txt_0"  # indices by which core merges blocks


def translate_content(message: AIMessage) -> list[ContentBlock]:
    """Return the blocks of a whole message: reasoning, text, tool calls, media, refusal."""
    blocks = [*_reasoning_blocks(message.additional_kwargs), *_content_blocks(message)]
    blocks += [{**call, "type": "tool_call"} for call in message.tool_calls]
    return cast("list[ContentBlock]", blocks + _media_blocks(message.additional_kwargs))


def translate_content_chunk(chunk: AIMessageChunk) -> list[ContentBlock]:
    """Return the blocks of one streamed chunk, or of the sum of several."""
    tail = getattr(chunk, "tail", False)
    if chunk.chunk_position == "last" and not tail:
        return translate_content(chunk)
    extras = chunk.additional_kwargs
    position = getattr(chunk, "detail", None)
    if tail:
        # What was not shown as a detail's own text stays in the detail, to be sent back.
        complete = position or ()
        blocks = [
            {**block, "reasoning": "", "index": f"{REASONING}{place}"}
            for place, block in enumerate(_detail_blocks(extras, complete))
        ]
    elif position is not None:
        text = get_str(extras, "reasoning_content") or ""
        blocks = [{"type": "reasoning", "reasoning": text, "index": f"{REASONING}{position}"}]
    else:
        blocks = [{**block, "index": PLAIN} for block in _reasoning_blocks(extras)]
    blocks += [
        {**block, "index": TEXT} if block["type"] == "text" else block
        for block in _content_blocks(chunk)
    ]
    blocks += [
        {"type": "tool_call_chunk", "id": call["id"], "name": call["name"],
         "args": call["args"], "index": call["index"]}
        for call in chunk.tool_call_chunks
    ]  # fmt: skip
    return cast("list[ContentBlock]", blocks + _media_blocks(extras))


def _reasoning_blocks(extras: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a block for each detail; one for the text where no detail carries any."""
    blocks = _detail_blocks(extras)
    text = get_str(extras, "reasoning_content")
    if text and not any(block["reasoning"] for block in blocks):
        blocks.insert(0, {"type": "reasoning", "reasoning": text})
    return blocks


def _detail_blocks(
    extras: dict[str, Any], complete: Collection[int] | None = None
) -> list[dict[str, Any]]:
    """Return a block for each detail; its text is in the block, or stays where not complete."""
    blocks = []
    for place, detail in enumerate(get_dicts(extras, "reasoning_details")):
        moved = {"text", "summary"} if complete is None or place in complete else set()
        kept = {key: value for key, value in detail.items() if key not in moved}
        about: dict[str, Any] = {"reasoning_detail": kept}
        if signature := get_str(detail, "signature"):
            about["signature"] = signature
        text = get_str(detail, "text") or get_str(detail, "summary") or ""
        blocks.append({"type": "reasoning", "reasoning": text, "extras": about})
    return blocks


def _content_blocks(message: AIMessage) -> list[dict[str, Any]]:
    """Return the text with its citations, and parts of other kinds as they came."""
    content = message.content if isinstance(message.content, list) else [message.content]
    citations = [_citation(note) for note in get_dicts(message.additional_kwargs, "annotations")]
    blocks: list[dict[str, Any]] = []
    for item in content:
        if isinstance(item, str):
            if item:
                blocks.append({"type": "text", "text": item})
        elif item.get("type") in ("text", "non_standard"):
            blocks.append(item)
        else:
            blocks.append({"type": "non_standard", "value": item})
    if citations:
        place = next((i for i, block in enumerate(blocks) if block["type"] == "text"), None)
        if place is None:
            blocks.insert(0, {"type": "text", "text": "", "annotations": citations})
        else:
            blocks[place] = {**blocks[place], "annotations": citations}
    return blocks


def _citation(note: dict[str, Any]) -> dict[str, Any]:
    """Return a standard citation, or the note as it came (a parsed file, for one)."""
    inner = get_dict(note, "url_citation")
    if note.get("type") != "url_citation" or inner is None:
        return {"type": "non_standard_annotation", "value": note}
    names = {"url": "url", "title": "title", "content": "cited_text",
             "start_index": "start_index", "end_index": "end_index"}  # fmt: skip
    citation: dict[str, Any] = {"type": "citation"}
    for theirs, ours in names.items():
        if inner.get(theirs) is not None:
            citation[ours] = inner[theirs]
    return citation


def _media_blocks(extras: dict[str, Any]) -> list[dict[str, Any]]:
    """Return images, audio and a refusal."""
    blocks: list[dict[str, Any]] = []
    for image in get_dicts(extras, "images"):
        url = get_str(get_dict(image, "image_url"), "url") or get_str(image, "image_url") or ""
        head, comma, data = url.partition(";base64,")
        if comma and head.startswith("data:"):
            mime = head.removeprefix("data:")
            blocks.append({"type": "image", "base64": data, "mime_type": mime})
        else:
            blocks.append({"type": "image", "url": url})
    audio = get_dict(extras, "audio")
    if audio and get_str(audio, "data"):
        rest = {key: value for key, value in audio.items() if key != "data"}
        blocks.append({"type": "audio", "base64": audio["data"], "extras": rest})
    if refusal := get_str(extras, "refusal"):
        blocks.append({"type": "refusal", "refusal": refusal})
    return blocks


register_translator(PROVIDER, translate_content, translate_content_chunk)
