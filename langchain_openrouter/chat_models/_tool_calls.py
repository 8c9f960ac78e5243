"""Tool-call fragments of a stream -> the calls; n fragments cost O(n)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages.tool import invalid_tool_call, tool_call_chunk

from langchain_openrouter._json import Nesting, get_dict, get_str
from langchain_openrouter.chat_models._parsing import arguments_text, call_id, parse_arguments

if TYPE_CHECKING:
    from langchain_core.messages import InvalidToolCall
    from langchain_core.messages.tool import ToolCallChunk


class _Call:
    """One tool call as far as it has come."""

    __slots__ = ("_nesting", "_scanned", "_valid", "given_id", "id", "name", "pieces")

    def __init__(self) -> None:
        self.given_id: str | None = None
        self.id: str | None = None
        self.name: str | None = None
        self.pieces: list[str] = []
        self._nesting = Nesting()
        self._scanned = 0  # pieces
        self._valid: bool | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def complete(self) -> bool:
        """Tell whether the arguments are a whole JSON object.

        Each piece is scanned once and the text parsed once, when its first bracket is closed:
        some services repeat the name in every fragment, and would make this O(n^2).
        """
        while self._scanned < len(self.pieces):
            self._nesting.feed(self.pieces[self._scanned])
            self._scanned += 1
        if not self._nesting.closed:
            return False
        if self._valid is None:
            self._valid = parse_arguments(self.text, cut=True) is not None
        return self._valid


class Calls:
    """Collects the fragments of tool calls, whatever a provider leaves out of them."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._ids: set[str] = set()
        # The latest call of each index and each id; the calls without an id, latest last.
        self._by_index: dict[int, int] = {}
        self._by_both: dict[tuple[int, str], int] = {}
        self._by_id: dict[str, int] = {}
        self._nameless: list[int] = []  # those that have an id by now are dropped from the end

    def __len__(self) -> int:
        """Return how many calls there are."""
        return len(self._calls)

    def add(self, raw: Any) -> ToolCallChunk:
        """Take a fragment; return its chunk, with an index that core merges rightly."""
        raw = raw if isinstance(raw, dict) else {}
        function = get_dict(raw, "function") or {}
        given, name = get_str(raw, "id"), get_str(function, "name")
        text = arguments_text(function.get("arguments"))
        index = raw.get("index")
        index = index if isinstance(index, int) else None
        place = self._place_of(index, given, name, text)
        if place is None:
            place = len(self._calls)
            self._calls.append(_Call())
            self._nameless.append(place)
            if index is not None:
                self._by_index[index] = place
        call = self._calls[place]
        if index is not None and given:
            self._by_both[index, given] = place
        call.pieces.append(text)
        shown_name = name if call.name is None else None
        call.name = call.name or name
        return tool_call_chunk(
            name=shown_name, args=text, id=self._identify(call, place, given), index=place
        )

    def _identify(self, call: _Call, place: int, given: str | None) -> str | None:
        """Note the id that a fragment brings; return what is to be shown of it: the first."""
        if not given or call.given_id:
            return None
        call.given_id = given
        self._by_id[given] = place
        call.id = call_id(given, self._ids, None, place)
        self._ids.add(call.id)
        return call.id

    def _place_of(
        self, index: int | None, given: str | None, name: str | None, text: str
    ) -> int | None:
        """Return the call that a fragment continues; None where it starts one.

        Providers leave out the index, or the id, or give several calls the same of either.
        """
        if index is not None:
            place = self._by_index.get(index)
            if given and place is not None and self._calls[place].given_id not in {None, given}:
                place = self._by_both.get((index, given))  # an index that all calls share
        elif given:
            place = max(self._by_id.get(given, -1), self._last_without_id())
        else:
            place = len(self._calls) - 1
        if place is None or place < 0:
            return None
        call = self._calls[place]
        if given and call.given_id and call.given_id != given:
            return None
        if index is None and not given and name and call.name:
            return None
        if name and call.name and text.strip() and call.complete():
            return None
        return place

    def _last_without_id(self) -> int:
        """Return the latest call that has brought no id; -1 where all have."""
        while self._nameless and self._calls[self._nameless[-1]].given_id:
            self._nameless.pop()
        return self._nameless[-1] if self._nameless else -1

    def name_late(self, generation_id: str | None) -> list[ToolCallChunk]:
        """Give an id to the calls that came without one; return the chunks that say so."""
        late = []
        for place, call in enumerate(self._calls):
            if call.id is None:
                call.id = call_id(None, self._ids, generation_id, place)
                self._ids.add(call.id)
                late.append(tool_call_chunk(name=None, args="", id=call.id, index=place))
        return late

    def texts(self, *, cut: bool) -> dict[str, str]:
        """Return the arguments, as they came, of each call that is whole, by its id.

        Args:
            cut: The token limit ended the answer, and so its last call.
        """
        last = len(self._calls) - 1
        return {
            call.id: call.text
            for place, call in enumerate(self._calls)
            if call.name and call.id
            and parse_arguments(call.text, cut=cut and place == last) is not None
        }  # fmt: skip

    def broken(self) -> list[InvalidToolCall]:
        """Return the calls of an answer that was cut: nobody should run them."""
        return [
            invalid_tool_call(name=call.name, args=call.text, id=call.id, error="cut short")
            for call in self._calls
        ]
