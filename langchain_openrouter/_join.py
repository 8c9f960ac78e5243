"""The pieces of one field of a stream -> what they come to; pure, and O(n)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
from typing import Any


def fingerprint(item: dict[str, Any]) -> bytes:
    """Return what only an equal item has."""
    text = json.dumps(item, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass")).digest()


def whole(values: list[Any]) -> Any:
    """Return what a field came to: texts and lists are pieces of one, of others the last counts."""
    kind = type(values[-1])
    if kind not in {str, list}:
        return values[-1]
    pieces = list(itertools.takewhile(lambda value: type(value) is kind, reversed(values)))[::-1]
    return "".join(pieces) if kind is str else list(itertools.chain.from_iterable(pieces))


def joined_base64(pieces: list[str]) -> str:
    """Join base64 that was cut into pieces, each of which may have been padded by itself."""
    if not any("=" in piece for piece in pieces[:-1]):
        return "".join(pieces)
    try:
        return base64.b64encode(b"".join(map(base64.b64decode, pieces))).decode()
    except binascii.Error:
        return "".join(pieces)
