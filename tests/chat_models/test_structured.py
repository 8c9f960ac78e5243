"""Structured output in all methods: parsed, refused, cut; whole and streamed."""

from __future__ import annotations

import asyncio
from typing import TypedDict

import pytest
from langchain_core.exceptions import ModelError, OutputParserException
from pydantic import BaseModel

from langchain_openrouter import errors
from tests.support.loopback import Reply, stream, whole

pytestmark = pytest.mark.both_endpoints
JSON = '{"name": "Ada", "year": 1815}'


class Person(BaseModel):
    """A person."""

    name: str
    year: int


class PersonDict(TypedDict):
    """A person."""

    name: str
    year: int


def reply(text, *, reason="stop", native=None, refusal=None):
    """Answer with the text, as a call of Person where a tool is bound."""

    def answer(seen):
        calls = None
        if seen.body.get("tools"):
            calls = [{"id": "c", "index": 0, "type": "function",
                      "function": {"name": "Person", "arguments": text}}]  # fmt: skip
        message = {"refusal": refusal, **({"tool_calls": calls} if calls else {})}
        said = "" if calls else text
        ending = {"reason": reason, "native": native or reason}
        if seen.body.get("stream"):
            texts = [{"content": said[i : i + 5]} for i in range(0, len(said), 5)]
            return stream(*texts, message, **ending)
        choice = {"finish_reason": reason, "native_finish_reason": native or reason}
        return Reply(whole(said, message=message, choice=choice))

    return answer


SCHEMAS = [
    (Person, Person(name="Ada", year=1815)),
    (PersonDict, {"name": "Ada", "year": 1815}),
    (Person.model_json_schema(), {"name": "Ada", "year": 1815}),
]


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
@pytest.mark.parametrize(("schema", "expected"), SCHEMAS)
def test_every_method_and_schema(method, schema, expected, serve, model_on):
    """A class gives instances, the rest dicts; raw on request; sync, async and streamed."""
    model = model_on(serve(rename(reply(JSON))))
    asked = model.with_structured_output(schema, method=method)
    raw = model.with_structured_output(schema, method=method, include_raw=True)

    assert asked.invoke("x") == expected
    assert asyncio.run(asked.ainvoke("x")) == expected
    assert list(asked.stream("x"))[-1] == expected
    got = raw.invoke("x")
    assert got["parsed"] == expected
    assert got["parsing_error"] is None
    assert got["raw"].response_metadata["cost"] == 0.0025


def rename(answer):
    """Answer by the name of whatever tool was bound."""

    def named(seen):
        got = answer(seen)
        if seen.body.get("tools"):
            name = seen.body["tools"][0]["function"]["name"].encode()
            got.body = got.items()[0].replace(b'"Person"', b'"' + name + b'"')
        return got

    return named


def test_what_is_sent(serve, model_on):
    """`strict` and routing only on request; the schema's name and description."""
    server = serve(reply(JSON))
    model = model_on(server)
    model.with_structured_output(Person, method="json_schema").invoke("x")
    model.with_structured_output(
        Person, method="json_schema", strict=True, require_parameters=True
    ).invoke("x")
    model.with_structured_output(Person, method="function_calling").invoke("x")
    plain, strict, called = [seen.body for seen in server.seen]

    assert plain["response_format"]["json_schema"]["name"] == "Person"
    assert plain["response_format"]["json_schema"]["description"] == "A person."
    assert "strict" not in plain["response_format"]["json_schema"]
    assert "provider" not in plain
    assert strict["response_format"]["json_schema"]["strict"] is True
    assert strict["provider"] == {"require_parameters": True}
    assert called["tool_choice"] == {"type": "function", "function": {"name": "Person"}}
    assert called["parallel_tool_calls"] is False
    assert "strict" not in called["tools"][0]["function"]


CUTS = [('{"name": "Ada", "year": 18', "length"), ('{"name": "Ada"', "length"), ("", "length"),
        ('{"name": "Ad', "stop"), ("Sorry, no.", "stop")]  # fmt: skip


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
@pytest.mark.parametrize("schema", [s for s, _ in SCHEMAS])
@pytest.mark.parametrize(("text", "reason"), CUTS)
def test_trap_28_a_cut_answer_is_a_parsing_error(text, reason, method, schema, serve, model_on):
    """Never a shortened object: whole, streamed, async, and named under include_raw."""
    if method == "function_calling" and text == "" and reason == "stop":
        return
    model = model_on(serve(rename(reply(text, reason=reason))))
    asked = model.with_structured_output(schema, method=method)

    async def astream():
        return [got async for got in asked.astream("x")]

    for ask in (lambda: asked.invoke("x"), lambda: list(asked.stream("x")),
                lambda: asyncio.run(asked.ainvoke("x")), lambda: asyncio.run(astream())):  # fmt: skip
        with pytest.raises(OutputParserException):
            ask()
    got = model.with_structured_output(schema, method=method, include_raw=True).invoke("x")
    assert got["parsed"] is None
    assert isinstance(got["parsing_error"], OutputParserException)


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_a_refusal_is_told_as_one(method, serve, model_on):
    """A refusal and a content filter raise RefusalError."""
    for answer in (reply(JSON, refusal="I will not."), reply(JSON, reason="content_filter")):
        asked = model_on(serve(answer)).with_structured_output(Person, method=method)
        for ask in (lambda a=asked: a.invoke("x"), lambda a=asked: list(a.stream("x"))):
            with pytest.raises(errors.RefusalError) as caught:
                ask()
            assert isinstance(caught.value, ModelError)
            assert caught.value.raw_message.response_metadata["finish_reason"]


def test_a_schema_that_does_not_fit_is_a_parsing_error(serve, model_on):
    """Whole JSON of another shape."""
    asked = model_on(serve(reply('{"name": "Ada"}')))
    with pytest.raises(OutputParserException):
        asked.with_structured_output(Person, method="json_schema").invoke("x")


def test_a_fenced_answer_is_read(serve, model_on):
    """Some models put a Markdown fence around their JSON."""
    model = model_on(serve(reply(f"```json\n{JSON}\n```")))

    assert model.with_structured_output(Person, method="json_mode").invoke("x").name == "Ada"


def test_tools_beside_a_schema(serve, model_on):
    """A call of another tool parses to None and stays in the raw message."""
    model = model_on(serve(reply(JSON)))
    asked = model.with_structured_output(
        Person, method="json_schema", include_raw=True, tools=[Person]
    )
    got = asked.invoke("x")

    assert got["parsed"] is None
    assert got["parsing_error"] is None
    assert got["raw"].tool_calls[0]["name"] == "Person"


def test_arguments_that_do_not_go_together(model_on):
    """Each says what to do."""
    model = model_on(None)
    for kwargs, match in (
        ({"method": "magic"}, "json_schema"), ({"schema": None}, "needs a schema"),
        ({"method": "json_mode", "strict": True}, "json_schema"), ({"tools": [1]}, "include_raw"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            model.with_structured_output(**{"schema": Person, **kwargs})
