"""The benchmarks run, on a hundredth of their size: what they say of speed is not looked at."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.timeout(400)


def test_the_comparison_measures_tabulates_and_draws(tmp_path):
    """The floor and this package, in this environment; nothing that was sent is lost."""
    words = [
        "--here",
        "--forks",
        "--peers",
        "floor,ours",
        "--rounds",
        "1",
        "--size",
        "0.005",
        "--out",
        tmp_path,
    ]
    done = subprocess.run(
        [sys.executable, HERE / "run.py", *words], capture_output=True, text=True, check=True
    )
    medians = json.loads((tmp_path / "results.json").read_text())["medians"]

    assert "failed" not in done.stderr
    assert {
        "text sync",
        "tools async",
        "responses tools sync",
        "30 at once rate",
        "300 at once stall",
        "building 400",
        "peak memory",
        "paced",
        "newcomer ratio",
        "new loop",
        "crowd ratio",
        "threads ratio",
        "import the model",
        "alive call 100",
        "keys 100",
        "key files 5",
        "models cached 100",
        "streams 30",
        "cassette 10",
    } <= set(medians["ours"])
    assert {"paced", "30 at once stall"} <= set(medians["ours+freeze+uvloop+aiohttp"])
    assert not [v for name, v in medians["ours"].items() if name.endswith("lost") and v]
    table = (tmp_path / "results.md").read_text()
    assert "|CPU per streamed delta, text, µs|" in table
    assert "|longest stall, 30 streams, of the floor|" in table
    assert "|request of 4,000 messages|" not in table, "a size that was not measured"
    light, dark = (tmp_path / name for name in ("results.png", "results-dark.png"))
    assert light.stat().st_size > 10_000
    assert title_brightness(light) < 0.6
    assert title_brightness(dark) > 0.8


def title_brightness(path):
    """Return how bright the title of a drawing is, from 0 to 1: what is not the background."""
    from matplotlib.image import imread

    title = imread(path)[:25]
    text = title[(title != title[0, 0]).any(axis=-1) & (title[..., 3] == 1)]
    assert len(text)
    return text[:, :3].mean()


def test_some_rows_alone_are_measured(tmp_path):
    """`--only` names them; what was not measured has no line."""
    words = ["--here", "--peers", "ours", "--rounds", "1", "--size", "0.005", "--only", "loops"]
    subprocess.run(
        [sys.executable, HERE / "run.py", *words, "--out", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    table = (tmp_path / "results.md").read_text()

    assert "|a call in a new event loop, ms|" in table
    assert "|one call in a new event loop, ms|" in table
    assert "text, µs" not in table


def test_growth_is_told_by_its_exponent(monkeypatch):
    """Ten times the items for ten times the cost is linear, for a hundred times quadratic."""
    monkeypatch.syspath_prepend(HERE)
    from targets import growth_table

    flat = growth_table({"ours": {"cassette 100": 3.0, "cassette 1000": 3.0}})
    steep = growth_table({"ours": {"growing long 400": 2.0, "growing long 4000": 200.0}})

    assert flat[-1].endswith("|1.00|no|")
    assert steep[-1].endswith("|2.00|**yes**|")


def test_the_soak_counts_and_judges(tmp_path):
    """Some seconds of it: everybody gets own answers, and nothing is left open at the end."""
    words = ["--seconds", "3", "--out", tmp_path / "soak.md"]
    subprocess.run(
        [sys.executable, HERE / "soak.py", *words], capture_output=True, text=True, check=False
    )
    told = (tmp_path / "soak.md").read_text()

    assert " 0 wrong" in told
    assert not re.search(r"NOT FLAT: (tasks|threads|sockets): \d+ before", told)


def test_the_batches_are_measured_side_by_side(tmp_path):
    """Each in a process of its own; every row is answered."""
    words = ["--rows", "60", "--sizes", "200", "--rounds", "1", "--out", tmp_path / "batch.md"]
    subprocess.run(
        [sys.executable, HERE / "batch.py", *words], capture_output=True, text=True, check=True
    )
    told = (tmp_path / "batch.md").read_text()

    assert "|`batch.run`, to Parquet|" in told
    assert "|`model.abatch_as_completed`|" in told
    assert "|200|" in told


def test_the_documentation_says_what_was_measured():
    """Its tables are the ones that `make bench` wrote, with date, machine and command."""
    told = (HERE / "results.md").read_text(encoding="utf-8")
    page = (HERE.parent / "docs" / "reference" / "benchmarks.md").read_text(encoding="utf-8")

    assert told in page
    assert json.loads((HERE / "results.json").read_text())["date"] in told
    assert "`make bench" in told
