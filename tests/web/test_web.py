"""The sign-in of a web app over real HTTP: cookies, callbacks, sign-out, and what is tried on them."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

import httpx2
import pytest
from fastapi import Depends, FastAPI
from langchain_core.stores import InMemoryByteStore
from starlette.applications import Starlette
from starlette.routing import Mount

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.testing import Fault, Reply
from langchain_openrouter.web import SignIn
from langchain_openrouter.web.example.app import create_app
from langchain_openrouter.web.sign_in import safe_redirect_path
from tests.support.webapp import SECRET, Visit, in_thread


def cookies_of(answer):
    """Return the attributes of each cookie that an answer sets."""
    return {c.partition("=")[0]: c.lower() for c in answer.headers.get_list("set-cookie")}


def test_a_visitor_signs_in_chats_and_signs_out(site):
    """On the visitor's own key; afterwards nothing goes on."""
    ann = site()
    assert ann.me() == {"signed_in": False}
    assert ann.chat("x").status_code == 401
    landed = ann.sign_in(next_="/somewhere?x=1")
    assert (landed.status_code, landed.headers["location"]) == (303, "/somewhere?x=1")
    me = ann.me()
    assert (me["signed_in"], me["user_id"], me["remaining"]) == (True, "user_ann", None)
    said = ann.chat("Hello").text
    assert "event: done" in said
    assert site.emulator.accounts.keys[site.emulator.chats[0].key].user_id == "user_ann"
    assert site.emulator.chats[0].body["user"] == "user_ann"
    gone = ann.sign_out()
    assert gone.status_code == 200
    assert "/keys/" in gone.text
    assert ann.me() == {"signed_in": False}
    assert ann.chat("x").status_code == 401
    assert ann.get("/api/models").status_code == 401


def test_cookies_are_the_visitors_alone(site):
    """HttpOnly, Lax, short for what is pending; an opaque id for the session; the key nowhere."""
    ann = site()
    begun = ann.get("/auth/sign-in")
    pending = next(iter(cookies_of(begun).values()))
    landed = ann.client.get(ann.decide(begun.headers["location"]))
    session = cookies_of(landed)["openrouter-session"]

    for cookie in (pending, session):
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "path=/" in cookie
    assert "max-age=600" in pending
    key = next(iter(site.emulator.accounts.keys))
    everything = pending + session + landed.text + json.dumps(ann.me())
    assert key not in everything
    assert key.encode() not in b"".join(
        v for v in site.store.mget(list(site.store.yield_keys())) if v
    )
    assert len(ann.client.cookies) == 1  # what was pending is gone


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_on_https_cookies_are_secure_and_of_this_host(emulate, scheme):
    """By the address that browsers see, whatever a proxy in front of the app speaks to it."""
    sign_in = SignIn(secret=SECRET, base_url=emulate().url, public_url="https://app.example.org")
    app = Starlette(routes=[Mount("/auth", sign_in.router)])
    import asyncio

    async def ask():
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(
            transport=transport, base_url=f"{scheme}://app.example.org"
        ) as client:
            return await client.get("/auth/sign-in")

    answer = asyncio.run(ask())
    cookie = next(iter(answer.headers.get_list("set-cookie")))
    assert cookie.startswith("__Host-openrouter-pending-")
    assert "Secure" in cookie
    assert (
        "callback_url=https%3A%2F%2Fapp.example.org%2Fauth%2Fcallback%2F"
        in answer.headers["location"]
    )


def test_a_stolen_callback_works_in_no_other_browser(site):
    """The thief gets a page that says why; the visitor's own sign-in still works."""
    ann, thief = site(), site()
    target = ann.decide(ann.to_consent())
    stolen = thief.client.get(target)

    assert stolen.status_code == 400
    assert "not yours" in stolen.text
    assert thief.me() == {"signed_in": False}
    assert ann.client.get(target).status_code == 303
    assert ann.me()["user_id"] == "user_ann"


