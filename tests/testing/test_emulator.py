"""The emulator over real HTTP: what it refuses, what it answers, what goes wrong when asked to."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import httpx2
import pytest

from langchain_openrouter import ChatOpenRouter, errors, testing
from langchain_openrouter.testing import Fault, Reply, error
from langchain_openrouter.testing.emulator import ERRORS
from langchain_openrouter.testing.emulator._schema_examples import example_for
from langchain_openrouter.testing.emulator._validation import validation_errors
from tests.support.browser import Browser

HEADERS = {"authorization": "Bearer k"}
FINE = {"model": "a/b", "messages": [{"role": "user", "content": "x"}]}


def model_on(emulator, **words):
    """Make a model that talks to an emulator."""
    return ChatOpenRouter(**{"model": "a/b", "api_key": "k", "base_url": emulator.url, "max_retries": 0,
                             "timeout": 5, **words})  # fmt: skip


def post(emulator, path, body, headers=HEADERS):
    """Send a request."""
    return httpx2.post(f"{emulator.url}{path}", json=body, headers=headers)


def get(emulator, path, **params):
    """Ask for something."""
    return httpx2.get(f"{emulator.url}{path}", headers=HEADERS, params=params)


# --- what it refuses --------------------------------------------------------------------------

MALFORMED = [
    {},
    {"model": "a/b"},
    {**FINE, "messages": []},
    {**FINE, "messages": "x"},
    {**FINE, "messages": [{"role": "wizard", "content": "x"}]},
    {**FINE, "messages": [{"role": "user", "content": None}]},
    {**FINE, "messages": [{"role": "user", "content": [{"type": "image"}]}]},
    {**FINE, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}]},
    {**FINE, "messages": [{"role": "tool", "content": "x"}]},
    {**FINE, "messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
    {**FINE, "temperature": "hot"},
    {**FINE, "max_tokens": 1.5},
    {**FINE, "stop": ["a", "b", "c", "d", "e"]},
    {**FINE, "provider": {"zrd": True}},
    {**FINE, "tools": [{"type": "function", "function": {}}]},
    {**FINE, "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {**FINE, "models": "a/b"},
    {**FINE, "model": "nonsense"},
    {**FINE, "models": ["a/b", "nonsense"]},
]


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_request_is_refused(emulate, body):
    """With a 400 in the service's own envelope."""
    answer = post(emulate(), "/chat/completions", body)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400
    assert answer.json()["error"]["message"]


def test_a_well_formed_request_is_not(emulate):
    """Nulls are "not set", new fields are let through, a preset is a slug."""
    emulator = emulate()

    for more in ({"temperature": None, "top_p": 1, "brand_new": [1]}, {"model": "@preset/mine"},
                 {"tools": [{"type": "openrouter:web_search"}]}, {"reasoning": {"effort": "brand-new"}}):  # fmt: skip
        assert post(emulator, "/chat/completions", {**FINE, **more}).status_code == 200, more


def test_every_recorded_request_is_well_formed():
    """What the live service took, the emulator takes."""
    from tests.support.traffic import exchanges

    if not exchanges():
        pytest.skip("OPENROUTER_TRAFFIC names no folder of recordings")
    refused = {
        e["id"]: validation_errors(e["request"])
        for e in exchanges()
        if e["status"] == 200 and validation_errors(e["request"])
    }

    assert not refused


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "unknown"}, {"authorization": "Bearer unknown"}]
)
def test_a_key_is_needed(emulate, headers):
    """None, an empty one, and, where only known ones count, an unknown one."""
    answer = post(emulate(any_key=False), "/chat/completions", FINE, headers)

    assert answer.status_code == 401
    assert "user_id" not in answer.json()


def test_keys_run_out_and_are_disabled(emulate):
    """A limit, an account without credit, a disabled and an expired key."""
    emulator = emulate()
    emulator.accounts.add_key("limited", limit=0.00001)
    emulator.accounts.add_key("broke", credits=0.0)
    emulator.accounts.add_key("off", disabled=True)
    emulator.accounts.add_key("old", expires_at="2020-01-01T00:00:00+00:00")
    limited = model_on(emulator).for_user("limited")
    limited.invoke("x " * 100)

    with pytest.raises(errors.InsufficientCreditsError):
        limited.invoke("x")
    for key, kind in (("broke", errors.InsufficientCreditsError), ("off", errors.AuthenticationError),
                      ("old", errors.AuthenticationError)):  # fmt: skip
        with pytest.raises(kind):
            model_on(emulator).for_user(key).invoke("x")
    info = httpx2.get(f"{emulator.url}/key", headers={"authorization": "Bearer limited"}).json()[
        "data"
    ]
    assert info["usage"] > info["limit"]
    assert info["limit_remaining"] == 0


