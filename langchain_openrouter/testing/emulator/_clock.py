"""The emulator's clock, which tests move on."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clock"]


class Clock:
    """What time it is for the emulator: that of a source, and what it was advanced by.

    Safe to use from any thread.

    Args:
        source: Returns Unix time in seconds.
    """

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset = 0.0
        self._lock = threading.Lock()

    def time(self) -> float:
        """Return Unix time in seconds."""
        return self._source() + self._offset

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def advance(self, seconds: float) -> None:
        """Move the clock on; a negative number moves it back."""
        with self._lock:
            self._offset += seconds
