"""An answer damaged anywhere ends in an answer or in an OpenRouterError, whole and streamed."""

from __future__ import annotations

import copy
import json
from functools import reduce
from operator import add

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter._http.transport import ApiResponse
from langchain_openrouter.chat_models._endpoints import CHAT
from langchain_openrouter.chat_models._response import parse_body, result_from_body
from langchain_openrouter.chat_models._streaming import StreamState
from langchain_openrouter.errors import OpenRouterError
from tests.support.loopback import Reply, Server, events, sse, whole
from tests.support.traffic import bodies, exchanges

RICH = {
    "content": "Sure.",
    "reasoning": "Let me see.",
    "reasoning_details": [
        {"type": "reasoning.text", "text": "Let me see.", "signature": "s", "index": 0,
         "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "xyz", "id": "r1", "index": 1},
    ],
    "tool_calls": [
        {"id": "c1", "index": 0, "type": "function",
         "function": {"name": "f", "arguments": '{"a": 1}'}},
    ],
    "images": [{"type": "image_url", "index": 0, "image_url": {"url": "data:image/png;base64,AA=="}}],
    "annotations": [{"type": "url_citation", "url_citation": {"url": "https://e.org", "title": "E"}}],
    "audio": {"id": "a", "data": "AAAA", "transcript": "hi"},
    "refusal": None,
}  # fmt: skip
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([[], [{"type": []}], [{"type": "image_url"}], {"index": "0"}, "[DONE]"]),
    st.just({}),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
MODEL = ChatOpenRouter(model="a/b", api_key="k")


def paths(value, prefix=()):
    """Return the path of every value inside a JSON value."""
    found = [prefix] if prefix else []
    items = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, list) else ()
    )  # fmt: skip
    for key, inner in items:
        found += paths(inner, (*prefix, key))
    return found


def damaged(value, path, junk, *, drop):
    """Return a copy with the value at the path replaced or dropped."""
    value = copy.deepcopy(value)
    at = reduce(lambda inner, key: inner[key], path[:-1], value)
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = junk
    return value


def damaged_by(data, value):
    """Return a copy that hypothesis has damaged in one to three places."""
    for _ in range(data.draw(st.integers(1, 3))):
        if found := paths(value):
            path = data.draw(st.sampled_from(found))
            value = damaged(value, path, data.draw(JUNK), drop=data.draw(st.booleans()))
    return value


