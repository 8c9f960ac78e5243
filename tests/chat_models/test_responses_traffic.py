"""The recordings of `POST /responses`, replayed byte for byte over HTTP: nothing is lost."""

from __future__ import annotations

import asyncio
import copy
import json
from functools import reduce
from operator import add

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.utils import message_chunk_to_message

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter._http.sse import SSEDecoder
from langchain_openrouter.chat_models._responses_events import ResponsesStreamState
from langchain_openrouter.errors import OpenRouterError
from tests.support.contract import fits
from tests.support.loopback import CUT, Reply
from tests.support.traffic import (
    OTHER,
    bodies,
    expected_response,
    name_of,
    response_error_of,
    response_exchanges,
    response_of,
)

pytestmark = pytest.mark.skipif(not OTHER.exists(), reason=f"no recordings at {OTHER}")
EVERY = [pytest.param(exchange, id=name_of(exchange)) for exchange in response_exchanges()]
ALL = [p for p in EVERY if response_error_of(p.values[0]) is None]
STREAMS = [p for p in ALL if p.values[0]["stream"]]
CACHE = {"cache_read": "cached_tokens", "cache_creation": "cache_write_tokens"}
QUESTION = [HumanMessage("What?")]


def replay(exchange):
    """Return the recorded reply."""
    data = exchange["body"].encode()
    return Reply(data, status=exchange["status"], content_type=exchange["content_type"])


def ask(model, exchange, *, mode="sync"):
    """Return the answer: in a stream where the recording is one."""
    if mode == "sync":
        if exchange["stream"]:
            return reduce(add, model.stream(QUESTION))
        return model.invoke(QUESTION)

    async def run():
        if exchange["stream"]:
            return reduce(add, [chunk async for chunk in model.astream(QUESTION)])
        return await model.ainvoke(QUESTION)

    return asyncio.run(run())


def check(message, exchange):
    """Compare an answer with what the recording says, field by field."""
    want = expected_response(exchange)
    response, meta, extras = want["response"], message.response_metadata, message.additional_kwargs
    assert message.text == want["text"]
    assert extras.get("reasoning_content", "") == want["reasoning"]
    assert extras.get("refusal", "") == want["refusal"]
    assert extras.get("output_items", []) == want["items"]
    assert len(extras.get("annotations", [])) == len(want["annotations"])
    assert (meta.get("logprobs") or {}).get("content", []) == want["logprobs"]
    details = extras.get("reasoning_details", [])
    assert [d.get("text") or d.get("summary") or d.get("data") for d in details] == want["details"]
    assert [d["index"] for d in details] == list(range(len(details)))

    assert message.id == meta["id"] == response["id"]
    assert meta["model_provider"] == "openrouter"
    assert meta["model_name"] == response["model"]
    assert meta["created"] == response["created_at"]
    for name in ("status", "service_tier", "completed_at", "provider", "incomplete_details"):
        assert meta.get(name) == response.get(name), name
    reason = "content_filter" if want["refusal"] else "stop"
    if response.get("status") == "incomplete":
        reason = "length"
    elif want["calls"]:
        reason = "tool_calls"
    assert meta["finish_reason"] == reason
    check_usage(message, response["usage"])
    check_calls(message, want["calls"])


def check_usage(message, usage):
    """Compare counts, cost and the rest of the usage."""
    meta, standard = message.response_metadata, message.usage_metadata
    for name in ("cost", "cost_details", "is_byok"):
        assert meta.get(name) == usage.get(name) == meta["token_usage"].get(name)
    assert len(meta["token_usage"]) == len(usage)
    assert standard["input_tokens"] == usage["input_tokens"] == meta["token_usage"]["prompt_tokens"]
    assert standard["output_tokens"] == usage["output_tokens"]
    assert standard["total_tokens"] == usage["total_tokens"]
    for ours, theirs, names in (
        ("input_token_details", "input_tokens_details", CACHE),
        ("output_token_details", "output_tokens_details", {"reasoning": "reasoning_tokens"}),
    ):
        details = usage.get(theirs) or {}
        for name, wire_name in names.items():
            assert standard.get(ours, {}).get(name) == details.get(wire_name)


