"""The records of provisioned keys in a `KeyStore`: encrypted as its keys are, each for its user.

An entry's name is a digest of the app's prefix and the user's id, as the names of a KeyStore's own
entries are, and begins as they do: `KeyStore.rotate` encrypts records anew too.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from pydantic import SecretBytes

from langchain_openrouter._http.frames import StrippedTracebacks
from langchain_openrouter._json import get_str
from langchain_openrouter.accounts import _steps
from langchain_openrouter.accounts._provision_record import ProvisionRecord
from langchain_openrouter.errors import KeyStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_openrouter.accounts._steps import Flow
    from langchain_openrouter.key_store import KeyStore

__all__ = ["ProvisionStore", "Stored"]

_PREFIX = "openrouter-key-provisioned-"
_STORE_ID = "openrouter-key-provisioner"
_TRIES = 50
_UNREADABLE = (
    "the record of a provisioned key cannot be read: it was encrypted with another secret, or "
    "altered"
)


class Stored(NamedTuple):
    """A record as it was read or written."""

    name: str
    value: SecretBytes | None
    """What the store has, in plain text where it is one that encrypts by itself; None: nothing."""
    record: ProvisionRecord


class ProvisionStore:
    """Reads and writes records.

    Args:
        key_store: Whose store and secret are used.
        name_prefix: Records of each prefix are apart.
    """

    def __init__(self, key_store: KeyStore, name_prefix: str) -> None:
        self._key_store = key_store
        self._app = hashlib.sha256(name_prefix.encode()).hexdigest()[:12]
        self._store_id: str | None = None

    @property
    def prefix(self) -> str:
        """How the names of all records begin."""
        return f"{_PREFIX}{self._app}-"

    def entry(self, user_id: str) -> str:
        """Return the name of a user's record.

        Raises:
            ValueError: It is no id.
        """
        if not user_id or not isinstance(user_id, str):
            msg = "a user id is a string that is not empty"
            raise ValueError(msg)
        return self.prefix + hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()

    def load(self, user_id: str) -> Flow[Stored]:
        """Return a user's record; a new one if there is none.

        Raises:
            KeyStoreError: It cannot be read.
        """
        name = self.entry(user_id)
        value = yield _steps.read(name)
        record = self._decode(name, value)
        return Stored(name, value, record or ProvisionRecord(user_id))

    def load_entry(self, name: str) -> Flow[Stored | None]:
        """Return the record of an entry; None if there is none any more.

        Raises:
            KeyStoreError: It cannot be read.
        """
        value = yield _steps.read(name)
        record = self._decode(name, value)
        return None if record is None else Stored(name, value, record)

    def write(self, stored: Stored, record: ProvisionRecord) -> Flow[Stored | None]:
        """Write a record if the store has what was read; return None if it has not."""
        record = replace(record, revision=stored.record.revision + 1)
        value = self._encode(record)
        if (yield _steps.swap(stored.name, stored.value, value)):
            return Stored(stored.name, value, record)
        return None

    def delete(self, stored: Stored) -> Flow[bool]:
        """Delete a record if the store has what was read; return whether it had."""
        deleted: bool = yield _steps.swap(stored.name, stored.value, None)
        return deleted

    def update(
        self, user_id: str, change: Callable[[ProvisionRecord], ProvisionRecord]
    ) -> Flow[Stored]:
        """Change a record, whatever others write meanwhile.

        Raises:
            KeyStoreError: Others wrote fifty times meanwhile.
        """
        for attempt in range(_TRIES):
            stored = yield from self.load(user_id)
            written = yield from self.write(stored, change(stored.record))
            if written is not None:
                return written
            yield _steps.pause(0.002 * attempt)

        msg = "the record of a provisioned key was changed each time that it was written: try again"
        raise KeyStoreError(msg, is_retryable=True)

    def store_id(self) -> Flow[str]:
        """Return the id of the store, which is made when it is first needed."""
        for _ in range(_TRIES):
            if self._store_id is not None:
                return self._store_id

            value = yield _steps.read(_STORE_ID)
            if value is None:
                id_ = secrets.token_hex(6)
                yield _steps.swap(_STORE_ID, None, self._seal({"provisioner": id_}))
                continue  # to read what the store has: another process may have been first
            self._store_id = get_str(self._open(value), "provisioner")
            if self._store_id is None:
                raise KeyStoreError(_UNREADABLE)

        msg = "the store does not keep what is written: use another one"
        raise KeyStoreError(msg)

    # --- encryption -----------------------------------------------------------------------

    def _encode(self, record: ProvisionRecord) -> SecretBytes:
        with StrippedTracebacks():
            return self._seal(record.to_json())

    def _decode(self, name: str, value: SecretBytes | None) -> ProvisionRecord | None:
        if value is None:
            return None
        with StrippedTracebacks():
            record = ProvisionRecord.from_json(self._open(value))
            if record is None or self.entry(record.user_id) != name:
                raise KeyStoreError(_UNREADABLE)
            return record

    def _seal(self, values: dict[str, object]) -> SecretBytes:
        cipher = self._key_store._cipher  # noqa: SLF001 - of the same package: one secret for both
        plain = json.dumps(values).encode()
        return SecretBytes(plain if cipher is None else cipher.encrypt(plain))

    def _open(self, value: SecretBytes) -> object:
        plain = self._key_store._decrypt(value.get_secret_value())  # noqa: SLF001 - as in `_seal`
        try:
            values: object = json.loads(plain)
        except (ValueError, RecursionError):
            raise KeyStoreError(_UNREADABLE) from None
        return values
