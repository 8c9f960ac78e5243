"""The commands `langchain-openrouter accounts ...`, against an emulator."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest

from langchain_openrouter._cli import main
from langchain_openrouter.errors import KeyStoreError
from langchain_openrouter.key_store import KeyStore

pytestmark = pytest.mark.off_spec("the management API has no chat requests")


@pytest.fixture
def shell(tmp_path, emulate, monkeypatch, capsys):
    """Run a command; return its output, or what it printed on standard error."""
    emulator = emulate(any_key=False)
    environment = {
        "OPENROUTER_BASE_URL": emulator.url,
        "OPENROUTER_MANAGEMENT_KEY": emulator.management_key,
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "NO_COLOR": "1",
        "TERM": "dumb",
        "COLUMNS": "200",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0):
        monkeypatch.setattr(sys, "argv", ["langchain-openrouter", "accounts", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        output, errors = capsys.readouterr()
        assert ended.value.code == code, output + errors
        return errors if code else output

    run.emulator = emulator
    run.keys = KeyStore.file(tmp_path / "data" / "langchain-openrouter")
    run.folder = tmp_path
    return run


def test_the_command_runs_as_a_program(shell):
    """Its groups are in the help."""
    command = [sys.executable, "-m", "langchain_openrouter", "accounts", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    for name in ("keys", "users", "guardrails", "activity", "credits"):
        assert name in done.stdout


def test_the_life_of_a_key(shell):
    """Created, listed, shown, limited, disabled, enabled and deleted, by the start of its hash."""
    shell("keys", "create", "Ann's", "--user", "ann", "--limit", "5", "--limit-reset", "monthly",
          "--store", "file")  # fmt: skip
    key = shell.keys.get("ann")
    start = key.fingerprint[:8]

    assert key.base_url == shell.emulator.url
    assert shell.emulator.accounts.require_key(key.secret.get_secret_value()).name == "Ann's"
    table = shell("keys", "list")
    assert "Ann's" in table
    assert "$5.00" in table
    assert key.secret.get_secret_value() not in table
    row = json.loads(shell("keys", "get", start, "--json"))
    assert (row["external_user"], row["limit_reset"]) == ("ann", "monthly")
    row = json.loads(
        shell("keys", "update", start, "--no-limit", "--limit-reset", "never", "--json")
    )
    assert (row["limit"], row["limit_reset"]) == (None, None)
    shell("keys", "disable", start)
    assert "none" in shell("keys", "list")
    assert len(json.loads(shell("keys", "list", "--all", "--json"))) == 1
    shell("keys", "enable", start)
    assert json.loads(shell("keys", "list", "--user", "ben", "--json")) == []
    assert json.loads(shell("keys", "delete", key.fingerprint, "--json"))["deleted"] is True
    assert "0 keys begin with" in shell("keys", "get", start, code=2)


def test_a_new_key_goes_where_it_was_asked_to(shell):
    """To the output only on request; to a file that its owner alone can read."""
    assert "--show-key" in shell("keys", "create", "n", code=2)
    assert not shell.emulator.requests

    printed = json.loads(shell("keys", "create", "n", "--show-key", "--json"))
    assert shell.emulator.accounts.require_key(printed["key"]).name == "n"

    table = shell("keys", "create", "m", "--to-file", "key.txt")
    file = shell.folder / "key.txt"
    secret = file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert shell.emulator.accounts.require_key(secret).name == "m"
    assert secret not in table


def test_no_key_is_left_without_an_owner(shell):
    """Nor a file without a key: what can fail is tried before the key is created."""
    (shell.folder / "key.txt").write_text("mine")
    assert "File exists" in shell("keys", "create", "n", "--to-file", "key.txt", code=2)
    assert (shell.folder / "key.txt").read_text() == "mine"
    assert not shell.emulator.requests

    assert "400 limit" in shell("keys", "create", "n", "--limit=-1", "--to-file", "new.txt", code=1)
    assert not (shell.folder / "new.txt").exists()


def test_a_key_that_cannot_be_stored_is_deleted_again(shell, monkeypatch):
    """Its file too; the error is that of the store."""

    def fail(*_):
        message = "no room"
        raise KeyStoreError(message)

    monkeypatch.setattr(KeyStore, "set", fail)
    message = shell("keys", "create", "n", "--to-file", "new.txt", "--store", "file", code=1)

    assert "deleting it again" in message
    assert "no room" in message
    assert not (shell.folder / "new.txt").exists()
    assert json.loads(shell("keys", "list", "--all", "--json")) == []


def test_users(shell):
    """Registered, listed, deactivated."""
    shell("users", "create", "ann")
    assert "ann" in shell("users", "list")
    shell("users", "deactivate", "ann")
    assert json.loads(shell("users", "list", "--json")) == []
    assert json.loads(shell("users", "list", "--all", "--json"))[0]["is_active"] is False
    assert "yes" in shell("users", "activate", "ann")
    assert json.loads(shell("users", "get", "ann", "--json"))["user"] == "ann"
    assert "404" in shell("users", "get", "ben", code=1)


def test_guardrails(shell):
    """Created, assigned to a key by the start of its hash, taken away, deleted."""
    key = shell.emulator.accounts.add_key(name="n")
    created = shell("guardrails", "create", "g", "--model", "a/b", "--model", "c/d", "--limit", "2",
                    "--limit-reset", "weekly", "--json")  # fmt: skip
    id_ = json.loads(created)["id"]

    assert "a/b, c/d" in shell("guardrails", "list")
    assert "to 1 keys" in shell("guardrails", "assign", id_, key.hash[:8])
    assert json.loads(shell("guardrails", "assignments", "--json"))[0]["key_hash"] == key.hash
    assert "from 1 keys" in shell("guardrails", "remove", id_, key.hash)
    assert "h" in shell("guardrails", "update", id_, "--name", "h")
    assert "nothing to change" in shell("guardrails", "update", id_, code=2)
    assert json.loads(shell("guardrails", "get", id_, "--json"))["name"] == "h"
    shell("guardrails", "delete", id_)
    assert "none" in shell("guardrails", "list")


def test_activity_and_credits(shell):
    """What was used by day, and what is left."""
    import httpx2

    key = shell.emulator.accounts.add_key(name="n")
    httpx2.post(
        f"{shell.emulator.url}/chat/completions",
        json={"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]},
        headers={"authorization": f"Bearer {key.secret}"},
    ).raise_for_status()
    shell.emulator.clock.advance(86_400)

    assert "openai/gpt-4o-mini" in shell("activity")
    assert json.loads(shell("activity", "--key", key.hash[:8], "--json"))[0]["requests"] == 1
    assert "$100.00" in shell("credits")
    assert json.loads(shell("credits", "--json"))["total_credits"] == 100.0


def test_errors_of_the_command_line(shell, monkeypatch):
    """One line, and an exit code that says what is wrong."""
    inference = shell.emulator.accounts.add_key().secret
    assert "by its hash" in shell("keys", "get", inference, code=1)
    assert inference not in shell("keys", "get", inference, code=1)
    assert "daily, weekly, monthly or never" in shell(
        "keys", "create", "n", "--show-key", "--limit-reset", "yearly", code=2
    )

    monkeypatch.setenv("OPENROUTER_MANAGEMENT_KEY", inference)
    assert "settings/management-keys" in shell("keys", "list", code=1)
    monkeypatch.delenv("OPENROUTER_MANAGEMENT_KEY")
    assert "no management key" in shell("credits", code=3)
