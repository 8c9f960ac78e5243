"""Ceilings: what was charged is counted to the last digit, and the next call is refused."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.runnables import RunnableLambda
from langchain_core.stores import InMemoryByteStore

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    OpenRouterRerank,
    as_user,
    current_user,
    errors,
)
from langchain_openrouter._http.metering import meters_in_context
from langchain_openrouter.callbacks import CostLimit, OpenRouterUsage, get_openrouter_callback
from langchain_openrouter.key_store import FileStore
from langchain_openrouter.testing import Reply
from tests.support.loopback import CUT, stream, whole
from tests.support.loopback import Reply as Answer

SLUG = "openai/gpt-4o-mini"
COST = 0.0101


def reply(received):
    """Answer at a cost that has no exact binary form."""
    return Reply("ok", usage={"cost": COST})


@pytest.fixture
def emulator(emulate):
    """Return the emulator."""
    return emulate(reply)


@pytest.fixture
def model(emulator):
    """Return the model."""
    return ChatOpenRouter(model=SLUG, api_key="k", base_url=emulator.url, max_retries=0, timeout=10)


def charged(emulator, key="k"):
    """Return what the server's ledger says."""
    return emulator.accounts.keys[key].usage


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream", "batch"])
def test_the_next_call_is_refused_when_the_ceiling_is_reached(emulator, model, how):
    """The next call is refused when the ceiling is reached."""

    async def astream():
        return [chunk async for chunk in model.astream("x")]

    calls = {
        "invoke": lambda: model.invoke("x"),
        "stream": lambda: list(model.stream("x")),
        "ainvoke": lambda: asyncio.run(model.ainvoke("x")),
        "astream": lambda: asyncio.run(astream()),
        "batch": lambda: model.batch(["x"]),
    }
    with CostLimit(0.03) as limit:
        for _ in range(3):
            calls[how]()
        with pytest.raises(errors.CostLimitError, match=r"\$0.0303 of \$0.03 are spent") as caught:
            calls[how]()

    assert len(emulator.requests) == 3
    assert limit.spent == charged(emulator) == 0.0303
    assert limit.remaining == 0
    assert caught.value.by_model == limit.by_model == {SLUG: 0.0303}
    assert caught.value.spent == 0.0303
    assert not caught.value.is_retryable
    calls[how]()  # outside, nothing counts


def test_nothing_stays_behind_after_a_ceiling(model):
    """Nothing stays behind after a ceiling."""
    with CostLimit(1), CostLimit(2), as_user("u", max_cost=1, strict=False):
        assert len(meters_in_context()) == 3
    assert meters_in_context() == ()


def test_all_of_several_ceilings_hold(model):
    """All of several ceilings hold."""
    with CostLimit(1) as outer, CostLimit(0.01) as inner:
        model.invoke("x")
        with pytest.raises(errors.CostLimitError):
            model.invoke("x")
    assert outer.spent == inner.spent == COST


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), True, "5", None])
def test_a_ceiling_is_an_amount(bad):
    """A ceiling is an amount."""
    with pytest.raises(ValueError, match="max_cost"):
        CostLimit(bad)
    if bad is not None:
        with pytest.raises(ValueError, match="max_cost"):
            as_user("k", max_cost=bad)


def test_embeddings_and_rerank_count(emulator):
    """Embeddings and rerank count."""
    embeddings = OpenRouterEmbeddings(
        model="openai/text-embedding-3-small", api_key="k", base_url=emulator.url, chunk_size=1
    )
    rerank = OpenRouterRerank(model="cohere/rerank-v3.5", api_key="k", base_url=emulator.url)

    with CostLimit(1) as limit, get_openrouter_callback() as used:
        embeddings.embed_documents(["one", "two"])
        asyncio.run(embeddings.aembed_query("three"))
        rerank.rerank("q", ["a", "b"])
        asyncio.run(rerank.arerank("q", ["a", "b"]))

    assert limit.requests == used.total.requests == 5
    assert limit.spent == used.cost == pytest.approx(charged(emulator), abs=1e-12)
    assert limit.spent > 0
    assert set(limit.by_model) == {"text-embedding-3-small", "rerank-v3.5"}  # as served


