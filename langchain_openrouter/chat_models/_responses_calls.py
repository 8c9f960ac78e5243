"""The calls in a stream of `POST /responses` -> fragments of calls, as in chat completions."""

from __future__ import annotations

from typing import Any

from langchain_openrouter._json import dump_json, get_str
from langchain_openrouter.chat_models._parsing import arguments_text
from langchain_openrouter.chat_models._responses_parsing import CUSTOM_INPUT

_CUSTOM = "custom_tool_call"
_QUOTED = dump_json({CUSTOM_INPUT: ""})
_OPENING, _CLOSING = _QUOTED[:-2], _QUOTED[-2:]
"""What comes before and after the input of a custom tool, which is sent as an argument."""


class CallFragments:
    """Tells what of each call has not been shown; n fragments cost O(n)."""

    def __init__(self) -> None:
        self._indices: dict[int, int] = {}  # of calls, by the positions of their items
        self._shown: dict[int, int] = {}  # characters of the arguments, by position
        self._items: dict[int, dict[str, Any]] = {}  # what was shown of each call
        self._texts: dict[int, list[str]] = {}  # its arguments or its input
        self._named: set[int] = set()  # positions of calls whose name was shown
        self._identified: set[int] = set()  # and whose id was

        # Positions, in the order of the stream, that are not yet found in the complete output.
        self._is_complete = False  # the complete output has come
        self._by_id: dict[str, dict[int, None]] = {}
        self._without_id: dict[int, None] = {}
        self._opened: set[int] = set()  # of custom calls
        self._closed: set[int] = set()

    def items(self) -> dict[int, dict[str, Any]]:
        """Return the calls as items, as far as they were shown, by position; no nameless ones."""
        calls: dict[int, dict[str, Any]] = {}
        for position, item in self._items.items():
            if "name" not in item:
                continue
            name = "input" if item["type"] == _CUSTOM else "arguments"
            calls[position] = {**item, name: "".join(self._texts.get(position, ()))}
        return calls

    def find(self, item: dict[str, Any], index: int, hint: int) -> int:
        """Return the position of an item of the complete output; a new one if it was not shown.

        Args:
            item: A call; each is looked for once.
            index: In the complete output, which may differ from that in the stream.
            hint: The position where it was probably shown.
        """
        # Without its id, nothing but arguments was shown of it, or nothing at all.
        candidates = self._by_id.get(get_str(item, "call_id") or "") or self._without_id
        position = hint if hint in candidates else next(iter(candidates), -1 - index)
        candidates.pop(position, None)
        self._is_complete = True
        return position

    def of_item(self, position: int, item: dict[str, Any], *, done: bool) -> dict[str, Any] | None:
        """Return the fragment that an item adds, if it adds anything.

        Args:
            position: Of the item in the output.
            item: The call as far as it has come.
            done: Whether it is complete.
        """
        is_custom = item.get("type") == _CUSTOM
        text = arguments_text(item.get("input" if is_custom else "arguments"))
        text = text[self._shown.get(position, 0) :]
        is_new = position not in self._indices
        fragment: dict[str, Any] = {"index": self._index(position)}

        function = {"arguments": self._rest(position, text, custom=is_custom, done=done)}
        name, call_id = get_str(item, "name"), get_str(item, "call_id")
        if name and position not in self._named:
            self._named.add(position)
            self._items[position]["name"] = function["name"] = name
        if call_id and position not in self._identified:
            self._identified.add(position)
            self._without_id.pop(position, None)
            if not self._is_complete:
                self._by_id.setdefault(call_id, {})[position] = None
            self._items[position]["call_id"] = fragment["id"] = call_id
        if not is_new and "id" not in fragment and function == {"arguments": ""}:
            return None
        return {**fragment, "function": function}

    def of_delta(self, position: int, text: str, *, custom: bool) -> dict[str, Any]:
        """Return the fragment that a piece of the arguments adds.

        Args:
            position: Of the item in the output.
            text: The piece.
            custom: Whether it is the input of a custom tool.
        """
        rest = self._rest(position, text, custom=custom, done=False)
        return {"index": self._index(position), "function": {"arguments": rest}}

    def _index(self, position: int) -> int:
        if position not in self._indices:
            self._indices[position] = len(self._indices)
            if not self._is_complete:
                self._without_id[position] = None
        return self._indices[position]

    def _rest(self, position: int, text: str, *, custom: bool, done: bool) -> str:
        """Return text that was not shown, as JSON, and count it as shown."""
        self._shown[position] = self._shown.get(position, 0) + len(text)
        self._items.setdefault(position, {"type": _CUSTOM if custom else "function_call"})
        self._texts.setdefault(position, []).append(text)
        if not custom:
            return text

        piece = dump_json(text)[1:-1]
        if position not in self._opened and (text or done):
            self._opened.add(position)
            piece = _OPENING + piece
        if done and position not in self._closed:
            self._closed.add(position)
            piece += _CLOSING
        return piece
