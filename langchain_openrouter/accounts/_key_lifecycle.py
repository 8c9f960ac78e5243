"""What happens to a user's key after it was made: revoked, restored, deleted. Flows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_openrouter.accounts import _steps
from langchain_openrouter.accounts._key_names import KeyName, user_tag
from langchain_openrouter.errors import (
    KeyRevokedError,
    KeyStoreError,
    NotFoundError,
    OpenRouterError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_openrouter.accounts._key_maker import KeyMaker
    from langchain_openrouter.accounts._provision_record import ProvisionRecord
    from langchain_openrouter.accounts._provision_store import Stored
    from langchain_openrouter.accounts._steps import Flow
    from langchain_openrouter.oauth._user_key import UserKey

__all__ = ["KeyLifecycle"]

_TRIES = 10
_NO_NONCE = ""


class KeyLifecycle:
    """Flows that take a key away, and give it back.

    Args:
        maker: Makes keys, and deletes them.
    """

    def __init__(self, maker: KeyMaker) -> None:
        self._maker, self._records = maker, maker.records

    def revoke(self, user_id: str) -> Flow[None]:
        """Refuse the user a key from now on, then disable those that the account has."""
        stored = yield from self._records.update(user_id, _revoked)
        yield from self.disable(stored.record.hashes)

    def restore(self, user_id: str) -> Flow[None]:
        """Enable the user's key again, then allow it.

        In this order, and with the record as it was read: a `revoke` meanwhile has the last word.
        """
        for _ in range(_TRIES):
            stored = yield from self._records.load(user_id)
            record = stored.record
            if record.forgotten:
                msg = "this user is being forgotten: `forget` again, or sweep"
                raise KeyRevokedError(msg)
            if not record.revoked:
                return

            restored = yield from self._enable(record)
            if (yield from self._records.write(stored, restored)) is not None:
                return
            current = yield from self._records.load(user_id)
            if current.record.revoked:
                yield from self.disable(current.record.hashes)

        msg = "the user's record was changed each time that it was restored: try again"
        raise KeyStoreError(msg, is_retryable=True)

    def _enable(self, record: ProvisionRecord) -> Flow[ProvisionRecord]:
        restored = replace(record, revoked=False)
        if record.hash is None:
            return restored

        try:
            yield _steps.call("keys", "enable", record.hash)
        except NotFoundError:
            return restored.without(record.hash, self._maker.plan.clock())
        return restored

    def disable(self, hashes: Iterable[str]) -> Flow[None]:
        """Disable keys, all of them even if one fails; those that are gone need it no more.

        Raises:
            OpenRouterError: One could not be disabled.
        """
        failure: OpenRouterError | None = None

        for hash_ in hashes:
            try:
                yield _steps.call("keys", "disable", hash_)
            except NotFoundError:
                continue
            except OpenRouterError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def forget(self, user_id: str) -> Flow[None]:
        """Delete the user's keys in the account, then the record."""
        stored = yield from self._records.load(user_id)
        if stored.value is None:
            return
        stored = yield from self._records.update(user_id, _forgotten)
        yield from self.finish_forgetting(stored)

    def finish_forgetting(self, stored: Stored) -> Flow[None]:
        """Delete what a `forget` had not deleted yet."""
        store_id = yield from self._records.store_id()
        name = KeyName(store_id, user_tag(store_id, stored.name), _NO_NONCE)

        for _ in range(_TRIES):
            for hash_ in stored.record.hashes:
                yield from self._maker.delete_key(hash_)
            nobody = replace(stored.record, key=None, old_keys=())
            yield from self._maker.delete_orphans(nobody, name)
            if (yield from self._records.delete(stored)):
                return

            current = yield from self._records.load_entry(stored.name)
            if current is None or not current.record.forgotten:  # a revocation stays
                return
            stored = current

        msg = "the user's record was changed each time that it was deleted: try again"
        raise KeyStoreError(msg, is_retryable=True)

    def rotate(self, user_id: str, grace: float | None) -> Flow[UserKey]:
        """Replace the user's key, and delete those whose grace is over; a sweep deletes the rest.

        Args:
            user_id: The user's.
            grace: Seconds that the replaced key works on; None is the plan's.
        """
        key = yield from self._maker.replace(user_id, grace)
        with suppress(OpenRouterError):
            yield from self.delete_old(user_id, due_only=True)
        return key

    def delete_old(self, user_id: str, *, due_only: bool) -> Flow[int]:
        """Delete the keys that rotations replaced; return their number.

        Args:
            user_id: The user's.
            due_only: Only those whose grace is over.
        """
        stored = yield from self._records.load(user_id)
        now, count = self._maker.plan.clock(), 0

        for old in stored.record.old_keys:
            if due_only and old.delete_at > now:
                continue
            yield from self._maker.delete_key(old.hash)
            yield from self.remove(user_id, old.hash)
            count += 1
        return count

    def remove(self, user_id: str, hash_: str) -> Flow[None]:
        """Remove a key that the account does not have any more from the user's record."""
        now = self._maker.plan.clock()
        yield from self._records.update(user_id, lambda record: record.without(hash_, now))


def _revoked(record: ProvisionRecord) -> ProvisionRecord:
    """Return a record that stays: who was being forgotten would be let in again."""
    return replace(record, revoked=True, forgotten=False)


def _forgotten(record: ProvisionRecord) -> ProvisionRecord:
    return replace(record, revoked=True, forgotten=True)
