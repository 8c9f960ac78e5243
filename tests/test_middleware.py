"""Agents for many users: each call on the key of the user who asked, and no other."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    LLMToolSelectorMiddleware,
    ModelFallbackMiddleware,
    SummarizationMiddleware,
    wrap_model_call,
)
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool, tool
from langchain_core.tracers.base import BaseTracer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from pydantic import SecretStr

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    PKCELogin,
    UserKey,
    _key_object,
    _langgraph,
    as_user,
    current_user,
    errors,
)
from langchain_openrouter.key_store import KeyStore
from langchain_openrouter.middleware import PerUserModel, _graph_channels
from langchain_openrouter.testing import Call, error
from langchain_openrouter.testing import Reply as Answer
from tests.support.loopback import Reply, stream, whole


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
    monkeypatch.setattr(_langgraph, "_warned", False)
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
    monkeypatch.setattr(_langgraph, "_warned", False)
    agent = create_agent(model_on(serve(echo)), [], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1", "their_key": "sk-or-v1-sentinel-in-config"}}

    with pytest.warns(UserWarning, match="their_key"):
        agent.invoke({"messages": "hi"}, config=config)


# --- beside other middleware ------------------------------------------------------------------

OPERATOR = "sk-or-v1-the-operator"
ANN = "sk-or-v1-sentinel-ann"
WAYS = pytest.mark.parametrize(
    ("place", "how"),
    [
        ("first", "invoke"),
        ("first", "astream"),
        ("last", "ainvoke"),
        ("last", "stream"),
        ("middle", "invoke"),
        ("middle", "ainvoke"),
    ],
)


def scripted(asked):
    """Call the tool where there is one, and answer with the key; the main model may be down."""
    body = asked.body
    if body["model"] == "main/down":
        return error("server")
    names = [tool["function"]["name"] for tool in body.get("tools", [])]
    if "ToolSelectionResponse" in str(body.get("response_format")):
        return Answer('{"tools": ["unused"]}')
    if "ToolSelectionResponse" in names:
        return Answer(tool_calls=[Call("ToolSelectionResponse", {"tools": ["unused"]})])
    if "ask" in names and not any(m["role"] == "tool" for m in body["messages"]):
        return Answer(tool_calls=[Call("ask", {"question": "x"})])
    if "task" in names and not any(m["role"] == "tool" for m in body["messages"]):
        return Answer(
            tool_calls=[Call("task", {"description": "x", "subagent_type": "general-purpose"})]
        )
    return asked.key


class Hooks(AgentMiddleware):
    """Calls a model in every hook."""

    def __init__(self, other, name="Hooks"):
        super().__init__()
        self.other, self._name = other, name

    @property
    def name(self):
        """Two of them in one agent need two names."""
        return self._name

    def before_agent(self, state, runtime):
        """Call it."""
        self.other.invoke("hook")

    async def abefore_agent(self, state, runtime):
        """Call it."""
        await self.other.ainvoke("hook")

    before_model = after_model = after_agent = before_agent
    abefore_model = aafter_model = aafter_agent = abefore_agent

    def wrap_model_call(self, request, handler):
        """Call it first."""
        self.other.invoke("hook")
        return handler(request)

    async def awrap_model_call(self, request, handler):
        """Call it first."""
        await self.other.ainvoke("hook")
        return await handler(request)

    wrap_tool_call, awrap_tool_call = wrap_model_call, awrap_model_call


class SyncHooks(AgentMiddleware):
    """Has no async hook: in an async agent it runs in a thread."""

    def __init__(self, other, name="SyncHooks"):
        super().__init__()
        self.other, self._name = other, name

    name = Hooks.name

    def before_model(self, state, runtime):
        """Call it."""
        self.other.invoke("hook")


class Asks:
    """An agent that takes a question, as a model does."""

    def __init__(self, other, middleware=()):
        self.agent = create_agent(other, [], middleware=middleware)

    def invoke(self, question):
        """Return the answer."""
        return self.agent.invoke({"messages": question})["messages"][-1]

    async def ainvoke(self, question):
        """Return the answer."""
        return (await self.agent.ainvoke({"messages": question}))["messages"][-1]


class Configured:
    """A chain with a configuration of its own, which hides that of the node."""

    def __init__(self, other):
        self.chain = RunnableLambda(str) | other

    def invoke(self, question):
        """Return the answer."""
        return self.chain.invoke(question, {"configurable": {"thread_id": "own"}})

    async def ainvoke(self, question):
        """Return the answer."""
        return await self.chain.ainvoke(question, {"configurable": {"thread_id": "own"}})


def tool_on(other):
    """Return a tool that asks a model, or an agent."""

    def ask(question: str) -> str:
        """Ask."""
        return other.invoke(question).text

    async def aask(question: str) -> str:
        """Ask."""
        return (await other.ainvoke(question)).text

    return StructuredTool.from_function(ask, aask, name="ask")


def sync_tool_on(other):
    """Return a tool that has no async form."""

    def ask(question: str) -> str:
        """Ask."""
        return other.invoke(question).text

    return StructuredTool.from_function(ask)


@tool
def unused(question: str) -> str:
    """Do nothing."""
    return question


def agent_beside(kind, own, main, other, place):
    """Make an agent with `PerUserModel` and something that calls `other`."""
    tools = []
    kinds = {
        "fallback": ModelFallbackMiddleware,
        "summary": lambda m, **_: SummarizationMiddleware(
            m, trigger=("tokens", 60), keep=("messages", 1)
        ),
        "selector": lambda m, **_: LLMToolSelectorMiddleware(model=m, max_tools=1),
        "hooks": Hooks,
        "sync hooks": SyncHooks,
        "a subagent in hooks": lambda m, **words: Hooks(Asks(m), **words),
        "a chain in hooks": lambda m, **words: Hooks(Configured(m), **words),
    }
    if kind == "selector":
        tools = [unused, unused.model_copy(update={"name": "unused_too"})]
    elif kind in {"hooks", "tool"}:
        tools = [tool_on(other)]
    elif kind == "sync tool":
        tools = [sync_tool_on(other)]
    elif kind == "subagent":
        tools = [tool_on(Asks(other))]
    elif kind == "subagent of its own":
        tools = [tool_on(Asks(other, [PerUserModel(lambda context: context.key)]))]
    beside = [kinds[kind](other)] if kind in kinds else []
    around = {"first": [own, *beside], "last": [*beside, own], "middle": [*beside, own]}[place]
    if place == "middle" and "hooks" in kind:
        around.append(kinds[kind](other, name="More"))
    return create_agent(
        main, tools, middleware=around, context_schema=Context, checkpointer=InMemorySaver()
    )


def go(agent, how, context, thread="1"):
    """Run an agent to its end."""
    question = {"messages": [HumanMessage("word " * 60), AIMessage("ok"), HumanMessage("go")]}
    words = {"context": context, "config": {"configurable": {"thread_id": thread}}}
    if how == "invoke":
        return agent.invoke(question, **words)
    if how == "stream":
        return list(agent.stream(question, stream_mode=["updates", "messages"], **words))
    if how == "ainvoke":
        return asyncio.run(agent.ainvoke(question, **words))

    async def stream():
        return [event async for event in agent.astream(question, **words)]

    return asyncio.run(stream())


KINDS = pytest.mark.parametrize(
    "kind",
    [
        "fallback",
        "summary",
        "selector",
        "hooks",
        "sync hooks",
        "a subagent in hooks",
        "a chain in hooks",
        "tool",
        "sync tool",
        "subagent",
        "subagent of its own",
    ],
)


@pytest.fixture
def emulator(emulate):
    """Keeps the requests that were sent, with their keys."""
    return emulate(scripted)


@pytest.fixture
def make(emulator):
    """Make models: `make(key, slug)`."""

    def model(key, slug="main/model"):
        return ChatOpenRouter(
            model=slug, api_key=key, base_url=emulator.url, max_retries=0, timeout=10
        )

    return model


def sent(emulator, slug):
    """Return the keys of the requests to a model."""
    return [asked.key for asked in emulator.asked if asked.body["model"] == slug]


@WAYS
@KINDS
def test_everything_of_a_run_is_on_the_users_key(emulator, make, kind, place, how):
    """Whatever calls a model beside `PerUserModel`, in any order: with `api_key=current_user`."""
    main = make(OPERATOR, "main/down" if kind == "fallback" else "main/model")
    other = make(current_user, "other/model")
    agent = agent_beside(kind, PerUserModel(lambda context: context.key), main, other, place)

    go(agent, how, Context(key=UserKey(ANN, base_url=emulator.url)))

    assert sent(emulator, "other/model")
    assert {asked.key for asked in emulator.asked} == {ANN}


@WAYS
@KINDS
def test_no_call_of_a_run_is_on_the_operators_key(emulator, make, kind, place, how):
    """A model with a key of its own is an error that says how to fix it, and sends nothing."""
    main = make(OPERATOR, "main/down" if kind == "fallback" else "main/model")
    other = make(OPERATOR, "other/model")
    agent = agent_beside(kind, PerUserModel(lambda context: context.key), main, other, place)
    context = Context(key=UserKey(ANN, base_url=emulator.url))

    if (kind == "fallback" and place != "first") or kind == "subagent of its own":
        go(agent, how, context)  # PerUserModel replaces the fallback model and the subagent's too
        assert set(sent(emulator, "other/model")) == {ANN}
    else:
        with pytest.raises(errors.AuthenticationError, match="api_key=current_user"):
            go(agent, how, context)
        assert not sent(emulator, "other/model")
    assert OPERATOR not in {asked.key for asked in emulator.asked}


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_keys_of_their_own_may_be_allowed(emulator, make, how):
    """With `strict=False`, as for a summary that the operator pays for."""
    other = make(OPERATOR, "other/model")
    own = PerUserModel(lambda context: context.key, strict=False)
    go(agent_beside("hooks", own, make(OPERATOR), other, "last"), how, Context(key=ANN))

    assert set(sent(emulator, "main/model")) == {ANN}
    assert set(sent(emulator, "other/model")) == {OPERATOR}


@pytest.mark.parametrize("kind", ["hooks", "tool", "sync tool", "summary"])
def test_keys_from_an_async_callable(emulator, make, kind):
    """They are awaited before a tool that has no async form begins."""

    async def key(context):
        await asyncio.sleep(0)
        return context.key

    other = make(current_user, "other/model")
    agent = agent_beside(kind, PerUserModel(key), make(OPERATOR), other, "last")
    go(agent, "ainvoke", Context(key=ANN))

    assert sent(emulator, "other/model")
    assert {asked.key for asked in emulator.asked} == {ANN}


def test_a_hook_without_an_async_form_cannot_await_a_key(emulator, make):
    """It says what to do, and sends nothing."""

    async def key(context):
        return context.key

    agent = agent_beside("sync hooks", PerUserModel(key), make(OPERATOR), make(OPERATOR), "last")
    with pytest.raises(errors.AuthenticationError, match="async hooks"):
        go(agent, "ainvoke", Context(key=ANN))
    assert not emulator.requests


@pytest.mark.parametrize("operators", [True, False])
@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_deep_agents_and_their_subagents(emulator, make, how, operators):
    """A subagent is made with the agent's own model: `current_user`, or an error."""
    from deepagents import create_deep_agent

    agent = create_deep_agent(
        make(OPERATOR if operators else current_user),
        middleware=[PerUserModel(lambda context: context.key)],
        context_schema=Context,
    )
    context = Context(key=UserKey(ANN, base_url=emulator.url))
    if operators:
        with pytest.raises(errors.AuthenticationError, match="api_key=current_user"):
            go(agent, how, context)
    else:
        go(agent, how, context)
    assert {asked.key for asked in emulator.asked} == {ANN}
    assert len(emulator.asked) == (1 if operators else 3)


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_a_run_without_a_key_sends_nothing_at_all(emulator, make, how):
    """Not in the hooks before the agent's own model either."""
    agent = agent_beside(
        "hooks", PerUserModel(lambda _: None), make(OPERATOR), make(OPERATOR), "last"
    )
    with pytest.raises(errors.AuthenticationError, match="sign the user in"):
        go(agent, how, Context("ann"))
    assert not emulator.requests