def test_a_callback_counts_the_runs_chat_and_embeddings(emulator, model):
    """A callback counts the runs chat and embeddings."""
    embeddings = OpenRouterEmbeddings(
        model="openai/text-embedding-3-small", api_key="k", base_url=emulator.url
    )
    limit = CostLimit(1)
    chain = RunnableLambda(lambda text: embeddings.embed_query(text) and text) | model
    chain.invoke("x", config={"callbacks": [limit]})
    model.invoke("y", config={"callbacks": [limit]})
    model.invoke("outside")

    assert limit.requests == 3
    assert limit.by_model[SLUG] == 0.0202

    tight = CostLimit(0.01)
    model.invoke("x", config={"callbacks": [tight]})
    with pytest.raises(errors.CostLimitError):
        model.invoke("x", config={"callbacks": [tight]})


@pytest.mark.parametrize("how", ["stream", "astream", "streaming invoke", "ainvoke", "of model"])
def test_a_callback_counts_streams_too(emulator, model, how):
    """LangChain's `stream` calls the model without its run's handlers."""
    limit, used = CostLimit(0.01), OpenRouterUsage()
    config = {"callbacks": [limit, used]}
    if how == "of model":
        model, config = model.model_copy(update={"callbacks": [limit, used]}), None

    async def astream():
        return [piece async for piece in model.astream("x", config=config)]

    def call():
        if how == "astream":
            return asyncio.run(astream())
        if how == "ainvoke":
            return asyncio.run(model.ainvoke("x", config=config))
        if how == "streaming invoke":
            return model.invoke("x", config=config, stream=True)
        return list(model.stream("x", config=config))

    call()
    with pytest.raises(errors.CostLimitError):
        call()
    assert limit.spent == used.cost == COST
    assert (limit.requests, used.total.requests, used.total.failed) == (1, 1, 1)
    list(model.model_copy(update={"callbacks": None}).stream("outside"))
    assert limit.requests == 1


def test_an_answer_of_langchains_cache_is_free(emulator, model):
    """An answer of langchains cache is free."""
    set_llm_cache(InMemoryCache())
    try:
        with CostLimit(0.01) as limit, get_openrouter_callback() as used:
            for _ in range(3):
                model.invoke("same")
    finally:
        set_llm_cache(None)

    assert len(emulator.requests) == 1
    assert limit.spent == used.cost == COST
    assert (used.total.requests, used.total.from_cache) == (3, 2)


@pytest.mark.parametrize("how", ["threads", "tasks", "batch", "abatch"])
def test_parallel_calls_exceed_the_ceiling_by_one_calls_cost_at_most(emulate, how):
    """The first call runs alone; then as many as surely fit."""

    def slow(received):
        time.sleep(0.02)
        return Reply("ok", usage={"cost": COST})

    emulator = emulate(slow)
    model = ChatOpenRouter(model=SLUG, api_key="k", base_url=emulator.url, max_retries=0)

    def call(_):
        try:
            return model.invoke("x")
        except errors.CostLimitError as error:
            return error

    async def tasks():
        return await asyncio.gather(
            *(model.ainvoke("x") for _ in range(40)), return_exceptions=True
        )

    with CostLimit(0.1) as limit:
        if how == "threads":
            from contextvars import copy_context

            with ThreadPoolExecutor(40) as pool:
                results = [
                    future.result()
                    for future in [pool.submit(copy_context().run, call, n) for n in range(40)]
                ]
        elif how == "tasks":
            results = asyncio.run(tasks())
        elif how == "batch":
            results = model.batch(["x"] * 40, return_exceptions=True)
        else:
            results = asyncio.run(model.abatch(["x"] * 40, return_exceptions=True))

    refused = [item for item in results if isinstance(item, errors.CostLimitError)]
    assert len(refused) == 30
    assert len(emulator.requests) == 10
    assert limit.spent == charged(emulator) == 0.101


def test_streams_read_in_turn_do_not_wait_for_each_other(model):
    """A call is made while its own task holds a stream open, and has not read it to its end."""
    with CostLimit(1) as limit:
        first = model.stream("a")
        next(first)
        started = time.monotonic()
        assert model.invoke("b").text == "ok"
        assert time.monotonic() - started < 5
        list(first)
    assert limit.requests == 2


