"""Compare a new key with what its sign-in requested: the page may not honor every parameter."""

from __future__ import annotations

import math
import warnings
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from langchain_openrouter._json import get_number
from langchain_openrouter._redaction import mask_key
from langchain_openrouter.oauth._key_info import KeyInfo, parse_moment

if TYPE_CHECKING:
    from langchain_openrouter._http import oneshot
    from langchain_openrouter.oauth._user_key import UserKey

# The field of `GET /key` that shows what became of each argument.
_FIELDS = {
    "limit": "limit",
    "usage_limit_type": "limit_reset",
    "expires_at": "expires_at",
    "workspace_id": "workspace_id",
}


class Requested(Protocol):
    """What a sign-in requests of its key: the fields of a `PKCELogin`."""

    @property
    def limit(self) -> float | None: ...
    @property
    def usage_limit_type(self) -> str | None: ...
    @property
    def expires_at(self) -> str | None: ...
    @property
    def workspace_id(self) -> str | None: ...
    @property
    def required_workspace_id(self) -> str | None: ...


def requested_of(login: Requested) -> dict[str, Any]:
    """Return what a sign-in requests of the key; the required workspace wins over the other."""
    requested = {
        "limit": login.limit,
        "usage_limit_type": login.usage_limit_type,
        "expires_at": login.expires_at,
        "workspace_id": login.required_workspace_id or login.workspace_id,
    }
    return {name: value for name, value in requested.items() if value is not None}


def compare_granted(login: Requested, key: UserKey, response: oneshot.Response) -> UserKey:
    """Return the key with its `granted`, from the response of `GET /key`.

    A field that the service does not send is not compared. An error changes nothing: the key is
    good all the same.
    """
    if response.error() is not None:
        return key

    data = KeyInfo.from_api(response.data).data
    granted = {
        name: mask_key(data[_FIELDS[name]], key.secret)
        for name, value in requested_of(login).items()
        if _FIELDS[name] in data and not _is_same(name, value, data[_FIELDS[name]])
    }
    return replace(key, granted=granted)


def warn_of_difference(login: Requested, key: UserKey) -> None:
    """Warn where the key has something else than was requested.

    Where warnings are errors there is none: it would lose the key. `granted` tells in any case.
    """
    if not key.granted:
        return

    requested = requested_of(login)
    differences = ", ".join(
        f"{name} is {_shown(value)} instead of {requested[name]!r}"
        for name, value in key.granted.items()
    )
    msg = (
        f"the key was created, but not as requested: {differences} - its owner can change it at "
        f"{key.settings_url}"
    )
    with suppress(Warning):
        warnings.warn(msg, UserWarning, stacklevel=4)


def _is_same(name: str, requested: Any, granted: Any) -> bool:
    if name == "expires_at":
        before, after = parse_moment(requested), parse_moment(granted)
        if before is not None and after is not None:
            return abs((before - after).total_seconds()) < 1

    if name == "limit":
        amount = get_number({"limit": granted}, "limit")
        return amount is not None and math.isclose(requested, amount, abs_tol=1e-9)
    return bool(requested == granted)


def _shown(value: Any) -> str:
    """Return a value of the service, shortened."""
    return repr(value)[:100]
