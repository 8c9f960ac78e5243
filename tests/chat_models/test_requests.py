"""What the user asks for reaches OpenRouter, and nothing else does: traps 11 to 20 and 31, 32."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import StructuredTool, tool
from pydantic import BaseModel, Field, ValidationError

from langchain_openrouter import ChatOpenRouter, errors, wire
from tests.support.contract import schemas
from tests.support.loopback import Reply, stream, whole

PNG = "iVBORw0KGgo="


def model(**kwargs):
    """Return a model that is not asked."""
    return ChatOpenRouter(**{"model": "openai/gpt-4o-mini", "api_key": "k", **kwargs})


def payload(*messages, **kwargs):
    """Return the body for these messages."""
    return model()._get_request_payload(list(messages) or "hi", **kwargs)


# --- fields -----------------------------------------------------------------------------------

VALUES = {
    "models": ["a/b"], "preset": "p", "stream_options": {"include_usage": True},
    "usage": {"include": True}, "temperature": 0.0, "top_p": 0.5, "top_k": 0, "top_a": 0.1,
    "min_p": 0.1, "frequency_penalty": 0.5, "presence_penalty": 0.5, "repetition_penalty": 1.1,
    "max_tokens": 20, "max_completion_tokens": 20, "stop": ["x"], "seed": 0, "n": 2,
    "logit_bias": {"12": 5}, "logprobs": False, "top_logprobs": 3,
    "tools": [{"type": "openrouter:datetime"}], "tool_choice": "auto",
    "parallel_tool_calls": False, "max_tool_calls": 3,
    "stop_server_tools_when": [{"type": "step_count_is", "step_count": 2}],
    "deferred_tools": {"protocol": "v1"}, "response_format": {"type": "json_object"},
    "structured_outputs": True, "reasoning": {"effort": "high"}, "reasoning_effort": "xhigh",
    "include_reasoning": False, "verbosity": "low", "provider": {"zdr": True},
    "route": "fallback", "plugins": [{"id": "web"}], "web_search_options": {},
    "x_search_filter": {"from_date": "2026-01-01"}, "modalities": ["text", "image"],
    "image_config": {"aspect_ratio": "1:1"}, "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"}, "service_tier": "flex", "speed": "fast",
    "cache_control": {"type": "ephemeral"}, "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"}, "session_id": "s", "user": "u",
    "metadata": {"a": "b"}, "trace": {"trace_id": "t", "custom": 1},
    "debug": {"echo_upstream_body": True},
}  # fmt: skip
FIELDS = sorted(set(wire.REQUEST_FIELDS) - {"messages", "model", "prompt", "stream"})


def test_every_field_has_a_value_to_test_with():
    """The list of values above is complete."""
    assert sorted(VALUES) == FIELDS


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_an_argument_of_the_model_and_of_a_call(name, serve, model_on):
    """By its wire name, sent as given, also where it is false, zero or empty."""
    server = serve(Reply(whole()))
    word = "request_metadata" if name == "metadata" else name
    model_on(server, **{word: VALUES[name]}).invoke("hi")
    model_on(server).invoke("hi", **{word: VALUES[name]})
    model_on(server).invoke("hi")

    assert server.seen[0].body[name] == VALUES[name]
    assert server.seen[1].body[name] == VALUES[name]
    assert server.seen[2].body == {
        "model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}],
    }  # fmt: skip


def test_none_in_a_call_takes_a_field_away():
    """Absent means absent: null is never sent."""
    assert "temperature" not in model(temperature=0.5)._get_request_payload("x", temperature=None)


def test_the_order_of_fields_is_always_the_same():
    """The response cache's key depends on it."""
    one = model(seed=1)._get_request_payload("x", temperature=1.0, provider={"zdr": True})
    two = model(temperature=1, provider={"zdr": True})._get_request_payload("x", seed=1)

    assert json.dumps(one) == json.dumps(two)


def properties(schema):
    """Return the names of a schema's properties, its parts' included."""
    names = set(schema.get("properties", {}))
    if "$ref" in schema:
        names |= properties(schemas()[schema["$ref"].rpartition("/")[2]])
    for part in [*schema.get("allOf", []), *schema.get("anyOf", [])]:
        names |= properties(part)
    return names


