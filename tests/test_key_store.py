"""Keys at rest: encrypted, bound to their user, in memory, in files, in the OS's keyring."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import warnings

import pytest
from langchain_core.stores import InMemoryByteStore

from langchain_openrouter import UserKey, errors, login
from langchain_openrouter.key_store import FileStore, KeyringStore, KeyStore
from langchain_openrouter.oauth import alogin, logout

SECRET = "a secret of sixteen bytes and more"
KEY = UserKey("sk-or-v1-sentinel-stored", "user_1")


def contents(store):
    """Return all that a store holds, names and values."""
    names = list(store.yield_keys())
    return b" ".join(value for value in store.mget(names) if value) + " ".join(names).encode()


@pytest.mark.parametrize("make", [InMemoryByteStore, FileStore])
def test_a_key_comes_back_and_is_encrypted_meanwhile(make, tmp_path):
    """Neither the key nor the user's id can be read in the store."""
    store = make(tmp_path / "keys") if make is FileStore else make()
    keys = KeyStore(store, SECRET)
    keys.set("ann@example.org", KEY)

    assert keys.get("ann@example.org") == KEY
    assert keys.get("bob@example.org") is None
    assert b"sentinel" not in contents(store)
    assert b"ann" not in contents(store)
    keys.delete("ann@example.org")
    keys.delete("ann@example.org")
    assert keys.get("ann@example.org") is None


def test_the_async_methods_are_the_same():
    """Set, get, delete."""
    keys = KeyStore()

    async def all_three():
        await keys.aset("u", "sk-plain")
        got = await keys.aget("u")
        await keys.adelete("u")
        return got, await keys.aget("u")

    got, gone = asyncio.run(all_three())
    assert got.secret.get_secret_value() == "sk-plain"
    assert gone is None


def test_one_users_value_cannot_be_passed_off_as_anothers():
    """Whoever writes to the store cannot swap users."""
    store = InMemoryByteStore()
    keys = KeyStore(store, SECRET)
    keys.set("ann", KEY)
    ann = next(iter(store.yield_keys()))
    keys.set("bob", "sk-bob")
    bob = next(name for name in store.yield_keys() if name != ann)
    store.mset([(bob, store.mget([ann])[0])])

    with pytest.raises(errors.KeyStoreError, match="not this user's"):
        keys.get("bob")


def test_a_secret_is_rotated():
    """Old values open with the old secret in second place, and are encrypted anew."""
    store = InMemoryByteStore()
    KeyStore(store, "the old secret, sixteen").set("ann", KEY)
    with pytest.raises(errors.KeyStoreError, match="another secret"):
        KeyStore(store, SECRET).get("ann")
    both = KeyStore(store, [SECRET, "the old secret, sixteen"])

    assert both.get("ann") == KEY
    assert both.rotate() == 1
    assert KeyStore(store, SECRET).get("ann") == KEY


def test_a_store_without_a_secret_is_refused():
    """Nothing is kept in plain text by oversight."""
    with pytest.raises(ValueError, match="pass a secret"):
        KeyStore(InMemoryByteStore())
    with pytest.raises(ValueError, match="16 bytes"):
        KeyStore(InMemoryByteStore(), "short")
    with pytest.raises(ValueError, match="not empty"):
        KeyStore().get("")


def test_an_altered_value_is_an_error():
    """Not a None, which would look like "never signed in"."""
    store = InMemoryByteStore()
    keys = KeyStore(store, SECRET)
    keys.set("ann", KEY)
    store.mset([(next(iter(store.yield_keys())), b"garbage")])

    with pytest.raises(errors.KeyStoreError):
        keys.get("ann")


def test_files_are_the_users_alone(tmp_path):
    """0600 in a 0700 folder, replaced in one step, nothing left over; reopened by another."""
    folder = tmp_path / "deep" / "keys"
    before = os.umask(0)
    try:
        KeyStore.file(folder).set("ann", KEY)
    finally:
        os.umask(before)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert len(list(folder.iterdir())) == 2
    assert KeyStore.file(folder).get("ann") == KEY
    assert b"sentinel" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_a_folder_that_others_read_is_refused(tmp_path):
    """With what to do."""
    tmp_path.chmod(0o755)

    with pytest.raises(errors.KeyStoreError, match="chmod 700"):
        FileStore(tmp_path)
    with pytest.raises(errors.KeyStoreError, match="cannot be used"):
        FileStore("/dev/null/keys")


def test_a_file_is_whole_or_not_there(tmp_path):
    """Readers beside writers see one value or the other, never a part."""
    store = FileStore(tmp_path / "s")
    values = {b"a" * 100_000, b"b" * 100_000}
    done = threading.Event()

    def write():
        while not done.is_set():
            for value in values:
                store.mset([("k", value)])

    store.mset([("k", b"a" * 100_000)])
    thread = threading.Thread(target=write)
    thread.start()
    seen = {store.mget(["k"])[0] for _ in range(300)}
    done.set()
    thread.join()

    assert seen <= values


def test_two_processes_agree_on_the_secret_of_a_folder(tmp_path):
    """Whoever is first decides."""
    store = FileStore(tmp_path / "s")

    assert {store.once("secret", f"{n}".encode()) for n in range(5)} == {b"0"}


