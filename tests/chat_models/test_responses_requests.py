"""What `POST /responses` is sent: fields, tools, messages, and answers of either endpoint."""

from __future__ import annotations

import json
import warnings

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, ValidationError

from langchain_openrouter import ChatOpenRouter, wire
from tests.support.contract import fits, schemas
from tests.support.loopback import Reply, whole
from tests.support.responses import to_body

USER = {"type": "message", "role": "user", "content": "x"}


def model(**fields):
    """Return a model that speaks the endpoint."""
    return ChatOpenRouter(
        **{"model": "openai/gpt-6-sol", "api_key": "k", "use_responses_api": True, **fields}
    )


def sent(messages="x", *, off_spec=False, fields=None, **call):
    """Return the body that a call sends, which fits the specification."""
    body = model(**(fields or {}))._get_request_payload(messages, **call)
    assert off_spec or not fits("ResponsesRequest", body)
    return body


@tool
def get_weather(city: str) -> str:
    """Tell the weather."""
    return city


def answer(*items, **body):
    """Return the message of a complete answer."""
    body = {"id": "gen-1", "object": "response", "created_at": 1, "model": "openai/gpt-6-sol",
            "status": "completed", "output": list(items), **body}  # fmt: skip
    return model()._create_chat_result(body).generations[0].message