def test_wire_names_every_field_of_the_specification():
    """`wire.py` knows each field of ChatRequest and what hangs below it."""
    specification = schemas()
    if not specification:
        pytest.skip("the specification is not at hand")
    for ours, theirs in {
        wire.ChatRequest: "ChatRequest",
        wire.ProviderPreferences: "ProviderPreferences",
        wire.Message: "ChatAssistantMessage",
        wire.Usage: "ChatUsage",
        wire.Choice: "ChatChoice",
        wire.ChatResult: "ChatResult",
        wire.CacheControl: "ChatContentCacheControl",
        wire.Reasoning: "ReasoningConfig",
        wire.Trace: "TraceConfig",
    }.items():
        assert properties(specification[theirs]) <= set(ours.__annotations__), theirs
    for name, schema in specification.items():
        if name.endswith("Plugin"):
            assert properties(schema) <= set(wire.Plugin.__annotations__), name
        if name.startswith("ReasoningDetail"):
            assert properties(schema) <= set(wire.ReasoningDetail.__annotations__), name


def test_wire_names_everything_a_chat_may_hold():
    """Every property that the specification reaches from a request or an answer."""
    specification = schemas()
    if not specification:
        pytest.skip("the specification is not at hand")
    named = {name for kind in vars(wire).values() for name in getattr(kind, "__annotations__", ())}
    reached, seen = set(), set()

    def walk(schema):
        if isinstance(schema, list):
            for part in schema:
                walk(part)
        if not isinstance(schema, dict):
            return
        reference = schema.get("$ref", "").rpartition("/")[2]
        if reference and reference not in seen:
            seen.add(reference)
            walk(specification[reference])
        reached.update(schema.get("properties", {}))
        walk(list(schema.get("properties", {}).values()))
        for key in ("allOf", "anyOf", "oneOf", "items", "additionalProperties"):
            walk(schema.get(key))

    for root in ("ChatRequest", "ChatResult", "ChatStreamChunk"):
        walk(specification[root])
    assert len(reached) > 150
    assert reached <= named


def test_official_words_work(serve, model_on):
    """A constructor call written for LangChain's own package sends what it means."""
    server = serve(Reply(whole()))
    model_on(
        server, openrouter_provider={"order": ["a"]}, route="fallback", plugins=[{"id": "web"}],
        session_id="s", trace={"trace_id": "t"}, n=1, max_completion_tokens=5,
        model_kwargs={"safe_prompt": True}, default_headers={"X-A": "b"}, app_url="https://a.org",
        app_title="A", app_categories=["cli-agent"], stream_usage=True, streaming=False,
        stop_sequences=["x"],
    ).invoke("hi")  # fmt: skip
    body, headers = server.seen[0].body, server.seen[0].headers

    assert body["provider"] == {"order": ["a"]}
    assert body["safe_prompt"] is True
    assert body["stop"] == ["x"]
    assert (body["n"], body["max_completion_tokens"]) == (1, 5)
    assert headers["x-a"] == "b"
    assert headers["http-referer"] == "https://a.org"
    assert headers["x-openrouter-title"] == "A"
    assert headers["x-openrouter-categories"] == "cli-agent"


# --- traps ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [{"reasoning": {"effort": "low"}}, {"model": "openai/gpt-5-codex"}, {"model": "gpt-5-pro"},
     {"model": "gpt-6"}, {"tools": [{"type": "openrouter:web_search"}]}],
)  # fmt: skip
def test_trap_11_never_another_endpoint(given, serve, model_on):
    """Nothing switches to /responses."""
    server = serve(lambda s: stream("x") if s.body.get("stream") else Reply(whole()))
    asked = model_on(server, **given)
    asked.invoke("x")
    list(asked.stream("x"))

    assert {seen.path for seen in server.seen} == {"/api/v1/chat/completions"}


@pytest.mark.parametrize("name", ["store", "use_previous_response_id"])
def test_trap_11_what_needs_stored_responses_is_refused(name):
    """OpenRouter stores none."""
    with pytest.raises(ValidationError, match="OpenRouter stores no responses"):
        model(**{name: True})


@pytest.mark.parametrize(
    "fields", [{"truncation": "auto"}, {"include": ["reasoning.encrypted_content"]}]
)
def test_trap_11_fields_of_the_other_endpoint_are_refused(fields):
    """They are not sent where they have no effect."""
    with pytest.raises(ValueError, match="belongs to the Responses endpoint"):
        model(**fields)
    with pytest.raises(ValueError, match="belongs to the Responses endpoint"):
        model()._get_request_payload("x", **fields)


