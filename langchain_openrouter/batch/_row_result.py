"""`RowResult`: what came of one row, as a value and as a line of JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_openrouter.batch._requests import Key


@dataclass(slots=True)
class RowResult:
    """What came of one row: an output, or an error.

    The fields, `retry_after` excepted, are also the columns of the output file, in this order.
    """

    key: Key
    """The value of the column `key=`, or the row's index."""
    index: int
    """The row's place in the input, from 0."""
    output: Any = None
    """The answer's text; with a schema, the object as a dict; a vector; a ranking, best first."""
    error_type: str | None = None
    """The name of the error's class; None where the row has an output."""
    error: str | None = None
    """The error's message."""
    is_retryable: bool | None = None
    """Of an error: whether the next run sends the row again."""
    cost: float | None = None
    """What the row cost, USD: all calls of a chain or an agent. Errors can cost something too."""
    input_tokens: int | None = None
    """Of the prompt; all calls of a chain or an agent."""
    output_tokens: int | None = None
    """Of the answer, reasoning included; all calls of a chain or an agent."""
    cached_tokens: int | None = None
    """Of the input tokens, those that were read from the prompt cache."""
    reasoning_tokens: int | None = None
    """Of the output tokens, those of reasoning."""
    provider: str | None = None
    """Who served the row; the last one, where there were several calls."""
    model: str | None = None
    """The served model."""
    generation_id: str | None = None
    """For `Catalog().generation(id)` and support."""
    finish_reason: str | None = None
    """Why the model ended: "stop", "length" where `max_tokens` cut the answer off, ..."""
    latency: float | None = None
    """Seconds from sending the row to its result, retries of the model's included."""
    request_hash: str = ""
    """Of what was sent, without the model's parameters."""
    raw: dict[str, Any] | None = None
    """The message as a dict: with `include_raw=True`, and where it does not fit the schema."""

    retry_after: float | None = None
    """Of an error: seconds the service asks to wait. Not written."""

    @property
    def is_error(self) -> bool:
        """Whether the row has an error."""
        return self.error_type is not None

    def to_json(self) -> bytes:
        """Return the result as a line of JSON, with its line end."""
        record = {name: getattr(self, name) for name in FIELDS}
        if record["raw"] is None:
            del record["raw"]

        try:
            return _encode(record)
        except UnicodeEncodeError:  # a lone surrogate: JSON can hold it escaped
            return json.dumps(without_infinity(record), default=str).encode() + b"\n"
        except ValueError:  # Infinity or NaN, which JSON has not
            return _encode(without_infinity(record))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> RowResult:
        """Return the result of a parsed line; names that this version does not know are dropped.

        So are values of another type, which somebody has written into the file.

        Raises:
            TypeError: It has no key or index.
        """
        return cls(**{n: v for n, v in record.items() if n in FIELDS and _fits(n, v)})


FIELDS = tuple(field.name for field in fields(RowResult) if field.name != "retry_after")


_TEXTS = {"error_type", "error", "provider", "model", "generation_id", "finish_reason"}
_AMOUNTS = {"cost", "latency"}
_COUNTS = {"input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"}
_NUMBERS = _AMOUNTS | _COUNTS
_LARGEST = 2**63  # of an integer of a database or a table


def _fits(name: str, value: Any) -> bool:
    """Tell whether a value is of the type of its field."""
    if value is None:
        return name != "request_hash"
    if name in _TEXTS or name == "request_hash":
        return isinstance(value, str)
    if name in _NUMBERS:
        is_number = isinstance(value, int if name in _COUNTS else int | float)
        return is_number and not isinstance(value, bool) and 0 <= value < _LARGEST

    return isinstance(value, dict) if name == "raw" else True


def _encode(record: dict[str, Any]) -> bytes:
    return _encoder.encode(record).encode() + b"\n"


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str, allow_nan=False)


def without_infinity(value: Any) -> Any:
    """Return a value of JSON with texts in place of Infinity and NaN, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: without_infinity(item) for name, item in value.items()}
    return [without_infinity(item) for item in value] if isinstance(value, list | tuple) else value
