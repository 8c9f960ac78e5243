"""Resolve the key of a request to the management API, which is never a key for inference."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import SecretStr

from langchain_openrouter._http.api_key import (
    INVALID_KEY,
    InferenceSecret,
    ManagementKey,
    is_header_value,
)
from langchain_openrouter.errors import AuthenticationError

_MISSING = (
    "no management key: pass `management_key=` or set OPENROUTER_MANAGEMENT_KEY; "
    "https://openrouter.ai/settings/management-keys makes one"
)
_INFERENCE = (
    "this is a key for inference: the management API needs a management key, which "
    "https://openrouter.ai/settings/management-keys makes"
)
_ASYNC = "management_key is an async callable: use the methods that begin with `a`"


def to_management_key(key: Any) -> Any:
    """Return a string or a plain secret as a `ManagementKey`; None and a callable as they are.

    Raises:
        ValueError: It is a key for inference, or no key.
    """
    if key is None or isinstance(key, ManagementKey):
        return key
    if isinstance(key, str):
        return ManagementKey(key)
    if isinstance(key, InferenceSecret):
        raise ValueError(_INFERENCE)  # noqa: TRY004 - as every wrong argument
    if isinstance(key, SecretStr):
        return ManagementKey(key.get_secret_value())
    if callable(key):
        return key

    msg = f"`management_key` must be a ManagementKey, a string or a callable: {type(key).__name__}"
    raise ValueError(msg)


def resolve_management_key(key: Any) -> ManagementKey:
    """Return the key of a sync request to the management API. Whose run it is does not matter.

    Args:
        key: A `ManagementKey`, or a callable that returns one, a string or a secret.

    Raises:
        AuthenticationError: There is none, it is one for inference, or only an async callable
            returns it.
    """
    if callable(key):
        key = key()

    if inspect.isawaitable(key):
        if inspect.iscoroutine(key):
            key.close()  # a coroutine that nobody awaits is a warning
        raise AuthenticationError(_ASYNC)
    return _validated(key)


async def aresolve_management_key(key: Any) -> ManagementKey:
    """Return like `resolve_management_key`; a callable may be async."""
    if callable(key):
        key = key()
    if inspect.isawaitable(key):
        key = await key
    return _validated(key)


def _validated(key: Any) -> ManagementKey:
    try:
        key = to_management_key(key)
    except ValueError as error:
        raise AuthenticationError(str(error)) from None

    if not isinstance(key, ManagementKey) or not key.get_secret_value().strip():
        raise AuthenticationError(_MISSING)
    if not is_header_value(key):
        raise AuthenticationError(INVALID_KEY)
    return ManagementKey(key.get_secret_value().strip())
