"""The chat at a terminal whose screen is looked at."""

from __future__ import annotations

import os
import re
import signal
import stat

import pytest

from langchain_openrouter._cli_chat._slash import COMMANDS
from langchain_openrouter.testing import Reply, error
from langchain_openrouter.testing.emulator._replies import PIXEL
from tests.support.loopback import Reply as RawReply
from tests.support.loopback import events, sse
from tests.support.screen import ScreenTerminal

KEY = "sk-or-v1-0123456789abcdef"
MARKDOWN = "# Title\n\nSome **bold** words that go on until the line is full, and then some more.\n\n```python\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | two |\n"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_an_answer_is_rendered(talk, columns):
    """Words are not broken, marks are gone, reasoning and cost are beside; Ctrl-D leaves."""
    talk.script.append(Reply(MARKDOWN, reasoning="Well.", usage={"cost": 0.01}))
    term = talk(columns=columns)
    term.type("Hello")
    text = term.until("in all")

    assert "Well.\nTitle\n" in text
    assert "**" not in text
    assert "```" not in text
    assert re.search(r"1\s+two", text)
    assert all(
        re.search(rf"\b{word}\b", text)
        for word in ["Some", "bold", "words", "until", "line", "more"]
    )
    term.press(b"\x04")
    assert term.wait() == 0
    assert b"\x1b[2mWell." in term.raw


def test_ctrl_c_stops_the_answer_and_keeps_it(talk):
    """What came goes to the model with the next question; /retry asks anew."""
    talk.script += [Reply("word " * 200, pause=0.05), Reply("Second."), Reply("Third.")]
    term = talk()
    term.type("Long, please")
    term.until("word word word")
    term.press(b"\x03")
    term.until("stopped")
    term.type("And?")
    term.until("Second.")
    question, partial, following = talk.texts()

    assert (question, following) == ("Long, please", "And?")
    assert partial.startswith("word word")
    assert len(partial) < 900
    term.type("/retry")
    term.until("Third.")
    assert talk.texts() == [question, partial, following]


def test_ctrl_c_at_the_prompt(talk):
    """Clears the line; twice on an empty one leaves, with 130."""
    term = talk()
    term.type("half a quest", enter=False)
    term.until("half a quest")
    term.press(b"\x03")
    term.until("leaves")
    term.press(b"\x03")

    assert term.wait() == 130
    assert "Traceback" not in term.text
    assert not talk.emulator.chats


def test_an_error_returns_to_the_prompt(talk):
    """With its message; /retry sends the question again, once in the conversation."""
    talk.script += [error("no_endpoints"), Reply("There.")]
    term = talk()
    term.type("Hello")
    term.until("404")
    term.type("/retry")
    term.until("There.")

    assert talk.texts() == ["Hello"]
    term.type("/modle x")
    term.until("no command /modle")


def test_commands(talk, tmp_path):
    """Each does what its help says."""
    (tmp_path / "note.txt").write_text("a note")
    term = talk()
    for line, answer in (
        ("/system Be brief", "Be brief"),
        ("/attach note.txt", "1 for the next question"),
        ("/model anthropic/claude-sonnet-4.6", "\nanthropic/claude-sonnet-4.6"),
        ("Hello", "in all"),
        ("/cost", "tokens in"),
        ("/save talk.md", "written to"),
        ("/save talk.md", "File exists"),
        ("/help", "Ctrl-C stops"),
    ):
        term.type(line)
        term.until(answer)
    body = talk.emulator.chats[-1].body

    assert body["model"] == "anthropic/claude-sonnet-4.6"
    assert body["messages"][0]["content"] == "Be brief"
    assert "a note" in body["messages"][1]["content"][1]["text"]
    assert stat.S_IMODE((tmp_path / "talk.md").stat().st_mode) == 0o600
    assert "## You" in (tmp_path / "talk.md").read_text()
    term.type("/new")
    term.until("a new conversation")
    term.type("/exit")
    assert term.wait() == 0


@pytest.mark.parametrize("columns", [40, 100])
def test_the_help_of_a_narrow_terminal(talk, columns):
    """A line that goes on does so under its own column; a number of the cost is not broken."""
    term = talk(columns=columns)
    term.type("/help")
    text = term.until("stays in the conversation" if columns == 100 else "conversation.")
    indented = [line for line in text.splitlines() if line.startswith(" " * 20)]

    assert all(f"/{name}" in text for name in COMMANDS)
    assert bool(indented) == (columns == 40)
    term.type("Hi")
    assert re.search(r"\$\d\.\d{6} in\s+all", term.until("all\n"))


def test_a_picture_in_an_answer(talk):
    """Cannot be shown; the line below says so."""
    talk.script.append(Reply("See:", images=[PIXEL]))
    term = talk()
    term.type("Draw a dot")
    assert "1 attached (image)" in " ".join(term.until("has it").split())


def test_several_lines(talk):
    """Alt+Enter, !multi, and a paste."""
    term = talk()
    term.type("first", enter=False)
    term.press(b"\x1b\r")
    term.type("second")
    term.until("in all")
    assert talk.texts() == ["first\nsecond"]
    term.type("!multi")
    term.until("!end")
    for line in ("a", "b", "!end"):
        term.type(line)
    term.until("in all", count=2)
    assert talk.texts()[-1] == "a\nb"
    term.press(b"\x1b[200~x\ny\x1b[201~\r")
    term.until("in all", count=3)
    assert talk.texts()[-1] == "x\ny"