def test_a_sync_call_on_a_loop_does_not_wait_for_the_loops_own_calls(model):
    """A sync call on a loop does not wait for the loops own calls."""

    async def main():
        with CostLimit(1) as limit:
            task = asyncio.create_task(model.ainvoke("a"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            model.invoke("b")
            await task
        return limit.requests

    assert asyncio.run(asyncio.wait_for(main(), 20)) == 2


def test_a_failed_call_costs_nothing_and_gives_its_share_back(serve, model_on):
    """A failed call costs nothing and gives its share back."""
    replies = [Answer({"error": {"code": 500, "message": "down"}}, status=500), Answer(whole())]
    model = model_on(serve(lambda _: replies.pop(0)))
    with CostLimit(1) as limit:
        with pytest.raises(errors.UpstreamError):
            model.invoke("x")
        model.invoke("x")
    assert limit.spent == 0.0025
    assert limit.requests == 1


# --- streams that were left -------------------------------------------------------------------


def leave(model, how):
    """Read one piece of a stream, and go."""
    if how == "sync":
        for _ in model.stream("x"):
            break
        return

    async def main():
        pieces = model.astream("x")
        await anext(pieces)
        await pieces.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_stream_that_was_left_counts_before_the_next_call(emulate, how):
    """A stream that was left counts before the next call."""
    emulator = emulate(lambda _: Reply("one two three four " * 50, usage={"cost": COST}))
    model = ChatOpenRouter(model=SLUG, api_key="k", base_url=emulator.url, max_retries=0)

    with CostLimit(0.01) as limit, get_openrouter_callback() as used:
        leave(model, how)
        assert len(limit.unsettled) == len(used.unsettled) == 1
        assert limit.spent == used.cost == 0
        assert used.total.stopped == 1
        with pytest.raises(errors.CostLimitError):
            model.invoke("x")

    assert limit.spent == charged(emulator) == COST
    assert limit.unsettled == ()
    assert len(emulator.chat_requests) == 1
    used.settle()
    assert (used.cost, used.unsettled) == (COST, ())
    assert used.by_model()[SLUG].cost == COST
    assert all(request.key == "k" for request in emulator.requests)


def test_settle_waits_until_the_service_knows(emulate):
    """Settle waits until the service knows."""
    emulator = emulate(
        lambda _: Reply("one two three four " * 50, usage={"cost": COST}), generation_delay=0.6
    )
    model = ChatOpenRouter(model=SLUG, api_key="k", base_url=emulator.url, max_retries=0)
    with CostLimit(1) as limit, get_openrouter_callback() as used:
        leave(model, "sync")

    asyncio.run(limit.asettle())
    asyncio.run(used.asettle())
    assert limit.spent == used.cost == COST


def test_a_stream_that_breaks_is_counted_apart_with_its_id(serve, model_on):
    """A stream that breaks is counted apart with its id."""
    events = stream("Hel", "lo").body
    broken = Answer([b"".join(events)[:400], CUT] if isinstance(events, list) else [events[:400], CUT],
                    content_type="text/event-stream", headers={"x-generation-id": "gen-1-abc"})  # fmt: skip
    record = Answer({"data": {"id": "gen-1-abc", "total_cost": 0.5}})
    server = serve(lambda seen: record if "generation" in seen.path else broken)
    model = model_on(server)

    limit = CostLimit(1)
    with limit, get_openrouter_callback() as used, pytest.raises(errors.OpenRouterError):
        list(model.stream("x"))
    assert used.total.failed == 1
    assert used.unsettled == limit.unsettled == ("gen-1-abc",)
    used.settle()
    limit.settle()
    assert used.cost == limit.spent == 0.5
    assert "1 failed" in repr(used)


# --- estimates --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["sync", "async"])
def test_an_estimate_that_does_not_fit_is_refused_before_the_call(emulator, model, how):
    """gpt-4o-mini: 0.15 USD a million tokens in, 0.60 out."""

    def call(**kwargs):
        if how == "sync":
            return model.invoke("hi", **kwargs)
        return asyncio.run(model.ainvoke("hi", **kwargs))

    with CostLimit(0.02, before="estimate") as limit:
        with pytest.raises(errors.CostLimitError, match="this call may cost") as caught:
            call(max_tokens=1_000_000)
        call(max_tokens=100)
    assert caught.value.estimate == pytest.approx(0.6, rel=0.01)
    assert limit.requests == 1
    assert [seen.path for seen in emulator.requests if seen.path != "/models"] == [
        "/chat/completions"
    ]


# --- users ------------------------------------------------------------------------------------


def test_a_users_run_has_a_ceiling(emulator, model):
    """A users run has a ceiling."""
    mine = model.for_current_user()
    with as_user("ann", max_cost=0.01) as run:
        mine.invoke("x")
        with pytest.raises(errors.CostLimitError):
            mine.invoke("x")
    assert run.costs.spent == charged(emulator, "ann") == COST
    assert "max_cost=0.01" in repr(run)

    async def main():
        async with as_user("bob", max_cost=CostLimit(0.05)) as run:
            await mine.ainvoke("x")
            return run.costs.spent

    assert asyncio.run(main()) == COST
    with pytest.raises(errors.AuthenticationError):
        mine.invoke("x")
    with pytest.raises(errors.AuthenticationError):
        model.for_current_user().invoke("x")
    embeddings = OpenRouterEmbeddings(model="a/b", api_key="k", base_url=emulator.url)
    assert embeddings.for_current_user().api_key is current_user


def test_no_repr_shows_a_key(emulator, model):
    """No repr shows a key."""
    with CostLimit(1) as limit, get_openrouter_callback() as used:
        leave(model.for_user("sk-or-v1-secret"), "sync")
    assert "secret" not in repr(vars(limit)) + repr(vars(used)) + repr(limit) + repr(used)
    assert "USD" in limit._repr_html_()


# --- several processes ------------------------------------------------------------------------

WORKER = """
import sys
from langchain_openrouter import ChatOpenRouter, errors
from langchain_openrouter.callbacks import CostLimit
from langchain_openrouter.key_store import FileStore
url, folder, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", base_url=url, max_retries=0)
done = 0
with CostLimit(0.1, store=FileStore(folder), name="run-1") as limit:
    for _ in range(calls):
        try:
            model.invoke("x")
            done += 1
        except errors.CostLimitError:
            break
print(done)
"""


def test_processes_share_a_ceiling(emulator, tmp_path):
    """Processes share a ceiling."""
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, emulator.url, str(tmp_path), "20"],
                         stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]  # fmt: skip
    done = [int(worker.communicate(timeout=60)[0]) for worker in workers]
    assert sum(done) == len(emulator.requests) == 10

    again = CostLimit(0.1, store=FileStore(tmp_path), name="run-1")
    with again, pytest.raises(errors.CostLimitError):
        ChatOpenRouter(model=SLUG, api_key="k", base_url=emulator.url).invoke("x")
    assert again.spent == charged(emulator) == 0.101


