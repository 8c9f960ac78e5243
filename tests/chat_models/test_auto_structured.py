"""Structured output and forced tools on models that take one way, another, or none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import threading
import warnings
from typing import TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from langchain_openrouter import ChatOpenRouter, _model_refusals, errors
from langchain_openrouter._model_refusals import is_refusal, refuses
from langchain_openrouter.catalog import Catalog
from langchain_openrouter.chat_models._refused_parameters import relax_tool_choice
from langchain_openrouter.testing import Call, Reply

ADA = {"name": "Ada", "year": 1815}
FORCING = 'tool_choice: type "tool" and "any" are not supported for this model.'
SCHEMA = "This model does not support structured outputs: response_format is not supported"
OPUS, UNKNOWN = "anthropic/claude-opus-5.5", "acme/unheard-of"
FORCED = "ai21/jamba-large-1.7"  # takes a forced tool, and no schema


class Person(BaseModel):
    """A person."""

    name: str
    year: int


class PersonDict(TypedDict):
    """A person."""

    name: str
    year: int


SCHEMAS = [
    (Person, Person(**ADA)),
    (PersonDict, ADA),
    (Person.model_json_schema(), ADA),
    ({"name": "Person", "description": "A person.", "parameters": Person.model_json_schema()}, ADA),
]


def refusal(message, code=400):
    """Return an error of the provider, quoted in `metadata.raw` as the service does."""
    raw = json.dumps(
        {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    )
    metadata = {"raw": raw, "provider_name": "Anthropic"}
    return Reply(error={"code": code, "message": "Provider returned error", "metadata": metadata})


def service(*, forcing=True, schema=True, ignores=""):
    """Script a model: whether it takes forcing and schemas, whether it ignores an offered tool."""

    def script(request):
        body = request.body
        choice = body.get("tool_choice")
        if not forcing and choice not in (None, "auto", "none"):
            return refusal(FORCING)
        if not schema and "response_format" in body:
            return refusal(SCHEMA, 404)
        if "response_format" in body:
            return Reply(json.dumps(ADA))
        is_reminded = "Call the tool" in str(body["messages"][-1]["content"])
        if choice == "auto" and (ignores == "always" or (ignores == "once" and not is_reminded)):
            return Reply("I would rather talk.")
        if body.get("tools"):
            name = body["tools"][-1]["function"]["name"]
            return Reply(tool_calls=[Call(name, ADA)])
        return Reply("Hi")

    return script


def model_on(emulator, slug=UNKNOWN, **kwargs):
    """Return a model on an emulator."""
    defaults = {"api_key": "k", "base_url": emulator.url, "max_retries": 0, "timeout": 5}
    return ChatOpenRouter(model=slug, **{**defaults, **kwargs})


def bodies(emulator):
    """Return the bodies of the chat requests."""
    return [request.body for request in emulator.chat_requests]


def way(body):
    """Return by which method a body asks."""
    if "response_format" in body:
        return "schema"
    return "offered" if body["tool_choice"] == "auto" else "forced"


async def last(stream):
    """Return the last item of an async stream."""
    return [item async for item in stream][-1]


RUNS = {
    "invoke": lambda runnable: runnable.invoke("x"),
    "ainvoke": lambda runnable: asyncio.run(runnable.ainvoke("x")),
    "stream": lambda runnable: list(runnable.stream("x"))[-1],
    "astream": lambda runnable: asyncio.run(last(runnable.astream("x"))),
    "batch": lambda runnable: runnable.batch(["x"])[0],
}


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS)
@pytest.mark.parametrize(
    ("slug", "abilities", "ways"),
    [
        (OPUS, {"forcing": False}, ["schema"]),
        (OPUS, {"forcing": False, "schema": False}, ["schema", "offered"]),
        (UNKNOWN, {}, ["schema"]),
        (UNKNOWN, {"schema": False}, ["schema", "forced"]),
        (UNKNOWN, {"schema": False, "forcing": False}, ["schema", "forced", "offered"]),
        (FORCED, {}, ["forced"]),
        (FORCED, {"forcing": False}, ["forced", "offered"]),
        (FORCED, {"forcing": False, "ignores": "once"}, ["forced", "offered", "offered"]),
    ],
)
def test_the_default_method_works_on_every_model(slug, abilities, ways, schema, expected, emulate):
    """The first way that the model is known to take, the next on a refusal, which is remembered."""
    emulator = emulate(service(**abilities))
    structured = model_on(emulator, slug).with_structured_output(schema)
    expected_ways = []
    for run in RUNS.values():
        _model_refusals.forget()
        assert run(structured) == expected
        assert run(structured) == expected
        expected_ways += ways + [way for way in ways if way == ways[-1]]

    assert [way(body) for body in bodies(emulator)] == expected_ways


@pytest.mark.parametrize("abilities", [{}, {"schema": False}, {"schema": False, "forcing": False}])
def test_the_raw_message_comes_with_every_method(abilities, emulate):
    """With include_raw, whole and streamed; a refusal of the method is no parsing error."""
    structured = model_on(emulate(service(**abilities))).with_structured_output(
        Person, include_raw=True
    )
    merged = {key: value for item in structured.stream("x") for key, value in item.items()}

    for result in (structured.invoke("x"), asyncio.run(structured.ainvoke("x")), merged):
        assert result["parsed"] == Person(**ADA)
        assert result["parsing_error"] is None
    assert structured.invoke("x")["raw"].response_metadata["cost"] is not None


def test_the_runnable_is_used_like_any_other(emulate):
    """In a chain, drawn, pickled, with a retry, and with arguments of the call."""
    emulator = emulate(service())
    structured = model_on(emulator).with_structured_output(Person)
    chain = ChatPromptTemplate.from_messages([("human", "{q}")]) | structured

    assert chain.invoke({"q": "x"}) == Person(**ADA)
    assert chain.get_graph().nodes
    assert chain.input_schema.model_json_schema()["properties"]["q"]
    assert pickle.loads(pickle.dumps(structured)).invoke("x") == Person(**ADA)
    assert structured.with_retry().invoke("x") == Person(**ADA)
    assert structured.invoke("x", model=FORCED) == Person(**ADA)
    assert way(bodies(emulator)[-1]) == "forced"
    assert structured.bind(seed=7).invoke("x") == Person(**ADA)
    assert bodies(emulator)[-1]["seed"] == 7


def test_a_named_method_is_sent_as_it_is(emulate):
    """No second request, and nothing relaxed, even where the refusal is known."""
    emulator = emulate(service(forcing=False, schema=False))
    for method in ("function_calling", "json_schema"):
        for _ in range(2):
            with pytest.raises(errors.ResponseError):
                model_on(emulator).with_structured_output(Person, method=method).invoke("x")

    assert [way(body) for body in bodies(emulator)] == ["forced"] * 2 + ["schema"] * 2


def test_an_offered_tool_is_strict_named_in_the_prompt_and_asked_for_once_more(emulate):
    """The second request shows the model its answer; a model that never calls is a parsing error."""
    emulator = emulate(service(forcing=False, schema=False, ignores="once"))
    structured = model_on(emulator, OPUS).with_structured_output(Person)

    assert structured.invoke([SystemMessage("Be brief."), ("human", "x")]) == Person(**ADA)
    first, second = bodies(emulator)[1:]
    assert first["messages"][0]["content"].startswith("Be brief.\n\n")
    assert "Person" in first["messages"][0]["content"]
    assert first["tools"][0]["function"]["strict"] is True
    assert [message["role"] for message in second["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]

    silent = emulate(service(forcing=False, schema=False, ignores="always"))
    for run in RUNS.values():
        with pytest.raises(OutputParserException):
            run(model_on(silent, OPUS).with_structured_output(Person))
    assert len(bodies(silent)) == 11  # that this other service refuses the schema, is learned once


def test_reasoning_is_not_lost_to_a_forced_tool(emulate):
    """On Anthropic's models the default method does not force; a forced tool warns, once."""
    emulator = emulate(service(schema=False))
    slug = "anthropic/claude-haiku-4.5"
    model = model_on(emulator, slug, reasoning={"effort": "high"})
    assert model.with_structured_output(Person).invoke("x") == Person(**ADA)
    assert [way(body) for body in bodies(emulator)] == ["schema", "offered"]

    forced = model.bind_tools([Person], tool_choice="any")
    with pytest.warns(UserWarning, match="does not reason while a tool is forced"):
        forced.invoke("x")
    forced.invoke("x")
    assert [way(body) for body in bodies(emulator)[2:]] == ["forced", "forced"]


