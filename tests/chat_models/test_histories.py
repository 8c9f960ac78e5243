"""Threads that began with another provider's model, or that another package stored."""

from __future__ import annotations

import asyncio
import base64
import copy
import importlib
import json
import logging
import operator
import os
import subprocess
import sys
import warnings
from functools import reduce
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, StateGraph

from langchain_openrouter.chat_models._reasoning_fields import normalize_details
from langchain_openrouter.testing import Call, Reply
from tests.support.loopback import stream, whole

CLAUDE = {"format": "anthropic-claude-v1"}
GEMINI = {"format": "google-gemini-v1"}
SIGNATURE = base64.b64encode(b"signature").decode()


def answer(provider, *content, **fields):
    """Return an assistant's message as a provider's package makes it."""
    return AIMessage(
        list(content), response_metadata={"model_provider": provider} if provider else {}, **fields
    )


ANTHROPIC = answer(
    "anthropic",
    {"type": "thinking", "thinking": "Let me see.", "signature": "sig-a"},
    {"type": "redacted_thinking", "data": "ENCRYPTED"},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [
            {
                "type": "web_search_result",
                "url": "https://x.org",
                "title": "x",
                "encrypted_content": "e",
                "page_age": None,
            }
        ],
    },
    {
        "type": "text",
        "text": "It is 2.",
        "citations": [
            {
                "type": "web_search_result_location",
                "url": "https://x.org",
                "title": "x",
                "cited_text": "2",
                "encrypted_index": "i",
            }
        ],
    },
)
ANTHROPIC_V1 = answer(
    "anthropic",
    {"type": "reasoning", "reasoning": "Let me see.", "extras": {"signature": "sig-a"}},
    {"type": "non_standard", "value": {"type": "redacted_thinking", "data": "ENCRYPTED"}},
    {"type": "server_tool_call", "name": "web_search", "args": {"query": "q"}, "id": "srvtoolu_1"},
    {"type": "server_tool_result", "tool_call_id": "srvtoolu_1", "status": "success", "output": []},
    {"type": "text", "text": "It is 2."},
)
BEDROCK = answer(
    "bedrock_converse",
    {
        "type": "reasoning_content",
        "reasoning_content": {"text": "Let me see.", "signature": "sig-b"},
    },
    {"type": "reasoning_content", "reasoning_content": {"redacted_content": b"xx"}},
    {
        "type": "server_tool_use",
        "name": "nova_code_interpreter",
        "input": {"snippet": "1+1"},
        "id": "st_1",
    },
    {
        "type": "server_tool_result",
        "tool_use_id": "st_1",
        "is_error": False,
        "content": [{"type": "json", "json": {"std_out": "2"}}],
    },
    {"cachePoint": {"type": "default"}},
    {"type": "guard_content", "guard_content": {"type": "text", "text": "It is"}},
    {"type": "text", "text": " 2."},
)
RESPONSES = answer(
    "openai",
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Let me see."}],
        "encrypted_content": "E",
    },
    {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    },
    {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "code": "1+1",
        "container_id": "c",
        "outputs": [],
        "status": "completed",
    },
    {
        "type": "mcp_call",
        "id": "mcp_1",
        "name": "n",
        "server_label": "s",
        "arguments": "{}",
        "output": "2",
    },
    {"type": "compaction", "id": "cmp_1", "encrypted_content": "E"},
    {"type": "image_generation_call", "id": "ig_1", "result": "aW1n", "status": "completed"},
    {"type": "text", "text": "It is 2.", "annotations": [], "id": "msg_1", "phase": "final_answer"},
)
GOOGLE = answer(
    "google_genai",
    {"type": "thinking", "thinking": "Let me see."},
    {"type": "executable_code", "executable_code": "1+1", "language": "PYTHON", "id": "u"},
    {
        "type": "code_execution_result",
        "code_execution_result": "2",
        "outcome": 1,
        "tool_call_id": "",
    },
    {"type": "text", "text": "It is 2.", "extras": {"signature": "s"}},
)
GOOGLE_SIGNED = answer(
    "google_genai",
    {"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE},
    "It is 2.",
    additional_kwargs={"audio": b"RIFF"},
)
MISTRAL = answer(
    "mistralai",
    {
        "type": "thinking",
        "thinking": [{"type": "text", "text": "Let me"}, {"type": "text", "text": " see."}],
    },
    {"type": "text", "text": "It is"},
    {"type": "reference", "reference_ids": [0, 1]},
    {"type": "reference", "reference_ids": [2], "text": " 2."},
)
UNKNOWN = answer(
    "somebody",
    {"type": "reasoning", "reasoning": "Let me see."},
    {"type": "hologram", "value": 1},
    {"type": "non_standard", "value": {"type": "novel"}},
    {"type": "text", "text": "It is 2."},
)
BY_CLAUDE = [
    {"type": "reasoning.text", "text": "Let me see.", "signature": "sig-a", **CLAUDE},
    {"type": "reasoning.encrypted", "data": "ENCRYPTED", **CLAUDE},
]
BY_BEDROCK = [{"type": "reasoning.text", "text": "Let me see.", "signature": "sig-b", **CLAUDE}]
BY_GEMINI = [{"type": "reasoning.text", "text": "Let me see.", "signature": SIGNATURE, **GEMINI}]
HISTORIES = {
    "anthropic": (ANTHROPIC, BY_CLAUDE, ["server_tool_use", "web_search_tool_result"]),
    "anthropic v1": (ANTHROPIC_V1, BY_CLAUDE, ["server_tool_call", "server_tool_result"]),
    "bedrock": (
        BEDROCK,
        BY_BEDROCK,
        ["redacted_content", "server_tool_use", "server_tool_result", "cachePoint"],
    ),
    "responses": (
        RESPONSES,
        None,
        ["encrypted_content", "web_search_call", "code_interpreter_call", "mcp_call", "compaction"],
    ),
    "gemini": (GOOGLE, None, ["executable_code", "code_execution_result"]),
    "gemini signed": (GOOGLE_SIGNED, BY_GEMINI, ["audio"]),
    "mistral": (MISTRAL, None, ["reference"]),
    "unknown": (UNKNOWN, None, ["hologram", "novel"]),
}
HOW = ["invoke", "ainvoke", "stream", "astream"]


def ask(model, messages, how):
    """Send the messages whole or streamed, sync or async."""

    async def chunks():
        return [chunk async for chunk in model.astream(messages)]

    match how:
        case "invoke":
            return model.invoke(messages)
        case "ainvoke":
            return asyncio.run(model.ainvoke(messages))
        case "stream":
            return list(model.stream(messages))
    return asyncio.run(chunks())


def either(seen):
    """Answer whole or streamed, as was requested."""
    from tests.support.loopback import Reply as Raw

    return stream("Hello!") if seen.body.get("stream") else Raw(whole())


def warned(model, messages, how="invoke"):
    """Send the messages; return the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ask(model, messages, how)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", HISTORIES)
def test_the_answer_of_another_provider_is_sent_with_one_warning(name, how, serve, model_on):
    """Text, signed reasoning and images go out; what cannot be sent is named once."""
    message, details, omitted = HISTORIES[name]
    before = copy.deepcopy(message)
    server = serve(either)
    messages = [HumanMessage("1+1?"), message, HumanMessage("And 2+2?"), message, HumanMessage("?")]

    (warning,) = warned(model_on(server), messages, how)

    assert f": {', '.join(omitted)}. " in warning
    (seen,) = server.seen
    sent = seen.body["messages"][1]
    assert sent == seen.body["messages"][3]
    assert sent["content"] == "It is 2."
    assert sent["reasoning"] == "Let me see."
    assert sent.get("reasoning_details") == details
    assert ("images" in sent) == (name == "responses")
    assert message == before


@pytest.mark.parametrize("how", HOW)
def test_a_mixed_thread_goes_on_at_the_emulator(how, emulate, model_on):
    """A tool's call and its result between answers of all providers stay in the thread."""
    emulator = emulate(lambda _request: "Hello!")
    call = {"name": "add", "args": {"a": 1}, "id": "call_1", "type": "tool_call"}
    calling = answer(
        "openai",
        {"type": "custom_tool_call", "call_id": "call_1", "name": "add", "input": "1"},
        {"type": "web_search_call", "id": "ws_1"},
        tool_calls=[call],
    )
    thread = [HumanMessage("x"), calling, ToolMessage("2", tool_call_id="call_1")]
    thread += [history[0] for history in HISTORIES.values()]

    (warning,) = warned(model_on(emulator), [*thread, HumanMessage("y")], how)

    assert "web_search_call" in warning
    assert "custom_tool_call" not in warning
    sent = emulator.chat_requests[-1].body["messages"]
    assert sent[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a":1}'}
    assert sent[1]["content"] is None


@pytest.mark.parametrize(
    "block",
    [
        {"type": "server_tool_use", "id": "s", "name": "n", "input": {}},
        {"type": "web_search_call", "id": "ws_1"},
        {"type": "guard_content", "guard_content": {"type": "text", "text": "x"}},
        {"type": "reasoning_content", "reasoning_content": {"text": "x"}},
        {"type": "custom_tool_call", "name": "n"},
        {"type": "executable_code", "executable_code": "1"},
        {"type": "reference", "reference_ids": [1]},
        {"cachePoint": {"type": "default"}},
    ],
    ids=lambda block: str(next(iter(block.values()))),
)
def test_a_block_that_cannot_be_sent_of_a_human_is_an_error(block, serve, model_on):
    """What a person or a developer wrote is never left out in silence."""
    server = serve(either)

    for message in (HumanMessage([block]), SystemMessage([block])):
        with pytest.raises(ValueError, match=r"block 0 of message 0 .* has type"):
            model_on(server).invoke([message])
    assert not server.seen


def test_text_of_a_summary_and_of_a_generated_image_is_shown(serve, model_on):
    """A reader's summary stays text, a generated image goes where OpenRouter has images."""
    server = serve(either)
    compaction = answer("anthropic", {"type": "compaction", "content": "So far: 2."})

    assert warned(model_on(server), [HumanMessage("x"), compaction, HumanMessage("y")]) == []
    warned(model_on(server), [HumanMessage("x"), RESPONSES, HumanMessage("y")])

    assert server.seen[0].body["messages"][1]["content"] == "So far: 2."
    assert server.seen[1].body["messages"][1]["images"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aW1n"}}
    ]


def test_a_generic_assistant_message_loses_the_same_blocks(serve, model_on):
    """The role decides, not the class of the message."""
    server = serve(either)
    message = ChatMessage(ANTHROPIC.content, role="assistant")

    (warning,) = warned(model_on(server), [HumanMessage("x"), message, HumanMessage("y")])

    assert "server_tool_use" in warning
    assert server.seen[0].body["messages"][1]["content"] == "It is 2."


@pytest.mark.off_spec("a part that the specification does not have yet")
def test_a_part_of_openrouter_that_is_new_is_sent_back(serve, model_on):
    """The documented form for a part of the API is no other provider's."""
    server = serve(either)
    part = {"type": "novel", "novel": 1}
    for provider in (None, "openrouter"):
        message = answer(provider, {"type": "non_standard", "value": part})
        assert warned(model_on(server), [HumanMessage("x"), message, HumanMessage("y")]) == []

    assert [seen.body["messages"][1]["content"] for seen in server.seen] == [[part], [part]]


def test_a_warning_is_bounded_and_holds_no_secret(serve, model_on):
    """Types of blocks come from anywhere: few are listed, none in full length, no key."""
    key = "sk-or-v1-" + "0" * 40
    blocks = [{"type": f"kind {number} {'x' * 5000}"} for number in range(1000)]
    message = answer("somebody", {"type": f"a {key}"}, *blocks)

    (warning,) = warned(model_on(serve(either)), [HumanMessage("x"), message, HumanMessage("y")])

    assert len(warning) < 1500
    assert key not in warning


# --- as the installed packages make them --------------------------------------------------------


def from_anthropic():
    """Convert an answer with a search by langchain-anthropic."""
    models = pytest.importorskip("langchain_anthropic")
    types = importlib.import_module("anthropic.types")
    data = types.Message.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-6",
            "content": json.loads(json.dumps(ANTHROPIC.content)),
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    )
    model = models.ChatAnthropic(model_name="claude-sonnet-4-6", api_key="k")
    return model._format_output(data).generations[0].message


def from_google():
    """Convert an answer with executed code by langchain-google-genai."""
    models = pytest.importorskip("langchain_google_genai.chat_models")
    types = importlib.import_module("google.genai.types")
    candidate = types.Candidate.model_validate(
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "Let me see.", "thought": True},
                    {"executable_code": {"code": "print(1+1)", "language": "PYTHON"}},
                    {"code_execution_result": {"outcome": "OUTCOME_OK", "output": "2"}},
                    {"text": "It is 2."},
                ],
            }
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own, about executed code
        return models._parse_response_candidate(candidate)


