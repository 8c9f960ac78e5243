"""The rows of a batch, read lazily: a list, an iterator, a data frame, JSONL, CSV or Parquet."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sized
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

from langchain_openrouter._extras import import_extra

Rows: TypeAlias = "str | Path | Iterable[Any] | Any"
"""A path of a file (`.jsonl`, `.ndjson`, `.csv`, `.tsv`, each also with `.gz`, or `.parquet`), a
pandas or polars data frame, a table or data set of pyarrow, a data set of Ray, or any iterable of
rows."""

_BLOCK = 1 << 20  # bytes read at a time where lines are counted
_LONGEST_FIELD = 1 << 30  # characters; the default of Python's csv is 131,072
_ROWS_PER_BATCH = 1024  # of a data frame or a Parquet file, in memory at a time


class Source(NamedTuple):
    """The rows of a batch."""

    rows: Iterator[Any]
    """Read as they are needed, each once."""
    total: int | None
    """How many there are; None where that is not known before they are read."""


def open_rows(rows: Rows) -> Source:
    """Open the rows of a batch.

    Raises:
        ValueError: A file is of no known kind.
        TypeError: They are no rows.
        FileNotFoundError: There is no such file.
        ImportError: It is a Parquet file, and pyarrow is not installed.
    """
    if isinstance(rows, str | Path):
        return _open_file(Path(rows))

    library = type(rows).__module__.partition(".")[0]
    if library in _FRAMES:
        return _FRAMES[library](rows)
    if isinstance(rows, Mapping | bytes) or not isinstance(rows, Iterable):
        msg = f"rows are a path, a data frame or an iterable of rows, not {type(rows).__name__}"
        raise TypeError(msg)
    return Source(iter(rows), len(rows) if isinstance(rows, Sized) else None)


# --- data frames ------------------------------------------------------------------------------


def _open_pandas(frame: Any) -> Source:
    def read() -> Iterator[Any]:
        for start in range(0, len(frame), _ROWS_PER_BATCH):
            yield from frame.iloc[start : start + _ROWS_PER_BATCH].to_dict("records")

    return Source(read() if hasattr(frame, "columns") else iter(frame.tolist()), len(frame))


def _open_polars(frame: Any) -> Source:
    if hasattr(frame, "collect"):  # a lazy one
        frame = frame.collect()
    rows = frame.iter_rows(named=True) if hasattr(frame, "iter_rows") else iter(frame)
    return Source(rows, len(frame))


def _open_arrow(table: Any) -> Source:
    def read() -> Iterator[Any]:
        for batch in table.to_batches():
            for start in range(0, batch.num_rows, _ROWS_PER_BATCH):
                yield from batch.slice(start, _ROWS_PER_BATCH).to_pylist()

    total = table.num_rows if hasattr(table, "num_rows") else table.count_rows()
    return Source(read(), total)


def _open_ray(dataset: Any) -> Source:
    def read() -> Iterator[Any]:
        options = dataset.context.execution_options
        before, options.preserve_order = options.preserve_order, True  # an index is a row's key
        try:
            yield from dataset.iter_rows()
        finally:
            options.preserve_order = before

    return Source(read(), None)  # counting would run the whole pipeline


_FRAMES = {
    "pandas": _open_pandas,
    "polars": _open_polars,
    "pyarrow": _open_arrow,
    "ray": _open_ray,
}


# --- files ------------------------------------------------------------------------------------


def _open_file(path: Path) -> Source:
    name = path.name.lower().removesuffix(".gz")
    reader = _FILES.get(Path(name).suffix)
    if reader is None:
        msg = f"{path.name!r} is of no known kind: .jsonl, .ndjson, .csv, .tsv or .parquet"
        raise ValueError(msg)
    if not path.exists():
        msg = f"there is no file {path}"
        raise FileNotFoundError(msg)

    return reader(path)


def _open_text(path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _open_jsonl(path: Path) -> Source:
    def read() -> Iterator[Any]:
        with _open_text(path) as file:
            for number, line in enumerate(_decoded(file, path), start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:  # the latter of very deep ones
                    msg = f"{path.name}, line {number}, is not JSON: {error}"
                    raise ValueError(msg) from None
                yield row

    return Source(read(), _count_lines(path))


def _decoded(file: IO[str], path: Path) -> Iterator[str]:
    """Yield the lines of a file.

    Raises:
        ValueError: It is not UTF-8.
    """
    number = 0
    try:
        for number, line in enumerate(file, start=1):  # noqa: B007 - of the message
            yield line
    except UnicodeDecodeError as error:
        msg = f"{path.name}, after line {number}, is not UTF-8: {error.reason}"
        raise ValueError(msg) from None


def _open_csv(path: Path) -> Source:
    is_tabbed = path.name.lower().removesuffix(".gz").endswith(".tsv")
    delimiter = "\t" if is_tabbed else ","

    def read() -> Iterator[Any]:
        with _open_text(path) as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            with _naming(path, reader.reader):
                for row in reader:
                    _check_length(row.pop(None, None), path, reader.line_num)
                    yield row

    with _open_text(path) as file:
        reader = csv.reader(file, delimiter=delimiter)
        with _naming(path, reader):
            records = sum(1 for record in reader if record)
    return Source(read(), max(0, records - 1))


def _check_length(extra: Any, path: Path, line: int) -> None:
    """Refuse a record with more fields than the header: the prompt would lack a part of a text.

    Raises:
        ValueError: There are some, and they are not empty.
    """
    if any(extra or ()):
        msg = f"{path.name}, line {line}, has more fields than the header: quote texts with commas"
        raise ValueError(msg)


@contextlib.contextmanager
def _naming(path: Path, reader: Any) -> Iterator[None]:
    """Name the file and the line where a CSV file cannot be read; allow long fields.

    The limit is that of the process: it stays raised, since others may read meanwhile.

    Raises:
        ValueError: It cannot be read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))

    try:
        yield
    except UnicodeDecodeError as error:
        msg = f"{path.name}, after line {reader.line_num}, is not UTF-8: {error.reason}"
        raise ValueError(msg) from None
    except csv.Error as error:
        msg = f"{path.name}, line {reader.line_num}, is not CSV: {error}"
        raise ValueError(msg) from None


def _open_parquet(path: Path) -> Source:
    parquet = import_extra("pyarrow.parquet", "Parquet")
    total = parquet.read_metadata(path).num_rows

    def read() -> Iterator[Any]:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH):
                yield from batch.to_pylist()

    return Source(read(), total)


_FILES = {
    ".jsonl": _open_jsonl,
    ".ndjson": _open_jsonl,
    ".csv": _open_csv,
    ".tsv": _open_csv,
    ".parquet": _open_parquet,
}


def _count_lines(path: Path) -> int | None:
    """Return the number of lines that are not empty, as nearly as a fast count tells it."""
    if path.suffix.lower() == ".gz":
        return None

    count, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")