def get_weather(city: str, unit: Literal["c", "f"] = "c") -> str:
    """Tell the weather."""
    return f"{city}: 20 {unit}"


class Weather(BaseModel):
    """Tell the weather."""

    city: str = Field(description="Where")


def test_trap_12_server_tools_mix_with_functions():
    """Server tools and shorthands go as they are, beside functions of every kind."""
    server_tools = [
        {"type": "openrouter:web_search", "parameters": {"max_results": 3}},
        {"type": "web_search_preview", "engine": "exa"},
        {"type": "openrouter:advisor", "parameters": {"name": "a"}},
        {"type": "openrouter:advisor", "parameters": {"name": "b"}},
        {"type": "brand-new", "parameters": {}},
    ]
    dicts = [
        {"type": "function", "function": {"name": "raw", "parameters": {"type": "object"}},
         "cache_control": {"type": "ephemeral"}},
        {"title": "schema", "description": "d", "type": "object", "properties": {}},
        {"name": "anthropic", "description": "d", "input_schema": {"type": "object"}},
    ]  # fmt: skip
    cached = StructuredTool.from_function(
        get_weather, name="cached", extras={"cache_control": {"type": "ephemeral"}}
    )
    bound = model().bind_tools(
        [get_weather, Weather, tool(get_weather), cached, *dicts, *server_tools]
    )
    sent = bound.kwargs["tools"]

    assert sent[-5:] == server_tools
    assert [t["function"]["name"] for t in sent[:-5]] == [
        "get_weather", "Weather", "get_weather", "cached", "raw", "schema", "anthropic",
    ]  # fmt: skip
    assert sent[3]["cache_control"] == sent[4]["cache_control"] == {"type": "ephemeral"}
    assert not [t for t in sent[:-5] if "strict" in t["function"]]


def test_trap_12_a_foreign_server_tool_is_refused():
    """Anthropic's or OpenAI's own tool types do not become functions that nobody runs."""
    for kind in ("web_search_20250305", "code_interpreter", "computer_use_preview"):
        with pytest.raises(ValueError, match="openrouter:web_search"):
            model().bind_tools([{"type": kind, "name": "x"}])


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("any", "required"), ("required", "required"), (True, "required"), ("auto", "auto"),
     ("none", "none"), ("get_weather", {"type": "function", "function": {"name": "get_weather"}}),
     ("openrouter:datetime", {"type": "openrouter:datetime"}),
     ({"type": "openrouter:datetime"}, {"type": "openrouter:datetime"}),
     ({"type": "function", "function": {"name": "f"}},
      {"type": "function", "function": {"name": "f"}}),
     ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
     ({"type": "any"}, "required"), (None, None), (False, None)],
)  # fmt: skip
def test_tool_choice_in_all_forms(choice, sent):
    """Every form of a choice arrives as the service takes it."""
    tools = [get_weather, {"type": "openrouter:datetime"}]

    assert model().bind_tools(tools, tool_choice=choice).kwargs.get("tool_choice") == sent


def test_a_choice_of_no_tool_is_refused():
    """A misspelt tool is an error that lists the tools."""
    with pytest.raises(ValueError, match="get_weather"):
        model().bind_tools([get_weather], tool_choice="get_wether")


def test_strict_and_parallel_only_when_asked():
    """`strict` and `parallel_tool_calls` are sent when given, false included."""
    plain = model().bind_tools([get_weather]).kwargs
    asked = model().bind_tools([get_weather], strict=True, parallel_tool_calls=False).kwargs

    assert "strict" not in plain["tools"][0]["function"]
    assert "parallel_tool_calls" not in plain
    assert asked["tools"][0]["function"]["strict"] is True
    assert asked["parallel_tool_calls"] is False


@pytest.mark.parametrize(("wrong", "right"), [("temprature", "temperature"), ("modell", "model"),
                                              ("providers", "provider"), ("api_kye", "api_key")])  # fmt: skip
def test_trap_13_unknown_constructor_arguments(wrong, right):
    """A mistyped argument is refused with the nearest one, and its value is not shown."""
    with pytest.raises(ValidationError, match=f"did you mean `{right}`") as caught:
        ChatOpenRouter(**{"model": "a/b", wrong: "sentinel"})

    assert "sentinel" not in str(caught.value)


