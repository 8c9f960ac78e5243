"""The chunks of a stream: made quickly and added up quickly, and the same as core's own."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumps
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.chat_models._chunk_template import ChunkTemplate, to_generation_chunk
from langchain_openrouter.chat_models._message_chunk import OpenRouterMessageChunk
from langchain_openrouter.chat_models._reasoning_details import ReasoningDetailsAccumulator
from langchain_openrouter.chat_models._streaming import StreamState
from langchain_openrouter.chat_models._tool_calls import ToolCallAccumulator
from langchain_openrouter.testing import Reply

FACTS = {"id": "gen-1", "response_metadata": {"model_provider": "openrouter"}}
PATTERN = OpenRouterMessageChunk(content="", **FACTS)
TEMPLATE = ChunkTemplate(PATTERN)
MIDDLE = [tool_call_chunk(name=None, args='"a": 1', id=None, index=0)]


@pytest.mark.parametrize(
    ("text", "extras", "calls"),
    [("word", None, None), ("", {"reasoning_content": "hm"}, None), ("", None, MIDDLE), ("", None, None)],
)  # fmt: skip
def test_a_chunk_made_from_a_pattern_is_what_validation_makes(text, extras, calls):
    """Equal, and it copies, pickles, dumps, prints, takes assignments and adds up the same."""
    quick = to_generation_chunk(TEMPLATE.copy(text, extras, calls))
    given = {"additional_kwargs": extras or {}, "tool_call_chunks": calls or []}
    slow = ChatGenerationChunk(message=OpenRouterMessageChunk(content=text, **FACTS, **given))

    assert quick == slow
    assert vars(quick) | {"message": None} == vars(slow) | {"message": None}
    assert vars(quick.message) == vars(slow.message)
    assert quick.message.__pydantic_extra__ == slow.message.__pydantic_extra__
    assert repr(quick) == repr(slow)
    assert dumps(quick) == dumps(slow)
    assert quick.model_dump_json() == slow.model_dump_json()
    assert pickle.loads(pickle.dumps(quick)) == slow
    assert copy.deepcopy(quick) == copy.copy(quick) == slow
    assert quick + slow == slow + slow
    quick.message.name, quick.message.colour = "a name", "blue"
    assert quick.message.name == "a name"


def test_chunks_share_nothing_that_can_change():
    """What is done to one is not done to another."""
    one, two = TEMPLATE.copy("one"), TEMPLATE.copy("two")
    one.response_metadata["x"] = one.additional_kwargs["x"] = 1
    for name in ("tool_calls", "invalid_tool_calls", "tool_call_chunks"):
        getattr(one, name).append("x")
    one.name = "n"
    one.colour = "blue"

    assert two == TEMPLATE.copy("two")
    assert not PATTERN.additional_kwargs
    assert two.__pydantic_extra__ == {}
    assert two.model_dump(exclude_unset=True) == two.model_dump()


PIECES = st.one_of(
    st.builds(lambda text: {"content": text}, st.text(max_size=3)),
    st.builds(
        lambda text, words: {"content": text, "additional_kwargs": {"reasoning_content": words}},
        st.text(max_size=2), st.text(min_size=1, max_size=3),
    ),
    st.builds(
        lambda args, index, name: {
            "content": "",
            "tool_call_chunks": [tool_call_chunk(name=name, args=args, id=name and f"id{index}", index=index)],
        },
        st.sampled_from(["", "{", '{"a": ', "1", "}", '"b"', ", "]), st.integers(0, 2), st.sampled_from([None, None, "f"]),
    ),
    st.just({"content": "", "additional_kwargs": {"images": [{"x": 1}]}}),
    st.just({"content": [{"type": "text", "text": "x", "index": 0}]}),
    st.just({"content": "", "usage_metadata": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}),
    st.just({"content": "", "chunk_position": "last"}),
    st.just({"content": "x", "id": "another"}),
)  # fmt: skip


@given(st.lists(PIECES, min_size=2, max_size=12))
def test_many_chunks_add_up_to_what_core_makes_of_them(pieces):
    """However the runs lie; and the pieces stay as they were."""
    chunks = [OpenRouterMessageChunk(**(FACTS | piece)) for piece in pieces]
    before = [chunk.model_dump_json() for chunk in chunks]
    expected = AIMessageChunk.__add__(chunks[0], chunks[1:])

    assert chunks[0] + chunks[1:] == expected
    assert [chunk.model_dump_json() for chunk in chunks] == before


def read(events):
    """Return the message of some events."""
    state = StreamState()
    chunks = [chunk for event in events for chunk in state.handle_event(event)]
    state.saw_done = True
    chunks.append(state.final_chunk())
    return chunks[0] + chunks[1:]


def event(delta, **choice):
    """Return an event as the service sends them."""
    return {"id": "gen-1", "model": "a/b", "choices": [{"index": 0, "delta": delta, "finish_reason": None, **choice}]}  # fmt: skip


def test_events_that_differ_in_more_than_the_delta_are_read_in_full():
    """Log probabilities that repeat are all kept; a late field, a reason and an error are seen."""
    probability = {"content": [{"token": "a", "logprob": -1}]}
    told = read([
        event({"content": "a"}, logprobs=probability),
        event({"content": "a"}, logprobs=probability),
        event({"content": "b"}),
        event({"content": "c"}) | {"service_tier": "flex"},
        event({"content": ""}, finish_reason="stop", native_finish_reason="end"),
    ])  # fmt: skip

    assert told.content == "aabc"
    assert len(told.response_metadata["logprobs"]["content"]) == 2
    assert told.response_metadata["service_tier"] == "flex"
    assert told.response_metadata["native_finish_reason"] == "end"


def test_unknown_fields_and_media_of_a_long_stream_are_joined():
    """Texts and lists are pieces of one; of other kinds the last counts; a repeated image is one."""
    image = {"type": "image_url", "image_url": {"url": "data:,x"}}
    swapped = {"image_url": {"url": "data:,x"}, "type": "image_url"}
    told = read([
        event({"content": "a", "newly": "x", "list": [1], "kind": 1, "images": [image]}),
        event({"content": "", "newly": "y", "list": [2], "kind": "s", "images": [swapped]}),
        event({"content": ""}, finish_reason="stop"),
    ])  # fmt: skip

    extras = told.additional_kwargs
    assert (extras["newly"], extras["list"], extras["kind"]) == ("xy", [1, 2], "s")
    assert extras["images"] == [image]


def test_fragments_with_the_same_frame_are_one_detail():
    """Another signature, id, index or type is another one."""
    details = ReasoningDetailsAccumulator()
    same = {"type": "reasoning.text", "index": 0, "format": None}
    places = [
        details.add({**same, "text": "a"}),
        details.add({**same, "text": "b"}),
        details.add({**same, "text": "", "signature": "s"}),
        details.add({**same, "text": "c", "signature": "t"}),
        details.add({**same, "text": "d", "signature": "t"}),
        details.add({**same, "index": 1, "text": "e"}),
    ]

    assert places == [0, 0, 0, 1, 1, 2]
    assert [detail["text"] for detail in details.result()] == ["ab", "cd", "e"]


def test_calls_are_told_apart_by_index_or_id_or_order():
    """A thousand of them, in turn, without looking at each for each fragment."""
    calls = ToolCallAccumulator()
    for n in range(1000):
        calls.add({"index": n, "id": f"c{n}", "function": {"name": "f", "arguments": ""}})
    for piece in ('{"a"', ": 1}"):
        for n in range(1000):
            assert calls.add({"index": n, "function": {"arguments": piece}})["index"] == n
    unindexed = ToolCallAccumulator()
    for its_id, piece in (("a", "{"), ("b", "{"), ("a", "}"), ("b", "}"), (None, " ")):
        unindexed.add({"id": its_id, "function": {"name": "f" if piece == "{" else None, "arguments": piece}})  # fmt: skip

    texts = calls.argument_texts(cut=False)
    assert [json.loads(text) for text in texts.values()] == [{"a": 1}] * 1000
    assert unindexed.argument_texts(cut=False) == {"a": "{}", "b": "{} "}


async def test_a_fast_stream_leaves_the_loop_to_others(emulate):
    """Another task has its turn many times while one stream, all of it there, is read."""
    words = 2000
    emulator = emulate([Reply("word " * words)])
    model = ChatOpenRouter(model="a/b", api_key="k", base_url=emulator.url)
    turns, most, last = 0, 0, 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    in_a_row = 0
    async for _ in model.astream("x"):
        in_a_row = in_a_row + 1 if turns == last else 1
        most, last = max(most, in_a_row), turns
    task.cancel()

    assert most <= 64
