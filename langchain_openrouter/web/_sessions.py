"""Sessions: an opaque id in the visitor's cookie; the key is on a store, encrypted."""

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

# 32 random bytes, and the Unix time at which the session ends.
_ID = re.compile(r"[A-Za-z0-9_-]{43}\.[0-9]{10,12}")
_MAX_AGE = 10**11  # seconds; the end then has at most 12 digits
_CSRF_PURPOSE = "langchain-openrouter csrf token"


class _SessionKeys(KeyStore):
    """Keys by session, in a namespace of their own: a user id is never a session's id."""

    _prefix: ClassVar[str] = "openrouter-session-"
    _purpose: ClassVar[str] = "langchain-openrouter session key"
    _owner_field: ClassVar[str] = "session"


class Sessions:
    """Keys by session. Nothing is stored in this process.

    Args:
        store: Shared by all workers.
        secret: Of several, the first encrypts.
        age: Seconds after which a session ends.

    Raises:
        ValueError: The secret is weak, or the age is out of range.
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

    async def begin(self, key: UserKey, owner: str | None = None) -> str:
        """Store a key under a new session id; return the id.

        Args:
            key: The visitor's.
            owner: Whom the app itself has signed in: the session is theirs alone. In a browser
                that several people use, it is no session while the app has another one signed in,
                or nobody.
        """
        session = f"{secrets.token_urlsafe(32)}.{int(time.time() + self._age)}"
        await self._keys.aset(_entry(session, owner), key)
        return session

    async def key(self, session: str | None, owner: str | None = None) -> UserKey | None:
        """Return the key of an owner's session, None if there is none or it has ended."""
        if not is_session_id(session):
            return None
        if _has_ended(session):
            await self._keys.adelete(_entry(session, owner))
            return None
        return await self._keys.aget(_entry(session, owner))

    def read_key(self, session: str | None) -> UserKey | None:
        """Return like `key`, without an event loop."""
        if not is_session_id(session):
            return None
        if _has_ended(session):
            self._keys.delete(session)
            return None
        return self._keys.get(session)

    async def end(self, session: str | None, owner: str | None = None) -> None:
        """Delete an owner's session and its key."""
        if is_session_id(session):
            await self._keys.adelete(_entry(session, owner))

    def token(self, session: str) -> str:
        """Return the CSRF token of a session, which a form must send to end it."""
        return _csrf_token(self._csrf_keys[0], session)

    def is_token(self, session: str, token: str) -> bool:
        """Tell whether a CSRF token is the session's under any of the secrets, in constant time."""
        received = token.encode("utf-8", "surrogatepass")
        return any(
            hmac.compare_digest(_csrf_token(key, session).encode(), received)
            for key in self._csrf_keys
        )


def is_session_id(text: str | None) -> TypeGuard[str]:
    """Tell whether a cookie's value has the form of a session's id."""
    return text is not None and _ID.fullmatch(text) is not None


def _entry(session: str, owner: str | None) -> str:
    """Return the name of a session's entry, which only its owner's session has."""
    if owner is None:
        return session
    return f"{session}.{hashlib.sha256(owner.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _has_ended(session: str) -> bool:
    # The end is a part of the id: with another end there is no such entry.
    return int(session.rpartition(".")[2]) < time.time()


def _csrf_token(key: bytes, session: str) -> str:
    return hmac.new(key, session.encode(), hashlib.sha256).hexdigest()