# --- what goes wrong when asked to ------------------------------------------------------------

KINDS = {
    "bad_request": errors.InvalidRequestError, "unknown_model": errors.InvalidRequestError,
    "context_length": errors.ContextOverflowError, "authentication": errors.AuthenticationError,
    "payment_required": errors.InsufficientCreditsError, "key_limit": errors.InsufficientCreditsError,
    "permission": errors.PermissionDeniedError, "moderation": errors.ModerationError,
    "no_endpoints": errors.ModelUnavailableError, "timeout": errors.RequestTimeoutError,
    "conflict": errors.InvalidRequestError, "precondition": errors.InvalidRequestError,
    "too_large": errors.InvalidRequestError, "unprocessable": errors.InvalidRequestError,
    "rate_limit": errors.RateLimitError, "server": errors.UpstreamError, "provider": errors.UpstreamError,
    "overloaded": errors.UpstreamError, "gateway_timeout": errors.RequestTimeoutError,
    "edge_timeout": errors.RequestTimeoutError,
}  # fmt: skip


@pytest.mark.parametrize("form", ["status", "body", "choice", "event"])
@pytest.mark.parametrize("name", ERRORS)
def test_every_documented_error_in_every_form(emulate, name, form):
    """Whole and streamed, each ends in its own type, with what came before."""
    emulator = emulate(lambda _: error(name, form, text="So far"))

    for ask in (lambda m: m.invoke("x"), lambda m: list(m.stream("x"))):
        with pytest.raises(KINDS[name]) as caught:
            ask(model_on(emulator))
        assert type(caught.value) is KINDS[name]
        if form in {"choice", "event"}:
            assert caught.value.partial.text == "So far"


def test_an_unknown_error_is_named():
    """With the names there are."""
    with pytest.raises(ValueError, match="rate_limit"):
        error("ratelimit")


def test_rate_limits_have_their_headers(emulate):
    """On OpenRouter's own 429 and nowhere else."""
    emulator = emulate([error("rate_limit", retry_after=3), "fine"])
    limited, fine = (post(emulator, "/chat/completions", FINE) for _ in range(2))

    assert limited.headers["retry-after"] == "3"
    assert limited.headers["x-ratelimit-remaining"] == "0"
    assert not [name for name in fine.headers if name.startswith("x-ratelimit")]
    assert fine.headers["x-generation-id"] == fine.json()["id"]
    assert "__cf_bm" in fine.headers["set-cookie"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_connections_end(emulate, kind, streamed):
    """At once, and in the middle."""
    emulator = emulate(
        [Reply("some words", fault=Fault(kind, after=after)) for after in (0, 3 if streamed else 1)]
    )
    for _ in range(2):
        with pytest.raises(errors.ConnectionFailedError):
            list(model_on(emulator).stream("x")) if streamed else model_on(emulator).invoke("x")


def test_a_stall_is_a_timeout_and_the_server_learns_who_left(emulate):
    """The idle time is the client's; the emulator sets `gone`."""
    emulator = emulate([Reply("some words", fault=Fault("stall", after=3, seconds=30))])

    with pytest.raises(errors.ConnectionTimeoutError):
        list(model_on(emulator, timeout=0.3).stream("x"))
    assert emulator.chats[0].gone.wait(5)


def test_drips_doubles_and_nonsense_are_read(emulate):
    """Byte by byte; each event twice; an event that is no JSON; no body; a page."""
    emulator = emulate([
        Reply("slow", fault=Fault("drip", seconds=0.0001)), Reply("twice", fault=Fault("duplicate")),
        Reply("broken", fault=Fault("malformed", after=2)), Reply("", fault=Fault("empty")),
        Reply("", fault=Fault("html")),
    ])  # fmt: skip
    model = model_on(emulator)

    assert "".join(c.text for c in model.stream("x")) == "slow"
    assert "".join(c.text for c in model.stream("x")) == "twicetwice"
    for _ in range(3):
        with pytest.raises(errors.OpenRouterError):
            list(model.stream("x"))


def test_a_script_that_is_over_says_so(emulate):
    """Instead of improvising."""
    emulator = emulate(["one"])
    model_on(emulator).invoke("x")

    with pytest.raises(errors.UpstreamError, match="no reply left"):
        model_on(emulator).invoke("x")


# --- what it improvises -----------------------------------------------------------------------


def test_citations_images_audio_and_files(emulate):
    """Each where the request asks for it."""
    emulator = emulate()
    searched = model_on(emulator).bind_tools([{"type": "openrouter:web_search"}]).invoke("news?")
    heard = list(
        model_on(
            emulator, modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}
        ).stream("x")
    )
    painted = model_on(emulator, modalities=["image", "text"]).invoke("a cat")

    assert (
        searched.additional_kwargs["annotations"][0]["url_citation"]["url"]
        == "https://example.org/"
    )
    assert searched.response_metadata["server_tool_use"]["web_search_requests"] == 1
    assert any("audio" in chunk.additional_kwargs for chunk in heard)
    assert painted.additional_kwargs["images"][0]["image_url"]["url"].startswith("data:image/png")


