"""Turn an exception of the HTTP client into a failure: a reason that is safe to show."""

from __future__ import annotations

import ssl
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from langchain_openrouter._http.aiohttp_client import correct_exception
from langchain_openrouter._http.limits import LimitExceededError, StackedEncodingError
from langchain_openrouter._redaction import redact

_MAX_REASON = 200  # characters


class Failure(NamedTuple):
    """Why no complete response was received; holds no request and no key."""

    error: Exception
    """A copy of the client's exception: its type and redacted message, nothing else."""
    reason: str
    """Host and reason, for a message."""
    timed_out: bool = False
    is_retryable: bool = True
    total: bool = False
    """Whether the call took longer than its `deadline`."""


def to_failure(
    error: Exception, *, url: str, timed_out: bool = False, shared_client: bool = True
) -> Failure:
    """Return the failure of an exception, without its request, which holds the key.

    Args:
        error: An exception of httpx2, or of an exceeded limit.
        url: The URL of the request.
        timed_out: Whether the SDK reported a timeout.
        shared_client: Whether the client reads its proxy from the environment.
    """
    if isinstance(error, LimitExceededError | StackedEncodingError):
        return Failure(error, str(error), is_retryable=False)

    error = correct_exception(error)
    proxy = _proxy_of(url) if shared_client else ""
    host = f"{_host(url)} through the proxy {proxy}" if proxy else _host(url)
    kind = type(error).__name__
    timed_out = timed_out or isinstance(error, httpx2.TimeoutException)
    if isinstance(error, httpx2.ConnectTimeout):
        reason = f"{host} did not accept a connection in time ({kind})"
    elif timed_out:
        reason = f"{host}: no byte came in time ({kind})"
    else:
        reason = f"{host}: {_redacted_message(error) or 'the connection failed'} ({kind})"

    retryable = not isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol)
    return Failure(_copy(error), reason, timed_out, retryable)


def truncated_stream_failure() -> Failure:
    """Return the failure of a stream that ended without an error before the answer was complete."""
    return Failure(EOFError(), "the stream ended before the answer did (EOFError)")


def client_setup_failure(error: Exception) -> Failure:
    """Return the failure of a client that cannot be created: bad proxy or certificate settings."""
    if isinstance(error, ssl.SSLError | OSError):
        what = "the certificates that SSL_CERT_FILE or SSL_CERT_DIR name cannot be loaded"
    else:
        what = "the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot be used"
    return Failure(
        _copy(error, with_message=False), f"{what} ({type(error).__name__})", is_retryable=False
    )


def _host(url: str) -> str:
    """Return host and port, without credentials."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "the host"
    return f"{parts.hostname}:{port}" if port else parts.hostname or "the host"


def _proxy_of(url: str) -> str:
    """Return host and port of the proxy that the environment sets for this URL, if any."""
    try:
        parts = urlsplit(url)
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if not proxy or proxy_bypass(parts.hostname or ""):
            return ""
        return _host(proxy if "://" in proxy else f"//{proxy}")
    except ValueError:
        return ""


def _redacted_message(error: Exception) -> str:
    """Return the message of an exception, shortened, with all that looks like a key masked."""
    return redact(str(error), limit=_MAX_REASON)


def _copy(error: Exception, *, with_message: bool = True) -> Exception:
    """Return an exception of the same type that holds nothing but its redacted message."""
    message = _redacted_message(error) if with_message else type(error).__name__
    try:
        copy = type(error)(message)
    except Exception:  # noqa: BLE001 - a type with other arguments
        return Exception(f"{type(error).__name__}: {message}")
    return copy