def check_calls(message, calls):
    """Compare tool calls: ids, names, and arguments as text and as JSON."""
    got = {c["id"]: c for c in [*message.tool_calls, *message.invalid_tool_calls]}
    assert list(got) == [c["call_id"] for c in calls]
    for call in calls:
        try:
            args = json.loads(call["arguments"] or "{}")
        except ValueError:
            assert call["call_id"] in [bad["id"] for bad in message.invalid_tool_calls]
            args = call["arguments"]
        assert (got[call["call_id"]]["name"], got[call["call_id"]]["args"]) == (call["name"], args)


@pytest.mark.parametrize("exchange", [p for p in EVERY if p not in ALL])
def test_recorded_errors_are_typed(exchange, serve, responses_on):
    """With the message of the service."""
    with pytest.raises(OpenRouterError) as caught:
        ask(responses_on(serve(replay(exchange))), exchange)
    assert response_error_of(exchange)["message"] in str(caught.value)


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("exchange", ALL)
def test_nothing_is_lost(exchange, mode, serve, responses_on):
    """Every recorded answer arrives whole."""
    server = serve(replay(exchange))
    check(ask(responses_on(server), exchange, mode=mode), exchange)

    assert [seen.path for seen in server.seen] == ["/api/v1/responses"]


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("exchange", ALL)
def test_the_next_turn_sends_everything_back(exchange, version, responses_on, serve):
    """The items of an answer return as they came, with the results of its tools after them."""
    server = serve(replay(exchange))
    model = responses_on(server, output_version=version)
    answer = ask(model, exchange)
    if isinstance(answer, AIMessageChunk):
        answer = message_chunk_to_message(answer)
    results = [ToolMessage("fine", tool_call_id=call["id"]) for call in answer.tool_calls]
    body = model._get_request_payload([*QUESTION, answer, *results, HumanMessage("And?")])

    items = response_of(exchange)["output"]
    outputs = [
        {"type": "function_call_output", "call_id": call["id"], "output": "fine"}
        for call in answer.tool_calls
    ]
    assert body["input"] == [
        {"type": "message", "role": "user", "content": "What?"},
        *items,
        *outputs,
        {"type": "message", "role": "user", "content": "And?"},
    ]
    assert body["store"] is False
    if all("status" in item for item in items):  # without: older than the specification
        assert not fits("ResponsesRequest", body)


@pytest.mark.parametrize("exchange", ALL)
def test_chat_completions_can_take_over(exchange, responses_on, serve):
    """The same answer is sent to the other endpoint with text, reasoning and calls."""
    model = responses_on(serve(replay(exchange)))
    answer = ask(model, exchange)
    want = expected_response(exchange)
    body = model._get_request_payload([*QUESTION, answer], use_responses_api=False)
    sent = body["messages"][1]

    assert (sent["content"] or "") == want["text"]
    calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in sent.get("tool_calls", [])]  # fmt: skip
    assert calls == [(c["call_id"], c["name"], c["arguments"]) for c in want["calls"]]
    details = sent.get("reasoning_details", [])
    assert [d.get("text") or d.get("summary") or d.get("data") for d in details] == want["details"]
    assert "output_items" not in sent
    assert not fits("ChatRequest", body)


@pytest.mark.parametrize("exchange", ALL)
def test_v1_content_says_the_same(exchange, responses_on, serve):
    """With output_version="v1" the blocks hold the text, the reasoning and the calls."""
    model = responses_on(serve(replay(exchange)), output_version="v1")
    answer = ask(model, exchange)
    want = expected_response(exchange)
    blocks = answer.content_blocks

    assert answer.content == blocks
    assert "".join(b["text"] for b in blocks if b["type"] == "text") == want["text"]
    reasoning = "".join(b["reasoning"] for b in blocks if b["type"] == "reasoning")
    assert reasoning == want["reasoning"]
    calls = [(b["id"], b["name"], b["args"]) for b in blocks if b["type"] == "tool_call"]
    assert calls == [(c["id"], c["name"], c["args"]) for c in answer.tool_calls]


