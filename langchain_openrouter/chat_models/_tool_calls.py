"""Tool-call fragments of a stream -> the tool calls; n fragments cost O(n)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages.tool import invalid_tool_call, tool_call_chunk

from langchain_openrouter._json import Nesting, get_dict, get_str
from langchain_openrouter.chat_models._parsing import (
    arguments_text,
    parse_arguments,
    unique_call_id,
)
from langchain_openrouter.chat_models._pieces import MAX_PARTS

if TYPE_CHECKING:
    from langchain_core.messages import InvalidToolCall
    from langchain_core.messages.tool import ToolCallChunk


class _Call:
    """The fragments of one tool call that have come so far."""

    __slots__ = ("_is_valid", "_nesting", "_scanned", "argument_parts", "id", "name", "wire_id")

    def __init__(self) -> None:
        self.wire_id: str | None = None
        self.id: str | None = None  # the wire's, unless another call of the message has it
        self.name: str | None = None
        self.argument_parts: list[str] = []

        self._nesting = Nesting()
        self._scanned = 0  # argument parts
        self._is_valid: bool | None = None

    @property
    def arguments(self) -> str:
        return "".join(self.argument_parts)

    def add_arguments(self, text: str) -> None:
        """Add a piece of the arguments; 1,024 pieces are joined, scanned and unscanned apart."""
        self.argument_parts.append(text)
        if len(self.argument_parts) < MAX_PARTS:
            return

        halves = self.argument_parts[: self._scanned], self.argument_parts[self._scanned :]
        self.argument_parts = ["".join(half) for half in halves if half]
        self._scanned = min(self._scanned, 1)

    def is_complete(self) -> bool:
        """Tell whether the arguments are a complete JSON object.

        Each part is scanned once and the text is parsed once, when its first bracket is closed:
        some services repeat the name in every fragment, and would make this O(n^2).
        """
        while self._scanned < len(self.argument_parts):
            self._nesting.feed(self.argument_parts[self._scanned])
            self._scanned += 1

        if not self._nesting.closed:
            return False
        if self._is_valid is None:
            self._is_valid = parse_arguments(self.arguments, cut=True) is not None
        return self._is_valid


class ToolCallAccumulator:
    """Collects the fragments of tool calls; a provider may leave out the index or the id."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._ids: set[str] = set()

        # Positions of the latest call of each index and each id; of the calls without an id.
        self._by_index: dict[int, int] = {}
        self._by_index_and_id: dict[tuple[int, str], int] = {}
        self._by_id: dict[str, int] = {}
        self._without_id: list[int] = []  # those that have an id by now are dropped from the end

    def __len__(self) -> int:
        """Return the number of calls."""
        return len(self._calls)

    def add(self, raw: Any) -> ToolCallChunk:
        """Add one fragment.

        Args:
            raw: An item of a delta's `tool_calls`.

        Returns:
            Its chunk, with an index by which core merges it into the right call.
        """
        raw = raw if isinstance(raw, dict) else {}
        function = get_dict(raw, "function") or {}
        wire_id, name = get_str(raw, "id"), get_str(function, "name")
        text = arguments_text(function.get("arguments"))
        index = raw.get("index")
        index = index if isinstance(index, int) else None

        position = self._find_continued(index, wire_id, name, text)
        if position is None:
            position = len(self._calls)
            self._calls.append(_Call())
            self._without_id.append(position)
            if index is not None:
                self._by_index[index] = position
        if index is not None and wire_id:
            self._by_index_and_id[index, wire_id] = position

        call = self._calls[position]
        call.add_arguments(text)
        new_name = name if call.name is None else None
        call.name = call.name or name
        return tool_call_chunk(
            name=new_name, args=text, id=self._record_id(call, position, wire_id), index=position
        )

    def add_arguments(self, index: int, text: str) -> ToolCallChunk:
        """Add a fragment like the one before it, with neither an id nor a name; return its chunk.

        Args:
            index: Its index.
            text: Its arguments.
        """
        position = self._by_index[index]
        self._calls[position].add_arguments(text)
        return tool_call_chunk(name=None, args=text, id=None, index=position)

    def _record_id(self, call: _Call, position: int, wire_id: str | None) -> str | None:
        """Record the first id that a call has; return it if it is new."""
        if not wire_id or call.wire_id:
            return None

        call.wire_id = wire_id
        self._by_id[wire_id] = position
        call.id = unique_call_id(wire_id, self._ids, None, position)
        self._ids.add(call.id)
        return call.id

    def _find_continued(
        self, index: int | None, wire_id: str | None, name: str | None, text: str
    ) -> int | None:
        """Return the position of the call that a fragment continues; None if it begins one.

        Providers leave out the index or the id, or send several calls with the same of either.
        """
        if index is not None:
            position = self._by_index.get(index)
            if (
                wire_id
                and position is not None
                and self._calls[position].wire_id not in {None, wire_id}
            ):
                # All calls have the same index here.
                position = self._by_index_and_id.get((index, wire_id))
        elif wire_id:
            position = max(self._by_id.get(wire_id, -1), self._last_without_id())
        else:
            position = len(self._calls) - 1
        if position is None or position < 0:
            return None

        call = self._calls[position]
        if wire_id and call.wire_id and call.wire_id != wire_id:
            return None
        if index is None and not wire_id and name and call.name:
            return None
        if name and call.name and text.strip() and call.is_complete():
            return None
        return position

    def _last_without_id(self) -> int:
        """Return the position of the latest call without an id; -1 if all have one."""
        while self._without_id and self._calls[self._without_id[-1]].wire_id:
            self._without_id.pop()
        return self._without_id[-1] if self._without_id else -1

    def assign_missing_ids(self, generation_id: str | None) -> list[ToolCallChunk]:
        """Assign an id to each call that came without one.

        Args:
            generation_id: The response's, from which the ids are made.

        Returns:
            Chunks that add the ids.
        """
        chunks = []
        for position, call in enumerate(self._calls):
            if call.id is None:
                call.id = unique_call_id(None, self._ids, generation_id, position)
                self._ids.add(call.id)
                chunks.append(tool_call_chunk(name=None, args="", id=call.id, index=position))
        return chunks

    def argument_texts(self, *, cut: bool) -> dict[str, str]:
        """Return the arguments of each complete call as they came, by the call's id.

        Args:
            cut: Whether the token limit ended the response, and so its last call.
        """
        last = len(self._calls) - 1

        return {
            call.id: call.arguments
            for position, call in enumerate(self._calls)
            if call.name
            and call.id
            and parse_arguments(call.arguments, cut=cut and position == last) is not None
        }

    def as_invalid(self) -> list[InvalidToolCall]:
        """Return all calls as invalid ones, for a response that was interrupted."""
        return [
            invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error="cut short")
            for call in self._calls
        ]
