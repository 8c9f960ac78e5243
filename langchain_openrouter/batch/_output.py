"""The output of a batch: JSONL, Parquet or CSV, written from the part, in the order of the input.

It is written beside and then takes its name, so that a reader never sees half of it.
"""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING, Any

from langchain_openrouter._extras import import_extra
from langchain_openrouter.batch._parquet import to_cell, write_parquet
from langchain_openrouter.batch._row_result import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    from langchain_openrouter.batch._parquet import Results

    Lines: TypeAlias = Callable[[], Iterator[bytes]]

_NESTED = ("output", "raw")


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

    folder = path.resolve().parent  # that of a link's target
    if not (path.parent.is_dir() and folder.is_dir()):
        msg = f"there is no folder {folder}"
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


def write_output(path: Path, results: Results, schema: Any, lines: Lines | None = None) -> None:
    """Write results to a file, which appears, or is replaced, when it is complete.

    Args:
        path: Its suffix says the kind.
        results: Returns them, in order: once, or again where a column needs another type.
        schema: The JSON schema of the outputs, which become typed columns of Parquet; None for
            texts.
        lines: Returns the results as lines of JSONL, where they are there already.
    """
    path = path.resolve()  # a link stays one
    beside = path.with_name(f"{path.name}.tmp")

    try:
        if lines is not None and path.suffix.lower() == ".jsonl":
            _write_lines(beside, lines())
        else:
            _WRITERS[path.suffix.lower()](beside, results, schema)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


# --- JSONL ------------------------------------------------------------------------------------


def _write_jsonl(path: Path, results: Results, schema: Any) -> None:
    del schema
    _write_lines(path, (result.to_json() for result in results()))


def _write_lines(path: Path, lines: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())


# --- CSV --------------------------------------------------------------------------------------


def _write_csv(path: Path, results: Results, schema: Any) -> None:
    del schema

    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        for result in results():
            values = (getattr(result, name) for name in FIELDS)
            writer.writerow(
                to_cell(value) if name in _NESTED else value
                for name, value in zip(FIELDS, values, strict=True)
            )


_WRITERS = {".jsonl": _write_jsonl, ".parquet": write_parquet, ".csv": _write_csv}
