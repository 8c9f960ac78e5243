"""Each command of the page on the terminal runs, against the emulator."""

from __future__ import annotations

import os
import shlex

import pytest

from langchain_openrouter.testing import Reply
from tests.support.commands import run
from tests.support.documents import fences
from tests.support.screen import ScreenTerminal

PAGE = "docs/guides/terminal.md"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
ELSEWHERE = {"login", "demo"}  # run in tests of their own
TALKS = {"chat", "chat -c", "chat -m anthropic/claude-sonnet-4.6 -s Answer in Spanish"}
FILES = {"picture.png": PNG, "paper.pdf": b"%PDF-1.7\nx\xff", "rows.jsonl": b'{"text": "a"}\n', "rows.csv": b"id,text\n1,a\n"}  # fmt: skip


def reply(asked):
    """Answer questions, but those for a schema, which the emulator invents."""
    if not asked.path.endswith("/chat/completions") or "response_format" in asked.body:
        return None
    return Reply("Cornflower", usage={"cost": 0.000004})


@pytest.fixture
def environment(emulate, monkeypatch, tmp_path):
    """Return the environment of a user who has signed in, in a folder with the page's files."""
    started = emulate(reply)
    monkeypatch.chdir(tmp_path)
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-0123456789abcdef")
    monkeypatch.setenv("OPENROUTER_MANAGEMENT_KEY", started.management_key)
    monkeypatch.setenv("OPENROUTER_BASE_URL", started.url)
    return dict(os.environ)


def commands():
    """Yield the words of each command, and those of the one that is piped into it."""
    for fence in fences(PAGE, "sh"):
        for line in fence.splitlines():
            parts = line.split(" | ")
            for n, part in enumerate(parts):
                if part.startswith("langchain-openrouter "):
                    yield shlex.split(part)[1:], shlex.split(parts[n - 1]) if n else []


def test_each_command_runs(environment):
    """In order; with a word on the standard output, or on the error where nothing is there yet."""
    printed = {}
    for words, feeder in commands():
        if ELSEWHERE & set(words):
            continue
        if " ".join(words) in TALKS:
            term = ScreenTerminal(*words)
            term.until_prompt()
            term.type("/exit")
            assert term.wait() == 0
            term.close()
            continue
        stdin = PNG if feeder[:1] == ["cat"] else b"+ a line" if feeder else b""
        code, out, err = run(words, stdin=stdin, env=environment)
        assert code == 0, (words, out, err)
        printed[" ".join(words)] = out.decode() + err.decode()

    first = printed["chat Name a blue flower, in one word"]
    assert first == "Cornflower\nOpenAI · openai/gpt-4o-mini · $0.000004\n"
    assert "deepseek/deepseek-chat:free" in printed["models --free"]
    assert len(printed) > 25
