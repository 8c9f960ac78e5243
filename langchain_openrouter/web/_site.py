"""The state that the routes of a `SignIn` share, and their events."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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


EventKind: TypeAlias = Literal[
    "signed_in",
    "signed_out",
    "denied",
    "expired",
    "code_reused",
    "wrong_browser",
    "failed",
    "store_failed",
    "session_unreadable",
]
"""What happened.

- "signed_in", "signed_out": a session started, or ended.
- "denied": the visitor said no on OpenRouter's page.
- "expired": the sign-in took longer than ten minutes.
- "code_reused": the code or the sealed sign-in was used before, altered, or of another sign-in.
- "wrong_browser": the callback came from a browser that did not start the sign-in.
- "failed": OpenRouter was not reached, or refused the exchange.
- "store_failed": the store did not respond, or did not take the key.
- "session_unreadable": a session was stored with another secret, or altered.

The former values "replayed", "foreign", "not_kept" and "unreadable" are "code_reused",
"wrong_browser", "store_failed" and "session_unreadable" now.
"""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the sign-in, for logs and counters. Holds no secret.

    Attributes:
        kind: What happened; see `EventKind`.
        user_id: OpenRouter's id of the user, if known.
        error: Why it ended.
        granted: `UserKey.granted` of a new key: what it has instead of what was requested.
    """

    kind: EventKind
    user_id: str | None = None
    error: errors.SignInError | errors.KeyStoreError | None = None
    granted: Mapping[str, Any] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Site:
    """What the routes need to know of the app."""

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
        """Return the URL that OpenRouter redirects the browser to, without the nonce."""
        return f"{self.hosts.mount_url(request)}/callback"

    async def key(self, request: Request) -> UserKey | None:
        """Return the key of the signed-in visitor, None if nobody is signed in."""
        try:
            return await self.sessions.key(self.cookies(request).session)
        except errors.KeyStoreError as error:
            await self.emit(Event("session_unreadable", None, error))
            return None

    async def emit(self, event: Event) -> None:
        """Call the app's `on_event`."""
        if self.on_event is not None:
            result = self.on_event(event)
            if inspect.isawaitable(result):
                await result
