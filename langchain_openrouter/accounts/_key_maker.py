"""Makes a user's key: claims, creates, stores; and cleans up after those that did not get so far.

The design is in `_provisioned_keys`.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_openrouter.accounts import _steps
from langchain_openrouter.accounts._key_names import KeyName, new_nonce, user_tag
from langchain_openrouter.accounts._provision_record import Claim, Failure, ProvisionRecord
from langchain_openrouter.accounts._sender import created_nothing
from langchain_openrouter.accounts._spending import Spending, add_spending, is_same_limit
from langchain_openrouter.accounts._waiting import Waiting
from langchain_openrouter.errors import (
    AuthenticationError,
    KeyRevokedError,
    NotFoundError,
    OpenRouterError,
    ResponseError,
    UpstreamError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_openrouter.accounts._created_key import CreatedKey
    from langchain_openrouter.accounts._key_types import KeyRecord
    from langchain_openrouter.accounts._provision_store import ProvisionStore, Stored
    from langchain_openrouter.accounts._steps import Flow
    from langchain_openrouter.oauth._user_key import UserKey

__all__ = ["KeyMaker", "KeyPlan", "check_grace"]

_CREATIONS = 2  # requests that may have created a key, of one call
_RETRY_PAUSE = 0.5
_CLOSE_TO_EXPIRY = 5.0  # seconds in which a key counts as expired
_RENEWAL_SHARE = 0.1  # of a key's life that is left when it is renewed
_MAX_RENEWAL = 86_400.0
_REQUEST_TIMEOUT = 408
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What every user's key is like."""

    name_prefix: str
    fields: dict[str, Any]
    """Of `keys.create`."""
    expires_after: float | None
    """Seconds."""
    guardrail: str | None
    workspace_id: str | None
    external_id: Callable[[str], str]
    lease: float
    """Seconds that a claim holds."""
    grace: float
    """Seconds that a replaced key works on."""
    clock: Callable[[], float]


def check_grace(grace: float) -> float:
    """Return the seconds that a replaced key works on.

    Raises:
        ValueError: It is no number of seconds.
    """
    if not 0 <= grace < math.inf:
        msg = "`grace` must be a number of seconds, 0 or more"
        raise ValueError(msg)
    return grace


class _NewKey(NamedTuple):
    """A key that was just made, not stored yet."""

    key: UserKey
    expires_at: float | None
    spending: Spending | None


