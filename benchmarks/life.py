"""Tasks of an app in use: paced streams, one more user, a new event loop, the time after a crowd."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

RATE = 50  # pieces a second of a paced stream, as the server sends them
WORD = 5  # characters of a piece


def cpu_of(run, number):
    """Return the CPU of one of `number` runs, milliseconds."""
    gc.collect()
    start = time.process_time()
    for _ in range(number):
        run()
    return (time.process_time() - start) / number * 1e3


def paced(peer, *, streams=100, number=200):
    """CPU per piece, microseconds, of streams that come at the pace of a model: 50 pieces a second."""

    async def one(slug):
        await asyncio.sleep(random.random() / RATE)  # noqa: S311 - they do not start together
        return await peer.astreamed(slug)

    async def run():
        await asyncio.gather(*[one("bench/paced-3") for _ in range(streams)])
        gc.collect()
        start = time.process_time()
        sizes = await asyncio.gather(*[one(f"bench/paced-{number}") for _ in range(streams)])
        spent = time.process_time() - start
        assert sum(sizes) == streams * number * WORD, "pieces were lost"
        return {"paced": spent / (streams * number) * 1e6}

    with peer.runner() as runner:
        return runner.run(run())


def newcomers(peer, *, number=200, rounds=5):
    """CPU of one more user with a first call, and of a call of a model in use, milliseconds."""
    keys = iter(range(10**9))
    peer.user(f"sk-or-v1-{next(keys):060d}").call()
    peer.call()
    own, new = [], []
    share = max(2, number // rounds)
    for _ in range(rounds):  # in turn: the machine's mood is the same for both
        own.append(cpu_of(peer.call, share))
        new.append(cpu_of(lambda: peer.user(f"sk-or-v1-{next(keys):060d}").call(), share))
    found = statistics.median(own), statistics.median(new)
    ratio = statistics.median(n / o for n, o in zip(new, own, strict=True))
    return {"own call": found[0], "newcomer": found[1], "newcomer ratio": ratio}


def new_loops(peer, *, number=20):
    """Wall time of one call in an event loop of its own, milliseconds."""
    times = []
    for _ in range(number + 1):
        start = time.perf_counter()
        assert asyncio.run(peer.call_in_new_loop()) == "Hello!"
        times.append((time.perf_counter() - start) * 1e3)
    return {"new loop": statistics.median(times[1:])}


def after_crowd(peer, *, number=300, calls=60):
    """CPU of a call before and after a crowd at once, milliseconds: async, and of threads."""

    async def sequence():
        gc.collect()
        start = time.process_time()
        for _ in range(calls):
            await peer.acall()
        return (time.process_time() - start) / calls * 1e3

    async def run():
        await sequence()
        before = await sequence()
        await asyncio.gather(*[peer.acall("bench/slow-300") for _ in range(number)])
        return before, await sequence()

    with peer.runner() as runner:
        before, after = runner.run(run())
    cpu_of(peer.call, calls)
    quiet = cpu_of(peer.call, calls)
    with ThreadPoolExecutor(number) as threads:
        list(threads.map(lambda _: peer.call("bench/slow-300"), range(number)))
    later = cpu_of(peer.call, calls)
    return {
        "before crowd": before,
        "after crowd": after,
        "crowd ratio": after / before,
        "before threads": quiet,
        "after threads": later,
        "threads ratio": later / quiet,
    }


TASKS = {task.__name__: task for task in (paced, newcomers, new_loops, after_crowd)}
