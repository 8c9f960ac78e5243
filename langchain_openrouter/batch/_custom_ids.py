"""The `custom_id` of a row's request: whose it is, which row, and that the row is the same.

`<run>-<index>-<check>`. Letters, digits, `-` and `_`, 64 of them at most, is what the providers
behind the service take, so that keys are not in it, which may be of any length: the handle has
them, see `_row_keys.py`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_openrouter.batch._requests import PendingRow

_RUN_BYTES, _CHECK_DIGITS = 6, 12
_PATTERN = re.compile(r"([0-9a-f]{12})-([0-9]{1,15})-([0-9a-f]{12})")


@dataclass(frozen=True, slots=True)
class CustomId:
    """What a `custom_id` says."""

    run: str
    index: int
    check: str


def make_run() -> str:
    """Return a new id of a submission, which all its requests begin with."""
    return secrets.token_hex(_RUN_BYTES)


def row_check(row: PendingRow) -> str:
    """Return a hash of a row's key and content."""
    text = f"{type(row.key).__name__}\0{row.key}\0{row.request_hash}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_CHECK_DIGITS]


def build_custom_id(run: str, row: PendingRow) -> str:
    """Return the id of a row's request in a submission."""
    return f"{run}-{row.index}-{row_check(row)}"


def parse_custom_id(text: str) -> CustomId | None:
    """Return what an id says; None for one that was not made here."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        return None

    run, index, check = match.groups()
    return CustomId(run, int(index), check)
