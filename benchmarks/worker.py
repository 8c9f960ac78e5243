"""One peer's measurements, in that peer's own environment: prints a JSON object of numbers.

`python worker.py <peer> <task> <url> <options as JSON>`; needs nothing but the peer's library.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import statistics
import sys
import time
import tracemalloc
import urllib.request

import growing
import life
from peers import TOOLS, conversation, peer_named

WORD = 5  # characters of a delta


def check(kind, number, size):
    """Return the share of the characters sent that did not arrive."""
    sent = number * WORD
    if kind == "tools":
        sent += len('{"text":"') - WORD + len('"}')
    if kind == "reasoning":
        sent += len("Done.")
    return round(1 - size / sent, 4)


def cpu(run):
    """Return the CPU seconds of this process that `run` took, threads included, and its result."""
    gc.collect()
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def chunks(peer, *, number, kinds=("text", "reasoning", "tools"), modes=("sync", "async")):
    """CPU per streamed delta, microseconds; what was lost, as a share."""
    told = {}
    with peer.runner() as runner:
        for kind in kinds:
            for mode in modes:

                def run(slug, mode=mode):
                    if mode == "sync":
                        return peer.streamed(slug)
                    return runner.run(peer.astreamed(slug))

                run(f"bench/{kind}-100")
                spent, size = cpu(lambda: run(f"bench/{kind}-{number}"))  # noqa: B023 - called at once
                told[f"{kind} {mode}"] = spent / number * 1e6
                told[f"{kind} {mode} lost"] = check(kind, number, size)
    return told


def responses(peer, *, number):
    """CPU per delta of `POST /responses`, where the peer can speak it through OpenRouter."""
    if not hasattr(peer, "over_responses"):
        return {}
    told = chunks(peer.over_responses(), number=number)
    return {f"responses {name}": value for name, value in told.items()}


def calls(peer, *, number, sizes=(400,)):
    """CPU and wall time of a small call, and CPU of long ones, milliseconds."""
    small = peer.prepare([{"role": "user", "content": "x"}], None)
    assert small() == "Hello!"
    start = time.perf_counter()
    spent, _ = cpu(lambda: [small() for _ in range(number)])
    told = {
        "small": spent / number * 1e3,
        "small wall": (time.perf_counter() - start) / number * 1e3,
    }
    for size in sizes:
        long = peer.prepare(conversation(size), TOOLS)
        assert long() == "Hello!"
        rounds = max(3, number // 20)
        spent, _ = cpu(lambda: [long() for _ in range(rounds)])  # noqa: B023 - called at once
        told[f"long {size}"] = spent / rounds * 1e3
        told[f"building {size}"] = told[f"long {size}"] - told["small"]
    return told


def first(peer, *, number):
    """Wall time to the first piece of a stream, milliseconds."""
    found = []
    peer.streamed("bench/text-20")
    for _ in range(number):
        times = []
        start = time.perf_counter()
        peer.streamed("bench/text-20", lambda: times.append(time.perf_counter()))  # noqa: B023
        found.append((times[0] - start) * 1e3)
    return {"first": statistics.median(found)}


def crowd(peer, *, streams, number):
    """Many streams at once on one event loop: deltas a second, the loop's longest stall."""

    async def beat(stalls):
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            stalls.append(time.perf_counter() - start - 0.001)

    async def run():
        await peer.astreamed("bench/text-100")
        stalls = []
        heart = asyncio.create_task(beat(stalls))
        start = time.perf_counter()
        sizes = await asyncio.gather(
            *[peer.astreamed(f"bench/text-{number}") for _ in range(streams)]
        )
        took = time.perf_counter() - start
        heart.cancel()
        assert sum(sizes) == streams * number * WORD, "pieces were lost"
        return {"rate": streams * number / took, "stall": max(stalls, default=0.0) * 1e3}

    with peer.runner() as runner:
        return runner.run(run())


def users(peer, *, number):
    """Microseconds and bytes of one more user's model."""
    peer.user("warm").model("bench/small")
    keys = [f"sk-or-v1-{n:060d}" for n in range(number)]
    gc.collect()
    start = time.perf_counter()
    made = [peer.user(key) for key in keys]
    took = time.perf_counter() - start
    del made
    gc.collect()
    tracemalloc.start()
    kept = [peer.user(key) for key in keys]
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(kept) == number
    return {"time": took / number * 1e6, "memory": size / number}


def connections(peer, *, number, at_once=30):
    """TCP connections opened for as many users with one call each, and calls a second."""

    def opened():
        with urllib.request.urlopen(peer.url.removesuffix("/api/v1") + "/stats") as answer:
            return json.load(answer)["opened"]

    async def run():
        room = asyncio.Semaphore(at_once)

        async def one(n):
            async with room:
                return await peer.user(f"sk-or-v1-{n:060d}").acall()

        start = time.perf_counter()
        said = await asyncio.gather(*[one(n) for n in range(number)])
        assert set(said) == {"Hello!"}
        return time.perf_counter() - start

    before = opened()
    with peer.runner() as runner:
        took = runner.run(run())
    return {"per user": (opened() - before - 1) / number, "rate": number / took}


def peak(peer, *, number, kind="text"):
    """Peak memory that one long stream adds, MiB, and its CPU per delta."""
    peer.streamed("bench/text-100")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent, size = cpu(lambda: peer.streamed(f"bench/{kind}-{number}"))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert check(kind, number, size) == 0, "pieces were lost"
    return {"memory": (after - before) / 1024, "cpu": spent / number * 1e6}


TASKS = {
    **{f.__name__: f for f in (chunks, responses, calls, first, crowd, users, connections, peak)},
    **life.TASKS,
    **growing.TASKS,
}


def main():
    """Run one task."""
    name, task, url, options = sys.argv[1:]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft != hard else soft, hard))
    peer = peer_named(name, url)
    print(json.dumps(TASKS[task](peer, **json.loads(options))), flush=True)


if __name__ == "__main__":
    main()