def test_a_users_key_of_another_service_is_refused(emulator, make):
    """Both hosts are named, and nothing is sent."""
    agent = agent_beside("tool", PerUserModel(lambda _: UserKey(ANN)), make(OPERATOR), None, "last")
    with pytest.raises(ValueError, match=r"openrouter\.ai .*127\.0\.0\.1"):
        go(agent, "invoke", Context())
    assert not emulator.requests


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_the_innermost_user_wins(emulator, make, how):
    """The agent's over one around the agent; one inside a tool or a hook over the agent's."""

    class Inside(Hooks):
        def before_agent(self, state, runtime):
            with as_user("sk-or-inner"):
                self.other.invoke("hook")
            self.other.invoke("hook")

        async def abefore_agent(self, state, runtime):
            async with as_user("sk-or-inner"):
                await self.other.ainvoke("hook")
            await self.other.ainvoke("hook")

    agent = create_agent(
        make(current_user),
        [],
        context_schema=Context,
        middleware=[Inside(make(current_user, "other/model")), PerUserModel(lambda c: c.key)],
    )
    with as_user("sk-or-outer"):
        go(agent, how, Context(key=ANN))
        assert make(current_user, "after/model").invoke("x").text == "sk-or-outer"

    assert sent(emulator, "other/model")[:2] == ["sk-or-inner", ANN]
    assert set(sent(emulator, "main/model")) == {ANN}


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_another_graph_is_not_part_of_the_run(emulator, make, how):
    """The operator's own agent, before and after a user's, is on the operator's key."""
    users = agent_beside(
        "hooks", PerUserModel(lambda c: c.key), make(OPERATOR), make(current_user), "last"
    )
    operators = create_agent(make(OPERATOR, "own/model"), [], context_schema=Context)

    go(operators, how, Context())
    go(users, how, Context(key=ANN))
    go(operators, how, Context())
    with pytest.raises(errors.AuthenticationError, match="outside"):
        make(current_user).invoke("x")

    assert sent(emulator, "own/model") == [OPERATOR] * 2
    assert set(sent(emulator, "main/model")) == {ANN}