def test_other_errors_are_not_taken_for_a_refusal(emulate):
    """They are raised after one request, and nothing is remembered."""
    for reply in (refusal("max_tokens: too large"), Reply(error={"code": 500, "message": FORCING})):
        emulator = emulate(lambda _, reply=reply: reply)
        with pytest.raises(errors.ResponseError):
            model_on(emulator).with_structured_output(Person).invoke("x")
        with pytest.raises(errors.ResponseError):
            model_on(emulator).bind_tools([Person], tool_choice="any").invoke("x")
        assert len(bodies(emulator)) == 2
        for what in ("forced_tool", "json_schema"):
            assert not refuses(UNKNOWN, what, base_url=emulator.url)


def test_a_refusal_of_the_chosen_endpoints_says_nothing_about_the_model(emulate):
    """With provider preferences the call goes on, and the next one tries again."""
    emulator = emulate(service(schema=False))
    structured = model_on(emulator).with_structured_output(Person, require_parameters=True)

    assert structured.invoke("x") == structured.invoke("x") == Person(**ADA)
    assert [way(body) for body in bodies(emulator)] == ["schema", "forced"] * 2


@pytest.mark.parametrize("run", [RUNS[name] for name in ("invoke", "ainvoke", "stream", "astream")])
@pytest.mark.parametrize("choice", ["any", "required", True, "Person"])
@pytest.mark.parametrize(("slug", "requests"), [(OPUS, 1), (UNKNOWN, 2)])
def test_a_forced_tool_is_relaxed_where_it_is_refused(slug, requests, choice, run, emulate):
    """Known refusals before the call, unknown ones on the error: "auto", a line, one warning."""
    emulator = emulate(service(forcing=False))
    bound = model_on(emulator, slug).bind_tools([Person], tool_choice=choice)
    with pytest.warns(UserWarning, match="refuses a forced tool") as caught:
        run(bound)
    run(bound)

    assert len(caught) == 1
    sent = bodies(emulator)
    assert [way(body) for body in sent] == ["forced", "offered", "offered"][2 - requests :]
    assert "Person" in sent[-1]["messages"][0]["content"]
    assert "relax_tool_choice" not in sent[-1]


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("use_async", [False, True])
@pytest.mark.parametrize(
    "strategy", [None, Person, ToolStrategy(Person)], ids=["none", "auto", "tool"]
)
@pytest.mark.parametrize("slug", [OPUS, "~anthropic/claude-sonnet-latest", UNKNOWN])
def test_create_agent_works_on_a_model_that_refuses_forcing(
    slug, strategy, use_async, streaming, emulate
):
    """With and without response_format, whichever strategy LangChain takes."""

    def script(request):
        body = request.body
        if body.get("tool_choice") not in (None, "auto", "none"):
            return refusal(FORCING)
        if not any(message["role"] == "tool" for message in body["messages"]):
            return Reply(tool_calls=[Call("get_weather", {"city": "Paris"})])
        if "response_format" in body:
            return Reply(json.dumps(ADA))
        names = [tool["function"]["name"] for tool in body["tools"]]
        return Reply(tool_calls=[Call("Person", ADA)]) if "Person" in names else Reply("Fine.")

    model = model_on(emulate(script), slug, streaming=streaming)
    agent = create_agent(model, [get_weather], response_format=strategy)
    messages = {"messages": [("human", "Who?")]}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*refuses a forced tool.*")
        result = asyncio.run(agent.ainvoke(messages)) if use_async else agent.invoke(messages)

    assert any(message.type == "tool" and "sunny" in message.text for message in result["messages"])
    if strategy is None:
        assert result["messages"][-1].text == "Fine."
    else:
        assert result["structured_response"] == Person(**ADA)


