"""The cookies of the sign-in: one for the session, and up to three for pending sign-ins."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, NamedTuple

from starlette.requests import cookie_parser

from langchain_openrouter._encryption import sealed_at
from langchain_openrouter.web._sessions import is_session_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

PENDING_AGE = 600  # seconds
_SESSION = "openrouter-session"
_PENDING = "openrouter-pending-"
_MAX_PENDING = 3  # in one browser, which sends them with each request
_MAX_DELETED = 30  # in one response
_NONCE = re.compile(r"[A-Za-z0-9_-]{22}")
_DELETABLE = re.compile(r"[A-Za-z0-9_-]{1,256}")  # only such names can be deleted


class Pending(NamedTuple):
    """A sign-in that this browser started. Must not be shown: it holds the sealed sign-in."""

    name: str
    sealed: str
    target: str


class Cookies:
    """The cookies of one request, and of its response.

    Args:
        received: The cookies that the browser sent, by name.
        secure: Whether it is https, where the prefix `__Host-` binds a cookie to this host.
    """

    def __init__(self, received: Mapping[str, str], *, secure: bool) -> None:
        self._received = received
        self._secure = secure
        self._prefix = "__Host-" if secure else ""
        self.session_name = self._prefix + _SESSION

    @property
    def session(self) -> str | None:
        """The session's id, None if the cookie does not hold one."""
        value = self._received.get(self.session_name)
        return value if is_session_id(value) else None

    @property
    def has_session_cookie(self) -> bool:
        """Whether the browser sent a session cookie, valid or not."""
        return self.session_name in self._received

    def pending(self, nonce: str) -> Pending | None:
        """Return the pending sign-in of a nonce, None if this browser started none."""
        if not _NONCE.fullmatch(nonce):
            return None
        name = f"{self._prefix}{_PENDING}{nonce}"
        sealed, _, target = self._received.get(name, "").partition("|")
        return Pending(name, sealed, _decoded(target)) if sealed else None

    def set_session(self, response: Response, session: str, age: int) -> None:
        """Set the session's cookie; `age` is in seconds."""
        self._set(response, self.session_name, session, age)

    def set_pending(self, response: Response, nonce: str, sealed: str, target: str) -> None:
        """Set the cookie of a new sign-in, and delete the oldest if there are too many."""
        encoded = base64.urlsafe_b64encode(target.encode()).decode()
        self._set(response, f"{self._prefix}{_PENDING}{nonce}", f"{sealed}|{encoded}", PENDING_AGE)

        start = self._prefix + _PENDING
        others = [name for name in self._received if name.startswith(start)]
        # Browsers send the oldest first, and the sort is stable: that decides within a second.
        others.sort(key=lambda name: sealed_at(self._received[name]))
        excess = filter(_DELETABLE.fullmatch, others[: max(0, len(others) + 1 - _MAX_PENDING)])
        for name in list(excess)[:_MAX_DELETED]:
            self.delete(response, name)

    def delete(self, response: Response, name: str) -> None:
        """Delete a cookie."""
        response.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=self._secure)

    def _set(self, response: Response, name: str, value: str, age: int) -> None:
        response.set_cookie(
            name,
            value,
            max_age=age,
            path="/",
            httponly=True,
            samesite="lax",
            secure=self._secure,
        )


def session_in(header: str | None, *, secure: bool | None) -> str | None:
    """Return the session's id in a header Cookie, None if there is none.

    Args:
        header: The header, without its name.
        secure: Whether the browser is on https; None if that is not known: the cookie that only an
            app on https can set is read first then.
    """
    received = cookie_parser(header or "")
    if secure is None:
        secure = f"__Host-{_SESSION}" in received
    return Cookies(received, secure=secure).session


def _decoded(target: str) -> str:
    try:
        return base64.urlsafe_b64decode(target).decode()
    except ValueError:
        return ""
