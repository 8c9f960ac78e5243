"""The message chunk of a stream: core's, except that truncated tool calls are invalid.

Core completes the JSON of a truncated call when chunks are added up, so that an agent would run a
tool on half an argument. This chunk parses the arguments strictly once the last chunk has come.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Self

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from pydantic import model_validator

from langchain_openrouter._json import get_dicts, get_str, parse_cut_json
from langchain_openrouter._pydantic import set_attribute
from langchain_openrouter.chat_models import _content_blocks  # noqa: F401 - registers the translator
from langchain_openrouter.chat_models._incomplete_arguments import (
    quote_incomplete,
    unquote_incomplete,
)
from langchain_openrouter.chat_models._messages import OUTPUT_ITEMS
from langchain_openrouter.chat_models._parsing import (
    TRUNCATED_CALL_ERROR,
    parse_arguments,
    was_truncated,
)
from langchain_openrouter.chat_models._responses_parsing import CALL_ITEMS, to_chat_call
from langchain_openrouter.chat_models._usage import sum_costs, tokens_only

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.messages import InvalidToolCall, ToolCall
    from langchain_core.messages.tool import ToolCallChunk


REASONING_CONTENT = "reasoning_content"
_CALL_BLOCKS = {"tool_call", "tool_call_chunk"}


class _BuildsMessage:
    """Build an `AIMessage` when called; the first parent of the chunk class.

    Core turns a chunk into a message by calling the chunk class's first parent with the chunk's
    fields (`langchain_core.messages.utils.message_chunk_to_message`). The result has to be an
    `AIMessage`, and pydantic requires `AIMessageChunk` before it.
    """

    def __new__(cls, *args: Any, **fields: Any) -> Any:
        if cls is _BuildsMessage:
            return AIMessage(*args, **fields)
        return super().__new__(cls)


class OpenRouterMessageChunk(_BuildsMessage, AIMessageChunk):
    """A chunk of a streamed message; adds up like any `AIMessageChunk`.

    It has the name of core's class, which is what a checkpoint stores and loads: LangGraph's
    serializer writes the name of a class down and loads the classes that it knows.
    """

    # Both are set on the chunks of a stream and unset on their sum:
    # - `detail_index`: the index of the reasoning detail that this chunk belongs to, or None;
    # - `shown_details`: None but on the final chunk, which has the complete reasoning details;
    #   there the indices of the details whose text the chunks before it have shown.
    # Slots, since private attributes of pydantic cost half as much as the chunk itself.
    __slots__ = ("detail_index", "shown_details")

    def __add__(self, other: Any) -> Any:
        """Add up; many chunks at once cost time in proportion to their total size."""
        if isinstance(other, list) and all(isinstance(chunk, AIMessageChunk) for chunk in other):
            total = _add_chunks(_merge_runs([self, *other]))
        elif self.usage_metadata and isinstance(other, AIMessageChunk):
            total = _add_chunks([self, other])
        else:
            total = super().__add__(other)

        # Core's sum has no name.
        chunks = [self, *(other if isinstance(other, list) else [other])]
        name = next((chunk.name for chunk in chunks if getattr(chunk, "name", None)), None)
        if name and isinstance(total, AIMessageChunk):
            total.name = name
        return total

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the name of one that is no field goes into a set of this chunk alone.

        The chunks of a stream share a set of all fields, see `_chunk_template`.
        """
        if name not in type(self).__pydantic_fields__:
            fields_set = set(self.__pydantic_fields_set__)
            set_attribute(self, "__pydantic_fields_set__", fields_set)
        super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by `_new_chunk`: this class bears core's name, by which pickle finds core's."""
        return _new_chunk, (), self.__getstate__()

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialize as core's own chunk, which every LangChain installation can load."""
        return [*cls.get_lc_namespace(), "AIMessageChunk"]

    @model_validator(mode="after")
    def init_tool_calls(self) -> Self:
        """Parse the tool calls; in a complete message, one with partial arguments is invalid.

        Replaces core's validator of this name, which completes truncated JSON and recurses as
        deeply as the model's output nests. A chunk from the middle of some arguments is not
        parsed.
        """
        chunks = self.tool_call_chunks = list(self.tool_call_chunks)
        if not chunks:
            AIMessageChunk.init_tool_calls(self)  # type: ignore[operator]
            return self
        is_last = self.chunk_position == "last"
        if not is_last and any(map(is_argument_continuation, chunks)):
            return self

        items = get_dicts(self.additional_kwargs, OUTPUT_ITEMS)
        if is_last and items and any(chunk.get("name") for chunk in chunks):
            # The complete response of `POST /responses` says what the calls are.
            chunks = self.tool_call_chunks = _to_call_chunks(items)
        metadata = self.response_metadata
        cut = was_truncated(metadata.get("finish_reason"), metadata.get("native_finish_reason"))
        valid: list[ToolCall] = []
        invalid: list[InvalidToolCall] = []
        for index, chunk in enumerate(chunks):
            name, call_id = chunk.get("name"), chunk.get("id")
            text = unquote_incomplete(chunk.get("args") or "")
            if not is_last:
                args = _parse_partial_arguments(text)
            else:
                args = parse_arguments(text, cut=cut and index == len(chunks) - 1) if name else None
            if args is None:
                error = TRUNCATED_CALL_ERROR if is_last else None
                invalid.append(invalid_tool_call(name=name, args=text, id=call_id, error=error))
                if is_last and name:  # else it is a late id, a fragment without a name
                    chunks[index] = {**chunk, "args": quote_incomplete(text)}
            else:
                valid.append(tool_call(name=name or "", args=args, id=call_id))

        self.tool_calls, self.invalid_tool_calls = valid, invalid
        if is_last and isinstance(self.content, list):
            self._update_call_blocks()
        return self

    def _update_call_blocks(self) -> None:
        """Repeat the parsed calls in content that is standard blocks (`output_version="v1"`)."""
        valid: dict[Any, Any] = {call["id"]: call for call in self.tool_calls}
        invalid: dict[Any, Any] = {call["id"]: call for call in self.invalid_tool_calls}
        is_v1 = self.response_metadata.get("output_version") == "v1"

        for index, block in enumerate(self.content):
            if not isinstance(block, dict) or block.get("type") not in _CALL_BLOCKS:
                continue
            call_id = block.get("id")
            if call_id in invalid:
                self.content[index] = dict(invalid[call_id])  # type: ignore[index]
            elif is_v1 and call_id in valid and block["type"] == "tool_call_chunk":
                extras = {"extras": block["extras"]} if "extras" in block else {}
                self.content[index] = {**valid[call_id], "type": "tool_call", **extras}  # type: ignore[index]