def from_responses():
    """Convert a response of OpenAI's Responses API by langchain-openai."""
    from langchain_openai.chat_models import base
    from openai.types.responses import Response

    response = Response.model_validate(
        {
            "id": "resp_1",
            "created_at": 1,
            "model": "gpt-5",
            "object": "response",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "status": "completed",
            "output": [
                *RESPONSES.content[:4],
                {
                    "type": "message",
                    "id": "msg_1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "It is 2.", "annotations": []}],
                },
            ],
        }
    )
    result = base._construct_lc_result_from_responses_api(response)
    return result.generations[0].message


@pytest.mark.parametrize(
    ("convert", "omitted"),
    [
        (from_anthropic, "server_tool_use, web_search_tool_result"),
        (from_google, "executable_code, code_execution_result"),
        (from_responses, "encrypted_content, web_search_call, code_interpreter_call, mcp_call"),
    ],
)
def test_what_the_installed_packages_make_can_be_sent(convert, omitted, serve, model_on):
    """The raw content, LangChain's standard blocks of it, and what was loaded from a store."""
    server = serve(either)
    message = convert()
    message.response_metadata.setdefault("model_provider", "google_genai")
    standard = message.model_copy(update={"content": message.content_blocks})

    for history in (message, messages_from_dict(messages_to_dict([message]))[0], standard):
        (warning,) = warned(model_on(server), [HumanMessage("x"), history, HumanMessage("y")])
        if history is not standard:
            assert f": {omitted}. " in warning

    for seen in server.seen:
        assert seen.body["messages"][1]["content"] == "It is 2."
        assert seen.body["messages"][1]["reasoning"] == "Let me see."


