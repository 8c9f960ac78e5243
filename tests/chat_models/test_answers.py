"""Everything OpenRouter sends reaches the user, whole and streamed alike: traps 21 to 37."""

from __future__ import annotations

import asyncio
import base64
import json
from functools import reduce
from operator import add

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from langchain_openrouter import errors
from langchain_openrouter.chat_models._usage import sum_usage, to_usage_metadata
from tests.support.loopback import Reply, event, events, sse, stream, whole

DETAILS = [
    {"type": "reasoning.text", "text": "Let me see.", "signature": "sig", "index": 0,
     "format": "anthropic-claude-v1"},
    {"type": "reasoning.summary", "summary": "I saw.", "index": 0, "format": "openai-responses-v1"},
    {"type": "reasoning.encrypted", "data": "xyz", "id": "rs_1", "index": 1,
     "format": "openai-responses-v1"},
]  # fmt: skip
FRAGMENTS = [
    {"reasoning": "Let me", "reasoning_details": [
        {"type": "reasoning.text", "text": "Let me", "index": 0, "format": "anthropic-claude-v1"}]},
    {"reasoning": " see.", "reasoning_details": [
        {"type": "reasoning.text", "text": " see.", "index": 0, "format": "anthropic-claude-v1"}]},
    {"reasoning": "I ", "reasoning_details": [
        {"type": "reasoning.summary", "summary": "I ", "index": 0,
         "format": "openai-responses-v1"}]},
    {"reasoning": "saw.", "reasoning_details": [
        {"type": "reasoning.summary", "summary": "saw.", "index": 0,
         "format": "openai-responses-v1"}]},
    {"reasoning_details": [DETAILS[2]]},
    {"content": "Sure"},
    {"reasoning_details": [{"type": "reasoning.text", "text": "", "signature": "sig", "index": 0,
                            "format": "anthropic-claude-v1"}]},
    {"content": "."},
]  # fmt: skip
CITATION = {"type": "url_citation", "url_citation": {
    "url": "https://e.org", "title": "E", "content": "quoted", "start_index": 0, "end_index": 4}}  # fmt: skip
FILE_NOTE = {"type": "file", "file": {"hash": "h", "name": "d.pdf", "content": [
    {"type": "text", "text": "parsed"}]}}  # fmt: skip
IMAGE = {"type": "image_url", "index": 0, "image_url": {"url": "data:image/png;base64,AAAA"}}
AUDIO = {"id": "au", "data": "AAAABBBB", "transcript": "hi there", "expires_at": 5}


def summed(model, mode="stream"):
    """Return the sum of a stream."""

    async def run():
        return [chunk async for chunk in model.astream("x")]

    return reduce(add, model.stream("x") if mode == "stream" else asyncio.run(run()))


def both(serve, model_on, message, deltas, *, reason="stop", native=None, **kwargs):
    """Return the same answer whole and streamed, each as an AIMessage."""
    choice = {"finish_reason": reason, "native_finish_reason": native or reason}
    reply = stream(*deltas, reason=reason, native=native)

    def answer(seen):
        if seen.body.get("stream"):
            return reply
        return Reply(whole(message.pop("content", "") or "", message=message, choice=choice))

    model = model_on(serve(answer), **kwargs)
    streamed = [message_chunk_to_message(summed(model, mode)) for mode in ("stream", "astream")]
    assert streamed[0] == streamed[1]
    assert type(streamed[0]) is AIMessage
    return model.invoke("x"), streamed[0]


def without_indices(blocks):
    """Return blocks without the indices by which chunks are merged."""
    return [{k: v for k, v in block.items() if k != "index"} for block in blocks]


