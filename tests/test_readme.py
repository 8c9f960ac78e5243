"""The README's fences run, in order, against a server on loopback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from loopback import Reply, stream, whole

from langchain_openrouter import ChatOpenRouter, errors
from langchain_openrouter.wire import REQUEST_FIELDS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def reply(seen):
    """Answer whatever the README asks."""
    if seen.body.get("stream"):
        return stream("Red", ".")
    if "response_format" in seen.body:
        return Reply(whole('{"city": "Paris", "degrees": 20}'))
    return Reply(whole("Blue.", message={"reasoning": "Well."}))


@pytest.mark.off_spec("max_price as a number, as the documentation has it")
def test_every_fence_runs(serve, monkeypatch, tmp_path, capsys):
    """From the first import to the last answer."""
    server = serve(reply)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENROUTER_API_KEY", "k")
    monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
    names = {}
    for fence in FENCES:
        exec(compile(fence, "README.md", "exec"), names)  # noqa: S102 - the README is ours

    said = capsys.readouterr().out
    assert "Blue. 0.0025 OpenAI" in said
    assert "Red." in said
    assert "Well." in said
    assert names["weather"].city == "Paris"
    assert len(FENCES) >= 8
    assert server.seen[-1].body["messages"][0]["content"][1]["type"] == "file"


def test_the_collision_is_on_the_first_screen():
    """Install, use and the note on the other package, before anything else."""
    screen = "\n".join(README.splitlines()[:36])

    assert "pip install langchain-openrouter-oauth" in screen
    assert "pip uninstall langchain-openrouter" in screen
    assert "**seconds**" in screen


def test_every_error_is_in_the_table():
    """And every name in the table exists."""
    table = set(re.findall(r"`(\w+Error)`", README.partition("## Errors")[2].partition("##")[0]))
    ours = {name for name, kind in vars(errors).items()
            if isinstance(kind, type) and issubclass(kind, errors.OpenRouterError)}  # fmt: skip

    assert ours - {"ResponseError", "OpenRouterError", "SignInError"} <= table


def test_every_field_is_an_argument():
    """As the section on routing says."""
    words = {*ChatOpenRouter.model_fields, "provider", "metadata", "model"}

    assert set(REQUEST_FIELDS) - {"messages", "prompt", "stream"} <= words