for _name in ("__module__", "__name__", "__qualname__"):
    setattr(OpenRouterMessageChunk, _name, getattr(AIMessageChunk, _name))


def _add_chunks(chunks: Iterable[AIMessageChunk]) -> AIMessageChunk:
    """Add up chunks, with their costs: core adds integers alone."""
    first, *rest = chunks
    costs = sum_costs(chunk.usage_metadata for chunk in (first, *rest))
    if not costs:
        return AIMessageChunk.__add__(first, rest)

    first, *rest = (_without_costs(chunk) for chunk in (first, *rest))
    total: Any = AIMessageChunk.__add__(first, rest)
    total.usage_metadata = {**(total.usage_metadata or {}), **costs}
    return total  # type: ignore[no-any-return]


def _without_costs(chunk: AIMessageChunk) -> AIMessageChunk:
    usage = tokens_only(chunk.usage_metadata)
    return chunk if usage is None else chunk.model_copy(update={"usage_metadata": usage})


def _new_chunk() -> OpenRouterMessageChunk:
    """Return an instance without fields, for pickle."""
    chunk: OpenRouterMessageChunk = OpenRouterMessageChunk.__new__(OpenRouterMessageChunk)
    return chunk


def _to_call_chunks(items: list[dict[str, Any]]) -> list[ToolCallChunk]:
    """Return the calls among the items of a complete output."""
    calls = [to_chat_call(item) for item in items if get_str(item, "type") in CALL_ITEMS]

    return [
        tool_call_chunk(
            name=call["function"]["name"],
            args=call["function"]["arguments"],
            id=call["id"],
            index=index,
        )
        for index, call in enumerate(calls)
    ]


def _parse_partial_arguments(text: str | None) -> dict[str, Any] | None:
    """Return the arguments that have come so far; None if they are not an object."""
    args = parse_cut_json(text) if text else {}
    return args if isinstance(args, dict) else None


