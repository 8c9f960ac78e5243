"""Files, addresses and the standard input -> content blocks of a message.

The type is what the content's first bytes say, else what the name's ending says; a text becomes a
text block under its name.
"""

from __future__ import annotations

import base64
import mimetypes
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

__all__ = ["read_attachment", "split_type"]

STDIN = "-"
_MAX_BYTES = 50 * 1024 * 1024
_TIMEOUT = 10.0  # seconds
_KINDS = {"image", "audio", "video"}
_TEXTS = {"application/json", "application/xml", "application/x-sh", "application/toml"}


def split_type(text: str) -> tuple[str, str]:
    """Split PATH=TYPE.

    Raises:
        ValueError: It has another form.
    """
    source, separator, mime_type = text.rpartition("=")
    if not separator or "/" not in mime_type:
        msg = f"{text!r}: write PATH=TYPE, such as -=image/jpeg"
        raise ValueError(msg)
    return source, mime_type


def read_attachment(source: str, mime_type: str | None = None) -> dict[str, Any]:
    """Return the content block of a file, of an address, or of the standard input.

    Args:
        source: A path, an http(s) address, or "-".
        mime_type: None: detected.

    Raises:
        ValueError: Nobody can say what it is, or it is too large.
        OSError: The file cannot be read.
    """
    if source.startswith(("https://", "http://")):
        return _address_block(source, mime_type)

    if source == STDIN:
        data, name = sys.stdin.buffer.read(_MAX_BYTES + 1), "stdin"
    else:
        path = Path(source).expanduser()
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        name = path.name
    if len(data) > _MAX_BYTES:
        msg = f"{source} is larger than {_MAX_BYTES // 2**20} MB"
        raise ValueError(msg)
    return _content_block(data, name, mime_type or detect_type(data, name))


def detect_type(data: bytes, name: str) -> str | None:
    """Return the MIME type of some content; None if nothing tells it."""
    import puremagic  # noqa: PLC0415 - slow to import

    by_name = mimetypes.guess_type(name)[0]
    if _is_text(data):
        # a PDF may be readable as text; a page or a program is one, whatever it begins with
        return "application/pdf" if data.startswith(b"%PDF-") else by_name or "text/plain"
    try:
        guesses = puremagic.magic_string(data[:4096], filename=name)  # the likeliest first
    except (puremagic.PureError, ValueError):
        return by_name
    return next((guess.mime_type for guess in guesses if guess.mime_type), by_name)


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def _content_block(data: bytes, name: str, mime_type: str | None) -> dict[str, Any]:
    """Return the block of some content."""
    kind = (mime_type or "").partition("/")[0]
    if kind in _KINDS and mime_type != "image/svg+xml":
        encoded = base64.b64encode(data).decode()
        return {"type": kind, "base64": encoded, "mime_type": mime_type}

    if mime_type != "application/pdf" and _is_text(data):
        fence = "`" * 4
        return {"type": "text", "text": f"{name}:\n\n{fence}\n{data.decode()}\n{fence}"}
    if mime_type is None:
        msg = f"nothing says what {name} is: pass --at PATH=TYPE"
        raise ValueError(msg)
    encoded = base64.b64encode(data).decode()
    return {"type": "file", "base64": encoded, "mime_type": mime_type, "filename": name}


def _address_block(url: str, mime_type: str | None) -> dict[str, Any]:
    """Return the block of an address, which the service fetches; audio it takes as data alone."""
    mime_type = mime_type or mimetypes.guess_type(urlsplit(url).path)[0] or _ask_type(url)
    kind = mime_type.partition("/")[0]
    if kind in {"image", "video"}:
        return {"type": kind, "url": url, "mime_type": mime_type}
    if mime_type == "application/pdf":
        return {"type": "file", "url": url, "mime_type": mime_type}

    with httpx2.Client(follow_redirects=True, timeout=_TIMEOUT) as client:
        response = client.get(url)
        response.raise_for_status()
    return _content_block(response.content, urlsplit(url).path.rpartition("/")[2], mime_type)


def _ask_type(url: str) -> str:
    """Ask the server of an address for its type; no key is sent."""
    try:
        response = httpx2.head(url, follow_redirects=True, timeout=_TIMEOUT)
        response.raise_for_status()
    except httpx2.HTTPError as error:
        msg = f"{url}: nothing says what it is ({type(error).__name__}): pass --at ADDRESS=TYPE"
        raise ValueError(msg) from None
    return str(response.headers.get("content-type", "")).partition(";")[0].strip()