def test_a_parameter_that_the_model_refuses_warns_once_with_the_remedy(emulate):
    """Before the call, whole and streamed, from the model and from the call."""
    model = model_on(emulate(), OPUS)
    calls = [
        ({"temperature": 0.2}, "leave it out"),
        ({"top_p": 0.5}, "leave it out"),
        ({"top_k": 5}, "leave it out"),
        ({"reasoning": {"enabled": False}}, "leave `reasoning` out"),
        ({"reasoning": {"max_tokens": 2000}}, "set an effort"),
    ]
    for call, match in calls:
        refused = contextlib.suppress(errors.InvalidRequestError)  # reasoning switched off
        with pytest.warns(UserWarning, match=match) as caught, refused:
            model.invoke("x", **call)
        with refused:
            list(model.stream("x", **call))
        assert len(caught) == 1

    _model_refusals.forget()
    refused = pytest.raises(errors.InvalidRequestError, match="cannot be disabled")
    with pytest.warns(UserWarning, match="low, medium, high, xhigh, max"), refused:
        asyncio.run(model_on(emulate(), OPUS, reasoning_effort="none").ainvoke("x"))
    for call in ({"temperature": 1}, {"top_p": 1.0}, {"reasoning": {"effort": "low"}}):
        model.invoke("x", **call)
    model_on(emulate(), "anthropic/claude-haiku-5.5", reasoning={"enabled": False}).invoke("x")
    model_on(emulate(), "openai/gpt-4o-mini", temperature=0).invoke("x")