def to_messages(items):
    """Read a recorded `input` into LangChain's messages, without our code."""
    if isinstance(items, str):
        return [HumanMessage(items)]
    messages = []
    for item in items:
        if item.get("type") in {"function_call_output", "custom_tool_call_output"}:
            messages.append(ToolMessage(item["output"], tool_call_id=item["call_id"]))
        elif item.get("role") in {"system", "developer", "user"}:
            content = item["content"]
            if isinstance(content, list):
                content = [to_block(part) for part in content]
            messages.append({"role": item["role"], "content": content})
        else:
            if not (messages and isinstance(messages[-1], AIMessage)):
                messages.append(AIMessage("", additional_kwargs={"output_items": []}))
            answer = messages[-1]
            answer.additional_kwargs["output_items"].append(item)
            if item.get("type", "message") == "message":
                content = item["content"]
                parts = [{"text": content}] if isinstance(content, str) else content
                answer.content += "".join(part.get("text", "") for part in parts)
            if item.get("type") == "function_call":
                args = json.loads(item["arguments"] or "{}")
                answer.tool_calls.append(
                    {"name": item["name"], "args": args, "id": item["call_id"]}
                )
    return messages


def to_block(part):
    """Return LangChain's block for a part of a message."""
    if part["type"] == "input_text":
        return {"type": "text", "text": part["text"]}
    if part["type"] == "input_image":
        return {"type": "image", "url": part["image_url"]}
    return {"type": "non_standard", "value": part}


@pytest.mark.parametrize("exchange", ALL)
def test_recorded_conversations_are_sent_as_recorded(exchange, responses_on, serve):
    """A recorded request, read into LangChain's messages, goes out with the same meaning."""
    request = exchange["request"]
    server = serve(replay(exchange))
    named = {"input", "tools", "stream", "model", "metadata"}
    fields = {
        name: value for name, value in request.items() if name not in named and value is not None
    }
    if request.get("metadata"):
        fields["request_metadata"] = request["metadata"]
    model = responses_on(server, model=request["model"])
    bound = model.bind_tools(request["tools"]) if request.get("tools") else model
    question = to_messages(request["input"])
    list(bound.stream(question, **fields)) if request.get("stream") else bound.invoke(
        question, **fields
    )
    sent = server.seen[0].body

    recorded = request["input"]
    recorded = [{"role": "user", "content": recorded}] if isinstance(recorded, str) else recorded
    assert len(sent["input"]) == len(recorded)
    for ours, theirs in zip(sent["input"], recorded, strict=True):
        for name in ("role", "name", "call_id", "output"):
            assert ours.get(name) == theirs.get(name)
        if "arguments" in theirs:
            assert json.loads(ours["arguments"]) == json.loads(theirs["arguments"])
        if "content" in theirs:
            assert plain(ours["content"]) == plain(theirs["content"])
    for name in {*request} - {"input", "tools", "stream"}:
        assert sent.get(name) == request[name], name
    for ours, theirs in zip(sent.get("tools", []), request.get("tools", []), strict=True):
        assert {k: v for k, v in ours.items() if v is not None} == {k: v for k, v in theirs.items() if v is not None}  # fmt: skip


def plain(content):
    """Return what a message's content holds, whatever its form."""
    if isinstance(content, str):
        return [content]
    return [part.get("text") or part.get("image_url") or part for part in content]


# --- streams, cut anew --------------------------------------------------------------------------


def read(pieces):
    """Return the sum of the chunks of a stream that comes in these pieces, without HTTP."""
    decoder, state, chunks = SSEDecoder(), ResponsesStreamState(), []
    for piece in pieces:
        for data in decoder.feed(piece):
            chunks += state.handle_data(data)
    for data in decoder.flush():
        chunks += state.handle_data(data)
    chunks.append(state.final_chunk())
    return reduce(add, chunks)


@pytest.mark.parametrize("exchange", STREAMS)
@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_recut_at_other_boundaries(exchange, size):
    """The bytes may come in any pieces."""
    data = exchange["body"].encode()
    message = read([data[start : start + size] for start in range(0, len(data), size)])

    check(message, exchange)


