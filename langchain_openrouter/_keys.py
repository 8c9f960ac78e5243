"""The key, asked for when a request is made: a string, a secret, a sync or async callable."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any

from pydantic import SecretStr

from langchain_openrouter.errors import AuthenticationError


def key_of(key: Any) -> str:
    """Return the key for a sync request.

    Raises:
        AuthenticationError: There is none, or only an async callable gives it.
    """
    if callable(key):
        key = key()
    if inspect.isawaitable(key):
        if inspect.iscoroutine(key):
            key.close()
        msg = "api_key is an async callable: use ainvoke, astream or abatch"
        raise AuthenticationError(msg)
    return _checked(key)


async def akey_of(key: Any) -> str:
    """Return the key for an async request; a callable runs in the caller's own context."""
    if callable(key):
        key = key()
    if inspect.isawaitable(key):
        key = await key
    return _checked(key)


def fingerprint(key: Any, *more: Any) -> str:
    """Return what tells keys, and whatever else is private, apart without giving them away.

    The sha256 of a key alone is the id OpenRouter itself puts into links to it.
    See https://openrouter.ai/docs/use-cases/oauth-pkce.
    """
    text = key.get_secret_value() if isinstance(key, SecretStr) else str(id(key))
    return hashlib.sha256("".join((text, *map(repr, more))).encode()).hexdigest()


def _checked(key: Any) -> str:
    """Return a key that can stand in a header; one that cannot is not shown."""
    if isinstance(key, SecretStr):
        key = key.get_secret_value()
    if not isinstance(key, str) or not key.strip():
        msg = "no OpenRouter API key: pass `api_key=` or set OPENROUTER_API_KEY"
        raise AuthenticationError(msg)
    text: str = key.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        msg = "the API key holds characters that no key has: copy it again"
        raise AuthenticationError(msg)
    return text
