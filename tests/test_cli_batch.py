"""The command `batch`, through pipes and a pseudo-terminal."""

from __future__ import annotations

import json
import os
import threading
import time
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from tests.batch.conftest import echo, lines_of
from tests.support.commands import run as run_command
from tests.support.loopback import KEY, Reply, whole
from tests.support.terminal import Terminal


@pytest.fixture
def rows(tmp_path):
    """A file of rows."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": f"row-{n}"}) + "\n" for n in range(40)))
    return path


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Run the command against a server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def run(server, *words, code=0):
        env = {**os.environ, "OPENROUTER_BASE_URL": server.url}
        done, out, err = run_command(["batch", *words], env=env)
        assert done == code, out + err
        return SimpleNamespace(stdout=out.decode(), stderr=err.decode())

    return run


def test_a_batch_and_the_rest_of_it(serve, shell, rows, tmp_path):
    """A ceiling ends it with 5 and the command that goes on; with more money it is complete."""
    server = serve(echo)
    words = (rows, "--prompt", "{text}", "--output", tmp_path / "o.jsonl", "--concurrency", "4")
    first = shell(server, *words, "--max-cost", "0.0105", code=5)
    second = shell(server, *words, "--max-cost", "1", "--json")
    summary = json.loads(second.stdout)

    assert "10 of 40 rows done, 0 failed, $0.010000" in first.stdout
    assert "higher --max-cost: langchain-openrouter batch" in first.stderr
    assert "0.0105" not in first.stderr
    assert first.stderr.rstrip().endswith("--max-cost ...")
    assert KEY not in first.stdout + first.stderr
    assert (summary["done"], summary["failed"], summary["stopped"]) == (40, 0, None)
    assert summary["spent"] == pytest.approx(0.04)
    assert [row["output"] for row in lines_of(tmp_path / "o.jsonl")] == [f"row-{n}" for n in range(40)]  # fmt: skip


def test_a_schema_and_failed_rows(serve, shell, rows, tmp_path):
    """1 where rows failed, with their errors and how to send them again; a table of columns."""
    import pandas as pd

    answer = json.dumps({"label": "good"})
    replies = {"row-7": Reply({"error": {"code": 502, "message": "no"}}, status=502)}
    server = serve(lambda seen: replies.get(seen.body["messages"][-1]["content"]) or Reply(whole(answer)))  # fmt: skip
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"label": {"type": "string"}}}')
    words = (rows, "--prompt", "{text}", "--system", "Be brief.", "--schema", schema, "--output", tmp_path / "o.parquet")  # fmt: skip
    done = shell(server, *words, code=1)

    assert "39 of 40 rows done, 1 failed" in done.stdout
    assert "1 UpstreamError" in done.stderr
    assert "To send failed rows again: langchain-openrouter batch" in done.stderr
    assert server.seen[0].body["messages"][0]["content"] == "Be brief."
    assert pd.read_parquet(tmp_path / "o.parquet")["output"][0] == {"label": "good"}
    replies.clear()
    assert "40 of 40 rows done, 0 failed" in shell(server, *words).stdout


def test_wrong_options(serve, shell, rows, tmp_path):
    """2 for usage, 1 for what cannot go on; each in a line."""
    server = serve(echo)
    shell(server, rows, code=2)
    out = ("--output", tmp_path / "o.jsonl")
    shell(server, rows, *out, "--schema", tmp_path / "none.json", code=2)
    assert "needs `--prompt`" in shell(server, rows, *out, "--system", "x", code=2).stderr
    assert "use 'local'" in shell(server, rows, *out, "--prompt", "x", "--engine", "moon", code=1).stderr  # fmt: skip
    assert "the row has `text`" in shell(server, rows, *out, "--prompt", "{a}", code=1).stderr
    assert not server.seen


def test_an_error_names_the_options(serve, shell, rows, tmp_path):
    """Not the arguments of the function behind them."""
    server = serve(echo)
    words = (rows, "--prompt", "{text}", "--output", tmp_path / "o.jsonl")
    shell(server, *words, "--schema", "label, sure float", "--max-cost", "0", code=5)
    shell(server, *words, "--max-tokens", "5")
    changed = shell(server, *words, code=1).stderr
    unprompted = shell(server, rows, "--output", "c.jsonl", code=1).stderr

    assert "`max_tokens` was 5 and is None. Choose another output, or begin anew with --no-resume" in changed  # fmt: skip
    assert "pass --prompt" in unprompted


def test_what_is_missing_is_one_line(serve, shell, rows, tmp_path):
    """The input, the folder of the output, and an extra; without a traceback."""
    server = serve(echo)
    calls = {
        "there is no file": ("none.jsonl", "--output", "o.jsonl"),
        "there is no folder": (rows, "--output", "none/o.jsonl"),
    }
    if find_spec("ray") is None:
        calls["ray"] = (rows, "--output", "o.jsonl", "--engine", "ray")

    for message, words in calls.items():
        done = shell(server, *words, "--prompt", "{text}", code=1)
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_at_the_bar(serve, rows, tmp_path, monkeypatch):
    """The bar is there; Ctrl-C ends with 130 and the command that goes on."""
    interrupted = threading.Event()

    def reply(seen):
        if len(server.seen) > 20:  # these wait, however slowly the bar is drawn
            interrupted.wait(30)
        time.sleep(0.05)
        return echo(seen)

    server = serve(reply)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
    monkeypatch.setenv("COLUMNS", "150")
    output = tmp_path / "o.jsonl"
    words = ["langchain-openrouter", "batch", str(rows), "--prompt", "{text}", "--output", str(output), "--concurrency", "2"]  # fmt: skip
    term = Terminal(f"import sys; sys.argv = {words!r}; from langchain_openrouter.__main__ import main; main()")  # fmt: skip
    term.until(r"(?:[5-9]|1\d|20)/40 rows .* rows/s · \$0\.0\d+ \+ \$0\.0\d+ to come")
    os.write(term.fd, b"\x03")
    time.sleep(0.3)
    interrupted.set()
    term.until("To go on: langchain-openrouter batch")
    _, status = os.waitpid(term.pid, 0)
    os.close(term.fd)

    assert os.waitstatus_to_exitcode(status) == 130
    assert "Traceback" not in term.said
    assert 5 <= len(lines_of(output)) < 40
    assert len(lines_of(output)) == len(server.seen)