def test_it_goes_on_another_day(talk):
    """The conversation and the lines that were typed, but no line with a key."""
    term = talk()
    term.type("Remember 42")
    term.until("in all")
    term.type("my key is sk-or-v1-abcdefabcdef")
    term.until("in all", count=2)
    term.press(b"\x04")
    assert term.wait() == 0
    again = talk("-c")
    assert "goes on: Remember 42" in again.text
    again.press(b"\x1b[A")  # the last line typed
    again.until("> Remember 42")
    again.press(b"\r")
    again.until("in all")

    assert len(talk.texts()) == 5
    history = talk.folder / ".history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    everything = b"".join(file.read_bytes() for file in talk.folder.rglob("*") if file.is_file())
    assert b"sk-or" not in everything
    assert KEY.encode() not in term.raw + again.raw


def test_nothing_is_kept_on_request(talk):
    """`--no-log`."""
    term = talk("--no-log")
    term.type("Hello")
    term.until("in all")
    term.type("/exit")

    assert term.wait() == 0
    assert not talk.folder.exists()


def test_tab_completes(talk):
    """Commands, slugs and paths."""
    term = talk()
    term.type("/att\t", enter=False)
    term.until("/attach")
    term.press(b"\x15")
    term.type("/model openai/gpt-5-image-m\t", enter=False)
    term.until("/model openai/gpt-5-image-mini")


def test_a_long_answer_in_a_window_that_changes(talk):
    """Each line is there once, in the scrollback too."""
    numbers = "\n".join(f"{n}. item-{n}-end" for n in range(1, 121))
    talk.script.append(Reply(numbers, pause=0.01))
    term = talk(rows=12, columns=60)
    term.type("List")
    term.until("item-20-end")
    term.resize(44, 9)
    term.until("item-60-end")
    term.resize(100, 20)
    term.until("in all")
    printed = re.sub(rb"\x1b\[[\d;?]*[A-Za-z]", b"", term.raw).decode()

    assert all(printed.count(f"item-{n}-end") == 1 for n in range(1, 121))
    answer = term.raw[term.raw.index(b"item-2-end") : term.raw.index(b"item-119-end")]
    assert not re.search(rb"\x1b\[[\d;]*[ABCDEFGHJKST]", answer)  # nothing moves the cursor


HOSTILE = "\x1b[2J\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07\x9b31m\x1bP+q\x1b\\\u202evisible\x08\x08 [red]x[/red]"


@pytest.mark.off_spec
@pytest.mark.parametrize("size", [1, 1000])
def test_a_hostile_answer_does_not_drive_the_terminal(serve, talk, size):
    """Nor in code, in a table, in reasoning, or in pieces."""
    text = f"a {HOSTILE}\n\n```x\n{HOSTILE}\n```\n\n| {HOSTILE} |\n|---|\n| {HOSTILE} |\n\nend\n"
    deltas = [{"content": text[i : i + size]} for i in range(0, len(text), size)]
    deltas.insert(0, {"content": "", "reasoning": HOSTILE})
    items = [{**item, "provider": HOSTILE} for item in events(*deltas)]
    url = serve(lambda _: RawReply(sse(items), content_type="text/event-stream")).url
    term = talk(env={"OPENROUTER_BASE_URL": url})
    start = len(term.raw)
    term.type("Hi")
    term.until("\nend")
    term.until("openai", count=2) if "openai" in str(items[0].get("model")) else None
    received = term.raw[start : term.raw.index(b"end")]

    for sequence in (b"\x1b]", b"\x1bP", b"\x1b[2J", b"\xc2\x9b", b"\xe2\x80\xae", b"\x07"):
        assert sequence not in received, sequence
    assert "[red]x[/red]" in term.text
    assert "visible" in term.text
    assert "> Hi" in term.text  # nothing cleared the screen


@pytest.mark.parametrize("is_answering", [True, False])
def test_sigterm_leaves_the_terminal_as_it_was(talk, is_answering):
    """At the prompt, and in an answer."""
    talk.script.append(Reply("word " * 500, pause=0.05))
    term = ScreenTerminal("chat")
    try:
        before = term.modes()
        term.until_prompt()
        assert term.modes() != before
        if is_answering:
            term.type("Hi")
            term.until("word word")
        os.kill(term.pid, signal.SIGTERM)
        assert term.wait() == 143
        assert term.modes() == before
        assert "Traceback" not in term.text
    finally:
        term.close()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_tables_cut_nothing(talk, columns):
    """Whatever the width: a slug is on the screen as it is, over two lines at the most."""
    term = ScreenTerminal("models", columns=columns, rows=50)
    assert term.wait() == 0
    flat = term.text.replace("\n", "")

    for slug in (
        "anthropic/claude-sonnet-4.6",
        "deepseek/deepseek-chat:free",
        "openai/gpt-4o-mini",
    ):
        assert slug in flat
    assert "…" not in term.text
    if columns == 200:
        assert "│" in term.text
    term.close()
