"""What hostile servers and clumsy users do to the chat."""

from __future__ import annotations

import json
import stat

import pytest

from langchain_openrouter.testing import Fault, Reply
from tests.support.loopback import Reply as RawReply
from tests.support.screen import ScreenTerminal

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def test_ctrl_c_before_the_answer_begins(talk):
    """The question can be asked again; nothing of it is in the conversation."""
    talk.script += [Reply("late", fault=Fault("stall", after=0, seconds=60)), Reply("There.")]
    term = talk()
    term.type("Hello")
    talk.until_asked(1)
    term.press(b"\x03")
    term.until("stopped")
    term.until_prompt()
    term.type("/retry")
    term.until("There.")

    assert talk.texts() == ["Hello"]
    assert "Traceback" not in term.text


@pytest.mark.parametrize("words", [(), ("--no-stream",)])
def test_ctrl_c_many_times(talk, words):
    """In an answer it ends the answer, not the talk; the next Ctrl-C is the first at the prompt."""
    talk.script += [Reply("word " * 2000, pause=0.02), Reply("There.")]
    term = talk(*words)
    term.type("Hello")
    talk.until_asked(1)
    term.press(b"\x03\x03\x03")
    term.until("stopped")
    term.until_prompt()
    term.type("Again")
    term.until("There.")

    assert "Traceback" not in term.text


@pytest.mark.parametrize("kind", ["cut", "reset", "malformed"])
def test_an_answer_that_breaks_off(talk, kind):
    """What came stays on the screen; the error is under it, and the question can be asked again."""
    talk.script += [Reply("word " * 50, fault=Fault(kind, after=9)), Reply("There.")]
    term = talk()
    term.type("Hello")
    term.until("word word")
    term.until_prompt()
    term.type("/retry")
    term.until("There.")

    assert talk.texts() == ["Hello"]
    assert "Traceback" not in term.text


def test_ctrl_c_of_one_answer(talk):
    """Ends with 130; what came is saved, and the conversation can go on."""
    talk.script += [Reply("word " * 2000, pause=0.02)]
    term = ScreenTerminal("chat", "Hello")
    term.until("word word")
    term.press(b"\x03")
    assert term.wait() == 130
    term.close()
    (file,) = talk.folder.glob("*.json")
    question, partial = json.loads(file.read_text())["messages"]

    assert question["data"]["content"] == "Hello"
    assert partial["data"]["content"].startswith("word word")


def test_two_processes_go_on_with_one_conversation(talk):
    """Neither overwrites what the other has said."""
    first = talk()
    first.type("Begin")
    first.until("in all")
    second = talk("-c")
    for term, text in ((first, "From the first"), (second, "From the second")):
        term.type(text)
        term.until("in all", count=term.text.count("in all") + 1)
    assert "saved as" in second.until("another process")
    saved = [json.loads(file.read_text())["messages"] for file in talk.folder.glob("*.json")]
    questions = sorted([m["data"]["content"] for m in one if m["type"] == "human"] for one in saved)

    assert questions == [["Begin", "From the first"], ["Begin", "From the second"]]
    second.type("More")  # goes on under the new name
    second.until("in all", count=2)
    assert len(list(talk.folder.glob("*.json"))) == 2


@pytest.mark.off_spec
def test_an_error_of_the_server_does_not_drive_the_terminal(serve, talk):
    """Its message is one line of text."""
    body = {"error": {"code": 400, "message": f"a {ESCAPES}\nbad [red]word[/red]"}}
    url = serve(lambda _: RawReply(body, status=400)).url
    term = talk("-m", f"x/{ESCAPES}y", env={"OPENROUTER_BASE_URL": url})
    term.type("Hi")
    text = term.until("bad [red]word[/red]")

    assert "x/y" in text
    assert b"\x1b]0" not in term.raw
    assert b"\x1b[2J" not in term.raw


def test_saved_text_does_not_drive_the_terminal(shell, talk, tmp_path):
    """In lists, documents and files: a question, an answer, a title."""
    talk.script.append(Reply(f"An answer {ESCAPES}."))
    shell(
        "chat",
        f"Hi {ESCAPES} there",
        "-m",
        "openai/gpt-4o-mini",
        OPENROUTER_BASE_URL=talk.emulator.url,
    )
    term = talk("-c")
    term.type("/save talk.md")
    term.until("written to")
    listed, shown = shell("conversations", "list"), shell("conversations", "show")
    answer, complete = (shell("conversations", "show", word) for word in ("-r", "--json"))

    for text in (listed, shown, answer, complete, (tmp_path / "talk.md").read_text()):
        assert all(character.isprintable() or character in "\n\t" for character in text)
    assert "Hi  there" in shown
    assert answer == "An answer .\n"
    assert b"\x1b]0" not in term.raw


@pytest.mark.parametrize(
    ("env", "absent"),
    [({"NO_COLOR": "1"}, (b"\x1b[3", b"\x1b[9", b";3")), ({"TERM": "dumb"}, (b"\x1b",))],
)
def test_a_terminal_without_colors(talk, env, absent):
    """NO_COLOR takes the colors, TERM=dumb each escape; the rest is as elsewhere."""
    talk.script.append(Reply("Some `code` and **bold**\n\n```python\nx = 'a'\n```\nend"))
    term = talk(env=env, columns=40)
    start = len(term.raw)
    term.type("Hello")
    text = term.until("in all")
    received = term.raw[start : term.raw.index(b"in all")]

    assert "Some code and bold" in text
    assert not [escape for escape in absent if escape in received.partition(b"Some")[2]]
    term.type("/exit")
    assert term.wait() == 0


def test_input_that_is_no_text(shell):
    """Is an error that says what to do."""
    assert "-a -" in shell("chat", "What?", stdin=b"\xff\xfe\x00", code=1)
    assert "No such file" in shell("chat", "What?", "-t", "nothing.txt", code=1)
    assert "Is a directory" in shell("chat", "What?", "-a", ".", code=1)


def test_a_broken_file_hides_no_other(shell):
    """Of the conversations; and others may not read them."""
    shell("chat", "Hi there")
    (shell.folder / "broken.json").write_text("{")
    listed = shell("conversations", "list")

    assert "Hi there" in listed
    assert "no saved conversation" in shell("conversations", "show", "broken", code=1)
    assert "no conversation" in shell("conversations", "show", "../x", code=1)
    assert stat.S_IMODE(shell.folder.stat().st_mode) == 0o700


def test_conversations_are_found_again(shell):
    """By words, as JSON, or their last answer."""
    shell.reply("Use this:\n```py\nx = 1\n```")
    shell("chat", "Something about pelicans")
    (one,) = json.loads(shell("conversations", "list", "-q", "PELICANS use", "--json"))

    assert one["messages"][0]["data"]["content"] == "Something about pelicans"
    assert shell("conversations", "show", "-x") == "x = 1\n"
    assert shell("conversations", "show", "-r").startswith("Use this")
    assert "No conversation matches" in shell("conversations", "list", "-q", "walrus", code=1)
    assert shell("conversations", "path").strip() == str(shell.folder)
