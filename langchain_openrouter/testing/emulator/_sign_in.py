"""The emulator's sign-in over HTTP: the page, and where it leads; see `_accounts` for the codes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from langchain_openrouter.testing.emulator import _consent_page
from langchain_openrouter.testing.emulator._accounts import Accounts, ApiRefusal

if TYPE_CHECKING:
    from starlette.requests import Request


class SignInPages:
    """The page that asks a user for a key.

    Args:
        accounts: Issues the codes.
        echo_state: Whether the callback receives `state` back.
    """

    def __init__(self, accounts: Accounts, *, echo_state: bool) -> None:
        self.accounts = accounts
        self.echo_state = echo_state

    def routes(self) -> list[Route]:
        """Return the routes of the pages."""
        return [
            Route("/auth", self._show, methods=["GET"]),
            Route("/auth", self._decide, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        parameters = dict(request.query_params)
        if not parameters.get("callback_url") and not parameters.get("code_challenge"):
            message = "A callback_url or a code_challenge is needed."
            return HTMLResponse(_consent_page.note("Invalid request", message), 400)
        return HTMLResponse(_consent_page.consent(parameters))

    async def _decide(self, request: Request) -> Response:
        parameters = dict(parse_qsl((await request.body()).decode()))
        decision = parameters.pop("decision", "")
        user_id = parameters.pop("emulated_user", "user_emulated")
        if decision not in {"approve", "deny"}:
            return HTMLResponse(_consent_page.note("Take your time", "Nothing was decided yet."))

        try:
            code = self.accounts.issue_code(user_id, parameters) if decision == "approve" else None
        except ApiRefusal as refusal:
            page = _consent_page.note("Invalid request", refusal.message)
            return HTMLResponse(page, refusal.status)
        if parameters.get("callback_url"):
            return self._redirect_back(parameters, code)
        denied = _consent_page.note("Denied", "No key.")
        return HTMLResponse(denied if code is None else _consent_page.code_page(code))

    def _redirect_back(self, parameters: dict[str, str], code: str | None) -> Response:
        """Send the browser to the callback, with a code, or with the user's denial."""
        denial = {"error": "access_denied", "error_description": "The user said no"}
        outcome = denial if code is None else {"code": code}
        if self.echo_state and parameters.get("state"):
            outcome["state"] = parameters["state"]

        parts = urlsplit(parameters["callback_url"])
        query = "&".join(filter(None, (parts.query, urlencode(outcome))))
        return RedirectResponse(urlunsplit(parts._replace(query=query)), 303)
