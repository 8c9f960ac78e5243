"""The events of `POST /responses`, read into the state of a streamed response.

Text, reasoning and calls are shown as they come; everything else is taken from the complete
response that the last event carries, by the functions that parse one that was not streamed.
See `StreamEvents` in https://openrouter.ai/openapi.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from langchain_openrouter._http.error_mapping import contains_error
from langchain_openrouter._http.failures import truncated_stream_failure
from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str
from langchain_openrouter.chat_models._extra_fields import ExtraFieldsAccumulator
from langchain_openrouter.chat_models._message_chunk import REASONING_CONTENT
from langchain_openrouter.chat_models._messages import OUTPUT_ITEMS
from langchain_openrouter.chat_models._parsing import (
    detail_text,
    reasoning_text,
    split_content,
    to_additional_kwargs,
)
from langchain_openrouter.chat_models._responses_calls import CallFragments
from langchain_openrouter.chat_models._responses_parsing import (
    CALL_ITEMS,
    to_chat_annotation,
    to_chat_body,
    to_envelope,
)
from langchain_openrouter.chat_models._responses_positions import ItemPositions
from langchain_openrouter.chat_models._responses_reasoning import (
    SUMMARY,
    TEXT,
    to_reasoning_details,
)
from langchain_openrouter.chat_models._streaming import StreamState
from langchain_openrouter.chat_models._tool_calls import ToolCallAccumulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.messages import AIMessage

    from langchain_openrouter.chat_models._message_chunk import OpenRouterMessageChunk

_TEXT_DELTA = "response.output_text.delta"
# The events that end a response, and the status of one that says none.
_ENDINGS = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.done": "completed",
}
_FAILURES = {"response.failed", "response.cancelled"}
_ERRORS = {"error", "response.error"}
_EARLY_FIELDS = ("id", "model", "created_at")
"""Fields of the response that its first event has already in their final form."""


class _CompleteFields(ExtraFieldsAccumulator):
    """The `additional_kwargs` of a complete response, in the place of their accumulator."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__()
        self._fields = fields

    def to_additional_kwargs(
        self, reasoning_details: list[dict[str, Any]] | None
    ) -> dict[str, Any]:
        """Return the fields; the details that were accumulated if they hold none."""
        details = {} if reasoning_details is None else {"reasoning_details": reasoning_details}
        return {**details, **self._fields}


