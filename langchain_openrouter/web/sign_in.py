"""`SignIn`: routes for any ASGI app that sign a visitor in with OpenRouter, and out again.

What is pending travels, sealed, in the visitor's own cookie, so that any worker can finish it and a
callback works in no other browser. The key is kept on a store; the session cookie holds an opaque
id only, and a new one at each sign-in.
"""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_core.stores import BaseStore, InMemoryByteStore
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, Router

from langchain_openrouter import errors
from langchain_openrouter._pkce import PKCELogin
from langchain_openrouter.web import _pages
from langchain_openrouter.web._sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from langchain_openrouter._seal import Secret
    from langchain_openrouter._user_key import KeyInfo, UserKey
    from langchain_openrouter.chat_models import ChatOpenRouter
    from langchain_openrouter.settings import OpenRouterSettings

_PENDING_AGE = 600
_SESSION_AGE = 30 * 24 * 3600
_SESSION = "openrouter-session"
_PENDING = "openrouter-pending-"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a sign-in: for logs and counters. Holds no secret.

    Attributes:
        kind: "signed_in", "signed_out", "denied", "expired", "replayed", "foreign", "failed"
            (OpenRouter did not answer, or refused), "not_kept" (the store did not take the key),
            "unreadable" (a session was kept with another secret).
        user_id: OpenRouter's id of the user, where it is known.
        error: What ended it.
    """

    kind: str
    user_id: str | None = None
    error: errors.SignInError | errors.KeyStoreError | None = None


@dataclass(frozen=True, slots=True)
class Visitor:
    """A visitor who is signed in."""

    key: UserKey
    csrf_token: str
    """What a sign-out must send as the form field `csrf_token` or the header `X-CSRF-Token`."""

    @property
    def user_id(self) -> str:
        """OpenRouter's id of the user; the key's fingerprint where there is none."""
        return self.key.user_id or self.key.fingerprint


class SignIn:
    """Sign-in with OpenRouter for a web app.

    Mount its routes and ask it who a request is from:

        ```python
        sign_in = SignIn(secret=SECRET, store=RedisStore("redis://..."))
        app = Starlette(routes=[Mount("/auth", sign_in.router), ...])
        user_model = sign_in.user_model(ChatOpenRouter(model="openai/gpt-4o-mini"))


        async def chat(request):  # FastAPI: model: ChatOpenRouter = Depends(user_model)
            model = await user_model(request)
        ```

    Routes: GET `/sign-in?next=/path`, GET `/callback/{nonce}`, POST `/sign-out`, GET `/me`.

    Args:
        secret: 16 bytes or more, the same for all workers; of several, the first encrypts.
        store: A `BaseStore[str, bytes]` that all workers share. None: in memory, for one worker.
        home: Where a visitor goes who did not say.
        public_url: The app's address as browsers see it, where a proxy hides it.
        key_label: Name of the key in the user's account.
        limit: What the key may spend, USD.
        usage_limit_type: When the limit starts anew.
        session_age: Seconds.
        on_event: Called with each `Event`; sync or async.
        settings: Where the base URL of the API is taken from; else the environment.
        base_url: The API's.
    """

    def __init__(  # noqa: PLR0913 - what an app may choose, nearly all optional
        self,
        *,
        secret: Secret | Sequence[Secret],
        store: BaseStore[str, bytes] | None = None,
        home: str = "/",
        public_url: str | None = None,
        key_label: str | None = None,
        limit: float | None = None,
        usage_limit_type: str | None = None,
        session_age: float = _SESSION_AGE,
        on_event: Callable[[Event], Any] | None = None,
        settings: OpenRouterSettings | None = None,
        base_url: str | None = None,
    ) -> None:
        self._secret = secret
        self._sessions = Sessions(store or InMemoryByteStore(), secret, session_age)
        self._home = home
        self._public_url = public_url
        self._wanted: dict[str, Any] = {
            "key_label": key_label, "limit": limit, "usage_limit_type": usage_limit_type,
            "settings": settings, "base_url": base_url,
        }  # fmt: skip
        self._age = session_age
        self._on_event = on_event

    @property
    def routes(self) -> list[Route]:
        """The routes, to be mounted where the app likes."""
        return [
            Route("/sign-in", self._begin, methods=["GET"]),
            Route("/callback/{nonce}", self._callback, methods=["GET"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Route("/me", self._me, methods=["GET"]),
        ]

    @property
    def router(self) -> Router:
        """The routes as an ASGI app, to be mounted in any other."""
        return Router(self.routes)

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who is signed in, None for a stranger."""
        session = request.cookies.get(self._name(request, _SESSION))
        try:
            key = await self._sessions.key(session)
        except errors.KeyStoreError as error:
            await self._tell(Event("unreadable", None, error))
            return None
        if session is None or key is None:
            return None
        return Visitor(key, self._sessions.token(session))

    def user_model(
        self, model: ChatOpenRouter, *, send_user: bool = True
    ) -> Callable[[Request], Awaitable[ChatOpenRouter]]:
        """Return a dependency that gives a route the visitor's own model.

        Args:
            model: What to run; its own key is never used.
            send_user: Send the user's id as the wire's `user`.

        Returns:
            An async function of the request; it raises a 401 `HTTPException` for a stranger.
        """

        async def user_model(request: Request) -> ChatOpenRouter:
            visitor = await self.visitor(request)
            if visitor is None:
                raise HTTPException(401, "sign in first")
            user = visitor.user_id if send_user else None
            return model.for_user(visitor.key, user=user)

        # FastAPI reads the annotations of what it is given, and knows no lazy ones.
        user_model.__annotations__ = {"request": Request}
        return user_model

    # --- the routes -----------------------------------------------------------------------

    async def _begin(self, request: Request) -> Response:
        """Send the visitor to OpenRouter's page."""
        here = self._here(request)
        try:
            login = PKCELogin.start(f"{here}/callback", **self._wanted)
        except ValueError as error:
            return _pages.page(
                "This site cannot sign you in", f"Its settings are wrong: {error}.", 500
            )
        answer = RedirectResponse(login.url, 303, headers=_pages.HEADERS)
        sealed = login.seal(self._secret)
        target = local(request.query_params.get("next"), self._home)
        name = self._name(request, _PENDING + login.nonce)
        self._set(request, answer, name, f"{sealed}|{target}", _PENDING_AGE)
        return answer

    async def _callback(self, request: Request) -> Response:
        """Finish the sign-in that this browser began."""
        nonce = request.path_params["nonce"]
        name = self._name(request, _PENDING + nonce)
        sealed, _, target = request.cookies.get(name, "").partition("|")
        if not sealed:
            if await self.visitor(request) is not None:
                return RedirectResponse(self._home, 303, headers=_pages.HEADERS)  # a reload
            await self._tell(Event("foreign"))
            text = "It began in another browser, or more than ten minutes ago."
            return self._failed(request, "This sign-in is not yours, or is over", text, 400)
        outcome = await self._outcome(sealed, request)
        if isinstance(outcome, errors.InvalidCodeError) and outcome.code is not None:
            session = await self._double_click(nonce)
            if session is not None:
                return self._welcome(request, session, name, local(target, self._home))
        if isinstance(outcome, errors.SignInError):
            return await self._ended(request, outcome, name)
        try:
            await self._sessions.end(request.cookies.get(self._name(request, _SESSION)))
            session = await self._sessions.begin(outcome)
            await self._sessions.done(nonce, session)
        except Exception as error:  # noqa: BLE001 - whatever a store may raise
            return await self._not_kept(outcome, error)
        await self._tell(Event("signed_in", outcome.user_id))
        return self._welcome(request, session, name, local(target, self._home))

    async def _outcome(self, sealed: str, request: Request) -> UserKey | errors.SignInError:
        try:
            login = PKCELogin.unseal(sealed, self._secret, _PENDING_AGE)
        except errors.SignInError as error:
            return error
        return await login.asettle(str(request.url))

    async def _double_click(self, nonce: str) -> str | None:
        """Return the session that a first click began a moment ago, or is about to begin."""
        for pause in (0.0, 0.2, 0.5, 1.0):
            await asyncio.sleep(pause)
            session = await self._sessions.session_of(nonce)
            if session is not None:
                return session
        return None

    def _welcome(self, request: Request, session: str, pending: str, target: str) -> Response:
        answer = RedirectResponse(target, 303, headers=_pages.HEADERS)
        self._set(request, answer, self._name(request, _SESSION), session, int(self._age))
        self._unset(request, answer, pending)
        return answer

    async def _ended(self, request: Request, error: errors.SignInError, pending: str) -> Response:
        """Say why there was no sign-in."""
        kind, title, status = "failed", "The sign-in failed", 502
        if isinstance(error, errors.SignInDeniedError):
            kind, title, status = "denied", "You said no", 200
        elif isinstance(error, errors.SignInExpiredError):
            kind, title, status = "expired", "That took too long", 400
        elif isinstance(error, errors.InvalidCodeError | errors.InvalidSealError):
            kind, title, status = "replayed", "This sign-in cannot be used", 400
        await self._tell(Event(kind, None, error))
        answer = self._failed(request, title, _sentence(error), status)
        if kind != "failed":  # OpenRouter may not have seen the code: a reload tries it again
            self._unset(request, answer, pending)
        return answer

    async def _not_kept(self, key: UserKey, error: Exception) -> Response:
        """Say that there is a key, and that this site has lost it."""
        lost = errors.KeyStoreError(f"the store did not keep the key ({type(error).__name__})")
        await self._tell(Event("not_kept", key.user_id, lost))
        text = "This site could not keep your new key. Delete it at OpenRouter, then try again."
        link = (key.settings_url, "Delete the key at OpenRouter")
        return _pages.page("The sign-in failed", text, 503, link=link)

    def _failed(self, request: Request, title: str, text: str, status: int) -> Response:
        again = f"{urlsplit(self._here(request)).path}/sign-in"
        return _pages.page(title, text, status, link=(again, "Try again"))

    async def _sign_out(self, request: Request) -> Response:
        """Forget the session; only a page of this site can ask for it."""
        name = self._name(request, _SESSION)
        session = request.cookies.get(name, "")
        token = request.headers.get("x-csrf-token") or str(
            (await request.form()).get("csrf_token", "")
        )
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"} or (
            session and not self._sessions.is_token(session, token)
        ):
            return _pages.page("Not signed out", "This request came from somewhere else.", 403)
        visitor = await self.visitor(request)
        key = visitor.key if visitor else None
        await self._sessions.end(session)
        await self._tell(Event("signed_out", key.user_id if key else None))
        link = None if key is None else (key.settings_url, "Delete the key at OpenRouter")
        text = "This site has forgotten your key. The key itself works until you delete it."
        answer = _pages.page("You are signed out", text if key else "", 200, link=link)
        self._unset(request, answer, name)
        return answer

    async def _me(self, request: Request) -> Response:
        """Tell the page who is signed in, and what the key may still spend."""
        visitor = await self.visitor(request)
        if visitor is None:
            return JSONResponse({"signed_in": False}, headers=_pages.HEADERS)
        told = {
            "signed_in": True,
            "user_id": visitor.user_id,
            "csrf_token": visitor.csrf_token,
            "settings_url": visitor.key.settings_url,
            **await _spending(visitor.key),
        }
        return JSONResponse(told, headers=_pages.HEADERS)

    # --- help -----------------------------------------------------------------------------

    def _here(self, request: Request) -> str:
        """Return the address under which these routes are mounted, as browsers see it."""
        url = request.url
        root = request.scope.get("root_path", "")
        origin = (self._public_url or f"{url.scheme}://{url.netloc}").rstrip("/")
        return f"{origin}{root}"

    def _secure(self, request: Request) -> bool:
        return self._here(request).startswith("https:")

    def _name(self, request: Request, name: str) -> str:
        """Return a cookie's name: on https one that no other site of the domain can set."""
        return f"__Host-{name}" if self._secure(request) else name

    def _set(self, request: Request, answer: Response, name: str, value: str, age: int) -> None:
        answer.set_cookie(
            name, value, max_age=age, path="/", httponly=True, samesite="lax",
            secure=self._secure(request),
        )  # fmt: skip

    def _unset(self, request: Request, answer: Response, name: str) -> None:
        answer.delete_cookie(
            name, path="/", httponly=True, samesite="lax", secure=self._secure(request)
        )

    async def _tell(self, event: Event) -> None:
        if self._on_event is not None:
            told = self._on_event(event)
            if inspect.isawaitable(told):
                await told


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


async def _spending(key: UserKey) -> dict[str, Any]:
    """Return a key's limit; nothing where OpenRouter does not tell."""
    try:
        info: KeyInfo = await key.ainfo()
    except errors.OpenRouterError as error:
        return {"problem": type(error).__name__}
    return {"limit": info.limit, "remaining": info.remaining, "usage": info.usage}


def local(target: str | None, home: str) -> str:
    """Return a path of this site; `home` for anything that could lead elsewhere."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return home
    if any(char <= " " or char in "\\\x7f|;" for char in target) or not target.isascii():
        return home
    parts = urlsplit(target)
    return home if parts.scheme or parts.netloc else target