# --- reasoning ----------------------------------------------------------------------------------


def test_unsigned_thinking_is_sent_as_text_alone(serve, model_on):
    """No detail has a signature that is null."""
    server = serve(either)
    block = {"type": "thinking", "thinking": "Hm.", "signature": None}
    for provider in (None, "google_genai", "mistralai", "anthropic"):
        ask(
            model_on(server),
            [HumanMessage("x"), answer(provider, block, "Yes."), HumanMessage("y")],
            "invoke",
        )

    for seen in server.seen:
        sent = seen.body["messages"][1]
        assert sent == {"role": "assistant", "content": "Yes.", "reasoning": "Hm."}


def test_a_reasoning_item_in_the_extras_is_sent_as_text(serve, model_on):
    """langchain-openai's first format keeps the item beside the content."""
    server = serve(either)
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
    message = AIMessage("Yes.", additional_kwargs={"reasoning": item})

    model_on(server).invoke([HumanMessage("x"), message, HumanMessage("y")])

    sent = server.seen[0].body["messages"][1]
    assert sent == {"role": "assistant", "content": "Yes.", "reasoning": "Hm."}


RS = {"type": "reasoning.summary", "summary": "Hm.", "index": 0, "id": "rs_1"}
DATA = {"type": "reasoning.encrypted", "data": "E", "index": 1, "id": "rs_1"}


