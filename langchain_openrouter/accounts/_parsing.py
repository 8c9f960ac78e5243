"""Reading fields of the management API leniently: moments, lists, amounts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_int, get_list, get_str
from langchain_openrouter.oauth._key_info import parse_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["get_count", "get_flag", "get_moment", "get_strings", "read_all", "to_amount"]


def read_all(
    row: Mapping[str, Any], read: Callable[[Mapping[str, Any], str], Any], *names: str
) -> dict[str, Any]:
    """Return fields of a row by name, each as `read` returns it."""
    return {name: read(row, name) for name in names}


def get_count(row: Mapping[str, Any], name: str) -> int:
    """Return a number of things; 0 if it is none."""
    return get_int(row, name) or 0


def get_flag(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a field is true; anything else is not."""
    return row.get(name) is True


def get_moment(row: Mapping[str, Any], name: str) -> datetime | None:
    """Return a moment of a row, in UTC; None if it is none."""
    moment = parse_moment(get_str(row, name))
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError:  # year 1 or 9999, with an offset
        return None


def get_strings(row: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """Return the strings of a list; None if there is no list, which allows all."""
    values = get_list(row, name)
    return None if values is None else tuple(item for item in values if isinstance(item, str))


def to_amount(value: float | None) -> float | None:
    """Return a number as a float, which tables show as an amount."""
    return None if value is None else float(value)