def text_item(text, **fields):
    """Return a message item."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [part],
        **fields,
    }


def call_item(name="get_weather", arguments='{"city": "Paris"}', call_id="call_1", **fields):
    """Return a call item."""
    return {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name,
            "arguments": arguments, "status": "completed", **fields}  # fmt: skip


REASONING = {"type": "reasoning", "id": "rs_1", "status": "completed", "format": "openai-responses-v1",
             "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA"}  # fmt: skip
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed",
          "action": {"type": "search", "query": "q"}}  # fmt: skip


# --- how it is asked for ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["constructor", "call", "bind", "stream", "copy"])
def test_it_is_an_option_everywhere(how, emulate):
    """Of the model, of a call, and of what is bound; without it nothing changes."""
    emulator = emulate()
    fields = {"model": "a/b", "api_key": "k", "base_url": emulator.url}
    plain = ChatOpenRouter(**fields)
    option = {"use_responses_api": True}
    match how:
        case "constructor":
            message = ChatOpenRouter(**fields, **option).invoke("hi")
        case "call":
            message = plain.invoke("hi", **option)
        case "bind":
            message = plain.bind(**option).invoke("hi")
        case "copy":
            message = plain.model_copy(update=option).for_user("k2").invoke("hi")
        case "stream":
            chunks = list(plain.stream("hi", **option))
            message = chunks[0] + chunks[1:]
    plain.invoke("hi")
    ChatOpenRouter(**fields, **option).invoke("hi", use_responses_api=False)

    assert message.response_metadata["status"] == "completed"
    paths = [request.path for request in emulator.chat_requests]
    assert paths == ["/responses", "/chat/completions", "/chat/completions"]


def test_tools_may_be_bound_to_what_is_bound():
    """The option, and every other argument, stays."""
    plain = ChatOpenRouter(model="a/b", api_key="k")
    bound = plain.bind(use_responses_api=True, temperature=0.5, tools=[get_weather], stop=["x"])
    again = bound.bind_tools([{"type": "file_search", "vector_store_ids": ["v"]}], temperature=1)
    body = again.bound._get_request_payload("x", **again.kwargs)

    assert body["tools"] == [{"type": "file_search", "vector_store_ids": ["v"]}]
    assert (body["temperature"], body["stop"]) == (1, ["x"])
    assert "input" in body
    with_retry = plain.with_retry().bind(temperature=0.5)
    assert with_retry.kwargs == {"temperature": 0.5}


@pytest.mark.parametrize("name", ["previous_response_id", "background", "conversation", "store"])
def test_what_needs_stored_responses_is_refused_with_the_reason(name):
    """Before the call, by its name, wherever it is passed."""
    value = "resp_1" if "id" in name else True
    for call in ({name: value}, {"extra_body": {name: value}}):
        with pytest.raises(ValueError, match=f"`{name}` is not accepted: OpenRouter stores no"):
            sent(**call)
    assert sent(store=False, **({name: None} if name != "store" else {}))["store"] is False


# --- fields ---------------------------------------------------------------------------------------

SAME = {
    "models": ["a/b"], "temperature": 0.0, "top_p": 0.5, "top_k": 3, "frequency_penalty": 0.5,
    "presence_penalty": 0.5, "parallel_tool_calls": False, "max_tool_calls": 3,
    "stop_server_tools_when": [{"type": "step_count_is", "step_count": 2}],
    "deferred_tools": {"protocol": "v1"}, "provider": {"zdr": True}, "route": "fallback",
    "plugins": [{"id": "web"}], "modalities": ["text", "image"], "image_config": {"a": "1:1"},
    "service_tier": "flex", "cache_control": {"type": "ephemeral"}, "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"}, "session_id": "s", "user": "u",
    "metadata": {"a": "b"}, "trace": {"trace_id": "t"}, "debug": {"echo_upstream_body": True},
    "stop": ["x"], "top_logprobs": 3, "reasoning": {"effort": "high", "summary": "auto"},
    "tool_choice": "auto",
}  # fmt: skip
MOVED = [
    ({"max_tokens": 5}, {"max_output_tokens": 5}),
    ({"max_completion_tokens": 5}, {"max_output_tokens": 5}),
    ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
    ({"reasoning_effort": "low", "reasoning": {"summary": "auto"}},
     {"reasoning": {"summary": "auto", "effort": "low"}}),
    ({"include_reasoning": True}, {}),
    ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
    ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}},
     {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}}}),
    ({"logprobs": True}, {"top_logprobs": 1}),
    ({"logprobs": True, "top_logprobs": 4}, {"top_logprobs": 4}),
    ({"n": 1, "logprobs": False, "usage": {"include": True}, "structured_outputs": True,
      "stream_options": {"include_usage": True}}, {"top_logprobs": None}),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}},
      "tools": [{"type": "function", "function": {"name": "f"}}]},
     {"tool_choice": {"type": "function", "name": "f"},
      "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]}),
]  # fmt: skip
REFUSED = {
    "seed": 1, "logit_bias": {"1": 1}, "min_p": 0.1, "top_a": 0.1, "repetition_penalty": 1.1,
    "prediction": {"type": "content"}, "audio": {"voice": "a"}, "speed": "fast", "preset": "p",
    "web_search_options": {}, "x_search_filter": {}, "n": 2,
}  # fmt: skip
ONLY = {
    "include": ["reasoning.encrypted_content"], "truncation": "auto", "instructions": "Be brief.",
    "safety_identifier": "s", "text": {"verbosity": "low"}, "max_output_tokens": 7,
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_fields_of_both_endpoints_are_sent_as_they_are(name):
    """As arguments of the model and of a call."""
    word = "request_metadata" if name == "metadata" else name
    call = {word: SAME[name]}

    assert sent(**call)[name] == SAME[name]
    assert sent(fields=call)[name] == SAME[name]
    assert name not in sent()


@pytest.mark.parametrize(("call", "expected"), MOVED)
def test_fields_by_other_names_are_moved(call, expected):
    """Nothing of what was asked for is lost, and nothing of the other endpoint is sent."""
    body = sent(**call)

    assert {name: body.get(name) for name in expected} == expected
    assert set(body) <= set(wire.RESPONSES_FIELDS)


@pytest.mark.parametrize("name", REFUSED)
def test_fields_without_an_equivalent_are_refused(name):
    """With what to do instead."""
    with pytest.raises(ValueError, match=f"`{name}` is no field of the Responses endpoint.*Chat"):
        sent(**{name: REFUSED[name]})


@pytest.mark.parametrize("name", ONLY)
def test_fields_of_this_endpoint_alone(name):
    """Are arguments of a call here, and refused at the other endpoint."""
    assert sent(**{name: ONLY[name]})[name] == ONLY[name]
    if name not in {"include", "truncation"}:  # OpenAI's model has arguments of these names
        assert sent(fields={"model_kwargs": {name: ONLY[name]}})[name] == ONLY[name]
    with pytest.raises(ValueError, match="belongs to the Responses endpoint"):
        sent(**{name: ONLY[name]}, use_responses_api=False)


def test_every_field_is_accounted_for():
    """Each field of either endpoint is in one of the lists above."""
    moved = {name for call, _ in MOVED for name in call}
    chat = set(wire.REQUEST_FIELDS) - {"messages", "model", "prompt", "stream"}
    assert chat <= {*SAME, *moved, *REFUSED, "reasoning", "tools", "n"}
    assert set(wire.RESPONSES_FIELDS) - {
        "model",
        "input",
        "stream",
        "store",
        "tools",
        "prompt",
    } <= {*SAME, *ONLY}


def test_wire_names_every_field_of_the_specification():
    """But the two that need stored responses."""
    if not schemas():
        pytest.skip("the specification is not at hand")
    stored = {"background", "previous_response_id"}
    assert set(schemas()["ResponsesRequest"]["properties"]) - stored <= set(wire.RESPONSES_FIELDS)
    for ours, theirs in {
        wire.ResponsesUsage: "Usage",
        wire.ReasoningItem: "OutputReasoningItem",
    }.items():
        known = {name for part in [schemas()[theirs], *schemas()[theirs].get("allOf", [])]
                 for name in part.get("properties", {})}  # fmt: skip
        details = {
            "input_tokens_details",
            "output_tokens_details",
            "cost_details",
            "server_tool_use_details",
        }
        assert known - details <= set(ours.__annotations__)


def test_reasoning_cannot_be_excluded():
    """The endpoint has no field for that; the caller is told."""
    with pytest.warns(UserWarning, match=r"does not take it: reasoning\.exclude"):
        body = sent(reasoning={"effort": "low", "exclude": True})
    assert body["reasoning"] == {"effort": "low"}


def test_the_order_of_fields_is_always_the_same():
    """Response caching compares bodies."""
    one = sent(temperature=1, top_p=0.5, user="u")
    two = sent(user="u", top_p=0.5, temperature=1)

    assert json.dumps(one) == json.dumps(two)


def test_unknown_fields_are_refused_by_name():
    """As at the other endpoint."""
    with pytest.raises(ValueError, match=r"temprature.*temperature"):
        sent(temprature=1)
    with pytest.raises(ValidationError, match="use_response_api"):
        model(use_response_api=True)


# --- tools ----------------------------------------------------------------------------------------


class Report(BaseModel):
    """A report."""

    text: str


def test_tools_of_every_kind():
    """Functions are flat; tools of the service are sent as they are, also those of OpenAI's."""
    native = [
        {"type": "openrouter:web_search", "parameters": {"max_results": 1}},
        {"type": "file_search", "vector_store_ids": ["v"]},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "custom", "name": "sql", "format": {"type": "text"}},
    ]
    flat = {"type": "function", "name": "f", "parameters": {}, "async": True}
    bound = model().bind_tools([get_weather, Report, flat, *native], strict=True)
    body = bound.bound._get_request_payload("x", **bound.kwargs)

    assert [t.get("name", t["type"]) for t in body["tools"]][:3] == ["get_weather", "Report", "f"]
    assert body["tools"][0]["parameters"]["properties"]["city"]["type"] == "string"
    assert [t.get("strict") for t in body["tools"][:3]] == [True, True, True]
    assert body["tools"][2]["async"] is True
    assert body["tools"][3:] == native
    with pytest.raises(ValueError, match="'file_search' is not OpenRouter's"):
        ChatOpenRouter(model="a/b", api_key="k").bind_tools(native)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("get_weather", {"type": "function", "name": "get_weather"}), ("any", "required"),
     (True, "required"), ("auto", "auto"), ("none", "none"),
     ({"type": "function", "name": "get_weather"}, {"type": "function", "name": "get_weather"}),
     ({"type": "tool", "name": "get_weather"}, {"type": "function", "name": "get_weather"})],
)  # fmt: skip
def test_tool_choice_in_every_form(choice, expected):
    """As `bind_tools` takes it."""
    bound = model().bind_tools([get_weather], tool_choice=choice)
    assert bound.bound._get_request_payload("x", **bound.kwargs)["tool_choice"] == expected