@pytest.mark.off_spec("sent as it was stored")
@pytest.mark.parametrize(
    ("details", "ids"),
    [
        ([RS], [None]),
        ([{**DATA, "data": None}], [None]),
        ([{**DATA, "data": ""}], [None]),
        ([DATA], ["rs_1"]),
        ([RS, DATA], ["rs_1", "rs_1"]),
        ([RS, {**DATA, "id": "rs_2"}], [None, "rs_2"]),
        ([{**RS, "id": "tool_1"}], ["tool_1"]),
    ],
)
@pytest.mark.parametrize("as_block", [False, True])
def test_an_id_of_an_item_that_was_not_stored_is_left_out(details, ids, as_block, serve, model_on):
    """OpenAI looks `rs_...` up unless the encrypted data comes along."""
    server = serve(either)
    blocks = [
        {"type": "reasoning", "reasoning": "", "extras": {"reasoning_detail": detail}}
        for detail in details
    ]
    extras = {} if as_block else {"reasoning_details": details}
    message = AIMessage([*blocks, "Yes."] if as_block else "Yes.", additional_kwargs=extras)
    before = copy.deepcopy(message)

    model_on(server).invoke([HumanMessage("x"), message, HumanMessage("y")])

    sent = server.seen[0].body["messages"][1]["reasoning_details"]
    assert [detail.get("id") for detail in sent] == ids
    assert message == before


