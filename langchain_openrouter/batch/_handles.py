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
from langchain_openrouter.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BatchHandle", "Shard"]

_FORMAT = 1


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
    """The id of the batch. None, although it was sent: the answer was not received. Several, where
    that left more than one batch that may be it; their results tell."""

    @property
    def is_submitted(self) -> bool:
        """Whether the service has it."""
        return bool(self.ids)


@dataclass(frozen=True, slots=True)
class BatchHandle:
    """The batches of one `submit`. It holds no key and no prompt, and survives the process.

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
    def total(self) -> int:
        """How many rows there are."""
        return sum(shard.count for shard in self.shards)

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
        shards = [{**dataclasses.asdict(shard), "ids": list(shard.ids)} for shard in self.shards]
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
        """Write the handle to a file, which is replaced in one step and is on disk afterwards."""
        target = Path(path)
        beside = target.with_name(f"{target.name}.tmp")

        with beside.open("w", encoding="utf-8") as file:
            file.write(self.to_json())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a handle from a file, as `from_dict`."""
        return cls.from_json(Path(path).read_bytes())


def _to_shard(row: Mapping[str, Any]) -> Shard | None:
    numbers = [get_int(row, name) for name in ("first", "last", "count")]
    digest = get_str(row, "digest")
    if None in numbers or digest is None:
        return None
    first, last, count = (number or 0 for number in numbers)
    ids = tuple(item for item in get_list(row, "ids") or () if isinstance(item, str))
    return Shard(first, last, count, digest, get_number(row, "sent_at"), ids)
