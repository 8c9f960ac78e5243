"""The catalog: over real HTTP, on recordings, on the emulator."""

from __future__ import annotations

import asyncio
import json
from contextvars import ContextVar
from urllib.parse import unquote

import pytest

from langchain_openrouter import (
    ChatOpenRouter,
    errors,
)
from langchain_openrouter.catalog import Catalog, Models
from tests.support.endpoints import BOTH, OTHER, recorded, run
from tests.support.loopback import Reply

pytestmark = pytest.mark.off_spec("no chat requests")


@BOTH
def test_the_catalogue(emulate, how):
    """Models with filters, one, its endpoints, providers; typed, with all fields as sent."""
    emulator = emulate()
    catalog = Catalog(base_url=emulator.url, api_key="k")
    models = run(
        how,
        lambda: catalog.models(supported_parameters=["tools", "reasoning"]),
        lambda: catalog.amodels(supported_parameters=["tools", "reasoning"]),
    )
    one = run(
        how,
        lambda: catalog.model("openai/gpt-4o-mini"),
        lambda: catalog.amodel("openai/gpt-4o-mini"),
    )
    ends = run(
        how,
        lambda: catalog.endpoints("openai/gpt-4o-mini"),
        lambda: catalog.aendpoints("openai/gpt-4o-mini"),
    )
    providers = run(how, catalog.providers, catalog.aproviders)
    mine = run(how, catalog.user_models, catalog.auser_models)

    slugs = {m.id for m in models}
    assert {"anthropic/claude-sonnet-4.6", "google/gemini-2.5-flash"} <= slugs
    assert "openai/gpt-4o-mini" not in slugs
    assert (one.prompt_price, one.completion_price, one.context_length) == (1.5e-07, 6e-07, 128_000)
    assert one.data["top_provider"]["is_moderated"] is False
    assert [(e.provider, e.tag, e.latency) for e in ends] == [
        ("OpenAI", "openai", 400.0),
        ("Azure", "azure", 800.0),
    ]
    assert providers[0].slug == "openai"
    assert any(m.is_free for m in mine)
    assert "<table" in models._repr_html_()
    assert isinstance(models[:1], Models)
    assert emulator.asked[0].query == {"supported_parameters": "tools,reasoning"}


def test_answers_are_kept_for_an_hour_and_for_their_user(emulate):
    """Asked once; another filter, a shorter time, and for its own list another user ask again."""
    emulator = emulate()
    catalog = Catalog(base_url=emulator.url, api_key="k")
    for _ in range(3):
        catalog.models()
        asyncio.run(catalog.amodels())
    assert len(emulator.asked) == 1
    catalog.models(q="claude")
    catalog.user_models()
    catalog.for_user("other").user_models()
    assert [asked.key for asked in emulator.asked] == ["k", "k", "k", "other"]
    quick = Catalog(base_url=emulator.url, ttl=0)
    quick.models()
    quick.models()
    assert len(emulator.asked) == 6
    assert "authorization" not in emulator.asked[-1].headers


def test_public_lists_are_read_once_for_all_users(emulate, monkeypatch):
    """They share one list; the lists of an account are shared with nobody."""
    from langchain_openrouter._shortcuts import shortcuts

    monkeypatch.setattr(shortcuts, "enabled", True)
    emulator = emulate()
    catalog = Catalog(base_url=emulator.url, api_key="k")
    users = [catalog.for_user("a"), catalog.for_user("b"), catalog.for_user(lambda: "c")]
    lists = [each.models() for each in users]
    assert all(found is lists[0] for found in [*lists, catalog.models()])
    catalog.providers().clear()
    assert users[0].providers()
    assert len(emulator.asked) == 2

    mine = [each.user_models() for each in (*users, catalog)]
    assert len({id(found) for found in mine}) == 4
    assert [asked.key for asked in emulator.asked[2:]] == ["a", "b", "c", "k"]
    assert catalog.model_copy(update={"base_url": emulator.url + "/"}).models() is lists[0]
    assert Catalog(base_url=emulator.url).models() is not lists[0]


def test_the_catalogue_needs_a_key_where_the_service_does(emulate):
    """And says so before it asks."""
    with pytest.raises(errors.AuthenticationError, match="no OpenRouter API key"):
        Catalog(base_url=emulate().url).user_models()


@BOTH
def test_what_an_answer_cost_is_asked_politely(emulate, how):
    """Again and again until the books have it; an unknown one is an error in the end."""
    emulator = emulate(generation_delay=0.7)
    answer = ChatOpenRouter(model="a/b", api_key="k", base_url=emulator.url).invoke("x")
    catalog = Catalog(base_url=emulator.url, api_key="k")
    audited = run(
        how, lambda: catalog.generation(answer.id), lambda: catalog.ageneration(answer.id)
    )

    assert audited.cost == answer.response_metadata["cost"]
    assert len([asked for asked in emulator.asked if asked.path == "/generation"]) >= 2


def test_an_unknown_generation_ends(emulate, monkeypatch):
    """After five tries."""
    monkeypatch.setattr("langchain_openrouter.catalog._GENERATION_BACKOFF", (0.0, 0.0))
    emulator = emulate()

    with pytest.raises(errors.ModelUnavailableError, match="not found") as caught:
        Catalog(base_url=emulator.url, api_key="k").generation("gen-none")
    assert "some seconds after the answer" in str(caught.value)
    assert len(emulator.asked) == 3