@pytest.mark.parametrize("exchange", STREAMS)
def test_a_stream_is_the_whole_answer(exchange, serve, responses_on):
    """The merged stream equals the answer that was not streamed."""
    streamed = ask(responses_on(serve(replay(exchange))), exchange)
    whole = Reply(response_of(exchange))
    other = responses_on(serve(whole)).invoke(QUESTION)

    assert message_chunk_to_message(streamed).model_dump() == other.model_dump()


@pytest.mark.parametrize("exchange", STREAMS)
def test_cut_at_every_byte(exchange):
    """A stream that is cut is an error with the message so far, or was complete already."""
    data = exchange["body"].encode()
    want = expected_response(exchange)
    end = data.index(b"response.completed") + data[data.index(b"response.completed") :].index(b"\n")
    for size in range(0, len(data), 1 if len(data) < 5000 else 3):
        message, error = read_or_error(data[:size])
        if error is None:
            assert size >= end
            check(message, exchange)
            continue
        assert size <= end
        if error.partial is not None:
            assert want["text"].startswith(error.partial.text)
            assert not error.partial.tool_calls


def read_or_error(data):
    """Return what a stream comes to: a message, or an error of ours."""
    try:
        return read([data]), None
    except OpenRouterError as error:
        return None, error


@pytest.mark.parametrize("exchange", STREAMS[:2])
def test_cut_over_http(exchange, serve, responses_on):
    """A connection that ends in mid-stream is an error with its part of the answer."""
    data = exchange["body"].encode()
    last = data.index(b"response.output_item.done")
    server = serve(Reply([data[:last], CUT], content_type="text/event-stream"))
    with pytest.raises(OpenRouterError) as caught:
        list(responses_on(server).stream(QUESTION))

    partial = caught.value.partial
    assert partial.text == expected_response(exchange)["text"]
    assert partial.id == response_of(exchange)["id"]
    calls = [c["arguments"] for c in expected_response(exchange)["calls"]]
    assert [c["args"] for c in partial.invalid_tool_calls] == calls


# --- damage -------------------------------------------------------------------------------------

JUNK = st.sampled_from([None, True, 0, -1, 1.5, 10**30, "", "x", [], {}, [None], {"a": []}, [[1]],
                        "response.failed", {"type": "message"}])  # fmt: skip
MODEL = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", use_responses_api=True)


def paths(value, prefix=()):
    """Return the path of each value."""
    found = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        found.append((*prefix, key))
        if isinstance(inner, dict | list):
            found += paths(inner, (*prefix, key))
    return found


def damage(data, value):
    """Return a copy that is damaged in one to four places."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(paths(value) or [None]))
        if path is None:
            return value
        target = reduce(lambda inner, key: inner[key], path[:-1], value)
        if data.draw(st.booleans()):
            target[path[-1]] = copy.deepcopy(data.draw(JUNK))
        else:
            del target[path[-1]]
    return value


def use(message):
    """Do with a message what users do: show it, send it to either endpoint."""
    assert isinstance(message.text, str)
    assert isinstance(message.content_blocks, list)
    fields = {k: v for k, v in message if k in AIMessage.model_fields and k != "type"}
    for option in (True, False):
        json.dumps(MODEL._get_request_payload([AIMessage(**fields)], use_responses_api=option))


@pytest.mark.filterwarnings("ignore:content of")
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_streams_damaged_anywhere(data):
    """Damaged events end in a message or in a typed error, never in anything else."""
    streams = [exchange for exchange in response_exchanges() if exchange["stream"]]
    events = damage(data, bodies(data.draw(st.sampled_from(streams))))
    lines = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    try:
        message = read([*lines, b"data: [DONE]\n\n"])
    except OpenRouterError as error:
        assert str(error)  # noqa: PT017 - one of the two right endings
        return
    use(message)


@pytest.mark.filterwarnings("ignore:content of")
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whole_answers_damaged_anywhere(data):
    """The same for answers that are not streamed."""
    whole = [exchange for exchange in response_exchanges() if not exchange["stream"]]
    body = damage(data, bodies(data.draw(st.sampled_from(whole)))[0])
    try:
        result = MODEL._create_chat_result(body)
    except OpenRouterError as error:
        assert str(error)  # noqa: PT017 - one of the two right endings
        return
    use(result.generations[0].message)