@pytest.mark.parametrize("wrong", ["temprature", "api_key", "openai_api_key", "base_url"])
def test_trap_13_unknown_call_arguments(wrong):
    """The same for a call: nothing unknown travels in the body."""
    with pytest.raises(ValueError, match=f"unknown argument `{wrong}`") as caught:
        payload(**{wrong: "sentinel"})

    assert "sentinel" not in str(caught.value)


@pytest.mark.off_spec("max_price as numbers, as the documentation has it")
@pytest.mark.parametrize("word", ["openrouter_provider", "provider"])
def test_trap_14_provider_preferences_are_never_lost(word, serve, model_on):
    """Privacy routing arrives whole, numbers and new keys included; a call adds to it."""
    server = serve(Reply(whole()))
    preferences = {"zdr": True, "max_price": {"prompt": 1, "completion": 2.5}, "brand_new": [1]}
    asked = model_on(server, **{word: preferences})
    asked.invoke("x")
    asked.invoke("x", **{word: {"order": ["a"], "zdr": True}})
    asked.with_structured_output(Weather, require_parameters=True, include_raw=True).invoke("x")
    for seen, more in zip(
        server.seen, [{}, {"order": ["a"]}, {"require_parameters": True}], strict=True
    ):
        assert seen.body["provider"] == {**preferences, **more}


def test_trap_14_reasoning_is_never_lost():
    """Every key of `reasoning` is sent."""
    asked = {"max_tokens": 100, "exclude": True, "enabled": False, "summary": "auto", "new": 1}

    assert payload(reasoning=asked)["reasoning"] == asked


@pytest.mark.parametrize("slug", ["gpt-5", "o1", "o3-mini", "gpt-5.6:nitro", "~openai/gpt-latest",
                                  "openai/gpt-4@preset/x", "@preset/x", "openai/o1:free:online"])  # fmt: skip
def test_trap_15_nothing_is_inferred_from_a_slug(slug):
    """The slug and the temperature go out as they were given."""
    sent = model(model=slug, temperature=0.3, max_tokens=9)._get_request_payload(
        [SystemMessage("s"), HumanMessage("h")]
    )

    assert sent == {
        "model": slug, "temperature": 0.3, "max_tokens": 9,
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "h"}],
    }  # fmt: skip


def test_trap_15_no_temperature_is_invented():
    """No default of any field is sent."""
    assert "temperature" not in model(model="o1-preview")._get_request_payload("x")


def test_trap_16_zero_retries_means_none(serve, model_on):
    """`max_retries=0` asks once; the default asks three times."""
    for kwargs, count in (({"max_retries": 0}, 1), ({"max_retries": 2}, 3)):
        server = serve(Reply({"error": {"code": 500, "message": "x"}}, 500,
                             headers={"retry-after": "0.01"}))  # fmt: skip
        with pytest.raises(Exception, match="500 x"):
            model_on(server, **kwargs).invoke("x")
        assert len(server.seen) == count


def test_trap_17_timeouts_are_finite_and_in_seconds():
    """Connecting has 10 s, silence 300 s, unless told otherwise."""
    from langchain_openrouter._http.timeouts import to_httpx_timeout

    assert to_httpx_timeout(model().request_timeout).as_dict() == {
        "connect": 10.0, "read": 300.0, "write": 300.0, "pool": 300.0,
    }  # fmt: skip
    assert to_httpx_timeout((3, 40)).connect == 3
    assert to_httpx_timeout((3, 40)).read == 40
    assert to_httpx_timeout(2).connect == 2


def test_trap_18_tokens_are_counted_without_a_network():
    """Counting works for any slug, with tools, with no tokeniser (and no socket: see conftest)."""
    from langchain_core.messages import trim_messages

    asked = model(model="deepseek/deepseek-r1")
    messages = [HumanMessage("hello " * 50), AIMessage("hi"), HumanMessage("bye")]

    assert asked.get_num_tokens_from_messages(messages) > 50
    assert asked.get_num_tokens_from_messages(messages, tools=[get_weather]) > 80
    assert asked.get_num_tokens("abcde") == 2
    trimmed = trim_messages(messages, token_counter=asked, max_tokens=20)
    assert trimmed[-1].content == "bye"
    assert len(trimmed) < 3


