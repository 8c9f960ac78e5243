"""LangChain's content blocks -> OpenRouter's content parts, as pure functions.

Takes LangChain's standard blocks (v1), their predecessors with `source_type` (v0), OpenRouter's
own parts and Anthropic's image and thinking blocks.
See https://openrouter.ai/docs/features/multimodal/overview.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_openrouter._json import get_dict, get_str

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
_MEDIA = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4",
          "file": "application/pdf", "text-plain": "text/plain"}  # fmt: skip
_NATIVE = {"image_url", "input_audio", "video_url", "input_video", "file"}
# What an assistant said and did, which travels in fields of its own, not among the parts.
ELSEWHERE = {
    "tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "input_json_delta",
    "function_call", "reasoning", "thinking", "redacted_thinking", "refusal",
}  # fmt: skip


def to_content_parts(
    content: Any, *, where: str, text_only: bool = False
) -> str | list[dict[str, Any]]:
    """Return wire content: a string as it is, a list of blocks as parts.

    Args:
        content: `message.content`.
        where: Names the message in an error: "message 3 (human)".
        text_only: Whether the role takes text parts alone (system and developer).

    Raises:
        ValueError: A block cannot be sent; the message names its type and its place.
    """
    if isinstance(content, str):
        return content
    parts = []
    for position, block in enumerate(content):
        part = _part_of(block, f"block {position} of {where}")
        if part is None:
            continue
        if text_only and part.get("type") != "text":
            msg = f"block {position} of {where} is {part.get('type')!r}: this role takes text only"
            raise ValueError(msg)
        parts.append(part)
    return parts


def _part_of(block: Any, where: str) -> dict[str, Any] | None:
    """Return one part, or None for a block that travels elsewhere."""
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = str(block.get("type")) if isinstance(block, dict) else "None"
    if kind in ELSEWHERE:
        return None
    if kind == "non_standard" and isinstance(block.get("value"), dict):
        value = block["value"]
        return dict(value) if str(value.get("type")) not in ELSEWHERE else None
    if kind in _NATIVE and isinstance(block.get(kind), dict | str):
        return _native(block, kind)
    if kind in _CONVERTERS and isinstance(block, dict):
        part = _CONVERTERS[kind](block)
        if part is not None:
            return {**part, **_extras(block)}
        msg = f"{where} is {kind!r} but holds no text, URL, base64 data or id that can be sent"
    else:
        msg = (
            f"{where} has type {kind!r}, which OpenRouter does not take: use text, image, audio, "
            'video or file, or {"type": "non_standard", "value": <a part of its API>}'
        )
    raise ValueError(msg)


def _extras(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the caching marks of a block, wherever LangChain put them."""
    extras = get_dict(block, "extras") or {}
    marks = {}
    for name in ("cache_control", "prompt_cache_breakpoint"):
        mark = block.get(name) or extras.get(name)
        if mark is not None:
            marks[name] = mark
    return marks


def _native(block: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a part that is OpenRouter's own already, in the shape it documents."""
    value = block[kind]
    if isinstance(value, str):
        value = {"file_data" if kind == "file" else "url": value}
    if kind == "input_audio" and isinstance(value.get("data"), str):
        value = {**value, "data": value["data"].rpartition("base64,")[2]}
    return {"type": kind, kind: dict(value), **_extras(block)}


def _text(block: dict[str, Any]) -> dict[str, Any] | None:
    text = block.get("text")
    return {"type": "text", "text": text} if isinstance(text, str) else None


def _source(block: dict[str, Any]) -> tuple[str | None, str | None, str | None, str | None]:
    """Return (url, base64, id, MIME type) of a v0, v1 or Anthropic block."""
    source = get_dict(block, "source") or {}
    extras = get_dict(block, "extras") or {}
    mime = get_str(block, "mime_type") or get_str(source, "media_type")
    url = get_str(block, "url") or get_str(source, "url")
    data = get_str(block, "base64") or get_str(block, "data") or get_str(source, "data")
    file_id = get_str(block, "file_id") or get_str(source, "file_id") or get_str(extras, "file_id")
    if block.get("source_type") == "id":
        file_id = file_id or get_str(block, "id")
    for candidate in (url, data):
        if candidate and candidate.startswith("data:") and ";base64," in candidate:
            head, _, data = candidate.partition(";base64,")
            url, mime = None, mime or head.removeprefix("data:") or None
    return url, data, file_id, mime


def _url_of(block: dict[str, Any]) -> str | None:
    """Return the block's URL: its own, or a data URL."""
    url, data, _, mime = _source(block)
    if url or not data:
        return url
    return f"data:{mime or _MEDIA[block['type']]};base64,{data}"


def _file(block: dict[str, Any]) -> dict[str, Any] | None:
    """Return a file part: a document, or media that OpenRouter takes as a file alone."""
    extras = get_dict(block, "extras") or {}
    file: dict[str, Any] = {}
    for source in (block, extras, get_dict(block, "metadata") or {}):
        name = get_str(source, "filename") or get_str(source, "name") or get_str(source, "title")
        if name:
            file["filename"] = name
            break
    url, (_, _, file_id, _) = _url_of(block), _source(block)
    if url:
        file["file_data"] = url
        tail = urlsplit(url).path.rpartition("/")[2] if url.startswith("http") else ""
        if tail:
            file.setdefault("filename", tail)
    elif file_id:
        file["file_id"] = file_id
    elif isinstance(block.get("text"), str):
        return _text(block)
    else:
        return None
    return {"type": "file", "file": file}


def _image(block: dict[str, Any]) -> dict[str, Any] | None:
    url = _url_of(block)
    if not url:
        return _file(block)
    image: dict[str, Any] = {"url": url}
    detail = get_str(block, "detail") or get_str(get_dict(block, "extras"), "detail")
    if detail:
        image["detail"] = detail
    return {"type": "image_url", "image_url": image}


def _video(block: dict[str, Any]) -> dict[str, Any] | None:
    url = _url_of(block)
    return {"type": "video_url", "video_url": {"url": url}} if url else _file(block)


def _audio(block: dict[str, Any]) -> dict[str, Any] | None:
    """Return an audio part. The API takes base64 alone here; a URL can go as a file."""
    _, data, _, mime = _source(block)
    if not data:
        return _file(block)
    subtype = (mime or _MEDIA["audio"]).partition("/")[2].partition(";")[0].lower()
    audio_format = get_str(block, "format") or _AUDIO_FORMATS.get(subtype, subtype)
    return {"type": "input_audio", "input_audio": {"data": data, "format": audio_format}}


def _plain_text(block: dict[str, Any]) -> dict[str, Any] | None:
    return _text(block) or _file(block)


_CONVERTERS: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
    "text": _text,
    "image": _image,
    "audio": _audio,
    "video": _video,
    "file": _file,
    "document": _file,
    "text-plain": _plain_text,
}
_MEDIA["document"] = _MEDIA["file"]


def with_cache_control(content: Any, mark: Any) -> Any:
    """Put a message's cache mark on its last text part, the one place where it takes effect."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())
    for position in range(len(parts) - 1, -1, -1):
        if parts[position].get("type") == "text":
            parts[position] = {"cache_control": mark, **parts[position]}
            return parts
    return content
