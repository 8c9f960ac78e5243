"""One attempt of a request: what is sent, and what its failure is called.

The SDK's `request` takes as long for what nobody needs here (copies of options, multipart forms,
casts of the response) as httpx2 for the request itself. The clients send with these instead, under
the SDK's own rules of how long to wait and the names of its errors.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx2
from openai import APIConnectionError, APITimeoutError
from openai._httpx2 import request_exceptions, timeout_exceptions

from langchain_openrouter._http.aiohttp_client import correct_exception

if TYPE_CHECKING:
    from collections.abc import Mapping

_parse_url = lru_cache(maxsize=64)(httpx2.URL)


class SendOptions(NamedTuple):
    """What is sent, and how often; the SDK's `FinalRequestOptions`, of which it has the names."""

    method: str
    url: str
    headers: Mapping[str, Any]
    params: Mapping[str, Any]
    max_retries: int
    timeout: httpx2.Timeout
    content: bytes | None

    def get_max_retries(self, default: int) -> int:
        """Return how often the request is repeated, for the SDK's rule of how long to wait."""
        del default
        return self.max_retries


def build_request(
    client: Any, options: SendOptions, headers: Mapping[str, str], *, is_shared: bool
) -> httpx2.Request:
    """Build the request of an attempt.

    Args:
        client: The httpx2 client that sends it.
        options: Method, URL, query, timeout and body.
        headers: By lower-case name.
        is_shared: Whether the client is one of ours, which has no query, cookies or base URL of
            its own to be merged in.
    """
    method, url, query = options.method, options.url, options.params
    timeout, body = options.timeout, options.content
    if body is None:
        headers = {name: value for name, value in headers.items() if name != "content-type"}

    if not is_shared or query:
        built: httpx2.Request = client.build_request(
            method, url, params=query or None, headers=headers, content=body, timeout=timeout
        )
        return built
    parsed, extensions = _parse_url(url), {"timeout": timeout.as_dict()}
    headers = {**_own_headers(client), **headers}
    if body is None:
        return httpx2.Request(method, parsed, headers=headers, content=body, extensions=extensions)

    # With a `stream`, httpx2 does not look for what a body may need. Nobody else sets these
    # headers: `request_headers` refuses them.
    headers = {"Host": parsed.netloc.decode(), **headers, "Content-Length": f"{len(body)}"}
    stream = httpx2.ByteStream(body)
    return httpx2.Request(method, parsed, headers=headers, stream=stream, extensions=extensions)


def _own_headers(client: Any) -> dict[str, str]:
    """Return the headers that a client of httpx2 adds by itself, such as the encodings it reads."""
    own = _headers_by_client.get(type(client))
    if own is None:
        own = _headers_by_client[type(client)] = dict(client.headers)
    return own


_headers_by_client: dict[type, dict[str, str]] = {}


def drop_cookies(client: Any, response: Any) -> None:
    """Drop the cookies of a response, which are one user's, from the jar of an app's own client.

    Cookies that the app has put into `client.cookies` are sent with every request.
    """
    if "set-cookie" not in response.headers:
        return
    received = type(client.cookies)()
    received.extract_cookies(response)

    for cookie in received.jar:
        with suppress(KeyError):
            client.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)


def to_connection_error(error: Exception, request: httpx2.Request) -> APIConnectionError | None:
    """Return the SDK's error of a failure of the network; None for any other exception."""
    error = correct_exception(error)
    if isinstance(error, timeout_exceptions()):
        return APITimeoutError(request=request)
    return APIConnectionError(request=request) if isinstance(error, request_exceptions()) else None
