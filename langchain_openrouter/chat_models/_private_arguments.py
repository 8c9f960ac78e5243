"""Arguments of a call that are sent but never shown: headers, queries and extra bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PRIVATE_KWARGS = ("extra_headers", "extra_body", "extra_query")
"""Arguments of a call whose values are neither traced nor written into a cache."""

REDACTED = "**REDACTED**"

# The model's fields for them, where the names differ.
_FIELDS = {"extra_headers": "default_headers", "extra_query": "default_query"}


class PrivateMapping(Mapping[str, Any]):
    """A mapping whose values are in no repr, trace or dump.

    It is not a `dict`, so that `json.dumps` and LangChain's `dumps` write its repr.

    Args:
        values: The values to send; copied.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        """Return a value, for sending."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._values)

    def __repr__(self) -> str:
        """Show the names, without the values."""
        return repr(dict.fromkeys(self._values, REDACTED))


def hide(value: Any) -> Any:
    """Return a mapping as one whose values are not shown; anything else unchanged."""
    return PrivateMapping(value) if isinstance(value, Mapping) else value


def reveal(value: Any) -> Any:
    """Return the mapping that `hide` was called with, as a dict; anything else unchanged."""
    return dict(value) if isinstance(value, PrivateMapping) else value


def redact_private(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call as traces may show them: the private ones without values."""
    redacted = dict(kwargs)
    for name in PRIVATE_KWARGS:
        value = reveal(kwargs.get(name))
        if isinstance(value, Mapping):
            redacted[name] = dict.fromkeys(value, REDACTED)
    return redacted


def move_private_model_kwargs(values: dict[str, Any]) -> dict[str, Any]:
    """Move headers, query and body out of `model_kwargs`, where they would be sent as a body.

    Args:
        values: Arguments of the constructor, by field.

    Raises:
        ValueError: One of them is not a mapping.
    """
    extra = values.get("model_kwargs")
    if not isinstance(extra, Mapping) or not any(name in extra for name in PRIVATE_KWARGS):
        return values

    moved = dict(values)
    for name in PRIVATE_KWARGS:
        value = extra.get(name)
        if value is None:
            continue
        field = _FIELDS.get(name, name)
        if not isinstance(value, Mapping):
            msg = f"model_kwargs[{name!r}] must be a mapping: pass it as `{field}=`"
            raise ValueError(msg)  # noqa: TRY004 - pydantic reports ValueErrors
        moved[field] = {**value, **(moved.get(field) or {})}

    moved["model_kwargs"] = {k: v for k, v in extra.items() if k not in PRIVATE_KWARGS}
    return moved