def test_async_calls_share_a_ceiling_in_a_store(emulator, model):
    """Async calls share a ceiling in a store."""
    store = InMemoryByteStore()

    async def run():
        async with CostLimit(0.1, store=store, name="r") as limit:
            results = await asyncio.gather(
                *(model.ainvoke("x") for _ in range(15)), return_exceptions=True
            )
        return limit, sum(isinstance(item, errors.CostLimitError) for item in results)

    limit, refused = asyncio.run(run())
    assert refused == 5
    assert limit.spent == charged(emulator) == 0.101
    entry = json.loads(store.mget(["cost-limit:r"])[0])
    assert Decimal(entry["costs"][SLUG]) == Decimal("0.101")
    assert entry["running"] == {}


def test_a_store_needs_a_name():
    """A store needs a name."""
    with pytest.raises(ValueError, match="name"):
        CostLimit(1, store=InMemoryByteStore())
    with pytest.raises(ValueError, match="estimate"):
        CostLimit(1, before="price")


def test_an_interrupted_call_gives_its_share_back(emulate):
    """An interrupted call gives its share back."""
    released = threading.Event()

    def slow(received):
        released.wait(5)
        return Reply("ok", usage={"cost": COST})

    emulator = emulate(slow)
    model = ChatOpenRouter(model=SLUG, api_key="k", base_url=emulator.url, max_retries=0)

    async def main():
        with CostLimit(1) as limit:
            task = asyncio.create_task(model.ainvoke("a"))
            await asyncio.sleep(0.3)
            task.cancel()
            await asyncio.wait([task])
            released.set()
            await asyncio.wait_for(model.ainvoke("b"), 10)
        return limit.requests

    assert asyncio.run(main()) == 1