def test_a_resumed_run_is_on_the_users_key(emulator, make):
    """A run that was interrupted goes on in the middle, where no first hook runs."""
    agent = create_agent(
        make(OPERATOR),
        [tool_on(make(current_user, "other/model"))],
        context_schema=Context,
        middleware=[PerUserModel(lambda c: c.key)],
        checkpointer=InMemorySaver(),
        interrupt_before=["tools"],
    )
    config = {"configurable": {"thread_id": "1"}}
    agent.invoke({"messages": "go"}, config, context=Context(key=ANN))
    assert sent(emulator, "main/model") == [ANN]
    agent.invoke(None, config, context=Context(key="sk-or-bob"))

    assert sent(emulator, "other/model") == ["sk-or-bob"]
    assert sent(emulator, "main/model") == [ANN, "sk-or-bob"]


@pytest.mark.parametrize("how", ["threads", "loop"])
def test_fifty_users_at_once_never_cross(emulator, make, how):
    """One agent with hooks and a tool that call models: each request carries its user's key."""
    agent = agent_beside(
        "hooks", PerUserModel(lambda c: c.key), make(OPERATOR), make(current_user), "last"
    )

    def question(number):
        return {"messages": f"user {number}"}

    def words(number):
        return {
            "context": Context(key=f"sk-or-{number:03d}"),
            "config": {"configurable": {"thread_id": str(number)}},
        }

    def last(state):
        return state["messages"][-1].text

    if how == "threads":
        with ThreadPoolExecutor(50) as pool:
            got = list(pool.map(lambda n: last(agent.invoke(question(n), **words(n))), range(50)))
    else:

        async def everyone():
            return await asyncio.gather(
                *[agent.ainvoke(question(n), **words(n)) for n in range(50)]
            )

        got = [last(state) for state in asyncio.run(everyone())]

    assert got == [f"sk-or-{n:03d}" for n in range(50)]
    for asked in emulator.asked:
        text = str(asked.body["messages"][0]["content"])
        if text.startswith("user "):
            assert asked.key == f"sk-or-{int(text.removeprefix('user ')):03d}"
    counts = Counter(asked.key for asked in emulator.asked)
    assert len(counts) == 50
    assert len(set(counts.values())) == 1