class KeyMaker:
    """Flows that end in a user's key.

    Args:
        plan: What the keys are like.
        records: Where they are stored.
    """

    def __init__(self, plan: KeyPlan, records: ProvisionStore) -> None:
        self.plan, self.records = plan, records

    def obtain(self, user_id: str) -> Flow[UserKey]:
        """Return the user's key; make one if there is none, or the one there is about to expire.

        Raises:
            KeyRevokedError: The user's key was revoked.
            KeyStoreError: Another process takes too long.
            OpenRouterError: The account refused, or was not reached.
        """
        return self._obtain(user_id, None)

    def replace(self, user_id: str, grace: float | None = None) -> Flow[UserKey]:
        """Make a new key in place of the one there is; of several that do, one makes it."""
        return self._obtain(user_id, self.plan.grace if grace is None else check_grace(grace))

    def usable(self, record: ProvisionRecord) -> UserKey | None:
        """Return the key of a record if it works for long enough to be returned without a claim."""
        if record.revoked or record.key is None or self._is_due(record):
            return None
        return None if self._is_limit_due(record) else record.key

    def _obtain(self, user_id: str, grace: float | None) -> Flow[UserKey]:
        waiting, creations, first = Waiting(self.plan.lease), 0, ""

        while True:
            stored = yield from self.records.load(user_id)
            record, now = stored.record, self.plan.clock()
            _refuse_revoked(record)
            valid = None if self._is_expired(record) else record.key
            first = first or record.hash or "none"
            if valid is not None and self._is_enough(record, first, is_rotation=grace is not None):
                yield from self._raise_limit(stored)
                return valid

            if record.is_claimed(now):
                yield from waiting.wait(record)
                continue
            waiting.check(record)
            self.plan.external_id(user_id)  # raises before the user gets a record
            creations += 1
            fallback = valid if grace is None else None
            is_last = creations == _CREATIONS
            try:
                key = yield from self._make(stored, grace, fallback=fallback, is_last=is_last)
            except KeyRevokedError:
                raise
            except OpenRouterError as error:
                if not is_last and _may_have_created(error):
                    yield _steps.pause(_RETRY_PAUSE)
                    continue
                if fallback is None:
                    raise
                return fallback

            if key is not None:
                return key
            creations -= 1  # another process claimed first, or revoked

    def _is_enough(self, record: ProvisionRecord, first: str, *, is_rotation: bool) -> bool:
        """Tell whether a valid key is what was requested: a new one, or one not about to expire."""
        if is_rotation:
            return record.hash != first
        return not self._is_due(record) or record.is_claimed(self.plan.clock())

    def _is_expired(self, record: ProvisionRecord) -> bool:
        left = math.inf if record.expires_at is None else record.expires_at - self.plan.clock()
        return left < _CLOSE_TO_EXPIRY

    def _is_due(self, record: ProvisionRecord) -> bool:
        """Tell whether a key is about to expire."""
        if record.expires_at is None:
            return False
        life = record.expires_at - record.made_at
        margin = max(_CLOSE_TO_EXPIRY, min(life * _RENEWAL_SHARE, _MAX_RENEWAL))
        return record.expires_at - self.plan.clock() < margin

    # --- the limit ------------------------------------------------------------------------

    def _is_limit_due(self, record: ProvisionRecord) -> bool:
        """Tell whether the period has ended for which the key's limit was lowered."""
        spending = record.spending
        return (
            spending is not None
            and spending.limit is not None
            and spending.is_over(self.plan.clock())
        )

    def _raise_limit(self, stored: Stored) -> Flow[None]:
        """Give a key its whole limit, unless somebody else has changed it.

        One of several processes does. Where it fails, the key is used as it is: later uses try.
        """
        record = stored.record
        spending, hash_ = record.spending, record.hash
        if not self._is_limit_due(record) or spending is None or hash_ is None:
            return
        later = spending._replace(until=self.plan.clock() + self.plan.lease)
        if (yield from self.records.write(stored, replace(record, spending=later))) is None:
            return

        with suppress(OpenRouterError):
            row: KeyRecord = yield _steps.call("keys", "get", hash_)
            if is_same_limit(row.limit, spending.lowered):
                yield _steps.call("keys", "update", hash_, limit=spending.limit)
            yield from self.records.update(
                record.user_id, lambda r: replace(r, spending=None) if r.spending == later else r
            )

    # --- one key --------------------------------------------------------------------------

    def _make(
        self, stored: Stored, grace: float | None, *, fallback: UserKey | None, is_last: bool
    ) -> Flow[UserKey | None]:
        """Make a key under a claim; return None if another process claimed first, or revoked."""
        store_id = yield from self.records.store_id()
        nonce = new_nonce()
        claimed = yield from self._claim(stored, nonce)
        if claimed is None:
            return None

        name = KeyName(store_id, user_tag(store_id, stored.name), nonce)
        try:
            spending = yield from self._check_replaceable(claimed)
            if claimed.record.has_orphans:
                yield from self.delete_orphans(claimed.record, name)
            created = yield from self._create(claimed.record.user_id, name, spending)
        except _steps.INTERRUPTIONS as error:
            # A renewal that failed leaves its claim: nobody tries again before it ends.
            keeps_claim = fallback is not None and not isinstance(error, KeyRevokedError)
            if not keeps_claim:
                yield from self._release(claimed, error, is_last=is_last)
            raise

        grace = self.plan.grace if grace is None else grace
        return (yield from self._adopt(claimed, created, grace))

    def _claim(self, stored: Stored, nonce: str) -> Flow[Stored | None]:
        record = stored.record
        has_orphans = record.has_orphans or record.claim is not None  # its claimant did not finish
        claim = Claim(nonce, self.plan.clock() + self.plan.lease)
        claimed = replace(record, claim=claim, failure=None, has_orphans=has_orphans)

        written = yield from self.records.write(stored, claimed)
        if written is not None:
            return written
        current = yield from self.records.load(record.user_id)
        return current if _holds(current.record, nonce) else None  # the answer was lost

    def _check_replaceable(self, claimed: Stored) -> Flow[Spending | None]:
        """Check that nobody has disabled the key that is to be replaced; return what was spent.

        Raises:
            KeyRevokedError: Somebody has; the user is revoked in the store too now.
        """
        before, now = claimed.record.spending, self.plan.clock()
        before = None if before is None or before.is_over(now) else before
        if claimed.record.hash is None:
            return before
        try:
            row: KeyRecord = yield _steps.call("keys", "get", claimed.record.hash)
        except NotFoundError:
            return before

        if row.disabled:
            user_id = claimed.record.user_id
            yield from self.records.update(user_id, lambda r: replace(r, revoked=True, claim=None))
            raise KeyRevokedError(_DISABLED)
        return add_spending(row, before, self.plan.fields.get("limit_reset"), now)

    def _create(self, user_id: str, name: KeyName, spending: Spending | None) -> Flow[_NewKey]:
        plan, fields = self.plan, dict(self.plan.fields)
        if spending is not None:
            spending = spending._replace(limit=fields.get("limit"))
        if spending is not None and spending.lowered is not None:
            fields["limit"] = spending.lowered
        fields["external_user"] = plan.external_id(user_id)
        expires_at = None
        if plan.expires_after is not None:
            expires_at = float(int(plan.clock() + plan.expires_after))
            fields["expires_at"] = datetime.fromtimestamp(expires_at, UTC)

        text = name.format(plan.name_prefix)
        created: CreatedKey = yield _steps.call("keys", "create", text, **fields)
        # Not the hash that was sent: it may be another key's.
        hash_ = created.key.fingerprint
        try:
            _check_created(created, text, fields)
            if plan.guardrail is not None:
                yield _steps.call("guardrails", "assign_keys", plan.guardrail, [hash_])
        except _steps.INTERRUPTIONS:
            yield from self._delete_created(hash_, text)
            raise
        return _NewKey(created.key, expires_at, spending)

    def _delete_created(self, hash_: str, name: str) -> Flow[None]:
        """Delete a key that was just made, if it is the one of this name: no one else's.

        What fails here is left: the next creation, or a sweep, finds the key by its name.
        """
        try:
            row: KeyRecord = yield _steps.call("keys", "get", hash_)
        except OpenRouterError:
            return
        if row.name == name:
            yield from self.delete_key(hash_, is_quiet=True)

    def _adopt(self, claimed: Stored, created: _NewKey, grace: float) -> Flow[UserKey | None]:
        """Store a key that was created, unless its claim does not hold any more.

        If the store fails, the key stays where it is: whether it was stored is not known. The claim
        ends, and the next creation, or a sweep, compares.
        """
        assert claimed.record.claim is not None  # noqa: S101 - it was just written
        nonce, current = claimed.record.claim.nonce, claimed

        while _holds(current.record, nonce) and not current.record.revoked:
            now = self.plan.clock()
            record = current.record.with_key(
                created.key, created.expires_at, now=now, grace=grace, spending=created.spending
            )
            if (yield from self.records.write(current, record)) is not None:
                return created.key
            current = yield from self.records.load(claimed.record.user_id)
            if current.record.hash == created.key.fingerprint:
                return created.key  # the answer was lost

        yield from self.delete_key(created.key.fingerprint, is_quiet=True)
        yield from self._drop_claim(current, nonce)
        return None

    def _release(self, claimed: Stored, error: BaseException, *, is_last: bool) -> Flow[None]:
        """Give a claim up, and leave word of why to those who wait for it."""
        assert claimed.record.claim is not None  # noqa: S101 - it was just written
        nonce, failure = claimed.record.claim.nonce, None
        if isinstance(error, OpenRouterError) and (is_last or not _may_have_created(error)):
            failure = Failure(nonce, type(error).__name__, str(error), error.code)
        has_orphans = claimed.record.has_orphans or _may_have_created(error)
        record = replace(claimed.record, claim=None, failure=failure, has_orphans=has_orphans)

        # Where the store fails too, the claim ends by itself.
        try:
            written = yield from self.records.write(claimed, record)
            if written is None:
                current = yield from self.records.load(claimed.record.user_id)
                if _holds(current.record, nonce):
                    changed = replace(
                        current.record, claim=None, failure=failure, has_orphans=has_orphans
                    )
                    yield from self.records.write(current, changed)
        except Exception:  # noqa: BLE001, S110 - the error of the creation is what is raised
            pass

    def _drop_claim(self, stored: Stored, nonce: str) -> Flow[None]:
        if _holds(stored.record, nonce):
            yield from self.records.write(stored, replace(stored.record, claim=None))

    # --- keys of the account --------------------------------------------------------------

    def list_keys(self) -> Flow[list[KeyRecord]]:
        """Return all keys of the workspace."""
        rows = yield _steps.call(
            "keys",
            "list",
            include_disabled=True,
            include_expired=True,
            workspace_id=self.plan.workspace_id,
        )

        return list(rows)

    def delete_orphans(self, record: ProvisionRecord, name: KeyName) -> Flow[None]:
        """Delete the user's keys that nobody holds: those of other claims that were not stored.

        Args:
            record: The user's, claimed: only the claimant's key can be stored from now on.
            name: What the claimant's key is called.
        """
        rows = yield from self.list_keys()

        for row in rows:
            parsed = KeyName.parse(row.name, self.plan.name_prefix)
            if parsed is None or row.hash in record.hashes:
                continue
            if parsed[:2] == name[:2] and parsed.nonce != name.nonce:
                yield from self.delete_key(row.hash)

    def delete_key(self, hash_: str, *, is_quiet: bool = False) -> Flow[bool]:
        """Delete a key; return whether the account had it.

        Args:
            hash_: The key's.
            is_quiet: Whether a failure is ignored: a sweep finds what is left.

        Raises:
            OpenRouterError: The account refused, or was not reached.
        """
        try:
            yield _steps.call("keys", "delete", hash_)
        except NotFoundError:
            return False
        except OpenRouterError:
            if not is_quiet:
                raise
            return False

        return True


