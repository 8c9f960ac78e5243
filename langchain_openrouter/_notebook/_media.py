"""Pictures, sounds, films and files of a message as HTML; nothing is fetched."""

from __future__ import annotations

import base64
import io
import wave
from html import escape
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_str
from langchain_openrouter._notebook._markdown import external_link, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["media_html"]

_LARGEST = 20_000_000  # bytes that are put into a notebook
_KILO = 1000
_PCM_RATE = 24_000  # Hz, of the format pcm16: https://openrouter.ai/docs/features/multimodal/audio

# How a file of each kind begins: what it is called counts for nothing, since others say it.
_SIGNATURES = {
    "image": {
        b"\x89PNG\r\n\x1a\n": "image/png",
        b"\xff\xd8\xff": "image/jpeg",
        b"GIF8": "image/gif",
        b"RIFF": "image/webp",
    },
    "audio": {
        b"RIFF": "audio/wav",
        b"ID3": "audio/mpeg",
        b"\xff\xfb": "audio/mpeg",
        b"\xff\xf3": "audio/mpeg",
        b"fLaC": "audio/flac",
        b"OggS": "audio/ogg",
    },
    "video": {b"\x1aE\xdf\xa3": "video/webm"},
}
_PLAYERS = {"audio": "audio", "video": "video"}


def media_html(block: Mapping[str, Any]) -> str:
    """Return a block of the types image, audio, video or file as HTML.

    Data of a known kind is shown; an address becomes a link; else it says what there is.
    """
    kind = str(block.get("type"))
    url = get_str(block, "url") or ""
    mime_type, encoded = get_str(block, "mime_type"), get_str(block, "base64")
    if url.startswith("data:"):
        head, _, encoded = url.partition(",")
        mime_type = head.removeprefix("data:").partition(";")[0]

    extras = get_dict(block, "extras")
    transcript = get_str(extras, "transcript")
    caption = f"<p>{escape(visible(transcript))}</p>" if transcript else ""
    if encoded is None:
        link = external_link(url, f"{kind}: {url}") if url else escape(kind)
        return f"<p>{link}</p>{caption}"
    return _data_html(kind, mime_type, encoded, get_str(extras, "filename")) + caption


def _data_html(kind: str, mime_type: str | None, encoded: str, name: str | None) -> str:
    try:
        data = base64.b64decode(encoded, validate=True)
    except ValueError:
        return f"<p>{escape(kind)}: unreadable data</p>"

    label = " · ".join(filter(None, (kind, name, mime_type, _size(len(data)))))
    shown = _known_type(kind, mime_type, data)
    if shown is None or len(data) > _LARGEST:
        return f"<p>{escape(visible(label))}</p>"
    if shown == "audio/pcm":
        shown, data = "audio/wav", _to_wav(data)

    source = f"data:{shown};base64,{base64.b64encode(data).decode()}"
    if kind == "image":
        return f'<img alt="picture of the answer" style="max-width:100%" src="{source}">'
    player = _PLAYERS[kind]
    return f'<{player} controls style="max-width:100%" src="{source}"></{player}>'


def _known_type(kind: str, mime_type: str | None, data: bytes) -> str | None:
    """Return the MIME type by how the data begins; None for what is not shown."""
    for signature, known in _SIGNATURES.get(kind, {}).items():
        if data.startswith(signature):
            return known

    if kind == "video" and data[4:8] == b"ftyp":
        return "video/mp4"
    # Audio without a head is pcm16, the only format in which a stream brings it.
    is_raw = kind == "audio" and mime_type in {None, "audio/pcm", "audio/pcm16"}
    return "audio/pcm" if is_raw and data else None


def _to_wav(data: bytes) -> bytes:
    """Return raw 16-bit samples of one channel as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(_PCM_RATE)
        writer.writeframes(data)

    return file.getvalue()


def _size(count: int) -> str:
    return f"{count} bytes" if count < _KILO else f"{count / _KILO:,.0f} kB"
