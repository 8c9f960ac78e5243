"""A thousand users at once, live: each request on that user's key, each answer to that user."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

from langchain_openrouter import ChatOpenRouter, UserKey, errors
from langchain_openrouter.key_store import KeyStore
from langchain_openrouter.middleware import PerUserModel
from langchain_openrouter.testing import Fault, Reply, error
from tests.support.traces import Trace, everything_in

pytestmark = pytest.mark.both_endpoints
USERS = 1000
AT_ONCE = 200


def key_of(user):
    """Return a user's key."""
    return f"sk-or-v1-sentinel-{user:04d}"


class Service:
    """Answers each user with the key it saw; some first tries are refused, some answers are cut."""

    def __init__(self):
        self.tries: Counter[str] = Counter()
        self.lock = threading.Lock()

    def __call__(self, asked):
        """Reply to one request."""
        user = asked.messages[-1]["content"]
        number = int(user.removeprefix("user "))
        with self.lock:
            self.tries[user] += 1
            first = self.tries[user] == 1
        assert asked.key == key_of(number)
        assert "cookie" not in asked.headers
        if number % 7 == 0 and first:
            return error("rate_limit", retry_after=0)
        if number % 11 == 0 and first:
            return error("overloaded")
        said = Reply(f"{user} on {asked.key}")
        if number % 13 == 0:
            return Reply(said.text, fault=Fault("cut", after=4 if asked.body.get("stream") else 1))
        return said


def judged(user, text, partial):
    """Tell whether what a user got is that user's own."""
    whole = f"user {user} on {key_of(user)}"
    if user % 13 == 0:
        return partial is not None and whole.startswith(partial)
    return text == whole


@pytest.fixture
def model(emulate, endpoint):
    """The operator's model, whose own key must never be seen."""
    emulator = emulate(Service(), any_key=True)
    yield ChatOpenRouter(model="a/b", api_key="sk-or-v1-the-operator", base_url=emulator.url,
                         max_retries=2, timeout=60, use_responses_api=endpoint == "responses")  # fmt: skip
    assert "sk-or-v1-the-operator" not in {asked.key for asked in emulator.asked}
    assert len({asked.key for asked in emulator.asked}) == USERS


def test_a_thousand_users_in_threads(model):
    """200 at a time, streamed and whole, with retries, cuts and cookies among them."""

    def ask(user):
        own = model.for_user(key_of(user))
        question = f"user {user}"
        got = []
        try:
            if user % 2:
                return judged(user, own.invoke(question).text, None)
            for chunk in own.stream(question):
                got.append(chunk.text)  # noqa: PERF401 - what came before a cut counts
        except errors.ConnectionFailedError as failed:
            return judged(
                user, None, "".join(got) or (failed.partial.text if failed.partial else "")
            )
        return judged(user, "".join(got), None)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        users = random.sample(range(USERS), USERS)
        wrong = [user for user, right in zip(users, pool.map(ask, users), strict=True) if not right]

    assert not wrong


def test_a_thousand_users_in_one_loop(model):
    """The same in asyncio."""
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(user):
        own = model.for_user(key_of(user))
        question = f"user {user}"
        got = []
        async with room:
            try:
                if user % 2:
                    return judged(user, (await own.ainvoke(question)).text, None)
                async for chunk in own.astream(question):
                    got.append(chunk.text)  # noqa: PERF401 - what came before a cut counts
            except errors.ConnectionFailedError as failed:
                return judged(
                    user, None, "".join(got) or (failed.partial.text if failed.partial else "")
                )
            return judged(user, "".join(got), None)

    async def everyone():
        users = random.sample(range(USERS), USERS)
        return [
            u
            for u, right in zip(users, await asyncio.gather(*map(ask, users)), strict=True)
            if not right
        ]

    assert not asyncio.run(everyone())


@dataclass
class Context:
    """Who asks."""

    user_id: str


@pytest.mark.parametrize("how", ["threads", "loop"])
def test_many_users_of_one_agent(emulate, endpoint, caplog, how):
    """One agent, one checkpointer, 200 users: own key, own answer; no key is written anywhere."""
    caplog.set_level(logging.DEBUG)
    emulator = emulate(lambda asked: f"key {asked.key[-4:]}")
    keys, saver, trace = KeyStore(), InMemorySaver(), Trace()
    for user in range(200):
        keys.set(f"u{user}", UserKey(key_of(user), base_url=emulator.url))
    model = ChatOpenRouter(model="a/b", api_key="sk-or-v1-the-operator", base_url=emulator.url,
                           use_responses_api=endpoint == "responses")  # fmt: skip
    agent = create_agent(
        model, [], middleware=[PerUserModel(keys)], context_schema=Context, checkpointer=saver
    )

    def words(user):
        return {"context": Context(f"u{user}"),
                "config": {"configurable": {"thread_id": f"t{user}"}, "callbacks": [trace]}}  # fmt: skip

    question = {"messages": [{"role": "user", "content": "who?"}]}
    if how == "threads":
        with ThreadPoolExecutor(50) as pool:
            said = list(
                pool.map(
                    lambda u: agent.invoke(question, **words(u))["messages"][-1].text, range(200)
                )
            )
    else:

        async def everyone():
            answers = await asyncio.gather(
                *[agent.ainvoke(question, **words(u)) for u in range(200)]
            )
            return [answer["messages"][-1].text for answer in answers]

        said = asyncio.run(everyone())

    assert said == [f"key {user:04d}" for user in range(200)]
    assert {asked.key for asked in emulator.asked} == {key_of(user) for user in range(200)}
    assert trace.kept
    assert "sentinel" not in everything_in(saver) + "".join(trace.kept) + caplog.text
    assert "the-operator" not in everything_in(saver) + "".join(trace.kept) + caplog.text
