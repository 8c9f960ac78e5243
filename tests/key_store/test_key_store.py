"""Keys at rest: encrypted, bound to their user, in memory, in files, in the OS's keyring."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
from langchain_core.stores import InMemoryByteStore

from langchain_openrouter import PKCELogin, UserKey, errors, login
from langchain_openrouter.key_store import FileStore, KeyringStore, KeyStore
from langchain_openrouter.key_store._compare_and_set import acompare_and_set
from langchain_openrouter.oauth import alogin, logout
from langchain_openrouter.web import RedisStore, SignIn
from tests.support.webapp import redis_server

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


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("a" * 16, "little variety"),
        (b"ab" * 20, "little variety"),
        (" " * 40, "blank"),
        ("", "blank"),
        ("short and good", "16 bytes"),
        ("32 random bytes, known to your servers alone", "sample"),
        ("32 random bytes of your server's own\n", "sample"),
        ([], "no secret"),
        (["servers-own-x8Jq2m", "b" * 32], "little variety"),
    ],
)
@pytest.mark.parametrize("taker", ["KeyStore", "SignIn", "seal", "unseal"])
def test_a_secret_that_can_be_guessed_is_refused(taker, secret, why):
    """Wherever a secret is taken, with the command that makes a good one."""
    sealed = PKCELogin.start().seal("servers-own-x8Jq2m")
    take = {
        "KeyStore": lambda: KeyStore(InMemoryByteStore(), secret),
        "SignIn": lambda: SignIn(secret=secret),
        "seal": lambda: PKCELogin.start().seal(secret),
        "unseal": lambda: PKCELogin.unseal(sealed, secret),
    }[taker]

    with pytest.raises(ValueError, match=why) as caught:
        take()
    assert "python -c" in str(caught.value)
    assert "token_urlsafe(32)" in str(caught.value)


@contextmanager
def stores(kind, folder):
    """Yield a function that opens the same store once more, as another worker does."""
    if kind == "memory":
        store = InMemoryByteStore()
        yield lambda _=None: store
    elif kind == "file":
        yield lambda made=FileStore: made(folder / "keys")
    else:
        with redis_server(folder) as url:
            if url is None:
                pytest.skip("no redis-server")
            opened = []

            def open_store(made=RedisStore):
                opened.append(made(url, ttl=600))
                return opened[-1]

            yield open_store
            for store in opened:
                store._sync.close()


@pytest.mark.parametrize("change", ["deleted", "replaced"])
@pytest.mark.parametrize("kind", ["memory", "file", "redis"])
def test_a_rotation_leaves_a_key_as_another_worker_left_it(tmp_path, kind, change):
    """A key deleted between the rotation's reading and writing stays deleted, a newer one newer."""
    kinds = {"memory": InMemoryByteStore, "file": FileStore, "redis": RedisStore}

    class Interrupted(kinds[kind]):
        """Another worker comes in after the first time that a key is read."""

        def mget(self, keys):
            values = super().mget(keys)
            while others:
                others.pop()()
            return values

    others = []
    with stores(kind, tmp_path) as open_store:
        store = Interrupted() if kind == "memory" else open_store(Interrupted)
        elsewhere = KeyStore(store if kind == "memory" else open_store(), SECRET)
        elsewhere.set("ann", KEY)
        keys = KeyStore(store, ["the newest secret, sixteen", SECRET])
        newer = UserKey("sk-or-v1-sentinel-newer", "user_1")
        others.append(
            (lambda: elsewhere.delete("ann"))
            if change == "deleted"
            else (lambda: elsewhere.set("ann", newer))
        )

        assert keys.rotate() == (0 if change == "deleted" else 1)
        assert keys.get("ann") == (None if change == "deleted" else newer)
        newest = KeyStore(store, "the newest secret, sixteen")
        assert newest.get("ann") == keys.get("ann")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["memory", "file", "redis"])
def test_rotating_beside_a_writer_loses_no_key(tmp_path, kind):
    """Each key that is set is the one that is read, and one that is deleted stays away."""
    done = threading.Event()
    problems = []

    def rotate(store):
        keys = KeyStore(store, ["the newest secret, sixteen", SECRET])
        while not done.is_set():
            try:
                keys.rotate()
            except Exception as error:  # noqa: BLE001 - shown by the assertion
                if "rotate again" not in str(error):  # beside a writer without a pause
                    problems.append(error)

    with stores(kind, tmp_path) as open_store:
        threads = [threading.Thread(target=rotate, args=(open_store(),)) for _ in range(2)]
        keys = KeyStore(open_store(), [SECRET, "the newest secret, sixteen"])
        for thread in threads:
            thread.start()
        end = time.monotonic() + 4
        n = 0
        while time.monotonic() < end and not problems:
            n += 1
            keys.set("ann", UserKey(f"sk-{n}"))
            if keys.get("ann").secret.get_secret_value() != f"sk-{n}":
                problems.append("overwritten")
            keys.delete("ann")
            if keys.get("ann") is not None:
                problems.append("resurrected")
        done.set()
        for thread in threads:
            thread.join(20)

    assert not problems
    assert n > 20


