"""Tasks whose size grows, to see that the cost of an item does not."""

from __future__ import annotations

import asyncio
import copy
import gc
import tempfile
import time
from pathlib import Path

from peers import TOOLS


def _timed(run):
    gc.collect()
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def tools(peer, *, sizes=(20, 200), number=20):
    """CPU of a call with so many tools, milliseconds for each tool."""
    told = {}
    peer.prepare([{"role": "user", "content": "x"}], TOOLS)()
    for size in sizes:
        made = []
        for n in range(size):
            tool = copy.deepcopy(TOOLS[n % len(TOOLS)])
            tool["function"]["name"] = f"tool_{n}"
            made.append(tool)
        call = peer.prepare([{"role": "user", "content": "x"}], made)
        assert call() == "Hello!"
        spent, _ = _timed(lambda: [call() for _ in range(number)])  # noqa: B023 - called at once
        told[f"tools {size}"] = spent / number / size * 1e3
    return told


def alive(peer, *, sizes=(1_000, 10_000, 100_000), number=200):
    """CPU of a user's model, and of a call, while so many are alive: microseconds."""
    told = {}
    peer.user("sk-or-v1-warm").call()
    for size in sizes:
        keys = [f"sk-or-v1-{n:060d}" for n in range(size)]
        users = None  # those before are gone
        spent, users = _timed(lambda: [peer.user(key) for key in keys])  # noqa: B023
        told[f"alive {size}"] = spent / size * 1e6
        users[-1].call()
        spent, _ = _timed(lambda: [user.call() for user in users[:number]])  # noqa: B023
        told[f"alive call {size}"] = spent / min(size, number) * 1e6
    return told


def key_store(_, *, sizes=(1_000, 10_000, 100_000), files=(100, 1_000)):
    """CPU of storing and reading a user's key, microseconds."""
    from langchain_openrouter.key_store import KeyStore

    def used(store, size):
        names = [f"user-{n}" for n in range(size)]
        for name in names:
            store.set(name, f"sk-or-v1-{name:060}")
        assert all(store.get(name) is not None for name in names)

    used(KeyStore(), 10)
    told = {
        f"keys {size}": _timed(lambda s=size: used(KeyStore(), s))[0] / size * 1e6 for size in sizes
    }
    for size in files:
        with tempfile.TemporaryDirectory() as folder:
            store = KeyStore.file(Path(folder, "keys"))
            told[f"key files {size}"] = _timed(lambda: used(store, size))[0] / size * 1e6  # noqa: B023
    return told


def catalog(peer, *, sizes=(100, 1_000), number=10):
    """CPU of reading a catalog of so many models, and of using the cached one: us a model."""
    from langchain_openrouter.catalog import Catalog

    told = {}
    Catalog(base_url=peer.url.replace("/api/v1", "/models-9/api/v1")).models()
    for size in sizes:
        url = peer.url.replace("/api/v1", f"/models-{size}/api/v1")
        spent, made = _timed(lambda: [Catalog(base_url=url) for _ in range(number)])  # noqa: B023
        spent, rows = _timed(lambda: [found.models() for found in made])  # noqa: B023
        assert {len(found) for found in rows} == {size}
        told[f"models {size}"] = spent / number / size * 1e6
        spent, _ = _timed(lambda: [made[0].models() for _ in range(number)])  # noqa: B023
        told[f"models cached {size}"] = spent / number / size * 1e6
    return told


def cassette(peer, *, sizes=(100, 300, 1_000)):
    """Time of replaying an exchange of a cassette of so many, milliseconds, loading it included."""
    from langchain_openrouter import ChatOpenRouter
    from langchain_openrouter.testing.cassettes import use_cassette

    told = {}
    local = peer.model("bench/small")
    model = ChatOpenRouter(model="bench/small", api_key="sk-or-v1-x")
    for size in (3, *sizes):  # the first only warms
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "cassette.yaml")
            with use_cassette(file, record="all"):
                for n in range(size):
                    local.invoke(f"Question {n}")

            def replay(file=file, size=size):
                with use_cassette(file):
                    for n in range(size):
                        assert model.invoke(f"Question {n}").content == "Hello!"

            told[f"cassette {size}"] = _timed(replay)[0] / size * 1e3
    return told


def streams(peer, *, sizes=(100, 1_000), number=20):
    """CPU of a piece of so many streams at once, their calls included, microseconds."""
    told = {}

    async def run(size):
        return await asyncio.gather(*[peer.astreamed(f"bench/text-{number}") for _ in range(size)])

    for size in (3, *sizes):
        with peer.runner() as runner:  # each from no connection
            spent, found = _timed(lambda: runner.run(run(size)))  # noqa: B023 - called at once
        assert sum(found) == size * number * 5, "pieces were lost"
        told[f"streams {size}"] = spent / size / number * 1e6
    return told


TASKS = {task.__name__: task for task in (streams, tools, alive, key_store, catalog, cassette)}
