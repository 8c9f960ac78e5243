"""The limit and usage of a visitor's key, requested at most once in three seconds."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_openrouter import errors

if TYPE_CHECKING:
    from langchain_openrouter.oauth._user_key import UserKey

_AGE = 3.0  # seconds
_MAX_ENTRIES = 1024


class _Entry(NamedTuple):
    until: float
    lookup: asyncio.Task[dict[str, Any]]


class SpendingCache:
    """Amounts by key, in this process. Concurrent requests share one look-up."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}  # the oldest first

    async def get(self, key: UserKey) -> dict[str, Any]:
        """Return the limit, the remainder and the usage in USD; if unknown, the error's name."""
        name, loop, now = key.fingerprint, asyncio.get_running_loop(), time.monotonic()
        entry = self._entries.get(name)

        if entry is None or entry.until < now or entry.lookup.get_loop() is not loop:
            self._entries.pop(name, None)
            self._make_room(now)
            entry = self._entries[name] = _Entry(now + _AGE, loop.create_task(_look_up(key)))
        # Shielded: one of several requests that wait for it may be canceled.
        return await asyncio.shield(entry.lookup)

    def forget(self, fingerprint: str) -> None:
        """Drop the amounts of a key, so that the next call requests them again."""
        self._entries.pop(fingerprint, None)

    def _make_room(self, now: float) -> None:
        while self._entries:
            name = next(iter(self._entries))
            if len(self._entries) < _MAX_ENTRIES and self._entries[name].until >= now:
                return
            del self._entries[name]


async def _look_up(key: UserKey) -> dict[str, Any]:
    try:
        info = await key.ainfo()
    except errors.OpenRouterError as error:
        return {"problem": type(error).__name__}
    return {"limit": info.limit, "remaining": info.remaining, "usage": info.usage}