def test_nothing_of_the_user_is_written(emulator, make):
    """Neither a key nor the middleware is in checkpoints, traces, or the state that is returned."""
    kept = []

    class Trace(BaseTracer):
        def _persist_run(self, run):
            kept.append(str(run.__dict__) + run.model_dump_json(fallback=repr))

    agent = agent_beside(
        "hooks", PerUserModel(lambda c: c.key), make(OPERATOR), make(current_user), "last"
    )
    emulator.script(lambda asked: reply if isinstance(reply := scripted(asked), Answer) else "fine")
    config = {"configurable": {"thread_id": "1"}, "callbacks": [Trace()]}
    result = agent.invoke({"messages": "go"}, config, context=Context("ann", key=SecretStr(ANN)))
    state = agent.get_state(config)
    saver = agent.checkpointer
    written = repr(saver.storage) + repr(saver.writes) + repr(saver.blobs) + "".join(kept)

    assert kept
    assert "sentinel" not in written + repr(state)
    assert "langchain_openrouter_user" not in written + repr(result) + repr(state)
    assert set(result) == {"messages"}


def test_a_changed_langgraph_is_an_error_by_its_name(emulator, make, monkeypatch):
    """Where other nodes could not find the user, the run ends before a request."""
    agent = agent_on(make(OPERATOR), lambda _: ANN)
    monkeypatch.setattr(_graph_channels, "CONFIG_KEY_READ", "renamed")

    with pytest.raises(RuntimeError, match="langgraph"):
        ask(agent, Context())
    assert not emulator.requests


