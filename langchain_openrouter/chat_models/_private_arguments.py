"""Arguments of a call that are sent and shown nowhere: headers, queries and extra bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PRIVATE_KWARGS = ("extra_headers", "extra_body", "extra_query")
"""What a call may carry that is neither traced nor written into a cache."""

REDACTED = "**REDACTED**"


class PrivateMapping(Mapping[str, Any]):
    """A mapping whose values no repr, trace or dump shows.

    It is no `dict`, so that `json.dumps` and LangChain's `dumps` write its repr.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        """Return a value, for sending."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate the names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._values)

    def __repr__(self) -> str:
        """Show the names."""
        return repr(dict.fromkeys(self._values, REDACTED))


def hide(value: Any) -> Any:
    """Return a mapping whose values do not show; anything else as it is."""
    return PrivateMapping(value) if isinstance(value, Mapping) else value


def reveal(value: Any) -> Any:
    """Return the plain dict behind `hide`."""
    return dict(value) if isinstance(value, PrivateMapping) else value
