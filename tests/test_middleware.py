"""Agents for many users: each call on the key of the user who asked, and no other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain_core.language_models import FakeListChatModel
from langgraph.checkpoint.memory import InMemorySaver
from loopback import Reply, stream, whole

from langchain_openrouter import UserKey, _leak, errors
from langchain_openrouter.key_store import KeyStore
from langchain_openrouter.middleware import PerUserModel


@dataclass
class Context:
    """What an app tells its agent."""

    user_id: str | None = None
    key: object = None


def echo(seen):
    """Answer with the key that was sent."""
    return stream(seen.key) if seen.body.get("stream") else Reply(whole(seen.key))


def agent_on(model, keys, **words):
    """Make an agent for many users."""
    return create_agent(
        model, [], middleware=[PerUserModel(keys, **words)], context_schema=Context,
        checkpointer=InMemorySaver(),
    )  # fmt: skip


def ask(agent, context, how="sync", **configurable):
    """Return what the agent says to a user."""
    words = {
        "context": context,
        "config": {"configurable": {"thread_id": repr(context), **configurable}},
    }
    question = {"messages": [{"role": "user", "content": "hi"}]}
    if how == "sync":
        return agent.invoke(question, **words)["messages"][-1].text
    return asyncio.run(agent.ainvoke(question, **words))["messages"][-1].text


@pytest.mark.parametrize("how", ["sync", "async"])
def test_the_key_comes_from_a_store_by_the_users_id(serve, model_on, how):
    """An attribute of the context names the user."""
    server, keys = serve(echo), KeyStore()
    keys.set("ann", UserKey("sk-or-ann", base_url=server.url))
    keys.set("bob", UserKey("sk-or-bob", base_url=server.url))
    agent = agent_on(model_on(server), keys)

    assert ask(agent, Context("ann"), how) == "sk-or-ann"
    assert ask(agent, Context("bob"), how) == "sk-or-bob"


@pytest.mark.parametrize("how", ["sync", "async"])
def test_the_key_comes_from_a_callable(serve, model_on, how):
    """It is given the context; an async one where the agent is."""

    def key(context):
        return context.key

    async def akey(context):
        await asyncio.sleep(0)
        return UserKey(context.key, base_url=server.url)

    server = serve(echo)
    agent = agent_on(model_on(server), key if how == "sync" else akey)

    assert ask(agent, Context(key="sk-or-cat"), how) == "sk-or-cat"


def test_an_async_callable_in_a_sync_agent_says_what_to_do(serve, model_on):
    """And nothing warns of a coroutine that nobody awaited."""

    async def key(_):
        return "k"

    with pytest.raises(errors.AuthenticationError, match="ainvoke"):
        ask(agent_on(model_on(serve(echo)), key), Context())


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("context", [Context("nobody"), Context(None), Context(""), None])
def test_no_key_is_an_error_and_the_operators_is_never_taken(serve, model_on, how, context):
    """Not for an unknown user, not without a user, not without a context."""
    server = serve(echo)

    with pytest.raises(errors.AuthenticationError):
        ask(agent_on(model_on(server), KeyStore()), context, how)
    for nothing in (None, "", " ", 5, lambda: "k"):
        with pytest.raises(errors.AuthenticationError):
            ask(agent_on(model_on(server), lambda _, n=nothing: n), Context("ann"), how)
    assert not server.seen


def test_a_context_may_be_a_mapping_and_the_id_a_callable(serve, model_on):
    """As LangGraph allows both."""
    server, keys = serve(echo), KeyStore()
    keys.set("ann", UserKey("sk-or-ann", base_url=server.url))
    model = model_on(server)

    agent = create_agent(
        model, [], middleware=[PerUserModel(keys, user_id="who")], context_schema=dict
    )
    assert (
        agent.invoke({"messages": "hi"}, context={"who": "ann"})["messages"][-1].text == "sk-or-ann"
    )
    agent = agent_on(model, keys, user_id=lambda context: context.user_id.lower())
    assert ask(agent, Context("ANN")) == "sk-or-ann"


def test_the_users_id_goes_along_when_asked(serve, model_on):
    """As the wire's `user`."""
    server = serve(echo)
    keys = KeyStore()
    keys.set("ann", UserKey("sk-or-ann", base_url=server.url))
    ask(agent_on(model_on(server), keys, send_user=True), Context("ann"))
    ask(agent_on(model_on(server), keys), Context("ann"))

    assert [seen.body.get("user") for seen in server.seen] == ["ann", None]


def test_a_model_that_takes_no_key_is_an_error(serve, model_on):
    """Another middleware that put another model in would have it run on nobody's key."""

    @wrap_model_call
    def other(request, handler):
        return handler(request.override(model=FakeListChatModel(responses=["free"])))

    agent = create_agent(
        model_on(serve(echo)),
        [],
        middleware=[other, PerUserModel(lambda _: "k")],
        context_schema=Context,
    )
    with pytest.raises(ValueError, match="FakeListChatModel"):
        agent.invoke({"messages": "hi"}, context=Context("ann"))


@pytest.mark.parametrize("place", ["configurable", "metadata"])
def test_trap_6_a_key_in_the_configuration_is_warned_of_once(serve, model_on, monkeypatch, place):
    """By the name it travels under; the warning shows nothing of it."""
    monkeypatch.setattr(_leak, "_warned", False)
    agent = agent_on(model_on(serve(echo)), lambda _: "sk-or-ann")
    config = {"configurable": {"thread_id": "1"}}
    config.setdefault(place, {})["their_key"] = "sk-or-v1-sentinel-in-config"

    with pytest.warns(UserWarning, match="their_key") as told:
        agent.invoke({"messages": "hi"}, context=Context(), config=config)
    assert len(told) == 1
    assert "sentinel" not in str(told[0].message)
    agent.invoke({"messages": "hi"}, context=Context(), config=config)  # warnings are errors here


def test_trap_6_a_model_in_a_graph_warns_too(serve, model_on, monkeypatch):
    """Where nobody uses the middleware, the model itself sees what a graph hands it."""
    monkeypatch.setattr(_leak, "_warned", False)
    agent = create_agent(model_on(serve(echo)), [], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1", "their_key": "sk-or-v1-sentinel-in-config"}}

    with pytest.warns(UserWarning, match="their_key"):
        agent.invoke({"messages": "hi"}, config=config)