def test_a_rotation_does_not_prolong_what_redis_keeps(tmp_path):
    """The entry's own end stays."""
    with stores("redis", tmp_path) as open_store:
        store = open_store()
        KeyStore(store, SECRET).set("ann", KEY)
        name = next(iter(store._sync.scan_iter()))
        store._sync.expire(name, 100)
        assert KeyStore(store, ["the newest secret, sixteen", SECRET]).rotate() == 1
        assert 0 < store._sync.ttl(name) <= 100


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_compare_and_set_of_a_store(tmp_path, kind):
    """Sync and async: creates where nothing is, replaces and deletes what is expected, else no."""
    with stores(kind, tmp_path) as open_store:
        store = open_store()
        steps = [
            ((b"x", b"y"), False),
            ((None, b"1"), True),
            ((None, b"2"), False),
            ((b"2", b"3"), False),
            ((b"1", b"3"), True),
            ((None, None), False),
            ((b"1", None), False),
            ((b"3", None), True),
            ((None, None), True),
        ]
        for (expected, value), result in steps:
            assert store.compare_and_set("k", expected, value, ttl=60) is result

        async def again():
            got = [
                await acompare_and_set(store, "k", expected, value, ttl=60)
                for (expected, value), _ in steps
            ]
            if kind == "redis":
                await store.aclose()
            return got

        assert asyncio.run(again()) == [result for _, result in steps]


def test_a_redis_prefix_is_no_pattern(tmp_path):
    """Names are listed by their own beginning, whatever characters are in it."""
    with stores("redis", tmp_path) as open_store:
        store = open_store()
        store.mset([("a*b", b"1"), ("axb", b"2"), ("[a]", b"3")])

        assert list(store.yield_keys(prefix="a*")) == ["a*b"]
        assert list(store.yield_keys(prefix="[a")) == ["[a]"]
        assert sorted(store.yield_keys()) == ["[a]", "a*b", "axb"]


def test_a_folder_of_another_user_is_refused(tmp_path):
    """Though it is closed to all others: its owner can read what is written there."""
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(folder, 12345, -1)
    else:
        folder = Path("/root")

    with pytest.raises(errors.KeyStoreError, match="belongs to another user"):
        KeyStore.file(folder)


def test_a_folder_behind_a_link_is_refused(tmp_path):
    """Who owns the link could point it elsewhere."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(errors.KeyStoreError, match="symbolic link"):
        FileStore(tmp_path / "link")
    assert not list((tmp_path / "real").iterdir())


def test_what_a_dead_writer_left_is_swept(tmp_path):
    """After an hour: a writer that was killed in the middle leaves nothing for ever."""
    folder = tmp_path / "keys"
    FileStore(folder)
    killed = os.fork()
    if killed == 0:  # dies between writing and putting in place
        with FileStore(folder)._temporary_file(b"half a key"):
            os._exit(0)
    os.waitpid(killed, 0)
    (left,) = [path for path in folder.iterdir() if path.suffix == ".tmp"]
    (folder / ".mine").write_bytes(b"x")
    (folder / "openrouter-key-old").write_bytes(b"x")

    FileStore(folder)
    assert left.exists()
    for path in folder.iterdir():
        os.utime(path, (time.time() - 4000,) * 2)
    FileStore(folder)
    assert not left.exists()
    assert {path.name for path in folder.iterdir()} == {".mine", "openrouter-key-old"}


@pytest.mark.parametrize("name", [".", "..", ".lock", "../x", "a/b", "%2E"])
def test_any_name_is_a_file_of_its_own(tmp_path, name):
    """In the folder, and listed."""
    store = FileStore(tmp_path / "keys")
    store.mset([(name, b"1")])

    assert store.mget([name]) == [b"1"]
    assert list(store.yield_keys()) == [name]
    store.mdelete([name])
    assert list(store.yield_keys()) == []
    with pytest.raises(ValueError, match="empty"):
        store.mget([""])


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
    assert len([path for path in folder.iterdir() if not path.name.startswith(".")]) == 2
    assert [path.name for path in folder.glob(".*")] == [".lock"]
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
    with pytest.raises(errors.KeyStoreError, match="cannot list its entries"):
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


# --- login(key_store=...) and logout() --------------------------------------------------------


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
            "key_store": keys,
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

    assert login(key_store=keys, user_id="me", base_url="http://127.0.0.1:9/api/v1") == away
    with pytest.raises(errors.SignInError):
        login(key_store=keys, user_id="me", base_url="http://127.0.0.1:10/api/v1", mode="headless",
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
        key = login(mode="headless", base_url=emulator.url, key_store=KeyStore(Full(), SECRET),
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
