"""The output of a batch as Parquet: typed columns, and texts where a type cannot hold a value."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_openrouter._extras import import_extra
from langchain_openrouter._json import get_dict, get_list
from langchain_openrouter.batch._row_result import FIELDS, RowResult, without_infinity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Results: TypeAlias = Callable[[], Iterator[RowResult]]
"""Returns the results of a batch, in order, each time anew."""
_ROWS_PER_GROUP = 10_000  # in memory at a time where a file is written
_INTEGERS = {"index", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"}
_FLOATS = {"cost", "latency"}
_INTEGER_END = 1 << 63
_LARGEST_FLOAT = 1 << 1023


def to_cell(value: Any) -> Any:
    """Return an output for a column of texts: a text as it is, all else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(without_infinity(value), ensure_ascii=False, default=str)


def write_parquet(path: Path, results: Results, schema: Any) -> None:
    """Write results as Parquet.

    A column whose type cannot hold a value, such as an integer of more than 64 bits, or a field
    that the schema does not have, becomes one of texts, outputs as JSON: all of it, with a warning.
    """
    types = _first_types(results(), schema)
    for _ in range(len(types)):
        try:
            _write_typed(path, results(), types)
        except _UnfitError as error:
            warnings.warn(
                f"the column `{error.column}` is written as texts: {types[error.column]} cannot "
                f"hold the value of row {error.key!r}",
                stacklevel=2,
            )
            types[error.column] = import_extra("pyarrow", "Parquet").string()
        else:
            return

    _write_typed(path, results(), types)


class _UnfitError(Exception):
    def __init__(self, column: str, key: Any) -> None:
        super().__init__(column)
        self.column, self.key = column, key


def _first_types(results: Iterator[RowResult], schema: Any) -> dict[str, Any]:
    """Return the types of key and output, by the first row that has an output."""
    pa = import_extra("pyarrow", "Parquet")
    first = result = next(results, None)
    while result is not None and result.output is None:
        result = next(results, None)

    is_number = first is None or isinstance(first.key, int)
    output = to_output_type(schema, is_vector=_is_vector(result))
    return {"key": pa.int64() if is_number else pa.string(), "output": output}


def _write_typed(path: Path, results: Iterator[RowResult], types: dict[str, Any]) -> None:
    pa = import_extra("pyarrow", "Parquet")
    parquet = import_extra("pyarrow.parquet", "Parquet")
    key_type, output_type = types["key"], types["output"]
    fields = [(name, _column_type(pa, name, key_type, output_type)) for name in FIELDS]
    arrow_schema = pa.schema(fields)

    with parquet.ParquetWriter(path, arrow_schema, compression="zstd") as writer:
        while group := list(islice(results, _ROWS_PER_GROUP)):
            _check_fit(group, types, pa)
            columns = {name: to_arrow_column(name, group, output_type) for name in FIELDS}
            if pa.types.is_string(key_type):
                columns["key"] = [_to_utf8(str(result.key)) for result in group]
            writer.write_table(pa.table(columns, schema=arrow_schema))


def _check_fit(results: Sequence[RowResult], types: dict[str, Any], pa: Any) -> None:
    """Check that the types can hold the values.

    Raises:
        _UnfitError: One cannot.
    """
    for result in results:
        for name, kind in types.items():
            if not _fits(getattr(result, name), kind, pa):
                raise _UnfitError(name, result.key)


def _fits(value: Any, kind: Any, pa: Any) -> bool:
    if value is None or pa.types.is_string(kind):
        return True
    if isinstance(value, dict) and pa.types.is_struct(kind):
        is_whole = value.keys() <= {part.name for part in kind}
        return is_whole and all(_fits(value.get(part.name), part.type, pa) for part in kind)
    if isinstance(value, list) and pa.types.is_list(kind):
        return all(_fits(item, kind.value_type, pa) for item in value)

    return _fit_scalar(value, kind, pa) is not None


def to_arrow_column(name: str, results: Sequence[RowResult], output_type: Any) -> Any:
    """Return a field of results as an array of pyarrow.

    Args:
        name: The field; not the key, whose type is that of the rows' keys.
        results: The results.
        output_type: Of `output`, see `to_output_type`.
    """
    pa = import_extra("pyarrow", "Parquet")
    values = [_arrow_value(name, result, output_type, pa) for result in results]
    if name == "key":
        return values
    return pa.array(values, _column_type(pa, name, pa.int64(), output_type))


