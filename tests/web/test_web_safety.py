"""What is tried on a web app's sign-in over real HTTP: other people's sessions, floods, odd hosts."""

from __future__ import annotations

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import pytest
from langchain_core.stores import InMemoryByteStore
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from langchain_openrouter import PKCELogin, UserKey, errors
from langchain_openrouter.key_store import FileStore, KeyStore
from langchain_openrouter.web import SignIn
from langchain_openrouter.web.example.app import create_app
from langchain_openrouter.web.sign_in import Visitor, safe_redirect_path
from tests.support.loopback import Reply
from tests.support.webapp import SECRET, Visit, in_thread


def exchanges(emulator):
    """Return how many codes were spent or tried."""
    return len([request for request in emulator.asked if request.path == "/auth/keys"])


def key_lookups(emulator):
    """Return how often a key's limit was asked for."""
    return len([request for request in emulator.asked if request.path == "/key"])


def pending_of(visit):
    """Return the name and value of the one pending cookie."""
    ((name, value),) = [(n, v) for n, v in dict(visit.client.cookies).items() if "pending" in n]
    return name, value


def stranger(url, cookie, path="/auth/me", **options):
    """Ask with a raw cookie header."""
    return httpx2.get(urljoin(url, path), headers={"cookie": cookie}, trust_env=False, **options)


def slow_exchange(emulator, seconds):
    """Make the service take its time."""
    redeem = emulator.accounts.redeem

    def slow(body):
        time.sleep(seconds)
        return redeem(body)

    emulator.accounts.redeem = slow


# --- someone else's account -------------------------------------------------------------------


@pytest.mark.parametrize("state", ["own", "victim's", "none"])
@pytest.mark.parametrize("renamed", [True, False])
def test_a_callbacks_nonce_is_no_session(site, state, renamed):
    """Who read a victim's callback in a log, and has a sign-in of their own, stays a stranger."""
    victim, attacker = site(), site()
    target = victim.decide(victim.to_consent(), user="user_victim")
    victims_nonce = urlsplit(target).path.rpartition("/")[2]
    assert victim.client.get(target).status_code == 303

    own = parse_qs(urlsplit(attacker.to_consent()).query)["state"][0]
    name, value = pending_of(attacker)
    cookie = f"{name.replace(own, victims_nonce) if renamed else name}={value}"
    query = {"own": f"state={own}&", "victim's": f"state={victims_nonce}&", "none": ""}[state]
    answer = stranger(
        site.url, cookie, f"/auth/callback/{victims_nonce}?{query}code=garbage", timeout=20
    )

    assert answer.status_code == 400
    assert "openrouter-session" not in str(answer.headers.get_list("set-cookie"))
    assert exchanges(site.emulator) == 1  # the victim's
    assert victim.me()["user_id"] == "user_victim"


def test_a_second_click_needs_the_cookie_of_the_first(site):
    """What it finds is kept under what only that browser has, encrypted and bound to it."""
    victim, attacker = site(), site()
    target = victim.decide(victim.to_consent())
    cookie = "=".join(pending_of(victim))
    victim.client.get(target)

    assert stranger(site.url, cookie, target).status_code == 303
    consent = attacker.to_consent()
    mine = attacker.decide(consent, user="user_mallory")
    name, value = pending_of(attacker)
    attacker.client.get(mine)
    records = [n for n in site.store.yield_keys() if n.startswith("openrouter-redemption-")]
    values = site.store.mget(records)
    site.store.mset(list(zip(records, reversed(values), strict=True)))  # swapped on the store
    answer = stranger(site.url, f"{name}={value}", mine)

    assert len(records) == 2
    assert answer.status_code == 400
    assert "openrouter-session=" not in str(answer.headers.get_list("set-cookie"))


