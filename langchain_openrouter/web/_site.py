"""The state that the routes of a `SignIn` share, and their events."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_openrouter import errors
from langchain_openrouter.web._cookies import Cookies, session_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.requests import HTTPConnection

    from langchain_openrouter._encryption import Secret
    from langchain_openrouter.oauth._user_key import UserKey
    from langchain_openrouter.web._app_users import AppUsers
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
    "wrong_origin",
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
- "wrong_origin": a page of another site opened a WebSocket with the visitor's cookies.

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
    app_users: AppUsers | None = None

    async def owner(self, connection: HTTPConnection) -> str | None:
        """Return whom the app itself has signed in, to whom a session belongs."""
        return None if self.app_users is None else await self.app_users.user_id(connection)

    def cookies(self, connection: HTTPConnection) -> Cookies:
        """Return the cookies of a request."""
        return Cookies(connection.cookies, secure=self.hosts.is_https(connection))

    def callback_url(self, connection: HTTPConnection) -> str:
        """Return the URL that OpenRouter redirects the browser to, without the nonce."""
        return f"{self.hosts.mount_url(connection)}/callback"

    def is_cross_site(self, connection: HTTPConnection) -> bool:
        """Tell whether a page of another site opened a WebSocket.

        Browsers let any page open one to any host, and send its cookies along. They always name
        the page's origin; other clients name none. See RFC 6455, section 10.2.
        """
        if connection.scope["type"] != "websocket":
            return False
        host, https = connection.headers.get("host", ""), self.hosts.is_https(connection)
        return not self.hosts.allows(connection) or not all(
            self.hosts.allows_origin(origin, host=host, https=https)
            for origin in connection.headers.getlist("origin")
        )

    async def key(self, connection: HTTPConnection) -> UserKey | None:
        """Return the key of the signed-in visitor, None if nobody is signed in."""
        session, owner = self.cookies(connection).session, await self.owner(connection)
        return await self.key_of_session(session, owner)

    async def key_of_session(self, session: str | None, owner: str | None = None) -> UserKey | None:
        """Return the key of a session, None if there is none."""
        try:
            return await self.sessions.key(session, owner)
        except errors.KeyStoreError as error:
            await self.emit(Event("session_unreadable", None, error))
            return None

    def read_key_of_session(self, session: str | None) -> UserKey | None:
        """Return like `key_of_session`, without an event loop."""
        try:
            return self.sessions.read_key(session)
        except errors.KeyStoreError as error:
            self.emit_sync(Event("session_unreadable", None, error))
            return None

    def session_in(
        self, header: str | None, *, origin: str | None, https: bool | None
    ) -> str | Event | None:
        """Return the session's id in a header Cookie; the event, if another site sent it.

        Raises:
            ValueError: The origin can be compared with nothing.
        """
        if https is None:
            https = self.hosts.public_https
        if origin is not None and not self.hosts.allows_origin(origin, https=bool(https)):
            return Event("wrong_origin")
        return session_in(header, secure=https)

    async def emit(self, event: Event) -> None:
        """Call the app's `on_event`."""
        if self.on_event is not None:
            result = self.on_event(event)
            if inspect.isawaitable(result):
                await result

    def emit_sync(self, event: Event) -> None:
        """Call the app's `on_event` from code that cannot wait for it."""
        result = None if self.on_event is None else self.on_event(event)
        if not inspect.isawaitable(result):
            return

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(_wait_for(result))
        else:
            task = loop.create_task(_wait_for(result))
            _pending.add(task)
            task.add_done_callback(_pending.discard)


_pending: set[asyncio.Task[None]] = set()  # an event loop keeps weak references only


async def _wait_for(result: Awaitable[Any]) -> None:
    await result
