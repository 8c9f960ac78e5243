"""The rows of a run that wait for their results, and the results that come."""

from __future__ import annotations

import pickle
import tempfile
from typing import IO, TYPE_CHECKING, Self

from langchain_openrouter import errors
from langchain_openrouter._redaction import redact
from langchain_openrouter.batch._collecting import collecting
from langchain_openrouter.batch._custom_ids import row_check
from langchain_openrouter.batch._prompts import to_messages
from langchain_openrouter.batch._remote_rows import to_results
from langchain_openrouter.batch._steps import atake_steps

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from langchain_openrouter.batch._batch_api import OpenRouterBatches
    from langchain_openrouter.batch._handles import BatchHandle, Shard
    from langchain_openrouter.batch._plan import RowPlan
    from langchain_openrouter.batch._remote_rows import Answers
    from langchain_openrouter.batch._requests import Key, PendingRow
    from langchain_openrouter.batch._row_result import RowResult


class RowFile:
    """The rows of a run in a file without a name, in the order of the input."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        self.count = 0

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Delete the file."""
        self._file.close()

    def add(self, row: PendingRow) -> None:
        """Append a row.

        Raises:
            ValueError: Its input cannot be pickled.
        """
        try:
            data = pickle.dumps(row)
        except Exception as error:
            msg = f"row {row.key!r}: its input cannot be pickled, a {type(row.input).__name__}"
            raise ValueError(msg) from error
        self._file.write(data)
        self.count += 1

    def read(self) -> Iterator[PendingRow]:
        """Yield the rows from the first on."""
        self._file.seek(0)
        for _ in range(self.count):
            row: PendingRow = pickle.load(self._file)  # noqa: S301 - this process wrote it
            yield row

    def keep_after(self, index: int) -> None:
        """Drop the rows up to an index."""
        later = [row for row in self.read() if row.index > index]
        self._file.seek(0)
        self._file.truncate()
        self.count = 0
        for row in later:
            self.add(row)


class AwaitedRows:
    """The rows of a handle, and how many of them the input has; those of one shard in memory.

    Args:
        handle: Of an earlier process.
    """

    def __init__(self, handle: BatchHandle) -> None:
        self._shards = iter(handle.shards)
        self._shard: Shard | None = next(self._shards, None)
        self._keys: dict[int, Key] | None = None
        self.missing = handle.total

    def find(self, key: Key, index: int) -> bool:
        """Tell whether a row is one of them, and count it; to be called with rising indices.

        Raises:
            BatchError: The handle's keys are damaged.
        """
        while self._shard is not None and index > self._shard.last:
            self._shard, self._keys = next(self._shards, None), None
        if self._shard is None:
            return False

        if self._keys is None:
            self._keys = dict(self._shard.row_keys())
        is_found = index in self._keys and self._keys[index] == key
        self.missing -= is_found
        return is_found


async def collect_rows(
    handle: BatchHandle, rows: RowFile, plan: RowPlan, resource: OpenRouterBatches
) -> AsyncGenerator[RowResult]:
    """Yield the results of the rows, shard by shard.

    Raises:
        BatchChangedError: The input is not what it was when it was submitted.
    """
    pending = rows.read()
    row = next(pending, None)

    for shard in handle.shards:
        here: list[PendingRow] = []
        while row is not None and row.index <= shard.last:
            here.append(row)
            row = next(pending, None)
        if not here:
            continue
        answers = await atake_steps(collecting(handle, shard), resource)
        _check_rows(here, answers, shard)
        results = await to_results(here, answers, plan, is_checked=True)
        del answers  # not in memory beside the next

        for source, result in zip(here, results, strict=True):
            if result.error is not None:
                result.error = redact(result.error, _prompt_of(source))
            yield result


def _check_rows(rows: list[PendingRow], answers: Answers, shard: Shard) -> None:
    """Check that the rows are those that were submitted.

    Raises:
        BatchChangedError: They are not.
    """
    for row in rows:
        answer = answers.by_index.get(row.index)
        is_same = answer is None or answer[0].check == row_check(row)
        if row.index < shard.first or not is_same:
            msg = (
                f"row {row.key!r} is not what it was when it was submitted: restore the input and "
                "its order, or collect the batches that run, and begin anew with resume=False"
            )
            raise errors.BatchChangedError(msg)


def _prompt_of(row: PendingRow) -> str:
    """Return the text of a row's input."""
    try:
        return "\n".join(message.text for message in to_messages(row.input))
    except (ValueError, TypeError, NotImplementedError):  # the variables of a prompt
        return "\n".join(str(v) for v in row.input.values()) if isinstance(row.input, dict) else ""
