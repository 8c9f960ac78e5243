"""`RowFeed`: the rows that an engine takes; it ends where the batch is done or has to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from langchain_openrouter.batch._shares import to_decimal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_openrouter.batch._requests import PendingRow
    from langchain_openrouter.batch._row_result import RowResult

Stopped: TypeAlias = Literal["max_cost", "interrupted"]
"""Why a batch ended before its last row."""


class RowFeed:
    """Hands out the rows that are still to be run, each once.

    A row is read from the input when it is taken, and not before.

    Args:
        rows: The rows, read lazily.
        spent: What earlier runs of the batch cost, USD.
        settled: How many rows that was; see `tells_cost`.
        max_cost: What all runs of the batch may cost, USD. Rows run alone until one has told what
            it cost; then a row in flight, or to come, counts as the mean of those that have. So the
            ceiling is exceeded only by what rows cost above the mean.
    """

    def __init__(
        self,
        rows: Iterator[PendingRow],
        *,
        spent: float = 0.0,
        settled: int = 0,
        max_cost: float | None = None,
    ) -> None:
        self._rows = rows
        self._max_cost = None if max_cost is None else to_decimal(max_cost)
        self._settled = settled

        self._stopped: Stopped | None = None
        self._spent = to_decimal(spent)
        self.in_flight = 0
        self.is_exhausted = False
        self.error: Exception | None = None
        self.on_remote: Callable[[str], None] = lambda _: None
        """Called by an engine whose rows run elsewhere, with how far they are."""
        self.flush: Callable[[], None] = lambda: None
        """Called by an engine before it notes that results which it yielded need not be read again:
        they are on the disk afterwards."""

    @property
    def spent(self) -> float:
        """What the batch cost so far, USD: the exact sum of its rows."""
        return float(self._spent)

    @property
    def is_interrupted(self) -> bool:
        """Whether the batch is to stop, although all of its rows may have been taken."""
        return self._stopped == "interrupted"

    @property
    def is_ended_early(self) -> bool:
        """Whether it ended before its last row was taken: by an error, or by Ctrl-C."""
        return self._stopped is not None or self.error is not None

    def take_budget(self) -> float | None:
        """Return what may still be spent, USD, to an engine that sees to it itself.

        From then on rows are handed out without regard to what they cost.
        """
        left = None if self._max_cost is None else float(self._max_cost - self._spent)
        self._max_cost = None
        return left

    def leave(self) -> None:
        """Note that rows that were taken are left for a later run."""
        self.in_flight = 0
        self.is_exhausted = False

    @property
    def stopped(self) -> Stopped | None:
        """Why it ended before its last row; None where it did not."""
        return None if self.is_exhausted else self._stopped

    @property
    def is_ended(self) -> bool:
        """Whether no further row will be handed out."""
        return self.is_exhausted or self._stopped is not None or self.error is not None

    def take(self, count: int = 1) -> list[PendingRow] | None:
        """Return up to `count` rows to run.

        Returns:
            An empty list at the end. None where no row may be started before one in flight has
            been settled: its cost decides.
        """
        rows: list[PendingRow] = []
        while len(rows) < count and not self.is_ended:
            may_start = self._may_start()
            if not may_start:
                if may_start is None and not rows:
                    return None
                break
            row = self._next()
            if row is None:
                break
            rows.append(row)
            self.in_flight += 1

        return rows

    def _next(self) -> PendingRow | None:
        try:
            row = next(self._rows, None)
        except Exception as error:  # noqa: BLE001 - whatever the user's iterator or prompt raises
            self.fail(error)
            return None
        self.is_exhausted = row is None
        return row

    def _may_start(self) -> bool | None:
        """Tell whether the budget allows one more row; None if that depends on rows in flight."""
        if self._max_cost is None:
            return True

        left = self._max_cost - self._spent
        if not self.in_flight:
            if left <= 0 or self._spent > left * self._settled:
                self._stopped = "max_cost"
            return self._stopped is None
        if not self._settled:
            return None
        # That is, the mean of each, `spent / settled`, without its rounding.
        return True if self._spent * (self.in_flight + 1) <= left * self._settled else None

    def settle(self, result: RowResult) -> None:
        """Count what a row cost; the runner calls this for each result."""
        self.in_flight -= 1
        self._settled += tells_cost(result)
        self._spent += to_decimal(result.cost or 0.0)

    def pass_over(self) -> None:
        """Note that a row was not run: what came of it was counted by an earlier run."""
        self.in_flight -= 1

    def fail(self, error: Exception) -> None:
        """End the feed with an error, which the runner raises when the rows in flight are done."""
        self.error = self.error or error

    def raise_error(self) -> None:
        """Raise the error that the feed ended with, if it did."""
        if self.error is not None:
            raise self.error

    def stop(self, reason: Stopped) -> None:
        """End the feed: rows in flight finish, no further one starts."""
        if self._stopped is None:
            self._stopped = reason


def tells_cost(result: RowResult) -> bool:
    """Tell whether a result says what a row costs: most errors cost nothing, and say nothing."""
    return result.cost is not None or not result.is_error
