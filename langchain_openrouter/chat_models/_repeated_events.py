"""Which text of an event is new where all else repeats the event before, and how it is recognized.

Of the fields that a stream's text comes in: the content, the reasoning, the reasoning with a detail
that repeats it, and the arguments of a tool call. All else of the delta must say nothing, so that
leaving it out changes nothing.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_openrouter._json import get_dict
from langchain_openrouter.chat_models._byte_template import build_template

if TYPE_CHECKING:
    from langchain_openrouter.chat_models._byte_template import ByteTemplate, FieldPath

_DELTA: FieldPath = ("choices", 0, "delta")
_MAY_BE_EMPTY = {"content", "reasoning", "reasoning_content", "reasoning_details", "tool_calls"}
_DETAIL_TEXTS = ("text", "summary")
_MAX_PROOFS = 8  # of events that few others repeat, in one stream; a proof takes some 15 us
_WORTH_PROOF = 16  # events that repeat one


class TextField(enum.Enum):
    """Where the text of an event is."""

    CONTENT = enum.auto()
    REASONING = enum.auto()
    DETAIL = enum.auto()
    """In `reasoning`, and once more in its only detail."""
    ARGUMENTS = enum.auto()


class VaryingText(NamedTuple):
    """The text of a delta that says nothing else."""

    field: TextField
    paths: tuple[FieldPath, ...]
    """From the event to the text."""
    call_index: int = 0
    """The index of the tool call that the arguments are of, as it came."""


class RepeatedEvent:
    """An event that others may repeat but for its text."""

    __slots__ = ("call_index", "field", "find_text", "repeats")

    def __init__(self, text: VaryingText, template: ByteTemplate) -> None:
        self.field = text.field
        self.call_index = text.call_index
        self.find_text = template.find_text
        self.repeats = 0
        """How many others were recognized."""


class RepeatedEvents:
    """Proves which event of a stream others may repeat; gives up where few do."""

    __slots__ = ("_proofs_left",)

    def __init__(self) -> None:
        self._proofs_left = _MAX_PROOFS

    def expect(self, data: bytes, event: dict[str, Any]) -> RepeatedEvent | None:
        """Return what the next events may repeat; None if it cannot be told, or is not worth it.

        Args:
            data: The event that came.
            event: Its JSON, with one choice that has a delta.
        """
        text = find_varying_text(event["choices"][0]["delta"]) if self._proofs_left else None
        if text is None:
            return None

        self._proofs_left -= 1
        template = build_template(data, event, text.paths)
        return None if template is None else RepeatedEvent(text, template)

    def note_end(self, repeated: RepeatedEvent) -> None:
        """Note that an event came that is not a repetition of the one expected."""
        if repeated.repeats >= _WORTH_PROOF:
            self._proofs_left = _MAX_PROOFS


def find_varying_text(delta: dict[str, Any]) -> VaryingText | None:
    """Return the only text of a delta that is not empty; None if it says more, or nothing."""
    present = {name for name, value in delta.items() if not _says_nothing(name, value)}

    if present == {"content"} and type(delta["content"]) is str:
        return VaryingText(TextField.CONTENT, ((*_DELTA, "content"),))
    if present == {"reasoning"} and type(delta["reasoning"]) is str:
        # An empty list of details is read as details.
        has_details = delta.get("reasoning_details") is not None
        return None if has_details else _reasoning_alone()
    if present == {"reasoning", "reasoning_details"}:
        return _find_detail(delta["reasoning"], delta["reasoning_details"])
    if present == {"tool_calls"}:
        return _find_arguments(delta["tool_calls"])
    return None


def _says_nothing(name: str, value: Any) -> bool:
    return value is None or name == "role" or (name in _MAY_BE_EMPTY and value in ("", []))


def _reasoning_alone() -> VaryingText:
    return VaryingText(TextField.REASONING, ((*_DELTA, "reasoning"),))


def _find_detail(reasoning: Any, details: Any) -> VaryingText | None:
    """Return the text of a reasoning whose only detail has the same text in one field."""
    if type(details) is not list or len(details) != 1 or type(details[0]) is not dict:
        return None

    fields = [name for name in _DETAIL_TEXTS if details[0].get(name) is not None]
    if len(fields) != 1 or type(reasoning) is not str or details[0][fields[0]] != reasoning:
        return None
    in_detail = (*_DELTA, "reasoning_details", 0, fields[0])
    return VaryingText(TextField.DETAIL, ((*_DELTA, "reasoning"), in_detail))


def _find_arguments(calls: Any) -> VaryingText | None:
    """Return the arguments of the only call, if the fragment has neither an id nor a name."""
    call = calls[0] if type(calls) is list and len(calls) == 1 else None
    function = get_dict(call, "function")
    if function is None or not isinstance(call, dict) or call.get("id") or function.get("name"):
        return None

    index, arguments = call.get("index"), function.get("arguments")
    if type(index) is not int or type(arguments) is not str or not arguments:
        return None
    path = (*_DELTA, "tool_calls", 0, "function", "arguments")
    return VaryingText(TextField.ARGUMENTS, (path,), index)
