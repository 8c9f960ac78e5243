"""The emulator's `POST /responses`: shapes of the recordings and the specification; refusals; faults."""

from __future__ import annotations

import json
from collections import defaultdict

import httpx2
import openai
import pytest
from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from langchain_openrouter import ChatOpenRouter, errors
from langchain_openrouter.callbacks import get_openrouter_callback
from langchain_openrouter.testing import (
    Call,
    Fault,
    Reply,
    assert_prefix_stable,
    assert_reasoning_returned,
    error,
)
from tests.support.contract import fits
from tests.support.traffic import bodies, response_exchanges

REPLIES = {
    "text": Reply("Some words here."),
    "tools": Reply(tool_calls=[Call("get_weather", {"city": "Paris"}), Call("now")]),
    "reasoning": Reply("Fine.", reasoning="I think about it."),
    "refusal": Reply(refusal="I will not."),
    "cut": Reply("Some", finish_reason="length"),
    "citation": Reply("ab", annotations=[{"type": "url_citation", "url_citation": {
        "url": "https://a.b", "title": "A", "start_index": 0, "end_index": 2}}]),
    "image": Reply("See.", images=["data:image/png;base64,AAAA"]),
    "search": Reply("Hi.", items=[{"type": "web_search_call", "id": "ws_1", "status": "completed"}]),
}  # fmt: skip
MODELS = ["openai/gpt-5.2", "anthropic/claude-sonnet-4.6", "google/gemini-2.5-pro"]
# Each recorded one departs from the specification, too.
RESPONSE_EVENTS = {"response.created", "response.in_progress"}
HEADERS = {"authorization": "Bearer k"}


def post(emulator, **fields):
    """Ask the emulator; return the response."""
    body = {"model": "openai/gpt-5.2", "input": "x", **fields}
    return httpx2.post(f"{emulator.url}/responses", json=body, headers=HEADERS)


def model_on(emulator, **fields):
    """Return a model that speaks the endpoint."""
    fields = {"model": "openai/gpt-5.2", "max_retries": 0, **fields}
    return ChatOpenRouter(api_key="k", base_url=emulator.url, use_responses_api=True, **fields)


def events_of(response):
    """Return the events of a stream."""
    return bodies({"stream": True, "body": response.text})


@pytest.mark.parametrize("slug", MODELS)
@pytest.mark.parametrize("kind", REPLIES)
def test_answers_fit_the_specification(emulate, kind, slug):
    """The whole answer, each event, and the answer that the last of them carries."""
    emulator = emulate([REPLIES[kind]] * 2)
    whole = post(emulator, model=slug).json()
    events = events_of(post(emulator, model=slug, stream=True))
    told = fits("OpenResponsesResult", whole) + fits("OpenResponsesResult", events[-1]["response"])
    wrong = {(event["type"], p) for event in events for p in fits("StreamEvents", event)}

    assert not told
    assert {w for w in wrong if w[0] not in RESPONSE_EVENTS} == set()
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def paths(value, path="$"):
    """Return the path of each value."""
    found = defaultdict(set)
    if isinstance(value, dict):
        for name, item in value.items():
            found[path].add(name)
            for where, names in paths(item, f"{path}.{name}").items():
                found[where] |= names
    elif isinstance(value, list):
        for item in value:
            for where, names in paths(item, f"{path}[]").items():
                found[where] |= names
    return found


@pytest.mark.skipif(not response_exchanges(), reason="no recordings")
@pytest.mark.parametrize("stream", [False, True])
def test_fields_are_those_of_the_recordings(emulate, stream):
    """Of an answer in text: nothing is missing that each recent one has, and nothing is made up."""
    known = [e for e in response_exchanges() if e["stream"] is stream and '"usage":' in e["body"]]
    theirs = [bodies(e)[-1]["response"] if stream else bodies(e)[0] for e in known]
    recent = [body for body in theirs if body["created_at"] > 1_780_000_000]
    emulator = emulate([REPLIES["text"]])
    response = post(emulator, stream=stream)
    ours = events_of(response)[-1]["response"] if stream else response.json()

    if recent:
        assert set.intersection(*[set(body) for body in recent]) <= set(ours)
    assert set(ours) <= {name for body in theirs for name in body}
    usage = {name for body in theirs for name in body["usage"]}
    assert set(ours["usage"]) <= usage
    if stream:
        kinds = {event["type"] for exchange in known for event in bodies(exchange)}
        assert {event["type"] for event in events_of(response)} <= kinds


