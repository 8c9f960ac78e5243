"""`langchain-openrouter accounts sweep`, rotate, revoke, restore, forget, usage."""

from __future__ import annotations

import json

import pytest

from langchain_openrouter import _cli
from langchain_openrouter.key_store import FileStore, KeyStore, RedisStore
from tests.support.accounts import client
from tests.support.provisioning import SECRET, account_keys, provisioner
from tests.support.webapp import redis_server


@pytest.fixture
def shell(tmp_path, emulate, monkeypatch, capsys):
    """Run commands against an emulator, on the store of an app; as the program's entry does."""
    emulator = emulate(any_key=False)
    monkeypatch.setenv("OPENROUTER_BASE_URL", emulator.url)
    monkeypatch.setenv("OPENROUTER_MANAGEMENT_KEY", emulator.management_key)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words, code=0, store=("--folder", str(tmp_path / "keys")), **more):
        with monkeypatch.context() as patch:
            patch.setattr("sys.argv", ["langchain-openrouter", "accounts", *words, *store])
            for name, value in more.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as done:
                _cli.main()
        printed = "".join(capsys.readouterr())
        assert (done.value.code or 0) == code, printed
        return printed

    run.emulator, run.folder = emulator, tmp_path / "keys"
    return run


def test_the_life_of_a_user(shell):
    """Tables, JSON, and the exit codes."""
    keys = provisioner(shell.emulator, KeyStore.file(shell.folder))
    old = keys.get("ann").fingerprint

    rotated = shell("rotate", "ann", "--limit", "7", "--grace", "0")
    new = keys.get("ann").fingerprint
    assert f"Rotated ann, hash {new[:12]}." in rotated
    assert set(account_keys(shell.emulator)) == {new} != {old}
    assert account_keys(shell.emulator)[new].limit == 7
    shell("rotate", "ann", code=2)

    usage = shell("usage")
    assert "ann" in usage
    assert "$7.00" in usage
    (row,) = json.loads(shell("usage", "ann", "--json"))
    assert (row["user_id"], row["limit"], row["keys"]) == ("ann", 7, 2)

    assert json.loads(shell("revoke", "ann", "--json")) == {"user_id": "ann", "revoked": True}
    assert account_keys(shell.emulator)[new].disabled
    assert "revoked" in shell("rotate", "ann", "--no-limit", code=1)
    assert "Restored ann." in shell("restore", "ann")
    assert "Forgotten ann." in shell("forget", "ann")
    assert not account_keys(shell.emulator)


def test_a_sweep_only_shows_until_it_is_told_to_act(shell):
    """With what it would do."""
    keys = provisioner(shell.emulator, KeyStore.file(shell.folder))
    keys.get("ann")
    client(shell.emulator).keys.delete(keys.get("ann"))

    shown = shell("sweep")
    assert "missing" in shown
    assert "dry run, nothing was changed" in shown
    report = json.loads(shell("sweep", "--json"))
    assert report["dry_run"] is True
    assert [(a["kind"], a["done"]) for a in report["actions"]] == [("missing", False)]
    assert json.loads(shell("sweep", "--apply", "--json"))["actions"][0]["done"]
    assert "none" in shell("sweep", "--apply")


def test_a_store_is_needed_and_its_secret(shell):
    """One of both; a folder with a secret of the app's; a Redis."""
    keys = provisioner(shell.emulator, KeyStore(FileStore(shell.folder), SECRET))
    key = keys.get("ann")

    assert "--folder or --redis" in shell("sweep", store=(), code=2)
    secret = {"OPENROUTER_KEY_STORE_SECRET": SECRET}
    assert "1 users, 1 keys" in shell("sweep", **secret)
    assert "OPENROUTER_KEY_STORE_SECRET" in shell(
        "sweep", store=("--redis", "redis://localhost:1"), code=2
    )
    assert "no folder" in shell("sweep", store=("--folder", "/nowhere"), code=2)
    assert "another secret" in shell("revoke", "ann", code=1)
    assert not account_keys(shell.emulator)[key.fingerprint].disabled


def test_on_a_redis(shell, tmp_path):
    """By option, or by the environment."""
    with redis_server(tmp_path) as url:
        if url is None:
            pytest.skip("no redis-server")
        store = RedisStore(url)
        provisioner(shell.emulator, KeyStore(store, SECRET)).get("ann")
        store._sync.close()
        more = {"OPENROUTER_KEY_STORE_SECRET": SECRET, "OPENROUTER_KEY_STORE_REDIS": url}

        assert "1 users, 1 keys" in shell("sweep", store=(), **more)
        shell("forget", "ann", store=("--redis", url), OPENROUTER_KEY_STORE_SECRET=SECRET)
    assert not account_keys(shell.emulator)


def test_a_user_who_is_not_known_is_no_user(shell):
    """A typo makes no key, and says so."""
    provisioner(shell.emulator, KeyStore.file(shell.folder)).get("ann")
    for words in (("rotate", "anne", "--limit", "7"), ("revoke", "anne"), ("restore", "anne")):
        assert "no user anne" in shell(*words, code=2)
    assert "no user anne" in shell("forget", "anne", code=2)
    assert len(account_keys(shell.emulator)) == 1

    assert "Rotated bob" in shell("rotate", "bob", "--limit", "7", "--create")
    assert "Revoked cat" in shell("revoke", "cat", "--create")
    assert len(account_keys(shell.emulator)) == 2


def test_a_sweep_with_another_accounts_key_needs_force(shell):
    """Of several users, none has a key there."""
    keys = provisioner(shell.emulator, KeyStore.file(shell.folder))
    keys.get("ann")
    keys.get("bob")
    for key in list(account_keys(shell.emulator).values()):
        del shell.emulator.accounts.keys[key.secret]

    assert "missing" in shell("sweep")
    assert "another's" in shell("sweep", "--apply", code=1)
    assert keys.knows("ann")
    assert "missing" in shell("sweep", "--apply", "--force")


def test_another_prefix_is_another_app(shell):
    """Its users are not touched."""
    keys = provisioner(shell.emulator, KeyStore.file(shell.folder), name_prefix="shop")
    keys.get("ann")

    assert "0 users, 0 keys" in shell("sweep", "--apply")
    assert "1 users, 1 keys" in shell("sweep", "--prefix", "shop")
