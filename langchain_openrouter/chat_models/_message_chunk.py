"""The message chunk of a stream: core's, but for tool calls that were cut.

Core completes the JSON of a cut call when chunks are added up, so that an agent would run a tool
on half an argument. This chunk reads the arguments strictly once the last chunk is in.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Self

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from pydantic import model_validator

from langchain_openrouter._json import parse_cut_json
from langchain_openrouter._pydantic import copy_unvalidated, set_attribute
from langchain_openrouter.chat_models import _content_blocks  # noqa: F401 - registers the translator of our blocks
from langchain_openrouter.chat_models._parsing import (
    TRUNCATED_CALL_ERROR,
    parse_arguments,
    was_truncated,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.messages import InvalidToolCall, ToolCall
    from langchain_core.messages.tool import ToolCallChunk
    from langchain_core.outputs import ChatGenerationChunk


THOUGHT = "reasoning_content"
_SEVERAL = 2
_CALL_BLOCKS = {"tool_call", "tool_call_chunk"}


class _BuildsMessage:
    """First parent of the chunk.

    Core turns a chunk into a message by calling the chunk class's first parent with the chunk's
    fields (`langchain_core.messages.utils.message_chunk_to_message`): that has to be an
    `AIMessage`, and pydantic wants `AIMessageChunk` before it.
    """

    def __new__(cls, *args: Any, **fields: Any) -> Any:
        if cls is _BuildsMessage:
            return AIMessage(*args, **fields)
        return super().__new__(cls)


class OpenRouterMessageChunk(_BuildsMessage, AIMessageChunk):
    """A streamed piece of an answer; adds up like any `AIMessageChunk`."""

    # Set on the pieces of a stream, unset on their sum: `detail`, the place of the reasoning
    # detail that this piece belongs to, and `tail`, that it completes what the others began; its
    # `detail` is the places of those details whose text the others have shown.
    # Slots, since private attributes of pydantic cost half as much as the chunk itself.
    __slots__ = ("detail", "tail")

    def __add__(self, other: Any) -> Any:
        """Add up; many chunks at once cost their size, however long what they add up to."""
        if isinstance(other, list) and all(isinstance(one, AIMessageChunk) for one in other):
            first, *rest = _condensed([self, *other])
            return AIMessageChunk.__add__(first, rest)
        return super().__add__(other)

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialise as core's own chunk, which any LangChain can load."""
        return [*cls.get_lc_namespace(), "AIMessageChunk"]

    @model_validator(mode="after")
    def init_tool_calls(self) -> Self:
        """Parse the calls; once the answer is whole, a call that is not goes to the invalid.

        Core's own parser recurses as deeply as a model nests. A piece from the middle of some
        arguments is not worth parsing.
        """
        chunks = self.tool_call_chunks
        if not chunks:
            AIMessageChunk.init_tool_calls(self)  # type: ignore[operator]
            return self
        is_last = self.chunk_position == "last"
        if not is_last and any(map(is_argument_continuation, chunks)):
            return self

        metadata = self.response_metadata
        cut = was_truncated(metadata.get("finish_reason"), metadata.get("native_finish_reason"))
        valid: list[ToolCall] = []
        invalid: list[InvalidToolCall] = []
        for place, chunk in enumerate(chunks):
            text, name, call_id = chunk.get("args"), chunk.get("name"), chunk.get("id")
            if not is_last:
                args = _args_so_far(text)
            else:
                args = parse_arguments(text, cut=cut and place == len(chunks) - 1) if name else None
            if args is None:
                error = TRUNCATED_CALL_ERROR if is_last else None
                invalid.append(
                    invalid_tool_call(name=name, args=text or "", id=call_id, error=error)
                )
            else:
                valid.append(tool_call(name=name or "", args=args, id=call_id))

        self.tool_calls, self.invalid_tool_calls = valid, invalid
        if is_last and isinstance(self.content, list):
            self._settle_blocks()
        return self

    def _settle_blocks(self) -> None:
        """Say the same in the content where that holds standard blocks (output_version v1)."""
        calls: dict[Any, Any] = {call["id"]: call for call in self.tool_calls}
        broken: dict[Any, Any] = {call["id"]: call for call in self.invalid_tool_calls}
        is_v1 = self.response_metadata.get("output_version") == "v1"
        for place, block in enumerate(self.content):
            if not isinstance(block, dict) or block.get("type") not in _CALL_BLOCKS:
                continue
            call_id = block.get("id")
            if call_id in broken:
                self.content[place] = dict(broken[call_id])  # type: ignore[index]
            elif is_v1 and call_id in calls and block["type"] == "tool_call_chunk":
                extras = {"extras": block["extras"]} if "extras" in block else {}
                self.content[place] = {**calls[call_id], "type": "tool_call", **extras}  # type: ignore[index]


def _args_so_far(text: str | None) -> dict[str, Any] | None:
    """Return what there is of some arguments; None where that is no object."""
    args = parse_cut_json(text) if text else {}
    return args if isinstance(args, dict) else None


def is_argument_continuation(call: ToolCallChunk) -> bool:
    """Tell whether a piece is from the middle of some arguments, which nobody can parse."""
    return bool(call["args"]) and call["args"].lstrip()[:1] != "{"  # type: ignore[union-attr]


