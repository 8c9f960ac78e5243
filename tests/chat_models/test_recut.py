"""A stream says what the whole answer says, however a service cuts it."""

from __future__ import annotations

import asyncio
import json
from functools import cache, reduce
from operator import add

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter._http.sse import SSEDecoder
from langchain_openrouter.chat_models._chunk_template import to_generation_chunk
from langchain_openrouter.chat_models._response import result_from_body
from langchain_openrouter.chat_models._streaming import StreamState
from tests.support.loopback import Reply, whole
from tests.support.recut import (
    OPTIONS,
    Cut,
    comparable,
    neighbors,
    restorable,
    second_neighbors,
    stream_of,
)
from tests.support.traffic import CHAT, error_of, exchanges

MODEL = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="sk-or-v1-recut")
CALLS = [
    {"id": "call_a", "type": "function", "index": 0,
     "function": {"name": "weather", "arguments": '{"city": "Pa\\"r}is", "days": [1, 2]}'}},
    {"id": "call_b", "type": "function", "index": 1,
     "function": {"name": "weather", "arguments": '{"city": {"name": "Rome"}}'}},
    {"id": "call_c", "type": "function", "index": 2, "function": {"name": "now", "arguments": "{}"}},
]  # fmt: skip
DETAILS = [
    {"type": "reasoning.text", "text": "First I think,\nthen I speak.", "signature": "sig==",
     "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "gAAAA=", "id": "rs_1", "format": "x", "index": 1},
]  # fmt: skip
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
NOTE = {"type": "url_citation", "url_citation": {"url": "https://a.b", "title": "A"}}
WRITTEN = {
    "text": whole("Hello, 🙂 world!\r\nBye."),
    "calls": whole("Let me see.", message={"tool_calls": CALLS}, choice={"finish_reason": "tool_calls"}),
    "calls alone": whole(None, message={"content": None, "tool_calls": CALLS}),
    "reasoning": whole("Hi.", message={"reasoning": DETAILS[0]["text"], "reasoning_details": DETAILS}),
    "details alone": whole("Hi.", message={"reasoning_details": DETAILS}),
    "one detail": whole("Hi.", message={"reasoning": DETAILS[0]["text"], "reasoning_details": DETAILS[:1]}),
    "summary": whole("Hi.", message={"reasoning": "Short.", "reasoning_details": [
        {"type": "reasoning.summary", "summary": "Short.", "id": "rs_2", "format": "y", "index": 0}]}),
    "plain reasoning": whole("Hi.", message={"reasoning": "Thought."}),
    "no details": whole("Hi.", message={"reasoning_details": []}),
    "media": whole("See.", message={"images": [IMAGE], "annotations": [NOTE], "new": "field",
                                    "other": {"a": 1}, "list": [1, 2]}),
    "audio": whole("", message={"audio": {"id": "audio_1", "data": "SGVsbG8sIHdvcmxkIQ==",
                                          "transcript": "Hello, world!", "expires_at": 1}}),
    "refusal": whole(None, message={"content": None, "refusal": "I will not."}),
    "logprobs": whole("ab", choice={"logprobs": {"content": [{"token": "a"}, {"token": "b"}], "refusal": None}}),
    "facts": whole("x", service_tier="flex", system_fingerprint="fp_1", new={"a": 1}),
    "cut": whole("x", message={"tool_calls": CALLS[:2]},
                 choice={"finish_reason": "tool_calls", "native_finish_reason": "max_tokens"}),
}  # fmt: skip


@cache
def recorded():
    """Return the recorded whole answers."""
    return [
        json.loads(exchange["body"])
        for exchange in exchanges()
        if not exchange["stream"] and error_of(exchange) is None
    ]


def streamed(data, *, step, summed):
    """Return the message of a stream whose bytes arrive `step` at a time."""
    decoder, state, chunks = SSEDecoder(), StreamState(), []
    arrived = (data[i : i + step] for i in range(0, len(data), step))
    for event in (*(e for part in arrived for e in decoder.feed(part)), *decoder.flush()):
        chunks += () if state.saw_done else state.handle_data(event)
    chunks.append(state.final_chunk())
    if summed:
        return message_chunk_to_message(reduce(add, chunks))
    generations = [to_generation_chunk(chunk) for chunk in chunks]
    return message_chunk_to_message(merge_chat_generation_chunks(generations).message)


def next_turn(message):
    """Return the body of the request that follows the answer."""
    return MODEL._get_request_payload([HumanMessage("What?"), message, HumanMessage("Go on.")])


def said_by(message):
    """Return all that a message says."""
    return {
        "content": message.content,
        "extras": message.additional_kwargs,
        "metadata": message.response_metadata,
        "calls": message.tool_calls,
        "broken": message.invalid_tool_calls,
        "usage": message.usage_metadata,
        "id": message.id,
    }


def check(body, cut, *, step=1_000_000, summed=False):
    """Demand of the stream what the whole answer gives, and the same next turn."""
    cut = restorable(body, cut)
    want = result_from_body(comparable(body, cut)).generations[0].message

    got = streamed(stream_of(body, cut), step=step, summed=summed)

    assert said_by(got) == said_by(want), cut
    # The order of a detail's keys is that of its fragments, which cuts change.
    assert next_turn(got) == next_turn(want), cut


CUTS = st.builds(Cut, **{name: st.sampled_from(values) for name, values in OPTIONS.items()})


@pytest.mark.parametrize("body", WRITTEN.values(), ids=WRITTEN.keys())
@pytest.mark.parametrize("summed", [False, True], ids=["merged", "summed"])
def test_a_stream_says_what_the_whole_answer_says(body, summed):
    """Each cut that differs from the live service's in one or two ways loses nothing."""
    for cut in neighbors() + second_neighbors():
        check(body, cut, summed=summed)


@settings(max_examples=300, deadline=None)
@given(
    body=st.sampled_from(list(WRITTEN.values())), cut=CUTS, step=st.sampled_from([1, 7, 1_000_000])
)
def test_no_combination_of_cuts_loses_anything(body, cut, step):
    """Whatever combination of habits a service has, and however the bytes arrive."""
    check(body, cut, step=step)


@pytest.mark.skipif(not CHAT.exists(), reason=f"no recordings at {CHAT}")
@pytest.mark.parametrize("cut", neighbors(), ids=lambda cut: "-".join(
    f"{name}={value!r}" for name, value in cut._asdict().items() if value != OPTIONS[name][0]) or "live")  # fmt: skip
def test_every_recorded_answer_can_be_recut(cut):
    """Every recorded whole answer, cut into a stream, gives the same message and next turn."""
    for body in recorded():
        check(body, cut)


@pytest.mark.skipif(not CHAT.exists(), reason=f"no recordings at {CHAT}")
@settings(max_examples=300, deadline=None)
@given(data=st.data(), cut=CUTS)
def test_recorded_answers_in_any_combination_of_cuts(data, cut):
    """Recorded answers under any combination of habits."""
    check(data.draw(st.sampled_from(recorded())), cut)


@pytest.mark.parametrize("reasoning", OPTIONS["reasoning"])
@pytest.mark.parametrize("name", ["reasoning", "details alone", "one detail", "summary"])
def test_reasoning_returns_from_standard_blocks(name, reasoning, serve, model_on):
    """With output_version="v1", too, whichever field carries the text and when."""
    cut, body = Cut(reasoning=reasoning, first="empty"), WRITTEN[name]
    server = serve(Reply(stream_of(body, cut), content_type="text/event-stream"))
    model = model_on(server, output_version="v1")

    got = reduce(add, model.stream("What?"))

    (sent, want) = (
        next_turn(m)["messages"][1] for m in (got, result_from_body(body).generations[0].message)
    )
    assert sent["reasoning_details"] == want["reasoning_details"]
    assert sent["reasoning"] == want["reasoning"]
    shown = [b["reasoning"] for b in got.content_blocks if b["type"] == "reasoning"]
    assert "".join(shown) == want["reasoning"]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("body", WRITTEN.values(), ids=WRITTEN.keys())
@pytest.mark.parametrize(
    "cut",
    [Cut(first="empty", size=1, newline="\r\n", noise=True), Cut(first="null", last="empty", finish=1),
     Cut(calls="both", interleaved=True, signature="empty first", usage="alone")],
    ids=["empty", "null", "interleaved"],
)  # fmt: skip
def test_a_recut_answer_over_http(cut, body, mode, serve, model_on):
    """The same over a real connection, sync and async."""
    cut = restorable(body, cut)
    data = stream_of(body, cut)
    pieces = [data[i : i + 100] for i in range(0, len(data), 100)]

    def reply(seen):
        if seen.body.get("stream"):
            return Reply(pieces, content_type="text/event-stream")
        return Reply(comparable(body, cut))

    model = model_on(serve(reply))

    async def run():
        return reduce(add, [chunk async for chunk in model.astream("What?")])

    got = asyncio.run(run()) if mode == "async" else reduce(add, model.stream("What?"))

    want = model.invoke("What?")
    assert said_by(message_chunk_to_message(got)) == said_by(want)
    assert next_turn(got) == next_turn(want)