def test_custom_tools_and_allowed_tools_of_chat_completions_become_flat():
    """Both nest their fields there; a form that is flat already stays."""
    grammar = {"syntax": "lark", "definition": "start: A"}
    flat = {"type": "custom", "name": "sql", "format": {"type": "grammar", **grammar}}
    nested = {"type": "custom", "custom": {"name": "sql", "format": {"type": "grammar", "grammar": grammar}}}  # fmt: skip
    functions = [{"type": "function", "name": "f"}, {"type": "custom", "name": "sql"}]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": functions}
    choices = [
        {"type": "function", "function": {"name": "f"}},
        {"type": "custom", "custom": {"name": "sql"}},
    ]

    assert sent(tools=[nested])["tools"] == sent(tools=[flat])["tools"] == [flat]
    one = sent(tools=[nested], tool_choice=choices[1], off_spec=True)
    assert one["tool_choice"] == functions[1]
    for choice in (
        allowed,
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": choices}},
    ):
        assert sent(tools=[flat], tool_choice=choice)["tool_choice"] == allowed


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "background", "store"])
def test_the_constructor_says_why_nothing_is_stored(name):
    """As a call does."""
    with pytest.raises(ValueError, match=f"`{name}` is not an argument.*stores no responses"):
        model(**{name: "x"})