@pytest.mark.parametrize(
    ("name", "question", "called"),
    [
        ("get_weather", "What is the weather in Oslo?", True),
        ("GetWeather", "What is the weather in Oslo?", True),
        ("HTTPFetch", "Fetch this page", True),
        ("magic_function", "What is magicFunction(3)?", True),
        ("get_weather", "Get me a sentence on what this tool is described to do", False),
        ("getWeather", "whether it rains", False),
    ],
)
def test_a_tool_is_called_when_a_word_of_its_name_is_in_the_message(
    emulate, name, question, called
):
    """Its description counts for nothing, and neither does `get`."""
    tool = {
        "type": "function",
        "function": {
            "name": name,
            "description": "Described to do this: a sentence on whether it rains",
            "parameters": {"type": "object", "properties": {}},
        },
    }
    answer = model_on(emulate()).bind_tools([tool]).invoke(question)

    assert [call["name"] for call in answer.tool_calls] == [name] * called


def test_names_fill_a_schema_in_order_and_sentence_beginnings_last():
    """Quoted parts first; the capital of a sentence's first word is no better than a fallback."""
    schema = {"type": "object", "properties": {key: {"type": "string"} for key in "abc"}}
    made = example_for(schema, "Where is Paris? In the 'far north'.")

    assert made == {"a": "far north", "b": "Paris", "c": "Where"}


SCHEMAS = [
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 5}, "s": {"enum": ["a", "b"]}}, "required": ["n", "s"]},
    {"type": "object", "properties": {"p": {"$ref": "#/$defs/P"}}, "required": ["p"],
     "$defs": {"P": {"type": "object", "properties": {"d": {"type": "string", "format": "date"}}, "required": ["d"]}}},
    {"type": "object", "properties": {"x": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "boolean"}, "minItems": 2}]}}},
    {"type": "object", "properties": {"a": {"type": "string", "minLength": 9, "maxLength": 9}, "f": {"type": "number", "exclusiveMinimum": 10, "multipleOf": 5}}},
    {"allOf": [{"type": "object", "properties": {"c": {"const": "k"}}}]},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_structured_output_conforms(schema):
    """By a validator of JSON Schema that is not ours."""
    import jsonschema

    jsonschema.validate(example_for(schema, "Take 4 of Paris"), schema)


# --- beside chat ------------------------------------------------------------------------------


def test_models_and_endpoints(emulate):
    """Listed, filtered, one, its endpoints, its providers."""
    emulator = emulate()
    slugs = [row["id"] for row in get(emulator, "/models").json()["data"]]

    assert "openai/gpt-4o-mini" in slugs
    assert "openai/text-embedding-3-small" not in slugs
    assert [
        r["id"] for r in get(emulator, "/models", output_modalities="embeddings").json()["data"]
    ] == ["openai/text-embedding-3-small"]
    assert len(get(emulator, "/models", limit=2).json()["data"]) == 2
    assert get(emulator, "/models/user").json()["data"]
    assert get(emulator, "/model/openai/gpt-4o-mini").json()["data"]["context_length"] == 128_000
    assert get(emulator, "/model/openai/none").status_code == 404
    ends = get(emulator, "/models/openai/gpt-4o-mini/endpoints").json()["data"]["endpoints"]
    assert [e["provider_name"] for e in ends] == ["OpenAI", "Azure"]
    assert get(emulator, "/providers").json()["data"][0]["slug"] == "openai"
    assert get(emulator, "/nothing").status_code == 404


