"""A response of the catalog, read once: a thousand models take 8 ms each time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from langchain_openrouter._shortcuts import shortcuts

if TYPE_CHECKING:
    from collections.abc import Callable


class StoredResponse:
    """A response, when it came, and what was read in it."""

    __slots__ = ("_created_at", "_response", "_values")

    def __init__(self, response: Any) -> None:
        self._response = response
        self._created_at = time.monotonic()
        self._values: dict[Any, Any] = {}

    @property
    def age(self) -> float:
        """Seconds."""
        return time.monotonic() - self._created_at

    def parsed(self, parse: Callable[[Any], Any] | None) -> Any:
        """Return what `parse` reads in the response, which no caller can change; or its JSON."""
        if parse is None:
            return self._response
        if not shortcuts.enabled:
            return parse(self._response)

        if parse not in self._values:
            self._values[parse] = parse(self._response)
        return self._values[parse]
