"""The items that the events of `POST /responses` speak of: by item id, call id, output index.

Services leave out each of them, give all items the same index, or change an item's id on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_str

if TYPE_CHECKING:
    from collections.abc import Iterable

_KINDS = {"function_call": "call", "custom_tool_call": "call"}


class _Item:
    """What is known of an item."""

    __slots__ = ("call_id", "id", "index", "is_done", "kind", "latest")

    def __init__(self) -> None:
        self.id: str | None = None
        self.call_id: str | None = None
        self.index: int | None = None
        self.kind: str | None = None
        self.is_done = False
        self.latest: dict[str, Any] | None = None  # its latest JSON


class _Keys:
    """By what an event identifies its item."""

    __slots__ = ("begins", "call_id", "id", "index", "is_done", "item", "kind")

    def __init__(self, event: dict[str, Any]) -> None:
        self.item = get_dict(event, "item")
        event_type = str(event.get("type"))
        item = self.item or {}

        self.id = get_str(item, "id") or get_str(event, "item_id") or None
        self.call_id = get_str(item, "call_id") or get_str(event, "call_id") or None
        index = event.get("output_index")
        self.index: int | None = index if type(index) is int else None
        self.kind = _to_kind(event_type, item)
        self.begins = event_type == "response.output_item.added"
        self.is_done = event_type == "response.output_item.done"


class ItemPositions:
    """Tells which item an event belongs to; n events cost O(n)."""

    def __init__(self) -> None:
        self._items: list[_Item] = []

        # Positions of the latest item with each key.
        self._by_id: dict[str, int] = {}
        self._by_id_and_index: dict[tuple[str, int], int] = {}
        self._by_call_id: dict[str, int] = {}
        self._by_index: dict[int, int] = {}
        self._last = -1
        self._last_keys: tuple[Any, ...] | None = None

    def locate(self, event: dict[str, Any]) -> int:
        """Return the position of an event's item, in order of appearance; a new one for a new item.

        Args:
            event: An item, or a piece of one.
        """
        keys = (event.get("item_id"), event.get("output_index"), event.get("type"))
        if keys == self._last_keys:  # most events
            return self._last

        event_keys = _Keys(event)
        position = self._find(event_keys)
        if position is None:
            position = len(self._items)
            self._items.append(_Item())
        self._record(position, event_keys)
        self._last = position
        self._last_keys = keys if event_keys.item is None else None
        return position

    def hint(self, item: dict[str, Any], index: int) -> int:
        """Return where an item of the complete output was shown, if it was; else -1.

        Args:
            item: Identified by its id.
            index: In the complete output; for an item without an id that is known.
        """
        position = self._by_id_and_index.get((get_str(item, "id") or "", index))
        if position is None:
            position = self._by_id.get(get_str(item, "id") or "")
        return self._by_index.get(index, -1) if position is None else position

    def in_order(self, positions: Iterable[int]) -> list[int]:
        """Return positions by their output indices, or as they appeared if these say nothing."""
        known = sorted(positions)
        indices = {position: self._items[position].index for position in known}
        if None in indices.values() or len(set(indices.values())) < len(indices):
            return known
        return sorted(known, key=lambda position: indices[position] or 0)

    def _record(self, position: int, keys: _Keys) -> None:
        item = self._items[position]
        item.id, item.call_id = item.id or keys.id, item.call_id or keys.call_id
        item.index = keys.index if item.index is None else item.index
        item.kind = item.kind or keys.kind
        item.is_done = item.is_done or keys.is_done
        item.latest = keys.item or item.latest

        if keys.id:
            self._by_id[keys.id] = position
            if keys.index is not None:
                self._by_id_and_index[keys.id, keys.index] = position
        if keys.call_id:
            self._by_call_id[keys.call_id] = position
        if keys.index is not None:
            self._by_index[keys.index] = position

    def _find(self, keys: _Keys) -> int | None:
        """Return the position of the item with these keys; None if it is a new one."""
        if keys.id:
            position = None
            if keys.index is not None:
                position = self._by_id_and_index.get((keys.id, keys.index))
            if position is None:
                position = self._by_id.get(keys.id)
            if position is not None and self._has_id(self._items[position], keys):
                return position

        if keys.call_id:
            position = self._by_call_id.get(keys.call_id)
            if position is not None and self._has_call_id(self._items[position], keys):
                return position

        position = self._last if keys.index is None else self._by_index.get(keys.index)
        if position is None or position < 0:
            return None
        return position if self._is_next(self._items[position], keys) else None

    @staticmethod
    def _has_id(item: _Item, keys: _Keys) -> bool:
        """Tell whether an item with the same id is the same: services repeat ids."""
        if keys.call_id and item.call_id and keys.call_id != item.call_id:
            return False
        return not (_differ(item.index, keys.index) and (keys.begins or item.is_done))

    @staticmethod
    def _has_call_id(item: _Item, keys: _Keys) -> bool:
        """Tell whether an item with the same call id is the same."""
        is_other = _differ(item.index, keys.index) or _differ(item.id, keys.id)
        return not (is_other and (keys.begins or item.is_done or _differ(item.index, keys.index)))

    @staticmethod
    def _is_next(item: _Item, keys: _Keys) -> bool:
        """Tell whether an event at an item's index, or after it, belongs to it."""
        if _differ(item.call_id, keys.call_id) or _differ(item.kind, keys.kind):
            return False
        if _differ(item.id, keys.id):
            # An id may change on the way; of calls that nothing began, each has its own.
            is_call = keys.kind == "call" and not keys.is_done and item.latest is None
            return not (keys.begins or item.is_done or is_call or keys.index is None)

        is_again = keys.item is not None and item.latest is not None
        if is_again and (keys.begins or item.is_done) and not (item.id and keys.id):
            return keys.item == item.latest
        return not (keys.id and item.id is None and item.is_done)


def _differ(known: Any, new: Any) -> bool:
    """Tell whether both are known and not the same."""
    return known is not None and new is not None and known != new


def _to_kind(event_type: str, item: dict[str, Any]) -> str | None:
    """Return what kind of item an event is about, as far as it says."""
    if item:
        kind = get_str(item, "type")
        return _KINDS.get(kind, kind) if kind else None
    if "function_call" in event_type or "custom_tool" in event_type:
        return "call"

    if "reasoning" in event_type:
        return "reasoning"
    return "message" if "text" in event_type or "refusal" in event_type else None
