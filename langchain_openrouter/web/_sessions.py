"""Sessions on a store: an opaque id in the visitor's cookie, everything else here, encrypted."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import TYPE_CHECKING, ClassVar, TypeGuard

from langchain_openrouter._encryption import derived_keys
from langchain_openrouter.key_store import KeyStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.stores import BaseStore

    from langchain_openrouter._encryption import Secret
    from langchain_openrouter.oauth._user_key import UserKey

# 32 random bytes and the second in which the session ends.
_ID = re.compile(r"[A-Za-z0-9_-]{43}\.[0-9]{10,12}")
_MAX_AGE = 10**11  # seconds, so that the end has 12 digits at most
_CSRF_PURPOSE = "langchain-openrouter csrf token"


class _SessionKeys(KeyStore):
    """Keys by session: no user's id can be read as a session, nor a session as a user's id."""

    _prefix: ClassVar[str] = "openrouter-session-"
    _purpose: ClassVar[str] = "langchain-openrouter session key"
    _owner_field: ClassVar[str] = "session"


class Sessions:
    """Keys by session. Nothing is held in this process.

    Args:
        store: Shared by all workers.
        secret: Of several, the first encrypts.
        age: Seconds that a session lives.

    Raises:
        ValueError: The secret is weak, or the age is no number of seconds.
    """

    def __init__(
        self, store: BaseStore[str, bytes], secret: Secret | Sequence[Secret], age: float
    ) -> None:
        if not 0 < age < _MAX_AGE:
            msg = "session_age must be a number of seconds above 0"
            raise ValueError(msg)
        self._keys = _SessionKeys(store, secret)
        self._csrf_keys = derived_keys(secret, _CSRF_PURPOSE)
        self._age = age

    async def begin(self, key: UserKey) -> str:
        """Keep a key under a new id; return the id."""
        session = f"{secrets.token_urlsafe(32)}.{int(time.time() + self._age)}"
        await self._keys.aset(session, key)
        return session

    async def key(self, session: str | None) -> UserKey | None:
        """Return the key of a session, None where there is none, or it is over."""
        if not is_session_id(session):
            return None
        # The end is part of what the key is kept under: who changes it finds nothing.
        if int(session.rpartition(".")[2]) < time.time():
            await self._keys.adelete(session)
            return None
        return await self._keys.aget(session)

    async def end(self, session: str | None) -> None:
        """Forget a session and its key."""
        if is_session_id(session):
            await self._keys.adelete(session)

    def token(self, session: str) -> str:
        """Return what a form must hold to end this session: no other site can know it."""
        return _csrf_token(self._csrf_keys[0], session)

    def is_token(self, session: str, token: str) -> bool:
        """Compare in constant time; a page made before the secret was replaced still works."""
        received = token.encode("utf-8", "surrogatepass")
        return any(
            hmac.compare_digest(_csrf_token(key, session).encode(), received)
            for key in self._csrf_keys
        )


def is_session_id(text: str | None) -> TypeGuard[str]:
    """Tell whether a cookie's value has the one form that a session's id has."""
    return text is not None and _ID.fullmatch(text) is not None


def _csrf_token(key: bytes, session: str) -> str:
    return hmac.new(key, session.encode(), hashlib.sha256).hexdigest()