def endpoints(*choices):
    """Return the endpoints of a model, as the catalog gets them."""
    return {
        "data": {
            "endpoints": [
                {"name": "e", **({"supports_tool_choice": c} if c else {})} for c in choices
            ]
        }
    }


TAKES = {"auto": True, "none": True, "required": True, "function": True}
REFUSES = {"auto": True, "none": True, "required": False, "function": False}


@pytest.mark.off_spec
@pytest.mark.parametrize("use_async", [False, True])
@pytest.mark.parametrize(
    ("choices", "refused"),
    [((REFUSES, REFUSES), True), ((REFUSES, TAKES), False), ((REFUSES, None), False), ((), False)],
)
def test_endpoints_of_the_catalog_say_whether_forcing_is_refused(
    choices, refused, use_async, serve
):
    """Only where all of them say so."""
    from tests.support.loopback import Reply as Served

    catalog = Catalog(base_url=serve(Served(endpoints(*choices))).url)
    asyncio.run(catalog.aendpoints(UNKNOWN)) if use_async else catalog.endpoints(UNKNOWN)

    assert refuses(UNKNOWN, "forced_tool", base_url=catalog.base_url) is refused


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        (FORCING, True),
        (json.dumps(FORCING), True),
        ("deepseek-reasoner does not support this tool_choice", True),
        ("No endpoints found that support the provided 'tool_choice' value.", True),
        ("tool_choice: unknown function", False),
        ("images are not supported", False),
        ("tool_choice" + " " * 4_000_000 + "not supported", False),
    ],
)
def test_a_refusal_is_recognized_in_bounded_time(message, refused):
    """By the wordings of providers, in the message or in what it quotes."""
    for error in (
        errors.InvalidRequestError(message, code=400),
        errors.InvalidRequestError("x", code=400, metadata={"raw": {"error": message}}),
    ):
        assert is_refusal(error, "forced_tool") is refused


URL = "https://example.org/response_format?not supported"
QUOTES = [("user", [{"type": "image", "url": URL}])]