def test_nobody_can_be_signed_in_as_somebody_else(site):
    """An attacker's code in the victim's callback is refused: the nonce and the verifier are not his."""
    victim, attacker = site(), site()
    victim.to_consent()
    theirs = attacker.decide(attacker.to_consent(), user="user_mallory")
    code = theirs.partition("code=")[2].partition("&")[0]
    name = next(n for n in dict(victim.client.cookies) if "pending" in n)
    mine = f"{site.url}/auth/callback/{name.rpartition('pending-')[2]}?code={code}"

    assert victim.client.get(theirs).status_code == 400
    assert victim.client.get(mine).status_code == 400
    assert victim.me() == {"signed_in": False}


def test_two_tabs_do_not_disturb_each_other(site):
    """Each has its own cookie; whichever comes back works."""
    ann = site()
    one, two = ann.to_consent(), ann.to_consent()

    assert ann.client.get(ann.decide(one)).status_code == 303
    assert ann.client.get(ann.decide(two)).status_code == 303
    assert ann.me()["signed_in"]


def test_a_reload_and_a_double_click_end_signed_in(site):
    """One exchange; a reload is sent on; two clicks at once both arrive."""
    ann = site()
    target = ann.decide(ann.to_consent())
    cookies = dict(ann.client.cookies)
    first = threading.Barrier(2)

    def click(_):
        with httpx2.Client(cookies=cookies, trust_env=False, timeout=20) as tab:
            first.wait(5)
            return tab.get(target).status_code

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(click, range(2))) == [303, 303]
    assert ann.client.get(target).status_code == 303
    assert ann.client.get(target).status_code == 303
    assert ann.me()["signed_in"]
    assert len(site.emulator.accounts.keys) == 1


def test_denial_expiry_and_a_provider_that_is_down(site, monkeypatch):
    """A clear page for each, with a way to try again; what was pending is gone."""
    import time

    ann = site()
    denied = ann.client.get(ann.decide(ann.to_consent(), decision="deny"))
    assert (denied.status_code, "You said no" in denied.text) == (200, True)
    assert "/auth/sign-in" in denied.text
    assert not [name for name in dict(ann.client.cookies) if "pending" in name]
    target = ann.decide(ann.to_consent())
    now = time.time()
    pending = "; ".join(f"{name}={value}" for name, value in dict(ann.client.cookies).items())
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: now + 601)
        old = httpx2.get(target, headers={"cookie": pending}, trust_env=False)
    assert (old.status_code, "too long" in old.text) == (400, True)
    target = ann.decide(ann.to_consent())
    site.emulator.stop()
    down = ann.client.get(target)
    assert (down.status_code, "failed" in down.text) == (502, True)
    assert "code=" not in down.text


def test_a_sign_in_that_did_not_reach_openrouter_works_on_reload(emulate):
    """The code is still good, and so is what the browser holds."""
    emulator = emulate()
    with in_thread(create_app(secret=SECRET, base_url=emulator.url)) as url:
        ann = Visit(url)
        target = ann.decide(ann.to_consent())
        emulator.stop()
        assert ann.client.get(target).status_code == 502
        emulate(port=emulator.port).accounts = emulator.accounts
        assert ann.client.get(target).status_code == 303
        assert ann.me()["signed_in"]
        ann.close()


def test_a_store_that_fails_and_a_session_that_cannot_be_read(emulate):
    """A page that says what became of the key; a visitor whose session is unreadable is a stranger."""
    emulator, events = emulate(), []

    class Full(InMemoryByteStore):
        full = ""

        async def amset(self, pairs):
            if self.full and pairs[0][0].startswith(self.full):
                raise OSError(28, "no space left on device")
            await super().amset(pairs)

    store = Full()
    sign_in = SignIn(secret=SECRET, base_url=emulator.url, store=store, on_event=events.append)
    with in_thread(Starlette(routes=[Mount("/auth", sign_in.router)])) as url:
        ann = Visit(url)
        store.full = "openrouter-session-"
        lost = ann.sign_in()
        assert (lost.status_code, "could not keep" in lost.text) == (503, True)
        assert f"{emulator.site}/keys/" in lost.text
        store.full = "openrouter-"
        target = ann.decide(ann.to_consent())
        none = ann.client.get(target)
        assert (none.status_code, "has made none" in none.text) == (503, True)
        assert len(emulator.accounts.keys) == 1
        store.full = ""
        assert ann.client.get(target).status_code == 303
        assert ann.me()["signed_in"]
        session = next(n for n in store.yield_keys() if n.startswith("openrouter-session-"))
        store.mset([(session, b"garbage")])
        assert ann.me() == {"signed_in": False}
        assert ann.sign_out("x").status_code == 403
        ann.close()
    kinds = [event.kind for event in events]
    assert kinds[:4] == ["store_failed", "store_failed", "signed_in", "session_unreadable"]
    assert type(events[0].error).__name__ == "KeyStoreError"


