"""`KeyStore`: users' keys by user id, encrypted."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import TYPE_CHECKING, ClassVar, Self

from langchain_core.stores import InMemoryByteStore
from pydantic import SecretStr

from langchain_openrouter._encryption import missing_secret, multi_fernet
from langchain_openrouter._http.api_key import to_secret
from langchain_openrouter._http.frames import StrippedTracebacks
from langchain_openrouter._json import get_str
from langchain_openrouter.errors import KeyStoreError
from langchain_openrouter.key_store._compare_and_set import aput, compare_and_set, put, writer_lock
from langchain_openrouter.key_store._file import FileStore
from langchain_openrouter.key_store._keyring import SERVICE, KeyringStore
from langchain_openrouter.oauth._user_key import UserKey

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from langchain_core.stores import BaseStore

    from langchain_openrouter._encryption import Secret

_ROTATION_TRIES = 10


class KeyStore:
    """Stores each user's key under the user's id, encrypted with a secret of yours.

    A stored value can be decrypted only under the id that it was stored for: somebody who can write
    to the store still cannot give one user another's key.

    Args:
        store: Any LangChain `BaseStore[str, bytes]`. None: in memory, until the process ends.
        secret: 16 bytes or more. Of several, the first encrypts and all decrypt, so that a secret
            can be replaced; `rotate` re-encrypts existing keys. Not needed in memory, nor for a
            store that encrypts by itself (`encrypts_at_rest`).

    Raises:
        ValueError: The secret is missing, too short, or easy to guess.
    """

    # A subclass for entries of another kind sets all three, so that none can be read as another.
    _prefix: ClassVar[str] = "openrouter-key-"
    _purpose: ClassVar[str] = "langchain-openrouter key store"
    _owner_field: ClassVar[str] = "owner"

    def __init__(
        self,
        store: BaseStore[str, bytes] | None = None,
        secret: Secret | Sequence[Secret] | None = None,
    ) -> None:
        if store is None:
            store, secret = InMemoryByteStore(), secret or secrets.token_bytes(32)
        if secret is None and not getattr(store, "encrypts_at_rest", False):
            raise missing_secret()
        self._store = store
        self._cipher = None if secret is None else multi_fernet(secret, self._purpose)

    @classmethod
    def file(cls, folder: str | os.PathLike[str] | None = None) -> Self:
        """Store keys in files that only the current user can read.

        The secret is stored in the same folder: this protects a single file that is copied or
        backed up, not the folder. A keyring is safer; see `keyring`.

        Args:
            folder: Created with mode 0700. None: `langchain-openrouter` where this system keeps
                users' data.

        Raises:
            KeyStoreError: The folder cannot be used, or others can read it.
        """
        store = FileStore(folder)
        return cls(store, store.once("secret", secrets.token_urlsafe(32).encode()))

    @classmethod
    def keyring(cls, service: str = SERVICE) -> Self:
        """Store keys in the operating system's keyring (extra `keyring`).

        Args:
            service: The name of the service in the keyring.

        Raises:
            KeyStoreError: This system has no keyring, or the extra is not installed.
        """
        return cls(KeyringStore(service))

    def get(self, user_id: str) -> UserKey | None:
        """Return a user's key, None if there is none.

        Raises:
            KeyStoreError: The stored key was encrypted with another secret, or was altered.
        """
        with StrippedTracebacks():
            return self._to_user_key(user_id, self._store.mget([self._name(user_id)])[0])

    async def aget(self, user_id: str) -> UserKey | None:
        """Return like `get`."""
        with StrippedTracebacks():
            values = await self._store.amget([self._name(user_id)])
            return self._to_user_key(user_id, values.pop())

    def set(self, user_id: str, key: UserKey | SecretStr | str) -> None:
        """Store a user's key, in place of an earlier one."""
        key = to_secret(key)
        with StrippedTracebacks():
            put(self._store, self._name(user_id), self._encrypt(user_id, key))

    async def aset(self, user_id: str, key: UserKey | SecretStr | str) -> None:
        """Store like `set`."""
        key = to_secret(key)
        with StrippedTracebacks():
            await aput(self._store, self._name(user_id), self._encrypt(user_id, key))

    def delete(self, user_id: str) -> None:
        """Delete a stored key. The key itself still works: see `UserKey.settings_url`."""
        put(self._store, self._name(user_id), None)

    async def adelete(self, user_id: str) -> None:
        """Delete like `delete`."""
        await aput(self._store, self._name(user_id), None)

    def rotate(self) -> int:
        """Re-encrypt all keys with the first secret; return their number.

        A key that is set or deleted meanwhile is not overwritten. This holds across processes for
        `RedisStore` and `FileStore`, across threads for a store in memory, and for any store with a
        method `compare_and_set(key, expected, value, *, ttl=None) -> bool`. On another store the
        key is read again right before it is written: rotate while nobody signs in.

        Raises:
            KeyStoreError: A value cannot be decrypted with any of the secrets; those before it are
                re-encrypted.
        """
        with writer_lock(self._store):
            names = dict.fromkeys(self._store.yield_keys(prefix=self._prefix))
        with StrippedTracebacks():
            return sum(self._rotate(name) for name in names)

    def _rotate(self, name: str) -> bool:
        """Re-encrypt a key; return whether it exists."""
        for _ in range(_ROTATION_TRIES):
            with writer_lock(self._store):
                value = self._store.mget([name])[0]
                if value is None or self._cipher is None:
                    return value is not None
                encrypted = self._cipher.encrypt(self._decrypt(value))
                if compare_and_set(self._store, name, value, encrypted):
                    return True

        msg = "a key was replaced each time that it was re-encrypted: rotate again"
        raise KeyStoreError(msg)

    def __repr__(self) -> str:
        """Show the type of the store, and no key."""
        return f"KeyStore({type(self._store).__name__})"

    def _name(self, user_id: str) -> str:
        """Return an entry's name: a hash, because stores restrict the characters of names."""
        if not user_id or not isinstance(user_id, str):
            msg = "a user id is a string that is not empty"
            raise ValueError(msg)
        return self._prefix + hashlib.sha256(user_id.encode()).hexdigest()

    def _encrypt(self, user_id: str, key: UserKey | SecretStr | str) -> bytes:
        user_key = key if isinstance(key, UserKey) else UserKey(key)  # type: ignore[arg-type]
        values = {
            self._owner_field: user_id,
            "key": user_key.secret.get_secret_value(),
            "user_id": user_key.user_id,
            "base_url": user_key.base_url,
        }

        plain = json.dumps(values).encode()
        return plain if self._cipher is None else self._cipher.encrypt(plain)

    def _to_user_key(self, user_id: str, value: bytes | None) -> UserKey | None:
        if value is None:
            return None
        key = _parse_key(self._decrypt(value), self._owner_field, user_id)
        if key is None:
            msg = "the stored key is not this user's, or was altered: delete it and sign in again"
            raise KeyStoreError(msg)
        return key

    def _decrypt(self, value: bytes) -> bytes:
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - an extra

        if self._cipher is None:
            return value
        try:
            return self._cipher.decrypt(value)
        except InvalidToken:
            msg = "a stored key cannot be read: it was encrypted with another secret, or altered"
            raise KeyStoreError(msg) from None


def _parse_key(plain: bytes, owner_field: str, owner: str) -> UserKey | None:
    """Parse a decrypted value; None if it was not stored for this owner."""
    try:
        values = json.loads(plain)
    except (ValueError, RecursionError):
        return None

    secret, base_url = get_str(values, "key"), get_str(values, "base_url")
    if secret is None or base_url is None or values.get(owner_field) != owner:
        return None
    return UserKey(SecretStr(secret), get_str(values, "user_id"), base_url)
