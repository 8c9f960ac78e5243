"""`Spool`: the requests of a batch on disk, cut into shards that the service takes.

All rows are built, checked and counted before the first is sent, without holding them in memory.
The file has no name: it is gone with the process.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Self

from langchain_openrouter._http.transport import encode_json
from langchain_openrouter.batch._handles import Shard
from langchain_openrouter.batch._row_keys import pack_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_openrouter.batch._requests import Key
    from langchain_openrouter.batch._row_keys import Row

MAX_REQUESTS = 5_000
MAX_BYTES = 200_000_000
"""The limits of one batch: https://openrouter.ai/docs/guides/features/batch-api."""
_ENVELOPE = 4_096  # bytes for the fields beside the requests
_DIGEST_DIGITS = 16


@dataclass
class _Section:
    """The requests of one shard in the file."""

    start: int
    first: int
    last: int
    digest: Any
    count: int = 0
    size: int = 0
    rows: list[Row] = field(default_factory=list)
    packed: str = ""
    """The rows, where all are there."""

    def pack(self) -> None:
        """Compress the keys of the rows."""
        self.packed, self.rows = pack_rows(self.rows), []


class Spool:
    """Requests in the order of the rows.

    Args:
        max_requests: How many go into one shard.
        max_bytes: How large the request of one shard may be.
    """

    def __init__(self, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._sections: list[_Section] = []
        self._max_requests, self._max_bytes = max_requests, max_bytes - _ENVELOPE
        self.prompt_tokens = 0
        """Approximately: a token for every four bytes, of schemas and tools too."""

    def add(self, index: int, key: Key, custom_id: str, body: Mapping[str, Any]) -> None:
        """Add the request of a row.

        Raises:
            ValueError: It is larger than a batch may be, or is not JSON.
        """
        line = encode_json({"custom_id": custom_id, "body": body}) + b"\n"
        if len(line) > self._max_bytes:
            msg = f"row {index} is larger than a batch may be, {len(line):,} bytes"
            raise ValueError(msg)

        section = self._section_for(index, len(line))
        section.count += 1
        section.last = index
        section.rows.append((index, key))
        section.size += len(line)
        section.digest.update(line)
        self.prompt_tokens += len(line) // 4
        self._file.write(line)

    def _section_for(self, index: int, size: int) -> _Section:
        """Return the section that a request goes into: the last one, or a new one."""
        sections = self._sections
        is_full = not sections or (
            sections[-1].count >= self._max_requests or sections[-1].size + size > self._max_bytes
        )

        if is_full:
            start = sections[-1].start + sections[-1].size if sections else 0
            if sections:
                sections[-1].pack()
            sections.append(_Section(start, index, index, hashlib.sha256()))
        return sections[-1]

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The shards, none of them sent."""
        return tuple(
            Shard(
                first=section.first,
                last=section.last,
                count=section.count,
                digest=section.digest.hexdigest()[:_DIGEST_DIGITS],
                rows=pack_rows(section.rows) if section.rows else section.packed,
            )
            for section in self._sections
        )

    def body(self, position: int, fields: Mapping[str, Any]) -> bytes:
        """Return the request that submits a shard, with `requests` as its last field.

        Args:
            position: Which shard.
            fields: The other fields.
        """
        section = self._sections[position]
        body = io.BytesIO()
        body.write(encode_json(fields)[:-1] + b',"requests":[')

        self._file.seek(section.start)
        for number in range(section.count):
            if number:
                body.write(b",")
            body.write(self._file.readline()[:-1])
        body.write(b"]}")
        return body.getvalue()  # no copy: nothing is written afterwards

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the spool."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Delete the file."""
        self.close()
