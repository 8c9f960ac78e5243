"""OpenRouter's responses -> LangChain's standard content blocks; registered for "openrouter".

Each reasoning detail becomes one reasoning block that carries the detail in `extras`, so that a
message made of its blocks alone can be sent back unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages.block_translators import register_translator

from langchain_openrouter._json import get_dict, get_dicts, get_str
from langchain_openrouter.chat_models._messages import ITEMS_IN_FIELDS, OUTPUT_ITEMS
from langchain_openrouter.chat_models._parsing import PROVIDER

if TYPE_CHECKING:
    from collections.abc import Collection

    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.messages.content import ContentBlock
    from langchain_core.messages.tool import ToolCallChunk

# Core merges the blocks of a stream that have equal indices.
REASONING = "lc_rs_"  # followed by the index of the reasoning detail
UNINDEXED_REASONING = "lc_rs_plain"
TEXT = "lc_txt_0"

# Fields of an item of a server tool that hold what it found.
_RESULTS = ("outputs", "output", "results", "result", "error")
# Fields of a citation: OpenRouter's name, then LangChain's.
_CITATION_FIELDS = {
    "url": "url",
    "title": "title",
    "content": "cited_text",
    "start_index": "start_index",
    "end_index": "end_index",
}


def translate_content(message: AIMessage) -> list[ContentBlock]:
    """Return the blocks of a complete message: reasoning, text, tool calls, media, refusal."""
    blocks = [*_reasoning_blocks(message.additional_kwargs), *_content_blocks(message)]
    blocks += [{**call, "type": "tool_call"} for call in message.tool_calls]
    return cast("list[ContentBlock]", blocks + _closing_blocks(message.additional_kwargs))


def translate_content_chunk(chunk: AIMessageChunk) -> list[ContentBlock]:
    """Return the blocks of one streamed chunk, or of the sum of several."""
    if chunk.chunk_position == "last" and getattr(chunk, "shown_details", None) is None:
        return translate_content(chunk)  # the sum of a stream's chunks is a complete message

    blocks = _reasoning_chunk_blocks(chunk)
    blocks += [
        {**block, "index": TEXT} if block["type"] == "text" else block
        for block in _content_blocks(chunk)
    ]
    blocks += [_tool_call_chunk_block(call) for call in chunk.tool_call_chunks]
    return cast("list[ContentBlock]", blocks + _closing_blocks(chunk.additional_kwargs))


def _reasoning_chunk_blocks(chunk: AIMessageChunk) -> list[dict[str, Any]]:
    """Return the reasoning blocks of a chunk, with the indices by which core merges them."""
    extras = chunk.additional_kwargs
    shown_details = getattr(chunk, "shown_details", None)
    if shown_details is not None:  # the final chunk of a stream
        # Text that earlier chunks did not show as this detail's stays in it, to be sent back.
        return [
            {**block, "reasoning": "", "index": f"{REASONING}{index}"}
            for index, block in enumerate(_detail_blocks(extras, shown_details))
        ]

    detail_index = getattr(chunk, "detail_index", None)
    if detail_index is None:
        return [{**block, "index": UNINDEXED_REASONING} for block in _reasoning_blocks(extras)]
    text = get_str(extras, "reasoning_content") or ""
    return [{"type": "reasoning", "reasoning": text, "index": f"{REASONING}{detail_index}"}]


def _tool_call_chunk_block(call: ToolCallChunk) -> dict[str, Any]:
    return {
        "type": "tool_call_chunk",
        "id": call["id"],
        "name": call["name"],
        "args": call["args"],
        "index": call["index"],
    }


def _reasoning_blocks(extras: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a block for each detail, and one for the text if no detail carries any."""
    blocks = _detail_blocks(extras)
    text = get_str(extras, "reasoning_content")
    if text and not any(block["reasoning"] for block in blocks):
        blocks.insert(0, {"type": "reasoning", "reasoning": text})
    return blocks