@pytest.mark.skipif(not OTHER.exists(), reason="OPENROUTER_TRAFFIC names no folder of recordings")
def test_recorded_generations(serve):
    """Cost, model, provider and native tokens; an unknown one typed."""
    for exchange in recorded("/generation"):
        server = serve(Reply(exchange["body"], exchange["status"]))
        catalog = Catalog(base_url=server.url, api_key="k", max_retries=0)
        if exchange["status"] == 200:
            data = json.loads(exchange["body"])["data"]
            found = catalog.generation("x")
            assert (found.cost, found.model_name, found.provider) == (
                data["total_cost"],
                data["model"],
                data["provider_name"],
            )
            assert found.prompt_tokens == data["native_tokens_prompt"]
            assert found.data == data
        else:
            with pytest.raises(errors.ModelUnavailableError):
                asyncio.run(_once(catalog))


async def _once(catalog):
    """Ask for a generation once."""
    from unittest import mock

    with mock.patch("langchain_openrouter.catalog._GENERATION_BACKOFF", ()):
        await catalog.ageneration("x")


@BOTH
def test_a_model_is_checked_before_the_call(emulate, how):
    """Which arguments its endpoints do not support."""
    emulator = emulate()
    catalog = Catalog(base_url=emulator.url)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", base_url=emulator.url, temperature=1, top_a=0.5,
                           reasoning={"effort": "low"}, max_completion_tokens=5, provider={"zdr": True})  # fmt: skip

    assert run(
        how,
        lambda: catalog.unsupported_parameters(model, min_p=0.1),
        lambda: catalog.aunsupported_parameters(model, min_p=0.1),
    ) == ["top_a", "reasoning", "min_p"]


@BOTH
def test_cost_is_estimated_before_the_call(emulate, how):
    """An estimate that says that it is one."""
    emulator = emulate()
    catalog = Catalog(base_url=emulator.url)
    model = ChatOpenRouter(
        model="openai/gpt-4o-mini", api_key="k", base_url=emulator.url, max_tokens=1000
    )
    told = run(
        how,
        lambda: catalog.estimate(model, "x" * 4000),
        lambda: catalog.aestimate(model, "x" * 4000),
    )
    real = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", base_url=emulator.url).invoke(
        "x" * 4000
    )

    assert str(told).startswith("estimate: ≤ $")
    assert told.completion_cost == pytest.approx(1000 * 6e-07)
    assert told.prompt_cost == pytest.approx(
        real.response_metadata["cost_details"]["upstream_inference_prompt_cost"], rel=0.2
    )


@pytest.mark.parametrize("row", [{}, {"pricing": None}, {"pricing": {"prompt": "-1"}}, {"architecture": 5, "supported_parameters": "x"},
                                 {"top_provider": [], "context_length": "many", "reasoning": 3}])  # fmt: skip
def test_a_row_of_any_shape_is_read(serve, row):
    """Lenient: what does not fit is not said."""
    server = serve(Reply({"data": [row, 5]}))
    models = Catalog(base_url=server.url).models()

    assert len(models) == 1
    assert models[0].prompt_price is None
    assert models[0].profile in ({}, {"name": None}) or models[0].profile is not None
    assert "<table" in models._repr_html_()


@pytest.mark.off_spec("a private list")
@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_callable_key_gets_the_list_of_the_user_it_names(serve, how):
    """One catalog, a key for each user from a context variable: nobody sees another's list."""
    server = serve(lambda seen: Reply({"data": [{"id": f"models-of/{seen.key}"}]}))
    user = ContextVar("user")
    catalog = Catalog(api_key=lambda: f"key-of-{user.get()}", base_url=server.url)

    def ids():
        models = run(how, catalog.user_models, catalog.auser_models)
        return [model.id for model in models]

    for name in ("ann", "bob", "ann"):
        user.set(name)
        assert ids() == [f"models-of/key-of-{name}"]
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "slug", ["../key", "a/../../key", "..", ".", "", "a//b", "/key", "a/b/", "a/./b"]
)
def test_a_slug_cannot_leave_its_path(serve, slug):
    """It would reach another endpoint with the operator's key."""
    server = serve(Reply({"data": {}}))
    catalog = Catalog(api_key="k", base_url=server.url)

    for call in (catalog.model, catalog.endpoints):
        with pytest.raises(ValueError, match="is no slug"):
            call(slug)
    with pytest.raises(ValueError, match="is no slug"):
        asyncio.run(catalog.amodel(slug))
    assert not server.seen


@pytest.mark.off_spec("a slug that is none")
@pytest.mark.parametrize("slug", ["a/b?x=1", "a/b#c", "a/%2e%2e/key", "a/b\\..\\key", "a/b%00"])
def test_what_is_odd_in_a_slug_stays_in_its_path(serve, slug):
    """Percent-encoded, so that the server sees the slug and nothing else."""
    server = serve(Reply({"data": {}}))
    Catalog(api_key="k", base_url=server.url).model(slug)

    path = server.seen[0].path.removeprefix("/api/v1")
    assert unquote(path) == f"/model/{slug}"
