"""`SignIn`: routes for any ASGI app that sign a visitor in with OpenRouter, and out again.

A pending sign-in is sealed into the visitor's own cookie, so that any worker can complete it and a
callback works in no other browser. The key is on a store; the session cookie holds an opaque id
only, a new one at each sign-in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.stores import BaseStore, InMemoryByteStore
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, Router

from langchain_openrouter.errors import KeyRevokedError, OpenRouterError
from langchain_openrouter.oauth._pkce import PKCELogin
from langchain_openrouter.web import _pages
from langchain_openrouter.web._app_users import app_users
from langchain_openrouter.web._bodies import BodyError, read_form
from langchain_openrouter.web._callback import CallbackRoute, safe_redirect_path, sentence
from langchain_openrouter.web._hosts import Hosts
from langchain_openrouter.web._redemptions import Redemptions
from langchain_openrouter.web._sessions import Sessions
from langchain_openrouter.web._site import Event, EventKind, Site
from langchain_openrouter.web._spending import SpendingCache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime, timedelta

    from langchain_openrouter._encryption import Secret
    from langchain_openrouter.accounts import ProvisionedKeys
    from langchain_openrouter.chat_models import ChatOpenRouter
    from langchain_openrouter.oauth._user_key import UserKey
    from langchain_openrouter.settings import OpenRouterSettings
    from langchain_openrouter.web._app_users import AppUser

__all__ = ["Event", "EventKind", "SignIn", "Visitor", "local", "safe_redirect_path"]

_SESSION_AGE = 30 * 24 * 3600  # seconds
# Codes by which a WebSocket is closed, see https://www.iana.org/assignments/websocket.
_POLICY_VIOLATION = 1008
_TRY_AGAIN_LATER = 1013
_UNAVAILABLE = 503

local = safe_redirect_path  # former name


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in visitor."""

    key: UserKey
    csrf_token: str = field(repr=False)
    """Must be sent to sign out, as the form field `csrf_token` or the header `X-CSRF-Token`.

    Empty for the app's own user, whom the app signs out.
    """

    @property
    def user_id(self) -> str:
        """OpenRouter's id of the user, or the key's fingerprint if there is none.

        Of a user with a provisioned key: the account's `external_user`.
        """
        return self.key.user_id or self.key.fingerprint