@pytest.mark.parametrize(
    ("message", "slug", "question", "bound"),
    [
        (f"Timeout while downloading {URL}", UNKNOWN, QUOTES, {}),
        ("Invalid schema for response_format 'P': 'oneOf' is not supported", UNKNOWN, "x", {}),
        ("No endpoints found that can handle the requested parameters", UNKNOWN, "x", {}),
        (SCHEMA, "@preset/mine", "x", {}),
        (SCHEMA, "openrouter/auto", "x", {}),
        (SCHEMA, UNKNOWN, "x", {"extra_body": {"provider": {"only": ["z"]}}}),
        (SCHEMA, UNKNOWN, "x", {"models": ["a/b"]}),
    ],
)
def test_an_error_of_one_request_teaches_others_nothing(message, slug, question, bound, emulate):
    """What it quotes of the prompt, a faulty schema, an account's settings, a user's routing."""
    replies = iter([refusal(message)])
    emulator = emulate(lambda _: next(replies, None) or Reply(tool_calls=[Call("Person", ADA)]))
    model = model_on(emulator, slug, **bound)

    with contextlib.suppress(errors.ResponseError):
        model.with_structured_output(Person).invoke(question)
    for what in ("json_schema", "forced_tool"):
        assert not refuses(slug, what, base_url=emulator.url)


def test_an_error_teaches_for_its_service_alone(emulate):
    """A server that refuses everything changes nothing for the others."""
    hostile, good = emulate(service(schema=False, forcing=False)), emulate(service())
    model_on(hostile).with_structured_output(Person).invoke("x")
    model_on(good).with_structured_output(Person).invoke("x")

    assert refuses(UNKNOWN, "json_schema", base_url=hostile.url)
    assert [way(body) for body in bodies(good)] == ["schema"]


def test_an_agent_asks_again_after_an_answer_in_text(emulate):
    """A model that refuses a forced tool refuses to continue an assistant's message, too."""
    replies = iter([Reply("only text")])
    emulator = emulate(lambda _: next(replies, None) or Reply(tool_calls=[Call("Person", ADA)]))
    agent = create_agent(model_on(emulator, OPUS), [], response_format=ToolStrategy(Person))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*refuses a forced tool.*")
        result = agent.invoke({"messages": [("human", "x")]})

    assert result["structured_response"] == Person(**ADA)
    assert [m["role"] for m in bodies(emulator)[1]["messages"]][-2:] == ["assistant", "user"]


def test_what_was_learned_is_bounded_and_shared_by_threads():
    """A process that meets many models remembers the last ones."""

    def learn(start):
        for number in range(2_000):
            _model_refusals.remember(f"a/{start}-{number}", "forced_tool")

    threads = [threading.Thread(target=learn, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(_model_refusals._learned._entries) == 1024


@pytest.mark.parametrize(
    ("messages", "first"),
    [
        ([], "Answer"),
        ([{"role": "user", "content": "x"}], "Answer"),
        ([{"role": "system", "content": ""}], "Answer"),
        ([{"role": "system", "content": "s"}], "s\n\nAnswer"),
    ],
)
def test_the_line_in_the_prompt_goes_into_the_first_system_message(messages, first):
    """The caller's messages stay as they are."""
    before = json.dumps(messages)
    relaxed = relax_tool_choice({"messages": messages, "tool_choice": "required"})

    assert relaxed["messages"][0]["content"].startswith(first)
    assert json.dumps(messages) == before
    parts = [
        {
            "role": "system",
            "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        }
    ]
    assert len(relax_tool_choice({"messages": parts})["messages"][0]["content"]) == 2


def test_bound_arguments_are_sent_with_a_structured_output(emulate):
    """The model and its parameters; tools that do not combine are an error, not lost."""
    emulator = emulate(service())
    bound = model_on(emulator).bind(model=FORCED, temperature=0.1, extra_headers={"X-A": "b"})
    bound.with_structured_output(Person, method="json_schema").invoke("x")

    (request,) = emulator.chat_requests
    assert (request.body["model"], request.body["temperature"]) == (FORCED, 0.1)
    assert request.headers["x-a"] == "b"
    with pytest.raises(ValueError, match="tools"):
        model_on(emulator).bind_tools([Person]).with_structured_output(Person)
