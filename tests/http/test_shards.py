"""Connections are spread over small pools: a call after a crowd is a call as before it."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from langchain_openrouter import errors
from langchain_openrouter._http import clients, shards
from langchain_openrouter._http import pools as shared
from langchain_openrouter._http.shards import MAX_BUSY, MAX_KEEPALIVE
from tests.support.loopback import CUT, Reply, stream, whole

CROWD = 230  # more than the idle connections that are kept


def pieces():
    """Return a stream that is cut in the middle, and goes on after a while."""
    said = stream(*["Hi "] * 20).items()[0]
    return Reply([said[:300], 0.1, said[300:]], content_type="text/event-stream")


@pytest.fixture(autouse=True)
def _new_pools():
    shared.close()
    yield
    shared.close()


def pools(of_environments):
    """Return the shards, and the number of connections of each."""
    (only,) = of_environments.values()
    found = only._shards
    return found, [len(s.client._client._transport._pool.connections) for s in found]


def of_loop():
    """Return the shards of the running loop."""
    return pools(shared._pools.loops[asyncio.get_running_loop()])


def of_process():
    """Return the shards of the process."""
    return pools(shared._pools.sync)


def test_crowd_is_spread_and_its_idle_connections_are_bounded(serve, model_on):
    """No pool gets large; later calls use the first, and 200 connections stay in all."""
    server = serve(lambda seen: pieces())
    model = model_on(server, timeout=30)

    async def one():
        return [piece async for piece in model.astream("x")]

    async def run():
        await one()
        answers = await asyncio.gather(*[one() for _ in range(CROWD)])
        assert all(len(answer) > 20 for answer in answers)

        found, connections = of_loop()
        assert len(found) == -(-CROWD // MAX_BUSY)
        assert max(connections) <= MAX_BUSY
        assert sum(connections) == MAX_KEEPALIVE
        assert not any(shard.busy for shard in found)

        before = max(seen.connection for seen in server.seen)
        used = [shard.used_at for shard in found[1:]]
        for _ in range(3):
            await one()
        assert [shard.used_at for shard in found[1:]] == used
        assert max(seen.connection for seen in server.seen) == before

    asyncio.run(run())


def test_threads_are_spread_too(serve, model_on):
    """A crowd of threads ends in small pools as well."""
    barrier = threading.Barrier(50)
    model = model_on(serve(lambda seen: Reply([0.1, json.dumps(whole()).encode()])), timeout=30)

    def run(_):
        barrier.wait()
        return model.invoke("x")

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(run, range(50)))

    found, connections = of_process()
    assert 2 <= len(found) <= 50
    assert max(connections) <= MAX_BUSY
    assert not any(shard.busy for shard in found)


def test_requests_that_fail_stop_or_are_left_make_room(serve, model_on):
    """However a request ends, its client is not busy with it any more."""
    said = stream(*["Hi "] * 20).items()[0]

    def reply(seen):
        case = seen.body["messages"][0]["content"]
        if case == "error":
            return Reply({"error": {"message": "no", "code": 400}}, status=400)
        if case == "cut":
            return Reply([said[:300], CUT], content_type="text/event-stream")
        if case == "slow":
            return Reply([said[:300], 0.6, said[300:]], content_type="text/event-stream")
        return Reply([said], content_type="text/event-stream")

    model = model_on(serve(reply))

    async def run():
        with pytest.raises(errors.OpenRouterError):
            await model.ainvoke("error")
        with pytest.raises(errors.OpenRouterError):
            _ = [piece async for piece in model.astream("cut")]
        left = model.astream("slow")
        await anext(left)
        ((shard,), _) = of_loop()
        assert len(shard.busy) == 1
        await left.aclose()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(model.ainvoke("slow"), 0.1)
        assert not shard.busy

    asyncio.run(run())
    with pytest.raises(errors.OpenRouterError):
        model.invoke("error")
    with pytest.raises(errors.OpenRouterError):
        list(model.stream("cut"))
    left = model.stream("slow")
    next(left)
    assert len(of_process()[0][0].busy) == 1
    left.close()
    assert not of_process()[0][0].busy


def test_response_that_nobody_closed_makes_room():
    """The room is given back when the response is collected."""
    shard = shards.Shard(None, is_keeping=True)
    token = object()
    shard.busy.add(token)
    body = shards.BusyStream([], shard, token)
    assert shard.busy
    del body
    gc.collect()
    assert not shard.busy


def test_idle_clients_are_closed(serve, model_on, monkeypatch):
    """Those that were not used for as long as a connection is kept; the busy ones stay."""
    model = model_on(serve(lambda seen: pieces()), timeout=30)

    async def run():
        streams = [model.astream("x") for _ in range(3 * MAX_BUSY)]
        await asyncio.gather(*[anext(each) for each in streams])
        for each in streams[:-1]:
            await each.aclose()
        found, _ = of_loop()
        assert len(found) == 3
        idle = found[1].client

        monkeypatch.setattr(shards, "KEEPALIVE_SECONDS", 0.05)
        await asyncio.sleep(0.1)
        await model.ainvoke("x")
        assert [shard.client for shard in of_loop()[0]] == [found[0].client, found[2].client]
        assert idle._client.is_closed
        _ = [piece async for piece in streams[-1]]

        await asyncio.sleep(0.1)
        await model.ainvoke("x")
        assert len(of_loop()[0]) == 1

    asyncio.run(run())


def test_no_request_closes_a_whole_crowds_clients(monkeypatch):
    """A few with each request, until none is left that is idle."""
    found = shards.Shards(lambda _keepalive: SimpleNamespace())
    monkeypatch.setattr(shards, "KEEPALIVE_SECONDS", 0.0)
    for number in range(11 * MAX_BUSY):
        found.take().shard.busy.add(number)
    assert found.remove_idle() == []
    for shard in found._shards:
        shard.busy.clear()

    closed = [len(found.remove_idle()) for _ in range(5)]
    assert closed == [4, 4, 2, 0, 0]
    assert len(found._shards) == 1


def test_client_of_a_request_that_waits_for_its_retry_stays(serve, model_on, monkeypatch):
    """A client is busy between the attempts of a request."""
    replies = iter([Reply({"error": {"message": "later", "code": 429}}, status=429)])
    model = model_on(serve(lambda seen: next(replies, Reply(whole()))), max_retries=1)
    monkeypatch.setattr(
        clients._ClientOverrides, "_calculate_retry_timeout", lambda *_, **__: 0.3, raising=False
    )

    async def run():
        waiting = asyncio.create_task(model.ainvoke("x"))
        await asyncio.sleep(0.15)
        ((shard,), _) = of_loop()
        assert len(shard.busy) == 1
        await waiting
        assert not shard.busy

    asyncio.run(run())
