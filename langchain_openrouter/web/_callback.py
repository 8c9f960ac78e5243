"""The route that OpenRouter sends the browser back to: one exchange, and a page in every case."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from starlette.responses import RedirectResponse, Response

from langchain_openrouter import errors
from langchain_openrouter.oauth._callback import code_of, parse_callback
from langchain_openrouter.oauth._pkce import PKCELogin
from langchain_openrouter.web import _pages
from langchain_openrouter.web._cookies import PENDING_AGE
from langchain_openrouter.web._site import Event

if TYPE_CHECKING:
    from starlette.requests import Request

    from langchain_openrouter.oauth._user_key import UserKey
    from langchain_openrouter.web._cookies import Pending
    from langchain_openrouter.web._redemptions import Claim
    from langchain_openrouter.web._site import Site

_MAX_TARGET = 1024  # characters of `next`
_SERVER_ERROR = 500
_TOO_MANY = 429


class CallbackRoute:
    """Finishes the sign-in that a browser began; an endpoint of Starlette's."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, request: Request) -> Response:
        """Answer a browser that comes back from OpenRouter's page."""
        if request.method == "HEAD":  # a link that is looked at is not followed
            return Response(headers=_pages.HEADERS)
        pending = self._site.cookies(request).pending(request.path_params["nonce"])
        if pending is None:
            return await self._without_pending(request)

        login = self._validated(request, pending)
        if isinstance(login, errors.SignInError):
            return await self._ended(request, login, pending)
        try:
            claim = await self._site.redemptions.claim(pending.sealed)
        except Exception as error:  # noqa: BLE001 - whatever a store may raise
            return await self._no_store(error)

        if claim is None:
            return await self._second_click(request, pending)
        return await self._redeemed(request, login, pending, claim)

    async def _without_pending(self, request: Request) -> Response:
        """Send a reload on; refuse a callback of another browser."""
        if await self._site.key(request) is not None:
            return RedirectResponse(self._site.home, 303, headers=_pages.HEADERS)
        await self._site.emit(Event("foreign"))
        text = "It began in another browser, or more than ten minutes ago."
        return self._failed(request, "This sign-in is not yours, or is over", text, 400)

    def _validated(self, request: Request, pending: Pending) -> PKCELogin | errors.SignInError:
        """Return the sign-in if it is this app's, and the callback its own: path and state."""
        try:
            login = PKCELogin.unseal(
                pending.sealed, self._site.secret, PENDING_AGE, **self._site.api
            )
        except errors.SignInError as error:
            return error
        if login.callback_url != self._site.callback_url(request):
            return errors.InvalidSealError("the sealed sign-in is of another site: begin a new one")

        code = code_of(parse_callback(_address(request)), login.nonce)
        return code if isinstance(code, errors.SignInError) else login

    async def _redeemed(
        self, request: Request, login: PKCELogin, pending: Pending, claim: Claim
    ) -> Response:
        """Exchange the code, and begin a session."""
        outcome = await _exchange(login, request)
        if isinstance(outcome, errors.SignInError):
            with suppress(Exception):  # the store's: then nobody else can try, which is safe
                await self._site.redemptions.failed(claim, may_repeat=_may_repeat(outcome))
            return await self._ended(request, outcome, pending)

        session = None
        try:
            session = await self._site.sessions.begin(outcome)
            await self._site.redemptions.signed_in(claim, session)
            await self._site.sessions.end(self._site.cookies(request).session)
        except Exception as error:  # noqa: BLE001 - whatever a store may raise
            with suppress(Exception):
                await self._site.sessions.end(session)
                await self._site.redemptions.failed(claim, may_repeat=False)
            return await self._not_kept(outcome, error)
        await self._site.emit(Event("signed_in", outcome.user_id))
        return self._welcome(request, session, pending)

    async def _second_click(self, request: Request, pending: Pending) -> Response:
        """Answer as the first click is answered, and exchange nothing."""
        try:
            result = await self._site.redemptions.result(pending.sealed)
            key = await self._site.sessions.key(result.session)
        except Exception as error:  # noqa: BLE001 - whatever a store may raise
            return await self._no_store(error)

        if result.session is not None and key is not None:
            return self._welcome(request, result.session, pending)
        if result.may_repeat:
            text = "the exchange failed - reload this page, or begin a new sign-in"
            return await self._ended(request, errors.SignInConnectionError(text), pending)
        text = "this sign-in was used before - begin a new one"
        return await self._ended(request, errors.InvalidCodeError(text), pending)

    def _welcome(self, request: Request, session: str, pending: Pending) -> Response:
        target = local(pending.target, self._site.home)
        response = RedirectResponse(target, 303, headers=_pages.HEADERS)
        cookies = self._site.cookies(request)
        cookies.set_session(response, session, int(self._site.session_age))
        cookies.delete(response, pending.name)
        return response

    async def _ended(
        self, request: Request, error: errors.SignInError, pending: Pending
    ) -> Response:
        """Say why there was no sign-in."""
        kind, title, status = "failed", "The sign-in failed", 502
        if isinstance(error, errors.SignInDeniedError):
            kind, title, status = "denied", "You said no", 200
        elif isinstance(error, errors.SignInExpiredError):
            kind, title, status = "expired", "That took too long", 400
        elif isinstance(error, errors.InvalidCodeError | errors.InvalidSealError):
            kind, title, status = "replayed", "This sign-in cannot be used", 400
        await self._site.emit(Event(kind, None, error))

        response = self._failed(request, title, sentence(error), status)
        # OpenRouter may not have seen the code: then a reload tries it again.
        if kind != "failed" or not _may_repeat(error):
            self._site.cookies(request).delete(response, pending.name)
        return response

    async def _no_store(self, error: Exception) -> Response:
        """Say that no key could be kept, before one is made."""
        failure = errors.KeyStoreError(f"the store did not answer ({type(error).__name__})")
        await self._site.emit(Event("not_kept", None, failure))
        text = "This site can keep no key at the moment, and has made none. Reload this page soon."
        return _pages.page("The sign-in failed", text, 503)

    async def _not_kept(self, key: UserKey, error: Exception) -> Response:
        """Say that there is a key, and that this site has lost it."""
        failure = errors.KeyStoreError(f"the store did not keep the key ({type(error).__name__})")
        await self._site.emit(Event("not_kept", key.user_id, failure))
        text = "This site could not keep your new key. Delete it at OpenRouter, then try again."
        link = (key.settings_url, "Delete the key at OpenRouter")
        return _pages.page("The sign-in failed", text, 503, link=link)

    def _failed(self, request: Request, title: str, text: str, status: int) -> Response:
        again = f"{urlsplit(self._site.hosts.mount_url(request)).path}/sign-in"
        return _pages.page(title, text, status, link=(again, "Try again"))


