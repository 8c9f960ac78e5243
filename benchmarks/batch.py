"""`make bench-batch`: a batch beside LangChain's, and beside a bare loop of httpx2; memory by size.

Each is run in a process of its own, in turn: rows a second, CPU per row and peak memory. The server
answers at once, so that the clients are what is measured. The sizes are run on answers that are made
in the process. Writes `docs/reference/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reference" / "benchmarks.md"
BEGIN, END = "<!-- batch: written by make bench-batch -->\n", "<!-- /batch -->\n"
ROWS = 100_000
SIZES = (10_000, 100_000, 1_000_000)
AT_ONCE = 16
NAMES = {
    "floor": "httpx2 alone, in a loop",
    "batch": "`batch.run`, to JSONL",
    "arun": "`batch.arun`, to JSONL",
    "parquet": "`batch.run`, to Parquet",
    "abatch": "`model.abatch`",
    "as_completed": "`model.abatch_as_completed`",
}


# --- what is measured, each in a process of its own -------------------------------------------


def prompts(number):
    """Yield rows."""
    return ({"text": f"row {n}"} for n in range(number))


def chat_model(url):
    """Return the model."""
    from langchain_openrouter import ChatOpenRouter

    return ChatOpenRouter(model="bench/small", api_key="sk-or-v1-bench", base_url=url)


async def floor(url, number):
    """Send each row with httpx2, and count the answers."""
    import httpx2

    rows, done = prompts(number), 0

    async def work(client):
        nonlocal done
        for row in rows:
            body = {"model": "bench/small", "messages": [{"role": "user", "content": row["text"]}]}
            headers = {"authorization": "Bearer sk-or-v1-bench"}
            answer = await client.post(f"{url}/chat/completions", json=body, headers=headers)
            assert answer.json()["choices"][0]["message"]["content"] == "Hello!"
            done += 1

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx2.AsyncClient(limits=limits) as client:
        await asyncio.gather(*[work(client) for _ in range(AT_ONCE)])
    return done


def arguments(url, number, folder, suffix):
    """Return what a batch is called with."""
    output = Path(folder, f"out.{suffix}")
    options = {"prompt": "{text}", "output": output, "progress": False}
    return (chat_model(url), prompts(number)), options


async def batch(url, number, suffix="jsonl"):
    """Run a batch, which has a thread and an event loop of its own."""
    from langchain_openrouter.batch import run

    with tempfile.TemporaryDirectory() as folder:
        given, options = arguments(url, number, folder, suffix)
        result = run(*given, **options)
    assert result.failed == 0
    return result.done


async def arun(url, number):
    """Run a batch in this loop."""
    from langchain_openrouter import batch

    with tempfile.TemporaryDirectory() as folder:
        given, options = arguments(url, number, folder, "jsonl")
        result = await batch.arun(*given, **options)
    assert result.failed == 0
    return result.done


async def parquet(url, number):
    """Run a batch to Parquet."""
    return await batch(url, number, "parquet")


async def abatch(url, number):
    """Let LangChain run all at once."""
    inputs = [row["text"] for row in prompts(number)]
    return len(await chat_model(url).abatch(inputs, {"max_concurrency": AT_ONCE}))


async def as_completed(url, number):
    """Let LangChain yield answers as they come."""
    inputs, done = [row["text"] for row in prompts(number)], 0
    async for _ in chat_model(url).abatch_as_completed(inputs, {"max_concurrency": AT_ONCE}):
        done += 1
    return done


async def simulated(_, number):
    """Run a batch on answers that are made in the process."""
    import httpx2
    from server import SMALL

    async def handle_async_request(self, request):
        await asyncio.sleep(0)
        return httpx2.Response(200, json=SMALL)

    httpx2.AsyncHTTPTransport.handle_async_request = handle_async_request
    return await batch("http://127.0.0.1:1/api/v1", number)


TASKS = {
    task.__name__: task for task in (floor, batch, arun, parquet, abatch, as_completed, simulated)
}


def work(name, url, number):
    """Run one task; print its numbers."""
    asyncio.run(TASKS[name](url, min(number, 50)))  # imports and first connections are not counted
    cpu, wall = time.process_time(), time.perf_counter()
    done = asyncio.run(TASKS[name](url, number))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert done == number, (name, done)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": number / wall, "cpu": cpu / number * 1e6, "peak": peak}))


# --- one after another ------------------------------------------------------------------------


@contextlib.contextmanager
def server():
    """Start the server; yield the API's address."""
    process = subprocess.Popen(
        [sys.executable, HERE / "server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    yield f"http://127.0.0.1:{int(process.stdout.readline())}/api/v1"
    process.stdin.close()
    process.wait(10)


def measure(name, url, number):
    """Return the numbers of one task."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI", "OPENROUTER"))}
    done = subprocess.run(
        [sys.executable, HERE / "batch.py", "--work", name, url, str(number)],
        capture_output=True, text=True, env=clean, check=True,
    )  # fmt: skip
    numbers = json.loads(done.stdout)
    print(name, number, numbers, file=sys.stderr, flush=True)
    return numbers


def compare(url, rows, rounds):
    """Return the medians of each task, measured in turn."""
    found = {name: [] for name in NAMES}
    for _ in range(rounds):
        for name in NAMES:
            found[name].append(measure(name, url, rows))
    return {
        name: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        for name, runs in found.items()
    }


def report(medians, sizes, rows):
    """Return the tables."""
    base = medians["floor"]
    lines = ["| |rows/s|CPU per row, µs|beside httpx2|peak, MiB|", "|---|---:|---:|---:|---:|"]
    for name, found in medians.items():
        times = found["cpu"] / base["cpu"]
        lines.append(
            f"|{NAMES[name]}|{found['rate']:,.0f}|{found['cpu']:.0f}|{times:.2f}x|{found['peak']:.0f}|"
        )
    today = dt.datetime.now(dt.UTC).date().isoformat()
    arguments = " ".join(sys.argv[1:])
    command = "make bench-batch" + (f" ARGS='{arguments}'" if arguments else "")
    lines += ["", f"{rows:,} rows each, {today}, `{command}`.", ""]
    lines += ["|rows, answers made in the process|CPU per row, µs|peak, MiB|", "|---|---:|---:|"]
    lines += [f"|{n:,}|{found['cpu']:.0f}|{found['peak']:.0f}|" for n, found in sizes.items()]
    return "\n".join(lines) + "\n"


def write_page(text):
    """Put the tables into the page of the documentation."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}")


def main():
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="rows; none with ''")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a file, in place of the documentation's page")
    parser.add_argument("--work", nargs=3, metavar=("TASK", "URL", "ROWS"))
    given = parser.parse_args()
    if given.work:
        name, url, number = given.work
        work(name, url, int(number))
        return

    with server() as url:
        medians = compare(url, given.rows, given.rounds)
    sizes = {
        number: measure("simulated", "-", number)
        for number in map(int, filter(None, given.sizes.split(",")))
    }
    text = report(medians, sizes, given.rows)
    if given.out is None:
        write_page(text)
    else:
        given.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
