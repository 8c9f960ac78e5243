"""The chat at a terminal, and the command through pipes, against an emulator."""

from __future__ import annotations

import os
import time

import pytest

from tests.support import commands
from tests.support.screen import ScreenTerminal

KEY = "sk-or-v1-0123456789abcdef"


def until(condition, seconds=20):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def shell(tmp_path, emulate, monkeypatch):
    """Run `langchain-openrouter` against an emulator, with a home of its own."""
    script = []
    emulator = emulate(lambda request: script[0] if script else None)
    monkeypatch.setenv("OPENROUTER_BASE_URL", emulator.url)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def run(*words, stdin=b"", code=0, **more):
        done, out, err = commands.run(words, stdin=stdin, env={**os.environ, **more})
        assert done == code, out + err
        return out.decode() + (err.decode() if code else "")

    run.emulator = emulator
    run.reply = script.append
    run.body = lambda: emulator.chats[-1].body
    run.folder = tmp_path / "data" / "langchain-openrouter-chat"
    return run


@pytest.fixture
def talk(tmp_path, emulate, monkeypatch):
    """Start the chat at a terminal, against an emulator."""
    script = []
    emulator = emulate(lambda request: script.pop(0) if script else None)
    monkeypatch.setenv("OPENROUTER_BASE_URL", emulator.url)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    started = []

    def start(*words, **more):
        started.append(ScreenTerminal("chat", *words, **more))
        started[-1].until_prompt()
        return started[-1]

    start.emulator, start.script = emulator, script
    start.folder = tmp_path / "data" / "langchain-openrouter-chat"
    start.texts = lambda: [message["content"] for message in emulator.chats[-1].body["messages"]]
    start.until_asked = lambda count: until(lambda: len(emulator.chats) >= count)
    yield start
    for term in started:
        term.close()
