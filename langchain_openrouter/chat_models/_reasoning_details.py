"""Fragments of reasoning details -> the details that a complete response would have carried."""

from __future__ import annotations

from typing import Any

from langchain_openrouter._json import get_str, is_empty
from langchain_openrouter.chat_models._pieces import TextBuffer

# Fields that come in parts, one in each fragment.
_TEXT_FIELDS = ("text", "summary", "data", "arguments", "result")
_REPEATED_FIELDS = {"text", "summary"}  # many fragments are the one before but for one of these


class ReasoningDetailsAccumulator:
    """Collects fragments in the order of their first appearance; n fragments cost O(n)."""

    def __init__(self) -> None:
        self.was_sent = False  # the response has the field, be it empty
        self._entries: list[dict[str, Any]] = []
        self._parts: list[dict[str, TextBuffer]] = []  # of the text fields of each entry
        self._with_text: list[set[str]] = []  # the text fields of each entry that are not empty

        # The latest detail of each type and index, of each type, and of each index.
        self._latest: dict[tuple[str, int], int] = {}
        self._by_type: dict[str, int] = {}
        self._by_index: dict[int, int] = {}

        # The latest fragment without its text, the field of the text, and its position.
        self._last_envelope: dict[str, Any] | None = None
        self._last_field = "text"
        self._last_position = 0

    def add(self, fragment: dict[str, Any]) -> int:
        """Add one fragment.

        Args:
            fragment: An item of a delta's `reasoning_details`.

        Returns:
            The position of the detail that it belongs to.
        """
        field = self._last_field
        text = fragment.get(field)
        if isinstance(text, str) and {**fragment, field: None} == self._last_envelope:
            return self.add_text(text)  # only the text is new

        self._last_position = self._merge(fragment)
        text_fields = [key for key in _TEXT_FIELDS if isinstance(fragment.get(key), str)]
        self._last_envelope = None
        if len(text_fields) == 1 and text_fields[0] in _REPEATED_FIELDS:
            self._last_field = text_fields[0]
            self._last_envelope = {**fragment, self._last_field: None}
        return self._last_position

    @property
    def takes_text(self) -> bool:
        """Whether the latest fragment had a text and nothing else that comes in parts."""
        return self._last_envelope is not None

    def add_text(self, text: str) -> int:
        """Add a fragment that is the one before it but for its text; return like `add`."""
        self._parts[self._last_position][self._last_field].append(text)
        if text:
            self._with_text[self._last_position].add(self._last_field)
        return self._last_position

    def result(self) -> list[dict[str, Any]] | None:
        """Return the details: None if the field was not sent, an empty list if it was empty."""
        if not self.was_sent and not self._entries:
            return None

        return [
            {**entry, **{key: "".join(texts) for key, texts in parts.items()}}
            for entry, parts in zip(self._entries, self._parts, strict=True)
        ]

    def _merge(self, fragment: dict[str, Any]) -> int:
        """Merge a fragment into the detail that it continues, or a new one; return which."""
        kind, index = get_str(fragment, "type"), _index_of(fragment)
        position = self._find_continued(kind, index, fragment)
        if position is None:
            position = len(self._entries)
            self._entries.append({})
            self._parts.append({})
            self._with_text.append(set())

        entry, parts = self._entries[position], self._parts[position]
        for key, value in fragment.items():
            if key in _TEXT_FIELDS and isinstance(value, str):
                entry[key] = ""
                if key not in parts:
                    parts[key] = TextBuffer()
                parts[key].append(value)
                if value:
                    self._with_text[position].add(key)
            elif key not in entry or (is_empty(entry[key]) and not is_empty(value)):
                entry[key] = value

        self._record_latest(position, get_str(entry, "type"), _index_of(entry))
        return position

    def _record_latest(self, position: int, kind: str | None, index: int | None) -> None:
        if kind is not None:
            self._by_type[kind] = position
        if index is not None:
            self._by_index[index] = position
        if kind is not None and index is not None:
            self._latest[kind, index] = position

    def _find_continued(
        self, kind: str | None, index: int | None, fragment: dict[str, Any]
    ) -> int | None:
        """Return the position of the detail that the fragment continues, if any.

        Type and index identify it. Without an index the fragment continues the last detail of its
        type, if no detail of another type came between, or, as a signature alone, the last unsigned
        text; without a type, the detail of its index. A detail that came empty is filled by the
        next fragment.
        """
        last = len(self._entries) - 1
        if kind is None:
            position = last if index is None else self._by_index.get(index, -1)
        elif index is None:
            position = self._by_type.get(kind, -1)
            if position != last and not self._takes_signature(position, fragment):
                position = -1
        else:
            position = self._latest.get((kind, index), -1)

        if position < 0 and last >= 0 and self._is_blank(last, kind, index):
            position = last
        return None if position < 0 or self._conflicts(position, kind, fragment) else position

    def _takes_signature(self, position: int, fragment: dict[str, Any]) -> bool:
        """Tell whether the fragment is a signature alone and the detail is unsigned."""
        is_signature = fragment.get("signature") and not fragment.get("text")
        return bool(is_signature) and position >= 0 and not self._entries[position].get("signature")

    def _is_blank(self, position: int, kind: str | None, index: int | None) -> bool:
        """Tell whether a detail has no type or no text yet, and may have these."""
        entry = self._entries[position]
        entry_kind = get_str(entry, "type")
        has_text = bool(self._with_text[position])

        return (
            (entry_kind is None or not (has_text or entry.get("signature")))
            and (kind is None or entry_kind in {None, kind})
            and (index is None or _index_of(entry) in {None, index})
        )

    def _conflicts(self, position: int, kind: str | None, fragment: dict[str, Any]) -> bool:
        """Tell whether the fragment has an id, a signature or data that is not the detail's."""
        entry = self._entries[position]
        for key in ("id", "signature", "tool_call_id"):
            before, now = entry.get(key), fragment.get(key)
            if before and now and before != now:
                return True

        # Encrypted data comes in one fragment: another fragment with data is another detail,
        # unless an equal id (compared above) identifies the two.
        return (
            kind == "reasoning.encrypted"
            and "data" in self._with_text[position]
            and bool(fragment.get("data"))
            and not fragment.get("id")
        )


def _index_of(detail: dict[str, Any]) -> int | None:
    index = detail.get("index")
    return index if isinstance(index, int) else None
