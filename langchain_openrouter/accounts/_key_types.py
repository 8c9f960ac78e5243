"""Keys, the users that they are for, what was used and what is left.

Fields have the names of the API. Those of the wrong type read as absent; `data` of each value holds
all fields as sent. Amounts are USD, moments are in UTC; None means unknown, or none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from langchain_openrouter._json import get_number, get_str
from langchain_openrouter.accounts._parsing import (
    get_count,
    get_flag,
    get_moment,
    read_all,
    to_amount,
)
from langchain_openrouter.accounts._rows import row_html

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ActivityRow", "Credits", "ExternalUser", "KeyRecord"]

SHORT_HASH = 12  # characters that tables show


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as the account knows it: everything but the key itself.

    See https://openrouter.ai/docs/guides/overview/auth/management-api-keys.
    """

    hash: str
    """The sha256 of the key, 64 hexadecimal digits: `UserKey.fingerprint`."""
    name: str | None = None
    label: str | None = None
    """The service's masked form of the key."""
    disabled: bool = False
    external_user: str | None = None
    """The app's own id of the user that the key is for."""
    limit: float | None = None
    limit_remaining: float | None = None
    limit_reset: str | None = None
    """When the limit resets: "daily", "weekly" or "monthly"; None means never."""
    include_byok_in_limit: bool = False
    usage: float = 0.0
    """Spent with this key so far."""
    usage_daily: float | None = None
    """Spent on this UTC day."""
    usage_weekly: float | None = None
    usage_monthly: float | None = None
    byok_usage: float | None = None
    """Spent with providers' keys of one's own."""
    byok_usage_daily: float | None = None
    byok_usage_weekly: float | None = None
    byok_usage_monthly: float | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    creator_user_id: str | None = None
    workspace_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert a row of `GET /keys`."""
        amounts = ("usage_daily", "usage_weekly", "usage_monthly")
        byok_amounts = ("byok_usage", *(f"byok_{name}" for name in amounts))
        limits = ("limit", "limit_remaining")
        texts = ("name", "label", "external_user", "limit_reset", "creator_user_id", "workspace_id")
        moments = ("created_at", "updated_at", "expires_at", "last_used_at")

        return cls(
            hash=get_str(row, "hash") or "",
            disabled=get_flag(row, "disabled"),
            include_byok_in_limit=get_flag(row, "include_byok_in_limit"),
            usage=get_number(row, "usage") or 0.0,
            **read_all(row, get_number, *limits, *amounts, *byok_amounts),
            **read_all(row, get_str, *texts),
            **read_all(row, get_moment, *moments),
            data=row,
        )

    @property
    def identity(self) -> str:
        """The hash."""
        return self.hash

    def is_expired(self, now: datetime | None = None) -> bool:
        """Tell whether the key has expired.

        Args:
            now: A moment with an offset; None is now.
        """
        return self.expires_at is not None and self.expires_at <= (now or datetime.now(UTC))

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""
        return {
            "name": self.name,
            "user": self.external_user,
            "hash": self.hash[:SHORT_HASH],
            "disabled": self.disabled,
            "used": self.usage,
            "limit": to_amount(self.limit),
            "left": to_amount(self.limit_remaining),
            "resets": self.limit_reset,
            "expires": self.expires_at,
            "last used": self.last_used_at,
        }

    def _repr_html_(self) -> str:
        return row_html(self)


@dataclass(frozen=True, slots=True)
class ExternalUser:
    """A user of the app's, registered with the account under the app's own id.

    See `ExternalUser` of https://pypi.org/project/openrouter/.
    """

    user: str
    is_active: bool = True
    """An inactive user's keys work on: disable them."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert a row of `GET /external-users`."""
        return cls(
            user=get_str(row, "user") or "",
            is_active=row.get("is_active") is not False,
            created_at=get_moment(row, "created_at"),
            updated_at=get_moment(row, "updated_at"),
            data=row,
        )

    @property
    def identity(self) -> str:
        """The app's own id."""
        return self.user

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""
        return {"user": self.user, "active": self.is_active, "created": self.created_at}

    def _repr_html_(self) -> str:
        return row_html(self)


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """What was used of one endpoint on one day.

    See `ActivityItem` of https://pypi.org/project/openrouter/.
    """

    date: str
    """The UTC day, YYYY-MM-DD."""
    model: str | None = None
    model_permaslug: str | None = None
    endpoint_id: str | None = None
    provider_name: str | None = None
    requests: int = 0
    usage: float = 0.0
    byok_usage_inference: float = 0.0
    """Spent with providers' keys of one's own."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    workspace_id: str | None = None
    """Only with `group_by="workspace"`."""
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert a row of `GET /activity`."""
        texts = ("model", "model_permaslug", "endpoint_id", "provider_name", "workspace_id")
        counts = (
            *("requests", "prompt_tokens", "completion_tokens"),
            *("reasoning_tokens", "cached_tokens"),
        )

        return cls(
            date=get_str(row, "date") or "",
            usage=get_number(row, "usage") or 0.0,
            byok_usage_inference=get_number(row, "byok_usage_inference") or 0.0,
            **read_all(row, get_str, *texts),
            **read_all(row, get_count, *counts),
            data=row,
        )

    @property
    def identity(self) -> str:
        """The day and the model."""
        return f"{self.date} {self.model or ''}".strip()

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""
        return {
            "date": self.date,
            "model": self.model,
            "provider": self.provider_name,
            "requests": self.requests,
            "prompt tokens": self.prompt_tokens,
            "completion tokens": self.completion_tokens,
            "used": self.usage,
            "own keys": self.byok_usage_inference or None,
        }

    def _repr_html_(self) -> str:
        return row_html(self)


@dataclass(frozen=True, slots=True)
class Credits:
    """What the account has bought and used in all, USD.

    See `GetCreditsData` of https://pypi.org/project/openrouter/.
    """

    total_credits: float | None = None
    total_usage: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert the data of `GET /credits`."""
        return cls(get_number(row, "total_credits"), get_number(row, "total_usage"), row)

    @property
    def remaining(self) -> float | None:
        """What is left; None if the service did not send both amounts."""
        if self.total_credits is None or self.total_usage is None:
            return None
        return self.total_credits - self.total_usage

    @property
    def identity(self) -> str:
        """What is left, in words."""
        return "" if self.remaining is None else f"${self.remaining:,.2f}"

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""
        return {
            "bought": to_amount(self.total_credits),
            "used": to_amount(self.total_usage),
            "left": to_amount(self.remaining),
        }

    def _repr_html_(self) -> str:
        return row_html(self)