def to_output_type(schema: Any, *, is_vector: bool = False) -> Any:
    """Return the type of outputs in pyarrow: a struct by the JSON schema, a vector, or texts."""
    pa = import_extra("pyarrow", "Parquet")
    if schema is not None:
        return _to_arrow_type(pa, schema, get_dict(schema, "$defs") or {}) or pa.string()
    return pa.list_(pa.float32()) if is_vector else pa.string()


def _column_type(pa: Any, name: str, key_type: Any, output_type: Any) -> Any:
    if name == "key":
        return key_type
    if name == "output":
        return output_type
    if name in _INTEGERS:
        return pa.int64()
    if name in _FLOATS:
        return pa.float64()

    return pa.bool_() if name == "is_retryable" else pa.string()


def _is_vector(first: RowResult | None) -> bool:
    if first is None or not isinstance(first.output, list) or not first.output:
        return False
    return all(isinstance(number, float) for number in first.output)


def _to_arrow_type(pa: Any, schema: Any, definitions: Any, depth: int = 0) -> Any:
    """Return the type of a JSON schema; None for what has none, and is written as JSON."""
    schema = _resolve(schema, definitions)
    if depth > _DEEPEST:
        return None
    properties, items = get_dict(schema, "properties"), schema.get("items")
    kind = schema.get("type")

    if kind == "object" and properties:
        types = (
            (name, _to_arrow_type(pa, part, definitions, depth + 1))
            for name, part in properties.items()
        )
        return pa.struct([(name, item_type or pa.string()) for name, item_type in types])
    if kind == "array":
        item_type = _to_arrow_type(pa, items, definitions, depth + 1)
        return None if item_type is None else pa.list_(item_type)
    return getattr(pa, _SCALARS[kind])() if kind in _SCALARS else None


def _resolve(schema: Any, definitions: Any) -> dict[str, Any]:
    """Return a schema with its reference followed, and without "or null"; its type is a text."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, dict):
            return {}
        options = [part for part in get_list(schema, "anyOf") or () if part != {"type": "null"}]
        kinds = [kind for kind in get_list(schema, "type") or () if kind != "null"]
        if "$ref" in schema:
            schema = definitions.get(str(schema["$ref"]).rpartition("/")[2])
        elif len(options) == 1:
            schema = options[0]
        elif isinstance(schema.get("type"), str | None):
            return schema
        else:
            schema = {**schema, "type": kinds[0] if len(kinds) == 1 else None}

    return {}


_DEEPEST = 16
_SCALARS = {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool_"}


def _arrow_value(name: str, result: RowResult, output_type: Any, pa: Any) -> Any:
    value = getattr(result, name)
    if name == "raw":
        return None if value is None else _to_utf8(json.dumps(value, ensure_ascii=False))
    if name == "output":
        return _fit(value, output_type, pa)
    if name in _INTEGERS:
        return _fit_scalar(value, pa.int64(), pa)

    return _to_utf8(value) if isinstance(value, str) else value


def _fit(value: Any, kind: Any, pa: Any) -> Any:
    """Return an output as a value of a type; None for what does not fit it."""
    if value is None or pa.types.is_string(kind):
        return None if value is None else _to_utf8(to_cell(value))
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {part.name: _fit(value.get(part.name), part.type, pa) for part in kind}
    if isinstance(value, list) and pa.types.is_list(kind):
        return [_fit(item, kind.value_type, pa) for item in value]
    return _fit_scalar(value, kind, pa)


def _fit_scalar(value: Any, kind: Any, pa: Any) -> Any:
    if isinstance(value, bool):
        return value if pa.types.is_boolean(kind) else None
    if not isinstance(value, int | float):
        return None
    if pa.types.is_floating(kind):
        return float(value) if isinstance(value, float) or abs(value) < _LARGEST_FLOAT else None

    is_whole = isinstance(value, int) or (math.isfinite(value) and value == int(value))
    is_held = pa.types.is_integer(kind) and is_whole and -_INTEGER_END <= value < _INTEGER_END
    return int(value) if is_held else None


def _to_utf8(text: str) -> str:
    """Return a text with a mark in place of lone surrogates, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()
