"""The keys of a shard's rows as a short text, which the handle keeps: results name rows by index.

The text is base64 of compressed JSON, `[indices or null, keys]`; it is empty where the rows are
without a gap and their keys are their indices.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_openrouter._json import get_list
from langchain_openrouter.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_openrouter.batch._requests import Key

Row: TypeAlias = "tuple[int, Key]"
"""The index of a row, and its key."""
_MAX_BYTES = 500_000_000  # of a shard's keys, unpacked


def pack_rows(rows: Sequence[Row]) -> str:
    """Return the indices and the keys of rows, in their order, as a text."""
    indices = [index for index, _ in rows]
    keys = [key for _, key in rows]
    is_gapless = not rows or indices == list(range(indices[0], indices[0] + len(rows)))
    if is_gapless and _same_keys(keys, indices):
        return ""

    text = json.dumps([None if is_gapless else indices, keys], separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode())).decode()


def _same_keys(keys: Sequence[Key], indices: Sequence[int]) -> bool:
    return all(isinstance(key, int) for key in keys) and list(keys) == list(indices)


def unpack_rows(packed: str, first: int, count: int) -> list[Row]:
    """Return the rows of a text of `pack_rows`.

    Args:
        packed: The text.
        first: The index of the first row.
        count: How many rows there are.

    Raises:
        BatchError: It is no such text, or of another number of rows.
    """
    indices: Any = range(first, first + count)
    if not packed:
        return [(index, index) for index in indices]

    keys: Any = None
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(packed), _MAX_BYTES)
        value = json.loads(data)
        listed, keys = value
    except (ValueError, TypeError, zlib.error, binascii.Error):
        listed = None
    if listed is not None:
        indices = get_list({"indices": listed}, "indices") or ()

    is_whole = isinstance(keys, list) and len(keys) == len(indices) == count
    if not is_whole or not all(map(_is_key, keys)) or not all(map(_is_index, indices)):
        msg = "the handle's keys of the rows are damaged: restore its file"
        raise BatchError(msg)
    return list(zip(indices, keys, strict=True))


def _is_key(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
