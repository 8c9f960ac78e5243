"""Prints an answer as it comes, and returns it, or its beginning where Ctrl-C stopped it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from langchain_core.messages import AIMessage, message_chunk_to_message

from langchain_openrouter._cli_chat._markdown import MarkdownStream
from langchain_openrouter._cli_console import PRINTED, err, out
from langchain_openrouter._redaction import printable

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk

    from langchain_openrouter._cli_chat._conversation import Conversation, Conversations

__all__ = ["Answer", "Screen", "media_blocks", "receive", "save"]

_MEDIA = {"image", "audio", "video", "file"}


class Answer(NamedTuple):
    """What came of a question. A stopped answer has its text alone, or is None."""

    message: AIMessage | None
    is_stopped: bool = False


class Screen:
    """Text to the standard output; reasoning and cost, dim, to the standard error.

    Args:
        markdown: Whether text is rendered; else it is printed as it comes.
        reasoning: Whether reasoning is printed.
    """

    def __init__(self, *, markdown: bool, reasoning: bool = True) -> None:
        self._out, self._err = out(), err()
        self._markdown = MarkdownStream(self._out) if markdown else None
        self._shows_reasoning = reasoning
        self._is_after_reasoning = False

    def show(self, chunk: AIMessageChunk) -> None:
        """Print a chunk."""
        reasoning = chunk.additional_kwargs.get("reasoning_content")
        if reasoning:
            if self._shows_reasoning:
                self._err.print(reasoning, style="dim", end="")
                self._is_after_reasoning = True
        elif chunk.text:
            self.show_text(chunk.text)

    def show_text(self, text: str) -> None:
        """Print text of the answer."""
        if self._is_after_reasoning:
            self._err.print()
            self._is_after_reasoning = False
        plain = printable(text, keep=PRINTED)

        if self._markdown is not None:
            self._markdown.feed(plain)
        else:
            self._out.file.write(plain)  # `print` turns tabs into spaces
            self._out.file.flush()

    def end(self) -> None:
        """End the line."""
        if self._is_after_reasoning:
            self._err.print()
        if self._markdown is not None:
            self._markdown.finish()
        else:
            self._out.print()

    def show_facts(self, message: AIMessage, total: float | None = None) -> None:
        """Print provider, model and cost, also of the conversation."""
        metadata = message.response_metadata
        cost = metadata.get("cost")
        parts = [metadata.get("provider"), metadata.get("model_name")]

        if cost is not None:
            parts.append(f"${cost:.6f}")
        if total is not None:
            parts.append(f"${total:.6f} in all")
        if media := media_blocks(message):
            kinds = ", ".join(sorted({block["type"] for block in media}))
            parts.append(f"{len(media)} attached ({kinds}): --json has it")
        line = printable(" · ".join(str(part) for part in parts if part))
        self._err.print(line, style="dim", soft_wrap=not self._err.is_terminal)  # breaks no number


def media_blocks(message: AIMessage) -> list[dict[str, Any]]:
    """Return the pictures, sounds and files of an answer, which a terminal does not show."""
    return [dict(block) for block in message.content_blocks if block["type"] in _MEDIA]


def receive(model: Any, messages: list[Any], screen: Screen | None, *, stream: bool) -> Answer:
    """Ask, and print what comes.

    Args:
        model: The chat model.
        messages: The conversation.
        screen: None prints nothing.
        stream: Whether the answer comes in pieces.

    Raises:
        OpenRouterError: There is no complete answer.
    """
    answer: Any = None
    chunks: list[Any] = []
    is_stopped = False

    try:
        if not stream:
            answer = model.invoke(messages)
            if screen is not None:
                screen.show(answer)
        else:
            with closing(model.stream(messages)) as pieces:
                for chunk in pieces:
                    chunks.append(chunk)
                    if screen is not None:
                        screen.show(chunk)
    except KeyboardInterrupt:
        is_stopped = True
    finally:
        if screen is not None:
            screen.end()

    if chunks:  # added at once: one by one, a long answer takes the square of its time
        answer = chunks[0] + chunks[1:]
    if is_stopped:  # its reasoning has no signature, and no model would take it back
        text = answer.text if answer is not None else ""
        return Answer(AIMessage(text) if text.strip() else None, is_stopped=True)
    return Answer(cast("AIMessage", message_chunk_to_message(answer)))


def save(saved: Conversations | None, conversation: Conversation) -> None:
    """Save a conversation, and say so where it has another id than before."""
    if saved is None or not conversation.messages:
        return
    if not saved.save(conversation):
        line = f"another process went on with it, too: this one is saved as {conversation.id}"
        err().print(line, style="dim")