def fragments(*texts, kind="text", index: Any = 0.0, **last):
    """Return details as LangChain's own package stores them: one for each delta."""
    return [
        {"type": f"reasoning.{kind}", kind: text, "index": index, **CLAUDE} for text in texts
    ] + ([{"type": f"reasoning.{kind}", "index": index, **last, **CLAUDE}] if last else [])


@pytest.mark.off_spec("sent as it was stored")
@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        (
            fragments("Let ", "me ", "see.", signature="s"),
            [
                {
                    "type": "reasoning.text",
                    "text": "Let me see.",
                    "signature": "s",
                    "index": 0,
                    **CLAUDE,
                }
            ],
        ),
        # two blocks, each with its signature
        (
            fragments("a", "b", signature="s") + fragments("c", "d", signature="t", index=1.0),
            [
                {"type": "reasoning.text", "text": "ab", "signature": "s", "index": 0, **CLAUDE},
                {"type": "reasoning.text", "text": "cd", "signature": "t", "index": 1, **CLAUDE},
            ],
        ),
        # two blocks of one index: a signature ends the text
        (
            fragments("a", signature="s") + fragments("c", signature="t"),
            [
                {"type": "reasoning.text", "text": "a", "signature": "s", "index": 0, **CLAUDE},
                {"type": "reasoning.text", "text": "c", "signature": "t", "index": 0, **CLAUDE},
            ],
        ),
        # a summary, then encrypted data of the same index
        (
            [
                *fragments("a", "b", kind="summary"),
                {"type": "reasoning.encrypted", "data": "E", "index": 0.0},
            ],
            [
                {"type": "reasoning.summary", "summary": "ab", "index": 0, **CLAUDE},
                {"type": "reasoning.encrypted", "data": "E", "index": 0},
            ],
        ),
        # not fragments: no index, data twice, an index that is no count
        (fragments("a", "b", index=None), fragments("a", "b", index=None)),
        (
            [{"type": "reasoning.encrypted", "data": data, "index": 0} for data in "EF"],
            [{"type": "reasoning.encrypted", "data": data, "index": 0} for data in "EF"],
        ),
        (fragments("a", "b", index=0.5), fragments("ab", index=0.5)),
    ],
)
def test_fragments_of_details_that_were_stored_apart_are_merged(stored, sent, serve, model_on):
    """A signature stands for a complete text, so one detail goes out with both."""
    server = serve(either)
    message = AIMessage("Yes.", additional_kwargs={"reasoning_details": stored})
    before = copy.deepcopy(message)

    model_on(server).invoke([HumanMessage("x"), message, HumanMessage("y")])

    raw = json.dumps(server.seen[0].body["messages"][1]["reasoning_details"])
    assert raw == json.dumps(sent) or json.loads(raw) == sent
    assert '"index": 0.0' not in raw
    assert message == before


