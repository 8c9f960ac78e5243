"""The SDK's aiohttp client as `http_async_client=`: two of its habits are put right.

`openai.DefaultAioHttpClient` sends through aiohttp. Its session has a cookie jar of its own beside
httpx2's, so that one user's cookie would go with another's key; and its table of exceptions calls
a refused or a lost connection `ConnectTimeout`, and lacks others. Nothing here imports aiohttp.

See https://github.com/openai/openai-python#with-aiohttp.
"""

from __future__ import annotations

import sys
from typing import Any

import httpx2

__all__ = ["correct_exception", "disable_session_cookies"]


def disable_session_cookies(client: Any) -> None:
    """Let the sessions that an aiohttp client will open keep no cookies.

    A session that the app itself made is left alone. For httpx2's jar see `attempts.drop_cookies`.

    Args:
        client: An httpx2 client of the user's, of whatever kind.
    """
    if sys.modules.get("aiohttp") is None:
        return

    mounts = getattr(client, "_mounts", {}).values()
    for transport in (getattr(client, "_transport", None), *mounts):
        is_aiohttp = hasattr(transport, "get_client") and hasattr(transport, "client")
        if is_aiohttp and transport.client is None:
            transport.client = _SessionFactory(transport)


class _SessionFactory:
    """Opens the session of an `AiohttpTransport` in the event loop that sends first."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def __call__(self) -> Any:
        """Return a session whose jar stores nothing."""
        from aiohttp import DummyCookieJar  # noqa: PLC0415 - not a dependency; here it is in use

        self._transport.client = None
        session = self._transport.get_client()
        session._cookie_jar = DummyCookieJar()  # noqa: SLF001 - set by the constructor alone
        return session


def correct_exception(error: Exception) -> Exception:
    """Return what an error of aiohttp is in httpx2's terms; any other error unchanged.

    `ClientConnectorError` is a refusal, `ClientOSError` and `ServerDisconnectedError` a lost
    connection. All of them arrive as `ConnectTimeout`, from which they were raised. A response that
    is not HTTP, or has a header of more than 8 KiB, arrives as aiohttp's `ClientResponseError`,
    which holds the key.
    """
    if type(error).__module__.startswith("aiohttp."):
        return httpx2.RemoteProtocolError(str(error))
    cause = error.__cause__
    if not isinstance(error, httpx2.ConnectTimeout) or isinstance(cause, TimeoutError):
        return error
    if not type(cause).__module__.startswith("aiohttp."):
        return error

    is_refused = any(kind.__name__ == "ClientConnectorError" for kind in type(cause).__mro__)
    corrected = httpx2.ConnectError if is_refused else httpx2.RemoteProtocolError
    return corrected(str(error))