def test_embeddings_and_rerank(emulate):
    """Texts that share words are near; documents are ranked; both cost."""
    emulator = emulate()
    body = {
        "model": "openai/text-embedding-3-small",
        "input": ["a red cat", "the red cat", "blue dogs run"],
        "dimensions": 32,
    }
    answer = post(emulator, "/embeddings", body).json()
    one, two, three = (row["embedding"] for row in answer["data"])
    ranked = post(
        emulator,
        "/rerank",
        {
            "model": "cohere/rerank-v3.5",
            "query": "France",
            "documents": ["Athens", "Paris, France"],
            "top_n": 1,
        },
    ).json()

    assert len(one) == 32
    assert sum(map(float.__mul__, one, two)) > sum(map(float.__mul__, one, three))
    assert answer["usage"]["cost"] > 0
    assert [(r["index"], r["document"]["text"]) for r in ranked["results"]] == [
        (1, "Paris, France")
    ]
    assert post(emulator, "/embeddings", {"model": "openai/x"}).status_code == 400


def test_a_generation_is_known_a_moment_later(emulate):
    """404 first, then its cost; credits need another key."""
    emulator = emulate(generation_delay=0.3)
    answer = model_on(emulator).invoke("x")

    assert get(emulator, "/generation", id=answer.id).status_code == 404
    time.sleep(0.35)
    data = get(emulator, "/generation", id=answer.id).json()["data"]
    assert data["total_cost"] == answer.response_metadata["cost"]
    assert get(emulator, "/credits").status_code == 403


# --- the sign-in ------------------------------------------------------------------------------


def test_the_page_waits_until_someone_decides(emulate):
    """A wait decides nothing; a request without callback and challenge is refused."""
    from langchain_openrouter import PKCELogin

    emulator = emulate()
    login = PKCELogin.start(base_url=emulator.url, key_label="<b>Mine</b>", limit=2)
    page = httpx2.get(login.url).text
    waiting = Browser("wait")
    waiting.decide(login.url)
    approving = Browser()
    approving.decide(login.url)

    assert "&lt;b&gt;Mine" in page
    assert "Take your time" in waiting.seen[0].text
    assert login.redeem(approving.code()).info().limit == 2
    assert httpx2.get(f"{emulator.site}/auth").status_code == 400


def test_a_code_can_be_made_by_the_api(emulate):
    """POST /auth/keys/code, with a key."""
    from langchain_openrouter import PKCELogin

    emulator = emulate()
    login = PKCELogin.start(base_url=emulator.url)
    body = {
        "callback_url": "https://a.org",
        "code_challenge": login.challenge,
        "code_challenge_method": "S256",
    }
    code = post(emulator, "/auth/keys/code", body).json()["data"]["id"]

    assert login.redeem(code).secret.get_secret_value() in emulator.accounts.keys
    assert httpx2.get(f"{emulator.url}/auth/keys").status_code == 405


# --- as a program, as a fixture ---------------------------------------------------------------


def test_it_runs_as_a_program():
    """On a port, saying how to use it; an interrupt ends it cleanly."""
    import signal

    command = [sys.executable, "-m", "langchain_openrouter.testing", "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        url = re.search(r"OPENROUTER_BASE_URL=(\S+)", process.stdout.readline())[1]
        assert (
            ChatOpenRouter(model="a/b", api_key="k", base_url=url)
            .invoke("Hello")
            .text.startswith("Hello")
        )
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=15)

    assert process.returncode == 0
    assert "Traceback" not in told


def test_it_is_a_fixture(openrouter_emulator):
    """Of the plugin."""
    openrouter_emulator.script(["Scripted."])

    assert model_on(openrouter_emulator).invoke("x").text == "Scripted."
    assert openrouter_emulator.chats[0].body["messages"][0]["content"] == "x"
    assert openrouter_emulator.chats[0].key == "k"
    assert "Bearer" not in repr(openrouter_emulator.chats[0])


def test_the_names_of_the_first_release_still_work(emulate):
    """`error`, `Asked`, `asked` and `chats` are the same objects as under their new names."""
    emulator = emulate()
    model_on(emulator).invoke("x")
    get(emulator, "/models")

    assert testing.error is testing.error_reply
    assert testing.Asked is testing.ReceivedRequest
    assert emulator.asked is emulator.requests
    assert [request.path for request in emulator.asked] == ["/chat/completions", "/models"]
    assert emulator.chats == emulator.chat_requests == emulator.requests[:1]
    assert isinstance(emulator.requests[0], testing.ReceivedRequest)