def test_the_openai_client_reads_it(emulate):
    """OpenAI's own SDK accepts the answers, whole and streamed."""
    emulator = emulate([REPLIES["tools"], REPLIES["reasoning"], REPLIES["text"]])
    client = openai.OpenAI(api_key="k", base_url=emulator.url, max_retries=0)
    whole = client.responses.create(model="openai/gpt-5.2", input="x")
    assert [item.name for item in whole.output] == ["get_weather", "now"]
    with client.responses.stream(model="openai/gpt-5.2", input="x") as stream:
        final = stream.get_final_response()
    assert final.output_text == "Fine."
    assert (
        client.responses.create(model="openai/gpt-5.2", input="x").output_text == "Some words here."
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"input": None}, "input: Input required"), ({"previous_response_id": "resp_1"}, "stateless"),
     ({"store": True}, "store"), ({"background": True}, "stateless"),
     ({"model": "nonsense"}, "not a valid model ID"), ({"provider": {"onyl": ["a"]}}, "provider.onyl"),
     ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "a function needs a name"),
     ({"input": [{"type": "function_call_output", "call_id": "c", "output": ""}]}, "No tool call found"),
     ({"input": [{"role": "robot", "content": "x"}]}, "role"),
     ({"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "Invalid option: 'text'"),
     ({"max_output_tokens": "many"}, "max_output_tokens")],
)  # fmt: skip
def test_malformed_requests_are_refused(emulate, fields, told):
    """As the service refuses them: 400, one of the codes, and the type."""
    response = post(emulate(), **fields)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_prompt"
    assert response.json()["error_type"] == "invalid_request"
    assert told in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("authentication", errors.AuthenticationError), ("payment_required", errors.InsufficientCreditsError),
     ("in_flight_budget", errors.InFlightBudgetError), ("context_length", errors.ContextOverflowError),
     ("rate_limit", errors.RateLimitError), ("moderation", errors.ModerationError),
     ("no_endpoints", errors.ModelUnavailableError), ("overloaded", errors.UpstreamError)],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_scripted_errors_are_those_of_chat(emulate, name, expected, stream):
    """Of the same class, with the same metadata."""
    model = model_on(emulate([error(name)] * 2))
    found = []
    for option in (True, False):
        with pytest.raises(expected) as caught:
            list(model.stream("x", use_responses_api=option)) if stream else model.invoke(
                "x", use_responses_api=option
            )
        found.append((caught.value.code, caught.value.metadata, caught.value.is_retryable))

    assert found[0][0] == found[1][0]
    assert found[0][2] == found[1][2]
    assert found[0][1].get("limit_source") == found[1][1].get("limit_source")


@pytest.mark.parametrize("form", ["body", "choice", "event"])
def test_errors_in_mid_answer(emulate, form):
    """As an event, or as an answer that has failed; what came travels along."""
    reply = Reply("Hel", error={"code": 502, "message": "It broke"}, form=form)
    model = model_on(emulate([reply] * 2))
    for call in (lambda: list(model.stream("x")), lambda: model.invoke("x")):
        with pytest.raises(errors.UpstreamError, match="It broke") as caught:
            call()
        if form != "body":
            assert caught.value.partial.text == "Hel"


@pytest.mark.parametrize("kind", ["cut", "reset", "malformed", "empty", "html"])
@pytest.mark.parametrize("stream", [False, True])
def test_faults_are_the_same(emulate, kind, stream):
    """Each ends in a typed error, as with chat completions."""
    model = model_on(
        emulate([Reply("Some words here.", fault=Fault(kind, after=4 if stream else 1))])
    )
    if kind == "malformed" and not stream:
        pytest.skip("an event among halves of a body")
    with pytest.raises(errors.OpenRouterError):
        list(model.stream("x")) if stream else model.invoke("x")