def test_a_user_id_in_the_key_store_is_no_session(emulate):
    """An app keeps its users' keys beside the sessions: no id of theirs signs anybody in."""
    emulator, store = emulate(any_key=False), InMemoryByteStore()
    ids = ["118021990481122334455", "a" * 43 + ".9999999999", "x.99999999999", "ann@example.org"]
    for user_id in ids:
        KeyStore(store, SECRET).set(user_id, UserKey("sk-or-victim", user_id, emulator.url))

    with in_thread(create_app(secret=SECRET, store=store, base_url=emulator.url)) as url:
        for user_id in ids:
            assert stranger(url, f"openrouter-session={user_id}").json() == {"signed_in": False}


def test_sessions_and_users_keys_cannot_be_read_as_each_other(site):
    """Not even by whoever can write to the store, and knows the ids."""
    ann = site()
    ann.sign_in()
    session = dict(ann.client.cookies)["openrouter-session"]
    keys = KeyStore(site.store, SECRET)
    keys.set(session, UserKey("sk-or-other", "user_other", site.emulator.url))
    (of_session,) = [n for n in site.store.yield_keys() if n.startswith("openrouter-session-")]
    (of_user,) = [n for n in site.store.yield_keys() if n.startswith("openrouter-key-")]
    assert ann.me()["user_id"] == "user_ann"

    values = site.store.mget([of_session, of_user])
    site.store.mset([(of_session, values[1]), (of_user, values[0])])
    assert ann.me() == {"signed_in": False}
    with pytest.raises(errors.KeyStoreError):
        keys.get(session)


MALFORMED = [
    *("", ".", "x", "%00", "\x7f", "9" * 50, "a" * 20_000, "\\303\\251", '"\\000"'),
    *("a" * 43 + end for end in (".", ".1", "." + "9" * 13, "." + "9" * 5000, ".9999999999 x")),
    *("a" * 43 + ".١٢٣٤٥٦٧٨٩٠", "é" * 43 + ".9999999999", "a" * 42 + ".9999999999"),
]


@pytest.mark.parametrize("value", MALFORMED)
def test_a_malformed_session_cookie_is_a_strangers(site, value):
    """On each route, and never an error of the server."""
    cookie = b"openrouter-session=" + value.encode()
    nonce = b"/auth/callback/" + b"a" * 22 + b"?code=x"

    for path, body in ((b"/auth/me", b'{"signed_in":false}'), (b"/api/models", b"sign in"),
                       (nonce, b"not yours"), (b"/auth/sign-out", b"signed out")):  # fmt: skip
        verb = b"POST " if b"sign-out" in path else b"GET "
        head = b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncookie: "
        with closing(socket.create_connection(("localhost", urlsplit(site.url).port))) as raw:
            raw.sendall(verb + path + head + cookie + b"\r\n\r\n")
            answer = b"".join(iter(lambda raw=raw: raw.recv(65536), b""))
        status = int(answer.split(b" ")[1])
        assert status in {200, 400, 401}, answer[:300]
        assert body in answer or answer.startswith(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: text"
        )


@pytest.mark.parametrize("nonce", ["é" * 22, "a;b", "%00", "a" * 5000, "%C3%A9", "a%22b", "x" * 22])
def test_a_malformed_nonce_is_nobodys(site, nonce):
    """Whatever cookie goes along."""
    answer = stranger(
        site.url, f"openrouter-pending-{nonce}=x".encode(), f"/auth/callback/{nonce}?code=x"
    )

    assert answer.status_code == 400


def test_a_forged_sign_in_never_leaves_for_another_host(site, emulate):
    """Who knows the secret cannot have the app believe a service of their own."""
    evil = emulate(any_key=True)
    for options in (
        {"base_url": evil.url},
        {"base_url": site.emulator.url, "callback_url": "http://localhost:1/auth/callback"},
    ):
        login = PKCELogin.start(**{"callback_url": f"{site.url}/auth/callback", **options})
        cookie = f"openrouter-pending-{login.nonce}={login.seal(SECRET)}|Lw=="
        path = f"/auth/callback/{login.nonce}?state={login.nonce}&code=x"
        answer = stranger(site.url, cookie, path)

        assert answer.status_code == 400
        assert "cannot be used" in answer.text
    assert not evil.asked
    assert not exchanges(site.emulator)