def make_template(given: ChatGenerationChunk) -> ChatGenerationChunk:
    """Return a chunk that `from_template` can use.

    It says that it was given every field, so that assigning one adds nothing, and the chunks of an
    answer can share its sets: a set for each would nearly double what a chunk of a long stream
    costs, for the garbage collector's sake.

    Args:
        given: A validated chunk that holds no content, extras or calls.
    """
    set_attribute(given.message, "__pydantic_fields_set__", set(type(given.message).model_fields))
    set_attribute(given, "__pydantic_fields_set__", set(type(given).model_fields))
    return given


def from_template(
    pattern: ChatGenerationChunk,
    text: str,
    extras: dict[str, Any] | None = None,
    calls: list[ToolCallChunk] | None = None,
) -> ChatGenerationChunk:
    """Return what validation would make of one more piece of an answer, at half of its cost.

    Args:
        pattern: Of `make_template`.
        text: The content.
        extras: The `additional_kwargs`.
        calls: Pieces from the middle of tool calls (`is_argument_continuation`).
    """
    like = pattern.message
    message = copy_unvalidated(
        like,
        {
            **like.__dict__,
            "content": text,
            "additional_kwargs": extras or {},
            "response_metadata": dict(like.response_metadata),
            "tool_calls": [],
            "invalid_tool_calls": [],
            "tool_call_chunks": calls or [],
        },
    )
    chunk: ChatGenerationChunk = copy_unvalidated(
        pattern, {**pattern.__dict__, "text": text, "message": message}
    )
    return chunk


def _condensed(chunks: list[AIMessageChunk]) -> list[AIMessageChunk]:
    """Return chunks that add up to the same, with long runs of plain pieces joined into one.

    Core joins texts in dicts two at a time, so that n pieces would cost O(n^2).
    """
    found: list[AIMessageChunk] = []
    for shape, run in itertools.groupby(chunks, _shape):
        pieces = list(run)
        found += [_joined(pieces)] if shape is not None and len(pieces) > 1 else pieces
    return _with_joined_calls(found)


def _with_joined_calls(chunks: list[AIMessageChunk]) -> list[AIMessageChunk]:
    """Return chunks that add up to the same, all pieces of tool calls joined in the first.

    Core compares each piece with each call before it, so that thousands of calls would take
    minutes.
    """
    if sum(bool(chunk.tool_call_chunks) for chunk in chunks) < _SEVERAL:
        return chunks
    pieces = [call for chunk in chunks for call in chunk.tool_call_chunks]
    first, *rest = chunks
    return [
        first.model_copy(update={"tool_call_chunks": _joined_calls(pieces)}),
        *(
            chunk.model_copy(update={"tool_call_chunks": []}) if chunk.tool_call_chunks else chunk
            for chunk in rest
        ),
    ]


def _joined_calls(pieces: list[ToolCallChunk]) -> list[ToolCallChunk]:
    """Join pieces as core does: those of one index, as long as their ids do not differ."""
    groups: list[list[ToolCallChunk]] = []
    by_index: dict[int, list[list[ToolCallChunk]]] = {}
    ids: dict[int, str | None] = {}

    for piece in pieces:
        index, call_id = piece["index"], piece["id"]
        same = by_index.setdefault(index, []) if isinstance(index, int) else []
        group = next(
            (g for g in same if not call_id or not ids[id(g)] or ids[id(g)] == call_id), None
        )
        if group is None:
            group = []
            groups.append(group)
            same.append(group)
        group.append(piece)
        ids[id(group)] = ids.get(id(group)) or call_id

    return [
        tool_call_chunk(
            name=_text(piece["name"] for piece in group),
            args=_text(piece["args"] for piece in group),
            id=ids[id(group)],
            index=group[0]["index"],
        )
        for group in groups
    ]


def _text(pieces: Iterable[str | None]) -> str | None:
    """Join the pieces that are there; None where none is."""
    texts = [piece for piece in pieces if piece is not None]
    return "".join(texts) if texts else None


def _shape(chunk: AIMessageChunk) -> tuple[Any, ...] | None:
    """Return what plain pieces that can be joined have in common; None for any other chunk."""
    extras, calls = chunk.additional_kwargs, chunk.tool_call_chunks
    if (
        not isinstance(chunk.content, str)
        or chunk.usage_metadata
        or chunk.chunk_position
        or (extras and (len(extras) > 1 or type(extras.get(THOUGHT)) is not str))
        or type(chunk) is not OpenRouterMessageChunk
    ):
        return None
    facts = tuple(chunk.response_metadata.items())
    if not calls:
        return chunk.id, facts
    call = calls[0]
    if len(calls) > 1 or call["name"] or call["id"] or not call["args"]:
        return None
    return chunk.id, facts, call["index"]


def _joined(pieces: list[AIMessageChunk]) -> AIMessageChunk:
    """Join plain pieces of one shape."""
    first = pieces[0]
    thought = [piece.additional_kwargs[THOUGHT] for piece in pieces if piece.additional_kwargs]
    calls = [call for piece in pieces for call in piece.tool_call_chunks]
    changed: dict[str, Any] = {
        "content": "".join(str(piece.content) for piece in pieces),
        "additional_kwargs": {THOUGHT: "".join(thought)} if thought else {},
        "tool_call_chunks": [{**calls[0], "args": "".join(call["args"] or "" for call in calls)}]
        if calls
        else [],
    }
    return first.model_copy(update=changed)