@pytest.mark.parametrize("version", [None, "v1"])
def test_whole_and_streamed_answers_agree(serve, model_on, version):
    """Reasoning, details, text, citations, images, audio and calls: field by field."""
    calls = [
        {"id": "c1", "index": 0, "type": "function",
         "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "c2", "index": 1, "type": "function",
         "function": {"name": "g", "arguments": ""}},
    ]  # fmt: skip
    message = {
        "content": "Sure.", "reasoning": "Let me see.I saw.", "reasoning_details": DETAILS,
        "annotations": [CITATION, FILE_NOTE], "images": [IMAGE], "audio": AUDIO,
        "tool_calls": calls,
    }  # fmt: skip
    deltas = [
        *FRAGMENTS,
        {"audio": {"id": "au", "data": "AAAA", "transcript": "hi "}},
        {"annotations": [CITATION]},
        {"annotations": [FILE_NOTE], "images": [IMAGE]},
        {"audio": {"data": "BBBB", "transcript": "there", "expires_at": 5}},
        {"tool_calls": [{**calls[0], "function": {"name": "f", "arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
        {"tool_calls": [calls[1]]},
    ]
    one, other = both(serve, model_on, message, deltas, reason="tool_calls", output_version=version)

    assert without_indices(one.content_blocks) == without_indices(other.content_blocks)
    assert one.text == other.text == "Sure."
    for name in ("additional_kwargs", "response_metadata", "usage_metadata", "id",
                 "tool_calls", "invalid_tool_calls"):  # fmt: skip
        assert getattr(one, name) == getattr(other, name), name
    if version is None:
        assert one == other


def test_content_blocks_are_standard(serve, model_on):
    """Reasoning with its signature, citations on the text, images, audio, a refusal."""
    message = {
        "content": "Sure.", "reasoning": "Let me see.I saw.", "reasoning_details": DETAILS,
        "annotations": [CITATION, FILE_NOTE], "images": [IMAGE], "audio": AUDIO, "refusal": "No.",
    }  # fmt: skip
    answer = model_on(serve(Reply(whole(message.pop("content"), message=message)))).invoke("x")
    reasoning, summary, encrypted, text, image, audio, refusal = answer.content_blocks

    assert reasoning["reasoning"] == "Let me see."
    assert reasoning["extras"]["signature"] == "sig"
    assert summary["reasoning"] == "I saw."
    assert encrypted["extras"]["reasoning_detail"]["data"] == "xyz"
    assert text["annotations"] == [
        {"type": "citation", "url": "https://e.org", "title": "E", "cited_text": "quoted",
         "start_index": 0, "end_index": 4},
        {"type": "non_standard_annotation", "value": FILE_NOTE},
    ]  # fmt: skip
    assert image == {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    assert audio["base64"] == "AAAABBBB"
    assert audio["extras"]["transcript"] == "hi there"
    assert refusal == {"type": "refusal", "refusal": "No."}


@pytest.mark.parametrize("version", [None, "v1"])
def test_the_next_turn_gets_everything_back(serve, model_on, version):
    """From a whole and from a streamed answer: verbatim, in order, once."""
    message = {
        "content": "Sure.", "reasoning": "Let me see.I saw.", "reasoning_details": DETAILS,
        "annotations": [FILE_NOTE], "images": [IMAGE], "audio": AUDIO, "refusal": "No.",
    }  # fmt: skip
    deltas = [*FRAGMENTS, {k: message[k] for k in ("annotations", "images", "audio", "refusal")}]
    for answer in both(serve, model_on, dict(message), deltas, output_version=version):
        sent = model_on(None)._get_request_payload([answer])["messages"][0]
        assert {"role": "assistant", **message} == {"content": "", **sent}


def test_a_message_made_of_blocks_alone_goes_back_whole(serve, model_on):
    """Blocks carry what the details need."""
    message = {"reasoning": "Let me see.I saw.", "reasoning_details": DETAILS}
    answer = model_on(serve(Reply(whole("Sure.", message=message)))).invoke("x")
    rebuilt = AIMessage(content_blocks=answer.content_blocks)
    sent = model_on(None)._get_request_payload([rebuilt])["messages"][0]

    assert sent["reasoning_details"] == DETAILS
    assert sent["content"] == "Sure."


def test_trap_21_an_error_in_a_200_is_an_error(serve, model_on):
    """With text in it, the text travels (all forms of all errors: test_faults)."""
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    body = whole("part", choice={"finish_reason": "error", "error": error})
    with pytest.raises(errors.RateLimitError, match="slow down") as caught:
        model_on(serve(Reply(body))).invoke("x")

    assert caught.value.partial.text == "part"
    assert caught.value.partial.usage_metadata["total_tokens"] == 14


def test_trap_21_finish_reason_error_alone_is_an_error(serve, model_on):
    """Even where no error object says why."""
    for mode in ("invoke", "stream"):
        reply = Reply(whole("part", choice={"finish_reason": "error"}))
        reply = reply if mode == "invoke" else stream("part", reason="error")
        with pytest.raises(errors.UpstreamError) as caught:
            list(getattr(model_on(serve(reply)), mode)("x"))
        assert caught.value.partial.text == "part"


def test_trap_24_nothing_is_said_twice(serve, model_on):
    """Two finish chunks, with usage in both, differing costs and fractional counts."""
    end = {"finish_reason": "stop", "native_finish_reason": "STOP"}
    usages = [
        {"prompt_tokens": 10.5, "completion_tokens": 4, "total_tokens": 14.5, "cost": 0.1},
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 0.25},
    ]
    found = [event({"content": "Hi"})] + [event({}, choice=end, usage=usage) for usage in usages]
    found.append({**event(), "choices": [], "usage": usages[1]})
    message = summed(model_on(serve(Reply(sse(found), content_type="text/event-stream"))))

    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["model_name"] == "openai/gpt-4o-mini"
    assert message.response_metadata["provider"] == "OpenAI"
    assert message.response_metadata["cost"] == 0.25
    assert message.usage_metadata["total_tokens"] == 15
    assert to_usage_metadata(usages[0])["input_tokens"] == 10


def test_trap_25_fragments_are_the_whole_details(serve, model_on):
    """Types that share an index stay apart; scalars are not joined; order is kept."""
    message = summed(model_on(serve(stream(*FRAGMENTS))))

    assert message.additional_kwargs["reasoning_details"] == DETAILS
    assert message.additional_kwargs["reasoning_content"] == "Let me see.I saw."


def test_trap_26_an_empty_list_of_details_is_kept(serve, model_on):
    """DeepSeek refuses the next turn without it."""
    for answer in both(serve, model_on, {"content": "a", "reasoning_details": []},
                       [{"content": "a", "reasoning_details": []}]):  # fmt: skip
        sent = model_on(None)._get_request_payload([answer])["messages"][0]
        assert sent["reasoning_details"] == []


def test_trap_26_details_without_text_beside_reasoning(serve, model_on):
    """Text that only `reasoning` carries is neither lost nor doubled."""
    message = {"content": "a", "reasoning": "hm", "reasoning_details": [DETAILS[2]]}
    deltas = [{"reasoning": "h"}, {"reasoning": "m"}, {"reasoning_details": [DETAILS[2]]}, "a"]
    for answer in both(serve, model_on, message, deltas):
        assert answer.additional_kwargs["reasoning_content"] == "hm"
        assert [b.get("reasoning") for b in answer.content_blocks] == ["hm", "", None]


def call(**fields):
    """Return one raw tool call."""
    return {"tool_calls": [fields]}


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        # no index, no id
        ([call(function={"name": "f", "arguments": '{"a"'}), call(function={"arguments": ":1}"}),
          call(function={"name": "g", "arguments": "{}"})], [("f", {"a": 1}), ("g", {})]),
        # several calls with one index, told apart by their ids
        ([call(index=0, id="x", function={"name": "f", "arguments": '{"a":1}'}),
          call(index=0, id="y", function={"name": "g", "arguments": "{}"})],
         [("f", {"a": 1}), ("g", {})]),
        # one id for two calls
        ([call(index=0, id="x", function={"name": "f", "arguments": "{}"}),
          call(index=1, id="x", function={"name": "f", "arguments": '{"a":2}'})],
         [("f", {}), ("f", {"a": 2})]),
        # same index, no ids, the next call begins with a name
        ([call(index=0, function={"name": "f", "arguments": "{}"}),
          call(index=0, function={"name": "g", "arguments": "{}"})], [("f", {}), ("g", {})]),
        # arguments null, absent, an object; trailing white space; a late id
        ([call(index=0, id="x", function={"name": "f", "arguments": None}),
          call(index=1, id="y", function={"name": "g"}),
          call(index=2, function={"name": "h", "arguments": {"a": 1}}),
          call(index=2, id="z", function={"arguments": "  "})],
         [("f", {}), ("g", {}), ("h", {"a": 1})]),
        # interleaved fragments
        ([call(index=0, id="x", function={"name": "f", "arguments": '{"a"'}),
          call(index=1, id="y", function={"name": "g", "arguments": '{"b"'}),
          call(index=0, function={"arguments": ":1}"}),
          call(index=1, function={"arguments": ":2}"})], [("f", {"a": 1}), ("g", {"b": 2})]),
    ],
)  # fmt: skip
def test_trap_27_tool_calls_in_every_shape(deltas, calls, serve, model_on):
    """Streamed calls come out whole, each with an id of its own."""
    message = summed(model_on(serve(stream(*deltas, reason="tool_calls"))))

    assert [(c["name"], c["args"]) for c in message.tool_calls] == calls
    ids = [c["id"] for c in message.tool_calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)


def test_trap_27_odd_calls_whole(serve, model_on):
    """Calls without id, name, function or arguments: none crashes, none is lost."""
    raw = [
        {"type": "function", "function": {"name": "f", "arguments": '{"b": 1, "a": 2}'}},
        {"id": None, "function": {"name": "g"}},
        {"id": "x", "function": None},
        {"id": "x", "function": {"name": "h", "arguments": "{}"}},
        {"id": "x", "function": {"name": "i", "arguments": {"k": 1}}},
        "nonsense",
    ]
    body = whole("", message={"tool_calls": raw}, choice={"finish_reason": "stop"})
    message = model_on(serve(Reply(body))).invoke("x")

    assert [c["name"] for c in message.tool_calls] == ["f", "g", "h", "i"]
    assert len(message.invalid_tool_calls) == 2
    ids = [c["id"] for c in [*message.tool_calls, *message.invalid_tool_calls]]
    assert len(set(ids)) == 6
    sent = model_on(None)._get_request_payload([message])["messages"][0]["tool_calls"]
    assert sent[0]["function"]["arguments"] == '{"b": 1, "a": 2}'


def test_trap_27_stop_with_tool_calls(serve, model_on):
    """Gemini says "stop", and a reason may be missing: the calls count."""
    raw = {"tool_calls": [{"id": "x", "index": 0, "function": {"name": "f", "arguments": "{}"}}]}
    for reason, told in (("stop", "stop"), (None, "tool_calls")):
        body = whole("", message=raw, choice={"finish_reason": reason})
        one = model_on(serve(Reply(body))).invoke("x")
        found = [event(raw), event({}, choice={"finish_reason": reason})]
        two = summed(model_on(serve(Reply(sse(found), content_type="text/event-stream"))))
        for message in (one, two):
            assert [c["name"] for c in message.tool_calls] == ["f"]
            assert message.response_metadata["finish_reason"] == told


def test_trap_29_odd_messages(serve, model_on):
    """Roles of no kind, content as a list of parts, a refusal."""
    parts = [{"type": "text", "text": "He"}, {"type": "text", "text": "llo"},
             {"type": "image_url", "image_url": {"url": "https://e.org/i.png"}}]  # fmt: skip
    for role in ("", None):
        message = {"role": role, "content": parts, "refusal": "no"}
        one = model_on(serve(Reply(whole(message=message)))).invoke("x")
        two = summed(model_on(serve(stream(message))))
        for answer in (one, two):
            assert answer.content == "Hello"
            assert answer.additional_kwargs["refusal"] == "no"
            assert answer.additional_kwargs["images"] == [parts[2]]


def test_trap_29_unknown_parts_are_kept(serve, model_on):
    """A part of a kind that nobody knows stays in the content, and goes back as it came."""
    parts = [{"type": "text", "text": "a"}, {"type": "novel", "x": 1}]
    for answer in (
        model_on(serve(Reply(whole(message={"content": parts})))).invoke("x"),
        summed(model_on(serve(stream({"content": parts})))),
    ):
        assert answer.content == ["a", {"type": "non_standard", "value": parts[1]}]
        assert answer.content_blocks[1] == {"type": "non_standard", "value": parts[1]}
        assert model_on(None)._get_request_payload([answer])["messages"][0]["content"] == parts


def test_trap_30_cache_counts_keep_their_names(serve, model_on):
    """Whatever the service tier."""
    for tier in ("flex", "priority"):
        message = model_on(serve(Reply(whole(service_tier=tier)))).invoke("x")
        assert message.usage_metadata["input_token_details"]["cache_read"] == 3
        assert message.response_metadata["service_tier"] == tier


def test_trap_34_a_batch_sums_its_cost(serve, model_on):
    """Counts and costs at any depth are sums; a flag is no number."""
    usage = whole()["usage"]
    total = sum_usage([{"token_usage": usage}, {"token_usage": usage}, None, {}])
    result = model_on(serve(Reply(whole()))).generate([[HumanMessage("x")]] * 2)

    assert total["cost"] == 0.005
    assert total["prompt_tokens_details"]["cached_tokens"] == 6
    assert total["is_byok"] is False
    assert result.llm_output["token_usage"] == total


CUT = '{"path": "repo", "text": "half of a sen'


@pytest.mark.parametrize("arguments", [CUT, '{"path": ', "{", "", '"text"', "[1]", "nonsense"])
@pytest.mark.parametrize(
    ("reason", "native"),
    [("tool_calls", "length"), ("tool_calls", "max_output_tokens"), ("length", "length"),
     ("tool_calls", "MAX_TOKENS"), ("tool_calls", "tool_calls"), ("stop", "stop")],
)  # fmt: skip
@pytest.mark.parametrize("version", [None, "v1"])
def test_trap_36_a_cut_call_is_invalid(arguments, reason, native, version, serve, model_on):
    """Streamed or whole, however the finish reason reads: no tool runs on half an argument."""
    if arguments == "" and native in {"tool_calls", "stop"}:
        return  # a call without arguments that nothing cut is whole
    raw = {"id": "c2", "index": 1, "function": {"name": "g", "arguments": arguments}}
    good = {"id": "c1", "index": 0, "function": {"name": "f", "arguments": '{"a": 1}'}}
    message = {"tool_calls": [good, raw]}
    deltas = [call(**good), call(**{**raw, "function": {"name": "g", "arguments": ""}}),
              *[call(index=1, function={"arguments": char}) for char in arguments]]  # fmt: skip
    for answer in both(
        serve, model_on, message, deltas, reason=reason, native=native, output_version=version
    ):
        assert [c["name"] for c in answer.tool_calls] == ["f"]
        assert [(c["name"], c["args"], c["id"]) for c in answer.invalid_tool_calls] == [
            ("g", arguments, "c2")
        ]
        kinds = [b["type"] for b in answer.content_blocks if b.get("id") == "c2"]
        assert kinds in ([], ["invalid_tool_call"])


def test_trap_36_by_every_way_of_adding_chunks(serve, model_on):
    """`+`, a list sum, core's own merging and the events of version 3 agree."""
    deltas = [call(index=0, id="c", function={"name": "f", "arguments": '{"a": "b'})]
    model = model_on(serve(stream(*deltas, reason="tool_calls", native="length")))
    chunks = list(model.stream("x"))
    merged = merge_chat_generation_chunks([ChatGenerationChunk(message=c) for c in chunks])
    streaming = model.model_copy(update={"streaming": True})
    streaming.__pydantic_fields_set__.add("streaming")

    async def invoked():
        return await streaming.ainvoke("x")

    for message in (
        chunks[0] + chunks[1:], reduce(add, chunks), merged.message,
        message_chunk_to_message(merged.message), streaming.invoke("x"), asyncio.run(invoked()),
        model.stream_events("x", version="v3").output,
    ):  # fmt: skip
        assert message.tool_calls == []
        assert message.invalid_tool_calls[0]["args"] == '{"a": "b'


def test_trap_37_an_empty_fragment_resets_nothing(serve, model_on):
    """Neither does a signature alone, nor null text."""
    fragments = [
        {"reasoning_details": [{"type": "reasoning.text", "text": "abc", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": None, "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "d", "signature": None,
                                "index": 0}]},
    ]  # fmt: skip
    message = summed(model_on(serve(stream(*fragments, "ok"))))

    assert message.additional_kwargs["reasoning_details"] == [
        {"type": "reasoning.text", "text": "abcd", "index": 0, "signature": "s"}
    ]


def test_details_without_an_index(serve, model_on):
    """Neighbours of one type are one detail; a late signature finds its text."""
    fragments = [
        {"type": "reasoning.text", "text": "a"}, {"type": "reasoning.text", "text": "b"},
        {"type": "reasoning.encrypted", "data": "x"}, {"type": "reasoning.encrypted", "data": "y"},
        {"type": "reasoning.text", "signature": "s"}, {"type": "reasoning.text", "text": "c"},
    ]  # fmt: skip
    deltas = [{"reasoning_details": [fragment]} for fragment in fragments]

    assert summed(model_on(serve(stream(*deltas, "ok")))).additional_kwargs[
        "reasoning_details"
    ] == [
        {"type": "reasoning.text", "text": "ab", "signature": "s"},
        {"type": "reasoning.encrypted", "data": "x"},
        {"type": "reasoning.encrypted", "data": "y"},
        {"type": "reasoning.text", "text": "c"},
    ]


def test_audio_pieces_padded_each_by_itself(serve, model_on):
    """The joined audio decodes to all of the sound."""
    sound = [b"a", b"bc", b"def"]
    deltas = [{"audio": {"data": base64.b64encode(piece).decode()}} for piece in sound]
    message = summed(model_on(serve(stream(*deltas))))

    assert base64.b64decode(message.additional_kwargs["audio"]["data"]) == b"abcdef"


def test_debug_events_do_not_name_the_answer(serve, model_on):
    """Their id and model may be another attempt's; what they say is kept."""
    debug = {"id": "gen-other", "model": "x/other", "choices": [],
             "debug": {"echo_upstream_body": {"a": 1}}}  # fmt: skip
    found = [debug, *events({"content": "Hi"})]
    message = summed(model_on(serve(Reply(sse(found), content_type="text/event-stream"))))

    assert message.id == "gen-1-abc"
    assert message.response_metadata["model_name"] == "openai/gpt-4o-mini"
    assert message.response_metadata["debug"] == [debug["debug"]]


def test_the_rest_of_the_metadata(serve, model_on):
    """Router metadata, server tools, cost, logprobs and asked-for headers are there."""
    logprobs = {"content": [{"token": "Hi", "logprob": -0.1}], "refusal": None}
    usage = {**whole()["usage"], "server_tool_use_details": {"web_search_requests": 2}}
    extra = {"openrouter_metadata": {"strategy": "direct"}, "system_fingerprint": "fp",
             "service_tier": "flex", "usage": usage}  # fmt: skip
    end = {"finish_reason": "stop", "native_finish_reason": "stop"}
    found = [
        event({"content": "Hi"}, choice={"logprobs": logprobs}),
        event({}, choice=end), event({}, choice=end, **extra),
    ]  # fmt: skip

    def answer(seen):
        headers = {"x-generation-id": "gen-h"}
        if seen.body.get("stream"):
            return Reply(sse(found), headers=headers, content_type="text/event-stream")
        return Reply(whole("Hi", choice={"logprobs": logprobs}, **extra), headers=headers)

    model = model_on(serve(answer), include_response_headers=True)
    for message in (model.invoke("x"), summed(model)):
        metadata = message.response_metadata
        assert metadata["openrouter_metadata"] == {"strategy": "direct"}
        assert metadata["server_tool_use"] == {"web_search_requests": 2}
        assert metadata["system_fingerprint"] == "fp"
        assert metadata["service_tier"] == "flex"
        assert metadata["logprobs"]["content"] == logprobs["content"]
        assert metadata["headers"]["x-generation-id"] == "gen-h"
        assert "native_finish_reason" in metadata


def test_the_generation_id_may_be_in_the_header_alone(serve, model_on):
    """Then it is the message's id and the error's."""
    headers = {"x-generation-id": "gen-h"}
    body = whole("Hi")
    del body["id"]
    found = [{k: v for k, v in e.items() if k != "id"} for e in events({"content": "Hi"})]
    answers = [
        model_on(serve(Reply(body, headers=headers))).invoke("x"),
        summed(model_on(serve(Reply(sse(found), headers=headers,
                                    content_type="text/event-stream")))),
    ]  # fmt: skip

    assert [a.id for a in answers] == [a.response_metadata["id"] for a in answers] == ["gen-h"] * 2
    with pytest.raises(errors.UpstreamError) as caught:
        model_on(serve(Reply("{", headers=headers))).invoke("x")
    assert caught.value.generation_id == "gen-h"


def test_chunks_serialise_as_langchains_own():
    """A chunk in a checkpoint can be read by any LangChain."""
    from langchain_openrouter.chat_models._message_chunk import OpenRouterMessageChunk

    chunk = OpenRouterMessageChunk(content="x")

    assert isinstance(chunk, AIMessageChunk)
    assert chunk.to_json()["id"] == AIMessageChunk(content="x").to_json()["id"]


def test_a_stream_of_n_chunks_costs_order_n():
    """Operations counted, not timed: twice the chunks, about twice the calls."""
    import cProfile

    from langchain_openrouter.chat_models._streaming import StreamState

    def calls(n):
        state = StreamState()
        data = [
            json.dumps(event({
                "content": "x", "reasoning": "y",
                "reasoning_details": [{"type": "reasoning.text", "text": "y", "index": 0}],
                "tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "z"}}],
            })).encode() for _ in range(n)
        ]  # fmt: skip
        profile = cProfile.Profile()
        profile.enable()
        for item in data:
            state.handle_data(item)
        state.handle_data(b"[DONE]")
        state.final_chunk()
        profile.disable()
        return sum(entry.callcount for entry in profile.getstats())

    calls(10)
    assert calls(800) / calls(400) < 2.2


def test_an_answer_inside_provider(serve, model_on):
    """Now and then all of it comes nested there, with null around it."""
    nested = {"id": None, "choices": None, "model": None, "provider": whole("Hi")}
    message = model_on(serve(Reply(nested))).invoke("x")
    found = [{"id": None, "choices": None, "provider": e} for e in events({"content": "Hi"})]
    streamed = summed(model_on(serve(Reply(sse(found), content_type="text/event-stream"))))

    for answer in (message, streamed):
        assert answer.text == "Hi"
        assert answer.response_metadata["provider"] == "OpenAI"
        assert answer.response_metadata["cost"] == 0.0025


def test_a_stream_where_a_whole_answer_was_asked(serve, model_on):
    """Events are read as the answer they are, and their errors as errors."""
    good = serve(stream({"reasoning": "hm"}, "Hi"))
    message = model_on(good).invoke("x")

    assert type(message) is AIMessage
    assert message.text == "Hi"
    assert message.response_metadata["cost"] == 0.0025
    bad = serve(stream("Hi", done=False, reason=None))
    with pytest.raises(errors.ConnectionFailedError) as caught:
        model_on(bad).invoke("x")
    assert caught.value.partial.text == "Hi"


def test_fields_of_a_newer_service_are_kept(serve, model_on):
    """Under their own names: of the body in the metadata, of the message beside its extras."""
    body = whole("Hi", message={"mood": "fine", "steps": [1, 2]}, trace_url="https://e.org")
    found = [event({"content": "Hi", "mood": "fi", "steps": [1]}),
             event({"mood": "ne", "steps": [2]}, trace_url="https://e.org"), *events()]  # fmt: skip
    whole_one = model_on(serve(Reply(body))).invoke("x")
    streamed = summed(model_on(serve(Reply(sse(found), content_type="text/event-stream"))))

    for answer in (whole_one, streamed):
        assert answer.additional_kwargs["mood"] == "fine"
        assert answer.additional_kwargs["steps"] == [1, 2]
        assert answer.response_metadata["trace_url"] == "https://e.org"
