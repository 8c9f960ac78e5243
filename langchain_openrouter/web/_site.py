"""What the routes of one `SignIn` share, and the events that they tell."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_openrouter import errors
from langchain_openrouter.web._cookies import Cookies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request

    from langchain_openrouter._encryption import Secret
    from langchain_openrouter.oauth._user_key import UserKey
    from langchain_openrouter.web._hosts import Hosts
    from langchain_openrouter.web._redemptions import Redemptions
    from langchain_openrouter.web._sessions import Sessions


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


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Site:
    """The app, as its routes know it."""

    secret: Secret | Sequence[Secret]
    api: Mapping[str, Any]
    """`settings` and `base_url`, as `PKCELogin.start` and `unseal` take them."""
    sessions: Sessions
    redemptions: Redemptions
    hosts: Hosts
    home: str
    session_age: float
    on_event: Callable[[Event], Any] | None

    def cookies(self, request: Request) -> Cookies:
        """Return the cookies of a request."""
        return Cookies(request, secure=self.hosts.is_https(request))

    def callback_url(self, request: Request) -> str:
        """Return where OpenRouter sends the browser, without the nonce."""
        return f"{self.hosts.mount_url(request)}/callback"

    async def key(self, request: Request) -> UserKey | None:
        """Return the key of who is signed in, None for a stranger."""
        try:
            return await self.sessions.key(self.cookies(request).session)
        except errors.KeyStoreError as error:
            await self.emit(Event("unreadable", None, error))
            return None

    async def emit(self, event: Event) -> None:
        """Tell the app what happened."""
        if self.on_event is not None:
            pending = self.on_event(event)
            if inspect.isawaitable(pending):
                await pending