def test_bytes_may_come_one_by_one(emulate):
    """As slowly as the connection lets them."""
    reply = Reply("Some words here.", fault=Fault("drip", seconds=0.0001))
    texts = [chunk.text for chunk in model_on(emulate([reply])).stream("x")]
    assert "".join(texts) == "Some words here."


class Person(BaseModel):
    """A person."""

    name: str


@pytest.mark.parametrize("method", ["auto", "function_calling", "json_schema"])
@pytest.mark.parametrize("slug", ["openai/gpt-5.2", "anthropic/claude-opus-5.5", "acme/unheard-of"])
def test_structured_output_on_every_model(emulate, method, slug):
    """Forcing that is refused is relaxed, as with chat completions."""
    model = model_on(emulate(), model=slug)
    if method == "function_calling" and "5.5" in slug:
        with pytest.raises(errors.InvalidRequestError):
            model.with_structured_output(Person, method=method).invoke("Ada")
        return
    assert isinstance(model.with_structured_output(Person, method=method).invoke("Ada"), Person)


@pytest.mark.filterwarnings("ignore:anthropic/claude-opus-5.5 refuses a forced tool")
def test_forced_tools_are_relaxed(emulate):
    """With a line in the prompt that names them."""
    emulator = emulate()
    bound = model_on(emulator, model="anthropic/claude-opus-5.5").bind_tools(
        [Person], tool_choice="any"
    )
    assert bound.invoke("The person is Ada").tool_calls[0]["name"] == "Person"
    last = emulator.requests[-1].body
    assert last["tool_choice"] == "auto"
    assert "Person" in last["input"][0]["content"]


def test_users_costs_and_generations(emulate):
    """Keys are charged, callbacks add up, and `GET /generation` knows the answer."""
    emulator = emulate(["One.", "Two."])
    with get_openrouter_callback() as usage:
        message = model_on(emulator).invoke("x")
        chat = model_on(emulator).invoke("x", use_responses_api=False)
    total = message.response_metadata["cost"] + chat.response_metadata["cost"]

    assert usage.cost == pytest.approx(total)
    assert usage.total.requests == 2
    found = httpx2.get(
        f"{emulator.url}/generation", params={"id": message.id}, headers=HEADERS
    ).json()
    assert found["data"]["total_cost"] == message.response_metadata["cost"]


def test_requests_are_read_as_messages(emulate):
    """Scripts and assertions read one form at both endpoints."""
    emulator = emulate(lambda asked: Reply(f"{len(asked.messages)} messages", reasoning="Hm."))
    model = model_on(emulator)
    first = model.invoke("x")
    model.invoke([HumanMessage("x"), first, HumanMessage("y")])

    assert first.text == "1 messages"
    roles = [message["role"] for message in emulator.requests[-1].messages]
    assert roles == ["user", "assistant", "user"]
    assert_prefix_stable(emulator.requests)


def test_assertions_read_both_endpoints():
    """Reasoning items have to go back."""
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    body = {"id": "gen-1", "object": "response", "status": "completed", "output": [item]}

    class Exchange:
        """One exchange."""

        def __init__(self, *items):
            self.body = {"model": "m", "input": [{"role": "user", "content": "x"}, *items]}
            self.answer = json.dumps(body).encode()

    assert_reasoning_returned([Exchange(), Exchange(item)])
    assert_prefix_stable([Exchange(), Exchange(item)])
    with pytest.raises(AssertionError, match="did not go back"):
        assert_reasoning_returned([Exchange(), Exchange({**item, "encrypted_content": "other"})])
    with pytest.raises(AssertionError, match="changes message 2"):
        assert_prefix_stable([Exchange(item), Exchange({**item, "id": "rs_2"})])