def test_messages_are_no_keyword_of_a_call():
    """The error says where they go."""
    with pytest.raises(ValueError, match="`prompt` is not accepted: the messages are the first"):
        model().invoke("x", prompt="x")


def test_async_is_taken_from_the_extras_of_a_tool():
    """LangChain's tools carry it there."""

    @tool(extras={"async": True})
    def slow(city: str) -> str:
        """Take your time."""
        return city

    bound = model().bind_tools([slow])
    assert bound.bound._get_request_payload("x", **bound.kwargs)["tools"][0]["async"] is True


# --- messages -------------------------------------------------------------------------------------


def test_messages_of_every_role_and_media_of_every_kind():
    """System, developer, user; text, image, audio, video, file."""
    system = SystemMessage("S")
    developer = SystemMessage("D", additional_kwargs={"__openai_role__": "developer"})
    user = HumanMessage([
        {"type": "text", "text": "x"},
        {"type": "image", "url": "https://a.b/c.png"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {"type": "audio", "base64": "AA", "mime_type": "audio/mpeg"},
        {"type": "video", "url": "https://a.b/c.mp4"},
        {"type": "file", "base64": "AA", "mime_type": "application/pdf", "filename": "a.pdf"},
        {"type": "file", "url": "https://a.b/c.pdf"},
    ])  # fmt: skip
    items = sent([system, developer, user])["input"]

    assert [(i["role"], i["content"]) for i in items[:2]] == [("system", "S"), ("developer", "D")]
    assert items[2]["content"] == [
        {"type": "input_text", "text": "x"},
        {"type": "input_image", "detail": "auto", "image_url": "https://a.b/c.png"},
        {"type": "input_image", "detail": "low", "image_url": "data:image/png;base64,AA"},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
        {"type": "input_video", "video_url": "https://a.b/c.mp4"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
        {"type": "input_file", "filename": "c.pdf", "file_url": "https://a.b/c.pdf"},
    ]


def test_results_of_tools():
    """Text, parts, and images; what the endpoint does not take is told."""
    calls = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": n} for n in "abc"])
    image = {"type": "image", "url": "https://a.b/c.png"}
    messages = [calls, ToolMessage("1", tool_call_id="a"), ToolMessage(["2", image], tool_call_id="b"),
                ToolMessage([{"type": "audio", "base64": "AA"}], tool_call_id="c")]  # fmt: skip
    with pytest.warns(UserWarning, match="does not take it: input_audio"):
        items = sent(messages)["input"][3:]

    assert [item["call_id"] for item in items] == ["a", "b", "c"]
    assert [item["output"] for item in items] == [
        "1",
        [{"type": "input_text", "text": "2"},
         {"type": "input_image", "detail": "auto", "image_url": "https://a.b/c.png"}],
        [],
    ]  # fmt: skip


def test_configuration_updates_are_items():
    """A change of effort in mid-conversation stands before the user's turn."""
    update = SystemMessage(
        "", additional_kwargs={"configuration_update": {"reasoning": {"effort": "high"}}}
    )
    items = sent([HumanMessage("x"), update, HumanMessage("y")], off_spec=True)["input"]

    assert items[1] == {"type": "configuration_update", "reasoning": {"effort": "high"}}
    assert [item["type"] for item in items] == ["message", "configuration_update", "message"]


def test_cache_marks_become_breakpoints():
    """On texts; what has no place here is told."""
    mark = {"type": "ephemeral"}
    user = HumanMessage([{"type": "text", "text": "x", "cache_control": mark}])
    assert sent([user])["input"][0]["content"] == [
        {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    ]
    longer = HumanMessage([{"type": "text", "text": "x", "cache_control": {**mark, "ttl": "1h"}}])
    with pytest.warns(UserWarning, match=r"cache_control\.ttl"):
        sent([longer])


def test_prompt_caching_is_the_same_option():
    """Its marks are set before the request takes its last form."""
    assert sent(fields={"model": "anthropic/claude-sonnet-4.6", "prompt_caching": True})[
        "cache_control"
    ]
    alibaba = sent(fields={"model": "qwen/qwen3-max", "prompt_caching": True})
    assert alibaba["input"][0]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit"}


def test_names_of_messages_are_told():
    """The endpoint has no field for them."""
    with pytest.warns(UserWarning, match="does not take it: name"):
        sent([HumanMessage("x", name="Ada")])


def test_items_of_the_users_own_are_passed_on():
    """An answer to an approval request, or the output of a shell, is an item."""
    approval = {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True}
    message = HumanMessage(
        [{"type": "non_standard", "value": approval}, {"type": "text", "text": "x"}]
    )
    items = sent([message])["input"]

    assert items[0] == approval
    assert items[1]["content"] == [{"type": "input_text", "text": "x"}]


# --- answers go back ------------------------------------------------------------------------------


def test_every_item_goes_back_as_it_came_and_in_order():
    """Commentary, reasoning, asynchronous and parallel calls, server tools; phases are kept."""
    items = [
        REASONING, text_item("Let me see.", phase="commentary"), SEARCH,
        call_item(call_id="a", **{"async": True}), call_item(call_id="b", namespace="mcp"),
        {**REASONING, "id": "rs_2", "encrypted_content": "gBBB"},
        text_item("Fine.", id="msg_2", phase="final_answer"),
        {"type": "openrouter:datetime", "datetime": "2026", "timezone": "UTC", "status": "completed"},
        {"type": "something:new", "data": [1]},
    ]  # fmt: skip
    message = answer(*items)
    body = sent([HumanMessage("x"), message, ToolMessage("1", tool_call_id="b")], off_spec=True)

    assert body["input"] == [
        USER,
        *items,
        {"type": "function_call_output", "call_id": "b", "output": "1"},
    ]
    assert message.text == "Let me see.Fine."
    assert [c["id"] for c in message.tool_calls] == ["a", "b"]
    loaded = AIMessage.model_validate(json.loads(message.model_dump_json()))
    assert sent([HumanMessage("x"), loaded], off_spec=True)["input"][1:] == items


def test_an_edited_answer_says_what_it_says_now():
    """Text and arguments that were changed are sent so; the rest of the items stays."""
    message = answer(
        REASONING,
        text_item("Old.", phase="final_answer"),
        call_item(call_id="a"),
        call_item(call_id="b"),
    )
    call = {**message.tool_calls[0], "args": {"city": "Rome"}}
    edited = message.model_copy(update={"content": "New.", "tool_calls": [call]})
    items = sent([edited])["input"]

    assert items[0] == REASONING
    assert items[1]["content"][0]["text"] == "New."
    assert items[1]["phase"] == "final_answer"
    assert [(i["call_id"], i["arguments"]) for i in items[2:]] == [("a", '{"city":"Rome"}')]
    emptied = message.model_copy(update={"content": ""})
    assert [i["type"] for i in sent([emptied])["input"]] == [
        "reasoning",
        "function_call",
        "function_call",
    ]


def test_custom_tools():
    """Their input is text: an argument of the call; their results have a type of their own."""
    item = {
        "type": "custom_tool_call",
        "id": "ctc_1",
        "call_id": "c",
        "name": "sql",
        "input": 'SELECT "a"\n',
    }
    message = answer(item)
    assert message.tool_calls[0]["args"] == {"__arg1": 'SELECT "a"\n'}
    items = sent([message, ToolMessage("1", tool_call_id="c")], off_spec=True)["input"]

    assert items == [item, {"type": "custom_tool_call_output", "call_id": "c", "output": "1"}]
    changed = message.model_copy(
        update={"tool_calls": [{**message.tool_calls[0], "args": {"__arg1": "SELECT 1"}}]}
    )
    assert sent([changed], off_spec=True)["input"] == [{**item, "input": "SELECT 1"}]


def test_calls_without_ids_or_with_the_same():
    """Get ids of their own, so that results find them."""
    message = answer(
        call_item(call_id="a"),
        call_item(call_id="a"),
        {"type": "function_call", "name": "f", "arguments": "{}"},
    )
    ids = [call["id"] for call in message.tool_calls]
    assert len(set(ids)) == 3
    items = sent([message, *[ToolMessage(i, tool_call_id=i) for i in ids]], off_spec=True)["input"]

    assert [item["call_id"] for item in items] == [*ids, *ids]
    assert [item.get("id") for item in items[:2]] == ["fc_a", "fc_a"]


def test_citations_images_and_refusals():
    """Are where a chat completion's are."""
    note = {
        "type": "url_citation",
        "url": "https://a.b",
        "title": "A",
        "start_index": 0,
        "end_index": 2,
    }
    parts = [{"type": "output_text", "text": "One. ", "annotations": []},
             {"type": "output_text", "text": "Two.", "annotations": [note]},
             {"type": "refusal", "refusal": "No."}]  # fmt: skip
    picture = {
        "type": "image_generation_call",
        "id": "ig_1",
        "status": "completed",
        "result": "AAAA",
    }
    other = {
        "type": "openrouter:image_generation",
        "status": "completed",
        "image_url": "https://a.b/c.png",
    }
    items = [SEARCH, {**text_item(""), "content": parts}, picture, other]
    message = answer(*items)

    cited = message.additional_kwargs["annotations"][0]["url_citation"]
    assert message.text[cited["start_index"] : cited["end_index"]] == "Tw"
    urls = [image["image_url"]["url"] for image in message.additional_kwargs["images"]]
    assert urls == ["data:image/png;base64,AAAA", "https://a.b/c.png"]
    assert message.additional_kwargs["refusal"] == "No."
    assert message.response_metadata["finish_reason"] == "content_filter"
    kinds = [block["type"] for block in message.content_blocks]
    assert kinds == ["text", "server_tool_call", "image", "image", "refusal"]
    assert message.content_blocks[0]["annotations"][0]["type"] == "citation"
    assert sent([message], off_spec=True)["input"] == items


@pytest.mark.parametrize(
    ("fields", "finish", "native"),
    [({}, "stop", "completed"),
     ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length", "max_output_tokens"),
     ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter", "content_filter"),
     ({"status": "incomplete"}, "length", "incomplete"),
     ({"status": None}, "stop", None)],
)  # fmt: skip
def test_both_finish_reasons(fields, finish, native):
    """The one of chat completions, and the endpoint's own."""
    meta = answer(text_item("x"), **fields).response_metadata

    assert (meta["finish_reason"], meta.get("native_finish_reason")) == (finish, native)


def test_a_call_that_was_cut_is_invalid():
    """And is sent back as it is."""
    cut = call_item(arguments='{"city": "Par', status="incomplete")
    message = answer(cut, status="incomplete", incomplete_details={"reason": "max_output_tokens"})

    assert not message.tool_calls
    assert message.invalid_tool_calls[0]["args"] == '{"city": "Par'
    assert sent([message])["input"] == [cut]


# --- a conversation changes endpoint ---------------------------------------------------------------

CHAT = whole("Hi.", message={
    "reasoning": "Hm. I think.",
    "reasoning_details": [
        {"type": "reasoning.summary", "summary": "Hm. ", "format": "openai-responses-v1", "id": "rs_1", "index": 0},
        {"type": "reasoning.encrypted", "data": "gAAA", "format": "openai-responses-v1", "id": "rs_1", "index": 1},
        {"type": "reasoning.text", "text": "I think.", "signature": "s", "format": "anthropic-claude-v1", "index": 2},
        {"type": "reasoning.encrypted", "data": "redacted", "format": "anthropic-claude-v1", "index": 3}],
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
    "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
    "annotations": [{"type": "url_citation", "url_citation": {
        "url": "https://a.b", "title": "A", "start_index": 0, "end_index": 2}}],
})  # fmt: skip


def test_an_answer_of_chat_completions_becomes_items():
    """Reasoning as it was encrypted and signed, text with citations, images, calls."""
    message = (
        ChatOpenRouter(model="a/b", api_key="k")._create_chat_result(CHAT).generations[0].message
    )
    items = sent([message, ToolMessage("1", tool_call_id="c1")])["input"]

    assert items[0] == {"type": "reasoning", "id": "rs_1", "format": "openai-responses-v1",
                        "summary": [{"type": "summary_text", "text": "Hm. "}], "encrypted_content": "gAAA"}  # fmt: skip
    assert items[1] == {"type": "reasoning", "id": "rs_tmp_1", "format": "anthropic-claude-v1", "summary": [],
                        "content": [{"type": "reasoning_text", "text": "I think."}], "signature": "s"}  # fmt: skip
    assert items[2]["encrypted_content"] == "redacted"
    assert (items[3]["type"], items[3]["result"]) == ("image_generation_call", "AAAA")
    assert items[4]["content"] == [
        {"type": "output_text", "text": "Hi.", "annotations": [
            {"type": "url_citation", "url": "https://a.b", "title": "A", "start_index": 0, "end_index": 2}]}
    ]  # fmt: skip
    assert items[5] == {
        "type": "function_call",
        "call_id": "c1",
        "name": "f",
        "arguments": '{"a": 1}',
    }
    assert items[6]["type"] == "function_call_output"


@pytest.mark.parametrize(
    ("extras", "told"),
    [({"audio": {"id": "a"}}, "audio"), ({"annotations": [{"type": "file", "file": {"name": "a"}}]}, "file"),
     ({"images": [{"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}]}, "images"),
     ({"reasoning_details": [{"type": "reasoning.new", "x": 1}]}, "reasoning_details")],
)  # fmt: skip
def test_what_has_no_item_is_told(extras, told):
    """Once for all messages."""
    message = AIMessage("Hi.", additional_kwargs=extras)
    with pytest.warns(UserWarning, match=f"Responses endpoint does not take it: {told}") as caught:
        sent([message, HumanMessage("x"), message], off_spec=True)
    assert len(caught) == 1


def test_plain_reasoning_is_sent_as_a_text():
    """Of a model whose reasoning has no details."""
    items = sent([AIMessage("Hi.", additional_kwargs={"reasoning_content": "Hm."})])["input"]

    assert items[0]["content"] == [{"type": "reasoning_text", "text": "Hm."}]


def test_what_chat_completions_do_not_take_is_told():
    """Items of server tools and phases; text, reasoning, calls and images are sent."""
    message = answer(REASONING, SEARCH, text_item("Hi.", phase="final_answer"), call_item())
    with pytest.warns(UserWarning, match="does not take it: web_search_call, phase") as caught:
        body = sent(
            [message, ToolMessage("1", tool_call_id="call_1")],
            off_spec=True,
            use_responses_api=False,
        )

    assert len(caught) == 1
    first = body["messages"][0]
    assert (first["content"], first["tool_calls"][0]["id"]) == ("Hi.", "call_1")
    assert [d["type"] for d in first["reasoning_details"]] == [
        "reasoning.summary",
        "reasoning.encrypted",
    ]
    assert first["reasoning_details"][1] == {
        "type": "reasoning.encrypted", "data": "gAAA", "id": "rs_1", "format": "openai-responses-v1", "index": 1,
    }  # fmt: skip


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize(
    "model_name", ["openai/gpt-5.2", "anthropic/claude-sonnet-4.6", "google/gemini-2.5-pro"]
)
def test_a_conversation_may_change_endpoint_at_every_turn(emulate, model_name, version):
    """Reasoning and calls of each turn are in the next requests, whichever endpoint they go to."""
    emulator = emulate()
    chat = ChatOpenRouter(model=model_name, api_key="k", base_url=emulator.url, output_version=version,
                          reasoning={"effort": "low"})  # fmt: skip
    messages = [HumanMessage("What is the weather in Paris?")]
    for turn in range(6):
        option = {"use_responses_api": turn % 2 == 0}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            message = chat.bind_tools([get_weather]).invoke(messages, **option)
        messages.append(message)
        messages += [ToolMessage("fine", tool_call_id=c["id"]) for c in message.tool_calls]
        if not message.tool_calls:
            messages.append(HumanMessage(f"And now, {turn}?"))

    data = [m.additional_kwargs["reasoning_details"][-1] for m in messages if m.type == "ai"]
    last = emulator.requests[-1].raw.decode()
    for detail in data[:-1]:
        assert (detail.get("data") or detail.get("signature")) in last


def test_translations_of_the_tests_are_right():
    """What other tests reply with is what the endpoint would have."""
    body = to_body(whole("Hi.", message={"reasoning": "Hm."}))
    assert not [e for e in fits("OpenResponsesResult", body) if "output" in e]


def test_the_server_sees_one_request(serve, responses_on):
    """No call is made beside it."""
    server = serve(Reply(to_body(whole("Hi."))))
    assert responses_on(server).invoke("x").text == "Hi."
    assert len(server.seen) == 1
