"""The commands `batch --engine openrouter` and `batches list`, `show`, `collect`, `cancel`, `delete`."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest

from langchain_openrouter.batch import submit
from langchain_openrouter.testing import Reply
from tests.support.batches import KEY, hurry, make_rows, model_on, posts, run_at_once, text_of
from tests.support.commands import run as run_command


@pytest.fixture
def shell(tmp_path, emulate, monkeypatch):
    """Run commands against an emulator that completes batches at once."""
    hurry(monkeypatch)
    monkeypatch.chdir(tmp_path)
    emulator = emulate(text_of)
    run_at_once(emulator)
    environment = {
        **os.environ, "OPENROUTER_BASE_URL": emulator.url, "OPENROUTER_API_KEY": KEY,
        "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "40",
    }  # fmt: skip

    def run(*words, code=0):
        done, out, err = run_command(words, env=environment)
        assert done == code, out + err
        return SimpleNamespace(stdout=out.decode(), stderr=err.decode())

    run.emulator, run.folder = emulator, tmp_path
    return run


def test_rows_of_a_file_at_half_the_price(shell):
    """`batch --engine openrouter`, then everything that `batches` says of it."""
    lines = (json.dumps(row) for row in make_rows(3))
    (shell.folder / "rows.jsonl").write_text("\n".join(lines))
    done = shell("batch", "rows.jsonl", "--output", "out.jsonl", "--prompt", "{text}", "--key", "id", "--engine", "openrouter", "--max-tokens", "50", "--max-cost", "1")  # fmt: skip
    (batch_id,) = shell.emulator.batches.ids

    assert "3 of 3 rows done, 0 failed" in done.stdout
    assert batch_id in shell("batches", "list").stdout
    assert json.loads(shell("batches", "list", "--json").stdout)[0]["completed"] == 3
    assert json.loads(shell("batches", "list", "--status", "failed", "--json").stdout) == []
    table = shell("batches", "show", "out.jsonl").stdout
    assert all(words in table for words in (batch_id, "completed", "gpt-4o-mini", "3 of 3"))
    rows = [json.loads(line) for line in shell("batches", "collect", "out.jsonl").stdout.splitlines()]  # fmt: skip
    assert [(row["key"], row["output"]) for row in rows] == [(f"row {n}", f"text-{n}") for n in range(3)]  # fmt: skip
    shell("batches", "delete", "out.jsonl.batch.json")
    assert shell.emulator.batches.ids == []
    assert len(posts(shell.emulator)) == 1


def test_what_runs_cannot_be_canceled(shell):
    """Exit codes and one line on standard error."""
    shell.emulator.batches.times.running = 3600
    path = shell.folder / "job.json"
    submit(model_on(shell.emulator), make_rows(2), prompt="{text}", handle_path=path)
    running = shell("batches", "show", "job.json", code=1)
    refused = shell("batches", "cancel", "job.json", code=1)
    early = shell("batches", "collect", "job.json", code=1)

    assert "in_progress" in running.stdout
    assert "no request that cancels a batch" in refused.stderr
    assert "`wait` for it first" in early.stderr
    assert shell("batches", "show", "nothing.json", code=2).stderr
    (shell.folder / "junk.json").write_text("junk")
    assert "no handle" in shell("batches", "show", "junk.json", code=1).stderr
    shell.emulator.clock.advance(3601)
    assert "completed" in shell("batches", "cancel", "job.json").stdout


def test_a_schema_and_terminal_escapes(shell):
    """A schema's file is that of the submission; nothing of the service reaches the terminal raw."""
    schema = {"type": "object", "properties": {"label": {"type": "string"}}}
    shell.emulator.script(lambda _: Reply('{"label": "\\u001b[31mred"}', model="evil\x1b[31m"))
    (shell.folder / "schema.json").write_text(json.dumps(schema))
    path = shell.folder / "job.json"
    title = {"title": "Answer", "description": "The answer.", **schema}
    submit(model_on(shell.emulator), ["one"], schema=title, handle_path=path)
    refused = shell("batches", "collect", "job.json", code=1)
    out = shell("batches", "collect", "job.json", "--schema", "schema.json").stdout

    assert "`schema`" in refused.stderr
    assert json.loads(out)["output"] == {"label": "\x1b[31mred"}
    assert "\x1b" not in out + shell("batches", "list").stdout
