"""The README's fences run, in order, against a server on loopback."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from langchain_openrouter import ChatOpenRouter, errors
from langchain_openrouter.testing import Reply
from langchain_openrouter.wire import REQUEST_FIELDS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def reply(asked):
    """Answer whatever the README asks."""
    if asked.body.get("stream"):
        return "Red."
    if "response_format" in asked.body or "tools" in asked.body:
        return None
    return Reply("Blue.", reasoning="Well.", usage={"cost": 0.0025})


def test_every_fence_runs(emulate, browse, monkeypatch, tmp_path, capsys):
    """From the first import to the last answer, the sign-ins through a real page included."""
    emulator = emulate(reply)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("OPENROUTER_API_KEY", "the-operators")
    monkeypatch.setenv("OPENROUTER_MANAGEMENT_KEY", emulator.management_key)
    monkeypatch.setenv("OPENROUTER_BASE_URL", emulator.url)
    monkeypatch.setenv("OPENROUTER_WEB_SECRET", secrets.token_urlsafe(32))
    monkeypatch.setattr("langchain_openrouter.oauth._headless.why_headless", lambda **_: None)
    monkeypatch.setattr("langchain_openrouter.oauth._login.has_terminal", lambda: False)
    monkeypatch.setattr("webbrowser.open", browse())
    names = {}
    for fence in FENCES:
        if "callback_address" in fence:
            names["callback_address"] = browse(follow=False).decide(names["redirect_to"])
        exec(compile(fence, "README.md", "exec"), names)  # noqa: S102 - the README is ours

    said = capsys.readouterr().out
    assert "Blue. 0.0025 OpenAI" in said
    assert "Red." in said
    assert "Well." in said
    assert "not revoked" in said
    assert names["weather"].city == "Paris"
    assert names["answer"].text.startswith("Blue")
    assert len(FENCES) >= 12
    assert any('"type":"file"' in asked.raw.decode() for asked in emulator.chats)
    assert {"/embeddings", "/rerank", "/generation", "/models"} <= {a.path for a in emulator.asked}
    users = [asked.key for asked in emulator.chats if asked.key in emulator.accounts.keys]
    assert {"My app", "My script"} <= {emulator.accounts.keys[key].label for key in users}


def test_the_collision_is_on_the_first_screen():
    """Install, use and the note on the other package, before anything else."""
    screen = "\n".join(README.splitlines()[:36])

    assert "pip install langchain-openrouter-oauth" in screen
    assert "pip uninstall langchain-openrouter" in screen
    assert "**seconds**" in screen


def test_every_error_is_in_the_table():
    """And every name in the table exists."""
    table = set(re.findall(r"`(\w+Error)`", README))
    ours = {kind.__name__ for kind in vars(errors).values()
            if isinstance(kind, type) and issubclass(kind, errors.OpenRouterError)}  # fmt: skip

    assert ours - {"ResponseError", "OpenRouterError", "SignInError"} <= table


def test_every_field_is_an_argument():
    """As the section on routing says."""
    words = {*ChatOpenRouter.model_fields, "provider", "metadata", "model"}

    assert set(REQUEST_FIELDS) - {"messages", "prompt", "stream"} <= words
