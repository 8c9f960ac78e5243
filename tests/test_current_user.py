"""A run on one user's key: everything inside is on it, and nothing is on anybody else's."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from pydantic import SecretStr

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    OpenRouterRerank,
    UserKey,
    as_user,
    current_user,
    errors,
)
from langchain_openrouter.catalog import Catalog
from tests.support.package_files import PACKAGE

OPERATOR = "sk-or-v1-the-operator"
ANN, BOB = "sk-or-v1-sentinel-ann", "sk-or-v1-sentinel-bob"


@pytest.fixture
def emulator(emulate):
    """Answers chat with the key that it got."""
    return emulate(lambda asked: asked.key)


@pytest.fixture
def model(emulator):
    """A model on the current user's key."""
    return ChatOpenRouter(
        model="a/b", api_key=current_user, base_url=emulator.url, max_retries=0, timeout=10
    )


@pytest.fixture
def operators(model):
    """A model on a key of its own."""
    return model.for_user(OPERATOR)


def keys(emulator):
    """Return the keys of all requests, in order."""
    return [asked.key for asked in emulator.asked]


def test_a_run_is_on_its_users_key_and_outside_is_an_error(emulator, model, monkeypatch):
    """Before, after and without a user, nothing is taken from the environment either."""
    monkeypatch.setenv("OPENROUTER_API_KEY", OPERATOR)
    with pytest.raises(errors.AuthenticationError, match="as_user"):
        model.invoke("x")
    with as_user(ANN):
        assert model.invoke("x").text == ANN
    with pytest.raises(errors.AuthenticationError, match="as_user"):
        model.invoke("x")
    with pytest.raises(errors.AuthenticationError, match="as_user"):
        current_user()

    assert keys(emulator) == [ANN]


@pytest.mark.parametrize("form", ["str", "secret", "key", "callable"])
def test_every_form_of_a_key(emulator, model, form):
    """As `for_user` takes them; a callable is called before each request."""
    calls = []

    def call():
        calls.append(1)
        return ANN

    given = {
        "str": ANN,
        "secret": SecretStr(ANN),
        "key": UserKey(ANN, base_url=emulator.url),
        "callable": call,
    }
    with as_user(given[form]):
        assert model.invoke("x").text == ANN
        assert "".join(chunk.text for chunk in model.stream("x")) == ANN
        assert len(calls) == (2 if form == "callable" else 0)
        assert current_user() in (ANN, SecretStr(ANN))


@pytest.mark.parametrize("cached", [False, True])
def test_a_callable_may_give_another_key_each_time(emulator, model, cached):
    """As one that mints a key for each request does; it is called once for each."""
    numbers = iter(range(100))

    def mint():
        return f"{ANN}-{next(numbers)}"

    set_llm_cache(InMemoryCache() if cached else None)
    try:
        with as_user(mint):
            model.invoke("x")
            model.for_user(mint).invoke("y")
            asyncio.run(model.ainvoke("z"))
            list(model.stream("s"))
    finally:
        set_llm_cache(None)

    assert keys(emulator) == [f"{ANN}-{n}" for n in range(4)]


def test_an_async_callable_works_in_async_calls_and_says_so_in_sync_ones(emulator, model):
    """With `async with` and `with`; a model with a key of its own is compared as well."""

    async def later():
        await asyncio.sleep(0)
        return ANN

    async def run():
        async with as_user(later):
            assert (await model.ainvoke("x")).text == ANN
            assert (await model.for_user(ANN).ainvoke("x")).text == ANN
            with pytest.raises(errors.AuthenticationError, match="own"):
                await model.for_user(BOB).ainvoke("x")

    asyncio.run(run())
    with as_user(later):
        for synchronous in (model, model.for_user(ANN)):
            with pytest.raises(errors.AuthenticationError, match="ainvoke"):
                synchronous.invoke("x")
    assert keys(emulator) == [ANN, ANN]


@pytest.mark.parametrize("nothing", ["", " ", None, 5, UserKey("")])
def test_no_key_is_an_error_at_once(nothing):
    """Not at the first request."""
    with pytest.raises(errors.AuthenticationError, match="for this user"):
        as_user(nothing)


