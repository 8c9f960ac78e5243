"""A sweep: the store and the account compared, and what differs mended.

The account is listed first, and each record read after: a key that is not in its user's record, and
not made under the claim that the record has, can never get there. Its creator writes it only over
its own claim. So nothing is deleted that is just being stored, whatever the clocks say; a claim
that has expired is removed before the key that was made under it is.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_openrouter.accounts import _steps
from langchain_openrouter.accounts._key_names import KeyName, user_tag
from langchain_openrouter.accounts._rows import Rows
from langchain_openrouter.accounts._spending import add_spending
from langchain_openrouter.accounts._sweep_report import SweepAction, SweepKind, SweepReport
from langchain_openrouter.errors import KeyStoreError, NotFoundError, OpenRouterError

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_openrouter.accounts._key_lifecycle import KeyLifecycle
    from langchain_openrouter.accounts._key_maker import KeyMaker
    from langchain_openrouter.accounts._key_types import KeyRecord
    from langchain_openrouter.accounts._provision_record import ProvisionRecord
    from langchain_openrouter.accounts._provision_store import Stored
    from langchain_openrouter.accounts._steps import Flow, Step

__all__ = ["Sweep"]

_MAX_LOOKUPS = 10  # keys that are not listed, and may be newer


class Sweep:
    """One sweep.

    Args:
        maker: Deletes keys.
        lifecycle: Disables them, and finishes what was begun.
        dry_run: Whether nothing is changed.
        other_stores: Whether keys of this prefix that were made for other stores are deleted.
        force: Whether it is done even if the account has no user's key.
    """

    def __init__(
        self,
        maker: KeyMaker,
        lifecycle: KeyLifecycle,
        *,
        dry_run: bool,
        other_stores: bool,
        force: bool = False,
    ) -> None:
        self._maker, self._lifecycle, self._records = maker, lifecycle, maker.records
        self._dry_run, self._other_stores = dry_run, other_stores
        self._force = force

        self._actions: list[SweepAction] = []
        self._store_id = ""
        self._rows: dict[str, KeyRecord] = {}
        self._stored_hashes: set[str] = set()
        """Of keys that are in a record, or were: those need no further look."""

    def run(self) -> Flow[SweepReport]:
        """Sweep.

        Raises:
            KeyStoreError: The store cannot list its entries, or the account has no user's key.
            OpenRouterError: The account could not be listed.
        """
        self._store_id = yield from self._records.store_id()
        rows = yield from self._maker.list_keys()
        self._rows = {row.hash: row for row in rows}
        entries = yield _steps.entry_names(self._records.prefix)
        if not (self._dry_run or self._force):
            yield from self._check_account(entries)

        unreadable = set()
        for entry in entries:
            try:
                stored = yield from self._records.load_entry(entry)
            except KeyStoreError as error:
                unreadable.add(user_tag(self._store_id, entry))
                self._add(SweepAction("unreadable", error=str(error)))
                continue
            if stored is not None:
                yield from self._sweep_user(stored)

        named = self._named(rows)
        by_tag = {user_tag(self._store_id, entry): entry for entry in entries}
        for row, name in named:
            if name.user_tag not in unreadable:
                yield from self._sweep_key(row, name, by_tag)
        return SweepReport(self._dry_run, len(entries), len(named), Rows(self._actions))

    def _named(self, rows: list[KeyRecord]) -> list[tuple[KeyRecord, KeyName]]:
        prefix = self._maker.plan.name_prefix
        names = ((row, KeyName.parse(row.name, prefix)) for row in rows)
        return [(row, name) for row, name in names if name is not None]

    def _check_account(self, entries: list[str]) -> Flow[None]:
        """Check that the account is the one of the store: that it has a user's key.

        A single user's key may well have been deleted there.

        Raises:
            KeyStoreError: It has none of several.
        """
        missing, now = 0, self._maker.plan.clock()

        for entry in entries:
            try:
                stored = yield from self._records.load_entry(entry)
            except KeyStoreError:
                continue
            hash_ = None if stored is None else stored.record.hash
            if stored is None or hash_ is None or (stored.record.expires_at or math.inf) <= now:
                continue
            if hash_ in self._rows:
                return
            if missing < _MAX_LOOKUPS and (yield from self._row(hash_)) is not None:
                return
            missing += 1
        if missing > 1:
            msg = (
                f"the account has the key of none of the store's {missing} users: the management "
                "key or the workspace is another's; `force=True` sweeps all the same"
            )
            raise KeyStoreError(msg)

    # --- a user -----------------------------------------------------------------------------

    def _sweep_user(self, stored: Stored) -> Flow[None]:
        record, now = stored.record, self._maker.plan.clock()
        self._stored_hashes.update(record.hashes)
        if record.forgotten:
            flow = self._lifecycle.finish_forgetting(stored)
            yield from self._do("forgotten", flow, record, record.hash)
            return

        if record.revoked:
            for old in record.old_keys:
                yield from self._sweep_revoked(record, old.hash)
        for old in record.old_keys:
            if old.delete_at <= now:
                yield from self._do("old_key", self._delete(record, old.hash), record, old.hash)
        if record.claim is not None and not record.is_claimed(now):
            yield from self._do("stale_claim", self._fence(stored), record, None)
        if record.hash is not None:
            yield from self._sweep_current(record, record.hash)

    def _sweep_current(self, record: ProvisionRecord, hash_: str) -> Flow[None]:
        """Compare the user's current key."""
        try:
            row = yield from self._row(hash_)
        except OpenRouterError as error:
            self._add(SweepAction("missing", record.user_id, hash_, error=str(error)))
            return

        user_id, now = record.user_id, self._maker.plan.clock()
        is_past = record.expires_at is not None and record.expires_at <= now
        if row is None:
            yield from self._do("missing", self._lifecycle.remove(user_id, hash_), record, hash_)
        elif record.revoked:
            yield from self._sweep_revoked(record, hash_)
        elif row.disabled:
            yield from self._do("disabled", self._revoke_disabled(user_id, hash_), record, hash_)
        elif is_past and not record.is_claimed(now):
            yield from self._do("expired", self._delete_expired(record, hash_), record, hash_)

    def _sweep_revoked(self, record: ProvisionRecord, hash_: str) -> Flow[None]:
        """Disable a key of a revoked user, unless it is."""
        try:
            row = yield from self._row(hash_)
        except OpenRouterError as error:
            self._add(SweepAction("revoked", record.user_id, hash_, error=str(error)))
            return
        if row is not None and not row.disabled:
            yield from self._do("revoked", self._disable_revoked(record, hash_), record, hash_)

    def _row(self, hash_: str) -> Flow[KeyRecord | None]:
        """Return what the account has of a key that may be newer than the listing."""
        if hash_ in self._rows:
            return self._rows[hash_]
        try:
            row: KeyRecord = yield _steps.call("keys", "get", hash_)
        except NotFoundError:
            return None
        return row

    def _delete(self, record: ProvisionRecord, hash_: str) -> Flow[None]:
        yield from self._maker.delete_key(hash_)
        yield from self._lifecycle.remove(record.user_id, hash_)

    def _delete_expired(self, record: ProvisionRecord, hash_: str) -> Flow[None]:
        """Delete an expired key, unless somebody has disabled it meanwhile."""
        row: KeyRecord = yield _steps.call("keys", "get", hash_)
        if row.disabled:
            yield from self._revoke_disabled(record.user_id, hash_)
            return

        yield from self._maker.delete_key(hash_)
        plan = self._maker.plan
        now, period = plan.clock(), plan.fields.get("limit_reset")

        def remove(current: ProvisionRecord) -> ProvisionRecord:
            if current.hash != hash_:
                return current.without(hash_, now)
            spending = add_spending(row, current.spending, period, now)
            return replace(current.without(hash_, now), spending=spending)

        yield from self._records.update(record.user_id, remove)

    def _disable_revoked(self, record: ProvisionRecord, hash_: str) -> Flow[None]:
        """Disable a key of a user who is still revoked.

        The record is written first, as it is: a `restore` that has enabled the key notices.
        """
        stored = yield from self._records.load(record.user_id)
        if not stored.record.revoked:
            return
        if (yield from self._records.write(stored, stored.record)) is not None:
            yield from self._lifecycle.disable([hash_])

    def _revoke_disabled(self, user_id: str, hash_: str) -> Flow[None]:
        """Revoke a user whose key is still the one that somebody has disabled in the account."""
        stored = yield from self._records.load(user_id)
        row: KeyRecord = yield _steps.call("keys", "get", hash_)
        if not row.disabled or stored.record.hash != hash_:
            return
        revoked = replace(stored.record, revoked=True)
        if (yield from self._records.write(stored, revoked)) is not None:
            yield from self._lifecycle.disable(old.hash for old in revoked.old_keys)

    def _fence(self, stored: Stored) -> Flow[None]:
        """Remove a claim that has expired: its claimant cannot store a key any more."""
        yield from self._records.write(stored, replace(stored.record, claim=None, has_orphans=True))

    # --- a key ------------------------------------------------------------------------------

    def _sweep_key(self, row: KeyRecord, name: KeyName, by_tag: dict[str, str]) -> Flow[None]:
        """Delete a key that is in no record, and cannot get into one."""
        if (
            row.hash in self._stored_hashes
        ):  # also where the store has lost its id, and made another
            return
        if name.store_id != self._store_id:
            flow = self._maker.delete_key(row.hash) if self._other_stores else None
            yield from self._do("other_store", flow, None, row.hash)
            return

        entry = by_tag.get(name.user_tag)
        stored = None if entry is None else (yield from self._records.load_entry(entry))
        record = None if stored is None else stored.record
        if record is not None and (row.hash in record.hashes or record.forgotten):
            return
        if record is not None and record.claim is not None and record.claim.nonce == name.nonce:
            is_live = record.is_claimed(self._maker.plan.clock())
            if is_live or (stored is not None and not (yield from self._is_fenced(stored))):
                yield from self._do("in_progress", None, record, row.hash)
                return

        yield from self._do("orphan", self._maker.delete_key(row.hash), record, row.hash)

    def _is_fenced(self, stored: Stored) -> Flow[bool]:
        """Remove the claim; return whether nobody changed the record meanwhile."""
        if self._dry_run:
            return True
        fenced = replace(stored.record, claim=None, has_orphans=True)
        return (yield from self._records.write(stored, fenced)) is not None

    # --- the report -------------------------------------------------------------------------

    def _do(
        self,
        kind: SweepKind,
        flow: Generator[Step, Any, Any] | None,
        record: ProvisionRecord | None,
        hash_: str | None,
    ) -> Flow[None]:
        """Do something, unless this is a dry run, and report it.

        Args:
            kind: What was met.
            flow: What is done about it; None leaves it.
            record: The user's, if there is one.
            hash_: The key's.
        """
        row = self._rows.get(hash_ or "")
        user_id = None if row is None else row.external_user
        user_id = user_id if record is None else record.user_id
        action = SweepAction(kind, user_id, hash_, None if row is None else row.name)

        if flow is not None and not self._dry_run:
            try:
                yield from flow
                action = replace(action, done=True)
            except OpenRouterError as error:
                action = replace(action, error=str(error))
        elif flow is not None:
            flow.close()
        self._add(action)

    def _add(self, action: SweepAction) -> None:
        self._actions.append(action)
