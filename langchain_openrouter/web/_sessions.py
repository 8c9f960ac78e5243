"""Sessions on a store: an opaque id in the visitor's cookie, everything else here, encrypted."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING

from langchain_openrouter._read import number_of, str_of
from langchain_openrouter._seal import cipher
from langchain_openrouter.key_store import KeyStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.stores import BaseStore

    from langchain_openrouter._seal import Secret
    from langchain_openrouter._user_key import UserKey

_PREFIX = "openrouter-done-"
_PURPOSE = "langchain-openrouter web session"


class Sessions:
    """Keys by session. Nothing is held in this process.

    Args:
        store: Shared by all workers.
        secret: Of several, the first encrypts.
        age: Seconds that a session lives.
    """

    def __init__(
        self, store: BaseStore[str, bytes], secret: Secret | Sequence[Secret], age: float
    ) -> None:
        self._store = store
        self._keys = KeyStore(store, secret)
        self._cipher = cipher(secret, _PURPOSE)
        self._age = age
        newest = secret[0] if isinstance(secret, list | tuple) else secret
        plain = newest.get_secret_value() if hasattr(newest, "get_secret_value") else newest
        raw = plain.encode() if isinstance(plain, str) else bytes(plain)  # type: ignore[arg-type]
        self._mac = hashlib.sha256(b"csrf " + raw).digest()

    async def begin(self, key: UserKey) -> str:
        """Keep a key under a new id; return the id."""
        session = f"{secrets.token_urlsafe(32)}.{int(time.time() + self._age)}"
        await self._keys.aset(session, key)
        return session

    async def key(self, session: str | None) -> UserKey | None:
        """Return the key of a session, None where there is none, or it is over."""
        if not session:
            return None
        ends = session.rpartition(".")[2]
        # The end is part of what the key is kept under: who changes it finds nothing.
        if not ends.isdecimal() or int(ends) < time.time():
            return None
        return await self._keys.aget(session)

    async def end(self, session: str | None) -> None:
        """Forget a session and its key."""
        if session:
            await self._keys.adelete(session)

    def token(self, session: str) -> str:
        """Return what a form must hold to end this session: no other site can know it."""
        return hmac.new(self._mac, session.encode(), hashlib.sha256).hexdigest()

    def is_token(self, session: str, token: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.token(session).encode(), token.encode())

    async def done(self, nonce: str, session: str) -> None:
        """Remember for a minute which session a sign-in began: a double click finds it."""
        value = json.dumps({"session": session, "until": time.time() + 60}).encode()
        await self._store.amset([(_name(nonce), self._cipher.encrypt(value))])

    async def session_of(self, nonce: str) -> str | None:
        """Return the session that a sign-in began."""
        value = (await self._store.amget([_name(nonce)]))[0]
        if value is None:
            return None
        found = json.loads(self._cipher.decrypt(value))
        if (number_of(found, "until") or 0) < time.time():
            await self._store.amdelete([_name(nonce)])
            return None
        return str_of(found, "session")


def _name(nonce: str) -> str:
    return _PREFIX + hashlib.sha256(nonce.encode()).hexdigest()