def test_the_inner_user_wins_and_leaving_restores_the_outer_one(model):
    """By an error too; the same object may be used again, inside itself and in other threads."""
    ann, bob = as_user(ANN), as_user(BOB)
    with ann:
        with bob:
            with ann:
                assert model.invoke("x").text == ANN
            assert model.invoke("x").text == BOB
        with pytest.raises(KeyError), bob:
            raise KeyError
        assert model.invoke("x").text == ANN

        def other():
            with bob, ann:
                return model.invoke("x").text

        with ThreadPoolExecutor(4) as pool:
            assert {pool.submit(other).result() for _ in range(8)} == {ANN}
        assert model.invoke("x").text == ANN
    with pytest.raises(errors.AuthenticationError):
        model.invoke("x")


def test_batches_threads_and_parallel_runnables(emulator, model):
    """LangChain's threads carry the user; a thread without the context has none, and raises."""
    seen = []

    def bare():
        try:
            model.invoke("x")
        except errors.AuthenticationError as error:
            seen.append(error)

    with as_user(ANN):
        chain = RunnableParallel(a=model, b=RunnableLambda(lambda _: model.invoke("y")))
        assert {m.text for m in model.batch(["x"] * 5)} == {ANN}
        assert {m.text for m in chain.invoke("x").values()} == {ANN}
        thread = threading.Thread(target=bare)
        thread.start()
        thread.join()
        copied = contextvars.copy_context()
    assert len(seen) == 1
    assert copied.run(model.invoke, "x").text == ANN
    assert set(keys(emulator)) == {ANN}


def test_tasks_of_many_users_in_one_loop(emulator, model, operators):
    """Fifty at once: each on the own key, streams among them, the operator's refused."""

    async def ask(number):
        key = f"sk-or-v1-sentinel-{number:03d}"
        async with as_user(key):
            await asyncio.sleep(0)
            got = "".join([chunk.text async for chunk in model.astream("x")])
            others = await asyncio.gather(*[model.ainvoke("x") for _ in range(3)])
            with pytest.raises(errors.AuthenticationError):
                await operators.ainvoke("x")
        return {key} == {got, *(other.text for other in others)}

    async def everyone():
        return await asyncio.gather(*map(ask, range(50)))

    assert all(asyncio.run(everyone()))
    assert OPERATOR not in keys(emulator)


def test_threads_of_many_users(emulator, model):
    """Fifty at once, sync."""

    def ask(number):
        key = f"sk-or-v1-sentinel-{number:03d}"
        with as_user(key):
            return {key} == {message.text for message in model.batch(["x"] * 3)}

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(ask, range(50)))
    assert len(set(keys(emulator))) == 50


def test_a_stream_that_was_created_inside_may_be_read_outside(emulator, model):
    """Begun or not, and inside another user's run too; a chain's generator has to be begun."""
    emulator.script(lambda asked: asked.key + " and more words of an answer")

    async def last(pieces):
        return "".join([piece.text async for piece in pieces])

    with as_user(ANN):
        stream, late, alate = model.stream("x"), model.stream("x"), model.astream("x")
        first = next(stream).text
        chain = (RunnableLambda(lambda text: text) | model).stream("x")
    assert (first + "".join(chunk.text for chunk in stream)).startswith(ANN)
    with as_user(BOB):
        assert "".join(chunk.text for chunk in late).startswith(ANN)
        assert model.invoke("x").text.startswith(BOB)
    assert asyncio.run(last(alate)).startswith(ANN)
    with pytest.raises(errors.AuthenticationError, match="as_user"):
        next(chain)
    assert keys(emulator) == [ANN, ANN, BOB, ANN]


def test_an_outer_run_that_ends_first_leaves_the_inner_one(emulator, model):
    """A generator's run may end inside its consumer's."""

    def generator():
        with as_user(ANN):
            yield

    steps = generator()
    next(steps)
    with as_user(BOB):
        next(steps, None)
        model.invoke("x")
    assert keys(emulator) == [BOB]
    with pytest.raises(errors.AuthenticationError):
        model.invoke("x")