def test_n_stored_fragments_cost_order_n():
    """A long thought of many deltas is joined once: twice the fragments, twice the calls."""
    import cProfile

    def calls(n):
        profile = cProfile.Profile()
        profile.runcall(normalize_details, fragments(*["x" * 100] * n))
        return sum(entry.callcount for entry in profile.getstats())

    (detail,) = normalize_details(fragments(*["x" * 100] * 20_000))
    assert len(detail["text"]) == 2_000_000
    assert calls(4000) < 2.2 * calls(2000)


# --- checkpoints --------------------------------------------------------------------------------


class State(TypedDict):
    """A state that takes what a node returns as it is."""

    answers: Annotated[list, operator.add]


def savers(path):
    """Return each checkpointer at hand, as a context manager's value and its closer."""
    strict = JsonPlusSerializer(allowed_msgpack_modules=None)
    yield InMemorySaver(serde=strict), lambda: None
    try:
        sqlite = importlib.import_module("langgraph.checkpoint.sqlite")
    except ImportError:
        return
    import sqlite3

    connection = sqlite3.connect(path, check_same_thread=False)
    yield sqlite.SqliteSaver(connection, serde=strict), connection.close


@pytest.mark.parametrize("deltas", [("Hello", "!"), ()], ids=["text", "empty"])
def test_a_sum_of_chunks_in_a_checkpoint_is_cores_chunk(deltas, serve, model_on, tmp_path, caplog):
    """Under LangGraph's strict serializer it loads as a message, without a warning."""
    model = model_on(serve(stream(*deltas, {"reasoning": "Hm."})))

    def node(_state):
        chunks = list(model.stream("x"))
        return {"answers": [reduce(operator.add, chunks), chunks[0]]}

    for saver, close in savers(tmp_path / "db"):
        graph = StateGraph(State).add_node("n", node).add_edge(START, "n").compile(saver)
        config = {"configurable": {"thread_id": "1"}}
        with caplog.at_level(logging.WARNING):
            graph.invoke({"answers": []}, config)
            stored = graph.get_state(config).values["answers"]
        close()

        assert [type(message) for message in stored] == [AIMessageChunk, AIMessageChunk]
        assert stored[0].content == "".join(deltas)
        assert stored[0].additional_kwargs["reasoning_content"] == "Hm."
        assert stored[0].response_metadata["model_provider"] == "openrouter"
    assert not caplog.records


CUT = {
    "index": 0,
    "id": "c",
    "type": "function",
    "function": {"name": "f", "arguments": '{"a": "x'},
}
DONE = {
    "index": 0,
    "id": "d",
    "type": "function",
    "function": {"name": "f", "arguments": '{"a": 1}'},
}


