"""Fragments of reasoning details -> the details that a whole answer would have carried."""

from __future__ import annotations

from typing import Any

from langchain_openrouter._json import get_str, is_empty

_GROWING = ("text", "summary", "data", "arguments", "result")


class Details:
    """Collects fragments in the order of their first appearance; n fragments cost O(n)."""

    def __init__(self) -> None:
        self.seen = False
        self._entries: list[dict[str, Any]] = []
        self._growing: list[dict[str, list[str]]] = []
        # The latest detail of each type and index, of each type, and of each index.
        self._latest: dict[tuple[str, int], int] = {}
        self._of_type: dict[str, int] = {}
        self._of_index: dict[int, int] = {}
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
        kind, index = get_str(fragment, "type"), _index_of(fragment)
        place = self._place(kind, index, fragment)
        if place is None:
            place = len(self._entries)
            self._entries.append({})
            self._growing.append({})

        entry, growing = self._entries[place], self._growing[place]
        for key, value in fragment.items():
            if key in _GROWING and isinstance(value, str):
                entry[key] = ""
                growing.setdefault(key, []).append(value)
            elif key not in entry or (is_empty(entry[key]) and not is_empty(value)):
                entry[key] = value

        self._remember(place, get_str(entry, "type"), _index_of(entry))
        return place

    def _remember(self, place: int, kind: str | None, index: int | None) -> None:
        if kind is not None:
            self._of_type[kind] = place
        if index is not None:
            self._of_index[index] = place
        if kind is not None and index is not None:
            self._latest[kind, index] = place

    def whole(self) -> list[dict[str, Any]] | None:
        """Return the details; None where none came, an empty list where that is what came."""
        if not self.seen and not self._entries:
            return None
        return [
            {**entry, **{key: "".join(pieces) for key, pieces in growing.items()}}
            for entry, growing in zip(self._entries, self._growing, strict=True)
        ]

    def _place(self, kind: str | None, index: int | None, fragment: dict[str, Any]) -> int | None:
        """Return the detail that the fragment continues, if any.

        Type and index name it. Without an index it continues the last detail of its type, if
        nothing of another type came between, or, as a signature alone, the last unsigned text;
        without a type, the detail of its index. A detail that came empty is filled by the next.
        """
        last = len(self._entries) - 1
        if kind is None:
            place = last if index is None else self._of_index.get(index, -1)
        elif index is None:
            place = self._of_type.get(kind, -1)
            if place != last and not self._takes_signature(place, fragment):
                place = -1
        else:
            place = self._latest.get((kind, index), -1)
        if place < 0 and last >= 0 and self._is_blank(last, kind, index):
            place = last
        return None if place < 0 or self._differs(place, kind, fragment) else place

    def _takes_signature(self, place: int, fragment: dict[str, Any]) -> bool:
        late = fragment.get("signature") and not fragment.get("text")
        return bool(late) and place >= 0 and not self._entries[place].get("signature")

    def _is_blank(self, place: int, kind: str | None, index: int | None) -> bool:
        """Tell whether a detail has no type or no text yet, and may be the one of these."""
        entry = self._entries[place]
        before = get_str(entry, "type")
        came = any(any(pieces) for pieces in self._growing[place].values())
        return (
            (before is None or not (came or entry.get("signature")))
            and (kind is None or before in {None, kind})
            and (index is None or _index_of(entry) in {None, index})
        )

    def _differs(self, place: int, kind: str | None, fragment: dict[str, Any]) -> bool:
        """Tell whether what the fragment says of itself is not so of the detail."""
        entry = self._entries[place]
        for key in ("id", "signature", "tool_call_id"):
            before, now = entry.get(key), fragment.get(key)
            if before and now and before != now:
                return True
        # Encrypted blocks come whole: a second one is another block, unless its id says not.
        return (
            kind == "reasoning.encrypted"
            and any(self._growing[place].get("data", ()))
            and bool(fragment.get("data"))
            and not fragment.get("id")
        )


def _index_of(detail: dict[str, Any]) -> int | None:
    index = detail.get("index")
    return index if isinstance(index, int) else None
