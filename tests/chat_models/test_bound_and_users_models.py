"""Bound models, users' models and fields: what was set is sent, and stays whose it is."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys

import pytest

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    OpenRouterRerank,
    UserKey,
    errors,
)
from tests.support.loopback import Reply, event, sse, whole

ZDR = {"provider": {"zdr": True}}


def provider_of(server):
    """Return the preferences of the last request."""
    return server.seen[-1].body.get("provider")


@pytest.mark.parametrize(
    "derive",
    [
        lambda m: m.bind(extra_body=ZDR),
        lambda m: m.bind(extra_body=ZDR).bind(extra_body={"x": 1}),
        lambda m: m.bind(extra_body=ZDR).bind_tools([{"type": "openrouter:web_search"}]),
        lambda m: m.bind(provider={"zdr": True}).with_retry().bind(provider={"sort": "price"}),
        lambda m: m.bind(provider={"zdr": True}).with_fallbacks([m]).with_config(tags=["x"]),
        lambda m: m.bind(temperature=0).with_retry().bind(extra_body=ZDR),
    ],
)
@pytest.mark.off_spec("a field of the user's own")
def test_a_bound_privacy_preference_survives_what_is_derived_from_it(serve, model_on, derive):
    """Further binds, tools, retries, fallbacks, and the call's own extra body."""
    server = serve(Reply(whole()))
    model = derive(model_on(server))

    model.invoke("x")
    assert provider_of(server)["zdr"] is True
    model.invoke("x", extra_body={"y": 1})
    assert provider_of(server)["zdr"] is True


@pytest.mark.parametrize("how", ["embeddings", "rerank"])
@pytest.mark.off_spec("no chat request")
def test_preferences_are_merged_beside_chat_too(serve, how):
    """`model_kwargs` takes none away."""
    server = serve(Reply({"data": [{"embedding": [0.5]}], "results": []}))
    fields = {
        "model": "a/b", "api_key": "k", "base_url": server.url,
        "openrouter_provider": {"zdr": True, "data_collection": "deny"},
        "model_kwargs": {"provider": {"sort": "price", "data_collection": "allow"}},
    }  # fmt: skip
    if how == "embeddings":
        OpenRouterEmbeddings(**fields).embed_query("x")
    else:
        OpenRouterRerank(**fields).rerank("x", ["y"])

    assert provider_of(server) == {"zdr": True, "data_collection": "deny", "sort": "price"}


def test_providers_to_ignore_stay_when_a_call_takes_preferences_away(serve, model_on):
    """An optional variable that is None loosens nothing."""
    server = serve(Reply(whole()))
    model = model_on(server, openrouter_provider={"ignore": ["a"], "zdr": True, "sort": "price"})
    model.invoke("x", provider=None)

    assert provider_of(server) == {"ignore": ["a"], "zdr": True}


@pytest.mark.parametrize(
    "words",
    [
        {"provider": {"zdr": True}, "openrouter_provider": {"sort": "price"}},
        {"api_key": "a", "openrouter_api_key": "b"},
        {"base_url": "https://a.example", "openrouter_api_base": "https://b.example"},
        {"stop": ["a"], "stop_sequences": ["b"]},
    ],
)
def test_one_field_under_two_names_is_refused(words):
    """Neither is dropped without a word."""
    with pytest.raises(ValueError, match="both set"):
        ChatOpenRouter(model="a/b", **words)


def test_a_bound_model_keeps_its_arguments_for_a_user(serve, model_on):
    """Limits, sessions and tools that were bound go along."""
    server = serve(Reply(whole()))
    tool = {"type": "openrouter:web_search"}
    bound = model_on(server).bind_tools([tool]).bind(max_tokens=5, session_id="s")
    bound.for_user("sk-or-v1-ann", user="ann").invoke("x")
    seen = server.seen[0]

    assert seen.key == "sk-or-v1-ann"
    assert (seen.body["max_tokens"], seen.body["session_id"]) == (5, "s")
    assert (seen.body["tools"], seen.body["user"]) == ([tool], "ann")


def test_the_id_of_one_user_does_not_go_along_to_another(serve, model_on):
    """A model that is derived from a user's; an operator's own `user` stays."""
    server = serve(Reply(whole()))
    ann = model_on(server).for_user(UserKey("sk-or-v1-ann", "user_ann", server.url), user=True)
    ann.for_user(UserKey("sk-or-v1-bob", "user_bob", server.url)).invoke("x")
    model_on(server, user="app").for_user("sk-or-v1-bob").invoke("x")

    assert [seen.body.get("user") for seen in server.seen] == [None, "app"]


def test_a_pickle_of_a_model_holds_no_key_of_the_environment(monkeypatch):
    """It would serve nothing: where the pickle is loaded, the environment is read again."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-sentinel")
    data = pickle.dumps([ChatOpenRouter(model="a/b"), OpenRouterEmbeddings(model="a/b")])
    assert b"sentinel" not in data

    code = "import pickle, sys; m = pickle.load(sys.stdin.buffer)[0]; print(m._key_source()().get_secret_value())"
    loaded = subprocess.run(
        [sys.executable, "-c", code], input=data, capture_output=True, check=True,
        env={"OPENROUTER_API_KEY": "sk-or-v1-there", "PATH": ""},
    )  # fmt: skip
    assert loaded.stdout.strip() == b"sk-or-v1-there"


def test_a_variable_that_does_not_fit_is_a_typed_error_that_names_it(serve, monkeypatch):
    """And only those that the request needs count."""
    server = serve(Reply(whole()))
    model = ChatOpenRouter(model="a/b", api_key="k")
    monkeypatch.setenv("OPENROUTER_TIMEOUT", "soon")
    monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
    assert model.invoke("x").text == "Hello!"

    monkeypatch.setenv("OPENROUTER_BASE_URL", "http://openrouter.ai/api/v1")
    with pytest.raises(errors.ConnectionFailedError, match=r"OPENROUTER_BASE_URL.*must be https"):
        model.invoke("x")


@pytest.mark.parametrize("how", ["stream", "astream", "invoke"])
def test_audio_that_is_no_base64_arrives_as_it_came(serve, model_on, how):
    """Never an untyped error."""
    pieces = [{"audio": {"data": "QQ==", "id": "a"}}, {"audio": {"data": "é"}}]
    items = [*map(event, pieces), event({}, choice={"finish_reason": "stop"})]
    server = serve(Reply(sse(items), content_type="text/event-stream"))
    model = model_on(server)

    async def astream():
        return [chunk async for chunk in model.astream("x")]

    if how == "invoke":
        message = model.invoke("x")
    else:
        chunks = list(model.stream("x")) if how == "stream" else asyncio.run(astream())
        message = chunks[0] + chunks[1:] if len(chunks) > 1 else chunks[0]
    assert message.additional_kwargs["audio"]["data"] == "QQ==é"
