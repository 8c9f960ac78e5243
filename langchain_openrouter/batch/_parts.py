"""`Part`: the append-only file in which each result is, at once, before the output is written.

`<output>.part` is JSON, line by line: first a header, which says what the batch is, then a line for
each result as it came. A row that was sent again has several lines, of which the last one counts. A
line is written by one `write`, so that a killed process leaves at most a torn last line, which is
cut off when the part is opened again. Every second, and at the end, the file is also flushed to the
disk itself, for a power cut.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
import weakref
from typing import IO, TYPE_CHECKING, Any, NoReturn

from langchain_openrouter import errors
from langchain_openrouter.batch._requests import changes_between
from langchain_openrouter.batch._row_index import Known, RowIndex, State
from langchain_openrouter.batch._row_result import RowResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from langchain_openrouter.batch._requests import Key

_FORMAT = 1
_HEADER = b'{"langchain_openrouter_batch": '  # how a part begins
_ANSWER = (
    "request_hash",
    "generation_id",
    "error_type",
    "finish_reason",
    "cost",
    "input_tokens",
    "output_tokens",
    "latency",
)
_FLUSH_SECONDS = 1.0
_INDEX = b',"index":'  # of a line, after its key
_BLOCK = 1 << 20
_LARGEST_INDEX = 1 << 62  # SQLite's integers have 64 bits
_BINARY = getattr(os, "O_BINARY", 0)  # of Windows


def to_state(result: RowResult) -> State:
    """Return the state of a row with this result."""
    if not result.is_error:
        return State.DONE
    return State.FAILED if result.is_retryable else State.REFUSED


class Part:
    """The results of a batch so far, in a file.

    Args:
        path: The part.
        description: What the batch is, see `describe_batch`.
        resume: Go on with the part that is there; else begin anew: the first result replaces it.
        on_earlier: Called with each result that earlier runs left, superseded ones too.

    Raises:
        BatchChangedError: The part has results of another model, prompt, schema or key.
        BatchError: The file is no part of a batch.
    """

    def __init__(
        self, path: Path, description: Mapping[str, Any], *, resume: bool, on_earlier: Any = None
    ) -> None:
        self.path = path
        self.index = RowIndex(has_unique_keys=description["key"] is None)
        self._description = description

        self._file = self._end = self._own_from = -1
        if resume:
            self._open(on_earlier)
        self.index.end_of_earlier()
        self._flushed = time.monotonic()

    @property
    def has_begun(self) -> bool:
        """Whether the file is this batch's: anew, it replaces an earlier one with its first row."""
        return self._file >= 0

    def begin(self) -> None:
        """Replace the part of an earlier batch, if it was not done."""
        if not self.has_begun:
            self.path.unlink(missing_ok=True)
            self._open(None)

    def _open(self, on_earlier: Any) -> None:
        is_new = not self.path.exists() or self.path.stat().st_size == 0
        # Open as long as somebody reads the results, and never an unclosed file.
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _BINARY, 0o644)
        weakref.finalize(self, os.close, self._file)

        if not is_new:
            is_new = not self._load(self._description, on_earlier)
        self._end = self._own_from = os.fstat(self._file).st_size
        if is_new:
            header = {"langchain_openrouter_batch": _FORMAT, **self._description}
            self._write(json.dumps(header).encode() + b"\n")
            self.flush()

    def _load(self, description: Mapping[str, Any], on_earlier: Any) -> bool:
        """Read what is there, and cut a torn last line off; tell whether there is a header."""
        with self.path.open("rb", buffering=_BLOCK) as file:
            header = file.readline()
            start = len(header) if header.endswith(b"\n") else 0
            if not start and not _HEADER.startswith(header[: len(_HEADER)]):
                self._refuse_file()  # it is no part that a crash has cut either
            changes = self._read_changes(header, description) if start else []

            for line in file:
                if not line.endswith(b"\n"):
                    break
                if changes:
                    self._refuse(changes)
                if (result := _parse_line(line)) is not None:
                    state = to_state(result)
                    self.index.put(result.key, result.index, result.request_hash, state, start)
                    if on_earlier is not None:
                        on_earlier(result)
                start += len(line)

        if changes:  # of a batch that ended before its first result: there is nothing to mix
            start = 0
        os.ftruncate(self._file, start)
        return start > 0

    def _read_changes(self, line: bytes, description: Mapping[str, Any]) -> list[str]:
        """Return what another batch than the header's is described by.

        Raises:
            BatchError: It is no header.
        """
        try:
            header = json.loads(line)
            is_known = header.pop("langchain_openrouter_batch") == _FORMAT
        except (ValueError, KeyError, AttributeError, TypeError):
            is_known = False

        if not is_known:
            self._refuse_file()
        return changes_between(header, description)

    def _refuse_file(self) -> NoReturn:
        msg = f"{self.path} is not the part of a batch of this version: move it away"
        raise errors.BatchError(msg)

    def _refuse(self, changes: list[str]) -> NoReturn:
        msg = (
            f"{self.path.name} is of another batch: {'; '.join(changes)}. Choose another "
            "output, or begin anew with resume=False"
        )
        raise errors.BatchChangedError(msg)

    def visit(self, key: Key, index: int, request_hash: str) -> Known | None:
        """Note that the input has a row; return what earlier runs left of it.

        Raises:
            BatchError: The input has two rows with this key.
            BatchChangedError: The row was sent with other content.
        """
        known = self.index.visit(key, index, request_hash)
        if known is None or known.state is State.PENDING:
            return None
        if known.request_hash != request_hash:
            msg = (
                f"row {key!r} is not what it was when {self.path.name} was written: the input or a "
                "callable prompt has changed. Choose another output, or begin anew with "
                "resume=False"
            )
            raise errors.BatchChangedError(msg)

        return known

    def append(self, result: RowResult) -> None:
        """Write a result."""
        self.begin()
        start = self._end
        self._write(result.to_json())
        self.index.put(result.key, result.index, result.request_hash, to_state(result), start)

        now = time.monotonic()
        if now - self._flushed >= _FLUSH_SECONDS:
            self._flushed = now
            self.flush()

    def holds(self, result: RowResult) -> bool:
        """Tell whether an earlier run has written this answer to a row already."""
        start = self.index.find_start(result.key)
        if start is None:
            return False

        with self._open_reader() as file:
            file.seek(start)
            earlier = _parse_line(file.readline())
        return earlier is not None and _answer_of(earlier) == _answer_of(result)

    def _write(self, line: bytes) -> None:
        """Write a line, or none of it."""
        written = 0
        try:
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError:  # a full disk
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise

        self._end += written

    def results(self) -> Iterator[RowResult]:
        """Yield the last result of each row, in the order of the input."""
        for position, _, line in self._read():
            yield _to_result(line, position)

    def lines(self) -> Iterator[bytes]:
        """Yield the results like `results`, as lines of JSON: those of this run as they are."""
        for position, start, line in self._read():
            name = line.find(_INDEX)
            if start >= self._own_from and line.startswith(b"%b%d," % (_INDEX, position), name):
                yield line
            else:
                yield _to_result(line, position).to_json()

    def _read(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield each row's position, and where its line begins in the part, with the line."""
        if not self.has_begun:
            return

        at = 0
        with self._open_reader() as file:
            for position, start in self.index.starts():
                if start != at:
                    file.seek(start)
                line = file.readline()
                at = start + len(line)
                yield position, start, line

    def _open_reader(self) -> IO[bytes]:
        """Open the part for one reader: others may read it, each at a position of its own."""
        if hasattr(os, "pread"):  # also where the part was replaced since
            return io.BufferedReader(_FileReader(self._file))
        return self.path.open("rb")

    def flush(self) -> None:
        """Write what the system holds to the disk."""
        if not self.has_begun:
            return
        os.fsync(self._file)


class _FileReader(io.RawIOBase):
    """Reads an open file without its position, which all have in common; does not close it."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET:
            self._position = offset
        elif whence == os.SEEK_CUR:
            self._position += offset
        else:
            self._position = os.fstat(self._file).st_size + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        data = os.pread(self._file, len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _to_result(line: bytes, position: int) -> RowResult:
    result = RowResult.from_record(json.loads(line))
    result.index = position
    return result


def _answer_of(result: RowResult) -> list[Any]:
    """Return what tells one answer to a row from another."""
    return [getattr(result, name) for name in _ANSWER]


def _parse_line(line: bytes) -> RowResult | None:
    """Return the result of a line; None for one that was damaged, which is no result."""
    try:
        result = RowResult.from_record(json.loads(line))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return result if _is_key(result.key) and _is_index(result.index) else None


def _is_key(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _is_index(value: Any) -> bool:
    return _is_key(value) and isinstance(value, int) and 0 <= value < _LARGEST_INDEX


class MemoryPart:
    """The results of a batch without an output, in memory."""

    path = None
    has_begun = True

    def __init__(self, description: Mapping[str, Any]) -> None:
        self.index = RowIndex(has_unique_keys=description["key"] is None)
        self._results: dict[str, RowResult] = {}

    def visit(self, key: Key, index: int, request_hash: str) -> Known | None:
        """Note that the input has a row.

        Raises:
            BatchError: The input has two rows with this key.
        """
        return self.index.visit(key, index, request_hash)

    def holds(self, result: RowResult) -> bool:
        """Return False: there is no earlier run."""
        del result
        return False

    def append(self, result: RowResult) -> None:
        """Keep a result."""
        self._results[json.dumps(result.key)] = result
        self.index.put(result.key, result.index, result.request_hash, to_state(result), 0)

    def results(self) -> Iterator[RowResult]:
        """Yield the results, in the order of the input."""
        yield from sorted(self._results.values(), key=lambda result: result.index)

    def flush(self) -> None:
        """Do nothing."""

    def begin(self) -> None:
        """Do nothing."""
