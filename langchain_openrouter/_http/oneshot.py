"""Send one HTTP request with httpx2 alone: no retry, cookie or redirect; failures are values.

The sign-in uses it, because it must not need the OpenAI SDK, must never repeat a request that
spends a one-time code, and must leave no traceback frame that holds a code or a key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx2
from pydantic import SecretStr

from langchain_openrouter._http.api_key import BearerAuth
from langchain_openrouter._http.error_mapping import error_from_response, redact_error
from langchain_openrouter._http.failures import Failure, client_setup_failure, to_failure
from langchain_openrouter._http.frames import StrippedTracebacks
from langchain_openrouter._http.limits import (
    LimitExceededError,
    StackedEncodingError,
    count_bytes,
    refuse_stacked_encodings,
)
from langchain_openrouter._json import parse_json_or_text

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from langchain_openrouter.errors import OpenRouterError

_MAX_BODY = 1024 * 1024  # bytes; these endpoints send less than a thousandth of it
_FAILURES = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    OSError,
    LimitExceededError,
    StackedEncodingError,
)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is not sent yet."""

    method: str
    url: str
    timeout: float
    """Seconds without a byte."""
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    """The body; what is secret in it is a `SecretStr`."""
    key: SecretStr | None = None
    form: Mapping[str, Any] | None = field(default=None, repr=False)
    """The body as a form, in place of JSON; what is secret in it is a `SecretStr`."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response, or in `failure` why none was received completely."""

    status: int = 0
    data: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    failure: Failure | None = None
    key: SecretStr | None = None
    """The key that was sent, to be masked in messages."""

    def error(self) -> OpenRouterError | None:
        """Return the error that this response stands for, None if it is a success."""
        if self.failure is None and self.status == 200 and isinstance(self.data, dict):  # noqa: PLR2004 - HTTP
            return None
        error = error_from_response(
            self.data, status=self.status, headers=self.headers, failure=self.failure
        )
        redact_error(error, key=self.key)
        return error


def send(request: Request) -> Response:
    """Send a request once.

    Returns:
        The response; a failure of the network is in it, not raised.
    """
    with StrippedTracebacks():
        try:
            client = httpx2.Client(timeout=request.timeout, verify=_ssl_context())
        except Exception as error:  # noqa: BLE001 - whatever a broken proxy or certificate raises
            return Response(failure=client_setup_failure(error))
        try:
            with client, client.stream(**_request_kwargs(request)) as response:
                refuse_stacked_encodings(response)
                total, chunks = 0, []
                for chunk in response.iter_bytes():
                    total = count_bytes(total, chunk, "body", _MAX_BODY)
                    chunks.append(chunk)
                return _to_response(request, response, b"".join(chunks))
        except _FAILURES as error:
            return Response(failure=to_failure(error, url=request.url))


async def asend(request: Request) -> Response:
    """Send like `send`, in the running event loop."""
    with StrippedTracebacks():
        try:
            client = httpx2.AsyncClient(timeout=request.timeout, verify=_ssl_context())
        except Exception as error:  # noqa: BLE001 - whatever a broken proxy or certificate raises
            return Response(failure=client_setup_failure(error))
        try:
            async with client, client.stream(**_request_kwargs(request)) as response:
                refuse_stacked_encodings(response)
                total, chunks = 0, []
                async for chunk in response.aiter_bytes():
                    total = count_bytes(total, chunk, "body", _MAX_BODY)
                    chunks.append(chunk)
                return _to_response(request, response, b"".join(chunks))
        except _FAILURES as error:
            return Response(failure=to_failure(error, url=request.url))


@cache
def _ssl_context() -> ssl.SSLContext:
    """Return a cached SSL context: loading its certificates takes longer than a request."""
    return httpx2.create_ssl_context()


def _request_kwargs(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.url,
        "json": _reveal(request.json),
        "data": _reveal(request.form),
        "headers": {"accept": "application/json"},
        "auth": None if request.key is None else BearerAuth(request.key),
    }


def _reveal(body: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a body with its secrets in plain text, to be encoded at once."""
    if body is None:
        return None
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in body.items()
    }


def _to_response(request: Request, response: httpx2.Response, body: bytes) -> Response:
    headers = {name: value for name, value in response.headers.items() if name != "set-cookie"}
    return Response(response.status_code, parse_json_or_text(body), headers, key=request.key)
