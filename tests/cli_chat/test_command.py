"""`chat` and `conversations` through pipes, and shells."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_openrouter.testing import Reply
from langchain_openrouter.testing.emulator._replies import PIXEL
from tests.support import commands
from tests.support.screen import ScreenTerminal

COMMAND = str(Path(sys.executable).with_name("langchain-openrouter"))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(30)


def test_options_reach_the_request(shell):
    """Short and long ones; an unknown one is refused with the nearest."""
    words = ("-m", "anthropic/claude-sonnet-4.6", "-s", "Brief", "-o", "temperature=0.5")
    shell("chat", "Hi", *words, "-o", 'stop=["x"]', "--no-stream")
    body = shell.body()

    assert body["messages"][0] == {"role": "system", "content": "Brief"}
    assert (body["model"], body["temperature"], body["stop"]) == (words[1], 0.5, ["x"])
    assert not body.get("stream")
    assert "temperature" in shell("chat", "Hi", "-o", "temprature=1", code=1)
    assert "can be read by others" in shell("chat", "Hi", "-o", "api_key=x", code=1)
    shell("chat", "Hi", "-q", "claude", "-q", "sonnet")
    assert "claude-sonnet" in shell.body()["model"]
    shell("chat", "Hi", LANGCHAIN_OPENROUTER_MODEL="deepseek/deepseek-chat:free")
    assert shell.body()["model"] == "deepseek/deepseek-chat:free"


def test_attachments_reach_the_request(shell, tmp_path):
    """A picture, a document, sound, a text, addresses, the standard input."""
    (tmp_path / "picture").write_bytes(PNG)
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7\nx\xff")
    (tmp_path / "sound.wav").write_bytes(WAV)
    (tmp_path / "code.py").write_text("x = 1\n")
    names = ("picture", "paper.pdf", "sound.wav", "code.py", "https://example.org/a.jpg")
    shell("chat", "What?", *(word for name in names for word in ("-a", name)))
    question, picture, paper, sound, code, address = shell.body()["messages"][-1]["content"]

    assert question == {"type": "text", "text": "What?"}
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    assert paper["file"]["filename"] == "paper.pdf"
    assert sound["input_audio"]["format"] == "wav"
    assert "code.py" in code["text"]
    assert "x = 1" in code["text"]
    assert address["image_url"]["url"] == "https://example.org/a.jpg"
    shell("chat", "What?", "-a", "-", stdin=PNG)
    assert "image/png" in shell.body()["messages"][-1]["content"][1]["image_url"]["url"]
    shell("chat", "What?", "--at", "-=image/webp", stdin=b"\x00\x01\xff")
    assert "image/webp" in shell.body()["messages"][-1]["content"][1]["image_url"]["url"]
    assert "No such file" in shell("chat", "What?", "-a", "nothing.png", code=1)
    (tmp_path / "x").write_bytes(b"\x00\x01\xff")
    assert "--at" in shell("chat", "What?", "-a", "x", code=1)


def test_a_picture_of_the_model(shell):
    """Is said beside the answer, and is in the JSON."""
    shell.reply(Reply("See:", images=[PIXEL]))
    told = json.loads(shell("chat", "Draw a dot", "--json"))
    shell("chat", "Draw a dot")
    saved = json.loads(shell("conversations", "show", "--json"))

    assert told["media"][0]["mime_type"] == "image/png"
    assert PIXEL.endswith(told["media"][0]["base64"])
    assert PIXEL in json.dumps(saved)


def test_a_schema_gives_a_value(shell, tmp_path):
    """JSON on the standard output, also many; an answer that does not fit is an error."""
    value = json.loads(shell("chat", "Invent a dog", "--schema", "name, age int"))
    assert set(value) == {"name", "age"}
    assert isinstance(value["age"], int)
    assert isinstance(json.loads(shell("chat", "Dogs", "--schema-multi", "name"))["items"], list)
    told = json.loads(shell("chat", "Invent a dog", "--schema", "name", "--json"))
    assert "name" in told["parsed"]
    shell.reply("no JSON")
    assert "does not fit" in shell("chat", "Invent a dog", "--schema", "name", code=1)


def test_a_template_and_code(shell, tmp_path):
    """Of a file; the fenced block alone is printed."""
    (tmp_path / "t.txt").write_text("Write $language: $input")
    shell.reply("Here:\n```js\nlet x\n```\nDone.")
    done = shell("chat", "-t", "t.txt", "-p", "language=JS", "-x", stdin=b"a loop")

    assert shell.body()["messages"][-1]["content"] == "Write JS: a loop"
    assert done == "let x\n"


def test_a_conversation_goes_on(shell):
    """By `-c`, or by its id; its files are the user's alone; `-n` leaves none."""
    shell("chat", "-n", "Hi")
    assert not shell.folder.exists()
    assert "no saved conversation" in shell("chat", "-c", "Hi", code=1)
    shell("chat", "First, my key is sk-or-v1-abcdefabcdef", "-s", "Brief")
    shell("chat", "Other")
    (other, *_), (first, *_) = (
        line.split("\t") for line in shell("conversations", "list").splitlines()
    )
    shell("chat", "--cid", first, "Second")
    roles = [message["role"] for message in shell.body()["messages"]]
    shell("chat", "-c", "Third")  # the one that was last continued

    assert roles == ["system", "user", "assistant", "user"]
    assert len(shell.body()["messages"]) == 6
    files = list(shell.folder.glob("*.json"))
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert stat.S_IMODE(shell.folder.stat().st_mode) == 0o700
    assert not any("sk-or" in file.read_text() for file in files)
    assert "## You\n\nThird" in shell("conversations", "show")
    shell("conversations", "delete", other)
    assert len(list(shell.folder.glob("*.json"))) == 1
    shell("conversations", "delete", "--all")
    assert shell("conversations", "list") == ""


