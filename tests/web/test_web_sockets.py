"""WebSocket routes and header Cookies: the visitor's model, and pages of other sites."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager, nullcontext

import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from langchain_core.stores import InMemoryByteStore
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route, WebSocketRoute
from uvicorn.config import WS_PROTOCOLS
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from langchain_openrouter import ChatOpenRouter, errors
from langchain_openrouter.oauth import UserKey
from langchain_openrouter.testing import Reply
from langchain_openrouter.web import SignIn, Visitor
from tests.support.webapp import SECRET, Visit, in_thread

SANSIO = "websockets-sansio" if "websockets-sansio" in WS_PROTOCOLS else "wsproto"


class Site:
    """An app with a WebSocket route, on an emulator."""

    def __init__(self, emulator, **options):
        self.emulator, self.events, self.store = emulator, [], InMemoryByteStore()
        self.sign_in = SignIn(secret=SECRET, base_url=emulator.url, store=self.store,
                              on_event=self.events.append, **options)  # fmt: skip
        model = ChatOpenRouter(
            model="openai/gpt-4o-mini", base_url=emulator.url, api_key="operators"
        )
        self.user_model = self.sign_in.user_model(model)

        async def chat(websocket):
            await self.user_model(websocket)
            await websocket.accept()
            try:
                while True:
                    question = await websocket.receive_text()
                    own = await self.user_model(websocket)
                    async for chunk in own.astream(question):
                        await websocket.send_text(chunk.text)
            except WebSocketDisconnect:
                pass

        self.app = Starlette(
            routes=[Mount("/auth", self.sign_in.router), WebSocketRoute("/chat", chat)]
        )

    async def begin(self):
        """Start a session of Ann's without a browser; return its id."""
        key = self.emulator.accounts.add_key(user_id="user_ann")
        user_key = UserKey(key.secret, "user_ann", self.emulator.url)
        return await self.sign_in._site.sessions.begin(user_key)


@pytest.fixture
def serve_site(emulate):
    """Serve sites; each with a browser, and its address."""

    @contextmanager
    def start(ws=SANSIO, **options):
        site = Site(emulate(any_key=False), **options)
        with in_thread(site.app, ws=ws) as url:
            visit = Visit(url)
            try:
                yield site, visit, url
            finally:
                visit.close()

    return start


def cookie_header(visit):
    """Return the header that this browser sends."""
    return "; ".join(f"{name}={value}" for name, value in dict(visit.client.cookies).items())


def dial(url, visit=None, origin=None):
    """Open a WebSocket, as a page of `origin` would."""
    headers = {"Cookie": cookie_header(visit)} if visit else {}
    if origin is not None:
        headers["Origin"] = origin
    port = int(url.rpartition(":")[2])
    address = f"ws://localhost:{port}/chat"
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    return connect(address, additional_headers=headers, sock=sock, close_timeout=2)


@pytest.mark.parametrize("ws", [SANSIO, "wsproto"])
def test_a_websocket_runs_on_the_visitors_key(serve_site, ws):
    """Message by message, until the visitor signs out in another tab."""
    with serve_site(ws) as (site, ann, url):
        site.emulator.script(lambda _: "Hello there")
        ann.sign_in()
        with dial(url, ann, url) as chat:
            chat.send("Hi")
            assert [chat.recv(10), chat.recv(10)] == ["Hello", " there"]
            request = site.emulator.chats[0]
            assert (
                site.emulator.accounts.keys[request.key].user_id
                == request.body["user"]
                == "user_ann"
            )
            ann.sign_out()
            chat.send("still there?")
            with pytest.raises(ConnectionClosed) as closed:
                list(chat)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "sign in first")
        assert len(site.emulator.chats) == 1


def test_a_stranger_gets_no_websocket(serve_site):
    """The handshake is refused, and nothing goes upstream."""
    with serve_site() as (site, _, url):
        with pytest.raises(InvalidStatus) as refused, dial(url, None, url):
            pass
        assert refused.value.response.status_code == 403
        assert not site.emulator.chats


