"""The route that OpenRouter redirects the browser to: one exchange, and a page in every case."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from starlette.responses import RedirectResponse, Response

from langchain_openrouter import errors
from langchain_openrouter.oauth._callback import code_of, parse_callback
from langchain_openrouter.oauth._granted import warn_of_difference
from langchain_openrouter.oauth._pkce import PKCELogin
from langchain_openrouter.web import _pages
from langchain_openrouter.web._cookies import PENDING_AGE
from langchain_openrouter.web._site import Event, EventKind

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
    """Completes the sign-in that a browser started; a Starlette endpoint."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, request: Request) -> Response:
        """Respond to a browser that returns from OpenRouter's page."""
        if request.method == "HEAD":  # link previews must not use the code
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
            return await self._store_unavailable(error)

        if claim is None:
            return await self._second_click(request, pending)
        return await self._redeemed(request, login, pending, claim)

    async def _without_pending(self, request: Request) -> Response:
        """Redirect a reload of a completed sign-in; refuse a callback of another browser."""
        if await self._site.key(request) is not None:
            return RedirectResponse(self._site.home, 303, headers=_pages.HEADERS)
        await self._site.emit(Event("wrong_browser"))
        text = "It began in another browser, or more than ten minutes ago."
        return self._failed(request, "This sign-in is not yours, or is over", text, 400)

    def _validated(self, request: Request, pending: Pending) -> PKCELogin | errors.SignInError:
        """Return the sign-in if it is this app's and the callback matches it in path and state."""
        try:
            login = PKCELogin.unseal(
                pending.sealed, self._site.secret, PENDING_AGE, **self._site.api
            )
        except errors.SignInError as error:
            return error
        if login.callback_url != self._site.callback_url(request):
            return errors.SignInSealError("the sealed sign-in is of another site: begin a new one")

        code = code_of(parse_callback(_address(request)), login.nonce)
        return code if isinstance(code, errors.SignInError) else login

    async def _redeemed(
        self, request: Request, login: PKCELogin, pending: Pending, claim: Claim
    ) -> Response:
        """Exchange the code, and start a session."""
        outcome = await _exchange(login, request)
        if isinstance(outcome, errors.SignInError):
            with suppress(Exception):  # of the store: nobody can try again then, which is safe
                await self._site.redemptions.failed(claim, may_repeat=_may_repeat(outcome))
            return await self._ended(request, outcome, pending)

        session, owner = None, await self._site.owner(request)
        try:
            session = await self._site.sessions.begin(outcome, owner)
            await self._site.redemptions.signed_in(claim, session)
            await self._site.sessions.end(self._site.cookies(request).session, owner)
        except Exception as error:  # noqa: BLE001 - whatever a store may raise
            with suppress(Exception):
                await self._site.sessions.end(session, owner)
                await self._site.redemptions.failed(claim, may_repeat=False)
            return await self._store_failed(outcome, error)
        with suppress(Warning):  # where warnings are errors, the visitor is signed in all the same
            warn_of_difference(login, outcome)
        await self._site.emit(Event("signed_in", outcome.user_id, granted=outcome.granted))
        return self._redirect_signed_in(request, session, pending)

    async def _second_click(self, request: Request, pending: Pending) -> Response:
        """Respond as to the first click, without an exchange."""
        try:
            result = await self._site.redemptions.result(pending.sealed)
            key = await self._site.sessions.key(result.session, await self._site.owner(request))
        except Exception as error:  # noqa: BLE001 - whatever a store may raise
            return await self._store_unavailable(error)

        if result.session is not None and key is not None:
            return self._redirect_signed_in(request, result.session, pending)
        if result.may_repeat:
            text = "the exchange failed - reload this page, or begin a new sign-in"
            return await self._ended(request, errors.SignInConnectionError(text), pending)
        text = "this sign-in was used before - begin a new one"
        return await self._ended(request, errors.SignInCodeError(text), pending)

    def _redirect_signed_in(self, request: Request, session: str, pending: Pending) -> Response:
        """Redirect to the page that the visitor came from, with the session's cookie."""
        target = safe_redirect_path(pending.target, self._site.home)
        response = RedirectResponse(target, 303, headers=_pages.HEADERS)
        cookies = self._site.cookies(request)
        cookies.set_session(response, session, int(self._site.session_age))
        cookies.delete(response, pending.name)
        return response

    async def _ended(
        self, request: Request, error: errors.SignInError, pending: Pending
    ) -> Response:
        """Return a page that says why there was no sign-in."""
        kind: EventKind
        kind, title, status = "failed", "The sign-in failed", 502
        if isinstance(error, errors.SignInDeniedError):
            kind, title, status = "denied", "You said no", 200
        elif isinstance(error, errors.SignInExpiredError):
            kind, title, status = "expired", "That took too long", 400
        elif isinstance(error, errors.SignInCodeError | errors.SignInSealError):
            kind, title, status = "code_reused", "This sign-in cannot be used", 400
        await self._site.emit(Event(kind, None, error))

        response = self._failed(request, title, sentence(error), status)
        # If OpenRouter may not have received the code, a reload tries it again.
        if kind != "failed" or not _may_repeat(error):
            self._site.cookies(request).delete(response, pending.name)
        return response

    async def _store_unavailable(self, error: Exception) -> Response:
        """Return a page that says that no key can be stored; none was created."""
        failure = errors.KeyStoreError(f"the store did not answer ({type(error).__name__})")
        await self._site.emit(Event("store_failed", None, failure))
        text = "This site can keep no key at the moment, and has made none. Reload this page soon."
        return _pages.page("The sign-in failed", text, 503)

    async def _store_failed(self, key: UserKey, error: Exception) -> Response:
        """Return a page that says that a key was created and could not be stored."""
        failure = errors.KeyStoreError(f"the store did not keep the key ({type(error).__name__})")
        await self._site.emit(Event("store_failed", key.user_id, failure))
        text = "This site could not keep your new key. Delete it at OpenRouter, then try again."
        link = (key.settings_url, "Delete the key at OpenRouter")
        return _pages.page("The sign-in failed", text, 503, link=link)

    def _failed(self, request: Request, title: str, text: str, status: int) -> Response:
        again = f"{urlsplit(self._site.hosts.mount_url(request)).path}/sign-in"
        return _pages.page(title, text, status, link=(again, "Try again"))


def _address(request: Request) -> str:
    """Return the callback's URL. Its host is not used, and a client could send any."""
    nonce = quote(request.path_params["nonce"], safe="")
    return f"https://callback/{nonce}?{request.scope['query_string'].decode('latin-1')}"


async def _exchange(login: PKCELogin, request: Request) -> UserKey | errors.SignInError:
    try:
        return await login._aredeem(_address(request))  # noqa: SLF001 - private to this package
    except Exception as error:  # noqa: BLE001 - the visitor gets a page in every case
        failure = type(error).__name__
    return errors.SignInError(f"the exchange failed ({failure}) - begin a new sign-in")


def _may_repeat(error: errors.SignInError) -> bool:
    """Tell whether the code may still work: OpenRouter was not reached, or failed itself."""
    if isinstance(error, errors.SignInConnectionError):
        return True
    status = error.code if isinstance(error, errors.SignInRefusedError) else None
    return isinstance(status, int) and (status >= _SERVER_ERROR or status == _TOO_MANY)


def sentence(error: Exception) -> str:
    """Return an error's message as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def safe_redirect_path(target: str | None, home: str) -> str:
    """Return a path on this site.

    Args:
        target: The requested path.
        home: Returned in place of a target that could lead to another site or is too long.
    """
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