_REVOKED = "this user's key was revoked: `restore` allows one again"
_DISABLED = (
    "this user's key was disabled in the account: it counts as revoked, and `restore` allows one "
    "again"
)


def _refuse_revoked(record: ProvisionRecord) -> None:
    """Check that the user may have a key.

    Raises:
        KeyRevokedError: The user may not.
    """
    if record.revoked:
        raise KeyRevokedError(_REVOKED)


def _holds(record: ProvisionRecord, nonce: str) -> bool:
    return record.claim is not None and record.claim.nonce == nonce


def _may_have_created(error: BaseException) -> bool:
    """Tell whether the service may have made a key although an error came."""
    if isinstance(error, AuthenticationError):
        return False
    if isinstance(error, ResponseError) and error.code is not None:
        return error.code >= _SERVER_ERROR or error.code in {200, 201, _REQUEST_TIMEOUT}
    if isinstance(error, OpenRouterError):
        return not created_nothing(error)
    return not isinstance(error, ValueError)


def _check_created(created: CreatedKey, name: str, fields: dict[str, Any]) -> None:
    """Check that a new key is what was requested.

    Raises:
        UpstreamError: It is another user's, disabled, without its limit, or its name or hash is not
            its.
    """
    row = created.record
    problem = None
    if row.name != name:
        problem = "it is named like another"
    elif row.hash != created.key.fingerprint:
        problem = "its hash is another key's"
    elif row.external_user not in {None, fields["external_user"]}:
        problem = "it is another user's"
    elif row.disabled:
        problem = "it is disabled"
    elif "limit" in row.data and not is_same_limit(row.limit, fields.get("limit")):
        problem = "its limit is not as requested"

    if problem is not None:
        msg = (
            f"the service made a key, and {problem}: it is not used, and if it is this user's, it "
            "is deleted again"
        )
        raise UpstreamError(msg, is_retryable=False)
