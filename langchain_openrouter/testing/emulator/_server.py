"""OpenRouter on loopback: a real HTTP server that answers as recordings of the live service do.

    with Emulator() as emulator:
        model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", base_url=emulator.url)

Chat whole and streamed, keys, models, embeddings, rerank, and the sign-in with a page to click
through. Tests script it with replies or a function, and read what it was asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from langchain_openrouter.testing.emulator import _catalog, _consent_page, _validation
from langchain_openrouter.testing.emulator._accounts import Accounts, Refused
from langchain_openrouter.testing.emulator._default_replies import improvised
from langchain_openrouter.testing.emulator._error_replies import ERRORS, error
from langchain_openrouter.testing.emulator._fault_injection import COOKIE, Wire
from langchain_openrouter.testing.emulator._replies import Call, Context, Fault, Reply, sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

__all__ = ["ERRORS", "Asked", "Call", "Emulator", "Fault", "Reply", "error"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that the emulator got."""

    method: str
    path: str
    """Under the API's base, such as `/chat/completions`."""
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    raw: bytes = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    gone: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when the client went away before the answer had ended."""

    @property
    def body(self) -> Any:
        """The JSON of the body; None where it is not JSON."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return None

    @property
    def key(self) -> str:
        """The Bearer token."""
        return self.headers.get("authorization", "").removeprefix("Bearer ").strip()


Scripted: TypeAlias = "Reply | str | None"
Script: TypeAlias = "Iterable[Scripted] | Callable[[Asked], Scripted]"