def test_a_seal_of_another_nonce_is_refused(site):
    """The cookie's name says which sign-in it is of; what is sealed in it must agree."""
    login = PKCELogin.start(f"{site.url}/auth/callback", base_url=site.emulator.url)
    other = "b" * 22
    cookie = f"openrouter-pending-{other}={login.seal(SECRET)}|Lw=="

    for state in ("", f"state={login.nonce}&", f"state={other}&"):
        answer = stranger(site.url, cookie, f"/auth/callback/{other}?{state}code=x")
        assert answer.status_code == 400
    assert not exchanges(site.emulator)


def test_a_visitors_repr_shows_no_token():
    """Nor the key."""
    visitor = Visitor(UserKey("sk-or-v1-sentinel", "u"), "sentinel-token")

    assert "sentinel" not in repr(visitor) + str(visitor) + f"{visitor!r}"


# --- floods -----------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
def test_many_bad_codes_make_one_exchange(site, at_once):
    """One pending sign-in is good for one attempt, whoever repeats it, and in whatever spelling."""
    ann = site()
    consent = ann.to_consent()
    state = parse_qs(urlsplit(consent).query)["state"][0]
    name, value = pending_of(ann)
    sealed = value.partition("|")[0]
    slow_exchange(site.emulator, 0.5)
    # base64 has several spellings of the same bytes
    spellings = [sealed, sealed[:8] + "!" + sealed[8:], sealed + "=", "." + sealed]

    def attempt(n):
        cookie = f"{name}={spellings[n % 4]}|Lw=="
        path = f"/auth/callback/{state}?state={state}&code=bad-{n}"
        return stranger(site.url, cookie, path, timeout=60).status_code

    with ThreadPoolExecutor(20 if at_once else 1) as pool:
        statuses = list(pool.map(attempt, range(40)))

    assert exchanges(site.emulator) == 1
    assert set(statuses) <= {400, 502}


@pytest.mark.parametrize("make", [InMemoryByteStore, FileStore])
def test_a_second_click_waits_for_a_slow_exchange(emulate, tmp_path, make):
    """However long the first one takes, and on any store: all tabs end signed in."""
    emulator = emulate(any_key=False)
    slow_exchange(emulator, 3)
    store = make(tmp_path / "store") if make is FileStore else make()
    with in_thread(create_app(secret=SECRET, store=store, base_url=emulator.url)) as url:
        ann = Visit(url)
        target = ann.decide(ann.to_consent("/there"))
        cookie = "=".join(pending_of(ann))
        with ThreadPoolExecutor(5) as pool:
            answers = list(pool.map(lambda _: stranger(url, cookie, target, timeout=30), range(5)))
        ann.close()

    assert [answer.status_code for answer in answers] == [303] * 5
    assert {answer.headers["location"] for answer in answers} == {"/there"}
    sessions = {re.search(r"openrouter-session=([^;]+)", str(a.headers))[1] for a in answers}
    assert len(sessions) == 1
    assert exchanges(emulator) == 1


def test_a_second_click_after_signing_out_finds_nothing(site):
    """The session is over, and stays so."""
    ann = site()
    target = ann.decide(ann.to_consent())
    cookie = "=".join(pending_of(ann))
    ann.client.get(target)
    ann.sign_out()
    answer = stranger(site.url, cookie, target)

    assert answer.status_code == 400
    assert "openrouter-session=" not in str(answer.headers.get_list("set-cookie"))
    assert exchanges(site.emulator) == 1


def test_a_service_that_is_down_is_tried_three_times_at_most(emulate):
    """A reload tries again, as the code may still be good; not for ever."""
    emulator = emulate(any_key=False)
    with in_thread(create_app(secret=SECRET, base_url=emulator.url)) as url:
        ann = Visit(url)
        target = ann.decide(ann.to_consent())

        def broken(_):
            raise RuntimeError

        redeem, emulator.accounts.redeem = emulator.accounts.redeem, broken
        statuses = [ann.client.get(target).status_code for _ in range(5)]
        emulator.accounts.redeem = redeem
        ann.close()

    assert statuses[:3] == [502, 502, 502]
    assert statuses[3] == 400
    assert exchanges(emulator) == 3


