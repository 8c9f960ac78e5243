"""The environment's key and base URL are read when a request is sent."""

from __future__ import annotations

import asyncio
import os
import pickle

import pytest

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    OpenRouterRerank,
    OpenRouterSettings,
    errors,
)
from langchain_openrouter.catalog import Catalog
from tests.support.loopback import Reply, whole

pytestmark = pytest.mark.off_spec("one server for all endpoints")

BODY = {**whole("fine"), "data": [{"embedding": [0.5]}], "results": []}
MAKERS = {
    "chat": (lambda: ChatOpenRouter(model="a/b"), lambda o: o.invoke("x"), lambda o: o.ainvoke("x")),
    "stream": (lambda: ChatOpenRouter(model="a/b"), lambda o: list(o.stream("x")), lambda o: o.ainvoke("x")),
    "embeddings": (lambda: OpenRouterEmbeddings(model="a/b"), lambda o: o.embed_query("x"), lambda o: o.aembed_query("x")),
    "rerank": (lambda: OpenRouterRerank(model="a/b"), lambda o: o.rerank("x", ["y"]), lambda o: o.arerank("x", ["y"])),
    "catalog": (Catalog, lambda o: o.user_models(), lambda o: o.auser_models()),
}  # fmt: skip


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("when", ["before there was a key", "with another key and address"])
@pytest.mark.parametrize("name", MAKERS)
def test_a_model_made_at_import_time_uses_the_environment_of_the_call(
    serve, monkeypatch, name, when, how
):
    """So that it is never sent past an emulator or a cassette that came later."""
    make, call, acall = MAKERS[name]
    other, server = serve(Reply(BODY)), serve(Reply(BODY))
    if when == "with another key and address":
        monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-of-the-import")
        monkeypatch.setenv("OPENROUTER_BASE_URL", other.url)
    early = make()

    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-of-the-call")
    monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
    call(early) if how == "sync" else asyncio.run(acall(early))

    assert not other.seen
    assert [seen.key for seen in server.seen] == ["sk-or-v1-of-the-call"]


def test_copies_pickles_and_bound_models_read_it_too(serve, monkeypatch):
    """However a model was derived."""
    other, server = serve(Reply(whole())), serve(Reply(whole()))
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-of-the-import")
    monkeypatch.setenv("OPENROUTER_BASE_URL", other.url)
    early = ChatOpenRouter(model="a/b")
    from langchain_core.runnables import ConfigurableField

    derived = [
        early.model_copy(),
        early.model_copy(deep=True),
        pickle.loads(pickle.dumps(early)),
        early.bind(temperature=0),
        early.configurable_fields(temperature=ConfigurableField("t")).with_config(
            configurable={"t": 0.5}
        ),
        early.with_retry(),
    ]

    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-of-the-call")
    monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
    for model in derived:
        model.invoke("x")

    assert not other.seen
    assert {seen.key for seen in server.seen} == {"sk-or-v1-of-the-call"}
    assert len(server.seen) == len(derived)


@pytest.mark.parametrize("how", ["api_key", "settings", "assigned", "copied", "for_user"])
def test_an_explicit_key_is_never_replaced_by_the_environment(serve, monkeypatch, how):
    """Whatever the environment says when the request is sent."""
    server = serve(Reply(whole()))
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-operator")
    if how == "settings":
        settings = OpenRouterSettings(api_key="sk-or-v1-own", base_url=server.url)
        model = ChatOpenRouter(model="a/b", settings=settings)
    elif how == "api_key":
        model = ChatOpenRouter(model="a/b", api_key="sk-or-v1-own", base_url=server.url)
    else:
        model = ChatOpenRouter(model="a/b", base_url=server.url)
        if how == "assigned":
            model.openai_api_key = "sk-or-v1-own"
        elif how == "copied":
            model = model.model_copy(update={"api_key": "sk-or-v1-own"})
        else:
            model = model.for_user("sk-or-v1-own")
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-operator-2")
    monkeypatch.setenv("OPENROUTER_BASE_URL", "http://127.0.0.1:9/wrong")

    model.invoke("x")

    assert [seen.key for seen in server.seen] == ["sk-or-v1-own"]


@pytest.mark.parametrize("how", ["assigned", "copied"])
def test_a_model_whose_key_was_taken_away_takes_none_from_the_environment(serve, monkeypatch, how):
    """A model without a key is an error, not the operator's bill."""
    server = serve(Reply(whole()))
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-operator")
    model = ChatOpenRouter(model="a/b", base_url=server.url)
    if how == "assigned":
        model.openai_api_key = None
    else:
        model = model.model_copy(update={"api_key": None})

    with pytest.raises(errors.AuthenticationError):
        model.invoke("x")
    assert not server.seen


def test_the_cache_of_answers_follows_the_key_of_the_call(serve, monkeypatch):
    """Two users of one import-time model get no answer of each other's."""
    from langchain_core.caches import InMemoryCache

    server = serve(Reply(whole()))
    model = ChatOpenRouter(model="a/b", base_url=server.url, cache=InMemoryCache())
    for key in ("sk-or-v1-ann", "sk-or-v1-bob", "sk-or-v1-ann"):
        monkeypatch.setenv("OPENROUTER_API_KEY", key)
        model.invoke("x")

    assert [seen.key for seen in server.seen] == ["sk-or-v1-ann", "sk-or-v1-bob"]


def test_the_model_shows_what_the_environment_said(monkeypatch):
    """As LangChain's tools expect of an attribute."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-shown")
    monkeypatch.setenv("OPENROUTER_BASE_URL", "https://eu.openrouter.ai/api/v1")
    model = ChatOpenRouter(model="a/b")

    assert model.openai_api_key.get_secret_value() == "sk-or-v1-shown"
    assert model.openai_api_base == "https://eu.openrouter.ai/api/v1"
    assert "shown" not in repr(model)


@pytest.mark.parametrize("patched", [False, True])
def test_variables_are_compared_as_they_are_now(monkeypatch, patched):
    """Whatever the case of the name; also where a test replaces the whole mapping."""
    from langchain_openrouter import _environ

    if patched:
        monkeypatch.setattr(os, "environ", dict(os.environ))
    names = ("HTTP_PROXY", "NO_PROXY")
    states = [(_environ.variables_with_prefix("OPENROUTER_"), _environ.values_of(names))]
    changes = [("openrouter_x", "ü"), ("OPENROUTER_X", "2"), ("no_proxy", "a"), ("NO_PROXY", "b")]
    for name, value in [
        *changes,
        ("no_proxy", "c"),
        ("no_proxy", ""),
    ]:  # which counts before NO_PROXY
        monkeypatch.setitem(os.environ, name, value)
        states.append((_environ.variables_with_prefix("OPENROUTER_"), _environ.values_of(names)))
    assert len(set(states)) == len(states)

    monkeypatch.setitem(os.environ, "HTTP_PROXY", "")  # counts as none
    assert _environ.values_of(names)[0] == (None, None)
    assert _environ.values_of(names)[1] == states[-1][1][1]
