"""`BatchHandle`: what finds the batches of a submission again, as a small JSON value."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langchain_openrouter._http.urls import validate_base_url
from langchain_openrouter._json import get_dict, get_dicts, get_int, get_list, get_number, get_str
from langchain_openrouter.batch._row_keys import unpack_rows
from langchain_openrouter.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_openrouter.batch._row_keys import Row

__all__ = ["BatchHandle", "Shard"]

_FORMAT = 2
_ROWS_FILE = "rows_file"
_MAX_INLINE = 100_000  # characters of keys in the file of a handle; more are beside it


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows that are submitted as one batch."""

    first: int
    """The index of its first row."""
    last: int
    count: int
    """How many rows it has."""
    digest: str
    """Of its requests."""
    sent_at: float | None = None
    """When it was sent, Unix time in seconds; None before that."""
    ids: tuple[str, ...] = ()
    """The id of the batch. None, although it was sent: the answer was not received."""
    candidates: tuple[str, ...] = ()
    """Ids of batches one of which may be it, where the answer was not received, and which run:
    their results will tell. It may be none of them, and they somebody else's."""
    rows: str = field(default="", compare=False, repr=False)
    """The keys of its rows, see `_row_keys.py`; the digest covers them."""

    @property
    def is_submitted(self) -> bool:
        """Whether it is certain that the service has it."""
        return bool(self.ids)

    def row_keys(self) -> list[Row]:
        """Return the index and the key of each row.

        Raises:
            BatchError: They are damaged.
        """
        return unpack_rows(self.rows, self.first, self.count)