def test_trap_19_an_agents_strict_is_its_users_strict():
    """`create_agent` passes strict=True to every OpenAI model; the format's own word counts."""

    def asked(**json_schema):
        schema = {"type": "json_schema", "json_schema": {"name": "W", "schema": {}, **json_schema}}
        bound = model().bind_tools([get_weather], strict=True, response_format=schema)
        return bound.kwargs["tools"][0]["function"].get("strict"), bound.kwargs["response_format"]

    assert asked() == (None, {"type": "json_schema", "json_schema": {"name": "W", "schema": {}}})
    assert asked(strict=True)[0] is True


def test_trap_20_tracing_names_the_provider_as_the_messages_do():
    """`ls_provider` equals the messages' `model_provider`."""
    params = model(temperature=0.1)._get_ls_params(stop=["x"], max_tokens=4)

    assert params == {
        "ls_provider": "openrouter", "ls_model_name": "openai/gpt-4o-mini",
        "ls_model_type": "chat", "ls_temperature": 0.1, "ls_max_tokens": 4, "ls_stop": ["x"],
    }  # fmt: skip


# --- messages ---------------------------------------------------------------------------------


def sent_parts(*blocks, message=HumanMessage):
    """Return the parts that content blocks become."""
    extra = {"tool_call_id": "c"} if message is ToolMessage else {}
    return payload(message(content=list(blocks), **extra))["messages"][0]["content"]