def is_argument_continuation(call: ToolCallChunk) -> bool:
    """Tell whether a fragment is from the middle of some arguments and cannot be parsed alone."""
    return bool(call["args"]) and call["args"].lstrip()[:1] != "{"  # type: ignore[union-attr]


def _merge_runs(chunks: list[AIMessageChunk]) -> list[AIMessageChunk]:
    """Return chunks with the same sum, each run of similar plain chunks merged into one.

    Core concatenates texts in dicts two at a time, so that n chunks would cost O(n^2).
    """
    merged: list[AIMessageChunk] = []
    for key, run in itertools.groupby(chunks, _merge_key):
        similar = list(run)
        merged += [_merge_similar(similar)] if key is not None and len(similar) > 1 else similar
    return _merge_tool_calls(merged)


def _merge_tool_calls(chunks: list[AIMessageChunk]) -> list[AIMessageChunk]:
    """Return chunks with the same sum, all fragments of tool calls merged in the first chunk.

    Core compares each fragment with each call before it, so that thousands of calls would take
    minutes.
    """
    if sum(bool(chunk.tool_call_chunks) for chunk in chunks) <= 1:
        return chunks

    fragments = [call for chunk in chunks for call in chunk.tool_call_chunks]
    first, *rest = chunks
    return [
        first.model_copy(update={"tool_call_chunks": _merge_fragments(fragments)}),
        *(
            chunk.model_copy(update={"tool_call_chunks": []}) if chunk.tool_call_chunks else chunk
            for chunk in rest
        ),
    ]


def _merge_fragments(fragments: list[ToolCallChunk]) -> list[ToolCallChunk]:
    """Merge fragments as core does: those of equal index, as long as their ids do not differ."""
    groups: list[list[ToolCallChunk]] = []
    by_index: dict[int, list[list[ToolCallChunk]]] = {}
    ids: dict[int, str | None] = {}  # by the identity of the group

    for fragment in fragments:
        index, call_id = fragment["index"], fragment["id"]
        candidates = by_index.setdefault(index, []) if isinstance(index, int) else []
        group = next(
            (g for g in candidates if not call_id or not ids[id(g)] or ids[id(g)] == call_id), None
        )
        if group is None:
            group = []
            groups.append(group)
            candidates.append(group)
        group.append(fragment)
        ids[id(group)] = ids.get(id(group)) or call_id

    return [
        tool_call_chunk(
            name=_join_present(fragment["name"] for fragment in group),
            args=_join_present(fragment["args"] for fragment in group),
            id=ids[id(group)],
            index=group[0]["index"],
        )
        for group in groups
    ]


def _join_present(pieces: Iterable[str | None]) -> str | None:
    """Concatenate the texts among the pieces; None if there are none."""
    texts = [piece for piece in pieces if piece is not None]
    return "".join(texts) if texts else None


def _merge_key(chunk: AIMessageChunk) -> tuple[Any, ...] | None:
    """Return a key that neighbors have in common if they can be merged; None if it cannot be."""
    extras, calls = chunk.additional_kwargs, chunk.tool_call_chunks
    if (
        not isinstance(chunk.content, str)
        or chunk.usage_metadata
        or chunk.chunk_position
        or (extras and (len(extras) > 1 or type(extras.get(REASONING_CONTENT)) is not str))
        or type(chunk) is not OpenRouterMessageChunk
    ):
        return None

    metadata = tuple(chunk.response_metadata.items())
    if not calls:
        return chunk.id, metadata
    call = calls[0]
    if len(calls) > 1 or call["name"] or call["id"] or not call["args"]:
        return None
    return chunk.id, metadata, call["index"]


def _merge_similar(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """Merge plain chunks of equal `_merge_key` into one."""
    reasoning = [
        chunk.additional_kwargs[REASONING_CONTENT] for chunk in chunks if chunk.additional_kwargs
    ]
    calls = [call for chunk in chunks for call in chunk.tool_call_chunks]
    arguments = "".join(call["args"] or "" for call in calls)

    update: dict[str, Any] = {
        "content": "".join(str(chunk.content) for chunk in chunks),
        "additional_kwargs": {REASONING_CONTENT: "".join(reasoning)} if reasoning else {},
        "tool_call_chunks": [{**calls[0], "args": arguments}] if calls else [],
    }
    return chunks[0].model_copy(update=update)