def test_a_generator_resumed_in_other_contexts_leaves_them_as_they_were(model):
    """As web frameworks do, which run each step of a response in a copy of the context."""

    def answer():
        with as_user(ANN):
            yield model.invoke("x").text
            yield "end"

    with as_user(BOB):
        steps = answer()
        first, second = contextvars.copy_context(), contextvars.copy_context()
        assert first.run(next, steps) == ANN
        assert second.run(next, steps) == "end"
        assert second.run(next, steps, None) is None
        assert second.run(model.invoke, "x").text == BOB
        assert model.invoke("x").text == BOB


BOTH = pytest.mark.parametrize("how", ["sync", "async"])


def calls(emulator, key, how):
    """Return calls of everything that carries a key, by name."""
    words = {"base_url": emulator.url, "api_key": key, "max_retries": 0}
    chat = ChatOpenRouter(model="a/b", **words)
    embeddings = OpenRouterEmbeddings(model="a/b", **words)
    rerank = OpenRouterRerank(model="a/b", **words)
    catalog = Catalog(**words)
    if how == "sync":
        return {
            "chat": lambda: chat.invoke("x"),
            "stream": lambda: list(chat.stream("x")),
            "embeddings": lambda: embeddings.embed_query("x"),
            "rerank": lambda: rerank.rerank("q", ["x"]),
            "catalog": catalog.models,
        }

    async def stream():
        return [chunk async for chunk in chat.astream("x")]

    return {
        "chat": lambda: asyncio.run(chat.ainvoke("x")),
        "stream": lambda: asyncio.run(stream()),
        "embeddings": lambda: asyncio.run(embeddings.aembed_query("x")),
        "rerank": lambda: asyncio.run(rerank.arerank("q", ["x"])),
        "catalog": lambda: asyncio.run(catalog.amodels()),
    }


@BOTH
@pytest.mark.parametrize("name", ["chat", "stream", "embeddings", "rerank", "catalog"])
def test_a_key_of_its_own_in_a_users_run_is_an_error_that_says_how_to_fix_it(emulator, how, name):
    """Nothing is sent, no key is shown; the user's own key passes, and `strict=False` lets all."""
    with as_user(ANN):
        for own in (OPERATOR, lambda: OPERATOR):
            with pytest.raises(errors.AuthenticationError) as caught:
                calls(emulator, own, how)[name]()
            for advice in ("api_key=current_user", "for_user(key)", "strict=False"):
                assert advice in str(caught.value)
            assert "sk-or" not in str(caught.value)
        assert not emulator.asked
        calls(emulator, ANN, how)[name]()
        calls(emulator, current_user, how)[name]()
    with as_user(ANN, strict=False):
        calls(emulator, OPERATOR, how)[name]()
    assert keys(emulator) == [ANN, ANN, OPERATOR]


@BOTH
@pytest.mark.parametrize("name", ["chat", "stream", "embeddings", "rerank", "catalog"])
def test_a_users_key_goes_to_no_other_service(emulator, how, name):
    """A `UserKey` belongs to the API that it was signed in at; both hosts are named."""
    with as_user(UserKey(ANN)):
        for own in (current_user, ANN):
            with pytest.raises(errors.AuthenticationError) as caught:
                calls(emulator, own, how)[name]()
            assert "openrouter.ai" in str(caught.value)
            assert f"127.0.0.1:{emulator.port}" in str(caught.value)
    with as_user(UserKey(ANN, base_url=emulator.url + "/")):
        calls(emulator, current_user, how)[name]()
    assert keys(emulator) == [ANN]


@pytest.mark.parametrize(
    ("home", "url", "same"),
    [
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1/", True),
        ("https://openrouter.ai/api/v1", "https://OpenRouter.ai:443/api/v1", True),
        ("https://openrouter.ai/api/v1", "https://eu.openrouter.ai/api/v1", True),
        ("https://eu.openrouter.ai/api/v1", "https://us.openrouter.ai/api/v1", True),
        ("http://localhost:8000/api/v1", "http://127.0.0.1:8000/api/v1", True),
        ("https://gateway.example/a", "https://gateway.example/b", True),
        ("https://openrouter.ai/api/v1", "https://evilopenrouter.ai/api/v1", False),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai.evil.example/api/v1", False),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai:8443/api/v1", False),
        ("https://openrouter.ai/api/v1", "http://127.0.0.1:8000/api/v1", False),
        ("http://127.0.0.1:8000/api/v1", "http://127.0.0.1:8001/api/v1", False),
        ("https://a.gateway.example/v1", "https://b.gateway.example/v1", False),
    ],
)
def test_for_user_refuses_a_key_of_another_service(home, url, same):
    """By host and port; OpenRouter's own hosts are one service, and so is this machine."""
    words = {"base_url": url, "api_key": OPERATOR}
    chat, embeddings = (
        ChatOpenRouter(model="a/b", **words),
        OpenRouterEmbeddings(model="a/b", **words),
    )
    for owner in (chat, embeddings, OpenRouterRerank(model="a/b", **words), Catalog(**words)):
        if same:
            owner.for_user(UserKey(ANN, base_url=home))
            continue
        with pytest.raises(ValueError, match="would be sent to") as caught:
            owner.for_user(UserKey(ANN, base_url=home))
        for address in (home, url):
            assert address.split("/")[2] in str(caught.value)
        owner.for_user(ANN)  # a plain string is for whatever it is given to


