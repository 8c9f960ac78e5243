"""Resolve the API key of a request: a secret, or a sync or async callable that returns one."""

from __future__ import annotations

import hashlib
import hmac
import inspect
from typing import TYPE_CHECKING, Any

import httpx2
from pydantic import SecretStr

from langchain_openrouter.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Generator


class BearerAuth(httpx2.Auth):
    """Attach a key to a request when it is sent; the key is a `SecretStr` until then."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Set the Authorization header."""
        request.headers["authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


class InferenceSecret(SecretStr):
    """A key that is known to be one for inference: the management API is never sent it."""


class UserSecret(InferenceSecret):
    """A user's key in a model, with the base URL of the API that it is for; None if unknown."""

    __slots__ = ("base_url",)

    def __init__(self, secret: str, base_url: str | None = None) -> None:
        super().__init__(secret)
        self.base_url = base_url

    def __eq__(self, other: object) -> bool:
        """Equal any secret of the same value."""
        if not isinstance(other, SecretStr):
            return NotImplemented
        return self.get_secret_value() == other.get_secret_value()

    def __hash__(self) -> int:
        """Hash as a `SecretStr`."""
        return hash(SecretStr(self.get_secret_value()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the API."""
        return UserSecret, (self.get_secret_value(), self.base_url)


class ManagementKey(SecretStr):
    """A key of the management API, which makes, limits and deletes other keys.

    It is of a type of its own so that no model can be given one: it pays for nothing, and who holds
    it holds every key of the account. It is not pickled, and a copy of it is the key itself.

    See https://openrouter.ai/docs/guides/overview/auth/management-api-keys.
    """

    def __copy__(self) -> ManagementKey:
        """Return the key itself."""
        return self

    def __deepcopy__(self, memo: Any) -> ManagementKey:
        """Return the key itself."""
        return self

    def __reduce__(self) -> Any:
        """Refuse to be pickled.

        Raises:
            TypeError: Always.
        """
        msg = (
            "a management key is not pickled: set OPENROUTER_MANAGEMENT_KEY where it is used, or "
            "pass `management_key=` a function that reads it"
        )
        raise TypeError(msg)


class KeySource:
    """A callable key that serves sync and async requests alike.

    Sync requests call it; async ones await `aget`. A plain callable serves both only if what it
    returns at once is the key.
    """

    def __call__(self) -> SecretStr:
        """Return the key of a sync request."""
        raise NotImplementedError

    async def aget(self) -> SecretStr:
        """Return the key of an async request."""
        raise NotImplementedError


INVALID_KEY = "the API key holds characters that no key has: copy it again"
_MANAGEMENT_KEY = (
    "a management key cannot be used for inference: it is for "
    "`langchain_openrouter.accounts.Accounts`, which can make a key for this"
)


def refuse_management_key(key: Any) -> None:
    """Check that a key that was given for inference is none of the management API.

    Raises:
        ValueError: It is.
    """
    if isinstance(key, ManagementKey):
        raise ValueError(_MANAGEMENT_KEY)  # noqa: TRY004 - as every wrong argument


def to_secret(key: Any) -> Any:
    """Return a plain string as a `SecretStr`, anything else as it is."""
    return SecretStr(key) if isinstance(key, str) else key


def call_for_async(key: Any) -> Any:
    """Call a callable key for an async request; what it returns may have to be awaited."""
    return key.aget() if isinstance(key, KeySource) else key()


def resolve_api_key(key: Any) -> SecretStr:
    """Return the key of a sync request.

    Args:
        key: A `SecretStr`, a string, or a callable that returns one of them.

    Raises:
        AuthenticationError: There is none, it is not valid in a header, or only an async callable
            returns it.
    """
    if callable(key):
        key = to_secret(key())

    if inspect.isawaitable(key):
        if inspect.iscoroutine(key):
            key.close()  # a coroutine that nobody awaits is a warning
        msg = "api_key is an async callable: use ainvoke, astream or abatch"
        raise AuthenticationError(msg)

    return _validated(to_secret(key))


async def aresolve_api_key(key: Any) -> SecretStr:
    """Return the key of an async request; a callable runs in the caller's context."""
    if callable(key):
        key = to_secret(call_for_async(key))
    if inspect.isawaitable(key):
        key = to_secret(await key)
    return _validated(to_secret(key))


def cache_fingerprint(key: Any, *more: Any) -> str:
    """Return a hash that distinguishes keys, and other private values, without revealing them.

    A callable is identified by its `id()`: resolve it first where two users may share it.
    """
    text = key.get_secret_value() if isinstance(key, SecretStr) else str(id(key))
    return hashlib.sha256("".join((text, *map(repr, more))).encode()).hexdigest()


def is_same_key(first: SecretStr, second: SecretStr) -> bool:
    """Tell whether two keys are equal; compares in constant time."""
    return hmac.compare_digest(
        first.get_secret_value().encode(), second.get_secret_value().encode()
    )


def _validated(key: Any) -> SecretStr:
    """Return a key that is valid in a header.

    Raises:
        AuthenticationError: It is missing, holds characters that no header may, or is one of the
            management API. The key is not in the message.
    """
    if isinstance(key, ManagementKey):
        raise AuthenticationError(_MANAGEMENT_KEY)
    if not isinstance(key, SecretStr) or not key.get_secret_value().strip():
        msg = "no OpenRouter API key: pass `api_key=` or set OPENROUTER_API_KEY"
        raise AuthenticationError(msg)

    if not is_header_value(key):
        raise AuthenticationError(INVALID_KEY)

    if _is_stripped(key):
        return key
    return SecretStr(key.get_secret_value().strip())


def is_header_value(key: SecretStr) -> bool:
    """Tell whether a key holds no character that a header may not."""
    text = key.get_secret_value().strip()
    return text.isascii() and text.isprintable() and " " not in text


def _is_stripped(key: SecretStr) -> bool:
    return key.get_secret_value() == key.get_secret_value().strip()
