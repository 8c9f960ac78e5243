"""`make bench`: every peer, in turn, in an environment of its own, on one server; table and plot.

Writes `results.json`, `results.md` and `results.png` beside itself.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from peers import IMPORTS, PEERS
from report import plot, table

HERE = Path(__file__).parent
ROOT = HERE.parent
PLACES = ROOT / ".bench"

# task -> its options, and those of peers that would take too long with them
ROUND = [
    ("chunks", {"number": 4000}, {}),
    ("responses", {"number": 4000}, {}),
    ("calls", {"number": 200}, {"official": {"number": 60}}),
    ("first", {"number": 60}, {}),
]
CROWDS = [(1, 6000), (30, 400), (300, 60)]
USERS = {"ours": 10_000}
FEW = 200
PEAK = 100_000
GROWTH = (1_000, 10_000, 100_000)


def environment(name, peer):
    """Return the Python of a peer's own environment, made where there is none."""
    place = PLACES / name
    python = place / "bin" / "python"
    if not python.exists():
        print(f"installing {peer.name}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *peer.packages], check=True, cwd=ROOT)
    return str(python)


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


class Bench:
    """Measurements by peer and name: lists of numbers, one for each round."""

    def __init__(self, pythons, url, *, size):
        self.pythons, self.url, self.size = pythons, url, size
        self.found = {name: {} for name in pythons}

    def ask(self, name, task, options, prefix=""):
        """Run one task of one peer in a process of its own."""
        small = {k: max(2, int(v * self.size)) if k == "number" else v for k, v in options.items()}
        words = [self.pythons[name], HERE / "worker.py", name, task, self.url, json.dumps(small)]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI", "OPENROUTER"))}
        start = time.monotonic()
        done = subprocess.run(words, capture_output=True, text=True, env=clean, check=False)
        print(f"  {name} {task} {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        if done.returncode:
            print(f"{name} {task} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
            return
        for metric, value in json.loads(done.stdout).items():
            self.found[name].setdefault(f"{prefix}{metric}", []).append(value)

    def round(self):
        """Let each peer do each task, in turn."""
        for task, options, others in ROUND:
            for name in self.pythons:
                self.ask(name, task, {**options, **others.get(name, {})})
        for streams, number in CROWDS:
            for name in self.pythons:
                self.ask(
                    name, "crowd", {"streams": streams, "number": number}, f"{streams} at once "
                )
        for name in self.pythons:
            for what, statement in IMPORTS[name].items():
                self.found[name].setdefault(f"import {what}", []).append(
                    imported(self.pythons[name], statement)
                )

    def once(self):
        """Measure what takes long, and hardly varies, once."""
        for name in self.pythons:
            if name != "floor":
                number = USERS.get(name, FEW)
                self.ask(name, "users", {"number": number}, "user ")
                self.ask(name, "connections", {"number": number}, "connections ")
            self.ask(name, "peak", {"number": PEAK}, "peak ")
        grown = [name for name in ("floor", "ours", "openai") if name in self.pythons]
        for name in grown:
            for number in GROWTH:
                wanted = {"number": number, "modes": ["sync"]}
                self.ask(name, "chunks", wanted, f"of {number} ")
            sizes = {"number": 40, "sizes": [40, 400, 4000]}
            self.ask(name, "calls", sizes, "growing ")
        if "ours" in self.pythons:
            for number in (100, 1000, 10_000):
                self.ask("ours", "users", {"number": number}, f"of {number} users ")


def imported(python, statement):
    """Return how long an import takes in a new process, milliseconds."""
    code = f"import time; t=time.perf_counter(); {statement}; print(time.perf_counter()-t)"
    words = [python, "-P", "-c", code]  # -P: the environment's package, not the folder's
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(done.stdout) * 1e3


def published(text):
    """Put the tables into the documentation."""
    page = ROOT / "docs" / "reference" / "benchmarks.md"
    before, _, rest = page.read_text().partition("<!-- bench: written by make bench -->\n")
    after = rest.partition("<!-- /bench -->")[2]
    mark = "<!-- bench: written by make bench -->\n"
    page.write_text(f"{before}{mark}{text}<!-- /bench -->{after}")


def machine():
    """Return what this was measured on."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if names:
            return f"{names[0]}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"{platform.processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main():
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=float, default=1.0, help="share of each task")
    parser.add_argument("--here", action="store_true", help="in this environment")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--from", dest="old", type=Path, help="results.json to draw anew")
    given = parser.parse_args()
    if given.old:
        results = json.loads(given.old.read_text())
    else:
        names = given.peers.split(",")
        made = {n: sys.executable if given.here else environment(n, PEERS[n]) for n in names}
        with server() as url:
            bench = Bench(made, url, size=given.size)
            for number in range(given.rounds):
                print(f"round {number + 1} of {given.rounds}", file=sys.stderr, flush=True)
                bench.round()
            print("users, connections, memory, growth", file=sys.stderr, flush=True)
            bench.once()
        results = {
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "machine": machine(),
            "rounds": given.rounds,
            "medians": {
                name: {metric: statistics.median(values) for metric, values in found.items()}
                for name, found in bench.found.items()
            },
        }
        (given.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = table(results)
    (given.out / "results.md").write_text(text)
    if given.out == HERE:
        published(text)
    plot(results, given.out / "results.png")
    print(text)


if __name__ == "__main__":
    main()
