"""`make bench-ray`: what Ray's workers cost beside the engine on this machine, on the same rows.

Rows a second after the start, and the CPU of the process that hands out the rows. First the server
answers at once, so that the clients are what is measured; then after 100 ms, as a fast model does.
Then the seconds until the first answer, with a cluster that runs. Writes `ray_batch.md` beside
itself.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import sys
import time
from pathlib import Path

from batch import chat_model, server

HERE = Path(__file__).parent
ENGINES = {
    "local": '`engine="local"`: asyncio alone',
    "ray1": '`engine="ray"`, 1 worker',
    "ray2": '`engine="ray"`, 2 workers',
}
COLUMNS = {"rate": "rows/s", "cpu": "driver's CPU per row, µs", "first": "first answer after, s"}


def prompts(number, marks, skip):
    """Yield rows; note when the first ones have been taken."""
    for n in range(number):
        if n == skip:
            marks["start"], marks["cpu"] = time.perf_counter(), time.process_time()
        yield {"text": f"row {n}"}


def measure(name, url, number, model):
    """Return the numbers of one engine."""
    from langchain_openrouter.batch import RayEngine, key_from_env, run

    marks, skip = {}, number // 5
    engine = "local" if name == "local" else RayEngine(workers=int(name[3:]))
    chat = chat_model(url).model_copy(
        update={"model_name": model, "openai_api_key": key_from_env("BENCH_KEY")}
    )
    begin = time.perf_counter()

    def note(progress):
        if progress.done and "first" not in marks:
            marks["first"] = time.perf_counter() - begin

    rows = prompts(number, marks, skip)
    result = run(chat, rows, prompt="{text}", engine=engine, progress=note, max_concurrency=64)
    seconds, cpu = time.perf_counter() - marks["start"], time.process_time() - marks["cpu"]
    assert (result.done, result.failed) == (number, 0), result
    found = {
        "rate": (number - skip) / seconds,
        "cpu": cpu / (number - skip) * 1e6,
        "first": marks["first"],
    }
    print(name, model, found, file=sys.stderr, flush=True)
    return found


def report(medians, rows):
    """Return the table."""
    lines = [f"|{'|'.join(['', *COLUMNS.values()])}|", "|---|" + "---:|" * len(COLUMNS)]
    for (kind, name), found in medians.items():
        numbers = [f"{found['rate']:,.0f}", f"{found['cpu']:.0f}", f"{found['first']:.1f}"]
        lines.append(f"|{kind}, {ENGINES[name]}|{'|'.join(numbers)}|")
    today = dt.datetime.now(dt.UTC).date().isoformat()
    counts = " and ".join(f"{count:,}" for count in rows.values())
    return "\n".join([*lines, "", f"{counts} rows, {today}, `make bench-ray`.", ""])


def main():
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "ray_batch.md")
    given = parser.parse_args()
    import os

    import ray

    os.environ["BENCH_KEY"] = "sk-or-v1-bench"
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=10**8, log_to_driver=False)
    rows = {"at once": given.rows, "after 100 ms": given.rows // 2}
    found = {(kind, name): [] for kind in rows for name in ENGINES}
    with server() as url:
        for _ in range(given.rounds):
            for (kind, name), runs in found.items():
                model = "bench/small" if kind == "at once" else "bench/slow-100"
                runs.append(measure(name, url, rows[kind], model))
    ray.shutdown()

    medians = {
        key: {name: statistics.median(one[name] for one in runs) for name in COLUMNS}
        for key, runs in found.items()
    }
    text = report(medians, rows)
    given.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