def test_a_head_of_the_callback_consumes_nothing(site):
    """A link preview, or a scanner: the visitor's own GET still works."""
    ann = site()
    target = ann.decide(ann.to_consent())
    for path in (target, "/auth/sign-in"):
        looked = ann.client.head(urljoin(site.url, path))
        assert looked.status_code == 200
        assert not looked.headers.get_list("set-cookie")

    assert not exchanges(site.emulator)
    assert ann.client.get(target).status_code == 303
    assert ann.me()["signed_in"]


def test_a_browser_holds_three_pending_sign_ins_at_most(site):
    """The oldest go, so that its requests stay small; the newest still work."""
    ann = site()
    consents = []
    for n in range(12):
        consents.append(ann.to_consent(f"/{n}"))
        time.sleep(0.1)
        assert len([name for name in dict(ann.client.cookies) if "pending" in name]) <= 3
    consents.append(ann.to_consent("/12"))
    answers = [ann.client.get(ann.decide(c)) for c in (consents[0], consents[-2], consents[-1])]

    assert answers[0].status_code == 400
    assert [answer.headers["location"] for answer in answers[1:]] == ["/11", "/12"]
    assert len(site.emulator.accounts.keys) == 2


def test_pending_cookies_that_were_planted_go_too(site):
    """Those with no time in them first; a name that cannot be deleted breaks nothing."""
    names = [f"openrouter-pending-{n}" for n in ("x", "y" * 200, "z", "é", "a,b")]
    cookie = "; ".join(f"{name}=x" for name in names).encode()
    answer = stranger(site.url, cookie, "/auth/sign-in")
    gone = [c.partition("=")[0] for c in answer.headers.get_list("set-cookie") if "Max-Age=0" in c]

    assert answer.status_code == 303
    assert gone == names[:3]


@pytest.mark.parametrize("char", ["a", ",", '"', "%"])
def test_a_long_next_leads_home(site, char):
    """What is pending fits into a cookie, whatever is in it."""
    ann = site()
    longest = "/" + char * 1023
    assert safe_redirect_path(longest, "/home") == longest
    assert safe_redirect_path(longest + char, "/home") == "/home"

    begun = ann.client.get(urljoin(site.url, "/auth/sign-in"), params={"next": longest})
    (cookie,) = begun.headers.get_list("set-cookie")
    assert len(cookie) < 4096
    landed = ann.client.get(ann.decide(begun.headers["location"]))
    assert landed.headers["location"].replace("%22", '"') == longest
    begun = ann.client.get(urljoin(site.url, "/auth/sign-in"), params={"next": "/" + char * 60_00})
    assert ann.client.get(ann.decide(begun.headers["location"])).headers["location"] == "/"


def test_records_of_sign_ins_do_not_pile_up(emulate, monkeypatch):
    """On a store that forgets nothing by itself, too."""
    emulator, store = emulate(any_key=False), InMemoryByteStore()
    with in_thread(create_app(secret=SECRET, store=store, base_url=emulator.url)) as url:
        ann = Visit(url)
        for n in range(3):
            ann.sign_in(f"user_{n}")
        now = time.time()
        with monkeypatch.context() as later:
            later.setattr(time, "time", lambda: now + 700)
            ann.sign_in("user_later")
        ann.close()

    assert len([n for n in store.yield_keys() if n.startswith("openrouter-redemption-")]) == 1


