"""What a sweep did, or would do, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from langchain_openrouter import _html
from langchain_openrouter.accounts._key_types import SHORT_HASH
from langchain_openrouter.accounts._rows import Rows, format_cell, row_html

__all__ = ["SweepAction", "SweepKind", "SweepReport"]

SweepKind: TypeAlias = Literal[
    "orphan",
    "old_key",
    "expired",
    "missing",
    "revoked",
    "disabled",
    "forgotten",
    "stale_claim",
    "other_store",
    "unreadable",
    "in_progress",
]
"""What was met, and what is done about it.

- "orphan": a key that nobody holds, since its creator died or the response was lost: deleted.
- "old_key": the key that a rotation replaced, its grace over: deleted.
- "expired": a user's key has expired: deleted; the next use makes a new one.
- "missing": the account does not have the stored key any more: removed from the store.
- "revoked": a revoked user's key is enabled: disabled.
- "disabled": a key was disabled in the account: the user is revoked in the store too.
- "forgotten": the keys and the record of a user who was being forgotten: deleted.
- "stale_claim": a claim whose process died: removed.
- "other_store": a key of this prefix, made for another store: deleted only if that was requested.
- "unreadable": a record that cannot be decrypted: left, as are its user's keys.
- "in_progress": a key that is being made: left.
"""


@dataclass(frozen=True, slots=True)
class SweepAction:
    """Something that a sweep met."""

    kind: SweepKind
    user_id: str | None = None
    """The app's id, where the record is known; else the account's `external_user`."""
    hash: str | None = None
    """The key's."""
    name: str | None = None
    """The key's name in the account."""
    done: bool = False
    """Whether it was done: False in a dry run, and for what is left as it is."""
    error: str | None = None
    """Why it could not be done; the next sweep tries again."""

    @property
    def identity(self) -> str:
        """The kind and the key."""
        return f"{self.kind} {(self.hash or '')[:SHORT_HASH]}".strip()

    @property
    def data(self) -> dict[str, Any]:
        """The fields, as JSON."""
        names = ("kind", "user_id", "hash", "name", "done", "error")
        return {name: getattr(self, name) for name in names}

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""
        return {
            "what": self.kind.replace("_", " "),
            "user": self.user_id,
            "key": (self.hash or "")[:SHORT_HASH],
            "name": self.name,
            "done": self.done,
            "error": self.error,
        }

    def _repr_html_(self) -> str:
        return row_html(self)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep met."""

    dry_run: bool
    """Whether nothing was changed."""
    users: int
    """Records in the store."""
    keys: int
    """Keys of this prefix in the account."""
    actions: Rows[SweepAction] = field(default_factory=lambda: Rows(()))

    @property
    def errors(self) -> Rows[SweepAction]:
        """What could not be done."""
        return Rows(action for action in self.actions if action.error is not None)

    @property
    def data(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "dry_run": self.dry_run,
            "users": self.users,
            "keys": self.keys,
            "actions": [action.data for action in self.actions],
        }

    def count(self, kind: SweepKind) -> int:
        """Return how often something was met."""
        return sum(action.kind == kind for action in self.actions)

    def _repr_html_(self) -> str:
        facts = {"users": self.users, "keys": self.keys, "dry run": self.dry_run}
        head = _html.facts((name, format_cell(value)) for name, value in facts.items())
        return head + self.actions._repr_html_()
