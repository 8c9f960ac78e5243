"""The short cuts of a stream change nothing but its cost: on and off, each chunk is the same."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter._http.sse import SSEDecoder
from langchain_openrouter._shortcuts import VARIABLE, shortcuts
from langchain_openrouter.chat_models._byte_template import build_template
from langchain_openrouter.chat_models._chunk_template import to_generation_chunk
from langchain_openrouter.chat_models._endpoints import CHAT
from langchain_openrouter.chat_models._response import chunks_of_event
from langchain_openrouter.chat_models._streaming import StreamState
from langchain_openrouter.errors import OpenRouterError
from tests.support.loopback import Server, stream, whole
from tests.support.recut import OPTIONS, Cut, stream_of
from tests.support.traffic import exchanges, name_of

STREAMS = [exchange for exchange in exchanges() if exchange["stream"]]
KINDS = ("content", "reasoning", "text", "summary", "arguments")


def all_of(chunk):
    """Return all that a chunk holds, as values that can be compared, and its generation chunk."""
    message, chunk = chunk, to_generation_chunk(chunk)
    return {
        "chunk": chunk.model_dump(),
        "values": (dict(vars(chunk)) | {"message": None}, dict(vars(message))),
        "order": (list(vars(chunk)), list(vars(message))),
        "sets": (sorted(chunk.model_fields_set), sorted(message.model_fields_set)),
        "extra": (chunk.__pydantic_extra__, message.__pydantic_extra__),
        "private": (chunk.__pydantic_private__, message.__pydantic_private__),
        "slots": (message.detail_index, message.shown_details),
        "class": (type(chunk), type(message)),
    }


def read(data, *, step, enabled):
    """Return what each event gives, chunk by chunk, the error that ends it, and what is kept."""
    enabled_before, shortcuts.enabled = shortcuts.enabled, enabled
    try:
        return _read(data, step)
    finally:
        shortcuts.enabled = enabled_before


def _read(data, step):
    state, decoder, steps = StreamState(generation_id="gen-head"), SSEDecoder(), []
    pieces = [data[i : i + step] for i in range(0, len(data), step)]
    try:
        for event in (*(e for piece in pieces for e in decoder.feed(piece)), *decoder.flush()):
            steps.append([all_of(chunk) for chunk in chunks_of_event(state, event, CHAT)])
            if state.saw_done:
                break
        else:
            steps.append([all_of(chunk) for chunk in chunks_of_event(state, None, CHAT)])
    except OpenRouterError as error:
        partial = error.partial
        steps.append([type(error), str(error), partial and (partial.model_dump(), vars(partial))])
    kept = state.partial()
    return [*steps, kept and kept.model_dump(), state.facts()]


def check(data, step=1_000_000):
    """Demand the same of both ways."""
    on, off = (read(data, step=step, enabled=enabled) for enabled in (True, False))
    assert repr(on) == repr(off)  # which NaN equals too, and 1 does not equal True


def recognized(data, monkeypatch):
    """Return how many events of a stream were recognized by the bytes around their text."""
    texts = []
    handle = StreamState._handle_text
    with monkeypatch.context() as patch:
        patch.setattr(StreamState, "_handle_text", lambda *args: texts.append(1) or handle(*args))
        read(data, step=1_000_000, enabled=True)
    return len(texts)


# --- the switch -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "enabled"), [("0", False), ("off", False), ("", True), ("1", True)]
)
def test_the_variable_turns_the_short_cuts_off(value, enabled):
    """It is read when the package is imported."""
    code = "from langchain_openrouter._shortcuts import shortcuts; print(shortcuts.enabled)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={VARIABLE: value}, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout.strip() == str(enabled)


def test_no_event_is_recognized_by_its_bytes_when_they_are_off(monkeypatch):
    """And no chunk is copied."""
    monkeypatch.setattr(shortcuts, "enabled", False)
    state = StreamState()
    for _ in range(5):
        state.handle_data(frame("content", '"x"').encode())
    assert state._repeated is None
    assert state._chunk_template is None


# --- streams ----------------------------------------------------------------------------------


def frame(kind, raw, *, other=None, spaces="", **changes):
    """Return an event as text, the JSON strings of its text as they are.

    Args:
        kind: One of KINDS.
        raw: The JSON of the text.
        other: That of the detail, where it is another.
        spaces: After each colon.
        changes: Of the event; `delta` is text in the delta, `after` text after it.
    """
    delta = {
        "content": f'"role":"assistant","content":{raw}',
        "reasoning": f'"content":"","reasoning":{raw},"role":"assistant"',
        "text": f'"content":"","reasoning":{raw},"reasoning_details":'
        f'[{{"type":"reasoning.text","text":{other or raw},"format":"unknown","index":0}}]',
        "summary": f'"reasoning_details":[{{"summary":{other or raw},"type":"reasoning.summary",'
        f'"index":0}}],"content":"","reasoning":{raw}',
        "arguments": f'"content":null,"tool_calls":[{{"index":{changes.get("index", 0)},'
        f'"function":{{"arguments":{raw}}},"type":"function"}}]',
    }[kind]  # fmt: skip
    text = (
        f'{{"id":"{changes.get("id", "gen-1")}","model":"{changes.get("model", "a/b")}",'
        f'"choices":[{{"index":0,"delta":'
        f"{{{changes.get('delta', '')}{delta}{changes.get('after', '')}}},"
        f'"finish_reason":{changes.get("reason", "null")},"native_finish_reason":null}}'
        f"{changes.get('second', '')}]{changes.get('end', '')}}}"
    )
    return text.replace('":', '":' + spaces) if spaces else text


def to_stream(frames, newline="\n", between="", done=("[DONE]",)):
    """Return the bytes of a stream of events."""
    blocks = [f"data: {text}{newline}{newline}{between}" for text in [*frames, *done]]
    return "".join(blocks).encode("utf-8", "surrogatepass")


START = '{"id":"gen-1","model":"a/b","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"c0","function":{"name":"f","arguments":""}},{"index":1,"id":"c1","function":{"name":"g","arguments":""}}]},"finish_reason":null,"native_finish_reason":null}]}'  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encode", [json.dumps, lambda text: json.dumps(text, ensure_ascii=False)])
def test_each_kind_of_text_is_recognized(kind, encode, monkeypatch):
    """All but the first events of a frame, whatever their text holds."""
    texts = ["a", " word", "é🙂", 'q"uo\\te\n', "content", "\u2028", "b"] * 15
    data = to_stream([START, *(frame(kind, encode(text), spaces=" ") for text in texts)])

    assert recognized(data, monkeypatch) >= len(texts) - 2
    check(data)
    check(data, step=5)


def test_a_stream_of_several_frames_is_recognized(monkeypatch):
    """Reasoning, text, then two calls: the first of each frame is parsed."""
    frames = [frame(kind, '"ab"') for kind in ("text", "summary", "content") for _ in range(30)]
    frames += [frame("arguments", '"1"', index=index) for index in (0, 1) for _ in range(30)]
    data = to_stream([START, *frames], between=": OPENROUTER PROCESSING\n\n")

    assert recognized(data, monkeypatch) >= 30 * 5 - 7
    check(data)


def test_a_service_that_never_repeats_itself_is_given_up_on(monkeypatch):
    """At most 8 events are proved in vain; an id that always changes costs none."""
    proofs = []
    monkeypatch.setattr(
        "langchain_openrouter.chat_models._repeated_events.build_template",
        lambda *args: proofs.append(1) or build_template(*args),
    )
    spaced = [frame("content", '"x"', spaces=" " * (i % 2)) for i in range(60)]
    assert recognized(to_stream(spaced), monkeypatch) == 0
    assert len(proofs) == 8

    proofs.clear()
    stamped = [frame("content", '"x"', end=f',"created":{i}') for i in range(60)]
    assert recognized(to_stream(stamped), monkeypatch) == 0
    assert not proofs
    check(to_stream(spaced))
    check(to_stream(stamped))


def test_nothing_after_the_end_is_recognized():
    """Text that comes after `[DONE]` is not part of the answer."""
    state = StreamState()
    event = frame("content", '"x"').encode()
    for data in (event, event, event, b"[DONE]"):
        state.handle_data(data)
    assert state.handle_data(event) == []
    assert state.partial().content == "xxx"


def test_a_chunk_changes_no_other():
    """Of recognized events too: their lists and dicts are their own."""
    state = StreamState()
    chunks = [c for _ in range(6) for c in state.handle_data(frame("arguments", '"1"').encode())]
    want = [copy.deepcopy(all_of(chunk)) for chunk in chunks]
    first = chunks[3]
    first.tool_call_chunks[0]["args"] = "changed"
    first.tool_call_chunks.append("x")
    first.response_metadata["x"] = first.additional_kwargs["x"] = first.colour = 1
    first.tool_calls.append("x")
    first.content = to_generation_chunk(first).text = "new"

    rest = [all_of(chunk) for place, chunk in enumerate(chunks) if place != 3]
    assert rest == want[:3] + want[4:]
    assert "colour" in first.model_fields_set
    assert pickle.loads(pickle.dumps(chunks[4])) == copy.deepcopy(chunks[4]) == chunks[4]
    assert state.partial().invalid_tool_calls[0]["args"] == "1" * 6


@pytest.mark.skipif(not STREAMS, reason="no recordings of the service")
@pytest.mark.parametrize("exchange", STREAMS, ids=name_of)
def test_recorded_streams_are_the_same(exchange):
    """Whole, and cut anywhere; and what is damaged in one place."""
    data = exchange["body"].encode()
    check(data)
    check(data, step=61)
    check(data.replace(b'"id"', b'"di"', 3), step=4_096)


@pytest.mark.skipif(not STREAMS, reason="no recordings of the service")
def test_most_events_of_the_recorded_streams_are_recognized(monkeypatch):
    """Of streams as they are sent today, four of five."""
    events = [exchange["body"].count("data: {") for exchange in STREAMS]
    counts = [recognized(exchange["body"].encode(), monkeypatch) for exchange in STREAMS]
    assert sum(counts) >= 0.8 * sum(events)


BODIES = [
    whole("Hello, 🙂 world!\r\nBye." * 3),
    whole("Hi.", message={"reasoning": "First I think." * 5, "reasoning_details": [
        {"type": "reasoning.text", "text": "First I think." * 5, "signature": "s", "index": 0},
        {"type": "reasoning.encrypted", "data": "gAAAA=", "id": "rs_1", "index": 1}]}),
    whole("Hi.", message={"reasoning": "Short. " * 9, "reasoning_details": [
        {"type": "reasoning.summary", "summary": "Short. " * 9, "index": 0}]}),
    whole(None, message={"content": None, "tool_calls": [
        {"id": f"c{i}", "type": "function", "index": i, "function": {
            "name": "f", "arguments": '{"city": "Pa\\"r}is", "days": [1, 2, 3, 4, 5, 6]}'}}
        for i in range(2)]}, choice={"finish_reason": "tool_calls"}),
]  # fmt: skip
CUTS = st.builds(Cut, **{name: st.sampled_from(values) for name, values in OPTIONS.items()})
STEPS = st.sampled_from([1, 7, 100, 1_000_000])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(BODIES), CUTS, STEPS)
def test_recut_streams_are_the_same(body, cut, step):
    """Whatever habits a service has."""
    check(stream_of(body, cut._replace(size=min(cut.size, 64))), step)


RAW = st.sampled_from([
    '"a"', '" word"', '""', '"\\""', '"\\\\"', '"\\ud83d\\ude42"', '"\\ud83d"', '"\\udE42x"', '"\\u0000"',
    '"\x01"', '"\x7f"', '"🙂"', '"\udc80"', '"\\/"', '"\\q"', '"{"', '"}"', '"content"', '"gen-1"', '"assistant"',
    "null", "1", "{}", '["a"]', "true", '"a","role":"assistant"', '"a","content":"b"', '"b"}],"x":[{"y":"c"',
    '"a', 'a"', "", ' "a" ', '"a" "b"', '"x","reasoning":"y"', '"\\"},\\"finish_reason\\":null"', "1e999", '"a"/**/',
])  # fmt: skip
CHANGES = st.one_of(
    st.just({}),
    st.fixed_dictionaries({}, optional={
        "id": st.sampled_from(["gen-1", "gen-2"]),
        "model": st.sampled_from(["a/b", "c/d"]),
        "second": st.sampled_from(["", ',{"index":1,"delta":{"content":"two"},"finish_reason":null}', ",null"]),
        "delta": st.sampled_from(["", '"content":"no",', '"reasoning":null,', '"refusal":null,', '"new":null,',
                                  '"new":"x",', '"name":"n",', '"tool_calls":[],', '"reasoning_details":[],',
                                  '"reasoning":"r",', '"content":"r",', '"refusal":"no",',
                                  '"annotations":[{"type":"url_citation","url_citation":{"url":"u"}}],']),
        "after": st.sampled_from(["", ',"content":"late"', ',"content":""', ',"content":null', ',"reasoning":"late"',
                                  ',"reasoning_details":[]', ',"tool_calls":null', ',"annotations":[]', ',"images":[{"a":1}]']),
        "reason": st.sampled_from(["null", '"stop"', '"error"', '"length"']),
        "end": st.sampled_from(["", ',"usage":{"cost":1}', ',"error":{"message":"no"}', ',"choices":[]', ',"n":NaN',
                                ',"debug":{"a":1}', ',"service_tier":"flex"', ',"provider":"P"', f',"n":{"9" * 4400}',
                                ',"choices":[{"index":0,"delta":{"content":"late"}}]']),
        "index": st.sampled_from([0, 1, 2, "null", "true", '"0"']),
        "spaces": st.sampled_from(["", " "]),
    }),
)  # fmt: skip
RUNS = st.tuples(
    st.sampled_from(KINDS), CHANGES, st.lists(st.tuples(RAW, st.none() | RAW), max_size=5)
)
LINES = st.tuples(
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", ": wait\n\n", "event: x\n"]),
    st.sampled_from([("[DONE]",), (), ('{"error":{"code":502,"message":"gone"}}',)]),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(RUNS, min_size=1, max_size=6), LINES, STEPS)
def test_generated_streams_are_the_same(runs, lines, step):
    """Escapes, surrogates, repeated keys, moved fields, changed ids, malformed details, errors.

    Another model, a second choice, a number that does not fit, and an end that never comes, too.
    """
    frames = [START]
    for kind, changes, texts in runs:
        good = frame(kind, '"ok"', **changes)
        frames += [good, good]  # so that the frame is expected
        for raw, other in texts:
            frames += [frame(kind, raw, other=other, **changes), good]
    check(to_stream(frames, *lines), step)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(KINDS), STEPS)
def test_damaged_streams_are_the_same(data, kind, step):
    """Bytes that were lost, doubled, or became others."""
    stream = to_stream([START, *(frame(kind, f'"t{i % 3}"') for i in range(12))])
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(stream)))
        end = start + data.draw(st.integers(0, 12))
        junk = data.draw(st.sampled_from([b"", b'"', b"\\", b"\xff", b"\n\n", b"data: ", b",", b"x", stream[start:end] * 2]))  # fmt: skip
        stream = stream[:start] + junk + stream[end:]
    check(stream, step)


# --- the proof --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"x","a":"y"}',  # a later key replaces it
        '{"a":"x","b":"x","a":"x"}',
        '{"b":["x","x","x","x"],"a":"x"}',  # too many to look at
    ],
)
def test_a_text_whose_place_is_not_proved_has_no_template(text):
    """Its bytes are elsewhere, or what they say is not what counts."""
    template = build_template(text.encode(), json.loads(text) | {"a": "x"}, [("a",)])
    assert template is None or template.find_text(text.replace('"x"', '"z"', 1).encode()) is None


def test_a_key_of_the_same_bytes_is_not_the_text():
    """The text `a` of the field `a`."""
    template = build_template(b'{"a":"a","b":"a"}', {"a": "a", "b": "a"}, [("a",)])
    assert template.find_text(b'{"a":"new","b":"a"}') == "new"
    assert template.find_text(b'{"new":"a","b":"a"}') is None
    assert template.find_text(b'{"a":"a","b":"new"}') is None


def test_two_texts_must_be_the_same():
    """A detail that says something else than the reasoning is parsed."""
    template = build_template(b'{"a":"x","b":"x"}', {"a": "x", "b": "x"}, [("a",), ("b",)])
    assert template.find_text(b'{"a":"yz","b":"yz"}') == "yz"
    assert template.find_text(b'{"a":"yz","b":"zy"}') is None
    assert template.find_text(b'{"a":"y","b":"zyx"}') is None


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_model_streams_the_same(monkeypatch, enabled):
    """Over HTTP, sync and async."""
    monkeypatch.setattr(shortcuts, "enabled", enabled)
    words = [f"{i} " for i in range(40)]
    with Server(stream(*words)) as server:
        model = ChatOpenRouter(model="a/b", api_key="k", base_url=server.url)
        pieces = [chunk.content for chunk in model.stream("x")]
        assert [piece for piece in pieces if piece] == words
        assert [chunk.content async for chunk in model.astream("x")] == pieces