class Emulator:
    """The service on a port of its own, in a thread of its own; a context manager.

    Args:
        script: What chat requests are answered: a list, used up in order, or a function of the
            request. None, and None among its replies, is something sensible for the request.
        any_key: Whether a key that the emulator never gave works too.
        echo_state: Whether the sign-in page hands `state` back, which OpenRouter's own tools rely
            on and its documentation does not promise.
        generation_delay: Seconds until `GET /generation` knows an answer.
        clock: The account service's time, seconds; a test may move it.
        port: 0 lets the system choose.

    Attributes:
        asked: Every request to the API, in order.
        accounts: Users' keys: give them limits, use them up, disable them.
    """

    def __init__(  # noqa: PLR0913 - switches of a test double, all optional
        self,
        script: Script | None = None,
        *,
        any_key: bool = True,
        echo_state: bool = True,
        generation_delay: float = 0.0,
        clock: Callable[[], float] = time.time,
        port: int = 0,
    ) -> None:
        self.asked: list[Asked] = []
        self.accounts = Accounts(any_key=any_key, clock=clock)
        self.echo_state = echo_state
        self.generation_delay = generation_delay
        self._generations: dict[str, tuple[float, dict[str, Any]]] = {}
        self._made = 0
        self._lock = threading.Lock()
        self.script(script)
        self._socket = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._app = Starlette(routes=self._routes())

    def script(self, script: Script | None) -> None:
        """Answer chat requests with this from now on."""
        self._function = script if callable(script) else None
        self._replies = None if script is None or callable(script) else list(script)

    @property
    def site(self) -> str:
        """Where the sign-in page is, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The API's base URL."""
        return f"{self.site}/api/v1"

    @property
    def chats(self) -> list[Asked]:
        """The chat requests, in order."""
        return [asked for asked in self.asked if asked.path == "/chat/completions"]

    # --- the server -----------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Serve, in a thread."""
        config = uvicorn.Config(
            self, log_config=None, access_log=False, lifespan="off", ws="none", http="h11",
            loop="asyncio", timeout_keep_alive=75, server_header=False, log_level="critical",
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True,
            name="openrouter-emulator",
        )  # fmt: skip
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)

    def stop(self) -> None:
        """End every connection and free the port."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(timeout=10)
        self._socket.close()

    def serve(self) -> None:
        """Serve in this thread until it is interrupted."""
        self.start()
        try:
            while self._thread is not None and self._thread.is_alive():
                self._thread.join(timeout=0.5)
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: the ASGI application, for whoever runs a server of their own."""
        if scope["type"] == "http":
            # Cuts and resets need the connection, which uvicorn keeps beside `send`.
            cycle = getattr(send, "__self__", None)
            scope["openrouter.transport"] = getattr(cycle, "transport", None)
            await self._app(scope, receive, send)

    def _routes(self) -> list[Route]:
        api = "/api/v1"
        return [
            Route(f"{api}/chat/completions", self._chat, methods=["POST"]),
            Route(f"{api}/embeddings", self._embeddings, methods=["POST"]),
            Route(f"{api}/rerank", self._rerank, methods=["POST"]),
            Route(f"{api}/key", self._key, methods=["GET"]),
            Route(f"{api}/auth/key", self._key, methods=["GET"]),
            Route(f"{api}/credits", self._credits, methods=["GET"]),
            Route(f"{api}/generation", self._generation, methods=["GET"]),
            Route(f"{api}/models", self._models, methods=["GET"]),
            Route(f"{api}/models/user", self._own_models, methods=["GET"]),
            Route(f"{api}/models/count", self._count, methods=["GET"]),
            Route(f"{api}/model/{{author}}/{{slug}}", self._model, methods=["GET"]),
            Route(f"{api}/models/{{author}}/{{slug}}/endpoints", self._endpoints, methods=["GET"]),
            Route(f"{api}/providers", self._providers, methods=["GET"]),
            Route(f"{api}/auth/keys", self._exchange, methods=["GET", "POST", "PUT", "DELETE"]),
            Route(f"{api}/auth/keys/code", self._issue, methods=["POST"]),
            Route("/auth", self._consent, methods=["GET"]),
            Route("/auth", self._decide, methods=["POST"]),
            Route(f"{api}/{{path:path}}", self._nothing),
        ]

    async def _hear(self, request: Request) -> Asked:
        """Keep what was asked."""
        asked = Asked(
            request.method,
            request.url.path.removeprefix("/api/v1"),
            {name.lower(): value for name, value in request.headers.items()},
            await request.body(),
            dict(request.query_params),
        )
        self.asked.append(asked)
        return asked

    # --- chat -----------------------------------------------------------------------------

    async def _chat(self, request: Request) -> Response:
        asked = await self._hear(request)
        body = asked.body
        try:
            key = self.accounts.key_of(asked.key)
            _checked(body)
            self.accounts.affordable(key)
        except Refused as refused:
            return _refusal(refused.status, refused.message)
        context = self._context(body)
        reply = await asyncio.to_thread(self._next, asked)
        answer = sent(reply, context)
        self.accounts.charge(key, answer.cost)
        if reply.error is None:
            self._remember(reply, context, answer.cost)
        return Wire(answer, asked.gone)

    def _next(self, asked: Asked) -> Reply:
        """Return the scripted reply, or something sensible."""
        if self._function is not None:
            scripted = self._function(asked)
        elif self._replies is not None:
            with self._lock:
                if not self._replies:
                    told = {"code": 500, "message": "the emulator's script has no reply left"}
                    return Reply(error=told)
                scripted = self._replies.pop(0)
        else:
            scripted = None
        if scripted is None:
            return improvised(asked.body)
        return Reply(scripted) if isinstance(scripted, str) else scripted

    def _context(self, body: Mapping[str, Any]) -> Context:
        with self._lock:
            self._made += 1
            number = self._made
        created = int(time.time())
        mark = hashlib.sha256(f"{self.port} {number}".encode()).hexdigest()[:20]
        return Context(body, f"gen-{created}-{mark}", created)

    def _remember(self, reply: Reply, context: Context, cost: float) -> None:
        answer = {
            "id": context.generation_id, "model": reply.model or context.model,
            "provider": reply.provider or context.provider, "streamed": context.streamed,
            "usage": {"cost": cost},
            "finish_reason": reply.reason, "native_finish_reason": reply.native,
            "user": context.body.get("user"),
        }  # fmt: skip
        self._generations[context.generation_id] = (time.monotonic(), answer)

    # --- beside chat ----------------------------------------------------------------------

    async def _embeddings(self, request: Request) -> Response:
        return await self._priced(request, ("model", "input"), _catalog.embeddings)

    async def _rerank(self, request: Request) -> Response:
        return await self._priced(request, ("model", "query", "documents"), _catalog.rerank)

    async def _priced(self, request: Request, needed: tuple[str, ...], answer: Any) -> Response:
        asked = await self._hear(request)
        body = asked.body
        try:
            key = self.accounts.key_of(asked.key)
            _complete(body, needed)
            self.accounts.affordable(key)
        except Refused as refused:
            return _refusal(refused.status, refused.message)
        context = self._context(body)
        reply = await asyncio.to_thread(self._function, asked) if self._function else None
        if isinstance(reply, Reply) and reply.error is not None:
            return Wire(sent(reply, context), asked.gone)
        told = answer(body, context.generation_id)
        self.accounts.charge(key, told["usage"]["cost"])
        return _json(told)

    async def _key(self, request: Request) -> Response:
        return await self._known(request, lambda _, key: key.info())

    async def _own_models(self, request: Request) -> Response:
        return await self._known(request, lambda asked, _: _catalog.listing(asked.query))

    async def _generation(self, request: Request) -> Response:
        def found(asked: Asked, _: Any) -> dict[str, Any]:
            name = asked.query.get("id", "")
            since, answer = self._generations.get(name, (None, {}))
            if since is None or time.monotonic() - since < self.generation_delay:
                raise Refused(404, f"Generation {name} not found")
            return _catalog.generation(answer)

        return await self._known(request, found)

    async def _credits(self, request: Request) -> Response:
        def refuse(*_: Any) -> Any:
            raise Refused(403, "Only management keys can perform this operation")

        return await self._known(request, refuse)

    async def _known(self, request: Request, answer: Any) -> Response:
        """Answer whoever has a key."""
        asked = await self._hear(request)
        try:
            return _json(answer(asked, self.accounts.key_of(asked.key)))
        except Refused as refused:
            return _refusal(refused.status, refused.message)

    async def _models(self, request: Request) -> Response:
        return _json(_catalog.listing((await self._hear(request)).query))

    async def _count(self, request: Request) -> Response:
        await self._hear(request)
        return _json({"data": {"count": len(_catalog.MODELS)}})

    async def _model(self, request: Request) -> Response:
        return await self._about(request, lambda model: {"data": model})

    async def _endpoints(self, request: Request) -> Response:
        return await self._about(request, _catalog.endpoints)

    async def _about(self, request: Request, answer: Any) -> Response:
        await self._hear(request)
        model = _catalog.one("{author}/{slug}".format(**request.path_params))
        return _refusal(404, "Model not found") if model is None else _json(answer(model))

    async def _providers(self, request: Request) -> Response:
        await self._hear(request)
        return _json(_catalog.providers())

    async def _nothing(self, request: Request) -> Response:
        await self._hear(request)
        return _refusal(404, "Not Found")

    # --- the sign-in ----------------------------------------------------------------------

    async def _consent(self, request: Request) -> Response:
        wanted = dict(request.query_params)
        if not wanted.get("callback_url") and not wanted.get("code_challenge"):
            page = _consent_page.note(
                "Invalid request", "A callback_url or a code_challenge is needed."
            )
            return HTMLResponse(page, 400)
        return HTMLResponse(_consent_page.consent(wanted))

    async def _decide(self, request: Request) -> Response:
        wanted = dict(parse_qsl((await request.body()).decode()))
        decision = wanted.pop("decision", "")
        user_id = wanted.pop("emulated_user", "user_emulated")
        if decision not in {"approve", "deny"}:
            return HTMLResponse(_consent_page.note("Take your time", "Nothing was decided yet."))
        try:
            return self._decided(user_id, wanted, approved=decision == "approve")
        except Refused as refused:
            return HTMLResponse(
                _consent_page.note("Invalid request", refused.message), refused.status
            )

    def _decided(self, user_id: str, wanted: dict[str, str], *, approved: bool) -> Response:
        callback = wanted.get("callback_url")
        told = (
            {"code": self.accounts.issue_code(user_id, wanted)}
            if approved
            else {"error": "access_denied", "error_description": "The user said no"}
        )
        if callback is None:
            page = (
                _consent_page.shown_code(told["code"])
                if approved
                else _consent_page.note("Denied", "No key.")
            )
            return HTMLResponse(page)
        if self.echo_state and wanted.get("state"):
            told["state"] = wanted["state"]
        parts = urlsplit(callback)
        query = "&".join(filter(None, (parts.query, urlencode(told))))
        return RedirectResponse(urlunsplit(parts._replace(query=query)), 303)

    async def _exchange(self, request: Request) -> Response:
        asked = await self._hear(request)
        if asked.method != "POST":
            return _refusal(405, "Method Not Allowed")
        try:
            key = self.accounts.redeem(asked.body)
        except Refused as refused:
            return _refusal(refused.status, refused.message, user=False)
        return _json({"key": key.secret, "user_id": key.user_id})

    async def _issue(self, request: Request) -> Response:
        def issued(asked: Asked, key: Any) -> dict[str, Any]:
            wanted = {n: str(v) for n, v in (asked.body or {}).items() if v is not None}
            if not wanted.get("callback_url"):
                raise Refused(400, "callback_url: Required")
            code = self.accounts.issue_code(key.user_id, wanted)
            return {"data": {"id": code, "app_id": 1, "created_at": "2026-01-02T03:04:05Z"}}

        return await self._known(request, issued)