def _address(request: Request) -> str:
    """Return the callback's address. Its host is of no account, and may hold anything."""
    nonce = quote(request.path_params["nonce"], safe="")
    return f"https://callback/{nonce}?{request.scope['query_string'].decode('latin-1')}"


async def _exchange(login: PKCELogin, request: Request) -> UserKey | errors.SignInError:
    try:
        return await login.asettle(_address(request))
    except Exception as error:  # noqa: BLE001 - the visitor gets a page, whatever it is
        failure = type(error).__name__
    return errors.SignInError(f"the exchange failed ({failure}) - begin a new sign-in")


def _may_repeat(error: errors.SignInError) -> bool:
    """Tell whether the code may still be good: OpenRouter was not reached, or failed itself."""
    if isinstance(error, errors.SignInConnectionError):
        return True
    status = error.code if isinstance(error, errors.SignInRefusedError) else None
    return isinstance(status, int) and (status >= _SERVER_ERROR or status == _TOO_MANY)


def sentence(error: Exception) -> str:
    """Return an error's message as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def local(target: str | None, home: str) -> str:
    """Return a path of this site; `home` for what could lead elsewhere, or is too long."""
    if (
        not target
        or len(target) > _MAX_TARGET
        or not target.startswith("/")
        or target.startswith(("//", "/\\"))
    ):
        return home
    if any(char <= " " or char in "\\\x7f|;" for char in target) or not target.isascii():
        return home
    parts = urlsplit(target)
    return home if parts.scheme or parts.netloc else target
