"""The facts of a key, as `GET /key` sends them: limits, budgets, usage, and what blocks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from langchain_openrouter import _html
from langchain_openrouter._json import get_dict, get_dicts, get_int, get_number, get_str

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCOPES = {
    "workspace_default_member": "the workspace's budget for each member",
    "workspace_default_key": "the workspace's budget for each key",
    "member": "the member's budget",
    "api_key": "the budget of the key's guardrail",
    "workspace": "the workspace's budget",
    "key_limit": "the key's own limit",
}
_MAX_MOMENT = 40  # characters of an ISO 8601 date


@dataclass(frozen=True, slots=True)
class KeyBudget:
    """One budget that requests with a key count against. Amounts are USD; None means unknown."""

    scope: str | None = None
    """`workspace_default_member`, `workspace_default_key`, `member`, `api_key`, `workspace` or
    `key_limit`."""
    limit_usd: float | None = None
    spend_usd: float | None = None
    remaining_usd: float | None = None
    """At zero or below, requests are refused with 403 until the budget resets."""
    reset_interval: str | None = None
    """"daily", "weekly" or "monthly"; None means never."""
    resets_at: str | None = None
    """ISO 8601, UTC."""
    include_byok: bool | None = None
    """Whether what is spent with a provider's key of one's own counts too."""
    budget_id: str | None = None
    guardrail_id: str | None = None

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert an entry of `budgets`; an absent field stays absent."""
        include_byok = row.get("include_byok")

        return cls(
            scope=get_str(row, "scope"),
            limit_usd=get_number(row, "limit_usd"),
            spend_usd=get_number(row, "spend_usd"),
            remaining_usd=get_number(row, "remaining_usd"),
            reset_interval=get_str(row, "reset_interval"),
            resets_at=get_str(row, "resets_at"),
            include_byok=include_byok if isinstance(include_byok, bool) else None,
            budget_id=get_str(row, "budget_id"),
            guardrail_id=get_str(row, "guardrail_id"),
        )

    @property
    def is_spent(self) -> bool:
        """Whether nothing remains."""
        return self.remaining_usd is not None and self.remaining_usd <= 0

    def describe(self) -> str:
        """Say in words which budget is spent, and when it resets."""
        name = _SCOPES.get(self.scope or "", "a budget")
        limit = "" if self.limit_usd is None else f" of ${self.limit_usd:,.2f}"
        resets = f" until {self.resets_at}" if self.resets_at else ""
        return f"{name}{limit} is spent{resets}"


@dataclass(frozen=True, slots=True)
class FreeModelRequests:
    """Requests of an account to `:free` models on this UTC day; None means unknown."""

    limit: int | None = None
    used: int | None = None
    remaining: int | None = None

    @classmethod
    def from_api(cls, row: Mapping[str, Any] | None) -> Self | None:
        """Convert `free_model_daily_requests`; None stays None."""
        if row is None:
            return None
        names = ("limit", "used", "remaining")
        return cls(**{name: get_int(row, name) for name in names})


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """The facts of a key from `GET /key`. Amounts are USD; None means no limit, or unknown.

    See https://openrouter.ai/docs/api-reference/limits.
    """

    label: str | None = None
    """The key's name; if the user chose none, the service's masked form of the key."""
    limit: float | None = None
    remaining: float | None = None
    reset: str | None = None
    """When the limit resets: "daily", "weekly" or "monthly"; None means never."""
    usage: float = 0.0
    """Spent with this key so far."""
    is_free_tier: bool = False
    """Whether the account has never bought credits."""
    expires_at: str | None = None
    """ISO 8601, UTC."""
    usage_daily: float | None = None
    """Spent on this UTC day."""
    usage_weekly: float | None = None
    usage_monthly: float | None = None
    workspace_id: str | None = None
    """The workspace that the key spends in."""
    organization_id: str | None = None
    """The organization that owns the key; None if a person does."""
    budgets: tuple[KeyBudget, ...] = ()
    """All budgets that requests with this key count against, the key's own limit included."""
    effective_budget: KeyBudget | None = None
    """The budget that blocks requests first."""
    free_model_daily_requests: FreeModelRequests | None = None
    """The account's requests to `:free` models on this UTC day."""
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """All fields, as sent."""

    @classmethod
    def from_api(cls, body: Any) -> Self:
        """Convert a response of `GET /key`; an absent field stays absent."""
        data = get_dict(body, "data") or {}
        effective = get_dict(data, "effective_budget")

        return cls(
            label=get_str(data, "label"),
            limit=get_number(data, "limit"),
            remaining=get_number(data, "limit_remaining"),
            reset=get_str(data, "limit_reset"),
            usage=get_number(data, "usage") or 0.0,
            is_free_tier=data.get("is_free_tier") is True,
            expires_at=get_str(data, "expires_at"),
            usage_daily=get_number(data, "usage_daily"),
            usage_weekly=get_number(data, "usage_weekly"),
            usage_monthly=get_number(data, "usage_monthly"),
            workspace_id=get_str(data, "workspace_id"),
            organization_id=get_str(data, "organization_id"),
            budgets=tuple(KeyBudget.from_api(row) for row in get_dicts(data, "budgets")),
            effective_budget=None if effective is None else KeyBudget.from_api(effective),
            free_model_daily_requests=FreeModelRequests.from_api(
                get_dict(data, "free_model_daily_requests")
            ),
            data=data,
        )

    of = from_api  # former name

    @property
    def blocked_by(self) -> str | None:
        """What blocks requests with this key now, in words; None if nothing is known to.

        The day's requests to free models count only where the key can pay for no others.
        """
        reasons = []
        if self._is_expired():
            reasons.append(f"the key expired on {self.expires_at}")

        budgets = (self.effective_budget, *self.budgets)
        spent = [budget.describe() for budget in budgets if budget is not None and budget.is_spent]
        if not spent and self.remaining is not None and self.remaining <= 0:
            own_limit = KeyBudget("key_limit", self.limit, remaining_usd=self.remaining)
            spent = [own_limit.describe()]
        reasons += dict.fromkeys(spent)  # the effective budget is one of the others

        free = self.free_model_daily_requests
        if self.is_free_tier and free is not None and free.remaining == 0:
            reasons.append(f"all {free.limit} requests to free models of this UTC day are used")
        return "; ".join(reasons) or None

    def _is_expired(self) -> bool:
        moment = parse_moment(self.expires_at)
        return moment is not None and moment <= datetime.now(UTC)

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the amounts, and a bar if there is a limit."""
        rows = {
            "key": self.label,
            "used": _usd(self.usage),
            "limit": _usd(self.limit),
            "left": _usd(self.remaining),
            "resets": self.reset,
            "expires": self.expires_at,
            "workspace": self.workspace_id,
            "blocked by": self.blocked_by,
        }

        bar = ""
        if self.limit and self.remaining is not None:
            left = min(1.0, max(0.0, self.remaining / self.limit))
            bar = f'<meter min="0" max="1" low="0.2" value="{left:.3f}"></meter>'

        known = ((name, str(value)) for name, value in rows.items() if value is not None)
        return _html.facts(known) + bar


def parse_moment(text: Any) -> datetime | None:
    """Return the moment of an ISO 8601 date with an offset; None if it cannot be read."""
    try:
        moment = datetime.fromisoformat(text[:_MAX_MOMENT])
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None else None


def _usd(amount: float | None) -> str | None:
    return None if amount is None else f"${amount:,.4f}"
