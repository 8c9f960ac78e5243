"""The recordings of the live service, replayed byte for byte over HTTP: nothing is lost."""

from __future__ import annotations

import asyncio
import json
from functools import reduce
from operator import add

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, convert_to_messages

from langchain_openrouter.errors import OpenRouterError
from tests.support.loopback import Reply
from tests.support.traffic import CHAT, error_of, exchanges, expected, name_of

pytestmark = pytest.mark.skipif(not CHAT.exists(), reason=f"no recordings at {CHAT}")
ALL = [pytest.param(exchange, id=name_of(exchange)) for exchange in exchanges()]
# Recorded: a stream that a 400 ends after the finish reason (pydantic-ai's stream error).


def replay(exchange):
    """Return the recorded reply."""
    return Reply(
        exchange["body"].encode(), status=exchange["status"], content_type=exchange["content_type"]
    )


def ask(model, exchange, *, mode):
    """Return the answer: in a stream where the recording is one."""
    question = [HumanMessage("What?")]
    if mode == "sync":
        if exchange["stream"]:
            return reduce(add, model.stream(question))
        return model.invoke(question)

    async def run():
        if exchange["stream"]:
            return reduce(add, [chunk async for chunk in model.astream(question)])
        return await model.ainvoke(question)

    return asyncio.run(run())


def check(message, exchange):
    """Compare an answer with what the recording says, field by field."""
    want = expected(exchange)
    meta, extras = message.response_metadata, message.additional_kwargs
    assert message.text == want["text"]
    assert extras.get("reasoning_content", "") == want["reasoning"]
    assert extras.get("refusal", "") == want["refusal"]
    assert ("reasoning_details" in extras) == want["has_details"]
    assert extras.get("reasoning_details", []) == want["details"]
    assert extras.get("annotations", []) == want["annotations"]
    assert extras.get("images", []) == want["images"]
    assert (meta.get("logprobs") or {}).get("content", []) == want["logprobs"]
    assert message.id == meta["id"] == want["id"]
    assert meta["model_provider"] == "openrouter"
    for ours, theirs in {
        "model_name": "model",
        "provider": "provider",
        "created": "created",
        "system_fingerprint": "system_fingerprint",
        "service_tier": "service_tier",
        "finish_reason": "finish_reason",
        "native_finish_reason": "native_finish_reason",
    }.items():
        assert meta.get(ours) == want.get(theirs), ours
    check_usage(message, want["usage"])
    check_calls(message, want["calls"])


def check_usage(message, usage):
    """Compare counts, cost and the whole of the usage."""
    meta, standard = message.response_metadata, message.usage_metadata
    assert meta["token_usage"] == usage
    assert meta.get("cost") == usage.get("cost")
    assert meta.get("cost_details") == usage.get("cost_details")
    assert meta.get("is_byok") == usage.get("is_byok")
    assert meta.get("server_tool_use") == usage.get("server_tool_use_details")
    assert standard["input_tokens"] == usage["prompt_tokens"]
    assert standard["output_tokens"] == usage["completion_tokens"]
    assert standard["total_tokens"] == usage["total_tokens"]
    details = usage.get("prompt_tokens_details") or {}
    assert standard.get("input_token_details", {}).get("cache_read") == details.get("cached_tokens")
    details = usage.get("completion_tokens_details") or {}
    reasoning = standard.get("output_token_details", {}).get("reasoning")
    assert reasoning == details.get("reasoning_tokens")


def check_calls(message, calls):
    """Compare tool calls: whole JSON objects are valid, all others invalid, none is lost."""
    got = {call["id"]: call for call in [*message.tool_calls, *message.invalid_tool_calls]}
    assert list(got) == [call["id"] for call in calls.values()]
    for call in calls.values():
        assert got[call["id"]]["name"] == call["name"]
        try:
            args = json.loads(call["arguments"] or "{}")
        except ValueError:
            assert call["id"] in [bad["id"] for bad in message.invalid_tool_calls]
            assert got[call["id"]]["args"] == call["arguments"]
        else:
            assert got[call["id"]]["args"] == args


