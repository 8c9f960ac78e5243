"""What the store has of a user with a provisioned key, as a value: the key, the claim, old keys."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic import SecretStr

from langchain_openrouter._json import get_dict, get_dicts, get_number, get_str
from langchain_openrouter._key_object import KeyObject
from langchain_openrouter.accounts._spending import Spending
from langchain_openrouter.oauth._user_key import UserKey

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Claim", "Failure", "OldKey", "ProvisionRecord"]

_HISTORY_AGE = 32 * 86_400  # seconds: `GET /activity` goes back thirty days
_MAX_HISTORY = 50


class Claim(NamedTuple):
    """The right to make a key for the user."""

    nonce: str
    until: float
    """Unix time in seconds after which another process may claim."""


class Failure(NamedTuple):
    """Why the last claim ended without a key; those who waited for it raise the same."""

    nonce: str
    error: str
    """The name of the class in `errors`."""
    message: str
    code: int | None = None


class OldKey(NamedTuple):
    """A key that was replaced."""

    hash: str
    delete_at: float
    """Unix time in seconds."""


@dataclass(frozen=True, slots=True)
class ProvisionRecord(KeyObject):
    """The state of one user. The key is not in the repr."""

    user_id: str
    key: UserKey | None = field(default=None, repr=False)
    expires_at: float | None = None
    """When the key expires, Unix time in seconds; None is never."""
    made_at: float = 0.0
    """When the key was made, Unix time in seconds."""
    revoked: bool = False
    forgotten: bool = False
    """Whether the user is being forgotten: the keys are deleted, then the record."""
    claim: Claim | None = None
    failure: Failure | None = None
    has_orphans: bool = False
    """Whether the account may have a key of this user's that nobody holds."""
    old_keys: tuple[OldKey, ...] = ()
    history: tuple[OldKey, ...] = ()
    """Keys that were deleted, for `usage`; `delete_at` is when."""
    spending: Spending | None = None
    """Of the user's keys before the current, where that lowers its limit."""
    revision: int = 0
    """Counts writes, so that two writers of the same state are not confused."""

    @property
    def hash(self) -> str | None:
        """The hash of the key."""
        return None if self.key is None else self.key.fingerprint

    @property
    def hashes(self) -> tuple[str, ...]:
        """The hashes of all keys that the account has of the user, the current first."""
        current = () if self.hash is None else (self.hash,)
        return (*current, *(old.hash for old in self.old_keys))

    def is_claimed(self, now: float) -> bool:
        """Tell whether a claim holds."""
        return self.claim is not None and self.claim.until > now

    def with_key(
        self,
        key: UserKey,
        expires_at: float | None,
        *,
        now: float,
        grace: float,
        spending: Spending | None = None,
    ) -> Self:
        """Return the record with a new key in place of the current, which is deleted later.

        Args:
            key: The new key.
            expires_at: When it expires.
            now: Unix time in seconds.
            grace: Seconds that the current key works on.
            spending: What the new key's limit was lowered by.
        """
        retired = () if self.hash is None else (OldKey(self.hash, now + grace),)

        return replace(
            self,
            key=key,
            expires_at=expires_at,
            made_at=now,
            claim=None,
            failure=None,
            has_orphans=False,
            spending=spending,
            old_keys=(*self.old_keys, *retired),
        )

    def without(self, hash_: str, now: float) -> Self:
        """Return the record without a key that the account does not have any more."""
        is_recent = [old for old in self.history if old.delete_at > now - _HISTORY_AGE]
        history = (*is_recent, OldKey(hash_, now))[-_MAX_HISTORY:]
        old_keys = tuple(old for old in self.old_keys if old.hash != hash_)
        record = replace(self, old_keys=old_keys, history=history)

        if self.hash == hash_:
            return replace(record, key=None, expires_at=None)
        return record

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON, the key in plain text: encrypt it at once."""
        key = self.key

        return {
            "provisioned_for": self.user_id,
            "key": None if key is None else key.secret.get_secret_value(),
            "external_user": None if key is None else key.user_id,
            "base_url": None if key is None else key.base_url,
            "expires_at": self.expires_at,
            "made_at": self.made_at,
            "revoked": self.revoked,
            "forgotten": self.forgotten,
            "claim": None if self.claim is None else self.claim._asdict(),
            "failure": None if self.failure is None else self.failure._asdict(),
            "has_orphans": self.has_orphans,
            "old_keys": [old._asdict() for old in self.old_keys],
            "history": [old._asdict() for old in self.history],
            "spending": None if self.spending is None else self.spending._asdict(),
            "revision": self.revision,
        }

    @classmethod
    def from_json(cls, values: Any) -> Self | None:
        """Convert a stored record; None if it is none."""
        user_id = get_str(values, "provisioned_for")
        if user_id is None:
            return None

        return cls(
            user_id,
            key=_to_key(values),
            expires_at=get_number(values, "expires_at"),
            made_at=get_number(values, "made_at") or 0.0,
            revoked=values.get("revoked") is True,
            forgotten=values.get("forgotten") is True,
            claim=_to_claim(get_dict(values, "claim")),
            failure=_to_failure(get_dict(values, "failure")),
            has_orphans=values.get("has_orphans") is True,
            old_keys=_to_old_keys(values, "old_keys"),
            history=_to_old_keys(values, "history"),
            spending=Spending.from_json(get_dict(values, "spending")),
            revision=int(get_number(values, "revision") or 0),
        )


def _to_key(values: Mapping[str, Any]) -> UserKey | None:
    secret, base_url = get_str(values, "key"), get_str(values, "base_url")
    if secret is None or base_url is None:
        return None
    return UserKey(SecretStr(secret), get_str(values, "external_user"), base_url)


def _to_claim(values: Mapping[str, Any] | None) -> Claim | None:
    nonce = get_str(values, "nonce")
    return None if nonce is None else Claim(nonce, get_number(values, "until") or 0.0)


def _to_failure(values: Mapping[str, Any] | None) -> Failure | None:
    nonce, error = get_str(values, "nonce"), get_str(values, "error")
    if nonce is None or error is None:
        return None
    code = get_number(values, "code")
    message = get_str(values, "message") or ""
    return Failure(nonce, error, message, None if code is None else int(code))


def _to_old_keys(values: Mapping[str, Any], name: str) -> tuple[OldKey, ...]:
    rows = ((get_str(row, "hash"), row) for row in get_dicts(values, name))
    return tuple(OldKey(hash_, get_number(row, "delete_at") or 0.0) for hash_, row in rows if hash_)