def test_the_users_id_goes_along(emulator, model):
    """As the wire's `user`, unless the model has one; it is in no trace."""
    with as_user(ANN, user="ann"):
        model.invoke("x")
        model.model_copy(update={"user": "own"}).invoke("x")
        assert "ann" not in str(model._get_invocation_params())
    with as_user(ANN):
        model.invoke("x")

    assert [asked.body.get("user") for asked in emulator.asked] == ["ann", "own", None]


def test_a_cache_answers_each_user_apart(emulator, model):
    """An answer belongs to the user who paid for it."""
    set_llm_cache(InMemoryCache())
    try:
        for key in (ANN, BOB, ANN):
            with as_user(key):
                assert model.invoke("x").text == key
    finally:
        set_llm_cache(None)
    assert keys(emulator) == [ANN, BOB]


class State(TypedDict, total=False):
    """What the graph passes on."""

    text: str


@BOTH
def test_nodes_of_a_graph_run_on_the_users_key_and_nothing_is_written(emulator, model, how):
    """Sync and async, with a checkpointer, whose values hold no key."""
    saver = InMemorySaver()

    async def anode(_):
        return {"text": (await model.ainvoke("x")).text}

    node = RunnableLambda(lambda _: {"text": model.invoke("x").text}, anode)
    graph = StateGraph(State).add_node("a", node).add_node("b", node).add_edge(START, "a")
    app = graph.add_edge("a", "b").compile(checkpointer=saver)
    emulator.script(lambda _: "fine")
    config = {"configurable": {"thread_id": "1"}}
    with as_user(ANN, user="user-of-the-run"):
        got = app.invoke({}, config) if how == "sync" else asyncio.run(app.ainvoke({}, config))

    assert got == {"text": "fine"}
    assert keys(emulator) == [ANN, ANN]
    written = repr(saver.storage) + repr(saver.writes) + repr(saver.blobs)
    assert "sentinel" not in written
    assert "user-of-the-run" not in written


def test_no_repr_and_no_frame_shows_the_key(model, operators):
    """Of the context manager, the user, and the errors of both kinds."""

    def hides(error):
        frames, trace = [], error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename.startswith(PACKAGE):
                frames.append(repr(trace.tb_frame.f_locals))
            trace = trace.tb_next
        return "sk-or" not in "".join([*frames, repr(error), str(error)])

    with as_user(lambda: ANN, user="ann") as run:
        assert "sk-or" not in repr(run)
        for own in (operators, operators.for_user(lambda: OPERATOR)):
            with pytest.raises(errors.AuthenticationError) as caught:
                own.invoke("x")
            assert hides(caught.value)
    with as_user(UserKey(ANN)):
        with pytest.raises(errors.AuthenticationError) as caught:
            model.invoke("x")
        assert hides(caught.value)


def test_a_model_of_the_current_user_can_be_copied_and_pickled(model):
    """It holds no key."""
    for copy in (model.model_copy(), pickle.loads(pickle.dumps(model))):
        with as_user(BOB):
            assert copy.invoke("x").text == BOB


def test_the_repr_of_a_refused_key_is_no_error():
    """As a debugger shows it in the frame that refused it."""
    half = as_user.__new__(as_user)
    with pytest.raises(errors.AuthenticationError):
        half.__init__("")
    assert repr(half) == "as_user('**********')"
