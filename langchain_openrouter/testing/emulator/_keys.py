"""A key of the emulator: its limit by period, what was spent with it, and what the API shows."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "DEFAULT_WORKSPACE",
    "PERIODS",
    "Key",
    "Spending",
    "budget",
    "iso",
    "next_reset",
    "period_start",
]

DEFAULT_WORKSPACE = "ws_emulated"
PERIODS = ("daily", "weekly", "monthly")


@dataclass
class Spending:
    """What was spent, USD: in all, and by UTC day as far as that is known.

    A total that a test assigns counts as spent today.
    """

    total: float = 0.0
    by_day: dict[str, float] = field(default_factory=dict)

    def add(self, amount: float, now: float) -> None:
        """Add an amount.

        Args:
            amount: USD.
            now: Unix time in seconds.
        """
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        self.total = round(self.total + amount, 10)
        self.by_day[day] = round(self.by_day.get(day, 0.0) + amount, 10)

    def since(self, start: str | None) -> float:
        """Return what was spent since a UTC day, such as "2026-11-30"; None is the beginning."""
        if start is None:
            return self.total
        earlier = sum(amount for day, amount in self.by_day.items() if day < start)
        return max(0.0, round(self.total - earlier, 10))


@dataclass
class Key:
    """A key and its account."""

    secret: str = field(repr=False)
    user_id: str
    label: str = "key"
    limit: float | None = None
    """What the key may spend in all, or in a period, USD; None is no limit."""
    limit_reset: str | None = None
    """"daily", "weekly" or "monthly"; None is never."""
    disabled: bool = False
    credits: float | None = None
    """What the account has left, USD; None is plenty."""
    expires_at: str | None = None
    """ISO 8601 with an offset."""
    in_flight_budget: float | None = None
    """What requests that run at the same time may cost at most, USD; None is no limit."""
    held: float = 0.0
    """What the running requests may cost at most, USD."""
    budgets: list[dict[str, Any]] = field(default_factory=list)
    """Budgets beside the key's limit, in the shape of `GET /key`; `budget` makes one."""
    workspace_id: str | None = DEFAULT_WORKSPACE
    organization_id: str | None = None
    name: str | None = None
    """None shows the label."""
    external_user: str | None = None
    include_byok_in_limit: bool = False
    is_management: bool = False
    usage: float = 0.0
    """What the key has spent, USD; it may be assigned."""
    byok_usage: float = 0.0
    """What was spent with providers' keys of one's own, USD."""
    clock: Callable[[], float] = field(default=time.time, repr=False, compare=False)
    created_at: float | None = None
    """Unix time in seconds; None is when it was made."""
    updated_at: float | None = None
    last_used_at: float | None = None
    _days: dict[str, float] = field(default_factory=dict, repr=False, compare=False)
    _byok_days: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Set when it was made."""
        if self.created_at is None:
            self.created_at = self.clock()

    @property
    def hash(self) -> str:
        """The sha256 of the key, as in OpenRouter's own addresses."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    @property
    def is_expired(self) -> bool:
        """Whether the clock has passed its expiry."""
        now = datetime.fromtimestamp(self.clock(), UTC)
        return bool(self.expires_at) and datetime.fromisoformat(self.expires_at or "") < now

    @property
    def remaining(self) -> float | None:
        """What the key may still spend, in this period if its limit resets, USD."""
        if self.limit is None:
            return None
        return max(0.0, round(self.limit - self.spent_of_limit, 10))

    @property
    def spent_of_limit(self) -> float:
        """What counts against the limit, USD."""
        return self.spent(self.limit_reset, with_byok=self.include_byok_in_limit)

    def spent(self, period: str | None, *, with_byok: bool = False) -> float:
        """Return what was spent in the period that the clock is in, USD.

        Args:
            period: "daily", "weekly" or "monthly"; None is ever.
            with_byok: Whether what was spent with providers' keys of one's own counts.
        """
        start = period_start(period, self.clock())
        spent = Spending(self.usage, self._days).since(start)
        return spent + self.byok_spent(period) if with_byok else spent

    def byok_spent(self, period: str | None) -> float:
        """Return what was spent with providers' keys of one's own, USD."""
        start = period_start(period, self.clock())
        return Spending(self.byok_usage, self._byok_days).since(start)

    def charge(self, cost: float, byok_cost: float = 0.0) -> None:
        """Add the cost of a request, USD."""
        now = self.clock()
        for amount, total, days in (
            (cost, "usage", self._days),
            (byok_cost, "byok_usage", self._byok_days),
        ):
            spending = Spending(getattr(self, total), days)
            spending.add(amount, now)
            setattr(self, total, spending.total)

        self.last_used_at = now

    def all_budgets(self, now: float) -> list[dict[str, Any]]:
        """Return every budget of the key's own, its limit last.

        Args:
            now: Unix time in seconds.
        """
        budgets = list(self.budgets)
        if self.limit is not None:
            limit = budget("key_limit", self.limit, self.spent_of_limit, self.limit_reset)
            budgets.append({**limit, "resets_at": next_reset(self.limit_reset, now)})
        return budgets

    def amounts(self) -> dict[str, float]:
        """Return what was spent by period, by the names of the API."""
        usage = {f"usage_{period}": self.spent(period) for period in PERIODS}
        byok = {f"byok_usage_{period}": self.byok_spent(period) for period in PERIODS}
        return {"usage": self.usage, **usage, "byok_usage": self.byok_usage, **byok}

    def info(
        self, now: float | None = None, budgets: list[dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Return the body of `GET /key`.

        Args:
            now: Unix time in seconds; None is now.
            budgets: All that are checked; None is the key's own.
        """
        if budgets is None:
            budgets = self.all_budgets(self.clock() if now is None else now)
        data = {
            "label": self.label,
            "limit": self.limit,
            "limit_remaining": self.remaining,
            "limit_reset": self.limit_reset,
            "include_byok_in_limit": self.include_byok_in_limit,
            **self.amounts(),
            "is_free_tier": False,
            "is_management_key": self.is_management,
            "is_provisioning_key": self.is_management,
            "creator_user_id": self.user_id,
            "expires_at": self.expires_at,
            "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
            "budgets": budgets,
            "effective_budget": min(budgets, key=lambda b: b["remaining_usd"], default=None),
            "free_model_daily_requests": {"limit": 1000, "used": 0, "remaining": 1000},
            "workspace_id": self.workspace_id,
            "organization_id": self.organization_id,
            "allowed_data_regions": ["global"],
        }

        return {"data": data}

    def row(self) -> dict[str, Any]:
        """Return the row of `GET /keys`."""
        return {
            "hash": self.hash,
            "name": self.name or self.label,
            "label": self.label,
            "disabled": self.disabled,
            "limit": self.limit,
            "limit_remaining": self.remaining,
            "limit_reset": self.limit_reset,
            "include_byok_in_limit": self.include_byok_in_limit,
            **self.amounts(),
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
            "expires_at": self.expires_at,
            "last_used_at": iso(self.last_used_at),
            "creator_user_id": self.user_id,
            "external_user": self.external_user,
            "workspace_id": self.workspace_id,
        }


def budget(
    scope: str, limit: float, spend: float = 0.0, reset_interval: str | None = None
) -> dict[str, Any]:
    """Return a budget in the shape of `GET /key`.

    Args:
        scope: Such as "workspace" or "member".
        limit: USD.
        spend: USD, since the budget was last reset.
        reset_interval: "daily", "weekly" or "monthly"; None is never.
    """
    return {
        "scope": scope,
        "limit_usd": limit,
        "spend_usd": spend,
        "remaining_usd": max(0.0, limit - spend),
        "reset_interval": reset_interval,
        "resets_at": None,
        "include_byok": False,
        "budget_id": None if scope == "key_limit" else f"budget_{scope}",
        "guardrail_id": None,
    }


def next_reset(interval: str | None, now: float) -> str | None:
    """Return when a budget begins anew, ISO 8601: at midnight UTC, on Monday, on the first."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match interval:
        case "daily":
            reset = today + timedelta(days=1)
        case "weekly":
            reset = today + timedelta(days=7 - today.weekday())
        case "monthly":
            reset = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
        case _:
            return None

    return reset.isoformat()


def period_start(period: str | None, now: float) -> str | None:
    """Return the UTC day that a period began on: today, Monday, or the first; None is no period."""
    today = datetime.fromtimestamp(now, UTC).date()
    match period:
        case "daily":
            return today.isoformat()
        case "weekly":
            return (today - timedelta(days=today.weekday())).isoformat()
        case "monthly":
            return today.replace(day=1).isoformat()

    return None


def iso(moment: float | None) -> str | None:
    """Return Unix time as an ISO 8601 date in UTC; None stays None."""
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()
