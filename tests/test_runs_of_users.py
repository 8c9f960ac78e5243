"""A run with everything in it, for 80 users at once: each request is on its own user's key."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, SummarizationMiddleware
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langgraph.checkpoint.memory import InMemorySaver

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    OpenRouterRerank,
    UserKey,
    as_user,
    current_user,
    errors,
)
from langchain_openrouter._http.metering import meters_in_context
from langchain_openrouter.callbacks import CostLimit as Ceiling
from langchain_openrouter.callbacks import get_openrouter_callback
from langchain_openrouter.middleware import CostLimit, PerUserModel
from langchain_openrouter.testing import Call, Reply, error_reply

USERS = 80
OPERATOR = "sk-or-v1-operator"
MAIN, BACKUP, SMALL = "test/main", "test/backup", "test/small"
TOOLS = ("research", "write", "translate", "search")
COST = 0.0011


@dataclass
class Context:
    """Who asks."""

    user_id: str


def script(received):
    """Play every part: the main model is down, its backup calls all tools at once, then answers."""
    body = received.body
    if "messages" not in body:
        return None
    if body["model"] == MAIN:
        return error_reply("no_endpoints")
    if body["model"] == BACKUP and body["messages"][-1]["role"] == "user":
        return Reply(tool_calls=[Call(name, {"text": "x"}) for name in TOOLS], usage={"cost": COST})
    return Reply(received.key, usage={"cost": COST})


@pytest.fixture
def emulator(emulate):
    """An emulator whose clients must have keys that it knows."""
    emulator = emulate(script, any_key=False)
    for number in range(USERS):
        emulator.accounts.add_key(f"sk-or-v1-user-{number}")
    emulator.accounts.add_key(OPERATOR)
    return emulator


def make_agent(url, *middleware):
    """Return an agent with a summary, a fallback, two subagents and tools that call models."""
    options = {"base_url": url, "max_retries": 0, "timeout": 60}
    small = ChatOpenRouter(SMALL, api_key=current_user, **options)
    researcher = create_agent(small, [])
    writer = create_agent(small, [])
    embeddings = OpenRouterEmbeddings(
        model="openai/text-embedding-3-small", api_key=current_user, **options
    )
    rerank = OpenRouterRerank(model="cohere/rerank-v3.5", api_key=current_user, **options)

    def ask(agent, text):
        return agent.invoke({"messages": [HumanMessage(text)]})["messages"][-1].text

    @tool
    def research(text: str) -> str:
        """Ask a subagent."""
        return ask(researcher, text)

    @tool
    async def write(text: str) -> str:
        """Ask a subagent."""
        answer = await writer.ainvoke({"messages": [HumanMessage(text)]})
        return answer["messages"][-1].text

    @tool
    def translate(text: str) -> str:
        """Ask a model."""
        return small.invoke(text).text

    @tool
    def search(text: str) -> str:
        """Search documents."""
        store = InMemoryVectorStore(embeddings)
        store.add_documents([Document("sky"), Document("sea")])
        found = store.as_retriever().invoke(text)
        return rerank.compress_documents(found, text)[0].page_content

    write.func = lambda text: ask(writer, text)  # the sync form of the async tool
    return create_agent(
        ChatOpenRouter(MAIN, api_key=OPERATOR, **options),
        [research, write, translate, search],
        middleware=[
            SummarizationMiddleware(model=small, trigger=("messages", 3), keep=("messages", 1)),
            ModelFallbackMiddleware(ChatOpenRouter(BACKUP, api_key=OPERATOR, **options)),
            *middleware,
        ],
        context_schema=Context,
        checkpointer=InMemorySaver(),
    )


HISTORY = [HumanMessage("one"), AIMessage("two"), HumanMessage("three"), AIMessage("four")]


def arguments(user):
    """Return the arguments of a run."""
    question = {"messages": [*HISTORY, HumanMessage("go")]}
    return question, {"configurable": {"thread_id": user}}, Context(user)


def keys_of(store):
    """Return the key of a user."""
    return lambda context: UserKey(f"sk-or-v1-{context.user_id}", base_url=store)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_each_request_of_80_runs_is_on_its_own_users_key(emulator, how):
    """Summary, main model and backup, subagents, tools, embeddings, rerank: none is the operator's."""
    agent = make_agent(emulator.url, PerUserModel(keys_of(emulator.url), max_cost=1.0))
    users = [f"user-{number}" for number in range(USERS)]

    def run(user):
        question, config, context = arguments(user)
        return agent.invoke(question, config=config, context=context)

    async def arun_all():
        runs = []
        for user in users:
            question, config, context = arguments(user)
            runs.append(agent.ainvoke(question, config=config, context=context))
        return await asyncio.gather(*runs)

    with get_openrouter_callback() as used:
        if how == "sync":
            from contextvars import copy_context

            with ThreadPoolExecutor(USERS) as pool:
                futures = [pool.submit(copy_context().run, run, user) for user in users]
                results = [future.result() for future in futures]
        else:
            results = asyncio.run(arun_all())

    for user, result in zip(users, results, strict=True):
        assert result["messages"][-1].text == f"sk-or-v1-{user}"
    assert meters_in_context() == ()

    requests = Counter(received.key for received in emulator.requests)
    assert OPERATOR not in requests
    assert len(requests) == USERS
    assert set(requests.values()) == {max(requests.values())}  # each run made the same requests
    assert max(requests.values()) >= 11
    paths = Counter(received.path for received in emulator.requests)
    assert paths["/embeddings"] == 2 * USERS
    assert paths["/rerank"] == USERS
    ledger = sum(key.usage for key in emulator.accounts.keys.values())
    assert used.cost == pytest.approx(ledger, abs=1e-9)
    assert emulator.accounts.keys[OPERATOR].usage == 0


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("of", ["user", "agent", "shared", "around"])
def test_a_runs_ceiling_counts_everything_in_it(emulator, of, how):
    """At 0.004, the fourth or fifth paid call of eleven is the last, and each run has its own."""
    limit, keys = 0.004, keys_of(emulator.url)
    middleware = {
        "user": [PerUserModel(keys, max_cost=limit)],
        "agent": [CostLimit(limit), PerUserModel(keys)],
        "shared": [PerUserModel(keys), CostLimit(Ceiling(limit))],
        "around": [PerUserModel(keys)],
    }[of]
    agent = make_agent(emulator.url, *middleware)

    def run(user):
        question, config, context = arguments(user)
        if how == "async":
            return asyncio.run(agent.ainvoke(question, config=config, context=context))
        return agent.invoke(question, config=config, context=context)

    def guarded(user):
        if of == "around":
            with as_user("outer", max_cost=limit, strict=False):
                return run(user)
        return run(user)

    for number, user in enumerate(["user-1", "user-2"]):
        with pytest.raises(errors.CostLimitError):
            guarded(user)
        spent = emulator.accounts.keys[f"sk-or-v1-{user}"].usage
        if of == "shared" and number:
            assert spent == 0
        else:
            assert limit <= spent < limit + COST
    assert meters_in_context() == ()


def test_a_ceiling_of_an_agent_needs_an_amount():
    """It is said when the agent is made."""
    for make in (CostLimit, lambda cost: PerUserModel(lambda _: "k", max_cost=cost)):
        with pytest.raises(ValueError, match="max_cost"):
            make(-1)