ORIGINS = [
    # settings, Origin, whether it is a page of the app
    ({}, "{url}", True),
    ({}, None, True),  # no browser
    ({}, "https://{host}", True),  # a proxy that ends TLS and says nothing of it
    ({}, "http://localhost:1", False),  # cookies are the same for all ports
    ({}, "https://evil.example", False),
    ({}, "null", False),
    ({}, "{url}.evil.example", False),
    ({}, "", False),
    ({"allowed_hosts": ["localhost"]}, "http://localhost:1", True),
    ({"allowed_hosts": ["localhost"]}, "http://127.0.0.1:1", False),
    ({"allowed_hosts": ["localhost", "*.example.org"]}, "https://www.example.org", True),
    ({"allowed_hosts": ["localhost", "*.example.org"]}, "https://www.example.org.evil.example", False),
    ({"allowed_hosts": ["app.example.org"]}, "http://app.example.org", False),  # its Host is not
    ({"public_url": "http://localhost:80/app"}, "http://localhost", True),
    ({"public_url": "http://app.example.org"}, "http://app.example.org", True),
    ({"public_url": "http://app.example.org"}, "http://APP.example.org", True),
    ({"public_url": "http://app.example.org"}, "http://app.example.org:81", False),
    ({"public_url": "http://app.example.org"}, "{url}", False),
    ({"public_url": "http://app.example.org", "allowed_hosts": ["www.example.org"]}, "http://www.example.org", True),
    ({"public_url": "https://app.example.org"}, "https://app.example.org", True),
    ({"public_url": "https://app.example.org"}, "http://app.example.org", False),
]  # fmt: skip


@pytest.mark.parametrize(("options", "origin", "allowed"), ORIGINS)
def test_a_page_of_another_site_cannot_use_the_cookies(serve_site, options, origin, allowed):
    """Which a browser sends along to any WebSocket of the host."""
    with serve_site(**options) as (site, ann, url):
        prefix = "__Host-" if "https" in options.get("public_url", "") else ""
        ann.client.cookies.set(f"{prefix}openrouter-session", asyncio.run(site.begin()))
        named = origin and origin.format(url=url, host=url.partition("//")[2])
        refusal = nullcontext() if allowed else pytest.raises(InvalidStatus, match="403")
        with refusal, dial(url, ann, named) as chat:
            chat.send("Hi")
            assert chat.recv(10)

        assert [event.kind for event in site.events] == ([] if allowed else ["wrong_origin"])
        assert bool(site.emulator.chats) is allowed


def test_a_fastapi_websocket_depends_on_the_users_model(emulate):
    """`Depends(user_model)` and `Depends(sign_in.visitor)`, in routes of both kinds."""
    site = Site(emulate(any_key=False))
    app = FastAPI()
    app.mount("/auth", site.sign_in.router)

    @app.websocket("/chat")
    async def chat(websocket: WebSocket, model: ChatOpenRouter = Depends(site.user_model)):  # noqa: B008 - as FastAPI's users write it
        await websocket.accept()
        await websocket.send_text((await model.ainvoke(await websocket.receive_text())).text)

    @app.get("/who")
    async def who(visitor: Visitor | None = Depends(site.sign_in.visitor)):  # noqa: B008, FAST002 - as FastAPI's users write it
        return visitor and visitor.user_id

    with in_thread(app, ws=SANSIO) as url:
        ann = Visit(url)
        assert ann.get("/who").json() is None
        ann.sign_in()
        assert ann.get("/who").json() == "user_ann"
        with dial(url, ann, url) as chat:
            chat.send("Hello")
            assert chat.recv(10).startswith("Hello!")
        with pytest.raises(InvalidStatus), dial(url, ann, "https://evil.example"):
            pass
        ann.close()
    assert site.emulator.accounts.keys[site.emulator.chats[0].key].user_id == "user_ann"


def test_a_closed_websocket_stops_the_answer(serve_site):
    """Upstream too."""
    with serve_site() as (site, ann, url):
        site.emulator.script([Reply("a " * 500, pause=0.02)])
        ann.sign_in()
        with dial(url, ann, url) as chat:
            chat.send("go on")
            chat.recv(10)
        assert site.emulator.chats[0].gone.wait(10)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_cookie_header_leads_to_the_visitor(serve_site, how):
    """Whatever else is in it; with the checks of the routes."""
    with serve_site(allowed_hosts=["localhost"]) as (site, ann, url):

        def look_up(header, **more):
            if how == "sync":
                return site.sign_in.visitor_of(header, **more)
            return asyncio.run(site.sign_in.avisitor_of(header, **more))

        ann.sign_in()
        header = cookie_header(ann)
        visitor = look_up(f'a=b; {header}; c="d"')
        assert visitor.user_id == "user_ann"
        assert visitor.csrf_token == ann.me()["csrf_token"]
        assert visitor.key.secret.get_secret_value() in site.emulator.accounts.keys
        assert look_up(header, origin=url)
        assert look_up(header, origin="http://evil.example") is None
        assert look_up(header, https=True) is None  # a cookie that another host may have planted
        assert look_up(f"__Host-{header}", https=True)
        assert look_up(f"__Host-{header}")
        assert look_up(f"__Host-{header}", https=True, origin=url.replace("http", "https"))
        assert look_up(f"__Host-{header}", https=True, origin=url) is None
        assert look_up(f"__Host-openrouter-session=x; {header}") is None
        for nobody in (
            None,
            "",
            "a",
            ";;;=",
            header[:-1],
            header.partition("=")[2],
            "openrouter-session=" + "x" * 99,
        ):
            assert look_up(nobody) is None
        ann.sign_out()
        assert look_up(header) is None
    assert [event.kind for event in site.events] == [
        "signed_in",
        *["wrong_origin"] * 2,
        "signed_out",
    ]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_header_with_an_unreadable_session_is_nobody(emulate, is_async):
    """The event reaches `on_event`, also an async one, in and out of an event loop."""
    site, heard = Site(emulate(any_key=False)), []

    async def hear(event):
        heard.append(event.kind)

    site.sign_in = SignIn(secret=SECRET, store=site.store, on_event=hear if is_async else lambda e: heard.append(e.kind))  # fmt: skip
    header = f"openrouter-session={asyncio.run(site.begin())}"
    assert site.sign_in.visitor_of(header)
    site.store.mset([(name, b"garbage") for name in site.store.yield_keys()])

    async def in_loop():
        assert site.sign_in.visitor_of(header) is None
        await asyncio.sleep(0)
        assert await site.sign_in.avisitor_of(header) is None

    assert site.sign_in.visitor_of(header) is None
    asyncio.run(in_loop())
    assert heard == ["session_unreadable"] * 3


