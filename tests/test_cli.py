"""The command line through a pseudo-terminal and through pipes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from langchain_openrouter.key_store import KeyStore
from langchain_openrouter.oauth import UserKey
from langchain_openrouter.testing import error
from tests.support.commands import run as run_command
from tests.support.loopback import Reply, events, sse
from tests.support.terminal import Terminal, closed, query_of


@pytest.fixture
def shell(tmp_path, emulate, monkeypatch):
    """Run commands against an emulator, with a home of their own."""
    emulator = emulate(any_key=False)
    monkeypatch.setenv("OPENROUTER_BASE_URL", emulator.url)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words, stdin="", code=0, **more):
        done, out, err = run_command(words, stdin=stdin.encode(), env={**os.environ, **more})
        assert done == code, out + err
        return SimpleNamespace(stdout=out.decode(), stderr=err.decode())

    run.emulator = emulator
    run.keys = KeyStore.file(tmp_path / "data" / "langchain-openrouter")
    run.key = emulator.accounts.add_key(user_id="user_ann", label="Ann's", limit=5.0).secret
    return run


@pytest.fixture
def terminal():
    """Start commands at pseudo-terminals."""
    started = []

    def start(*words):
        script = f"import sys; sys.argv = {['langchain-openrouter', *words]!r}; from langchain_openrouter.__main__ import main; main()"
        started.append(Terminal(script))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_login_by_paste_keeps_the_key(shell, browse, terminal):
    """The code is not shown; the key is kept in a file and used by the next command."""
    browser = browse()
    term = terminal("login", "--mode", "headless", "--label", "CLI", "--limit", "2")
    url = term.until(r"\n?(http://\S+)\n")[1]
    term.until("Paste the code")
    browser.decide(url)
    term.type(browser.code())
    term.until("Signed in as user_ann")
    term.until(r"remaining\s+2.0")

    assert browser.code() not in term.said
    assert "sk-or" not in term.said
    told = json.loads(shell("whoami", "--json").stdout)
    assert (told["user_id"], told["label"], told["remaining"]) == ("user_ann", "CLI", 2.0)
    assert "revoked" in shell("logout").stdout
    assert "langchain-openrouter login" in shell("whoami", code=3).stderr


def test_login_by_loopback(shell, browse, terminal):
    """The browser comes back; with --no-remember nothing is kept."""
    term = terminal("login", "--mode", "loopback", "--no-browser", "--no-remember")
    url = term.until(r"\n?(http://\S+)\n")[1]
    term.until("Paste the code")
    browse().decide(url)
    term.until("Signed in as user_ann")
    term.until(r"works until you delete it: http")

    assert closed(urlsplit(query_of(url)["callback_url"]).port)
    assert shell("whoami", code=3)


def test_a_second_login_says_that_the_key_was_stored(shell):
    """`--remember file` is the default by another name; it excludes `--no-remember`."""
    shell.keys.set("default", UserKey(shell.key, "user_ann", shell.emulator.url))

    for options in ([], ["--remember", "file"]):
        assert "`logout` first" in shell("login", "--mode", "headless", *options).stdout
    refused = shell("login", "--remember", "file", "--no-remember", code=2)
    assert "exclude each other" in refused.stderr


def test_a_wrong_code_and_a_denial(shell, browse):
    """Exit code 4, one line."""
    words = ("login", "--mode", "headless", "--no-browser")
    wrong = shell(*words, stdin="wrong\n", code=4)
    denied = shell(*words, stdin="error=access_denied\n", code=4)

    assert wrong.stderr.strip() == "the code is wrong, or was used before - begin a new sign-in"
    assert "denied" in denied.stderr


def interrupt(term):
    """Press Ctrl-C, and again as a person would: `input` misses one that comes as it begins to read."""
    for _ in range(5):
        os.write(term.fd, b"\x03")
        with suppress(AssertionError):
            term.until("interrupted", seconds=5)
            return
    pytest.fail(term.said)


@pytest.mark.parametrize(
    "words",
    [("login", "--mode", "headless"), ("login", "--mode", "loopback", "--no-browser"), ("chat",)],
)
def test_ctrl_c_is_clean(shell, terminal, monkeypatch, words):
    """One word, no traceback, 130."""
    monkeypatch.setenv("OPENROUTER_API_KEY", shell.key)
    term = terminal(*words)
    term.until("> " if words == ("chat",) else "Paste the code")
    interrupt(term)
    _, status = os.waitpid(term.pid, 0)
    term.close = lambda: os.close(term.fd)

    assert os.waitstatus_to_exitcode(status) == 130
    assert "Traceback" not in term.said


def test_no_key_says_how_to_get_one(shell):
    """Exit code 3."""
    assert "OPENROUTER_API_KEY" in shell("chat", "hi", code=3).stderr
    assert "OPENROUTER_API_KEY" in shell("whoami", code=3).stderr
    assert "Nobody" in shell("logout").stdout


def test_whoami(shell):
    """Label, limit, usage, links; never the key."""
    said = shell("whoami", OPENROUTER_API_KEY=shell.key)

    assert re.search(r"label\s+Ann's", said.stdout)
    assert f"{shell.emulator.site}/keys/" in said.stdout
    assert shell.key not in said.stdout + said.stderr
    assert "401" in shell("whoami", OPENROUTER_API_KEY="sk-or-unknown", code=1).stderr


def test_models(shell):
    """Searched, filtered, as a table and as JSON; no key is needed."""
    assert "openai/gpt-4o-mini" in shell("models").stdout
    slugs = [row["id"] for row in json.loads(shell("models", "claude", "--json").stdout)]
    assert "anthropic/claude-sonnet-4.6" in slugs
    assert all("claude" in slug for slug in slugs)
    cheap = json.loads(
        shell(
            "models", "--supports", "tools", "--input", "image", "--max-price", "0.2", "--json"
        ).stdout
    )
    cheap_slugs = {row["id"] for row in cheap}
    assert "openai/gpt-4o-mini" in cheap_slugs
    assert not cheap_slugs & {"anthropic/claude-sonnet-4.6", "deepseek/deepseek-chat:free"}
    assert [row["id"] for row in json.loads(shell("models", "--free", "--json").stdout)] == [
        "deepseek/deepseek-chat:free"
    ]
    one = shell("models", "--limit", "1")
    assert "17 more" in one.stderr
    assert one.stdout.count("\n") == 1
    assert one.stdout.split("\t")[0] == "openai/gpt-4o-mini"
    assert shell("models", "no such thing", code=1).stderr == "No model matches.\n"


def test_models_refresh_writes_the_profiles(shell, tmp_path):
    """Without a key; the path of the file is printed, and nothing is listed."""
    done = shell("models", "--refresh", XDG_CACHE_HOME=str(tmp_path / "cache"))
    path = tmp_path / "cache" / "langchain-openrouter" / "model_profiles.json"

    assert done.stdout.strip() == f"Profiles written to {path}"
    assert "openai/gpt-4o-mini" in json.loads(path.read_text())["models"]


def test_chat(shell):
    """The answer alone on the standard output; reasoning, cost and provider beside it."""
    said = shell(
        "chat",
        "Hello",
        "there",
        "--reasoning",
        "high",
        "--model",
        "anthropic/claude-sonnet-4.6",
        OPENROUTER_API_KEY=shell.key,
    )

    assert said.stdout.startswith("Hello! I am the emulator")
    assert "The user asks" in said.stderr
    assert re.search(r"Anthropic · anthropic/claude-sonnet-4\.6 · \$0\.00\d+", said.stderr)
    piped = shell(
        "chat",
        "Sum up:",
        "--system",
        "Be brief",
        "--json",
        stdin="a long text\n",
        OPENROUTER_API_KEY=shell.key,
    )
    told = json.loads(piped.stdout)
    assert told["cost"] > 0
    assert shell.emulator.chats[-1].body["messages"] == [
        {"role": "system", "content": "Be brief"}, {"role": "user", "content": "Sum up:\n\na long text"},
    ]  # fmt: skip
    assert "nothing was asked" in shell("chat", OPENROUTER_API_KEY=shell.key, code=1).stderr


def test_a_conversation_at_the_terminal(shell, terminal, monkeypatch):
    """Line by line, each with what was said before; Ctrl-D ends it."""
    monkeypatch.setenv("OPENROUTER_API_KEY", shell.key)
    term = terminal("chat")
    term.until("> ")
    term.type("Hello")
    term.until(r"Hello![\s\S]*\$0\.[\s\S]*> ")
    term.type("And you?")
    term.until(r"And you\?”[\s\S]*> ")
    os.write(term.fd, b"\x04")

    assert [m["role"] for m in shell.emulator.chats[-1].body["messages"]] == [
        "user",
        "assistant",
        "user",
    ]


def test_errors_are_one_line(shell):
    """Exit code 1; wrong words are 2."""
    shell.emulator.script(lambda _: error("no_endpoints"))
    failed = shell("chat", "hi", OPENROUTER_API_KEY=shell.key, code=1)

    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("404")
    assert "No such command" in shell("sing", code=2).stderr
    assert "Traceback" not in failed.stderr


ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e\r\x08:smile: [bold]x[/y]"


def hostile(seen):
    """Answer every command with text that would drive a terminal."""
    if seen.path.endswith("/chat/completions"):
        texts = [f"a\n\tb {ESCAPES}", "\x1b", "[2J", "\x1b]0;", "evil\x07", "\nend"]
        deltas = [{"content": "", "reasoning": ESCAPES}, *({"content": text} for text in texts)]
        items = [{**item, "provider": ESCAPES, "model": ESCAPES} for item in events(*deltas)]
        return Reply(sse(items), content_type="text/event-stream")
    if seen.path.endswith("/key"):
        return Reply({"data": {"label": f"{ESCAPES}\nforged  row", "usage": 1.0}})
    return Reply({"data": [{"id": f"{ESCAPES}\nforged", "name": "x"}]})


@pytest.mark.off_spec
@pytest.mark.parametrize("words", [("chat", "hi"), ("whoami",), ("models",)])
def test_no_text_of_others_drives_the_terminal(shell, serve, words):
    """Model text, reasoning, labels and ids are printed without escapes, and not as markup."""
    url = serve(hostile).url

    done = shell(*words, OPENROUTER_BASE_URL=url, OPENROUTER_API_KEY=shell.key)

    printed = done.stdout + done.stderr
    assert all(character.isprintable() or character in "\n\t" for character in printed)
    assert "red" in printed
    assert "title" not in printed
    assert ":smile: [bold]x[/y]" in printed
    if words[0] == "chat":
        assert done.stdout.startswith("a\n\tb red")
        assert done.stdout.endswith("\nend\n")
    else:
        assert not any(line.startswith("forged") for line in printed.splitlines())


def test_the_demo_runs_offline(shell):
    """Signs in, streams, runs a chain and an agent, tells what it used."""
    said = shell("demo", OPENROUTER_BASE_URL="").stdout

    for part in (
        "Signed in",
        "I am the emulator",
        "calls get_weather({'city': 'Paris'})",
        "20 degrees",
        "anthropic/claude-sonnet-4.6",
    ):
        assert part in said


def test_without_the_extra_it_says_how_to_get_it(shell):
    """In place of an ImportError."""
    code = (
        "import sys; sys.modules['typer'] = None; sys.argv = ['x', 'whoami'];"
        "from langchain_openrouter.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "pip install 'langchain-openrouter-oauth[cli]'" in done.stderr


def commands():
    """Return each command with its name, and the whole program."""
    import typer

    from langchain_openrouter._cli import app

    return {"": None, **typer.main.get_command(app).commands}


@pytest.mark.parametrize("name", commands())
def test_the_help_of_every_command_names_its_options(shell, name):
    """With every version of typer that may be installed."""
    command = commands()[name]
    text = shell(*name.split(), "--help").stdout

    assert "Usage:" in text
    if command is None:
        assert all(name in text for name in commands())
    else:
        options = [option for param in command.params for option in param.opts if option[0] == "-"]
        assert all(option in text for option in options)
        assert command.help.splitlines()[0].split(".")[0] in text
