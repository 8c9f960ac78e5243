"""The output of a batch: JSONL, Parquet or CSV, written from the part, in the order of the input.

It is written beside and then takes its name, so that a reader never sees half of it.
"""

from __future__ import annotations

import csv
import json
import os
from itertools import islice
from typing import TYPE_CHECKING, Any

from langchain_openrouter.batch._extras import import_extra
from langchain_openrouter.batch._row_result import FIELDS, RowResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ROWS_PER_GROUP = 10_000  # of a Parquet file, in memory at a time where it is written
_NESTED = ("output", "raw")
_INTEGERS = {"index", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"}
_FLOATS = {"cost", "latency"}


def validate_output(path: Path) -> None:
    """Check that an output can be written.

    Raises:
        ValueError: It is of no known kind.
        ImportError: It is Parquet, and pyarrow is not installed.
        FileNotFoundError: Its folder does not exist.
    """
    if path.suffix.lower() not in _WRITERS:
        msg = f"output {path.name!r} is of no known kind: {', '.join(_WRITERS)}"
        raise ValueError(msg)
    if path.suffix.lower() == ".parquet":
        import_extra("pyarrow.parquet", "Parquet")

    if not path.parent.is_dir():
        msg = f"there is no folder {path.parent}"
        raise FileNotFoundError(msg)


def refuse_input_as_output(rows: Any, path: Path) -> None:
    """Check that an output does not replace the file of the rows.

    Raises:
        ValueError: It would.
    """
    if not isinstance(rows, str | os.PathLike):
        return
    names = (path, path.with_name(f"{path.name}.part"))
    if any(name.exists() and os.path.exists(rows) and name.samefile(rows) for name in names):  # noqa: PTH110 - a text too
        msg = f"output {path.name!r} is the file of the rows: choose another one"
        raise ValueError(msg)


def write_output(path: Path, results: Iterator[RowResult], schema: Any) -> None:
    """Write results to a file, which appears, or is replaced, when it is complete.

    Args:
        path: Its suffix says the kind.
        results: In order.
        schema: The JSON schema of the outputs, which become typed columns of Parquet; None for
            texts.
    """
    beside = path.with_name(f"{path.name}.tmp")
    try:
        _WRITERS[path.suffix.lower()](beside, results, schema)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


# --- JSONL ------------------------------------------------------------------------------------


def _write_jsonl(path: Path, results: Iterator[RowResult], schema: Any) -> None:
    del schema
    with path.open("wb") as file:
        for result in results:
            file.write(result.to_json())
        file.flush()
        os.fsync(file.fileno())


# --- CSV --------------------------------------------------------------------------------------


def to_cell(value: Any) -> Any:
    """Return an output for a column of texts: a text as it is, all else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _write_csv(path: Path, results: Iterator[RowResult], schema: Any) -> None:
    del schema

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        for result in results:
            values = (getattr(result, name) for name in FIELDS)
            writer.writerow(
                to_cell(value) if name in _NESTED else value
                for name, value in zip(FIELDS, values, strict=True)
            )


# --- Parquet ----------------------------------------------------------------------------------


def _write_parquet(path: Path, results: Iterator[RowResult], schema: Any) -> None:
    pa = import_extra("pyarrow", "Parquet")
    parquet = import_extra("pyarrow.parquet", "Parquet")

    first = next(results, None)
    key_type = pa.int64() if first is None or isinstance(first.key, int) else pa.string()
    output_type = to_output_type(schema, is_vector=_is_vector(first))
    fields = [(name, _column_type(pa, name, key_type, output_type)) for name in FIELDS]
    arrow_schema = pa.schema(fields)

    remaining = results if first is None else _chain(first, results)
    with parquet.ParquetWriter(path, arrow_schema, compression="zstd") as writer:
        while group := list(islice(remaining, _ROWS_PER_GROUP)):
            columns = {name: to_arrow_column(name, group, output_type) for name in FIELDS}
            writer.write_table(pa.table(columns, schema=arrow_schema))


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
        return _to_arrow_type(pa, schema, schema.get("$defs") or {}) or pa.string()
    return pa.list_(pa.float32()) if is_vector else pa.string()


def _chain(first: RowResult, rest: Iterator[RowResult]) -> Iterator[RowResult]:
    yield first
    yield from rest


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
    properties, items = schema.get("properties"), schema.get("items")
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
    """Return a schema with its reference followed, and without "or null"."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, dict):
            return {}
        options = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
        if "$ref" in schema:
            schema = definitions.get(str(schema["$ref"]).rpartition("/")[2])
        elif len(options) == 1:
            schema = options[0]
        else:
            return schema

    return {}


_DEEPEST = 16
_SCALARS = {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool_"}


def _arrow_value(name: str, result: RowResult, output_type: Any, pa: Any) -> Any:
    value = getattr(result, name)
    if name == "raw":
        return None if value is None else json.dumps(value, ensure_ascii=False)
    return _fit(value, output_type, pa) if name == "output" else value


def _fit(value: Any, kind: Any, pa: Any) -> Any:
    """Return an output as a value of a type; None for what does not fit it."""
    if value is None or pa.types.is_string(kind):
        return to_cell(value)
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
        return float(value)
    return int(value) if pa.types.is_integer(kind) and value == int(value) else None


_WRITERS = {".jsonl": _write_jsonl, ".parquet": _write_parquet, ".csv": _write_csv}
