"""What two hands on one sign-in, a late exchange and a broken store would lose or show."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
import uuid

import httpx2
import pytest
from langchain_core.stores import InMemoryByteStore

from langchain_openrouter import ChatOpenRouter, PKCELogin, UserKey, alogin, errors, login
from langchain_openrouter.key_store import KeyStore
from langchain_openrouter.oauth._loopback_server import LoopbackServer
from tests.support.loopback import Reply

KEY = "sk-or-v1-sentinel-0123456789"
SECRET = "a secret of some variety, sixteen"

pytestmark = pytest.mark.off_spec("the sign-in's requests are no chat requests")


@pytest.fixture
def slow(serve):
    """A service whose exchange takes a second."""

    def reply(seen):
        if seen.path.endswith("/auth/keys"):
            time.sleep(1.0)
            return Reply({"key": KEY, "user_id": "u"})
        return Reply({"data": {}})

    return serve(reply)


def callback_of(url):
    """Return the address that the page would send the browser back to."""
    return httpx2.URL(url).params["callback_url"]


def test_a_code_that_is_pasted_while_the_browser_brings_it_is_exchanged_once(slow):
    """Whichever is first; the other gets the same key."""
    addresses, pages = [], []

    def browse(url):
        addresses.append(f"{callback_of(url)}?code=c")
        threading.Thread(
            target=lambda: pages.append(httpx2.get(addresses[0], timeout=10)), daemon=True
        ).start()

    def paste(_):
        while not addresses:
            time.sleep(0.01)
        time.sleep(0.3)
        return addresses[0]

    key = login(mode="loopback", open_browser=browse, prompt=paste, base_url=slow.url, timeout=10)

    assert key.secret.get_secret_value() == KEY
    time.sleep(0.5)
    assert sum(seen.path.endswith("/auth/keys") for seen in slow.seen) == 1


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_timeout_in_the_middle_of_an_exchange_loses_no_key(slow, how):
    """The key that the exchange brings is permanent: nobody else would hold it."""

    def browse(url):
        get = lambda: httpx2.get(f"{callback_of(url)}?code=c", timeout=10)  # noqa: E731 - short
        threading.Thread(target=get, daemon=True).start()

    options = {
        "mode": "loopback", "open_browser": browse, "prompt": lambda _: time.sleep(5) or "",
        "base_url": slow.url, "timeout": 0.5,
    }  # fmt: skip
    key = login(**options) if how == "sync" else asyncio.run(alogin(**options))

    assert key.secret.get_secret_value() == KEY


def test_a_server_without_a_thread_can_be_closed(monkeypatch):
    """Where the system allows no further thread, the sign-in ends with an error, at once."""
    monkeypatch.setattr(
        threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("can't start"))
    )
    with pytest.raises(errors.SignInListenerError, match="can't start"):
        login(mode="loopback", open_browser=False, prompt=lambda _: "", timeout=5)

    from concurrent.futures import Future

    server = LoopbackServer(Future())
    with pytest.raises(RuntimeError):
        server.start("/callback", lambda _: None)
    server.close()


class Broken(InMemoryByteStore):
    """A store that is down."""

    def mset(self, pairs):
        """Fail."""
        raise ConnectionError

    async def amset(self, pairs):
        """Fail."""
        raise ConnectionError


class Plain(InMemoryByteStore):
    """A store that encrypts by itself, as a keyring does."""

    encrypts_at_rest = True


class PlainBroken(Plain, Broken):
    """One that is locked."""


def swapped():
    """Return a plain store in which Bob's entry is Ann's."""
    store = Plain()
    keys = KeyStore(store)
    keys.set("ann", UserKey(KEY))
    ann = next(iter(store.yield_keys()))
    keys.set("bob", UserKey("sk-or-v1-of-bob"))
    bob = next(name for name in store.yield_keys() if name != ann)
    store.mset([(bob, store.mget([ann])[0])])
    return keys


CALLS = {
    "set": lambda: KeyStore(PlainBroken()).set("ann", UserKey(KEY)),
    "set text": lambda: KeyStore(Broken(), SECRET).set("ann", KEY),
    "aset": lambda: asyncio.run(KeyStore(PlainBroken()).aset("ann", UserKey(KEY))),
    "aset text": lambda: asyncio.run(KeyStore(Broken(), SECRET).aset("ann", KEY)),
    "get another's": lambda: swapped().get("bob"),
    "aget another's": lambda: asyncio.run(swapped().aget("bob")),
    "odd user id": lambda: KeyStore(None).set("ann", UserKey(KEY, uuid.uuid4())),
    "no user id": lambda: ChatOpenRouter(model="a/b").for_user(KEY, user=True),
    "seal": lambda: PKCELogin(
        "sentinel-" + "v" * 50, "n", workspace_id=uuid.uuid4()
    ).seal(SECRET),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_no_frame_of_a_store_or_a_sign_in_holds_a_key(name):
    """Whatever fails, and however the key was passed."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of several kinds
        CALLS[name]()

    shown, error = [], caught.value
    while error is not None:
        shown.append(str(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "langchain_openrouter" in frame.f_code.co_filename:
                shown += [f"{key}={value!r}" for key, value in frame.f_locals.items()]
        error = error.__cause__ or error.__context__
    assert shown
    assert "sentinel" not in "".join(shown)
