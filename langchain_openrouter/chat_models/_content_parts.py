"""LangChain's content blocks -> OpenRouter's content parts, as pure functions.

Accepts LangChain's standard blocks (v1), their predecessors with `source_type` (v0), parts in
OpenRouter's own form, and Anthropic's image and thinking blocks.
See https://openrouter.ai/docs/features/multimodal/overview.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from langchain_openrouter._json import get_dict, get_str

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_openrouter.chat_models._foreign_blocks import OmittedBlocks

# Subtypes of `audio/*` that are not the name of the format on the wire.
_AUDIO_FORMATS = {
    "mpeg": "mp3",
    "mpeg3": "mp3",
    "x-wav": "wav",
    "wave": "wav",
    "vnd.wave": "wav",
    "mp4": "m4a",
    "x-m4a": "m4a",
    "x-aac": "aac",
    "x-aiff": "aiff",
    "x-flac": "flac",
    "l16": "pcm16",
    "pcm": "pcm16",
}
# Assumed for base64 data without a MIME type, by the type of the block.
_DEFAULT_MIME_TYPES = {
    "image": "image/png",
    "audio": "audio/wav",
    "video": "video/mp4",
    "file": "application/pdf",
    "document": "application/pdf",
    "text-plain": "text/plain",
}
_OPENROUTER_PARTS = {"image_url", "input_audio", "video_url", "input_video", "file"}
# Blocks of an assistant's message that are sent in fields of the message, not as content parts.
NOT_CONTENT_PARTS = {
    "tool_call",
    "tool_call_chunk",
    "invalid_tool_call",
    "tool_use",
    "input_json_delta",
    "function_call",
    "reasoning",
    "thinking",
    "redacted_thinking",
    "refusal",
}


def to_content_parts(
    content: Any, *, where: str, text_only: bool = False, omitted: OmittedBlocks | None = None
) -> str | list[dict[str, Any]]:
    """Return the `content` of a message on the wire.

    Args:
        content: `message.content`: a string, or a list of blocks and strings.
        where: Names the message in an error: "message 3 (human)".
        text_only: Whether the role accepts text parts only (system and developer).
        omitted: Takes the blocks that cannot be sent, which are an error without it.

    Returns:
        A string unchanged; a list of blocks as a list of parts.

    Raises:
        ValueError: A block cannot be sent; the message names its type and its position.
    """
    if isinstance(content, str):
        return content

    parts = []
    for index, block in enumerate(content):
        try:
            part = _to_part(block, f"block {index} of {where}")
        except ValueError:
            if omitted is None:
                raise
            omitted.add(block)
            continue
        if part is None:
            continue
        if text_only and part.get("type") != "text":
            msg = f"block {index} of {where} is {part.get('type')!r}: this role takes text only"
            raise ValueError(msg)
        parts.append(part)
    return parts


def _to_part(block: Any, where: str) -> dict[str, Any] | None:
    """Return one part, or None for a block that is not sent as a content part."""
    if isinstance(block, str):
        return {"type": "text", "text": block}

    kind = str(block.get("type")) if isinstance(block, dict) else "None"
    if kind in NOT_CONTENT_PARTS:
        return None
    if kind == "non_standard" and isinstance(block.get("value"), dict):
        value = block["value"]
        return dict(value) if str(value.get("type")) not in NOT_CONTENT_PARTS else None
    if kind in _OPENROUTER_PARTS and isinstance(block.get(kind), dict | str):
        return _openrouter_part(block, kind)

    if kind in _CONVERTERS and isinstance(block, dict):
        part = _CONVERTERS[kind](block)
        if part is not None:
            return {**part, **_cache_marks(block)}
        msg = f"{where} is {kind!r} but holds no text, URL, base64 data or id that can be sent"
    else:
        msg = (
            f"{where} has type {kind!r}, which OpenRouter does not take: use text, image, audio, "
            'video or file, or {"type": "non_standard", "value": <a part of its API>}'
        )
    raise ValueError(msg)


def _cache_marks(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cache marks of a block, which LangChain puts beside or inside its `extras`."""
    extras = get_dict(block, "extras") or {}
    marks = {}
    for name in ("cache_control", "prompt_cache_breakpoint"):
        mark = block.get(name) or extras.get(name)
        if mark is not None:
            marks[name] = mark
    return marks