@dataclass(frozen=True, slots=True)
class BatchHandle:
    """The batches of one `submit`. It survives the process.

    It holds the values of the key column, and neither API keys nor prompts.

    Example:
        ```python
        handle = BatchHandle.from_json(handle.to_json())
        ```
    """

    run: str
    """The id of the submission: the `custom_id` of each of its requests begins with it."""
    base_url: str
    """The API that has the batches."""
    endpoint: str
    """The API that the requests are for, such as `/v1/chat/completions`."""
    model: str
    """The slug, without `:batch`."""
    shards: tuple[Shard, ...]
    created_at: float
    """Unix time in seconds."""
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the model, the prompt, the schema and the name of the key column."""
    key_fingerprint: str = ""
    """The first digits of the sha256 of the key that submits."""
    method: str | None = None
    """That of the structured output, where the model chose it."""
    prompt_price: float | None = None
    """USD per token, of the batch variant."""
    completion_price: float | None = None
    estimate: float | None = None
    """What the batches may cost at most by the estimate, USD; None where answers have no limit."""

    is_collected: bool = False
    """Whether all results were read, and written where they belong."""

    @property
    def ids(self) -> list[str]:
        """The ids of the batches, in the order of the rows."""
        return [batch_id for shard in self.shards for batch_id in shard.ids]

    @property
    def candidates(self) -> list[str]:
        """The ids of batches that may be of this submission, or somebody else's, and run."""
        return [batch_id for shard in self.shards for batch_id in shard.candidates]

    @property
    def total(self) -> int:
        """How many rows there are."""
        return sum(shard.count for shard in self.shards)

    @property
    def is_sent(self) -> bool:
        """Whether any of them was sent, and may be at the service."""
        return any(s.sent_at is not None or s.ids or s.candidates for s in self.shards)

    @property
    def is_submitted(self) -> bool:
        """Whether the service has all of them."""
        return all(shard.is_submitted for shard in self.shards)

    def with_shard(self, position: int, shard: Shard) -> Self:
        """Return a handle with another state of a shard."""
        shards = (*self.shards[:position], shard, *self.shards[position + 1 :])
        return replace(self, shards=shards)

    # --- JSON -----------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the handle as a JSON object."""
        shards = [
            {**dataclasses.asdict(s), "ids": list(s.ids), "candidates": list(s.candidates)}
            for s in self.shards
        ]
        fields = {**dataclasses.asdict(self), "shards": shards}
        return {"langchain_openrouter_batch_handle": _FORMAT, **fields}

    def to_json(self) -> str:
        """Return the handle as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Return the handle of a JSON object.

        Raises:
            BatchError: It is no handle of this version.
            ValueError: Its `base_url` is not valid.
        """
        shards = [_to_shard(row) for row in get_dicts(value, "shards")]
        texts = [get_str(value, name) for name in ("run", "base_url", "endpoint", "model")]
        is_known = get_int(value, "langchain_openrouter_batch_handle") == _FORMAT
        if not is_known or None in texts or None in shards or not shards:
            msg = "this is no handle of a batch, or of another version of this package"
            raise BatchError(msg)
        if get_str(value, _ROWS_FILE) is not None:
            msg = "the keys of this handle's rows are in a file beside it: use `BatchHandle.load`"
            raise BatchError(msg)

        run, base_url, endpoint, model = (str(text) for text in texts)
        hashes = get_dict(value, "fingerprint") or {}
        return cls(
            run=run,
            base_url=validate_base_url(base_url),
            endpoint=endpoint,
            model=model,
            shards=tuple(shard for shard in shards if shard is not None),
            created_at=get_number(value, "created_at") or 0.0,
            fingerprint={name: str(text) for name, text in hashes.items()},
            key_fingerprint=get_str(value, "key_fingerprint") or "",
            method=get_str(value, "method"),
            prompt_price=get_number(value, "prompt_price"),
            completion_price=get_number(value, "completion_price"),
            estimate=get_number(value, "estimate"),
            is_collected=value.get("is_collected") is True,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the handle of a JSON text, as `from_dict`."""
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        return cls.from_dict(value)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the handle to a file, which is replaced in one step and is on disk afterwards.

        The keys of many rows are written once, to `<path>.<run>.rows`, which belongs beside it.
        """
        target = Path(path)
        value = self.to_dict()

        if sum(len(shard.rows) for shard in self.shards) > _MAX_INLINE:
            rows = target.with_name(f"{target.name}.{self.run}.rows")
            if not rows.exists():
                _write_file(rows, json.dumps([shard.rows for shard in self.shards]))
            for shard in value["shards"]:
                del shard["rows"]
            value[_ROWS_FILE] = rows.name
        _write_file(target, json.dumps(value))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a handle from a file, as `from_dict`.

        Raises:
            BatchError: It is no handle of this version, or the file with its keys is not beside it.
        """
        target = Path(path)
        try:
            value = json.loads(target.read_bytes())
        except ValueError:
            value = None

        if value is None:
            msg = f"{target} is no handle of a batch, or is damaged"
            raise BatchError(msg)
        name = get_str(value, _ROWS_FILE)
        if name is not None:
            value = {**value, "shards": _with_rows(value, target.with_name(Path(name).name))}
            del value[_ROWS_FILE]
        return cls.from_dict(value)


def _with_rows(value: Any, path: Path) -> list[dict[str, Any]]:
    """Return the shards of a handle with the keys of their rows, which are in another file.

    Raises:
        BatchError: It is not there, or is not of this handle.
    """
    shards = get_dicts(value, "shards")
    try:
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError):
        rows = None

    if not isinstance(rows, list) or len(rows) != len(shards):
        msg = f"{path.name}, with the keys of the rows, belongs beside the file of the handle"
        raise BatchError(msg)
    return [{**shard, "rows": packed} for shard, packed in zip(shards, rows, strict=True)]


def _write_file(path: Path, text: str) -> None:
    """Write a file in one step; it is on disk afterwards."""
    beside = path.with_name(f"{path.name}.tmp")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())

    beside.replace(path)
    if os.name != "nt":  # where a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # else a power cut could bring the file back that was replaced
        except OSError:  # of a file system that has no such thing
            pass
        finally:
            os.close(folder)


def _to_shard(row: Mapping[str, Any]) -> Shard | None:
    numbers = [get_int(row, name) for name in ("first", "last", "count")]
    digest = get_str(row, "digest")
    if None in numbers or digest is None:
        return None
    first, last, count = (number or 0 for number in numbers)

    ids, candidates = (
        tuple(item for item in get_list(row, name) or () if isinstance(item, str))
        for name in ("ids", "candidates")
    )
    rows = get_str(row, "rows") or ""
    return Shard(first, last, count, digest, get_number(row, "sent_at"), ids, candidates, rows)
