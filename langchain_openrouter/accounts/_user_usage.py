"""What each user has used and spent: `GET /activity` of the user's keys, added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_openrouter.accounts import _steps
from langchain_openrouter.accounts._parsing import to_amount
from langchain_openrouter.accounts._rows import Rows, row_html

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_openrouter.accounts._key_maker import KeyMaker
    from langchain_openrouter.accounts._key_types import ActivityRow, KeyRecord
    from langchain_openrouter.accounts._provision_record import ProvisionRecord
    from langchain_openrouter.accounts._steps import Flow

__all__ = ["UserUsage", "user_usage"]


@dataclass(frozen=True, slots=True)
class UserUsage:
    """What a user has used on the last thirty complete UTC days, and today. Amounts are USD."""

    user_id: str
    external_user: str | None = None
    """The id that the account has of the user."""
    keys: int = 0
    """Keys that are counted: the user's current, and those it replaced on these days."""
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usage: float = 0.0
    byok_usage: float = 0.0
    """Spent with providers' keys of one's own."""
    usage_today: float = 0.0
    """Spent on this UTC day, which `usage` does not have yet."""
    limit: float | None = None
    limit_remaining: float | None = None
    """What is left of the current key's limit."""
    revoked: bool = False

    @property
    def identity(self) -> str:
        """The app's own id."""
        return self.user_id

    @property
    def data(self) -> dict[str, Any]:
        """The fields, as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""
        return {
            "user": self.user_id,
            "requests": self.requests,
            "prompt tokens": self.prompt_tokens,
            "completion tokens": self.completion_tokens,
            "used": self.usage,
            "today": self.usage_today,
            "limit": to_amount(self.limit),
            "left": to_amount(self.limit_remaining),
            "revoked": self.revoked,
        }

    def _repr_html_(self) -> str:
        return row_html(self)


def user_usage(maker: KeyMaker, user_id: str | None) -> Flow[Rows[UserUsage]]:
    """Return what a user has used; None is all users of the store.

    Raises:
        KeyStoreError: A record cannot be read, or the store cannot list its entries.
        OpenRouterError: The account refused, or was not reached.
    """
    records = maker.records
    names = [records.entry(user_id)] if user_id is not None else []
    if user_id is None:
        names = yield _steps.entry_names(records.prefix)
    rows = {row.hash: row for row in (yield from maker.list_keys())}

    users = []
    for name in names:
        stored = yield from records.load_entry(name)
        if stored is None:
            continue
        record, activity = stored.record, []
        for hash_ in _hashes(record):
            activity += yield _steps.call("", "activity", key=hash_)
        users.append(_add_up(record, activity, rows))
    return Rows(sorted(users, key=lambda user: -user.usage))


def _hashes(record: ProvisionRecord) -> list[str]:
    return list(dict.fromkeys((*record.hashes, *(old.hash for old in record.history))))


def _add_up(
    record: ProvisionRecord, activity: Iterable[ActivityRow], rows: dict[str, KeyRecord]
) -> UserUsage:
    days, current = list(activity), rows.get(record.hash or "")
    known = [rows[hash_] for hash_ in _hashes(record) if hash_ in rows]

    return UserUsage(
        record.user_id,
        external_user=None if record.key is None else record.key.user_id,
        keys=len(_hashes(record)),
        requests=sum(day.requests for day in days),
        prompt_tokens=sum(day.prompt_tokens for day in days),
        completion_tokens=sum(day.completion_tokens for day in days),
        usage=sum(day.usage for day in days),
        byok_usage=sum(day.byok_usage_inference for day in days),
        usage_today=sum(row.usage_daily or 0.0 for row in known),
        limit=None if current is None else current.limit,
        limit_remaining=None if current is None else current.limit_remaining,
        revoked=record.revoked,
    )
