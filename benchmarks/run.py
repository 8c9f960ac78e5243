"""`make bench`: every peer, in turn, in an environment of its own, on one server; table and plot.

Writes `results.json`, `results.md`, `results.png` and, for dark pages, `results-dark.png` beside itself.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from peers import IMPORTS, PEERS
from report import plot, table

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
ROOT = HERE.parent
PLACES = ROOT / ".bench"

WAYS = ("ours+freeze", "ours+uvloop", "ours+aiohttp", "ours+freeze+uvloop+aiohttp")
GROWN = ("floor", "ours", "openai")
OURS = ("ours",)


class Row(NamedTuple):
    """A task with its options, and who does it."""

    task: str
    options: dict
    prefix: str = ""
    peers: tuple = ()
    """All, where there is none."""
    more: Mapping = MappingProxyType({})
    """Options of those that would take too long with these."""


# Row names, for `--only` -> what is measured in each round
ROUND = {
    "chunks": [Row("chunks", {"number": 4000})],
    "responses": [Row("responses", {"number": 4000})],
    "calls": [Row("calls", {"number": 200}, more={"official": {"number": 60}})],
    "first": [Row("first", {"number": 60})],
    "crowds": [
        Row("crowd", {"streams": streams, "number": number}, f"{streams} at once ", (*PEERS, *ways))
        for streams, number, ways in ((1, 6000, ()), (30, 400, WAYS), (300, 60, WAYS))
    ],
    "paced": [
        Row("paced", {"streams": 100, "number": 100}, peers=("floor", "ours", "openai", *WAYS))
    ],
    "newcomers": [Row("newcomers", {"number": 200}, peers=("ours", "openai"))],
    "loops": [Row("new_loops", {"number": 20}, peers=("floor", "ours", "pydantic-ai"))],
    "after": [Row("after_crowd", {"number": 300, "calls": 60}, peers=GROWN)],
}
USERS = {"number": 200}
# … and what takes long, and hardly varies, once
ONCE = {
    "users": [
        Row(
            "users",
            USERS,
            "user ",
            ("ours", "openai", "official", "pydantic-ai"),
            {"ours": {"number": 10_000}},
        ),
    ],
    "connections": [
        Row(
            "connections",
            USERS,
            "connections ",
            ("ours", "openai", "official", "pydantic-ai"),
            {"ours": {"number": 10_000}},
        ),
    ],
    "peak": [Row("peak", {"number": 100_000}, "peak ")],
    "lengths": [
        Row("chunks", {"number": number, "modes": ["sync"]}, f"of {number} ", GROWN)
        for number in (1_000, 10_000, 100_000)
    ],
    "growth": [
        Row("calls", {"number": 40, "sizes": [40, 400, 4000]}, "growing ", GROWN),
        Row("tools", {}, peers=GROWN),
        Row("alive", {}, peers=OURS),
        Row("key_store", {}, peers=OURS),
        Row("catalog", {}, peers=OURS),
        Row("streams", {}, peers=GROWN),
    ],
    "cassette": [Row("cassette", {}, peers=OURS)],
}
LEAST = 0.05
# Where less than that share is measured: sizes that take no time, and that the tables show nothing of.
TINY = {
    "calls": {"sizes": [400]},
    "tools": {"number": 2},
    "alive": {"sizes": [10, 100]},
    "key_store": {"sizes": [10, 100], "files": [2, 5]},
    "catalog": {"sizes": [10, 100], "number": 2},
    "streams": {"sizes": [10, 30]},
    "cassette": {"sizes": [3, 10]},
    "paced": {"streams": 5},
    "after_crowd": {"calls": 5},
}
ROWS = (*ROUND, "imports", *ONCE)


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

    def __init__(self, pythons, url, *, size, only, forks=False):
        self.pythons, self.url, self.size, self.only = pythons, url, size, only
        self.forks = forks
        self.found = {name: {} for name in pythons}

    def ask(self, name, row):
        """Run one task of one peer in a process of its own."""
        python = self.pythons[name.partition("+")[0]]
        options = {**row.options, **row.more.get(name, {})}
        small = {name: self.smaller(name, value) for name, value in options.items()}
        if self.size < LEAST and row.task in TINY:
            small |= TINY[row.task]
        words = [python, HERE / "worker.py", name, row.task, self.url, json.dumps(small)]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI", "OPENROUTER"))}
        start = time.monotonic()
        if self.forks:
            done = forked(words[2:], clean)
        else:
            done = subprocess.run(words, capture_output=True, text=True, env=clean, check=False)
        print(f"  {name} {row.task} {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        if done.returncode:
            print(f"{name} {row.task} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
            return
        found = self.found.setdefault(name, {})
        for metric, value in json.loads(done.stdout).items():
            found.setdefault(f"{row.prefix}{metric}", []).append(value)

    def smaller(self, name, value):
        """Return an option, the number of things as the share that is measured."""
        return max(2, int(value * self.size)) if name == "number" else value

    def measure(self, table):
        """Let each peer do each task that was asked for, in turn."""
        for title, rows in table.items():
            if title in self.only:
                for row in rows:
                    for name in row.peers or self.pythons:
                        skipped = self.size < LEAST and name in WAYS[:-1]
                        if name.partition("+")[0] in self.pythons and not skipped:
                            self.ask(name, row)

    def round(self):
        """Measure what varies, once."""
        self.measure(ROUND)
        if "imports" in self.only:
            for name in self.pythons:
                for what, statement in IMPORTS[name].items():
                    self.found[name].setdefault(f"import {what}", []).append(
                        imported(self.pythons[name], statement)
                    )


def forked(words, environ):
    """Run one task in a fork of this process; return what `subprocess.run` would."""
    import worker

    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(errors.fileno(), 2)
                os.environ.clear()
                os.environ.update(environ)
                sys.argv[1:] = words
                worker.main()
                code = 0
            except BaseException:  # noqa: BLE001 - told to the caller
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

        _, status = os.waitpid(child, 0)
        out.seek(0)
        errors.seek(0)
        code = os.waitstatus_to_exitcode(status)
        return subprocess.CompletedProcess(words, code, out.read(), errors.read())


def imported(python, statement):
    """Return how long an import takes in a new process, milliseconds, its bytecode being there.

    The bytecode is as an installer leaves it, of every package, in a folder of the benchmark's.
    """
    code = f"import time; t=time.perf_counter(); {statement}; print(time.perf_counter()-t)"
    words = [python, "-P", "-c", code]  # -P: the environment's package, not the folder's
    place = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    place["PYTHONPYCACHEPREFIX"] = str(PLACES / "bytecode")
    subprocess.run(words, capture_output=True, check=True, env=place)
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=place)
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
    parser.add_argument("--only", default=",".join(ROWS), help="some of: " + ", ".join(ROWS))
    parser.add_argument("--here", action="store_true", help="in this environment")
    parser.add_argument(
        "--forks",
        action="store_true",
        help="with --here: tasks in forks of one process, which has imported; to see whether all run",
    )
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--from", dest="old", type=Path, help="results.json to draw anew")
    given = parser.parse_args()
    if given.old:
        results = json.loads(given.old.read_text())
    else:
        names = given.peers.split(",")
        made = {n: sys.executable if given.here else environment(n, PEERS[n]) for n in names}
        with server() as url:
            only = set(given.only.split(","))
            if unknown := only - set(ROWS):
                parser.error(f"no such rows: {', '.join(unknown)}")
            if given.forks:
                for name in names:
                    exec("; ".join(IMPORTS[name].values()))  # noqa: S102 - our own statements
            bench = Bench(made, url, size=given.size, only=only, forks=given.forks)
            for number in range(given.rounds):
                print(f"round {number + 1} of {given.rounds}", file=sys.stderr, flush=True)
                bench.round()
            print("users, connections, memory, growth", file=sys.stderr, flush=True)
            bench.measure(ONCE)
        arguments = [f"ARGS={shlex.join(sys.argv[1:])!r}"] if sys.argv[1:] else []
        results = {
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "machine": machine(),
            "rounds": given.rounds,
            "command": " ".join(["make bench", *arguments]),
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
