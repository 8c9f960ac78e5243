"""`RowIndex`: which rows of a batch are done, and where in the part; on disk, not in memory."""

from __future__ import annotations

import json
import sqlite3
import weakref
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_openrouter.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_openrouter.batch._requests import Key

_CACHE_KIB = 8192
_ROWS_PER_WRITE = 256


class State(IntEnum):
    """What is known of a row."""

    PENDING = 0
    DONE = 1
    FAILED = 2
    """With an error that may pass."""
    REFUSED = 3
    """With an error that will not."""


class Known(NamedTuple):
    """What an earlier run left of a row."""

    state: State
    request_hash: str


class RowIndex:
    """A table of rows in a temporary SQLite database, which is private and spills to disk.

    Args:
        has_unique_keys: Whether keys cannot repeat, as indices: then a row is looked up only where
            an earlier run has left some.
    """

    def __init__(self, *, has_unique_keys: bool = False) -> None:
        self._has_unique_keys = has_unique_keys
        self._is_empty = True
        self._unwritten: list[tuple[Any, ...]] = []

        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute(
            "CREATE TABLE rows (key TEXT PRIMARY KEY, position INTEGER, start INTEGER,"
            " state INTEGER, hash TEXT, visited INTEGER) WITHOUT ROWID"
        )
        self._db.execute("BEGIN")  # without one, each statement is a transaction of its own

    def end_of_earlier(self) -> None:
        """Note that what follows is of this run."""
        self._write()
        self._is_empty = self._db.execute("SELECT 1 FROM rows").fetchone() is None

    def visit(self, key: Key, index: int, request_hash: str) -> Known | None:
        """Note that the input has a row; return what an earlier run left of it.

        Raises:
            BatchError: The input has two rows with this key.
        """
        if self._is_empty and self._has_unique_keys:
            return None
        name = json.dumps(key)
        row = self._db.execute(
            "SELECT state, hash, visited, position FROM rows WHERE key = ?", (name,)
        ).fetchone()

        if row is None:
            values = (name, index, None, State.PENDING, request_hash, 1)
            self._db.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", values)
            return None
        state, known_hash, visited, position = row
        if visited:
            msg = f"the key {key!r} is that of two rows, {position} and {index}: keys must differ"
            raise BatchError(msg)
        self._db.execute("UPDATE rows SET position = ?, visited = 1 WHERE key = ?", (index, name))
        return Known(State(state), known_hash)

    def put(self, key: Key, index: int, request_hash: str, state: State, start: int) -> None:
        """Note where the result of a row is; a later one replaces an earlier one.

        Args:
            key: The row's key.
            index: Its position, unless the input has said so already.
            request_hash: Of its request.
            state: What came of it.
            start: Where its line begins in the part, in bytes.
        """
        self._unwritten.append((json.dumps(key), index, start, int(state), request_hash))
        if len(self._unwritten) >= _ROWS_PER_WRITE:
            self._write()

    def find_start(self, key: Key) -> int | None:
        """Return where the result of a row is that an earlier run has left; None without one."""
        query = "SELECT start FROM rows WHERE key = ?"
        row = self._db.execute(query, (json.dumps(key),)).fetchone()
        return None if row is None else row[0]

    def _write(self) -> None:
        self._db.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT (key) DO UPDATE"
            " SET start = excluded.start, state = excluded.state, hash = excluded.hash",
            self._unwritten,
        )
        self._unwritten.clear()

    def leave_out_unvisited(self) -> int:
        """Forget rows of earlier runs that the input does not have; return how many they are.

        To be called when the input was read to its end.
        """
        self._write()
        if self._is_empty:  # all rows are of this run
            return 0
        return self._db.execute("DELETE FROM rows WHERE visited = 0").rowcount

    def starts(self) -> Iterator[tuple[int, int]]:
        """Yield each row's position and where its result is, in the order of the input."""
        self._write()
        rows = self._db.execute(
            "SELECT position, start FROM rows WHERE start IS NOT NULL ORDER BY position, start"
        )
        # Not from the cursor: a reader left in the middle would close it, maybe after the database.
        yield from map(tuple, rows)

    def counts(self) -> dict[State, int]:
        """Return how many rows there are in each state."""
        self._write()
        rows = self._db.execute("SELECT state, count(*) FROM rows GROUP BY state")
        return {State(state): count for state, count in rows}