@pytest.mark.parametrize(
    "words", [["chat", "Hi"], ["chat", "Hi", "--no-stream"], ["chat", "Hi", "--json"]]
)
def test_who_reads_may_stop(shell, words):
    """As `head -1` does: the command ends without a traceback, and says no word of pipes."""
    shell.reply(Reply("line " * 30_000))
    (out, writes_out), (err, writes_err) = os.pipe(), os.pipe()
    with Path(os.devnull).open("rb") as nothing:
        started = commands.start(words, [nothing.fileno(), writes_out, writes_err], env=os.environ)
    os.close(writes_out)
    os.close(writes_err)
    os.read(out, 1)
    os.close(out)
    with os.fdopen(err) as file:
        printed = file.read()

    assert started.wait() == 141, printed
    assert not re.search("Traceback|Broken|Exception", printed)


def test_version_and_short_help(shell):
    """At each command."""
    from langchain_openrouter import __version__

    assert shell("--version").strip() == __version__
    for words in ((), ("chat",), ("models",), ("accounts", "keys", "list"), ("conversations",)):
        assert "Usage:" in shell(*words, "-h")
    assert "Examples:" in shell("chat", "-h")


def test_the_help_of_a_narrow_terminal_cuts_nothing():
    """No name of an option or a variable."""
    env = {**os.environ, "COLUMNS": "60"}
    done = subprocess.run([COMMAND, "chat", "-h"], capture_output=True, env=env, check=True)
    text = done.stdout.decode()

    assert "--attachment-type" in text
    assert "LANGCHAIN_OPENROUTER_NO_LOG" in re.sub(r"\s", "", text)
    assert "…" not in text


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_shell_completes(shell, name, tmp_path):
    """Commands and slugs, at a prompt of the real shell."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"no {name} here")
    script = shell("--show-completion", name, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    (tmp_path / "completion").write_text(script)
    start = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
    path = f"{Path(COMMAND).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(tmp_path), "PS1": "$ "}
    term = ScreenTerminal(program=[program, *start, "-i"], env=env, columns=200)
    try:
        prepare = "autoload -U compinit; compinit -u; " if name == "zsh" else ""
        term.type(f"{prepare}source {tmp_path}/completion; echo re''ady")
        term.until("ready")
        term.type("langchain-openrouter conv\t", enter=False)
        term.until("langchain-openrouter conversations")
        term.press(b"\x15")
        term.type("langchain-openrouter chat -m openai/gpt-5-image-m\t", enter=False)
        term.until("openai/gpt-5-image-mini")
    finally:
        term.close()