class Backend:
    """A keyring in a dict; the interface of `keyring`'s backends."""

    priority = 1

    def __init__(self):
        self.held = {}

    def get_password(self, service, name):
        """Return a value."""
        return self.held.get((service, name))

    def set_password(self, service, name, value):
        """Keep a value."""
        self.held[service, name] = value

    def delete_password(self, service, name):
        """Forget a value."""
        del self.held[service, name]


def test_the_keyring_keeps_keys(monkeypatch):
    """Through the real `keyring` package and a backend of ours."""
    backend = Backend()
    monkeypatch.setattr("keyring.get_keyring", lambda: backend)
    keys = KeyStore.keyring()
    keys.set("ann", KEY)

    assert keys.get("ann") == KEY
    assert len(backend.held) == 1
    keys.delete("ann")
    keys.delete("ann")
    assert not backend.held
    with pytest.raises(errors.KeyStoreError, match="does not tell"):
        keys.rotate()


def test_a_system_without_a_keyring_says_so():
    """The real package on a machine without one, and its explicit "fail" backend."""
    import keyring
    from keyring.backends import fail, null

    for backend in (fail.Keyring(), null.Keyring()):
        keyring.set_keyring(backend)
        with pytest.raises(errors.KeyStoreError, match="no keyring on this system"):
            KeyStore.keyring()


def test_a_keyring_that_is_locked_says_so(monkeypatch):
    """And shows no value."""
    from keyring.errors import KeyringLocked

    class Locked(Backend):
        def set_password(self, service, name, value):
            raise KeyringLocked(value)

    monkeypatch.setattr("keyring.get_keyring", Locked)
    with pytest.raises(errors.KeyStoreError, match="KeyringLocked") as caught:
        KeyStore(KeyringStore()).set("ann", KEY)
    assert "sentinel" not in str(caught.value)


# --- login(remember=...) and logout() ---------------------------------------------------------


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_kept_key_is_used_again_while_it_is_alive(emulate, browse, tmp_path, how):
    """One sign-in; a second where the first key was disabled."""
    emulator, keys = emulate(any_key=False), KeyStore.file(tmp_path / "keys")

    def sign_in():
        browser = browse()
        opened = threading.Event()

        def open_(url):
            browser(url)
            opened.set()

        def prompt(_):
            opened.wait(5)
            return browser.code()

        words = {
            "mode": "headless",
            "open_browser": open_,
            "prompt": prompt,
            "base_url": emulator.url,
            "remember": keys,
        }
        return asyncio.run(alogin(**words)) if how == "async" else login(**words)

    first = sign_in()
    assert sign_in() == first
    emulator.accounts.keys[first.secret.get_secret_value()].disabled = True
    second = sign_in()
    assert second != first
    assert keys.get("default") == second


def test_a_key_is_kept_though_the_service_cannot_be_asked(tmp_path):
    """A bad network is no reason to sign in again; a key of another service is."""
    keys = KeyStore.file(tmp_path / "keys")
    away = UserKey("sk-or-away", "u", "http://127.0.0.1:9/api/v1")
    keys.set("me", away)

    assert login(remember=keys, remember_as="me", base_url="http://127.0.0.1:9/api/v1") == away
    with pytest.raises(errors.SignInError):
        login(remember=keys, remember_as="me", base_url="http://127.0.0.1:10/api/v1", mode="headless",
              open_browser=False, prompt=lambda _: "")  # fmt: skip


def test_a_key_that_cannot_be_kept_is_not_lost(emulate, browse):
    """The user has signed in: the key comes back, with a warning."""

    class Full(InMemoryByteStore):
        def mset(self, _):
            raise OSError

    emulator, browser = emulate(), browse()

    def prompt(_):
        return browser.code()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        opened = threading.Event()
        key = login(mode="headless", base_url=emulator.url, remember=KeyStore(Full(), SECRET),
                    open_browser=lambda url: (browser(url), opened.set()),
                    prompt=lambda text: opened.wait(5) and prompt(text))  # fmt: skip
    assert key.user_id == "user_ann"
    assert "could not be kept" in str(told[-1].message)


def test_signing_out_forgets_and_says_that_it_does_not_revoke(capsys):
    """With the address of the page that does."""
    keys = KeyStore()
    keys.set("default", KEY)

    assert logout(keys) == KEY.settings_url
    said = capsys.readouterr().out
    assert "not revoked" in said
    assert KEY.settings_url in said.splitlines()
    assert keys.get("default") is None
    assert logout(keys) is None


def test_signing_out_forgets_what_cannot_be_read():
    """The error is told, and the value is gone."""
    store = InMemoryByteStore()
    KeyStore(store, "the old secret, sixteen").set("default", KEY)

    with pytest.raises(errors.KeyStoreError):
        logout(KeyStore(store, SECRET))
    assert not list(store.yield_keys())


def test_nothing_is_kept_unless_asked(emulate, browse, tmp_path, monkeypatch):
    """No file, no variable."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    emulator = emulate()
    login(mode="loopback", base_url=emulator.url, open_browser=browse(), prompt=lambda _: "")

    assert dict(os.environ) == before
    assert not list(tmp_path.rglob("*"))
