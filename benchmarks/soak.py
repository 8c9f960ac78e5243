"""`make soak`: a hundred users at once for ten minutes; memory, connections, tasks, threads.

Seventy users on one event loop and thirty in threads; each turn is another user's: a stream read
to its end, one left in the middle, a whole answer, a 429 that is retried, a stream that is cut. The
emulator runs in a process of its own and answers with the key it was sent. Writes `soak.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import gc
import itertools
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from langchain_openrouter import ChatOpenRouter, errors

HERE = Path(__file__).parent
ASYNC, THREADS = 70, 30
EVERY = 10.0  # seconds between samples
WARM = 0.3  # share of the run in which pools and caches fill


def serve():
    """Be the emulator until the standard input ends."""
    from langchain_openrouter.testing import Emulator, Fault, Reply, error

    turns = itertools.count()

    def reply(asked):
        turn = next(turns)
        if turn % 20 == 7:
            return error("rate_limit", retry_after=0)
        cut = Fault("cut", after=5) if turn % 20 == 13 else None
        return Reply(f"{asked.key} " * 30, reasoning="Well.", fault=cut)

    with Emulator(reply) as emulator:
        print(emulator.url, flush=True)
        stop = threading.Thread(target=sys.stdin.read, daemon=True)
        stop.start()
        while stop.is_alive():
            stop.join(5)
            emulator.asked.clear()  # what it remembers of requests is not what is measured


class Soak:
    """Users at work, and what is counted."""

    def __init__(self, url):
        self.model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=url, max_retries=2)
        self.numbers = itertools.count()
        self.counts = dict.fromkeys(("whole", "streamed", "left", "cut", "refused", "wrong"), 0)
        self.over = False

    def note(self, key, text, how):
        """Count an answer; one of another user is wrong."""
        words = set(text.split())
        right = words <= {key} if how != "whole" else words == {key}
        self.counts[how if right else "wrong"] += 1

    async def user(self):
        """Be one user after another, on the event loop."""
        while not self.over:
            key = f"sk-or-v1-{next(self.numbers):064d}"
            model, dice, text = self.model.for_user(key), random.random(), ""  # noqa: S311
            try:
                if dice < 0.3:
                    self.note(key, (await model.ainvoke("x")).text, "whole")
                    continue
                stream = model.astream("x")
                async for chunk in stream:
                    text += chunk.text
                    if dice > 0.8 and len(text) > 200:
                        await stream.aclose()
                        break
                self.note(key, text.rpartition(" ")[0], "left" if dice > 0.8 else "streamed")
            except errors.ConnectionFailedError:
                self.counts["cut"] += 1
            except errors.RateLimitError:  # at each of its tries
                self.counts["refused"] += 1

    def thread(self):
        """Be one user after another, in a thread."""
        while not self.over:
            key = f"sk-or-v1-{next(self.numbers):064d}"
            model, dice, text = self.model.for_user(key), random.random(), ""  # noqa: S311
            try:
                if dice < 0.3:
                    self.note(key, model.invoke("x").text, "whole")
                    continue
                stream = model.stream("x")
                for chunk in stream:
                    text += chunk.text
                    if dice > 0.8 and len(text) > 200:
                        stream.close()
                        break
                self.note(key, text.rpartition(" ")[0], "left" if dice > 0.8 else "streamed")
            except errors.ConnectionFailedError:
                self.counts["cut"] += 1
            except errors.RateLimitError:  # at each of its tries
                self.counts["refused"] += 1

    async def run(self, seconds):
        """Work; return the samples, the last one after everybody has left."""
        samples, start = [], time.monotonic()
        threads = [threading.Thread(target=self.thread) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        users = [asyncio.create_task(self.user()) for _ in range(ASYNC)]
        while (passed := time.monotonic() - start) < seconds:
            await asyncio.sleep(min(EVERY, seconds / 20))
            samples.append(self.sample(passed))
            print(samples[-1], file=sys.stderr, flush=True)
        self.over = True
        await asyncio.gather(*users)
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])
        await ChatOpenRouter.aclose()
        ChatOpenRouter.close()
        await asyncio.get_running_loop().shutdown_default_executor()
        await asyncio.sleep(0.5)
        return [*samples, self.sample(time.monotonic() - start)]

    def sample(self, passed):
        """Return what this process holds now."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {
            "seconds": round(passed),
            "answers": sum(self.counts.values()),
            "MiB": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1),
            "sockets": sum("socket" in link for link in links()),
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "objects": len(gc.get_objects()),
        }


def links():
    """Return what this process's file descriptors are."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - they come and go
        try:
            yield os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except OSError:
            continue


def verdict(samples, counts, before):
    """Return what is not as it should be."""
    *working, last = samples
    steady = working[int(len(working) * WARM) :]
    third = max(1, len(steady) // 3)
    problems = []
    for what, room in (("MiB", 1.03), ("objects", 1.05), ("sockets", 1.2)):
        early, late = (
            statistics.median(s[what] for s in part) for part in (steady[:third], steady[-third:])
        )
        if late > early * room + 5:
            problems.append(f"{what}: {early} grew to {late}")
    problems += [
        f"{what}: {before[what]} before, {last[what]} after"
        for what in ("tasks", "threads", "sockets")
        if last[what] > before[what]
    ]
    if any(sample["threads"] < THREADS for sample in working):
        problems.append("a thread ended early")
    if counts["wrong"]:
        problems.append(f"{counts['wrong']} answers of another user")
    return problems


def report(samples, counts, before, problems, seconds):
    """Return the report in Markdown."""
    names = list(samples[0])
    shown = [before, *samples[:: max(1, len(samples) // 12)], samples[-1]]
    lines = [
        f"{dt.datetime.now(dt.UTC).date()}, {ASYNC + THREADS} users at once for {seconds:.0f} s, `make soak`: "
        + ", ".join(f"{number:,} {how}" for how, number in counts.items())
        + ".",
        "",
        "|" + "|".join(names) + "|",
        "|" + "---:|" * len(names),
        *("|" + "|".join(f"{row[name]:,}" for name in names) + "|" for row in shown),
        "",
        "The first row is before, the last after everybody has left.",
        *(f"- NOT FLAT: {problem}" for problem in problems),
    ]
    return "\n".join(lines) + "\n"


def main():
    """Serve, or soak and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--out", type=Path, default=HERE / "soak.md")
    given = parser.parse_args()
    if given.serve:
        serve()
        return 0
    words = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        soak = Soak(server.stdout.readline().strip())

        async def run():
            before = soak.sample(0)
            return before, await soak.run(given.seconds)

        before, samples = asyncio.run(run())
        server.stdin.close()
    problems = verdict(samples, soak.counts, before)
    text = report(samples, soak.counts, before, problems, given.seconds)
    given.out.write_text(text)
    print(text)
    return len(problems)


if __name__ == "__main__":
    sys.exit(main())
