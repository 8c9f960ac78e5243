"""Requests are the same bytes with the short cuts on and off."""

from __future__ import annotations

import contextlib
import enum
import json
import math
import uuid
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue
from pydantic import ConfigDict, Field, field_validator

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter._http.encoding import PlainMessages, encode_json
from langchain_openrouter._shortcuts import shortcuts

TEXT = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["", "\x00\x1f\x7f\u2028\u0085", '"\\/\b\f\n\r\t', "\ud800", "ü€😀", "NaN", "1e16"]
)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.booleans() | st.none()
JSON = st.recursive(
    TEXT | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
EXTRAS = st.sampled_from(
    [
        {},
        {"reasoning": "so"},
        {"cache_control": {"type": "ephemeral"}},
        {"tool_call_arguments": {"c1": '{"a": 1}'}},
        {"tool_call_arguments": {"c1": "{}", "c2": None}},
        {"refusal": "no"},
        {"__openai_role__": "developer"},
    ]
)
CONTENT = TEXT | st.lists(TEXT.map(lambda text: {"type": "text", "text": text}), max_size=2)
CALLS = st.lists(
    st.builds(
        lambda number, name, args: {"id": number, "name": name, "args": args},
        st.sampled_from(["c1", "c2", None, ""]),
        TEXT,
        st.dictionaries(TEXT, JSON, max_size=2),
    ),
    max_size=2,
)
INVALID = st.sampled_from([[], [{"id": "c", "name": "f", "args": '{"a', "error": "cut"}]])
NAMES = st.none() | st.just("Ann")


class MyMessage(HumanMessage):
    """A message of a kind that is the user's own."""


def message_of(kind):
    """Return a strategy for messages."""
    return st.builds(kind, CONTENT, additional_kwargs=EXTRAS, name=NAMES)


MESSAGES = st.lists(
    message_of(HumanMessage)
    | message_of(SystemMessage)
    | message_of(MyMessage)
    | st.builds(ToolMessage, CONTENT, tool_call_id=TEXT, additional_kwargs=EXTRAS, name=NAMES)
    | st.builds(
        AIMessage,
        CONTENT,
        tool_calls=CALLS,
        invalid_tool_calls=INVALID,
        additional_kwargs=EXTRAS,
        name=NAMES,
        response_metadata=st.sampled_from([{}, {"model_name": "a/b"}]),
    ),
    max_size=4,
) | st.lists(
    st.builds(HumanMessage, TEXT) | st.builds(AIMessage, st.just("") | TEXT, tool_calls=CALLS)
)
FIELDS = st.sampled_from(
    [
        {},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"x": 1e16}}}]},
        {"temperature": 1e-7, "stop": ["a"]},
        {"prompt_caching": True, "model": "qwen/qwen3-max"},
        {"prompt_caching": False},
        {"plugins": [{"id": "auto-router", "pin_model": True}]},
        {"metadata": {"a": "\ud800"}},
        {"extra_body": {"messages": [{"role": "user", "content": {1, 2}}]}},
        {"extra_body": {"z": math.nan}},
        {"extra_body": {"messages": [], "zz": 1}},
    ]
)


