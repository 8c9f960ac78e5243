"""The emulator: a server in a thread of its own, and its routes.

    with Emulator() as emulator:
        model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", base_url=emulator.url)

Chat at `/chat/completions` and `/responses`, streamed or not, keys, models, embeddings, rerank, and
the sign-in with a page to click through. Tests script it with replies or a function, and read which
requests it received.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from starlette.applications import Starlette
from starlette.routing import Route

from langchain_openrouter.testing.emulator import _beside_chat, _catalog
from langchain_openrouter.testing.emulator._accounts import Accounts, ApiRefusal, Key
from langchain_openrouter.testing.emulator._batch_routes import BatchRoutes
from langchain_openrouter.testing.emulator._clock import Clock
from langchain_openrouter.testing.emulator._context import Context
from langchain_openrouter.testing.emulator._fault_injection import ScriptedResponse
from langchain_openrouter.testing.emulator._federation import Federation
from langchain_openrouter.testing.emulator._forms import FORMS
from langchain_openrouter.testing.emulator._management import KeyRoutes, ManagementApi
from langchain_openrouter.testing.emulator._management_routes import OrganizationRoutes
from langchain_openrouter.testing.emulator._model_routes import ModelRoutes
from langchain_openrouter.testing.emulator._organization import Organization
from langchain_openrouter.testing.emulator._payment import Payments
from langchain_openrouter.testing.emulator._prompt_cache import CacheUse, PromptCache
from langchain_openrouter.testing.emulator._rendering import RenderedResponse, render
from langchain_openrouter.testing.emulator._replies import Reply
from langchain_openrouter.testing.emulator._responses import to_json, to_response
from langchain_openrouter.testing.emulator._routing import Route as ModelRoute
from langchain_openrouter.testing.emulator._routing import choose_route
from langchain_openrouter.testing.emulator._script import ReceivedRequest, Script, ScriptedReplies
from langchain_openrouter.testing.emulator._sign_in import SignInPages
from langchain_openrouter.testing.emulator._thread_server import ThreadServer, listen
from langchain_openrouter.testing.emulator._validation import validate_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from langchain_openrouter.testing.emulator._batches import Batches

_API = "/api/v1"
_MANAGEMENT_KEY = "sk-or-v1-redacted-9999"  # of every emulator; in a cassette, no secret


class Emulator:
    """The service on a port of its own, in a thread of its own; a context manager.

    Args:
        script: The replies to chat requests: a list, used up in order, or a function of the
            request. None, for all or for a single reply, is the default reply: a call of a tool
            that the last user message names, JSON that fits the response format, or a sentence.
        any_key: Whether a key that the emulator did not issue works too.
        echo_state: Whether the sign-in page hands `state` back, which OpenRouter's own tools rely
            on and its documentation does not promise.
        generation_delay: Seconds after a response until `GET /generation` knows it.
        strict_models: Whether a slug must be that of a model: of this list, or of the bundled
            profiles. The refusal of another names those that are near.
        wrong_code_status: The status of a wrong code in a sign-in: 400, which the live service was
            seen to send, or 403, which its documentation has.
        clock: The source of the emulator's time: a function that returns Unix time in seconds.
        host: The address to listen at. "0.0.0.0" is every address of the machine: whoever reaches
            it may use the emulator, and sign in on its page.
        port: 0 lets the system choose.

    Attributes:
        clock: What time it is for keys, limits and prompt caches; `clock.advance(86400)` is a day
            later.
        requests: Every request to the API, in order.
        accounts: Users' keys: give them limits, use them up, disable them.
        organization: What the management API manages beside keys: guardrails, the app's users,
            workspaces, providers' keys, credits.
        payments: What running requests hold of a key's budget, and how long others are to wait.
        federation: Policies under which a workload's JWT is exchanged for an access token.
    """

    def __init__(  # noqa: PLR0913 - switches of a test double, all optional
        self,
        script: Script | None = None,
        *,
        any_key: bool = True,
        echo_state: bool = True,
        generation_delay: float = 0.0,
        strict_models: bool = False,
        wrong_code_status: int = 400,
        clock: Callable[[], float] = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.clock = Clock(clock)
        self.requests: list[ReceivedRequest] = []
        self.accounts = Accounts(
            any_key=any_key, clock=self.clock.time, wrong_code_status=wrong_code_status
        )
        self.organization = Organization(self.accounts, self.clock)
        self.payments = Payments(self.accounts)
        self.federation = Federation(self.accounts, self.clock)
        self.generation_delay = generation_delay
        self.strict_models = strict_models
        self._prompt_cache = PromptCache(self.clock.time)
        self._script = ScriptedReplies(script)
        self._sign_in = SignInPages(self.accounts, echo_state=echo_state)
        self._batch_routes = BatchRoutes(
            self._record,
            payments=self.payments,
            accounts=self.accounts,
            reply_to=self._scripted_reply,
            context=self._context,
        )
        self._generations: dict[str, tuple[float, dict[str, Any]]] = {}
        self._generation_count = 0
        self._lock = threading.Lock()

        self._socket = listen(host, port)
        self._host = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - the user's choice
        self.port: int = self._socket.getsockname()[1]
        self._server: ThreadServer | None = None
        self._app = Starlette(routes=self._routes())

    @property
    def management_key(self) -> str:
        """A key of the management API, for the account of the keys that the emulator accepts."""
        if _MANAGEMENT_KEY not in self.accounts.keys:
            self.accounts.add_management_key(_MANAGEMENT_KEY)
        return _MANAGEMENT_KEY

    def script(self, script: Script | None) -> None:
        """Replace the script: chat requests from now on are answered by this one."""
        self._script = ScriptedReplies(script)

    @property
    def site(self) -> str:
        """Where the sign-in page is, without a path."""
        return f"http://{self._host}:{self.port}"

    @property
    def url(self) -> str:
        """The API's base URL."""
        return f"{self.site}{_API}"

    @property
    def chat_requests(self) -> list[ReceivedRequest]:
        """The chat requests, in order; those to `/responses` are such too."""
        return [request for request in self.requests if request.path in FORMS]

    @property
    def batches(self) -> Batches:
        """The batches of the Batch API: set how long they take, cancel one."""
        return self._batch_routes.batches

    @property
    def batch_row_costs(self) -> bool:
        """Whether the usage of each row of a batch has its cost; it may be changed."""
        return self._batch_routes.row_costs

    @batch_row_costs.setter
    def batch_row_costs(self, value: bool) -> None:
        self._batch_routes.row_costs = value

    @property
    def echo_state(self) -> bool:
        """Whether the sign-in page hands `state` back; it may be changed."""
        return self._sign_in.echo_state

    @echo_state.setter
    def echo_state(self, value: bool) -> None:
        self._sign_in.echo_state = value

    @property
    def asked(self) -> list[ReceivedRequest]:
        """`requests`, by its name in the first release."""
        return self.requests

    @property
    def chats(self) -> list[ReceivedRequest]:
        """`chat_requests`, by its name in the first release."""
        return self.chat_requests

    # --- the server -----------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Serve, in a thread; return when connections are accepted."""
        self._server = ThreadServer(
            self,
            self._socket,
            name="openrouter-emulator",
            ws="none",
            http="h11",
            loop="asyncio",
            timeout_keep_alive=75,
            server_header=False,
        )

        self._server.start()

    def stop(self) -> None:
        """End every connection and free the port."""
        if self._server is not None:
            self._server.stop()
        self._socket.close()

    def serve(self) -> None:
        """Serve until an interrupt, in the main thread of a program."""
        self.start()

        try:
            while self._server is not None and not self._server.join(timeout=0.5):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: the ASGI application, for a server other than this one."""
        if scope["type"] == "http":
            # Cuts and resets need the connection, which uvicorn has beside `send`.
            cycle = getattr(send, "__self__", None)
            scope["openrouter.transport"] = getattr(cycle, "transport", None)
            await self._app(scope, receive, send)

    def _routes(self) -> list[Route]:
        management = ManagementApi(self.accounts, self._record)

        return [
            *(Route(f"{_API}{path}", self._chat, methods=["POST"]) for path in FORMS),
            Route(f"{_API}/embeddings", self._embeddings, methods=["POST"]),
            Route(f"{_API}/rerank", self._rerank, methods=["POST"]),
            Route(f"{_API}/key", self._key, methods=["GET"]),
            Route(f"{_API}/auth/key", self._key, methods=["GET"]),
            Route(f"{_API}/generation", self._generation, methods=["GET"]),
            Route(f"{_API}/models/user", self._user_models, methods=["GET"]),
            *ModelRoutes(self._record).routes(_API),
            *self._batch_routes.routes(_API),
            Route(f"{_API}/auth/keys", self._exchange, methods=["GET", "POST", "PUT", "DELETE"]),
            Route(f"{_API}/auth/keys/code", self._issue, methods=["POST"]),
            self.federation.route(_API, self._record),
            *self._sign_in.routes(),
            *KeyRoutes(self.accounts, self.organization, management).routes(_API),
            *OrganizationRoutes(self.accounts, self.organization, management).routes(_API),
            Route(f"{_API}/{{path:path}}", self._not_found),
        ]

    async def _record(self, request: Request) -> ReceivedRequest:
        """Append a request to `requests`."""
        received = ReceivedRequest(
            request.method,
            request.url.path.removeprefix(_API),
            {name.lower(): value for name, value in request.headers.items()},
            await request.body(),
            dict(request.query_params),
        )

        self.requests.append(received)
        return received

    # --- chat -----------------------------------------------------------------------------

    async def _chat(self, request: Request) -> Response:
        received = await self._record(request)
        form = FORMS[received.path]
        try:
            key = self.accounts.require_key(received.key)
            body = form.parse(received.body, self.strict_models)
            self.organization.guardrails.check_request(key, body)
            self.payments.require_credit(key)
            route = choose_route(body, self.organization.guardrails.restrictions(key))
            hold = self.payments.hold(key, body, route.endpoint)
        except ApiRefusal as refusal:
            return form.refuse(refusal)

        try:
            rendered = await self._answer(received, body, key, route)
        except BaseException:
            hold.release()
            raise
        return ScriptedResponse(rendered, received.gone, hold.release)

    async def _answer(
        self, received: ReceivedRequest, body: Mapping[str, Any], key: Key, route: ModelRoute
    ) -> RenderedResponse:
        """Return the response to a chat request, and charge the key for it."""
        reply = await asyncio.to_thread(self._script.next_reply, received, body)
        use = CacheUse()
        if reply.error is None:
            use = self._prompt_cache.use(key.hash, route.model, body)
        context = self._context(body, route, use, key)
        rendered = FORMS[received.path].render(reply, context, received.body)

        self.organization.record(key, route, {**rendered.usage, "cost": rendered.cost})
        if reply.error is None:
            self._remember(reply, context, rendered)
        return rendered

    def _scripted_reply(self, received: ReceivedRequest) -> Reply:
        return self._script.next_reply(received, received.body)

    def _context(
        self,
        body: Mapping[str, Any],
        route: ModelRoute,
        use: CacheUse | None = None,
        key: Key | None = None,
    ) -> Context:
        with self._lock:
            self._generation_count += 1
            number = self._generation_count

        created = int(time.time())
        suffix = hashlib.sha256(f"{self.port} {number}".encode()).hexdigest()[:20]
        is_byok = key is not None and self.organization.is_byok(key, route)
        use = use or CacheUse()
        return Context(body, f"gen-{created}-{suffix}", created, route, use, is_byok)

    def _remember(self, reply: Reply, context: Context, rendered: RenderedResponse) -> None:
        """Keep what `GET /generation` reports of a response."""
        record = {
            "id": context.generation_id,
            "model": reply.model or context.model,
            "provider": reply.provider or context.provider,
            "streamed": context.streamed,
            "usage": rendered.usage,
            "finish_reason": reply.reason,
            "native_finish_reason": reply.native,
            "user": context.body.get("user"),
        }

        self._generations[context.generation_id] = (time.monotonic(), record)

    # --- embeddings, rerank ---------------------------------------------------------------

    async def _embeddings(self, request: Request) -> Response:
        return await self._paid(request, ("model", "input"), _beside_chat.embeddings)

    async def _rerank(self, request: Request) -> Response:
        return await self._paid(request, ("model", "query", "documents"), _beside_chat.rerank)

    async def _paid(
        self,
        request: Request,
        fields: tuple[str, ...],
        respond: Callable[[Mapping[str, Any], str], dict[str, Any]],
    ) -> Response:
        """Respond to a request that has these fields and a key that can pay."""
        received = await self._record(request)
        body = received.body
        try:
            key = self.accounts.require_key(received.key)
            validate_fields(body, fields, strict_models=self.strict_models)
            self.payments.require_credit(key)
            route = choose_route(body, self.organization.guardrails.restrictions(key))
        except ApiRefusal as refusal:
            return to_response(refusal)

        context = self._context(body, route)
        function = self._script.function
        reply = await asyncio.to_thread(function, received) if function else None
        if isinstance(reply, Reply) and reply.error is not None:
            return ScriptedResponse(render(reply, context), received.gone)
        payload = respond(body, context.generation_id)
        self.organization.record(key, route, payload["usage"])
        return to_json(payload)

    # --- keys, models ---------------------------------------------------------------------

    async def _key(self, request: Request) -> Response:
        received = await self._record(request)
        try:
            key = self.accounts.require_any_key(received.key)
        except ApiRefusal as refusal:
            return to_response(refusal)
        return to_json(key.info(budgets=self.accounts.budgets_of(key)))

    async def _user_models(self, request: Request) -> Response:
        return await self._with_key(request, lambda received, _: _catalog.listing(received.query))

    async def _generation(self, request: Request) -> Response:
        def find(received: ReceivedRequest, _: Key) -> dict[str, Any]:
            name = received.query.get("id", "")
            since, record = self._generations.get(name, (None, {}))
            if since is None or time.monotonic() - since < self.generation_delay:
                raise ApiRefusal(404, f"Generation {name} not found")
            return _beside_chat.generation(record)

        return await self._with_key(request, find)

    async def _with_key(
        self, request: Request, respond: Callable[[ReceivedRequest, Key], dict[str, Any]]
    ) -> Response:
        """Respond to a request that has a key."""
        received = await self._record(request)
        try:
            return to_json(respond(received, self.accounts.require_key(received.key)))
        except ApiRefusal as refusal:
            return to_response(refusal)

    async def _not_found(self, request: Request) -> Response:
        await self._record(request)
        return to_response(ApiRefusal(404, "Not Found"))

    # --- the sign-in ----------------------------------------------------------------------

    async def _exchange(self, request: Request) -> Response:
        received = await self._record(request)
        if received.method != "POST":
            return to_response(ApiRefusal(405, "Method Not Allowed"))

        try:
            key = self.accounts.redeem(received.body)
        except ApiRefusal as refusal:
            return to_response(refusal, signed_in=False)
        return to_json({"key": key.secret, "user_id": key.user_id})

    async def _issue(self, request: Request) -> Response:
        def issue(received: ReceivedRequest, key: Key) -> dict[str, Any]:
            values = (received.body or {}).items()
            parameters = {name: str(value) for name, value in values if value is not None}
            if not parameters.get("callback_url"):
                raise ApiRefusal(400, "callback_url: Required")
            code = self.accounts.issue_code(key.user_id, parameters)
            return {"data": {"id": code, "app_id": 1, "created_at": "2026-01-02T03:04:05Z"}}

        return await self._with_key(request, issue)
