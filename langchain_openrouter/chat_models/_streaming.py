"""The state of one streamed answer, pure: an event goes in, chunks come out.

A stream ends as the live service ends it: two chunks with a finish reason, the second with the
usage (https://openrouter.ai/docs/api-reference/streaming says one). Every scalar of metadata is
therefore held back and emitted once, in the last chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk

from langchain_openrouter._http.error_mapping import contains_error, error_from_response
from langchain_openrouter._http.failures import cut_stream
from langchain_openrouter._http.sse import DONE
from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str, is_empty, parse_json
from langchain_openrouter.chat_models._message_chunk import (
    OpenRouterMessageChunk,
    from_template,
    is_argument_continuation,
    make_template,
)
from langchain_openrouter.chat_models._messages import ARGUMENTS
from langchain_openrouter.chat_models._parsing import (
    PROVIDER,
    detail_text,
    message_or_delta,
    split_content,
    to_response_metadata,
    to_usage_metadata,
    unknown_fields,
    unwrap_nested_body,
    was_truncated,
)
from langchain_openrouter.chat_models._pieces import (
    TwiceSentText,
    digest,
    join_pieces,
    joined_base64,
)
from langchain_openrouter.chat_models._reasoning_details import Details
from langchain_openrouter.chat_models._tool_calls import Calls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.messages.tool import ToolCallChunk

    from langchain_openrouter._http.failures import Failure
    from langchain_openrouter.errors import OpenRouterError

_PLAIN = {"role", "content"}  # every delta of the live service has both
_THOUGHT = {"reasoning", "reasoning_content", "reasoning_details"}
_USUAL = {*_PLAIN, *_THOUGHT, "tool_calls"}
# Read by `_record_metadata` itself; every other field of an event is one of the answer's.
_NOTED_ELSEWHERE = {"id", "object", "choices", "usage", "error", "debug", "user_id"}


class StreamState:
    """Everything that has come of one streamed answer.

    Args:
        headers: Response headers; put into the metadata as `headers` where given.
        generation_id: The id from the response's headers, until an event brings one.
    """

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        generation_id: str | None = None,
    ) -> None:
        self._headers = dict(headers) if headers else None
        self._generation_id = generation_id
        self._id: str | None = None
        self._body: dict[str, Any] = {}
        self._choice: dict[str, Any] = {}
        self._usage: dict[str, Any] | None = None
        self._logprobs: dict[str, Any] = {}
        self._debug: list[Any] = []
        self._text: list[str] = []
        self._parts: list[dict[str, Any]] = []
        self._reasoning: list[str] = []
        self._doubled = TwiceSentText()
        self._refusal: list[str] = []
        self._details = Details()
        self._shown: dict[int, list[str]] = {}  # the text shown as that of each detail
        self._calls = Calls()
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._seen_media_digests: set[bytes] = set()
        self._unknown: dict[str, list[Any]] = {}
        self._audio: dict[str, list[str]] = {}
        self._audio_facts: dict[str, Any] = {}
        self._has_choice = False
        self._last_envelope: tuple[dict[str, Any], dict[str, Any]] | None = None
        self._chunk_template: ChatGenerationChunk | None = None
        self.saw_done = False

    @property
    def finished(self) -> bool:
        """Whether the answer has said why it ends, but for an error."""
        return self._choice.get("finish_reason") not in {None, "error"}

    # --- events ---------------------------------------------------------------------------

    def handle_data(self, data: bytes) -> list[ChatGenerationChunk]:
        """Take the data of one event; `[DONE]` completes the answer.

        Raises:
            OpenRouterError: The event is not JSON, or tells an error; holds what came so far.
        """
        if data.strip() == DONE:
            self.saw_done = True
            return []
        if not data.strip():
            return []
        try:
            event = parse_json(data)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise self.error({"message": "an event of the stream cannot be read"})
        return self.handle_event(event)

    def handle_event(self, event: dict[str, Any]) -> list[ChatGenerationChunk]:
        """Take one event; return the chunks to show now.

        Raises:
            OpenRouterError: The event tells an error; holds what came so far.
        """
        envelope = _envelope(event)
        if envelope is not None and envelope == self._last_envelope:  # nothing new but the delta
            return self._handle_delta(event["choices"][0]["delta"])
        inner = unwrap_nested_body(event)
        choice = _first_choice(inner)
        self._record_metadata(inner, choice)
        chunks = self._handle_delta(message_or_delta(choice) or {})
        if contains_error(inner):
            raise self.error(inner)
        if choice is not None and contains_error(choice):
            raise self.error(choice)
        plain = inner is event and choice is not None
        self._last_envelope = envelope if plain and not event.get("debug") else None
        return chunks

    def _record_metadata(  # noqa: C901 - one branch for each thing held back
        self, event: dict[str, Any], choice: dict[str, Any] | None
    ) -> None:
        """Remember what is not shown until the end."""
        if event.get("debug"):
            # One for each provider tried: its id and model may be another attempt's.
            self._debug.append(event["debug"])
            if choice is None:
                return
        self._id = self._id or get_str(event, "id")
        for name, value in event.items():
            if name not in _NOTED_ELSEWHERE:
                _note_fact(self._body, name, value)
        self._usage = get_dict(event, "usage") or self._usage
        if choice is None:
            return
        self._has_choice = True
        for name in ("finish_reason", "native_finish_reason"):
            if get_str(choice, name):
                self._choice[name] = choice[name]
        for name, value in (get_dict(choice, "logprobs") or {}).items():
            known = self._logprobs.get(name)
            if isinstance(known, list) and isinstance(value, list):
                known.extend(value)
            elif is_empty(known):
                self._logprobs[name] = list(value) if isinstance(value, list) else value

    def _handle_delta(self, delta: dict[str, Any]) -> list[ChatGenerationChunk]:
        """Take one delta; return the chunks to show."""
        text = delta.get("content")
        if isinstance(text, str) and not delta.keys() - _PLAIN:  # nearly all of a long answer
            self._text.append(text)
            return [self._chunk(text)] if text else []
        names = delta.keys()
        chunks = []
        if not names.isdisjoint(_THOUGHT):
            for position, words in self._take_reasoning(delta):
                self._reasoning.append(words)
                if position is not None:
                    self._shown.setdefault(position, []).append(words)
                extras = {"reasoning_content": words} if words else {}
                chunks.append(self._chunk("", extras, position=position))
        content, images = split_content(text)
        calls = [self._calls.add(raw) for raw in get_list(delta, "tool_calls") or ()]
        if content or calls:
            if isinstance(content, str):
                self._text.append(content)
            else:
                self._text += [part for part in content if isinstance(part, str)]
                self._parts += [part for part in content if isinstance(part, dict)]
            chunks.append(self._chunk(content, calls=calls))
        if images or names - _USUAL:
            self._take_media(delta, images)
            for name, value in unknown_fields(delta, message=True).items():
                self._unknown.setdefault(name, []).append(value)
        return chunks

    def _take_reasoning(self, delta: dict[str, Any]) -> list[tuple[int | None, str]]:
        """Return (detail, text) pairs. `reasoning` and the details carry the same text: once."""
        text = get_str(delta, "reasoning") or get_str(delta, "reasoning_content") or ""
        details = get_list(delta, "reasoning_details")
        if details is None:
            text = self._doubled.add(0, text)
            return [(None, text)] if text else []
        self._details.seen = True
        pieces: list[tuple[int | None, str]] = [
            (self._details.add(detail), detail_text(detail))
            for detail in get_dicts(delta, "reasoning_details")
        ]
        joined = "".join(words for _, words in pieces)
        if text == joined and not self._doubled.pending:
            return pieces
        shown = self._doubled.add(0, text)
        more = self._doubled.add(1, joined)
        shown = shown if text and self._doubled.differs else shown + more
        if shown == joined:
            return pieces
        place = next((place for place, words in pieces if words), None)
        blank = [(place, "") for place, words in pieces if not words]
        return [(place, shown), *blank] if shown else blank

    def _take_media(self, delta: dict[str, Any], images: list[dict[str, Any]]) -> None:
        """Keep what comes whole; a repeated image or citation is the same one."""
        for store, found in (
            (self._images, [*get_dicts(delta, "images"), *images]),
            (self._annotations, get_dicts(delta, "annotations")),
        ):
            for item in found:
                media_digest = digest(item)
                if media_digest not in self._seen_media_digests:
                    self._seen_media_digests.add(media_digest)
                    store.append(item)
        if refusal := get_str(delta, "refusal"):
            self._refusal.append(refusal)
        for name, value in (get_dict(delta, "audio") or {}).items():
            if name in {"data", "transcript"} and isinstance(value, str):
                self._audio.setdefault(name, []).append(value)
            else:
                _note_fact(self._audio_facts, name, value)

    # --- the end --------------------------------------------------------------------------

    def final_chunk(self) -> ChatGenerationChunk:
        """Return the last chunk: metadata, usage and everything that was held back.

        Raises:
            ConnectionFailedError: The stream ended without a finish reason and without `[DONE]`.
            UpstreamError: It held no answer, or ended with finish reason "error".
        """
        reason = self._choice.get("finish_reason")
        if reason == "error":
            raise self.error({"message": "the provider stopped in mid-answer", "code": 502})
        if not reason and not self.saw_done:
            raise self.error(failure=cut_stream())
        if not self._has_choice:
            raise self.error({"message": "the stream ended without an answer"})
        cut = was_truncated(reason, self._choice.get("native_finish_reason"))
        late = self._calls.name_late(self._id or self._generation_id)
        texts = self._calls.texts(cut=cut)
        extras = self._extras()
        if texts:
            extras[ARGUMENTS] = texts
        chunk = self._chunk("", extras, calls=late, last=True)
        object.__setattr__(chunk.message, "detail", self._complete_details(extras))
        message = chunk.message
        message.response_metadata = self._metadata()
        message.usage_metadata = to_usage_metadata(self._usage)  # type: ignore[attr-defined]
        info = {name: message.response_metadata.get(name) for name in ("finish_reason", "logprobs")}
        chunk.generation_info = {name: value for name, value in info.items() if value} or None
        return chunk

    def _complete_details(self, extras: dict[str, Any]) -> set[int]:
        """Return the places of the details whose text the chunks before have shown as theirs."""
        return {
            place
            for place, detail in enumerate(get_dicts(extras, "reasoning_details"))
            if detail_text(detail) == "".join(self._shown.get(place, ()))
        }

    def _metadata(self) -> dict[str, Any]:
        body = {**self._body, "id": self._id or self._generation_id, "debug": self._debug or None}
        choice = {**self._choice, "logprobs": self._logprobs or None}
        if self._calls:
            choice.setdefault("finish_reason", "tool_calls")
        metadata = to_response_metadata(body, choice, self._usage)
        if self._headers:
            metadata["headers"] = self._headers
        return metadata

    def _extras(self) -> dict[str, Any]:
        """Return the `additional_kwargs` of a whole answer, but for the reasoning's text."""
        extras: dict[str, Any] = {
            **{name: join_pieces(values) for name, values in self._unknown.items()},
            "reasoning_details": self._details.whole(),
            "images": self._images or None,
            "annotations": self._annotations or None,
            "audio": self._whole_audio(),
            "refusal": "".join(self._refusal) or None,
        }
        return {name: value for name, value in extras.items() if value is not None}

    def _whole_audio(self) -> dict[str, Any] | None:
        if not self._audio and not self._audio_facts:
            return None
        audio = dict(self._audio_facts)
        if "data" in self._audio:
            audio["data"] = joined_base64(self._audio["data"])
        if "transcript" in self._audio:
            audio["transcript"] = "".join(self._audio["transcript"])
        return audio

    # --- failures -------------------------------------------------------------------------

    def error(self, body: Any = None, *, failure: Failure | None = None) -> OpenRouterError:
        """Return the error with the answer so far."""
        return error_from_response(
            body,
            failure=failure,
            generation_id=self._id or self._generation_id,
            partial=self.partial(),
        )

    def partial(self) -> AIMessage | None:
        """Return what has come so far; tool calls as invalid ones: nobody should run them."""
        extras = self._extras()
        if reasoning := "".join(self._reasoning):
            extras["reasoning_content"] = reasoning
        text = "".join(self._text)
        if not (text or extras or self._calls or self._parts or self._usage):
            return None
        return AIMessage(
            content=[text, *self._parts] if self._parts else text,
            additional_kwargs=extras,
            response_metadata=self._metadata(),
            invalid_tool_calls=self._calls.broken(),
            usage_metadata=to_usage_metadata(self._usage),
            id=self._id or self._generation_id,
        )

    def _chunk(
        self,
        content: Any,
        extras: dict[str, Any] | None = None,
        *,
        calls: list[ToolCallChunk] | None = None,
        position: int | None = None,
        last: bool = False,
    ) -> ChatGenerationChunk:
        if (
            last
            or not isinstance(content, str)
            or not all(map(is_argument_continuation, calls or ()))
        ):
            chunk = self._validated(content, extras, calls, last=last)
        else:
            pattern = self._chunk_template
            if pattern is None or pattern.message.id != (self._id or self._generation_id):
                pattern = self._chunk_template = make_template(self._validated(""))
            chunk = from_template(pattern, content, extras, calls)
        object.__setattr__(chunk.message, "detail", position)
        object.__setattr__(chunk.message, "tail", last)
        return chunk

    def _validated(
        self,
        content: Any,
        extras: dict[str, Any] | None = None,
        calls: list[ToolCallChunk] | None = None,
        *,
        last: bool = False,
    ) -> ChatGenerationChunk:
        fields: dict[str, Any] = {"id": self._id or self._generation_id}
        if extras:
            fields["additional_kwargs"] = extras
        if calls:
            fields["tool_call_chunks"] = calls
        if last:
            fields["chunk_position"] = "last"
        message = OpenRouterMessageChunk(
            content=content, response_metadata={"model_provider": PROVIDER}, **fields
        )
        return ChatGenerationChunk(message=message)


def _note_fact(facts: dict[str, Any], name: str, value: Any) -> None:
    """Keep the latest value that says something; an empty one only until another comes."""
    if is_empty(value):
        facts.setdefault(name, value)
    else:
        facts[name] = value


def _first_choice(event: dict[str, Any]) -> dict[str, Any] | None:
    """Return the choice with index 0; an index that is no number counts as that."""
    for choice in get_dicts(event, "choices"):
        index = choice.get("index")
        if not isinstance(index, int) or index == 0:
            return choice
    return None


def _envelope(event: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return an event without its delta, where that is all that a next one could differ in.

    Nearly all events of an answer have the same envelope, which then need not be read again.
    """
    choices = event.get("choices")
    if type(choices) is not list or len(choices) != 1 or type(choices[0]) is not dict:
        return None
    choice = choices[0]
    if type(choice.get("delta")) is not dict or "message" in choice or choice.get("logprobs"):
        return None
    return {**event, "choices": None}, {**choice, "delta": None}