def request_bytes(model, messages, call):
    """Return the body, or the type and the text of the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            payload = model._chat_payload(messages, **call)
            return encode_json(model._endpoint(call).to_body(payload)), payload
        except ValueError as error:
            return type(error), str(error)


@contextlib.contextmanager
def switched(monkeypatch, *, on):
    """Turn the short cuts on or off."""
    with monkeypatch.context() as patch:
        patch.setattr(shortcuts, "enabled", on)
        yield


@settings(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(MESSAGES, FIELDS, st.booleans())
def test_bodies_are_equal_with_and_without_short_cuts(monkeypatch, messages, call, responses):
    """Whatever the messages hold, the bytes are equal, and so is the error that refuses them."""
    model = ChatOpenRouter(
        model="a/b", api_key="k", temperature=0.5, seed=3, use_responses_api=responses
    )
    with switched(monkeypatch, on=True):
        fast = request_bytes(model, messages, call)
    with switched(monkeypatch, on=False):
        slow = request_bytes(model, messages, call)
    assert fast == slow


@pytest.mark.parametrize("value", [uuid.uuid4(), math.nan, enum.Enum("E", "A").A, {1}, object()])
def test_what_is_not_json_is_refused(value):
    """A field that is not JSON is an error, also beside messages that the short cut encodes."""
    messages = PlainMessages([{"role": "user", "content": "x"}])
    for body in ({"messages": messages, "a": value}, {"a": value, "messages": messages}):
        with pytest.raises(ValueError, match="cannot be sent as JSON"):
            encode_json(body)


def test_plain_conversation_takes_the_short_cut(monkeypatch):
    """A conversation of texts and tool calls is recognized as one; another is not."""
    monkeypatch.setattr(shortcuts, "enabled", True)
    model = ChatOpenRouter(model="a/b", api_key="k")
    call = {"id": "c1", "name": "f", "args": {"a": 1}}
    answer = AIMessage(
        "", tool_calls=[call], additional_kwargs={"tool_call_arguments": {"c1": '{"a":1}'}}
    )
    messages = [SystemMessage("s"), HumanMessage("q"), answer, ToolMessage("t", tool_call_id="c1")]
    assert type(model._chat_payload(messages)["messages"]) is PlainMessages

    messages.append(HumanMessage([{"type": "text", "text": "q"}]))
    assert type(model._chat_payload(messages)["messages"]) is list


def test_fields_of_every_origin_are_sent():
    """A field that is set by argument, assignment, copy, user or subclass is in the body."""

    class Cold(ChatOpenRouter):
        temperature: float | None = 0.0

    model = Cold(model="a/b", api_key="k", top_p=0.5)
    model.seed = 4
    users = model.model_copy(update={"top_k": 3}).for_user("sk-or-v1-u", user="u1")
    body = json.loads(encode_json(users._chat_payload([HumanMessage("q")])))

    sent = {"model": "a/b", "temperature": 0.0, "top_p": 0.5, "seed": 4, "top_k": 3, "user": "u1"}
    assert {name: body[name] for name in sent} == sent
    assert "top_k" not in model._default_params
    assert "user" not in model._default_params


@pytest.mark.parametrize("on", [True, False])
def test_subclass_converts_its_input(monkeypatch, on):
    """What a subclass makes of the input is sent, also of a list of messages."""

    class Polite(ChatOpenRouter):
        def _convert_input(self, model_input):
            messages = super()._convert_input(model_input).to_messages()
            return ChatPromptValue(messages=[SystemMessage("Please."), *messages])

    with switched(monkeypatch, on=on):
        payload = Polite(model="a/b", api_key="k")._chat_payload([HumanMessage("q")])
    assert [message["role"] for message in payload["messages"]] == ["system", "user"]


@pytest.mark.parametrize("on", [True, False])
def test_validated_default_is_sent(monkeypatch, on):
    """A default that a validator of a subclass replaces is a value, though nobody set the field."""

    class Private(ChatOpenRouter):
        openrouter_provider: dict | None = Field(default=None, validate_default=True)

        @field_validator("openrouter_provider", mode="before")
        @classmethod
        def _demand_zdr(cls, value):
            return value or {"zdr": True}

    class Validated(ChatOpenRouter):
        model_config = ConfigDict(validate_default=True)

        @field_validator("top_k", mode="before")
        @classmethod
        def _choose(cls, value):
            return value or 5

    with switched(monkeypatch, on=on):
        body = Private(model="a/b", api_key="k")._chat_payload([HumanMessage("q")])
        assert body["provider"] == {"zdr": True}
        assert Validated(model="a/b", api_key="k")._chat_payload([HumanMessage("q")])["top_k"] == 5