# --- keys in a graph's state ------------------------------------------------------------------


class Held(TypedDict, total=False):
    """A state with room for an object."""

    held: object


def test_a_key_object_that_a_checkpointer_writes_is_warned_of_once(monkeypatch):
    """By its kind, in any graph; what was written is read back as it was."""
    for held in (UserKey(ANN), PKCELogin.start("https://app.example.org/callback")):
        monkeypatch.setattr(_key_object, "_warned", False)
        graph = StateGraph(Held).add_node("give", lambda _, held=held: {"held": held})
        app = graph.add_edge(START, "give").compile(checkpointer=InMemorySaver())
        config = {"configurable": {"thread_id": "1"}}

        with pytest.warns(UserWarning, match=f"a {type(held).__name__} is in the state") as caught:
            app.invoke({}, config)
        assert len(caught) == 1
        assert "sentinel" not in str(caught[0].message)
        assert app.get_state(config).values == {"held": held}
        app.invoke({}, config)  # warnings are errors here


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("kind", ["model", "embeddings", "key"])
def test_a_key_object_in_an_agents_state_is_warned_of_once(serve, model_on, monkeypatch, kind, how):
    """`PerUserModel` sees a model with a key there too, with and without a checkpointer."""
    monkeypatch.setattr(_key_object, "_warned", False)
    server = serve(echo)
    held = {
        "model": model_on(server),
        "key": UserKey(ANN),
        "embeddings": OpenRouterEmbeddings(model="a/b", api_key=ANN),
    }[kind]

    class Gives(AgentMiddleware):
        state_schema = Held

        def before_model(self, state, runtime):
            return {"held": held}

    agent = create_agent(
        model_on(server),
        [],
        middleware=[Gives(), PerUserModel(lambda _: ANN)],
        context_schema=Context,
    )
    with pytest.warns(UserWarning, match="in the state of a graph, as 'held'") as caught:
        ask(agent, Context(), how)
    assert len(caught) == 1
    ask(agent, Context(), how)  # warnings are errors here


def test_pickles_and_copies_of_a_key_object_are_not_warned_of():
    """They go to another process of the caller's, not into a checkpoint."""
    for held in (UserKey(ANN), PKCELogin.start("https://app.example.org/callback")):
        assert pickle.loads(pickle.dumps(held)) == held
        assert copy.deepcopy(held) == held == dataclasses.replace(held)
        assert dataclasses.asdict(held)


# --- what the context does not reach ------------------------------------------------------------


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_store_that_embeds_on_a_key_of_its_own_is_refused(emulate, how):
    """It searches in threads that do not know the user; the error says what to do."""
    from langgraph.store.memory import InMemoryStore

    from langchain_openrouter import OpenRouterEmbeddings

    emulator = emulate()
    model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="operator", base_url=emulator.url)
    embeddings = OpenRouterEmbeddings(model="a/b", api_key="operator", base_url=emulator.url)
    store = InMemoryStore(index={"dims": 64, "embed": embeddings})

    def agent(**options):
        keys = lambda _: UserKey("ann", base_url=emulator.url)  # noqa: E731 - short
        return create_agent(model, middleware=[PerUserModel(keys, **options)], store=store)

    def ask(agent_):
        messages = {"messages": [("user", "Hello")]}
        if how == "sync":
            return agent_.invoke(messages)
        return asyncio.run(agent_.ainvoke(messages))

    with pytest.raises(errors.AuthenticationError, match=r"store embeds.*strict=False"):
        ask(agent())
    assert not emulator.requests
    assert ask(agent(strict=False))["messages"][-1].text
