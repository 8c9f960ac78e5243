"""Names that were public once still work."""

from __future__ import annotations

import asyncio

import pytest

from langchain_openrouter import (
    ChatOpenRouter,
    PKCELogin,
    UserKey,
    callbacks,
    catalog,
    login,
    oauth,
    rerank,
    web,
)
from langchain_openrouter.key_store import KeyStore

URL = "http://127.0.0.1:9/api/v1"  # nothing listens there: a stored key is returned unverified


def test_former_names_of_usage_sums():
    """`Used`, `Caller` and `OpenRouterUsage.by` are today's classes and dictionary."""
    usage = callbacks.OpenRouterUsage()

    assert callbacks.Used is callbacks.UsageTotals
    assert callbacks.Caller is callbacks.UsageKey
    assert usage.by is usage.totals_by_key


def test_former_names_of_rerank_results():
    """`Ranked` and `RerankResult.ranked` are today's class and list."""
    result = rerank.RerankResult([rerank.Ranked(1, 0.5)])

    assert rerank.Ranked is rerank.RankedDocument
    assert result.ranked is result.results


def test_former_constructors_from_api_rows():
    """Each value of the catalog can be made with `of` as with `from_api`, and so can `KeyInfo`."""
    row = {"id": "a/b", "name": "B", "provider_name": "P", "total_cost": 1, "data": {"usage": 2}}
    kinds = catalog.Model, catalog.ModelEndpoint, catalog.Provider, catalog.Generation

    for kind in (*kinds, oauth.KeyInfo):
        assert kind.of(row) == kind.from_api(row) != kind.from_api({})


def test_former_names_of_the_parameter_check(emulate):
    """`Catalog.check` and `acheck` return what `unsupported_parameters` does."""
    url = emulate().url
    models = catalog.Catalog(base_url=url)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", base_url=url, top_a=0.5)

    assert models.check(model) == asyncio.run(models.acheck(model)) == ["top_a"]


def test_former_names_of_the_login_options():
    """`remember` and `remember_as` name the key store and the id, for `login` and `logout`."""
    keys, key = KeyStore(), UserKey("sk-or-stored", "u", URL)
    keys.set("me", key)

    assert login(remember=keys, remember_as="me", base_url=URL) == key
    model = ChatOpenRouter.login(model="a/b", remember=keys, remember_as="me", base_url=URL)
    assert model.openai_api_key == key.secret
    assert oauth.logout(remember=keys, remember_as="me") == key.settings_url
    assert keys.get("me") is None


def test_a_login_option_under_both_names_is_refused():
    """One is the former name of the other: neither is ignored."""
    keys = KeyStore()

    with pytest.raises(ValueError, match="former name of `key_store=`"):
        login(remember=keys, key_store=keys)
    with pytest.raises(ValueError, match="former name of `user_id=`"):
        oauth.logout(keys, "me", remember_as="me")
    with pytest.raises(TypeError, match="pass the key store"):
        oauth.logout()


def test_a_model_signs_in_with_the_current_names():
    """`key_store` and `user_id` reach the sign-in, not the model."""
    keys, key = KeyStore(), UserKey("sk-or-stored", "u", URL)
    keys.set("me", key)

    model = ChatOpenRouter.login(model="a/b", key_store=keys, user_id="me", base_url=URL)
    assert model.openai_api_key == key.secret


def test_former_methods_of_a_sign_in():
    """`settle` and `asettle` return an error as a value."""
    started = PKCELogin.start("https://a.org/cb")

    for outcome in (started.settle("?error=denied"), asyncio.run(started.asettle("?error=denied"))):
        assert type(outcome).__name__ == "SignInDeniedError"


def test_former_names_of_the_web_app():
    """`events_response` and `local` are today's functions."""
    assert web.events_response is web.sse_response
    assert web.sign_in.local is web.sign_in.safe_redirect_path
