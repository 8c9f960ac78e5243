"""Streams of `POST /responses`: the same message as the whole answer, also where events are hostile."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages.utils import message_chunk_to_message

from langchain_openrouter import ChatOpenRouter, errors
from langchain_openrouter.chat_models._responses_events import ResponsesStreamState

MODEL = ChatOpenRouter(model="a/b", api_key="k", use_responses_api=True)
NOTE = {
    "type": "url_citation",
    "url": "https://a.b",
    "title": "A",
    "start_index": 0,
    "end_index": 2,
}


def body(*items, **fields):
    """Return a complete response."""
    return {"id": "gen-1", "object": "response", "created_at": 1, "model": "a/b", "provider": "Acme",
            "status": "completed", "output": list(items), "error": None, "tools": [],
            "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "cost": 0.5}, **fields}  # fmt: skip


def text_item(*parts, **fields):
    """Return a message of these texts."""
    content = [part if isinstance(part, dict) else {"type": "output_text", "text": part, "annotations": []}
               for part in parts]  # fmt: skip
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": content,
        **fields,
    }


def call_item(call_id="c1", arguments='{"city": "Paris"}', name="weather", **fields):
    """Return a call."""
    return {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name,
            "arguments": arguments, "status": "completed", **fields}  # fmt: skip


def reasoning_item(*summary, texts=(), **fields):
    """Return a reasoning item."""
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": t} for t in summary],
    }
    if texts:
        item["content"] = [{"type": "reasoning_text", "text": t} for t in texts]
    return {**item, **fields}


def pieces(text, size):
    """Cut a text."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def events_of(response, size=3, *, skip=()):
    """Return the events of a response, as a reader of the documentation would send them."""
    found = [
        {
            "type": "response.created",
            "response": {**response, "status": "in_progress", "output": [], "usage": None},
        }
    ]
    for index, item in enumerate(response["output"]):
        at = {"output_index": index, "item_id": item.get("id")}
        empty = {
            k: [] if isinstance(v, list) else v
            for k, v in item.items()
            if k not in {"encrypted_content", "signature"}
        }
        if "arguments" in empty:
            empty["arguments"] = ""
        if "input" in empty:
            empty["input"] = ""
        found.append({"type": "response.output_item.added", "output_index": index, "item": empty})
        for number, part in enumerate(item.get("summary") or []):
            here = {**at, "summary_index": number}
            found.append(
                {
                    "type": "response.reasoning_summary_part.added",
                    **here,
                    "part": {**part, "text": ""},
                }
            )
            found += [
                {"type": "response.reasoning_summary_text.delta", **here, "delta": p}
                for p in pieces(part["text"], size)
            ]
            found.append(
                {"type": "response.reasoning_summary_text.done", **here, "text": part["text"]}
            )
        for number, part in enumerate(item.get("content") or []):
            here = {**at, "content_index": number}
            kind = {
                "output_text": "output_text",
                "refusal": "refusal",
                "reasoning_text": "reasoning_text",
            }[part["type"]]
            text = part.get("text") or part.get("refusal") or ""
            found.append(
                {
                    "type": "response.content_part.added",
                    **here,
                    "part": {"type": kind, "text": "", "refusal": ""},
                }
            )
            found += [
                {"type": f"response.{kind}.delta", **here, "delta": p, "logprobs": []}
                for p in pieces(text, size)
            ]
            found += [{"type": "response.output_text.annotation.added", **here, "annotation": a}
                      for a in part.get("annotations", [])]  # fmt: skip
            found.append({"type": f"response.{kind}.done", **here, "text": text, "refusal": text})
            found.append({"type": "response.content_part.done", **here, "part": part})
        for name, kind in (
            ("arguments", "function_call_arguments"),
            ("input", "custom_tool_call_input"),
        ):
            if isinstance(item.get(name), str):
                found += [
                    {"type": f"response.{kind}.delta", **at, "delta": p}
                    for p in pieces(item[name], size)
                ]
                found.append({"type": f"response.{kind}.done", **at, name: item[name]})
        found.append({"type": "response.output_item.done", "output_index": index, "item": item})
    found.append({"type": f"response.{response['status']}", "response": response})
    return [e for e in found if not any(word in e["type"] for word in skip)]