def _detail_blocks(
    extras: dict[str, Any], shown: Collection[int] | None = None
) -> list[dict[str, Any]]:
    """Return a block for each reasoning detail, with the detail in its `extras`.

    Args:
        extras: The `additional_kwargs` of the message.
        shown: Indices of the details whose text is in the block alone; any other detail holds
            its text too. None stands for all.
    """
    blocks = []
    for index, detail in enumerate(get_dicts(extras, "reasoning_details")):
        shown_fields = {"text", "summary"} if shown is None or index in shown else set()
        rest = {key: value for key, value in detail.items() if key not in shown_fields}
        block_extras: dict[str, Any] = {"reasoning_detail": rest}
        if signature := get_str(detail, "signature"):
            block_extras["signature"] = signature

        text = get_str(detail, "text") or get_str(detail, "summary") or ""
        blocks.append({"type": "reasoning", "reasoning": text, "extras": block_extras})
    return blocks


def _content_blocks(message: AIMessage) -> list[dict[str, Any]]:
    """Return the text with its citations, and parts of other kinds unchanged."""
    content = message.content if isinstance(message.content, list) else [message.content]
    blocks: list[dict[str, Any]] = []
    for item in content:
        if isinstance(item, str):
            if item:
                blocks.append({"type": "text", "text": item})
        elif item.get("type") in ("text", "non_standard"):
            blocks.append(item)
        else:
            blocks.append({"type": "non_standard", "value": item})

    citations = [_to_citation(note) for note in get_dicts(message.additional_kwargs, "annotations")]
    if citations:
        index = next((i for i, block in enumerate(blocks) if block["type"] == "text"), None)
        if index is None:
            blocks.insert(0, {"type": "text", "text": "", "annotations": citations})
        else:
            blocks[index] = {**blocks[index], "annotations": citations}
    return blocks


def _to_citation(note: dict[str, Any]) -> dict[str, Any]:
    """Return a standard citation; an annotation of another kind, as a parsed file, unchanged."""
    source = get_dict(note, "url_citation")
    if note.get("type") != "url_citation" or source is None:
        return {"type": "non_standard_annotation", "value": note}

    citation: dict[str, Any] = {"type": "citation"}
    for wire_name, name in _CITATION_FIELDS.items():
        if source.get(wire_name) is not None:
            citation[name] = source[wire_name]
    return citation


def _closing_blocks(extras: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the blocks of what comes complete: server tools, images, audio, a refusal."""
    blocks: list[dict[str, Any]] = []
    for item in get_dicts(extras, OUTPUT_ITEMS):
        if str(item.get("type")) not in ITEMS_IN_FIELDS:
            blocks += _server_tool_blocks(item)
    return blocks + _media_blocks(extras)


def _server_tool_blocks(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the call of a server tool, and its result if it has one."""
    call_id = get_str(item, "id") or get_str(item, "call_id") or ""
    name = str(item.get("type")).removeprefix("openrouter:").removesuffix("_call")
    hidden = {"type", "id", "status", *_RESULTS}
    args = {key: value for key, value in item.items() if key not in hidden and value is not None}
    call = {"type": "server_tool_call", "id": call_id, "name": name, "args": args}

    results = {key: item[key] for key in _RESULTS if item.get(key) is not None}
    if not results:
        return [call]
    result = {
        "type": "server_tool_result",
        "tool_call_id": call_id,
        "status": "error" if item.get("status") == "failed" or "error" in results else "success",
        "output": next(iter(results.values())) if len(results) == 1 else results,
    }
    return [call, result]


def _media_blocks(extras: dict[str, Any]) -> list[dict[str, Any]]:
    """Return images, audio and a refusal."""
    blocks = [_image_block(image) for image in get_dicts(extras, "images")]

    audio = get_dict(extras, "audio")
    if audio and get_str(audio, "data"):
        rest = {key: value for key, value in audio.items() if key != "data"}
        blocks.append({"type": "audio", "base64": audio["data"], "extras": rest})

    if refusal := get_str(extras, "refusal"):
        blocks.append({"type": "refusal", "refusal": refusal})
    return blocks


def _image_block(image: dict[str, Any]) -> dict[str, Any]:
    url = get_str(get_dict(image, "image_url"), "url") or get_str(image, "image_url") or ""
    head, separator, data = url.partition(";base64,")
    if separator and head.startswith("data:"):
        mime_type = head.removeprefix("data:")
        return {"type": "image", "base64": data, "mime_type": mime_type}
    return {"type": "image", "url": url}


register_translator(PROVIDER, translate_content, translate_content_chunk)