def read_whole(body):
    """Read a whole body as `invoke` does; None where it ends in an error of ours."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        result = result_from_body(parse_body(ApiResponse(200, {}, data), CHAT))
    except OpenRouterError as error:
        assert str(error)  # noqa: PT017 - an error is one of the two right endings
        return None
    message = result.generations[0].message
    use(message)
    return message


def read_stream(found):
    """Read events as `stream` does; None where they end in an error of ours."""
    state = StreamState()
    chunks = []
    try:
        for body in found:
            chunks += state.handle_data(json.dumps(body).encode())
        state.handle_data(b"[DONE]")
        chunks.append(state.final_chunk())
    except OpenRouterError as error:
        assert str(error)  # noqa: PT017 - an error is one of the two right endings
        return None
    message = reduce(add, chunks)
    for chunk in chunks:
        assert isinstance(chunk.content_blocks, list)
    use(message)
    return message


def use(message):
    """Do with a message what users do: show it, send it back."""
    assert isinstance(message.text, str)
    assert isinstance(message.content_blocks, list)
    assert repr(message)
    plain = AIMessage(**{k: v for k, v in message if k in AIMessage.model_fields and k != "type"})
    json.dumps(MODEL._get_request_payload([plain]))


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_whole_answer_damaged_anywhere(data):
    """Drop or replace any values of a rich whole answer."""
    body = whole(message=RICH)
    read_whole(damaged_by(data, body))


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_stream_damaged_anywhere(data):
    """Drop or replace any values of any event of a rich stream."""
    found = events(RICH, {"content": " Bye."}, {"audio": {"data": "BBBB"}})
    read_stream(damaged_by(data, found))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_error_damaged_anywhere(data):
    """Drop or replace any values of an error body: still an error of ours."""
    body = {"error": {"code": 429, "message": "slow", "metadata": {
        "raw": '{"error": {"message": "m"}}', "provider_name": "P", "error_type": "timeout"},
        "availability": {"code": "x", "retryable": True, "retry_after": 2}}}  # fmt: skip
    read_whole(damaged_by(data, body))


@pytest.mark.parametrize("exchange", exchanges()[::4] or [None])
def test_recorded_answers_damaged_everywhere(exchange):
    """Every key of a recorded answer, dropped and made null, of another type and unknown."""
    if exchange is None:
        pytest.skip("no recordings")
    found = bodies(exchange)[-6:]
    for path in paths(found)[:400]:
        for drop, junk in ((True, None), (False, None), (False, 7), (False, "?"), (False, ["?"])):
            broken = damaged(found, path, junk, drop=drop)
            read_stream(broken) if exchange["stream"] else read_whole(broken[0] if broken else b"")


@pytest.mark.parametrize("step", [1])
def test_whole_body_cut_anywhere(step):
    """A body cut at any byte is an error; the text that came travels with it."""
    data = json.dumps(whole("Hello there", message={"reasoning": "Hmm"})).encode()
    end = data.rindex(b"}")
    partials = set()
    for size in range(0, end, step):
        try:
            result_from_body(parse_body(ApiResponse(200, {}, data[:size]), CHAT))
        except OpenRouterError as error:
            partials.add(error.partial.text if error.partial else None)
        else:
            pytest.fail(f"cut at {size} gave an answer")
    assert "Hello th" in partials
    assert "Hello there" in partials


def test_unknown_fields_and_values_are_no_failure():
    """New fields and unknown words of the service change nothing."""
    body = whole("Hi", novelty={"a": [1]}, choice={"finish_reason": "end_turn", "new": 1})
    body["usage"]["new_tokens"] = 4
    message = read_whole(body)

    assert message.text == "Hi"
    assert message.response_metadata["finish_reason"] == "end_turn"
    assert message.response_metadata["token_usage"]["new_tokens"] == 4


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_any_bytes_as_a_body(data):
    """Whatever comes with status 200, whole or streamed."""
    for kind in ("application/json", "text/event-stream", "text/html"):
        with Server(Reply(data, content_type=kind)) as server:
            model = ChatOpenRouter(model="a/b", api_key="k", base_url=server.url, max_retries=0)
            with pytest.raises(OpenRouterError):
                model.invoke("x")
            with pytest.raises(OpenRouterError):
                list(model.stream("x"))


def test_events_cut_at_every_byte_say_the_same():
    """A stream's bytes may arrive in any pieces, with LF, CRLF or CR, and a byte order mark."""
    from langchain_openrouter._http.sse import SSEDecoder

    items = events({"content": "Zürich 🙂"}, {"content": "\u2028"})
    for newline in ("\n", "\r\n", "\r"):
        data = b"\xef\xbb\xbf" + sse(items, newline=newline)
        want = [*[json.dumps(item).encode() for item in items], b"[DONE]"]
        for cut in range(len(data) + 1):
            decoder = SSEDecoder()
            got = decoder.feed(data[:cut]) + decoder.feed(data[cut:]) + decoder.flush()
            assert got == want, (newline, cut)
        decoder = SSEDecoder()
        single = [found for byte in data for found in decoder.feed(bytes([byte]))]
        assert single + decoder.flush() == want


def test_half_a_surrogate_pair_is_no_failure():
    """A lone surrogate, which no UTF-8 request could carry back, becomes U+FFFD."""
    message = read_whole(json.dumps(whole("x")).replace('"x"', '"a\\ud83d"').encode())

    assert message.text == "a\ufffd"
