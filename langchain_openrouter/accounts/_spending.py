"""What a user spent with the keys before the current one, which a new key's limit leaves out.

A key's limit counts what that key spent. A renewal or a rotation would give the user a whole limit
anew; so the new key's limit is what remains of this period, and is raised when the period ends.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Self

from langchain_openrouter._json import get_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from langchain_openrouter.accounts._key_types import KeyRecord

__all__ = ["Spending", "add_spending", "is_same_limit", "next_reset"]

_CLOCK_SKEW = 60.0  # seconds that this machine's clock may be ahead of the service's
_DIGITS = 6
_ROUNDING = 0.0051  # USD


class Spending(NamedTuple):
    """What was spent with keys that were replaced. Amounts are USD."""

    amount: float
    until: float | None
    """Unix time in seconds when the period ends; None is never."""
    limit: float | None = None
    """What the current key's limit is raised to then; None where it was not lowered."""

    def is_over(self, now: float) -> bool:
        """Tell whether the period has ended."""
        return self.until is not None and self.until <= now

    @property
    def lowered(self) -> float | None:
        """The limit of a key that was made with what remained."""
        return None if self.limit is None else round(max(0.0, self.limit - self.amount), _DIGITS)

    @classmethod
    def from_json(cls, values: Mapping[str, Any] | None) -> Self | None:
        """Convert what is stored; None if it is none."""
        amount = get_number(values, "amount")
        if amount is None:
            return None
        return cls(amount, get_number(values, "until"), get_number(values, "limit"))


def add_spending(
    row: KeyRecord, before: Spending | None, period: str | None, now: float
) -> Spending | None:
    """Return what a user has spent in the running period; None if that is nothing.

    Args:
        row: The key that is replaced.
        before: What was spent with those before it.
        period: "daily", "weekly" or "monthly"; None is ever.
        now: Unix time in seconds.
    """
    if row.limit is not None and row.limit_remaining is not None:
        amount = row.limit - row.limit_remaining
    else:
        amount = getattr(row, f"usage_{period}" if period else "usage", None) or 0.0
    if before is not None and not before.is_over(now):
        amount += before.amount
    return Spending(amount, next_reset(period, now)) if amount > 0 else None


def next_reset(period: str | None, now: float) -> float | None:
    """Return when a limit starts anew, Unix time in seconds: at midnight UTC, Monday, the first.

    A minute later, so that a clock that is ahead raises no limit within the period.

    Args:
        period: "daily", "weekly" or "monthly"; None is never.
        now: Unix time in seconds.
    """
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    resets = {
        "daily": today + timedelta(days=1),
        "weekly": today + timedelta(days=7 - today.weekday()),
        "monthly": (today.replace(day=1) + timedelta(days=32)).replace(day=1),
    }

    reset = resets.get(period or "")
    return None if reset is None else reset.timestamp() + _CLOCK_SKEW


def is_same_limit(limit: float | None, requested: float | None) -> bool:
    """Tell whether a limit is the one requested, or that rounded to a cent."""
    if limit is None or requested is None:
        return limit is requested
    return abs(limit - requested) < _ROUNDING