def test_me_asks_openrouter_once_in_a_few_seconds(site):
    """Each visitor for themselves; at once again when the visitor's model was used."""
    ann, bob = site(), site()
    ann.sign_in()
    bob.sign_in("user_bob")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: ann.me(), range(10)))
    assert key_lookups(site.emulator) == 1
    assert all(answer == answers[0] and "remaining" in answer for answer in answers)
    bob.me()
    assert key_lookups(site.emulator) == 2

    ann.chat("Hello")
    ann.me()
    assert key_lookups(site.emulator) == 3
    time.sleep(3.2)
    ann.me()
    assert key_lookups(site.emulator) == 4


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"csrf_token=" + b"x" * 10_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a%d=1" % n for n in range(50)), "application/x-www-form-urlencoded", 400),
        (b"csrf_token=x", "text/plain", 415),
        (b"--b\r\n\r\n--b--", "multipart/form-data; boundary=b", 415),
        (b"\xff\xfe=\xff", "application/x-www-form-urlencoded", 403),
        (b"", "application/x-www-form-urlencoded; charset=\xe9".encode("latin-1"), 403),
    ],
)
def test_a_sign_out_reads_a_small_form_alone(site, content, content_type, status):
    """Anything else is refused, and nobody is signed out."""
    ann = site()
    ann.sign_in()
    url = urljoin(site.url, "/auth/sign-out")
    headers = {"content-type": content_type}

    assert ann.client.post(url, content=content, headers=headers).status_code == status
    chunks = iter([content])  # sent without a length
    assert ann.client.post(url, content=chunks, headers=headers).status_code == status
    assert ann.me()["signed_in"]


def test_a_sign_out_with_the_header_reads_no_body(site):
    """It is answered while the body is still on its way, and so is one from another site."""
    ann = site()
    ann.sign_in()
    session = dict(ann.client.cookies)["openrouter-session"]
    token = ann.me()["csrf_token"]

    for more, status in (
        ("sec-fetch-site: cross-site\r\n", b"403"),
        ("x-csrf-token: wrong\r\n", b"403"),
        (f"x-csrf-token: {token}\r\n", b"200"),
    ):
        with closing(socket.create_connection(("localhost", urlsplit(site.url).port))) as raw:
            raw.settimeout(5)
            raw.sendall(
                f"POST /auth/sign-out HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n"
                f"content-type: application/x-www-form-urlencoded\r\n{more}"
                f"cookie: openrouter-session={session}\r\n\r\n".encode()
            )
            assert raw.recv(4096).split(b" ")[1] == status
    assert ann.me() == {"signed_in": False}


def test_a_request_without_the_cookie_deletes_no_cookie(site):
    """A form of another site carries none, and must not sign anybody out by the answer."""
    answer = httpx2.post(urljoin(site.url, "/auth/sign-out"), trust_env=False)

    assert answer.status_code == 200
    assert not answer.headers.get_list("set-cookie")


# --- hosts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 303),
        ("LOCALHOST:8000", 303),
        ("127.0.0.1:8000", 303),
        ("127.0.0.1:8001", 400),
        ("a.localhost", 500),  # allowed; but OpenRouter takes no http address but these two
        ("alocalhost", 400),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("localhost@evil.example", 400),
        ("localhost/x?", 400),
        ("[::1", 400),
        ("", 400),
    ],
)
def test_a_host_that_is_not_allowed_is_refused(emulate, host, status):
    """Else it would say where OpenRouter sends the browser, and the code."""
    sign_in = SignIn(
        secret=SECRET,
        base_url=emulate().url,
        allowed_hosts=["localhost", "*.localhost", "127.0.0.1:8000"],
    )

    async def who(request):
        return JSONResponse({"signed_in": await sign_in.visitor(request) is not None})

    app = Starlette(routes=[Route("/who", who), Mount("/auth", sign_in.router)])
    with in_thread(app) as url:
        port = urlsplit(url).port

        def ask(verb, path):
            with closing(socket.create_connection(("localhost", port))) as raw:
                head = f"{verb} {path} HTTP/1.1\r\nconnection: close\r\nhost: {host}\r\n\r\n"
                raw.sendall(head.encode())
                return b"".join(iter(lambda: raw.recv(65536), b""))

        begun = ask("GET", "/auth/sign-in")
        assert int(begun.split(b" ")[1]) == status
        if status == 400:
            for verb, path in (("GET", "/auth/me"), ("POST", "/auth/sign-out"), ("GET", "/auth/callback/x?code=y")):  # fmt: skip
                assert ask(verb, path).startswith(b"HTTP/1.1 400")
            assert b"evil" not in begun
        assert ask("GET", "/who").split(b" ")[1] in {b"200", b"400"}


