"""Fragments of reasoning details -> the details that a whole answer would have carried."""

from __future__ import annotations

from typing import Any

_GROWING = ("text", "summary", "data", "arguments", "result")


class Details:
    """Collects fragments in the order of their first appearance; n fragments cost O(n)."""

    def __init__(self) -> None:
        self.seen = False
        self._entries: list[dict[str, Any]] = []
        self._growing: list[dict[str, list[str]]] = []
        self._latest: dict[tuple[str, int | None], int] = {}
        self._frame: dict[str, Any] | None = None
        self._current = 0

    def add(self, fragment: dict[str, Any]) -> int:
        """Take one fragment; return the position of the detail that it belongs to."""
        frame, text = {**fragment, "text": None}, fragment.get("text")
        if frame == self._frame and isinstance(text, str):  # more of the one before
            self._growing[self._current]["text"].append(text)
            return self._current
        self._current = self._take(fragment)
        growing = [key for key in _GROWING if isinstance(fragment.get(key), str)]
        self._frame = frame if growing == ["text"] else None
        return self._current

    def _take(self, fragment: dict[str, Any]) -> int:
        kind, index = str(fragment.get("type")), fragment.get("index")
        index = index if isinstance(index, int) else None
        place = self._place(kind, index, fragment)
        if place is None:
            place = len(self._entries)
            self._entries.append({})
            self._growing.append({})
        self._latest[kind, index] = place
        entry, growing = self._entries[place], self._growing[place]
        for key, value in fragment.items():
            if key in _GROWING and isinstance(value, str):
                entry[key] = ""
                growing.setdefault(key, []).append(value)
            elif entry.get(key) is None:
                entry[key] = value
        return place

    def whole(self) -> list[dict[str, Any]] | None:
        """Return the details; None where none came, an empty list where that is what came."""
        if not self.seen and not self._entries:
            return None
        return [
            {**entry, **{key: "".join(pieces) for key, pieces in growing.items()}}
            for entry, growing in zip(self._entries, self._growing, strict=True)
        ]

    def _place(self, kind: str, index: int | None, fragment: dict[str, Any]) -> int | None:
        """Return the detail that the fragment continues, if any.

        `index` names it; without one it continues the last detail of its type, if nothing of
        another type came between, or, as a signature alone, the last unsigned text.
        """
        place = self._latest.get((kind, index))
        if index is None and place is not None and place != len(self._entries) - 1:
            late = fragment.get("signature") and not fragment.get("text")
            place = place if late and not self._entries[place].get("signature") else None
        if place is None:
            return None
        entry = self._entries[place]
        for key in ("id", "signature", "tool_call_id"):
            ours, theirs = entry.get(key), fragment.get(key)
            if ours and theirs and ours != theirs:
                return None
        # Encrypted blocks come whole: a second one is another block, unless its id says not.
        if kind == "reasoning.encrypted" and entry.get("data") is not None and (
            fragment.get("data") and not fragment.get("id")
        ):  # fmt: skip
            return None
        return place
