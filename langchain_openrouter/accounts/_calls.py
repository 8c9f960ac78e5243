"""`Call`: a request to the management API and how its response is read; sent sync or async."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

from langchain_openrouter._json import get_dict, get_dicts, get_str
from langchain_openrouter.accounts._rows import Row, Rows
from langchain_openrouter.errors import UpstreamError
from langchain_openrouter.oauth._key_info import parse_moment
from langchain_openrouter.settings import unknown_argument_message

__all__ = [
    "Call",
    "Sender",
    "build_body",
    "build_changes",
    "check_external_user",
    "confirm_deleted",
    "format_moment",
    "is_key_hash",
    "parse_row",
    "parse_rows",
    "path_segment",
]

T = TypeVar("T")
R = TypeVar("R", bound=Row)
_MAX_USER = 512  # characters
_MAX_SHOWN_DATE = 40  # characters of a date in a message


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request that is not sent yet."""

    method: str
    path: str
    parse: Callable[[dict[str, Any]], T]
    """Reads the JSON object of the response."""
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    query: Mapping[str, Any] | None = field(default=None, repr=False)
    is_repeatable: bool = True
    """Whether a second request has no further effect, so that a failed one may be repeated."""


class Sender(Protocol):
    """Sends calls."""

    def send(self, call: Call[T]) -> T:
        """Send a call and return its parsed response."""

    async def asend(self, call: Call[T]) -> T:
        """Send like `send`."""

    def service_url(self) -> str:
        """Return the base URL that calls are sent to now."""


# --- what is sent -----------------------------------------------------------------------------


def path_segment(value: str, name: str) -> str:
    """Return an id as a part of a path.

    Raises:
        ValueError: It is empty, or stands for another path.
    """
    if not isinstance(value, str) or not value.strip():
        msg = f"{name} must be a string that is not empty"
        raise ValueError(msg)
    if value in {".", ".."}:
        msg = f"{name} `{value}` cannot be addressed: look it up in the listing"
        raise ValueError(msg)
    return quote(value, safe="")


def build_body(fields: Mapping[str, Any], known: type) -> dict[str, Any]:
    """Return the fields of a request; sequences become lists.

    Args:
        fields: As passed.
        known: The TypedDict that names them.

    Raises:
        ValueError: One is unknown.
    """
    names = known.__annotations__
    for name in fields:
        if name not in names:
            raise ValueError(unknown_argument_message(name, names))

    return {
        name: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for name, value in fields.items()
    }


def build_changes(fields: Mapping[str, Any], known: type) -> dict[str, Any]:
    """Return the fields of an update like `build_body`.

    Raises:
        ValueError: One is unknown, or there is none, which the service refuses.
    """
    body = build_body(fields, known)
    if not body:
        names = ", ".join(f"`{name}`" for name in known.__annotations__)
        msg = f"no update fields provided: pass one of {names}"
        raise ValueError(msg)
    return body


def format_moment(value: datetime | str) -> str:
    """Return a moment as the API takes it: UTC, YYYY-MM-DDTHH:MM:SSZ.

    Raises:
        ValueError: It is no date, or has no offset.
    """
    moment = parse_moment(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        shown = str(value)[:_MAX_SHOWN_DATE]
        msg = f"a moment has a date, a time and an offset, such as 2026-12-31T00:00:00Z: {shown!r}"
        raise ValueError(msg)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_external_user(user: Any) -> str:
    """Return the app's own id of a user.

    Raises:
        ValueError: The service would refuse it.
    """
    is_valid = (
        isinstance(user, str)
        and 1 <= len(user) <= _MAX_USER
        and user == user.strip()
        and "\0" not in user
        and not any("\ud800" <= character <= "\udfff" for character in user)
    )

    if not is_valid:
        msg = "an external user is a text of 1 to 512 characters, without spaces around it"
        raise ValueError(msg)
    return str(user)


# --- what comes back --------------------------------------------------------------------------


def parse_row(
    from_api: Callable[[Mapping[str, Any]], T], id_field: str
) -> Callable[[dict[str, Any]], T]:
    """Return a function that reads the row of a response.

    Args:
        from_api: Converts the row.
        id_field: The field without which it is no row. The function raises `UpstreamError` then.
    """

    def parse(body: dict[str, Any]) -> T:
        row = get_dict(body, "data")
        if get_str(row, id_field) is None:
            msg = f"the service's answer cannot be read: it has no `{id_field}`"
            raise UpstreamError(msg, is_retryable=False)
        return from_api(row or {})

    return parse


def parse_rows(
    from_api: Callable[[Mapping[str, Any]], R],
) -> Callable[[dict[str, Any]], Rows[R]]:
    """Return a function that reads the rows of a list that has no pages.

    Args:
        from_api: Converts a row. The function raises `UpstreamError` where there is no list.
    """

    def parse(body: dict[str, Any]) -> Rows[R]:
        if not isinstance(body.get("data"), list):
            msg = "the service's answer cannot be read: it has no list `data`"
            raise UpstreamError(msg, is_retryable=False)
        return Rows(from_api(row) for row in get_dicts(body, "data"))

    return parse


def confirm_deleted(body: dict[str, Any]) -> None:
    """Check that the service says it has deleted something.

    Raises:
        UpstreamError: It does not.
    """
    if body.get("deleted") is not True:
        msg = "the service did not confirm the deletion: look it up before you rely on it"
        raise UpstreamError(msg, is_retryable=False)


_HASH = re.compile(r"[0-9a-f]{64}")


def is_key_hash(text: str) -> bool:
    """Tell whether a text is the sha256 of a key, not the key."""
    return _HASH.fullmatch(text) is not None