def test_behind_a_proxy_the_public_address_counts(emulate):
    """Whatever Host the proxy passes on; and a spelling of the scheme makes no cookie insecure."""
    sign_in = SignIn(
        secret=SECRET,
        base_url=emulate().url,
        public_url="HTTPS://App.example.org/",
        allowed_hosts=["other.example"],
    )
    with in_thread(Starlette(routes=[Mount("/auth", sign_in.router)])) as url:
        answer = httpx2.get(
            f"{url}/auth/sign-in", headers={"host": "evil.example"}, trust_env=False
        )

    assert answer.status_code == 303
    callback = parse_qs(urlsplit(answer.headers["location"]).query)["callback_url"][0]
    assert callback.startswith("https://app.example.org/auth/callback/")
    assert answer.headers["set-cookie"].startswith("__Host-openrouter-pending-")


@pytest.mark.parametrize(
    "options",
    [
        {"public_url": "app.example.org"},
        {"public_url": "ftp://app.example.org"},
        {"public_url": "https://app.example.org/?x=1"},
        {"allowed_hosts": ["https://app.example.org"]},
        {"allowed_hosts": []},
        {"allowed_hosts": ["*"]},
        {"session_age": 0},
        {"session_age": float("inf")},
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(options):
    """By name."""
    with pytest.raises(ValueError, match=next(iter(options))):
        SignIn(secret=SECRET, **options)


# --- the example ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (b'{"messages": [{"role": ["user"], "content": "x"}]}', "application/json", 422),
        (b'{"messages": [{"role": {}, "content": "x"}]}', "application/json", 422),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "text/plain", 415),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "", 415),
        (b'{"messages": "' + b"x" * 1_000_001 + b'"}', "application/json", 413),
        (
            b'{"messages": [{"role": "user", "content": "x"}]}',
            "Application/JSON; charset=utf-8",
            200,
        ),
    ],
)
def test_a_chat_takes_small_json_alone(site, content, content_type, status):
    """What is none is refused, and nothing goes upstream."""
    ann = site()
    ann.sign_in()
    answer = ann.client.post(
        urljoin(site.url, "/api/chat"), content=content, headers={"content-type": content_type}
    )

    assert answer.status_code == status
    assert len(site.emulator.chats) == (status == 200)


def test_a_strangers_body_is_not_read(site):
    """The answer comes before it."""
    with closing(socket.create_connection(("localhost", urlsplit(site.url).port))) as raw:
        raw.settimeout(5)
        raw.sendall(
            b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n"
            b"content-type: application/json\r\n\r\n"
        )
        assert raw.recv(4096).split(b" ")[1] == b"401"


@pytest.mark.off_spec("no chat request")
@pytest.mark.parametrize("cause", ["proxy", "nested"])
def test_whatever_goes_wrong_in_the_exchange_is_a_page(serve, monkeypatch, cause):
    """Never an error of the server, whose traceback knows the code."""
    server = serve(Reply('{"a":' * 100_000, content_type="application/json"))
    with in_thread(create_app(secret=SECRET, base_url=server.url)) as url:
        ann = Visit(url)
        state = parse_qs(urlsplit(ann.to_consent()).query)["state"][0]
        if cause == "proxy":
            monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:9")
            monkeypatch.setenv("NO_PROXY", "")
            monkeypatch.setenv("no_proxy", "")
        answer = ann.get(f"/auth/callback/{state}?state={state}&code=sentinel")
        ann.close()

    assert (answer.status_code, "sign-in failed" in answer.text) == (502, True)
    assert "sentinel" not in answer.text