MARK = {"cache_control": {"type": "ephemeral"}}
PDF = {"type": "file", "file": {"filename": "d.pdf", "file_data": "https://e.org/d.pdf"}}
BLOCKS = [
    ("a string", "hi", {"type": "text", "text": "hi"}),
    ("text", {"type": "text", "text": "hi", **MARK}, {"type": "text", "text": "hi", **MARK}),
    ("text, extras", {"type": "text", "text": "hi", "id": "x", "extras": MARK},
     {"type": "text", "text": "hi", **MARK}),
    ("image url", {"type": "image", "url": "https://e.org/a.png", **MARK},
     {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}, **MARK}),
    ("image base64", {"type": "image", "base64": PNG, "mime_type": "image/webp"},
     {"type": "image_url", "image_url": {"url": f"data:image/webp;base64,{PNG}"}}),
    ("image id", {"type": "image", "file_id": "f1"}, {"type": "file", "file": {"file_id": "f1"}}),
    ("image v0 url", {"type": "image", "source_type": "url", "url": "https://e.org/a.png"},
     {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}}),
    ("image v0 base64",
     {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
     {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}),
    ("image anthropic",
     {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
     {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}),
    ("image native", {"type": "image_url", "image_url": {"url": "u", "detail": "low"}, **MARK},
     {"type": "image_url", "image_url": {"url": "u", "detail": "low"}, **MARK}),
    ("image native str", {"type": "image_url", "image_url": "u"},
     {"type": "image_url", "image_url": {"url": "u"}}),
    ("audio base64", {"type": "audio", "base64": "AAAA", "mime_type": "audio/mpeg"},
     {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}),
    ("audio data url", {"type": "audio", "url": "data:audio/wav;base64,AAAA"},
     {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    ("audio url", {"type": "audio", "url": "https://e.org/a.mp3"},
     {"type": "file", "file": {"file_data": "https://e.org/a.mp3", "filename": "a.mp3"}}),
    ("audio id", {"type": "audio", "file_id": "f"}, {"type": "file", "file": {"file_id": "f"}}),
    ("audio v0", {"type": "audio", "source_type": "base64", "data": "AAAA",
                  "mime_type": "audio/x-wav"},
     {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    ("audio native", {"type": "input_audio",
                      "input_audio": {"data": "data:audio/mp3;base64,AAAA", "format": "mp3"}},
     {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}),
    ("video url", {"type": "video", "url": "https://e.org/v.mp4"},
     {"type": "video_url", "video_url": {"url": "https://e.org/v.mp4"}}),
    ("video base64", {"type": "video", "base64": "AAAA", "mime_type": "video/webm"},
     {"type": "video_url", "video_url": {"url": "data:video/webm;base64,AAAA"}}),
    ("video id", {"type": "video", "file_id": "f"}, {"type": "file", "file": {"file_id": "f"}}),
    ("video native", {"type": "video_url", "video_url": {"url": "u"}},
     {"type": "video_url", "video_url": {"url": "u"}}),
    ("file url", {"type": "file", "url": "https://e.org/d.pdf"}, PDF),
    ("file base64", {"type": "file", "base64": "AAAA", "mime_type": "application/pdf",
                     "filename": "d.pdf"},
     {"type": "file", "file": {"filename": "d.pdf",
                               "file_data": "data:application/pdf;base64,AAAA"}}),
    ("file base64, named in extras", {"type": "file", "base64": "AAAA", "extras": {"name": "n"}},
     {"type": "file", "file": {"filename": "n", "file_data": "data:application/pdf;base64,AAAA"}}),
    ("file id", {"type": "file", "file_id": "f"}, {"type": "file", "file": {"file_id": "f"}}),
    ("file v0 id", {"type": "file", "source_type": "id", "id": "f"},
     {"type": "file", "file": {"file_id": "f"}}),
    ("file v0 text", {"type": "file", "source_type": "text", "text": "hi", "url": "hi"},
     {"type": "text", "text": "hi"}),
    ("file native", PDF, PDF),
    ("text-plain", {"type": "text-plain", "text": "hi"}, {"type": "text", "text": "hi"}),
    ("non standard", {"type": "non_standard", "value": {"type": "novel", "novel": 1}},
     {"type": "novel", "novel": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("block", "part"), [b[1:] for b in BLOCKS], ids=[b[0] for b in BLOCKS])
@pytest.mark.parametrize("message", [HumanMessage, ToolMessage])
def test_trap_31_every_block_becomes_its_part(block, part, message, serve, model_on):
    """Each kind of content block, as a user's and as a tool's, arrives as documented."""
    extra = {"tool_call_id": "c"} if message is ToolMessage else {}
    if part.get("type") == "novel":
        assert sent_parts(block, message=message) == [part]
        return
    server = serve(Reply(whole()))
    model_on(server).invoke([message(content=[block], **extra)])

    assert server.seen[0].body["messages"][0]["content"] == [part]


def test_the_input_is_left_as_it_was():
    """Messages and blocks that were handed in are not changed."""
    block = {"type": "image", "url": "https://e.org/a.png", "extras": MARK}
    message = HumanMessage(content=[block])
    before = message.model_dump_json()
    payload(message)

    assert message.model_dump_json() == before


@pytest.mark.parametrize(
    ("block", "name"),
    [({"type": "server_tool_result"}, "server_tool_result"), ({"type": "image"}, "image"),
     ({"text": "untyped"}, "None"), ({"type": "audio", "base64": ""}, "audio")],
)  # fmt: skip
def test_a_block_that_cannot_be_sent_is_named(block, name):
    """The error names the block's type, its place and the message."""
    with pytest.raises(ValueError, match=rf"block 1 of message 0 \(human\).*{name}"):
        sent_parts("fine", block)


def test_system_messages_take_text_only():
    """An image in a system message is refused before the service refuses it."""
    with pytest.raises(ValueError, match="takes text only"):
        sent_parts({"type": "image", "url": "https://e.org/a.png"}, message=SystemMessage)


def test_roles_and_names():
    """Every role of the API can be sent, with names."""
    sent = payload(
        SystemMessage("s", name="n"),
        SystemMessage("d", additional_kwargs={"__openai_role__": "developer"}),
        ChatMessage(role="developer", content="c"),
        HumanMessage("h", name="ann"),
        AIMessage("a", name="bot"),
        ToolMessage("t", tool_call_id="c", name="f"),
    )["messages"]

    assert [m["role"] for m in sent] == [
        "system", "developer", "developer", "user", "assistant", "tool",
    ]  # fmt: skip
    assert [m.get("name") for m in sent] == ["n", None, None, "ann", "bot", "f"]
    with pytest.raises(ValueError, match="'narrator'"):
        payload(ChatMessage(role="narrator", content="x"))
    with pytest.raises(ValueError, match="cannot be sent"):
        payload(FunctionMessage("x", name="f"))


def test_a_message_level_cache_mark_goes_to_its_last_text():
    """Where alone it takes effect."""
    sent = payload(SystemMessage("long", additional_kwargs=MARK))["messages"][0]

    assert sent["content"] == [{"type": "text", "text": "long", **MARK}]


def test_trap_31_cache_marks_on_assistant_and_tool_messages():
    """A mark on a text block survives in every role."""
    block = {"type": "text", "text": "x", **MARK}
    for message in (AIMessage, ToolMessage, SystemMessage):
        assert sent_parts(block, message=message) == [block]


def test_trap_32_a_message_of_tool_calls_alone_has_null_content():
    """Bedrock refuses blank text; text beside calls stays."""
    call = {"name": "f", "args": {"b": 1, "a": "ü"}, "id": "c"}
    bare = payload(AIMessage("", tool_calls=[call]))["messages"][0]
    said = payload(AIMessage("hm", tool_calls=[call]))["messages"][0]

    assert bare["content"] is None
    assert said["content"] == "hm"
    assert bare["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"b":1,"a":"ü"}'}}
    ]


def test_changed_arguments_are_sent_as_changed():
    """The original text goes back only while it still says the same."""
    message = AIMessage(
        "", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c"}],
        additional_kwargs={"tool_call_arguments": {"c": '{ "a" : 1 }'}},
    )  # fmt: skip

    def arguments():
        return payload(message)["messages"][0]["tool_calls"][0]["function"]["arguments"]

    assert arguments() == '{ "a" : 1 }'
    message.tool_calls[0]["args"] = {"a": 2}
    assert arguments() == '{"a":2}'


def test_messages_of_other_models_are_understood():
    """Anthropic's thinking and ChatOpenAI's raw calls keep what they can."""
    sent = payload(
        AIMessage(
            content=[
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "xx"},
                {"type": "text", "text": "hi"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {}},
            ],
            tool_calls=[{"name": "f", "args": {}, "id": "c"}],
            additional_kwargs={
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{ }"}}]
            },
        )
    )["messages"][0]

    assert sent["content"] == "hi"
    assert sent["tool_calls"][0]["function"]["arguments"] == "{ }"
    assert [d["type"] for d in sent["reasoning_details"]] == [
        "reasoning.text", "reasoning.encrypted",
    ]  # fmt: skip
    assert sent["reasoning_details"][0]["signature"] == "s"


def test_pin_model_names_the_model_of_each_answer():
    """The auto-router's `pin_model` reads it from the assistant messages."""
    answer = AIMessage("a", response_metadata={"model_name": "x/y"})
    plugin = {"id": "auto-router", "pin_model": True}

    assert payload(answer, plugins=[plugin])["messages"][0]["model"] == "x/y"
    assert "model" not in payload(answer)["messages"][0]


def test_what_is_not_json_is_refused_by_type(serve, model_on):
    """A value that JSON has no word for is an error, without its value."""
    with pytest.raises(ValueError, match=r"as JSON.*set"):
        model_on(serve(Reply(whole()))).invoke("x", trace={"x": {1}})
    with pytest.raises(ValueError, match="as JSON"):
        model_on(serve(Reply(whole()))).invoke("x", temperature=float("nan"))


def test_half_a_surrogate_pair_can_be_asked(serve, model_on):
    """A prompt with a lone surrogate is sent escaped, not refused."""
    server = serve(Reply(whole()))
    model_on(server).invoke("a\ud83d")

    assert server.seen[0].body["messages"][0]["content"] == "a\ud83d"


def test_n_answers(serve, model_on):
    """`n` gives as many generations, their usage counted once; streams take one."""
    body = whole("a")
    body["choices"].append({**body["choices"][0], "index": 1,
                            "message": {"role": "assistant", "content": "b"}})  # fmt: skip
    asked = model_on(serve(Reply(body)), n=2)
    result = asked.generate([[HumanMessage("x")]])

    assert [g.text for g in result.generations[0]] == ["a", "b"]
    assert [bool(g.message.usage_metadata) for g in result.generations[0]] == [True, False]
    with pytest.raises(ValueError, match="n must be 1"):
        list(asked.stream("x"))
    with pytest.raises(ValidationError, match="n must be"):
        model(n=0)


def test_a_calls_own_timeout_retries_query_and_body(serve, model_on):
    """They shape the request and do not travel in its body."""
    server = serve(Reply({"error": {"code": 500, "message": "x"}}, 500,
                         headers={"retry-after": "0.01"}))  # fmt: skip
    asked = model_on(server, max_retries=0, default_query={"a": "1"})
    with pytest.raises(Exception, match="500 x"):
        asked.invoke("x", max_retries=1, timeout=3, extra_query={"b": "2"}, extra_body={"c": 3})

    assert len(server.seen) == 2
    assert server.seen[0].path == "/api/v1/chat/completions?a=1&b=2"
    assert server.seen[0].body["c"] == 3
    assert set(server.seen[0].body) == {"model", "messages", "c"}
    stalled = serve(Reply([8.0]))
    with pytest.raises(errors.ConnectionTimeoutError):
        model_on(stalled, timeout=60).invoke("x", timeout=0.2)