class ResponsesStreamState(StreamState):
    """Everything that has come of one streamed response of `POST /responses`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)

        self._positions = ItemPositions()
        self._done_items: dict[int, dict[str, Any]] = {}  # by their positions
        self._shown: dict[tuple[Any, ...], int] = {}  # characters of each text that were shown
        self._call_fragments = CallFragments()
        self._detail_indices: dict[tuple[Any, ...], int] = {}
        self._token_logprobs: list[Any] = []

    # --- events ---------------------------------------------------------------------------

    def handle_event(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        """Add one event; what comes after the last is not part of the response.

        Raises:
            OpenRouterError: The event is an error; its `partial` is the message so far.
        """
        if self.ended:
            return []
        kind = event.get("type")
        has_error = bool(event.get("error"))
        if kind == _TEXT_DELTA and not has_error:  # most events of a long response
            return self._add_text(event)

        kind = kind if isinstance(kind, str) else ""
        if has_error or kind in _ERRORS or (not kind and contains_error(event)):
            raise self.error(event)
        if kind in _ENDINGS:
            return self._end(get_dict(event, "response") or {}, _ENDINGS[kind])
        if kind in _FAILURES:
            raise self.error(_to_error(get_dict(event, "response") or {}))
        handler = self._handlers.get(kind)
        return handler(self, event) if handler else []

    def final_chunk(self) -> OpenRouterMessageChunk:
        """Return the final chunk, as from a stream of chat completions.

        Raises:
            ConnectionFailedError: The event that ends the response is missing, whether `[DONE]`
                came or not.
            UpstreamError: There is no answer.
        """
        has_begun = self._text or self._calls or self._reasoning or self._done_items
        if has_begun and not self.ended and not self._choice.get("finish_reason"):
            raise self.error(failure=truncated_stream_failure())
        return super().final_chunk()

    def _begin(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        response = get_dict(event, "response") or {}
        known = {name: response[name] for name in _EARLY_FIELDS if name in response}
        self._record_metadata(to_envelope(known), None)
        return []

    def _handle_debug(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        self._record_metadata({"debug": event.get("debug")}, None)
        return []

    def _rest(self, key: tuple[Any, ...], text: str, *, is_delta: bool = False) -> str:
        """Return what was not shown yet of a text.

        Args:
            key: Identifies the text.
            text: The next piece of it, or all of it.
            is_delta: Whether it is a piece.
        """
        shown = self._shown.get(key, 0)
        rest = text if is_delta else text[shown:]
        self._shown[key] = shown + len(rest)
        return rest

    # --- text and refusal -----------------------------------------------------------------

    def _add_text(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        text = event.get("delta")
        if type(text) is not str:
            return []

        position = self._positions.locate(event)
        part = event.get("content_index")
        key = (position, part if type(part) is int else 0)
        self._shown[key] = self._shown.get(key, 0) + len(text)
        if event.get("logprobs"):
            self._token_logprobs += get_list(event, "logprobs") or []
        return self._emit_text(text)

    def _emit_text(self, text: str) -> list[OpenRouterMessageChunk]:
        if not text:
            return []
        self._text.append(text)
        return [self._chunk(text)]

    def _finish_text(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        part = get_dict(event, "part") or {"type": "output_text", "text": event.get("text")}
        index = event.get("content_index")
        return self._add_part(
            self._positions.locate(event), index if type(index) is int else 0, part
        )

    def _add_part(
        self, position: int, index: int, part: dict[str, Any]
    ) -> list[OpenRouterMessageChunk]:
        """Add a part of a message that has come as a whole."""
        kind = get_str(part, "type")
        if kind == "refusal":
            return self._add_refusal(position, index, get_str(part, "refusal") or "")

        if kind == "reasoning_text":
            return self._add_reasoning(TEXT, position, index, get_str(part, "text") or "")
        if kind not in {"output_text", "text", None}:
            return []
        return self._emit_text(self._rest((position, index), get_str(part, "text") or ""))

    def _handle_refusal(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        index = event.get("content_index")
        is_delta = "delta" in event
        text = get_str(event, "delta" if is_delta else "refusal") or ""
        index = index if type(index) is int else 0
        return self._add_refusal(self._positions.locate(event), index, text, is_delta=is_delta)

    def _add_refusal(
        self, position: int, index: int, text: str, *, is_delta: bool = False
    ) -> list[OpenRouterMessageChunk]:
        rest = self._rest(("refusal", position, index), text, is_delta=is_delta)
        return self._handle_delta({"refusal": rest}) if rest else []

    def _handle_annotation(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        annotation = get_dict(event, "annotation")
        return (
            self._handle_delta({"annotations": [to_chat_annotation(annotation)]})
            if annotation
            else []
        )

    # --- reasoning ------------------------------------------------------------------------

    def _handle_reasoning(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        """Add a piece of a reasoning text or of its summary, or the whole of it."""
        is_summary = "summary" in str(event.get("type"))
        index = event.get("summary_index" if is_summary else "content_index")
        is_delta = "delta" in event
        complete = get_str(event, "text") or get_str(get_dict(event, "part"), "text")
        text = get_str(event, "delta") if is_delta else complete

        return self._add_reasoning(
            SUMMARY if is_summary else TEXT,
            self._positions.locate(event),
            index if type(index) is int else 0,
            text or "",
            is_delta=is_delta,
            item_id=get_str(event, "item_id"),
        )

    def _add_reasoning(  # noqa: PLR0913 - what identifies a text
        self,
        kind: str,
        position: int,
        index: int,
        text: str,
        *,
        is_delta: bool = False,
        item_id: str | None = None,
    ) -> list[OpenRouterMessageChunk]:
        key = (kind, position, index)
        rest = self._rest(key, text, is_delta=is_delta)
        if not rest:
            return []
        name = "summary" if kind == SUMMARY else "text"
        detail = {"type": kind, name: rest, "id": item_id, "index": self._detail_index(key)}
        return self._handle_delta({"reasoning": rest, "reasoning_details": [detail]})

    def _detail_index(self, key: tuple[Any, ...]) -> int:
        return self._detail_indices.setdefault(key, len(self._detail_indices))

    def _add_reasoning_item(
        self, position: int, item: dict[str, Any]
    ) -> list[OpenRouterMessageChunk]:
        """Add what a complete reasoning item has beside the texts that were shown."""
        chunks: list[OpenRouterMessageChunk] = []
        counts: dict[str, int] = {}

        for detail in to_reasoning_details(item):
            kind = detail["type"]
            counts[kind] = index = counts.get(kind, -1) + 1
            key = (kind, position, index)
            rest = self._rest(key, detail_text(detail))
            new = {**detail, "index": self._detail_index(key)}
            for name in ("text", "summary"):
                if name in new:
                    new[name] = rest
            chunks += self._handle_delta({"reasoning": rest, "reasoning_details": [new]})
        return chunks

    # --- calls ----------------------------------------------------------------------------

    def _add_call(
        self, position: int, item: dict[str, Any], *, done: bool
    ) -> list[OpenRouterMessageChunk]:
        """Add a call as far as it has come: its id, its name, and the arguments not yet shown."""
        fragment = self._call_fragments.of_item(position, item, done=done)
        return self._handle_delta({"tool_calls": [fragment]}) if fragment else []

    def _handle_arguments(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        """Add a piece of the arguments of a call."""
        text, is_custom = event.get("delta"), "custom" in str(event.get("type"))
        if not isinstance(text, str) or not text:
            return []
        fragment = self._call_fragments.of_delta(
            self._positions.locate(event), text, custom=is_custom
        )
        return self._handle_delta({"tool_calls": [fragment]})

    def _finish_arguments(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        """Add what was not shown of a call whose arguments are complete; its id may come later."""
        is_custom = "custom" in str(event.get("type"))
        kind = "custom_tool_call" if is_custom else "function_call"
        fields: dict[str, Any] = {n: event[n] for n in ("name", "arguments", "input") if n in event}
        return self._add_call(self._positions.locate(event), {"type": kind, **fields}, done=True)

    # --- items ----------------------------------------------------------------------------

    def _handle_item(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        """Add an item that begins, or that is complete."""
        item, position = get_dict(event, "item") or {}, self._positions.locate(event)
        done = event.get("type") == "response.output_item.done"
        if done and item:
            self._done_items[position] = item

        chunks: list[OpenRouterMessageChunk] = []
        if get_str(item, "type") in CALL_ITEMS:
            chunks = self._add_call(position, item, done=done)
        elif get_str(item, "type") == "reasoning" and done:
            chunks = self._add_reasoning_item(position, item)
        elif get_str(item, "type") == "message":
            for index, part in enumerate(get_dicts(item, "content")):
                chunks += self._add_part(position, index, part)
        return chunks

    # --- the end --------------------------------------------------------------------------

    def _end(self, response: dict[str, Any], status: str) -> list[OpenRouterMessageChunk]:
        """Add the complete response.

        Raises:
            OpenRouterError: It is an error, or its text is not the one that was shown.
        """
        output = get_dicts(response, "output")
        body = {"status": status, **response, "output": output or self._collected_items()}
        chat_body = to_chat_body(body)
        choice = chat_body["choices"][0]
        if body.get("error") or choice["finish_reason"] == "error":
            raise self.error(_to_error(body))

        self.ended = True
        message = choice["message"]
        chunks = self._missing_chunks(body, message)
        if output and "".join(self._text) != _text_in(message):
            text = "the streamed text differs from the complete response's"
            raise self.error({"message": text, "code": 502})
        self._replace_calls(message)
        if self._token_logprobs and "logprobs" not in choice:
            choice["logprobs"] = {"content": self._token_logprobs}
        self._record_metadata(chat_body, choice)

        _, images = split_content(message["content"])
        collected = self._extra_fields.to_additional_kwargs(None)
        complete = to_additional_kwargs(message, images)
        complete.pop(REASONING_CONTENT, None)  # the chunks have it
        self._extra_fields = _CompleteFields({**collected, **complete})
        return chunks

    def _collected_items(self) -> list[dict[str, Any]]:
        """Return the items that were complete, and the calls as far as they were shown."""
        shown = {**self._call_fragments.items(), **self._done_items}
        return [shown[position] for position in self._positions.in_order(shown)]

    def _replace_calls(self, message: dict[str, Any]) -> None:
        """Make the calls those of the complete response, however fragments were put together."""
        self._calls = ToolCallAccumulator()
        for index, call in enumerate(get_dicts(message, "tool_calls")):
            self._calls.add({**call, "index": index})

    def _missing_chunks(
        self, body: dict[str, Any], message: dict[str, Any]
    ) -> list[OpenRouterMessageChunk]:
        """Return chunks of what the complete response has and no event has shown."""
        chunks: list[OpenRouterMessageChunk] = []
        shown = "".join(self._reasoning)
        details = get_dicts(message, "reasoning_details")
        text = reasoning_text(details)
        if details and not self._detail_indices:
            chunks += self._handle_delta({"reasoning": text, "reasoning_details": details})
        elif text.startswith(shown):
            chunks += self._handle_delta({"reasoning": text[len(shown) :]})

        content = message["content"]
        pieces = content if isinstance(content, list) else [content]
        text, shown = _text_in(message), "".join(self._text)
        if text.startswith(shown):
            chunks += self._emit_text(text[len(shown) :])
        if unknown := [piece for piece in pieces if isinstance(piece, dict)]:
            chunks += self._handle_delta({"content": unknown})

        for index, item in enumerate(body["output"]):
            if get_str(item, "type") in CALL_ITEMS:
                hint = self._positions.hint(item, index)
                position = self._call_fragments.find(item, index, hint)
                chunks += self._add_call(position, item, done=True)
        return chunks

    def partial(self) -> AIMessage | None:
        """Return the message so far, with the items that are complete."""
        message = super().partial()
        if message is not None and self._done_items:
            order = self._positions.in_order(self._done_items)
            message.additional_kwargs[OUTPUT_ITEMS] = [self._done_items[p] for p in order]
        return message

    _handlers: ClassVar[dict[str, Callable[[Any, Any], list[OpenRouterMessageChunk]]]] = {
        "response.created": _begin,
        "response.in_progress": _begin,
        "response.output_item.added": _handle_item,
        "response.output_item.done": _handle_item,
        "response.content_part.added": _finish_text,
        "response.content_part.delta": _add_text,
        "response.content_part.done": _finish_text,
        "response.output_text.done": _finish_text,
        "response.output_text.annotation.added": _handle_annotation,
        "response.refusal.delta": _handle_refusal,
        "response.refusal.done": _handle_refusal,
        "response.reasoning.delta": _handle_reasoning,
        "response.reasoning_text.delta": _handle_reasoning,
        "response.reasoning_text.done": _handle_reasoning,
        "response.reasoning_summary_part.added": _handle_reasoning,
        "response.reasoning_summary_part.done": _handle_reasoning,
        "response.reasoning_summary_text.delta": _handle_reasoning,
        "response.reasoning_summary_text.done": _handle_reasoning,
        "response.function_call_arguments.delta": _handle_arguments,
        "response.function_call_arguments.done": _finish_arguments,
        "response.custom_tool_call_input.delta": _handle_arguments,
        "response.custom_tool_call_input.done": _finish_arguments,
        "response.debug": _handle_debug,
    }


def _text_in(message: dict[str, Any]) -> str:
    """Return the text of a message of chat completions."""
    content = message["content"]
    return "".join(p for p in content if isinstance(p, str)) if type(content) is list else content


def _to_error(response: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON of the error of a response that has failed."""
    error = response.get("error") or {"message": "the provider stopped in mid-answer", "code": 502}
    return {"error": error, "error_type": response.get("error_type"), "id": response.get("id")}