def test_events_tell_what_happened(emulate):
    """Typed, sync or async, with no secret."""
    emulator = emulate()
    told = []

    async def hear(event):
        told.append(event)

    sign_in = SignIn(secret=SECRET, base_url=emulator.url, on_event=hear)
    with in_thread(Starlette(routes=[Mount("/auth", sign_in.router)])) as url:
        ann = Visit(url)
        ann.sign_in()
        ann.sign_out()
        ann.client.get(ann.decide(ann.to_consent(), decision="deny"))
        ann.get("/auth/callback/unknown?code=x")
        ann.close()

    assert [event.kind for event in told] == ["signed_in", "signed_out", "denied", "wrong_browser"]
    assert told[0].user_id == "user_ann"
    assert "sk-or" not in repr(told)


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "evil", "/a\nb", "/a b", "", None,
     "/%0d%0aSet-Cookie", "http:evil", "\\\\evil", "/;x", "/é"],
)  # fmt: skip
def test_a_redirect_stays_on_the_site(target):
    """Anything that could lead elsewhere leads home."""
    assert safe_redirect_path(target, "/home") in {
        "/home",
        target if target == "/%0d%0aSet-Cookie" else "/home",
    }


def test_a_session_is_new_at_each_sign_in(site):
    """A cookie that an attacker planted is worth nothing afterwards."""
    ann = site()
    ann.client.cookies.set("openrouter-session", "planted.9999999999")
    assert ann.me() == {"signed_in": False}
    ann.sign_in()
    first = (
        ann.client.cookies.get("openrouter-session", domain="localhost.local")
        or dict(ann.client.cookies)["openrouter-session"]
    )
    ann.sign_in()
    old = Visit(site.url)
    old.client.cookies.set("openrouter-session", first)

    assert first != "planted.9999999999"
    assert old.me() == {"signed_in": False}
    old.close()


def test_a_session_cannot_be_prolonged_or_guessed(site):
    """Its end is part of what the key is kept under."""
    ann = site()
    ann.sign_in()
    session = dict(ann.client.cookies)["openrouter-session"]
    for forged in (
        session.rpartition(".")[0] + ".9999999999",
        session + "0",
        session[1:],
        ".",
        "x",
        "9" * 50,
    ):
        other = Visit(site.url)
        other.client.cookies.set("openrouter-session", forged)
        assert other.me() == {"signed_in": False}
        other.close()


@pytest.mark.parametrize("how", ["no token", "wrong token", "another's token", "cross-site", "GET"])
def test_nobody_else_can_sign_a_visitor_out(site, how):
    """Only a page of this site, with this session's token."""
    ann, other = site(), site()
    ann.sign_in()
    other.sign_in("user_bob")
    token = ann.me()["csrf_token"]
    answer = {
        "no token": lambda: ann.sign_out(""),
        "wrong token": lambda: ann.sign_out("0" * 64),
        "another's token": lambda: ann.sign_out(other.me()["csrf_token"]),
        "cross-site": lambda: ann.sign_out(token, **{"Sec-Fetch-Site": "cross-site"}),
        "GET": lambda: ann.get("/auth/sign-out"),
    }[how]()

    assert answer.status_code in {403, 405}
    assert ann.me()["signed_in"]
    assert ann.sign_out(token).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/chat.js", "/chat.css", "/auth/me", "/auth/callback/x?code=y", "/auth/sign-in"]
)
def test_security_headers(site, path):
    """No sniffing, no framing, no referrer, no store; a policy without inline and elsewhere."""
    answer = site().get(path)

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    if answer.headers.get("content-type", "").startswith("text/html"):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy


def test_a_malformed_chat_is_refused(site):
    """422, and nothing goes upstream."""
    ann = site()
    ann.sign_in()
    for body in ({}, {"messages": []}, {"messages": "x"}, {"messages": [{"role": "system", "content": "x"}]},
                 {"messages": [{"role": "user", "content": 5}]}, [], {"messages": [5]}):  # fmt: skip
        assert ann.client.post(urljoin(site.url, "/api/chat"), json=body).status_code == 422
    assert not site.emulator.chats


def test_a_failure_upstream_is_an_event(site):
    """With a sentence, after what came."""
    ann = site()
    ann.sign_in()
    site.emulator.script([Reply("some words here", fault=Fault("cut", after=3))])
    said = ann.chat("x").text

    assert "event: text" in said
    assert "event: error" in said
    assert "cut short" in said


def test_a_visitor_who_leaves_stops_the_request_upstream(site):
    """A tab that is closed costs nothing more."""
    ann = site()
    ann.sign_in()
    site.emulator.script([Reply("a " * 500, pause=0.02)])
    body = {"messages": [{"role": "user", "content": "x"}]}
    with ann.client.stream("POST", urljoin(site.url, "/api/chat"), json=body) as answer:
        next(answer.iter_raw())
    ann.close()

    assert site.emulator.chats[0].gone.wait(10)


def test_a_fastapi_route_depends_on_the_users_model(emulate):
    """`Depends(user_model)`: the visitor's model, or a 401."""
    emulator = emulate(any_key=False)
    sign_in = SignIn(secret=SECRET, base_url=emulator.url)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url, api_key="operators")
    user_model = sign_in.user_model(model)
    app = FastAPI()
    app.mount("/auth", sign_in.router)

    @app.get("/hello")
    async def hello(model: ChatOpenRouter = Depends(user_model)):  # noqa: B008, FAST002 - as FastAPI's users write it
        return {"said": (await model.ainvoke("Hello")).text}

    with in_thread(app) as url:
        ann = Visit(url)
        assert ann.get("/hello").status_code == 401
        ann.sign_in()
        assert ann.get("/hello").json()["said"].startswith("Hello!")
        ann.close()
    assert emulator.accounts.keys[emulator.chats[0].key].user_id == "user_ann"


def test_a_secret_is_replaced_without_signing_anybody_out(emulate):
    """The newest first, the retired after it."""
    emulator, store = emulate(any_key=False), InMemoryByteStore()
    with in_thread(create_app(secret=SECRET, store=store, base_url=emulator.url)) as url:
        ann = Visit(url)
        ann.sign_in()
        session = dict(ann.client.cookies)["openrouter-session"]
        ann.close()
    with in_thread(
        create_app(
            secret=["another secret, sixteen bytes", SECRET], store=store, base_url=emulator.url
        )
    ) as url:
        again = Visit(url)
        again.client.cookies.set("openrouter-session", session)
        assert again.me()["user_id"] == "user_ann"
        assert again.sign_out().status_code == 200
        again.close()


@pytest.mark.parametrize("properties", [{"limit": "5"}, {"limit": -1}, {"key_label": "x" * 101}])
def test_properties_of_the_key_are_checked_at_start_up(properties):
    """Not when the first visitor comes."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is that of `PKCELogin`
        SignIn(secret=SECRET, **properties)


def test_the_example_says_at_once_that_its_port_is_taken():
    """Before it serves anything: the port, why, and what to do."""
    import socket
    import subprocess
    import sys

    def take(host, family):
        """Listen on a port of one address that is free on 127.0.0.1, where other tests run."""
        while True:
            taken = socket.create_server((host, 0), family=family)
            if family == socket.AF_INET:
                return taken
            try:
                socket.create_server(("127.0.0.1", taken.getsockname()[1])).close()
            except OSError:
                taken.close()
            else:
                return taken

    for host, family, reason in [
        ("127.0.0.1", socket.AF_INET, "in use"),
        ("::1", socket.AF_INET6, "[::1]"),
    ]:
        try:
            taken = take(host, family)
        except OSError:
            continue  # no IPv6 here
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "langchain_openrouter.web", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        taken.close()

        assert done.returncode == 2
        assert f"cannot listen on port {port}" in done.stderr
        assert reason in done.stderr
        assert "--port" in done.stderr
        assert "Traceback" not in done.stderr
        assert "http://" not in done.stdout