class SignIn:
    """Sign-in with OpenRouter for a web app.

    Mount its routes, and use `user_model` or `visitor` in the app's own:

        ```python
        sign_in = SignIn(secret=os.environ["OPENROUTER_WEB_SECRET"], store=RedisStore(url))
        app = Starlette(routes=[Mount("/auth", sign_in.router), ...])
        user_model = sign_in.user_model(ChatOpenRouter(model="openai/gpt-4o-mini"))


        async def chat(request):  # FastAPI: model: ChatOpenRouter = Depends(user_model)
            model = await user_model(request)
        ```

    Routes: GET `/sign-in?next=/path`, GET `/callback/{nonce}`, POST `/sign-out`, GET `/me`.

    Args:
        secret: 16 bytes or more, the same for all workers; of several, the first encrypts.
            `python -c "import secrets; print(secrets.token_urlsafe(32))"` prints one.
        store: A `BaseStore[str, bytes]` that all workers share. None: in memory, for one worker.
        home: Where a visitor is redirected to without `next`.
        public_url: The app's URL as browsers see it. Without it the URL follows from each
            request's Host.
        allowed_hosts: The hosts that a request may name if there is no `public_url`, such as
            `["app.example.org", "*.example.org", "localhost:8000"]`; others are refused with 400.
            None: any host, for development only.
        key_label: Name of the key in the user's account.
        limit: What the key may spend, in USD.
        usage_limit_type: When the limit resets: "daily", "weekly" or "monthly".
        expires_at: When the key expires: the time from each sign-in, or a moment.
        workspace_id: The workspace that the page proposes for the key.
        required_workspace_id: The only workspace that the key may be created in.
        session_age: Seconds after which a session ends.
        app_user: The way in for users of the app's own sign-in: a function of the `Request` or
            `WebSocket`, sync or async, that returns the app's id of the user whom the app has
            signed in, None if it has not. Such a user needs no account at OpenRouter: the key comes
            from `provisioned`. Who has signed in with OpenRouter too uses the key of that sign-in,
            while the app has the same user signed in.
        provisioned: Makes the keys of the app's own users: `accounts.ProvisionedKeys`.
        on_event: Called with each `Event`; sync or async.
        settings: Where the base URL of the API is read from; None reads the environment.
        base_url: The API's base URL.

    Raises:
        ValueError: The secret is weak, or a URL, a host or a property of the key is not valid.
    """

    def __init__(  # noqa: PLR0913 - the choices of an app, nearly all optional
        self,
        *,
        secret: Secret | Sequence[Secret],
        store: BaseStore[str, bytes] | None = None,
        home: str = "/",
        public_url: str | None = None,
        allowed_hosts: Sequence[str] | None = None,
        key_label: str | None = None,
        limit: float | None = None,
        usage_limit_type: str | None = None,
        expires_at: datetime | timedelta | str | None = None,
        workspace_id: str | None = None,
        required_workspace_id: str | None = None,
        session_age: float = _SESSION_AGE,
        app_user: AppUser | None = None,
        provisioned: ProvisionedKeys | None = None,
        on_event: Callable[[Event], Any] | None = None,
        settings: OpenRouterSettings | None = None,
        base_url: str | None = None,
    ) -> None:
        store = store or InMemoryByteStore()

        self._site = Site(
            secret=secret,
            api={"settings": settings, "base_url": base_url},
            sessions=Sessions(store, secret, session_age),
            redemptions=Redemptions(store, secret),
            hosts=Hosts(public_url, allowed_hosts),
            home=home,
            session_age=session_age,
            on_event=on_event,
            app_users=app_users(app_user, provisioned),
        )
        self._app_users = self._site.app_users
        self._callback = CallbackRoute(self._site)
        self._spending = SpendingCache()
        self._page: dict[str, Any] = {
            "key_label": key_label,
            "limit": limit,
            "usage_limit_type": usage_limit_type,
            "expires_at": expires_at,
            "workspace_id": workspace_id,
            "required_workspace_id": required_workspace_id,
        }
        PKCELogin.start(**self._page, **self._site.api)  # what it refuses is refused at start-up

    @property
    def routes(self) -> list[Route]:
        """The routes, to mount at any path of the app."""
        return [
            Route("/sign-in", self._of_allowed_host(self._begin), methods=["GET"]),
            Route("/callback/{nonce}", self._of_allowed_host(self._callback), methods=["GET"]),
            Route("/sign-out", self._of_allowed_host(self._sign_out), methods=["POST"]),
            Route("/me", self._of_allowed_host(self._me), methods=["GET"]),
        ]

    @property
    def router(self) -> Router:
        """The routes as an ASGI app, to mount in another one."""
        # A redirect to the URL with a slash would use the Host of the request, which may be any.
        return Router(self.routes, redirect_slashes=False)

    async def visitor(self, connection: HTTPConnection) -> Visitor | None:
        """Return the signed-in visitor, None if nobody is signed in.

        Args:
            connection: A `Request` or a `WebSocket` of Starlette or FastAPI. A WebSocket that a
                page of another site opened has no visitor: browsers send the cookies along there,
                too. The page must be of `public_url` or `allowed_hosts`; without either, of the
                host that the request names.

        Raises:
            KeyRevokedError: The app's own user, whose provisioned key was revoked.
            OpenRouterError: No key could be provisioned.
        """
        if self._site.is_cross_site(connection):
            await self._site.emit(Event("wrong_origin"))
            return None
        session = self._site.cookies(connection).session
        visitor = self._to_visitor(session, await self._site.key(connection))

        if visitor is None and self._app_users is not None:
            key = await self._app_users.key(connection)
            return None if key is None else Visitor(key, "")
        return visitor

    def visitor_of(
        self, cookie_header: str | None, *, origin: str | None = None, https: bool | None = None
    ) -> Visitor | None:
        """Return the signed-in visitor by a header Cookie, None if nobody is signed in.

        For frameworks that have no Starlette request: Streamlit, Gradio, Chainlit, Socket.IO. It
        reads the cookie that the routes set, which must therefore be mounted on the same host
        (browsers send a cookie to every port of a host). In an event loop, use `avisitor_of`. The
        app's own users (`app_user`) are not looked up: `provisioned` has their keys.

            ```python
            visitor = sign_in.visitor_of(st.context.headers.get("Cookie"))
            own = model.for_user(visitor.key, user=visitor.user_id)
            ```

        Args:
            cookie_header: The value of the header, None if there is none.
            origin: The header Origin of a WebSocket or another request that acts for the visitor,
                compared like that of a WebSocket in `visitor`. None: not compared, for what a
                browser requests from the site itself, or where the framework does it.
            https: Whether the browser is on https. None: as `public_url` says; without one, the
                cookie that only a site on https can set is preferred.

        Raises:
            ValueError: There is an origin, but neither `public_url` nor `allowed_hosts`.
        """
        session = self._site.session_in(cookie_header, origin=origin, https=https)
        if isinstance(session, Event):
            self._site.emit_sync(session)
            return None
        return self._to_visitor(session, self._site.read_key_of_session(session))

    async def avisitor_of(
        self, cookie_header: str | None, *, origin: str | None = None, https: bool | None = None
    ) -> Visitor | None:
        """Return like `visitor_of`."""
        session = self._site.session_in(cookie_header, origin=origin, https=https)
        if isinstance(session, Event):
            await self._site.emit(session)
            return None
        return self._to_visitor(session, await self._site.key_of_session(session))

    def _to_visitor(self, session: str | None, key: UserKey | None) -> Visitor | None:
        if session is None or key is None:
            return None
        return Visitor(key, self._site.sessions.token(session))

    def user_model(
        self, model: ChatOpenRouter, *, send_user: bool = True
    ) -> Callable[[HTTPConnection], Awaitable[ChatOpenRouter]]:
        """Return a dependency that gives a route the visitor's own model.

        The route is one of HTTP or of a WebSocket. A WebSocket outlives the session: call the
        function again before each message that must not be answered after a sign-out.

        Args:
            model: The model to copy; its own key is never used.
            send_user: Send the user's id as the field `user`.

        Returns:
            An async function of the `Request` or `WebSocket`. It raises an `HTTPException`: 401 if
            nobody is signed in, 403 if the user's provisioned key was revoked, 503 if none could be
            provisioned. For a WebSocket, also for one that a page of another site opened, it raises
            a `WebSocketException` instead: 1008, and 1013 in place of 503 (before it is accepted, a
            403 to the browser).
        """

        async def user_model(connection: HTTPConnection) -> ChatOpenRouter:
            visitor = await self._visitor_or_refusal(connection)
            # What the model is going to spend must show in `/me` at once.
            self._spending.forget(visitor.key.fingerprint)
            user = visitor.user_id if send_user else None
            return model.for_user(visitor.key, user=user)

        # FastAPI reads the annotations of a dependency, and cannot resolve lazy ones.
        user_model.__annotations__ = {"connection": HTTPConnection}
        return user_model

    async def _visitor_or_refusal(self, connection: HTTPConnection) -> Visitor:
        """Return the signed-in visitor.

        Raises:
            HTTPException: There is none, or no key for them.
            WebSocketException: The same, of a WebSocket.
        """
        try:
            visitor = await self.visitor(connection)
        except KeyRevokedError:
            raise _refusal(connection, 403, "your access was revoked") from None
        except OpenRouterError as error:
            text = "no key could be made for you: try again"
            raise _refusal(connection, _UNAVAILABLE, text) from error

        if visitor is None:
            raise _refusal(connection, 401, "sign in first")
        return visitor

    # --- the routes -----------------------------------------------------------------------

    def _of_allowed_host(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if self._site.hosts.allows(request):
                return await handler(request)
            text = "The address that your browser asked for is not one of this site's."
            return _pages.page("This site has another address", text, 400)

        return endpoint

    async def _begin(self, request: Request) -> Response:
        """Redirect the visitor to OpenRouter's page."""
        if request.method == "HEAD":
            return Response(headers=_pages.HEADERS)
        try:
            callback_url = self._site.callback_url(request)
            login = PKCELogin.start(callback_url, **self._page, **self._site.api)
        except ValueError as error:
            return _pages.page(
                "This site cannot sign you in", f"Its settings are wrong: {error}.", 500
            )

        response = RedirectResponse(login.url, 303, headers=_pages.HEADERS)
        target = safe_redirect_path(request.query_params.get("next"), self._site.home)
        sealed = login.seal(self._site.secret)
        self._site.cookies(request).set_pending(response, login.nonce, sealed, target)
        return response

    async def _sign_out(self, request: Request) -> Response:
        """End the session; only a page of this site can request it."""
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return _pages.page("Not signed out", "This request came from somewhere else.", 403)
        cookies = self._site.cookies(request)
        session = cookies.session

        if session is not None:
            token = request.headers.get("x-csrf-token")
            try:
                token = token or (await read_form(request)).get("csrf_token", "")
            except BodyError as error:
                return _pages.page("Not signed out", sentence(error), error.status)
            if not self._site.sessions.is_token(session, token):
                return _pages.page("Not signed out", "This request came from somewhere else.", 403)

        return await self._signed_out(request, session)

    async def _signed_out(self, request: Request, session: str | None) -> Response:
        key = await self._site.key(request)
        if session is not None:
            await self._site.sessions.end(session, await self._site.owner(request))
            if key is not None:
                self._spending.forget(key.fingerprint)
            await self._site.emit(Event("signed_out", key.user_id if key else None))

        link = None if key is None else (key.settings_url, "Delete the key at OpenRouter")
        text = "This site has forgotten your key. The key itself works until you delete it."
        response = _pages.page("You are signed out", text if key else "", 200, link=link)
        cookies = self._site.cookies(request)
        # A cross-site request has no cookie (SameSite), and must not delete it either.
        if cookies.has_session_cookie:
            cookies.delete(response, cookies.session_name)
        return response

    async def _me(self, request: Request) -> Response:
        """Return who is signed in, and the key's limit and usage, as JSON."""
        try:
            visitor = await self.visitor(request)
        except OpenRouterError as error:
            body = {"signed_in": False, "problem": type(error).__name__}
            return JSONResponse(body, headers=_pages.HEADERS)
        if visitor is None:
            return JSONResponse({"signed_in": False}, headers=_pages.HEADERS)

        account = {
            "signed_in": True,
            "user_id": visitor.user_id,
            "csrf_token": visitor.csrf_token,
            "settings_url": visitor.key.settings_url,
            **await self._spending.get(visitor.key),
        }
        return JSONResponse(account, headers=_pages.HEADERS)


def _refusal(connection: HTTPConnection, status: int, text: str) -> Exception:
    """Return the exception by which Starlette refuses a request or a WebSocket."""
    if connection.scope["type"] != "websocket":
        return HTTPException(status, text)
    return WebSocketException(
        _TRY_AGAIN_LATER if status == _UNAVAILABLE else _POLICY_VIOLATION, text
    )