def read(events, *, done=True):
    """Return the sum of the chunks of events, and the chunks."""
    state, chunks = ResponsesStreamState(), []
    for event in events:
        chunks += state.handle_data(json.dumps(event).encode())
    if done:
        state.handle_data(b"[DONE]")
    chunks.append(state.final_chunk())
    return message_chunk_to_message(chunks[0] + chunks[1:]), chunks


def whole(response):
    """Return the message of the same response, not streamed."""
    return MODEL._create_chat_result(response).generations[0].message


def same(streamed, response):
    """Compare with the whole answer."""
    assert streamed.model_dump() == whole(response).model_dump()
    assert streamed.content_blocks == whole(response).content_blocks


WRITTEN = {
    "text": body(text_item("Hello, 🙂 world!\r\nBye.")),
    "two messages": body(text_item("One."), text_item("Two.", id="msg_2", phase="final_answer")),
    "parts": body(text_item("One.", "Two.")),
    "calls": body(text_item("Wait."), call_item("c1"), call_item("c2", '{"a": {"b": "}"}}'), call_item("c3", "{}")),
    "asynchronous": body(call_item("c1", **{"async": True}), text_item("Meanwhile.")),
    "custom": body({"type": "custom_tool_call", "id": "x", "call_id": "c", "name": "sql", "input": 'a "b"\n🙂'}),
    "empty custom": body({"type": "custom_tool_call", "id": "x", "call_id": "c", "name": "sql", "input": ""}),
    "summary": body(reasoning_item("First. ", "Then.", encrypted_content="gAAA", format="f"), text_item("Hi.")),
    "signed": body(reasoning_item(texts=["I think."], signature="s", format="anthropic-claude-v1"), text_item("Hi.")),
    "encrypted": body(reasoning_item(encrypted_content="gAAA"), text_item("Hi.")),
    "interleaved": body(reasoning_item("A.", encrypted_content="1"), call_item("c1"),
                        reasoning_item("B.", id="rs_2", encrypted_content="2"), text_item("Hi.")),
    "refusal": body(text_item({"type": "refusal", "refusal": "I will not."})),
    "citations": body(text_item("ab", {"type": "output_text", "text": "cd", "annotations": [NOTE, NOTE]})),
    "images": body(text_item("See."), {"type": "image_generation_call", "id": "i", "status": "completed", "result": "AAAA"}),
    "server tools": body({"type": "web_search_call", "id": "w", "status": "completed", "action": {"query": "q"}},
                         {"type": "code_interpreter_call", "id": "k", "code": "1", "outputs": [{"logs": "1"}]}, text_item("Hi.")),
    "logprobs": body(text_item({"type": "output_text", "text": "ab", "logprobs": [{"token": "a"}, {"token": "b"}]})),
    "cut": body(call_item("c1", '{"city": "Par'), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    "nothing": body(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    "facts": body(text_item("x"), service_tier="flex", new_field={"a": 1}, openrouter_metadata={"b": 2}),
    "same ids": body(call_item("c1"), call_item("c1", '{"city": "Rome"}', id="fc_2")),
    "no ids": body({"type": "function_call", "name": "a", "arguments": '{"x": 1}'}, {"type": "function_call", "name": "b", "arguments": "{}"}),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_stream_says_what_the_whole_answer_says(name, size):
    """Whatever its items are, and however texts are cut."""
    streamed, chunks = read(events_of(WRITTEN[name], size))

    same(streamed, WRITTEN[name])
    assert not any(chunk.usage_metadata for chunk in chunks[:-1])


@pytest.mark.parametrize(
    "skip",
    [[".delta"], [".delta", ".done"], [".added"], [".done"], [".added", ".done"], ["created"],
     ["output_item"], ["content_part", "summary_part"], [".delta", ".done", ".added"]],
)  # fmt: skip
@pytest.mark.parametrize("name", WRITTEN)
def test_any_events_may_be_missing(name, skip):
    """But the last, which has the complete answer."""
    streamed, _ = read(events_of(WRITTEN[name], skip=skip))

    same(streamed, WRITTEN[name])


@pytest.mark.parametrize("name", WRITTEN)
def test_the_last_event_may_have_no_output(name):
    """The items that were complete before it are the answer."""
    events = events_of(WRITTEN[name])
    events[-1] = {**events[-1], "response": {**WRITTEN[name], "output": []}}
    streamed, _ = read(events)

    same(streamed, WRITTEN[name])


@pytest.mark.parametrize("name", WRITTEN)
def test_indices_may_be_missing(name):
    """The id of the item tells which it is."""
    events = [
        {k: v for k, v in e.items() if k != "output_index" or "item" in e}
        for e in events_of(WRITTEN[name])
    ]
    if name != "no ids":
        same(read(events)[0], WRITTEN[name])


@pytest.mark.parametrize("name", ["calls", "interleaved", "two messages", "server tools"])
def test_items_may_have_other_indices_in_the_stream(name):
    """Than in the complete answer: their ids are the same."""
    events = [
        {**e, "output_index": e["output_index"] * 7 + 3} if "output_index" in e else e
        for e in events_of(WRITTEN[name])
    ]
    same(read(events)[0], WRITTEN[name])


TEXTS = st.text(max_size=12)
ITEMS = st.one_of(
    st.builds(text_item, TEXTS, TEXTS),
    st.builds(
        lambda i, k: call_item(f"c{i}", json.dumps({"k": k}), id=f"fc_{i}"),
        st.integers(0, 5),
        TEXTS,
    ),
    st.builds(
        lambda i, *t: reasoning_item(*t, id=f"rs_{i}", encrypted_content=f"e{i}"),
        st.integers(0, 99),
        TEXTS,
        TEXTS,
    ),
    st.builds(lambda t: reasoning_item(texts=[t], signature="s"), TEXTS),
    st.builds(
        lambda i: {"type": "custom_tool_call", "id": "x", "call_id": "cc", "name": "s", "input": i},
        TEXTS,
    ),
    st.just({"type": "openrouter:web_search", "status": "completed"}),
)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(items=st.lists(ITEMS, max_size=6), size=st.integers(1, 5), data=st.data())
def test_any_answer_in_any_pieces(items, size, data):
    """Random items, random pieces, some kinds of events missing."""
    unique = [{**item, "id": f"{item.get('id', 'x')}_{n}"} for n, item in enumerate(items)]
    response = json.loads(
        json.dumps(body(*unique), ensure_ascii=True).encode("utf-8", "surrogatepass")
    )
    skip = data.draw(
        st.lists(st.sampled_from(["content_part", "summary_part", "created", "text.done"]))
    )
    streamed, _ = read(events_of(response, size, skip=skip))
    expected = whole(response)

    assert streamed.content == expected.content
    assert streamed.tool_calls == expected.tool_calls
    assert streamed.additional_kwargs == expected.additional_kwargs
    assert streamed.response_metadata == expected.response_metadata


# --- hostile events -------------------------------------------------------------------------------

ANY = st.recursive(
    st.sampled_from([None, True, False, 0, -1, 2**70, 1.5, "", "x", "msg_1", "fc_c1"]),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(
        st.sampled_from(["type", "id", "text", "call_id", "name", "arguments", "content", "summary", "output", "error"]),
        inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip
KINDS = sorted(
    {
        *ResponsesStreamState._handlers,
        "response.output_text.delta",
        "response.completed",
        "response.failed",
        "error",
        "x",
    }
)
FIELDS = ["output_index", "item_id", "content_index", "summary_index", "delta", "text", "part", "item", "refusal",
          "arguments", "input", "name", "response", "annotation", "logprobs", "message", "code", "debug"]  # fmt: skip
EVENTS = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.one_of(st.sampled_from(KINDS), ANY),
    st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=5),
)


@pytest.mark.filterwarnings("ignore:content of")
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=st.lists(EVENTS, max_size=8))
def test_events_of_any_shape(events):
    """End in a message or in a typed error."""
    try:
        message, _ = read(
            [*events_of(WRITTEN["calls"])[:-1], *events, events_of(WRITTEN["calls"])[-1]]
        )
    except errors.OpenRouterError as error:
        assert str(error)  # noqa: PT017 - one of the two right endings
        return
    assert isinstance(message.content_blocks, list)
    json.dumps(MODEL._get_request_payload([message]))


def test_what_comes_after_the_last_event_is_not_part_of_the_answer():
    """Not even another answer, or an error."""
    response = WRITTEN["text"]
    late = [
        *events_of(body(text_item("Late."))),
        {"type": "error", "message": "late", "code": "server_error"},
    ]
    same(read([*events_of(response), *late])[0], response)


def test_repeated_items_are_shown_once():
    """Each complete item may be told again."""
    events = events_of(WRITTEN["calls"])
    doubled = [
        copy
        for e in events
        for copy in ([e, e] if e["type"].endswith((".done", ".added")) else [e])
    ]
    same(read(doubled)[0], WRITTEN["calls"])


def test_a_huge_call_costs_what_its_size_costs():
    """Ten thousand fragments of arguments, and a thousand calls."""
    arguments = json.dumps({"text": "x" * 200_000})
    response = body(
        call_item("c1", arguments), *[call_item(f"n{i}", "{}", id=f"fn{i}") for i in range(1000)]
    )
    streamed, chunks = read(events_of(response, 20))

    assert len(chunks) > 10_000
    assert streamed.tool_calls == whole(response).tool_calls


@pytest.mark.parametrize("done", [True, False])
def test_done_without_the_last_event(done):
    """`[DONE]` alone does not say that the response is complete: no call of it is run."""
    events = events_of(body(text_item("Hi."), call_item()))[:-1]
    with pytest.raises(errors.ConnectionFailedError) as caught:
        read(events, done=done)

    partial = caught.value.partial
    assert partial.text == "Hi."
    assert not partial.tool_calls
    assert [c["id"] for c in partial.invalid_tool_calls] == ["c1"]
    assert partial.additional_kwargs["output_items"] == [text_item("Hi."), call_item()]
    with pytest.raises(errors.ConnectionFailedError):
        read(events_of(body(text_item("Hi.")))[:-1], done=done)
    if done:
        with pytest.raises(errors.UpstreamError, match="without an answer"):
            read([])


# --- which item an event is of --------------------------------------------------------------------


def without(event, *names):
    """Return an event without some fields, also of its item."""
    kept = {name: value for name, value in event.items() if name not in names}
    if "item" in kept and "item_id" in names:
        kept["item"] = {name: value for name, value in kept["item"].items() if name != "id"}
    return kept


CALLS = body(call_item("c1", '{"x": 1}'), call_item("c2", '{"y": 2}', name="other"))


@pytest.mark.parametrize("size", [1, 1000])
def test_calls_may_have_the_same_index(size):
    """Their ids differ."""
    events = [
        {**event, "output_index": 0} if "output_index" in event else event
        for event in events_of(CALLS, size)
    ]
    streamed, chunks = read(events)

    same(streamed, CALLS)
    shown = [call for chunk in chunks for call in chunk.tool_call_chunks]
    for index, arguments in enumerate(['{"x": 1}', '{"y": 2}']):
        assert "".join(call["args"] for call in shown if call["index"] == index) == arguments
    events[-1] = {**events[-1], "response": {**CALLS, "output": []}}
    same(read(events)[0], CALLS)


def test_calls_may_come_in_turns_without_an_index():
    """By their items' ids."""
    events = [without(event, "output_index") for event in events_of(CALLS, 2)]
    first, second = (
        [e for e in events if (e.get("item") or {"id": e.get("item_id")})["id"] == item]
        for item in ("fc_c1", "fc_c2")
    )
    turns = [event for pair in zip(first, second, strict=True) for event in pair]
    for output in (CALLS["output"], []):
        last = {**events[-1], "response": {**CALLS, "output": output}}
        same(read([events[0], *turns, last])[0], CALLS)


def test_calls_may_come_one_after_the_other_without_index_or_item_ids():
    """By their own ids."""
    items = [{k: v for k, v in item.items() if k != "id"} for item in CALLS["output"]]
    events = [without(event, "output_index", "item_id") for event in events_of(CALLS, 2)]
    for output in (items, []):
        events[-1] = {**events[-1], "response": body(*output)}
        same(read(events)[0], body(*items))


@pytest.mark.parametrize("output", [True, False])
@pytest.mark.parametrize("name", ["calls", "two messages", "interleaved"])
def test_the_ids_of_items_may_change_on_the_way(name, output):
    """Some services make up another for each event; the index is the same."""
    response = WRITTEN[name]
    events = [
        {**event, "item_id": f"{event['item_id']}_{number}"} if "item_id" in event else event
        for number, event in enumerate(events_of(response, 3))
    ]
    events[-1] = {**events[-1], "response": {**response, "output": response["output"] * output}}
    streamed, _ = read(events)

    assert (streamed.content, streamed.tool_calls) == (whole(response).content, whole(response).tool_calls)  # fmt: skip
    assert streamed.additional_kwargs["output_items"] == response["output"]


def test_the_calls_are_those_of_the_complete_response():
    """Whatever was put together before it."""
    piece = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "}{"}
    events = events_of(CALLS)
    events = [*events[:2], piece, *events[2:]]
    same(read(events)[0], CALLS)


@pytest.mark.parametrize("names", [["output_index"], ["output_index", "item_id"]])
def test_two_texts_without_an_index(names):
    """Neither is taken for the rest of the other."""
    response = body(text_item("Hello"), text_item("Hi there", id="msg_2"))
    events = [without(event, *names) for event in events_of(response, skip=[".delta", "part", "text", ".added"])]  # fmt: skip
    streamed, chunks = read(events)

    same(streamed, response)
    assert [chunk.content for chunk in chunks if chunk.content] == ["Hello", "Hi there"]


def test_a_text_that_differs_from_the_complete_one_is_an_error():
    """It was shown, and cannot be taken back."""
    events = events_of(body(text_item("Hello")))
    events[-1] = {"type": "response.completed", "response": body(text_item("Bye"))}
    with pytest.raises(errors.UpstreamError, match="differs") as caught:
        read(events)
    assert caught.value.partial.text == "Hello"


def test_a_call_that_only_its_pieces_have_told():
    """The last event has no output, and no item was called complete."""
    events = events_of(CALLS, skip=["item.done", "arguments.done"])
    events[-1] = {**events[-1], "response": {**CALLS, "output": []}}
    message, _ = read(events)

    assert [c["args"] for c in message.tool_calls] == [{"x": 1}, {"y": 2}]
    assert message.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("kind", ["response.error", "response.output_text.delta", "response.x"])
def test_an_error_in_any_event_is_raised(kind):
    """With what came before it."""
    begun = events_of(body(text_item("Hello")))[:4]
    with pytest.raises(errors.RateLimitError) as caught:
        read([*begun, {"type": kind, "error": {"code": "rate_limit_exceeded", "message": "slow"}}])
    assert caught.value.partial.text


# --- errors ---------------------------------------------------------------------------------------

ERRORS = [
    ({"code": "server_error", "message": "no"}, "authentication", errors.AuthenticationError, False),
    ({"code": "server_error", "message": "no"}, "provider_overloaded", errors.UpstreamError, True),
    ({"code": "server_error", "message": "no"}, None, errors.UpstreamError, True),
    ({"code": "rate_limit_exceeded", "message": "no"}, None, errors.RateLimitError, True),
    ({"code": "invalid_prompt", "message": "no"}, "context_length_exceeded", errors.ContextOverflowError, False),
    ({"code": "invalid_prompt", "message": "no"}, None, errors.InvalidRequestError, False),
    ({"code": "image_content_policy_violation", "message": "no"}, None, errors.ModerationError, False),
    ({"code": "bio_policy", "message": "no"}, "refusal", errors.RefusalError, False),
    ({"code": "cyber_policy", "message": "no"}, None, errors.RefusalError, False),
    (None, None, errors.UpstreamError, True),
]  # fmt: skip


@pytest.mark.parametrize(("error", "kind", "expected", "retryable"), ERRORS)
@pytest.mark.parametrize("form", ["failed", "event", "completed", "whole"])
def test_errors_in_each_form(form, error, kind, expected, retryable):
    """Are of the class that their type says, or else their code; what came travels along."""
    response = body(
        text_item("Hel"), status="failed", error=error, **({"error_type": kind} if kind else {})
    )
    begun = [
        e for e in events_of(body(text_item("Hello"))) if e["type"].endswith(("created", "delta"))
    ][:2]
    last = {
        "failed": {"type": "response.failed", "response": response},
        "completed": {"type": "response.completed", "response": response},
        "event": {
            "type": "error",
            "param": None,
            **(error or {"message": "no"}),
            "error_type": kind,
        },
    }
    with pytest.raises(errors.OpenRouterError) as caught:
        whole(response) if form == "whole" else read([*begun, last[form]])

    assert type(caught.value) is expected
    assert caught.value.is_retryable is retryable
    assert caught.value.error_type == kind
    assert caught.value.partial.text == "Hel"
    if form != "event":
        assert caught.value.generation_id == "gen-1"


@pytest.mark.parametrize("status", ["cancelled", "in_progress", "queued"])
def test_an_answer_that_is_none_yet_is_an_error(status):
    """Nothing is taken for an answer that the service does not call complete."""
    with pytest.raises(errors.UpstreamError):
        whole(body(text_item("Hel"), status=status))
