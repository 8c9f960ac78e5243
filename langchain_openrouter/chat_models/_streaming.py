"""The state of one streamed response: events in, chunks out, with no input or output of its own.

The live service ends a stream with two events that have a finish reason, the second with the usage
(https://openrouter.ai/docs/api-reference/streaming documents one). All scalar metadata is therefore
emitted once, in the final chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage

from langchain_openrouter._http.error_mapping import contains_error, error_from_response
from langchain_openrouter._http.failures import truncated_stream_failure
from langchain_openrouter._http.metering import CallFacts
from langchain_openrouter._http.sse import DONE
from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str, is_empty, parse_json
from langchain_openrouter._pydantic import set_attribute
from langchain_openrouter._shortcuts import shortcuts
from langchain_openrouter.chat_models._chunk_template import ChunkTemplate, mark_fields_set
from langchain_openrouter.chat_models._extra_fields import ExtraFieldsAccumulator, set_latest
from langchain_openrouter.chat_models._message_chunk import (
    REASONING_CONTENT,
    OpenRouterMessageChunk,
    is_argument_continuation,
)
from langchain_openrouter.chat_models._parsing import (
    PROVIDER,
    detail_text,
    first_choice,
    message_or_delta,
    split_content,
    to_response_metadata,
    unwrap_nested_body,
    was_truncated,
)
from langchain_openrouter.chat_models._pieces import TextBuffer, TextDeduplicator
from langchain_openrouter.chat_models._plain_messages import ARGUMENTS
from langchain_openrouter.chat_models._reasoning_details import ReasoningDetailsAccumulator
from langchain_openrouter.chat_models._repeated_events import (
    RepeatedEvent,
    RepeatedEvents,
    TextField,
)
from langchain_openrouter.chat_models._tool_calls import ToolCallAccumulator
from langchain_openrouter.chat_models._usage import to_usage_metadata, tokens_only

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.messages.tool import ToolCallChunk

    from langchain_openrouter._http.failures import Failure
    from langchain_openrouter.errors import OpenRouterError

_PLAIN = {"role", "content"}  # every delta of the live service has both
_REASONING = {"reasoning", "reasoning_content", "reasoning_details"}
_USUAL = {*_PLAIN, *_REASONING, "tool_calls"}
# Recorded by name, or not at all; every other field of an event is metadata of the response.
_NOT_METADATA = {"id", "object", "choices", "usage", "error", "debug", "user_id"}


class StreamState:
    """Everything that has come of one streamed response.

    Args:
        headers: Response headers; put into the metadata as `headers` if given.
        generation_id: The id from the response's headers, until an event brings one.
        without_costs: Whether the usage of the final chunk has tokens only.
    """

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        generation_id: str | None = None,
        without_costs: bool = False,
    ) -> None:
        self._without_costs = without_costs
        self._headers = dict(headers) if headers else None
        self._generation_id = generation_id
        self.saw_done = False
        self.ended = False  # the last event of the response has come, if it can be told

        # Metadata, for the final chunk.
        self._id: str | None = None
        self._body: dict[str, Any] = {}
        self._choice: dict[str, Any] = {}
        self._has_choice = False
        self._usage: dict[str, Any] | None = None
        self._logprobs: dict[str, Any] = {}
        self._debug: list[Any] = []

        # The message.
        self._text = TextBuffer()
        self._parts: list[dict[str, Any]] = []  # of the content, of unknown types
        self._reasoning = TextBuffer()
        self._details = ReasoningDetailsAccumulator()
        self._deduplicated = TextDeduplicator()
        self._shown_texts: dict[int, TextBuffer] = {}  # what chunks have shown of each detail
        self._calls = ToolCallAccumulator()
        self._extra_fields = ExtraFieldsAccumulator()

        # For speed: the latest event without its delta, the event that the next may repeat, and a
        # validated chunk to copy.
        self._takes_shortcuts = shortcuts.enabled
        self._last_envelope: tuple[dict[str, Any], dict[str, Any]] | None = None
        self._repeated_events = RepeatedEvents()
        self._repeated: RepeatedEvent | None = None
        self._chunk_template: ChunkTemplate | None = None

    @property
    def finished(self) -> bool:
        """Whether a finish reason has come that is not an error."""
        return self._choice.get("finish_reason") not in {None, "error"}

    def facts(self) -> CallFacts:
        """Return what the response has said of itself so far."""
        generation_id = self._id or self._generation_id
        model, provider = get_str(self._body, "model"), get_str(self._body, "provider")
        return CallFacts(generation_id, model, provider, self._usage)

    # --- events ---------------------------------------------------------------------------

    def handle_data(self, data: bytes) -> list[OpenRouterMessageChunk]:
        """Add the data of one event; `[DONE]` completes the response.

        Args:
            data: The `data` field of a server-sent event.

        Returns:
            The chunks to emit now, as from `handle_event`.

        Raises:
            OpenRouterError: The event is not a JSON object, or is an error; its `partial` is the
                message so far.
        """
        repeated = self._repeated
        if repeated is not None:
            text = repeated.find_text(data)
            if text is not None:
                repeated.repeats += 1
                return self._handle_text(repeated, text)
            self._repeated_events.note_end(repeated)
            self._repeated = None

        if data.strip() == DONE:
            self.saw_done = True
        if self.saw_done or not data.strip():
            return []

        try:
            event = parse_json(data)
        except ValueError:
            event = None
        if not isinstance(event, dict) and not self.ended:
            raise self.error({"message": "an event of the stream cannot be read"})
        if not isinstance(event, dict):
            return []

        envelope = self._last_envelope
        chunks = self.handle_event(event)
        if self._takes_shortcuts and envelope is not None and envelope is self._last_envelope:
            self._repeated = self._expect_repetition(data, event)
        return chunks

    def _expect_repetition(self, data: bytes, event: dict[str, Any]) -> RepeatedEvent | None:
        """Return what the next events may repeat of this one, of which only the delta was new."""
        repeated = self._repeated_events.expect(data, event)
        if repeated is not None and repeated.field is TextField.DETAIL:
            is_shown_once = self._details.takes_text and not self._deduplicated.pending
            return repeated if is_shown_once else None
        return repeated

    def _handle_text(self, repeated: RepeatedEvent, text: str) -> list[OpenRouterMessageChunk]:
        """Add an event that repeats another but for its text, as `handle_event` would."""
        field = repeated.field
        if field is TextField.CONTENT:
            self._text.append(text)
            return [self._chunk(text)] if text else []
        if field is TextField.ARGUMENTS:
            return [self._chunk("", calls=[self._calls.add_arguments(repeated.call_index, text)])]
        if field is TextField.DETAIL:
            return [self._reasoning_chunk(self._details.add_text(text), text)]

        new_text = self._deduplicated.add(0, text)
        return [self._reasoning_chunk(None, new_text)] if new_text else []

    def handle_event(self, event: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        """Add one event.

        Args:
            event: Its JSON.

        Returns:
            The chunks to emit now: none, one, or one for each kind of content of the delta.

        Raises:
            OpenRouterError: The event is an error; its `partial` is the message so far.
        """
        envelope = _envelope(event)
        if envelope is not None and envelope == self._last_envelope:  # only the delta is new
            return self._handle_delta(event["choices"][0]["delta"])

        inner = unwrap_nested_body(event)
        choice = first_choice(inner)
        self._record_metadata(inner, choice)
        chunks = self._handle_delta(message_or_delta(choice) or {})
        if contains_error(inner):
            raise self.error(inner)
        if choice is not None and contains_error(choice):
            raise self.error(choice)

        is_usual = inner is event and choice is not None and not event.get("debug")
        self._last_envelope = envelope if is_usual else None
        return chunks

    def _record_metadata(self, event: dict[str, Any], choice: dict[str, Any] | None) -> None:
        """Record everything of an event but its delta, for the final chunk."""
        if event.get("debug"):
            # One event for each provider that was tried, whose id and model may be of a failed one.
            self._debug.append(event["debug"])
            if choice is None:
                return

        if self._id is None:
            self._id = get_str(event, "id")
            self._chunk_template = None  # it has the id
        for name, value in event.items():
            if name not in _NOT_METADATA:
                set_latest(self._body, name, value)
        self._usage = get_dict(event, "usage") or self._usage

        if choice is not None:
            self._has_choice = True
            for name in ("finish_reason", "native_finish_reason"):
                if get_str(choice, name):
                    self._choice[name] = choice[name]
            self._record_logprobs(get_dict(choice, "logprobs") or {})

    def _record_logprobs(self, logprobs: dict[str, Any]) -> None:
        for name, value in logprobs.items():
            recorded = self._logprobs.get(name)
            if isinstance(recorded, list) and isinstance(value, list):
                recorded.extend(value)
            elif is_empty(recorded):
                self._logprobs[name] = list(value) if isinstance(value, list) else value

    def _handle_delta(self, delta: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        """Add one delta; return the chunks to emit."""
        text = delta.get("content")
        if isinstance(text, str) and not delta.keys() - _PLAIN:  # most deltas of a long response
            self._text.append(text)
            return [self._chunk(text)] if text else []

        names = delta.keys()
        chunks = [] if names.isdisjoint(_REASONING) else self._reasoning_chunks(delta)
        content, images = split_content(text)
        calls = [self._calls.add(raw) for raw in get_list(delta, "tool_calls") or ()]
        if content or calls:
            if isinstance(content, str):
                self._text.append(content)
            else:
                self._text.append("".join(part for part in content if isinstance(part, str)))
                self._parts += [part for part in content if isinstance(part, dict)]
            chunks.append(self._chunk(content, calls=calls))

        if images or names - _USUAL:
            self._extra_fields.add(delta, images)
        return chunks

    def _reasoning_chunks(self, delta: dict[str, Any]) -> list[OpenRouterMessageChunk]:
        return [self._reasoning_chunk(*piece) for piece in self._take_reasoning(delta)]

    def _reasoning_chunk(self, detail_index: int | None, text: str) -> OpenRouterMessageChunk:
        self._reasoning.append(text)
        if detail_index is not None:
            shown = self._shown_texts.get(detail_index)
            if shown is None:
                shown = self._shown_texts[detail_index] = TextBuffer()
            shown.append(text)

        extras = {REASONING_CONTENT: text} if text else {}
        return self._chunk("", extras, detail_index=detail_index)

    def _take_reasoning(self, delta: dict[str, Any]) -> list[tuple[int | None, str]]:
        """Return pairs of the index of a reasoning detail, or None, and new text to show.

        `reasoning` and the details have the same text, which is shown once.
        """
        text = get_str(delta, "reasoning") or get_str(delta, "reasoning_content") or ""
        details = get_list(delta, "reasoning_details")
        if details is None:
            text = self._deduplicated.add(0, text)
            return [(None, text)] if text else []

        self._details.was_sent = True
        pieces: list[tuple[int | None, str]] = [
            (self._details.add(detail), detail_text(detail))
            for detail in get_dicts(delta, "reasoning_details")
        ]
        joined = "".join(piece for _, piece in pieces)
        if text == joined and not self._deduplicated.pending:
            return pieces

        new_text = self._deduplicated.add(0, text)
        new_of_details = self._deduplicated.add(1, joined)
        if not text or not self._deduplicated.differs:
            new_text += new_of_details
        if new_text == joined:
            return pieces
        first_with_text = next((index for index, piece in pieces if piece), None)
        without_text = [(index, "") for index, piece in pieces if not piece]
        return [(first_with_text, new_text), *without_text] if new_text else without_text

    # --- the end --------------------------------------------------------------------------

    def final_chunk(self) -> OpenRouterMessageChunk:
        """Return the final chunk: metadata, usage and the fields that come complete.

        Raises:
            ConnectionFailedError: The stream ended without a finish reason and without `[DONE]`.
            UpstreamError: It had no choice, or ended with finish reason "error".
        """
        reason = self._choice.get("finish_reason")
        if reason == "error":
            raise self.error({"message": "the provider stopped in mid-answer", "code": 502})
        if not reason and not self.saw_done:
            raise self.error(failure=truncated_stream_failure())
        if not self._has_choice:
            raise self.error({"message": "the stream ended without an answer"})

        generation_id = self._id or self._generation_id
        calls_with_ids = self._calls.assign_missing_ids(generation_id)
        cut = was_truncated(reason, self._choice.get("native_finish_reason"))
        extras = self._extra_fields.to_additional_kwargs(self._details.result())
        if texts := self._calls.argument_texts(cut=cut):
            extras[ARGUMENTS] = texts

        message = self._validated_chunk("", extras, calls_with_ids, last=True)
        message.name = self._extra_fields.name
        set_attribute(message, "detail_index", None)
        set_attribute(message, "shown_details", self._shown_details(extras))
        message.response_metadata = self._metadata()
        usage = to_usage_metadata(self._usage)
        message.usage_metadata = tokens_only(usage) if self._without_costs else usage
        return message

    def _shown_details(self, extras: dict[str, Any]) -> set[int]:
        """Return the indices of the details whose complete text earlier chunks have shown."""
        return {
            index
            for index, detail in enumerate(get_dicts(extras, "reasoning_details"))
            if detail_text(detail) == "".join(self._shown_texts.get(index, ()))
        }

    def _metadata(self) -> dict[str, Any]:
        body = {**self._body, "id": self._id or self._generation_id, "debug": self._debug or None}
        choice = {**self._choice, "logprobs": self._logprobs or None}
        if self._calls:
            choice.setdefault("finish_reason", "tool_calls")

        metadata = to_response_metadata(body, choice, self._usage)
        return {**metadata, "headers": self._headers} if self._headers else metadata

    # --- failures -------------------------------------------------------------------------

    def error(self, body: Any = None, *, failure: Failure | None = None) -> OpenRouterError:
        """Return the error of this response, with the message so far as its `partial`.

        Args:
            body: The JSON of the error, if one came.
            failure: What interrupted the stream.
        """
        return error_from_response(
            body,
            failure=failure,
            generation_id=self._id or self._generation_id,
            partial=self.partial(),
        )

    def partial(self) -> AIMessage | None:
        """Return the message so far, or None; its tool calls are invalid, so that none is run."""
        extras = self._extra_fields.to_additional_kwargs(self._details.result())
        if reasoning := "".join(self._reasoning):
            extras[REASONING_CONTENT] = reasoning
        text = "".join(self._text)
        if not (text or extras or self._calls or self._parts or self._usage):
            return None

        return AIMessage(
            content=[text, *self._parts] if self._parts else text,
            additional_kwargs=extras,
            name=self._extra_fields.name,
            response_metadata=self._metadata(),
            invalid_tool_calls=self._calls.as_invalid(),
            usage_metadata=to_usage_metadata(self._usage),
            id=self._id or self._generation_id,
        )

    # --- chunks ---------------------------------------------------------------------------

    def _chunk(
        self,
        content: Any,
        extras: dict[str, Any] | None = None,
        *,
        calls: list[ToolCallChunk] | None = None,
        detail_index: int | None = None,
    ) -> OpenRouterMessageChunk:
        """Return a chunk that is not the final one, from the template if it can be."""
        is_plain = isinstance(content, str) and all(map(is_argument_continuation, calls or ()))
        if is_plain and self._takes_shortcuts:
            template = self._chunk_template
            if template is None:
                template = self._chunk_template = ChunkTemplate(self._validated_chunk(""))
            return template.copy(content, extras, calls, detail_index)

        chunk = self._validated_chunk(content, extras, calls)
        if is_plain:
            mark_fields_set(chunk)
        set_attribute(chunk, "detail_index", detail_index)
        set_attribute(chunk, "shown_details", None)
        return chunk

    def _validated_chunk(
        self,
        content: Any,
        extras: dict[str, Any] | None = None,
        calls: list[ToolCallChunk] | None = None,
        *,
        last: bool = False,
    ) -> OpenRouterMessageChunk:
        fields: dict[str, Any] = {"id": self._id or self._generation_id}
        if extras:
            fields["additional_kwargs"] = extras
        if calls:
            fields["tool_call_chunks"] = calls
        if last:
            fields["chunk_position"] = "last"

        return OpenRouterMessageChunk(
            content=content, response_metadata={"model_provider": PROVIDER}, **fields
        )


def _envelope(event: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return an event without its delta, or None if more than the delta may be new in it.

    Nearly all events of a response have equal envelopes; what equals the last is not parsed again.
    """
    choices = event.get("choices")
    if type(choices) is not list or len(choices) != 1 or type(choices[0]) is not dict:
        return None

    choice = choices[0]
    if type(choice.get("delta")) is not dict or "message" in choice or choice.get("logprobs"):
        return None
    return {**event, "choices": None}, {**choice, "delta": None}
