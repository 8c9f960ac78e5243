"""Provider preferences: merged wherever they are set, and privacy only ever tightens."""

from __future__ import annotations

import itertools

import pytest

from tests.support.loopback import Reply, whole

STRICT = {"zdr": True, "data_collection": "deny", "enforce_distillable_text": True}
LOOSE = {"zdr": False, "data_collection": "allow", "enforce_distillable_text": False}

PLACES = ["constructor", "model_kwargs", "extra_body", "bound", "call", "call extra_body"]


def ask(serve, model_on, preferences):
    """Send one request with preferences in some places; return what went over the wire."""
    server = serve(Reply(whole()))
    fields = {
        "openrouter_provider": preferences.get("constructor"),
        "extra_body": {"provider": preferences["extra_body"]} if "extra_body" in preferences else None,
        "model_kwargs": {"provider": preferences["model_kwargs"]} if "model_kwargs" in preferences else {},
    }  # fmt: skip
    model = model_on(server, **fields)
    if "bound" in preferences:
        model = model.bind(provider=preferences["bound"])
    call = {"provider": preferences["call"]} if "call" in preferences else {}
    if "call extra_body" in preferences:
        call["extra_body"] = {"provider": preferences["call extra_body"]}
    model.invoke("x", **call)
    return server.seen[0].body.get("provider")


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(PLACES, 2)))
def test_preferences_of_two_places_are_merged(serve, model_on, first, second):
    """None is lost, wherever the two were set."""
    sent = ask(serve, model_on, {first: {"zdr": True}, second: {"sort": "price"}})

    assert sent == {"zdr": True, "sort": "price"}


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(PLACES, 2)))
def test_privacy_is_never_loosened(serve, model_on, first, second):
    """What was asked for once stays asked for."""
    assert ask(serve, model_on, {first: STRICT, second: LOOSE}) == STRICT
    assert ask(serve, model_on, {first: LOOSE, second: STRICT}) == STRICT


def test_a_call_that_takes_the_preferences_away_keeps_privacy(serve, model_on):
    """None takes away what is not about privacy."""
    server = serve(Reply(whole()))
    model = model_on(server, openrouter_provider={**STRICT, "sort": "price"})
    model.invoke("x", provider=None)

    assert server.seen[0].body["provider"] == STRICT


def test_providers_to_ignore_add_up(serve, model_on):
    """A provider that was ruled out once is ruled out."""
    sent = ask(
        serve, model_on, {"constructor": {"ignore": ["a", "b"]}, "call": {"ignore": ["b", "c"]}}
    )

    assert sent == {"ignore": ["a", "b", "c"]}


def test_a_call_chooses_within_what_may_serve(serve, model_on):
    """Other preferences of a call win, key by key."""
    sent = ask(
        serve,
        model_on,
        {"constructor": {"only": ["a"], "sort": "price"}, "call": {"only": ["b"]}},
    )

    assert sent == {"only": ["b"], "sort": "price"}


def test_of_many_bound_preferences_none_is_lost(serve, model_on):
    """Tools bound in between or not, and again with the call."""
    server = serve(Reply(whole()))
    model = model_on(server).bind_tools([{"type": "openrouter:web_search"}])
    model = model.bind(provider={"zdr": True}).bind(openrouter_provider={"sort": "price"})
    model.with_config(tags=["a"]).bind(provider={"only": ["a"]}).invoke(
        "x", provider={"zdr": False}
    )

    assert server.seen[0].body["provider"] == {"zdr": True, "sort": "price", "only": ["a"]}
    assert server.seen[0].body["tools"] == [{"type": "openrouter:web_search"}]