@pytest.mark.parametrize("calls", [[CUT], [DONE, {**CUT, "index": 1}]], ids=["cut", "one of two"])
def test_a_truncated_call_stays_invalid_however_often_it_is_stored(calls, serve, model_on):
    """Core would complete its JSON on loading, and an agent would run half an argument."""
    server = serve(either)
    server.reply = lambda _seen: stream({"tool_calls": calls}, reason="length")
    message = reduce(operator.add, model_on(server).stream("x"))
    valid = [call for call in calls if call is DONE]

    serializer = JsonPlusSerializer(allowed_msgpack_modules=None)
    for reload in (
        lambda value: serializer.loads_typed(serializer.dumps_typed(value)),
        lambda value: messages_from_dict(messages_to_dict([value]))[0],
        lambda value: value + AIMessageChunk(""),
    ):
        again = message
        for _ in range(3):
            again = reload(again)
            assert [call["id"] for call in again.tool_calls] == [call["id"] for call in valid]
            assert [call["id"] for call in again.invalid_tool_calls] == ["c"]

        server.reply = either
        thread = [HumanMessage("x"), again, ToolMessage("no", tool_call_id="c"), HumanMessage("y")]
        model_on(server).invoke(thread)
        sent = server.seen[-1].body["messages"][1]["tool_calls"]
        assert sent[-1]["function"]["arguments"] == '{"a": "x'

    assert message.invalid_tool_calls[0]["args"] == '{"a": "x'


STRICT = """
import sys
from langchain_core.messages import AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langchain_openrouter import ChatOpenRouter

model = ChatOpenRouter(model="a/b", api_key="k", base_url=sys.argv[1])


@task
def call():
    chunks = list(model.stream("x"))
    return sum(chunks[1:], chunks[0])


saver = InMemorySaver()
config = {"configurable": {"thread_id": "1"}}
entrypoint(saver)(lambda _question: call().result()).invoke("x", config)
stored = saver.get_tuple(config).checkpoint["channel_values"]["__end__"]
print(type(stored) is AIMessageChunk, stored.content)
"""


@pytest.mark.parametrize("strict", ["true", "false"])
def test_a_process_with_the_strict_serializer_loads_a_message(strict, serve):
    """The variable is read at import; with it or without, nothing is warned of."""
    server = serve(stream("Hel", "lo!"))
    environment = {**os.environ, "LANGGRAPH_STRICT_MSGPACK": strict}

    done = subprocess.run(
        [sys.executable, "-c", STRICT, server.url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("True Hello!\n", "")


def test_the_emulators_answer_is_stored_by_a_strict_task(emulate, model_on):
    """A functional workflow stores what a task returns, before any reducer."""
    from langgraph.func import entrypoint, task

    emulator = emulate(lambda _request: Reply("Calling", tool_calls=[Call("f", {"a": 1})]))
    model = model_on(emulator)
    saver = InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=None))

    @task
    def call():
        return reduce(operator.add, model.stream("x"))

    @entrypoint(saver)
    def workflow(_question):
        return call().result()

    config = {"configurable": {"thread_id": "1"}}
    workflow.invoke("x", config)

    stored = saver.get_tuple(config).checkpoint["channel_values"]["__end__"]
    assert type(stored) is AIMessageChunk
    assert [call["args"] for call in stored.tool_calls] == [{"a": 1}]


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"type": "audio", "url": "https://example.org/a.mp3"}, "audio"),
        ({"type": "tool_use", "id": "1", "name": "f", "input": {}}, "tool_use"),
        (
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            "function_call",
        ),
    ],
)
def test_what_has_no_place_in_the_message_is_named(block, named, serve, model_on):
    """Audio by its address, a call that the message does not have."""
    server = serve(either)
    message = AIMessage([{"type": "text", "text": "Yes."}, block])
    message.tool_calls = []

    (warning,) = warned(model_on(server), [HumanMessage("x"), message, HumanMessage("y")])
    assert named in warning
    assert server.seen[0].body["messages"][1] == {"role": "assistant", "content": "Yes."}


def test_the_content_of_a_reasoning_item_is_its_text(serve, model_on):
    """Open models in OpenAI's Responses form."""
    server = serve(either)
    item = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "deep"}]}
    model_on(server).invoke([HumanMessage("x"), AIMessage([item, "Yes."]), HumanMessage("y")])

    assert server.seen[0].body["messages"][1]["reasoning"] == "deep"