def _checked(body: Any) -> None:
    """Refuse what the live service would refuse.

    Raises:
        Refused: The request is malformed, or no model has this slug.
    """
    found = _validation.problems(body)
    if found:
        raise Refused(400, "; ".join(found[:3]))
    slugs = [slug for slug in (body.get("model"), *(body.get("models") or ())) if slug is not None]
    for slug in slugs:
        if not str(slug).startswith("@preset/") and (problem := _validation.slug_problem(slug)):
            raise Refused(400, problem)


def _complete(body: Any, needed: tuple[str, ...]) -> None:
    """Refuse a request that lacks a field.

    Raises:
        Refused: It does, or no model has this slug.
    """
    for name in needed:
        if not (isinstance(body, dict) and body.get(name)):
            raise Refused(400, f"{name}: Invalid input: received undefined")
    if problem := _validation.slug_problem(body["model"]):
        raise Refused(400, problem)


def _json(body: Any) -> Response:
    return JSONResponse(body, headers={"set-cookie": COOKIE.format("json")})


def _refusal(status: int, message: str, *, user: bool = True) -> Response:
    body: dict[str, Any] = {"error": {"message": message, "code": status}}
    if user and status not in {401, 404, 405}:
        body["user_id"] = "user_emulated"
    return JSONResponse(body, status)