def _openrouter_part(block: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a part that has OpenRouter's type already, in the form that its API documents."""
    value = block[kind]
    if isinstance(value, str):
        value = {"file_data" if kind == "file" else "url": value}
    if kind == "input_audio" and isinstance(value.get("data"), str):
        value = {**value, "data": value["data"].rpartition("base64,")[2]}
    return {"type": kind, kind: dict(value), **_cache_marks(block)}


def _text_part(block: dict[str, Any]) -> dict[str, Any] | None:
    text = block.get("text")
    return {"type": "text", "text": text} if isinstance(text, str) else None


class _MediaSource(NamedTuple):
    """Where a block's data is: each field is None where the block does not have it."""

    url: str | None
    base64: str | None
    file_id: str | None
    mime_type: str | None


def _media_source(block: dict[str, Any]) -> _MediaSource:
    """Return the source of a v0, v1 or Anthropic block; a data URL as base64."""
    source = get_dict(block, "source") or {}
    extras = get_dict(block, "extras") or {}
    mime_type = get_str(block, "mime_type") or get_str(source, "media_type")
    url = get_str(block, "url") or get_str(source, "url")
    data = get_str(block, "base64") or get_str(block, "data") or get_str(source, "data")

    file_id = get_str(block, "file_id") or get_str(source, "file_id") or get_str(extras, "file_id")
    if block.get("source_type") == "id":
        file_id = file_id or get_str(block, "id")

    for candidate in (url, data):
        if candidate and candidate.startswith("data:") and ";base64," in candidate:
            head, _, data = candidate.partition(";base64,")
            url, mime_type = None, mime_type or head.removeprefix("data:") or None
    return _MediaSource(url, data, file_id, mime_type)


def _to_url(block: dict[str, Any], source: _MediaSource) -> str | None:
    """Return the URL of a block's source, or a data URL of its base64."""
    if source.url or not source.base64:
        return source.url
    mime_type = source.mime_type or _DEFAULT_MIME_TYPES[block["type"]]
    return f"data:{mime_type};base64,{source.base64}"


def _file_part(block: dict[str, Any]) -> dict[str, Any] | None:
    """Return a file part: a document, or media that OpenRouter accepts only as a file."""
    file: dict[str, Any] = {}
    if name := _file_name(block):
        file["filename"] = name

    source = _media_source(block)
    url = _to_url(block, source)
    if url:
        file["file_data"] = url
        last_segment = urlsplit(url).path.rpartition("/")[2] if url.startswith("http") else ""
        if last_segment:
            file.setdefault("filename", last_segment)
    elif source.file_id:
        file["file_id"] = source.file_id
    else:
        return _text_part(block)
    return {"type": "file", "file": file}


def _file_name(block: dict[str, Any]) -> str | None:
    """Return the name that a block has for its file."""
    for source in (block, get_dict(block, "extras"), get_dict(block, "metadata")):
        name = get_str(source, "filename") or get_str(source, "name") or get_str(source, "title")
        if name:
            return name
    return None


def _image_part(block: dict[str, Any]) -> dict[str, Any] | None:
    url = _to_url(block, _media_source(block))
    if not url:
        return _file_part(block)

    image: dict[str, Any] = {"url": url}
    detail = get_str(block, "detail") or get_str(get_dict(block, "extras"), "detail")
    if detail:
        image["detail"] = detail
    return {"type": "image_url", "image_url": image}


def _video_part(block: dict[str, Any]) -> dict[str, Any] | None:
    url = _to_url(block, _media_source(block))
    return {"type": "video_url", "video_url": {"url": url}} if url else _file_part(block)


def _audio_part(block: dict[str, Any]) -> dict[str, Any] | None:
    """Return an audio part. The API accepts only base64 here; a URL is sent as a file."""
    source = _media_source(block)
    if not source.base64:
        return _file_part(block)

    mime_type = source.mime_type or _DEFAULT_MIME_TYPES["audio"]
    subtype = mime_type.partition("/")[2].partition(";")[0].lower()
    audio_format = get_str(block, "format") or _AUDIO_FORMATS.get(subtype, subtype)
    return {"type": "input_audio", "input_audio": {"data": source.base64, "format": audio_format}}


def _plain_text_part(block: dict[str, Any]) -> dict[str, Any] | None:
    return _text_part(block) or _file_part(block)


_CONVERTERS: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
    "text": _text_part,
    "image": _image_part,
    "audio": _audio_part,
    "video": _video_part,
    "file": _file_part,
    "document": _file_part,
    "text-plain": _plain_text_part,
}


def with_cache_control(content: Any, mark: Any) -> Any:
    """Return wire content with a message's cache mark on its last text part.

    OpenRouter reads the mark there and nowhere else.

    Args:
        content: A string or a list of parts.
        mark: The value of `cache_control`.

    Returns:
        A new list of parts; the content unchanged where it has no text: providers refuse a mark on
        an empty part.
    """
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())
    for index in range(len(parts) - 1, -1, -1):
        if parts[index].get("type") == "text" and str(parts[index].get("text")).strip():
            parts[index] = {"cache_control": mark, **parts[index]}
            return parts

    return content
