"""The `custom_id` of a row's request: whose it is, which row, and that the row is the same.

`<run>-<index>-<check>`, and `-<key>` where the key is not the index. Letters, digits, `-` and `_`,
64 of them at most, is what the providers behind the service take.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_openrouter.batch._requests import Key, PendingRow

_MAX_LENGTH = 64
_RUN_BYTES, _CHECK_DIGITS = 6, 12
_SAFE = re.compile(r"[A-Za-z0-9_-]*")
_PATTERN = re.compile(r"([0-9a-f]{12})-(\d{1,15})-([0-9a-f]{12})(?:-([isbx])([A-Za-z0-9_-]*))?")


@dataclass(frozen=True, slots=True)
class CustomId:
    """What a `custom_id` says."""

    run: str
    index: int
    check: str
    key: Key | None
    """None where the key was too long to be in it."""


def make_run() -> str:
    """Return a new id of a submission, which all its requests begin with."""
    return secrets.token_hex(_RUN_BYTES)


def row_check(row: PendingRow) -> str:
    """Return a hash of a row's key and content."""
    text = f"{type(row.key).__name__}\0{row.key}\0{row.request_hash}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_CHECK_DIGITS]


def build_custom_id(run: str, row: PendingRow) -> str:
    """Return the id of a row's request in a submission."""
    head = f"{run}-{row.index}-{row_check(row)}"
    if isinstance(row.key, int):
        return head if row.key == row.index else f"{head}-i{row.key}"[:_MAX_LENGTH]

    plain = f"{head}-s{row.key}"
    if _SAFE.fullmatch(row.key) and len(plain) <= _MAX_LENGTH:
        return plain
    data = row.key.encode("utf-8", "surrogatepass")
    encoded = f"{head}-b{base64.urlsafe_b64encode(data).rstrip(b'=').decode()}"
    return encoded if len(encoded) <= _MAX_LENGTH else f"{head}-x"


def parse_custom_id(text: str) -> CustomId | None:
    """Return what an id says; None for one that was not made here."""
    match = _PATTERN.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        return None

    run, index, check, kind, encoded = match.groups()
    try:
        key = _parse_key(kind, encoded, int(index))
    except ValueError:
        return None
    return CustomId(run, int(index), check, key)


def _parse_key(kind: str | None, encoded: str, index: int) -> Key | None:
    match kind:
        case None:
            return index
        case "i":
            return int(encoded)
        case "s":
            return encoded
        case "b":
            data = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            return data.decode("utf-8", "surrogatepass")

    return None