def test_an_origin_needs_something_to_be_compared_with(emulate):
    """Neither `public_url` nor `allowed_hosts`, and no request that names a host."""
    sign_in = Site(emulate(any_key=False)).sign_in
    with pytest.raises(ValueError, match="allowed_hosts"):
        sign_in.visitor_of("a=b", origin="http://localhost:1")


def test_a_public_url_on_https_reads_the_cookie_of_https_alone(emulate):
    """As the routes do."""
    site = Site(emulate(any_key=False), public_url="https://app.example.org")
    session = asyncio.run(site.begin())

    assert site.sign_in.visitor_of(f"openrouter-session={session}") is None
    assert site.sign_in.visitor_of(f"__Host-openrouter-session={session}")


class Provisioned:
    """Keys of the app's own users; an error in place of one."""

    def __init__(self, emulator):
        key = emulator.accounts.add_key(user_id="app_carl")
        self.key = UserKey(key.secret, "app_carl", emulator.url)
        self.error = None

    async def aget(self, user_id):
        """Return the key, or raise."""
        if self.error is not None:
            raise self.error
        return self.key


@pytest.mark.parametrize(
    ("error", "code"),
    [(errors.KeyRevokedError("gone"), 1008), (errors.ConnectionFailedError("down"), 1013)],
)
def test_the_apps_own_user_has_a_websocket(emulate, error, code):
    """Not from a page of another site; closed by a code of its kind where there is no key."""
    emulator = emulate(lambda _: "Hello", any_key=False)
    provisioned = Provisioned(emulator)
    site = Site(emulator, app_user=lambda connection: "carl", provisioned=provisioned)
    with in_thread(site.app, ws=SANSIO) as url:
        with pytest.raises(InvalidStatus, match="403"), dial(url, None, "https://evil.example"):
            pass
        with dial(url, None, url) as chat:
            chat.send("Hi")
            assert chat.recv(10) == "Hello"
            provisioned.error = error
            chat.send("Hi")
            with pytest.raises(ConnectionClosed) as closed:
                list(chat)
    assert closed.value.rcvd.code == code
    assert [request.key for request in emulator.chats] == [
        provisioned.key.secret.get_secret_value()
    ]
    assert [event.kind for event in site.events] == ["wrong_origin"]


def test_a_page_on_another_port_cannot_use_the_browsers_cookies(serve_site, browser):
    """In Chromium, which sends them along."""

    async def page(request):
        return HTMLResponse("<!doctype html>")

    dial_from_page = """url => new Promise(resolve => {
        const socket = new WebSocket(url);
        socket.onopen = () => resolve("open");
        socket.onerror = () => resolve("refused");
    })"""
    elsewhere = Starlette(routes=[Route("/", page)])
    with serve_site() as (site, _, url), in_thread(elsewhere) as evil:
        site.app.routes.append(Route("/", page))
        tab = browser.new_page()
        tab.goto(f"{url}/auth/sign-in?next=/")
        tab.get_by_role("button", name="Approve").click()
        tab.wait_for_url(f"{url}/")
        address = url.replace("http", "ws") + "/chat"
        assert tab.evaluate(dial_from_page, address) == "open"
        tab.goto(evil)
        assert tab.evaluate(dial_from_page, address) == "refused"
        tab.close()
    assert [event.kind for event in site.events] == ["signed_in", "wrong_origin"]
