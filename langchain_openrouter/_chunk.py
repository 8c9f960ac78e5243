"""The message chunk of a stream: core's, but for tool calls that were cut.

Core completes the JSON of a cut call when chunks are added up, so that an agent would run a tool
on half an argument. This chunk reads the arguments strictly once the last chunk is in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call
from pydantic import model_validator

from langchain_openrouter import _blocks  # noqa: F401 - registers the translator of our blocks
from langchain_openrouter._answer import CUT_CALL, arguments_of, is_cut

if TYPE_CHECKING:
    from langchain_core.messages import InvalidToolCall, ToolCall


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
    # detail that this piece belongs to, and `tail`, that it completes what the others began.
    # Slots, since private attributes of pydantic cost half as much as the chunk itself.
    __slots__ = ("detail", "tail")

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialise as core's own chunk, which any LangChain can load."""
        return [*cls.get_lc_namespace(), "AIMessageChunk"]

    @model_validator(mode="after")
    def init_tool_calls(self) -> Self:
        """Parse the calls; once the answer is whole, a call that is not goes to the invalid.

        A piece from the middle of some arguments is not worth parsing.
        """
        if self.chunk_position != "last" and any(
            call["args"] and call["args"].lstrip()[:1] != "{" for call in self.tool_call_chunks
        ):
            return self
        AIMessageChunk.init_tool_calls(self)  # type: ignore[operator]
        if self.chunk_position != "last" or not self.tool_call_chunks:
            return self
        metadata = self.response_metadata
        cut = is_cut(metadata.get("finish_reason"), metadata.get("native_finish_reason"))
        valid: list[ToolCall] = []
        invalid: list[InvalidToolCall] = []
        for place, chunk in enumerate(self.tool_call_chunks):
            text, name = chunk.get("args"), chunk.get("name")
            last = place == len(self.tool_call_chunks) - 1
            args = arguments_of(text, cut=cut and last) if name else None
            if args is None:
                broken = invalid_tool_call(
                    name=name, args=text or "", id=chunk.get("id"), error=CUT_CALL
                )
                invalid.append(broken)
                self._mark_invalid(broken)
            else:
                valid.append(tool_call(name=name or "", args=args, id=chunk.get("id")))
        self.tool_calls, self.invalid_tool_calls = valid, invalid
        return self

    def _mark_invalid(self, broken: InvalidToolCall) -> None:
        """Say the same in the content where that holds standard blocks (output_version v1)."""
        if not isinstance(self.content, list):
            return
        for place, block in enumerate(self.content):
            if (
                isinstance(block, dict)
                and block.get("type") in {"tool_call", "tool_call_chunk"}
                and block.get("id") == broken["id"]
            ):
                self.content[place] = dict(broken)