def check_error(error, exchange):
    """Compare an error with what the recording says."""
    want = error_of(exchange)
    assert error.code == want["code"]
    assert want["message"] in str(error)
    metadata = want.get("metadata") or {}
    assert error.provider == metadata.get("provider_name")
    assert error.metadata == metadata


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("exchange", ALL)
def test_nothing_is_lost(exchange, mode, serve, model_on):
    """Every recorded answer arrives whole, and every recorded error typed."""
    server = serve(replay(exchange))
    if error_of(exchange) is None:
        check(ask(model_on(server), exchange, mode=mode), exchange)
        return
    with pytest.raises(OpenRouterError) as caught:
        ask(model_on(server), exchange, mode=mode)
    check_error(caught.value, exchange)
    if exchange["stream"]:
        partial = caught.value.partial
        assert partial.additional_kwargs["reasoning_content"] == expected(exchange)["reasoning"]


@pytest.mark.parametrize("exchange", ALL)
def test_the_next_turn_sends_everything_back(exchange, model_on, serve):
    """Reasoning, its details, annotations, images and raw arguments return as they came."""
    if error_of(exchange) is not None:
        return  # nothing came that could go back
    server = serve(replay(exchange))
    model = model_on(server)
    answer = ask(model, exchange, mode="sync")
    if isinstance(answer, AIMessageChunk):
        answer = AIMessage(
            **answer.model_dump(exclude={"type", "tool_call_chunks", "chunk_position"})
        )
    want = expected(exchange)
    sent = model._get_request_payload([HumanMessage("What?"), answer])["messages"][1]
    calls = [
        {"id": c["id"], "type": "function",
         "function": {"name": c["name"], "arguments": c["arguments"] or "{}"}}
        for c in want["calls"].values()
    ]  # fmt: skip
    assert sent.get("tool_calls", []) == calls
    assert sent["content"] == (want["text"] or None if calls else want["text"])
    assert sent.get("reasoning", "") == want["reasoning"]
    assert sent.get("reasoning_details", []) == want["details"]
    assert sent.get("annotations", []) == want["annotations"]
    assert sent.get("images", []) == want["images"]


@pytest.mark.parametrize("exchange", ALL)
def test_v1_content_says_the_same(exchange, model_on, serve):
    """With output_version="v1" the blocks hold the text, the reasoning and the valid calls."""
    if error_of(exchange) is not None:
        return  # nothing came that could be shown
    model = model_on(serve(replay(exchange)), output_version="v1")
    answer = ask(model, exchange, mode="sync")
    want = expected(exchange)
    blocks = answer.content_blocks
    assert answer.content == blocks
    assert "".join(b["text"] for b in blocks if b["type"] == "text") == want["text"]
    reasoning = "".join(b["reasoning"] for b in blocks if b["type"] == "reasoning")
    assert reasoning == want["reasoning"]
    signatures = [b.get("extras", {}).get("signature") for b in blocks if b["type"] == "reasoning"]
    assert [s for s in signatures if s] == [
        d["signature"] for d in want["details"] if d.get("signature")
    ]
    calls = [(b["id"], b["name"], b["args"]) for b in blocks if b["type"] == "tool_call"]
    assert calls == [(c["id"], c["name"], c["args"]) for c in answer.tool_calls]
    sent = model._get_request_payload([HumanMessage("What?"), answer])["messages"][1]
    assert sent.get("reasoning_details", []) == want["details"]
    assert (sent["content"] or "") == want["text"]


@pytest.mark.parametrize("exchange", ALL)
def test_recorded_conversations_are_sent_as_recorded(exchange, model_on, serve):
    """A recorded request, read into LangChain's messages, goes out with the same meaning."""
    recorded = [{"content": None, **m} for m in exchange["request"]["messages"]]
    model = model_on(serve(Reply()))
    sent = model._get_request_payload(convert_to_messages(recorded))["messages"]
    assert [m["role"] for m in sent] == [m["role"] for m in recorded]
    for ours, theirs in zip(sent, recorded, strict=True):
        for call, original in zip(
            ours.get("tool_calls", []), theirs.get("tool_calls") or [], strict=True
        ):
            assert call["id"] == original["id"]
            assert call["function"]["name"] == original["function"]["name"]
            # LangChain's own reading of dict messages keeps no text of the arguments.
            got = json.loads(call["function"]["arguments"])
            assert got == json.loads(original["function"]["arguments"] or "{}")
        for name in ("reasoning", "reasoning_details", "annotations", "images", "tool_call_id"):
            assert ours.get(name) == theirs.get(name)
        if isinstance(theirs["content"], str) and theirs["content"]:
            assert ours["content"] == theirs["content"]
