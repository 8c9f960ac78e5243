"""Send requests; failures of the network are values."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError

from langchain_openrouter._http import urls
from langchain_openrouter._http.aiohttp_client import correct_exception
from langchain_openrouter._http.api_key import BearerAuth, aresolve_api_key, resolve_api_key
from langchain_openrouter._http.attempts import SendOptions
from langchain_openrouter._http.encoding import encode_json
from langchain_openrouter._http.failures import Failure, client_setup_failure, to_failure
from langchain_openrouter._http.frames import StrippedTracebacks
from langchain_openrouter._http.limits import LimitExceededError, StackedEncodingError
from langchain_openrouter._http.management_key import (
    aresolve_management_key,
    resolve_management_key,
)
from langchain_openrouter._http.pools import aclose, async_client, close, sync_client
from langchain_openrouter._http.recorded import recorded_answer
from langchain_openrouter._http.run_key import (
    CheckedKey,
    arun_key,
    require_same_service,
    run_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import SecretStr

    from langchain_openrouter._http.deadlines import Deadline
    from langchain_openrouter._http.metering import Call

__all__ = [
    "ApiResponse",
    "Failure",
    "Request",
    "aclose",
    "asend",
    "close",
    "encode_json",
    "send",
]

_EVENTS_PER_YIELD = 32  # events of one stream before other tasks of the loop have their turn
_MAX_DRAIN_SECONDS = 1.0
_MAX_DRAIN_BYTES = 65_536  # read after the end of an answer, so that its connection is reused


class Request(NamedTuple):
    """One request; a GET has an empty body."""

    url: str
    body: bytes
    headers: dict[str, str]
    timeout: httpx2.Timeout
    max_retries: int
    api_key: SecretStr | Any = None
    """A secret, or a callable that returns one; None sends no key, see `needs_key`."""
    needs_key: bool = True
    """Whether a request without a key is an error before it is sent."""
    query: Mapping[str, Any] | None = None
    client: Any = None
    """The user's own httpx2 client, in place of the shared one."""
    method: str = "post"
    base_url: str = ""
    """The API's base URL; the settings page of the key is on its site."""
    deadline: Deadline | None = None
    """When the response must be complete."""
    call: Call | None = None
    """What meters are told of the request; None where nobody counts its cost."""
    is_management: bool = False
    """Whether `api_key` is a management key: the app's own, also inside a user's run."""


@dataclass(slots=True)
class ApiResponse:
    """The result of one request: a complete body, an open stream, or a failure."""

    status: int | None = None
    """None if no response was received."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Without cookies, which are one user's."""
    body: bytes = field(default=b"", repr=False)
    """The bytes received, unless it is a stream."""
    failure: Failure | None = None
    """Why there is no complete response."""
    key: SecretStr | None = None
    """The key that was sent, to be masked in messages."""
    base_url: str = field(default="", repr=False)
    """The API's base URL; empty where the key is the app's own, a management key."""
    stream: httpx2.Response | None = field(default=None, repr=False)
    """The open response, where events are to be read."""
    deadline: Deadline | None = field(default=None, repr=False)
    """When the stream must have ended."""
    call: Call | None = field(default=None, repr=False)
    """Ended by `error_context`, when the response has been read."""

    @property
    def settings_url(self) -> str:
        """The page where the owner of the key raises its limit; empty where there is none."""
        if self.key is None or not self.base_url:
            return ""
        hash_ = urls.key_hash(self.key.get_secret_value())
        return urls.settings_url(urls.site_url(self.base_url), hash_)

    @property
    def is_error(self) -> bool:
        """Whether it is a failure, or has the status of an error."""
        return self.failure is not None or not (self.status or 0) < 300  # noqa: PLR2004 - HTTP

    def close(self) -> None:
        """Close the stream; the upstream request is canceled if it has not ended."""
        if self.stream is not None:
            with StrippedTracebacks():
                self.stream.close()

    async def aclose(self) -> None:
        """Close like `close`."""
        if self.stream is not None:
            with StrippedTracebacks():
                await self.stream.aclose()


# --- the key ----------------------------------------------------------------------------------


def resolve_key(key: Any, base_url: str) -> SecretStr:
    """Return the key that a sync request is sent with, the current user's inside a user's run.

    Raises:
        AuthenticationError: There is none that can be sent, or, inside a user's run, it is not
            that user's.
    """
    resolved = resolve_api_key(run_key(key, base_url))
    require_same_service(resolved, base_url)  # where a callable returned it
    return CheckedKey(resolved.get_secret_value())


async def aresolve_key(key: Any, base_url: str) -> SecretStr:
    """Return the key of an async request like `resolve_key`."""
    resolved = await aresolve_api_key(await arun_key(key, base_url))
    require_same_service(resolved, base_url)
    return CheckedKey(resolved.get_secret_value())


def _request_key(request: Request) -> SecretStr | None:
    if request.is_management:
        return resolve_management_key(request.api_key)
    if request.needs_key or request.api_key:
        return resolve_key(request.api_key, request.base_url)
    return None


async def _arequest_key(request: Request) -> SecretStr | None:
    if request.is_management:
        return await aresolve_management_key(request.api_key)
    if request.needs_key or request.api_key:
        return await aresolve_key(request.api_key, request.base_url)
    return None


# --- one request ------------------------------------------------------------------------------


def send(request: Request, *, stream: bool = False) -> ApiResponse:
    """Send a request.

    Returns:
        The response, its body read unless it is an event stream. An error status and a failure of
        the network are returned, not raised.

    Raises:
        AuthenticationError: There is no key that can be sent.
    """
    if (answer := recorded_answer()) is not None:
        return _recorded(request, answer)

    key = _request_key(request)

    call = request.call
    with StrippedTracebacks():
        if call is None:
            return _send(request, key, stream=stream)
        call.admit(request._replace(body=b"", call=None), key)
        try:
            return _watched(_send(request, key, stream=stream), call)
        except BaseException as error:
            call.end_with(error)
            raise


def _send(request: Request, key: SecretStr | None, *, stream: bool) -> ApiResponse:
    try:
        client = sync_client(request.client)
    except Exception as error:  # noqa: BLE001 - whatever a broken proxy or certificate raises
        return _failed(request, key, client_setup_failure(error))

    call = client.for_request(
        None if key is None else BearerAuth(key), request.deadline, request.call
    )
    try:
        response = call.request(httpx2.Response, _to_options(request), stream=stream)
    except _FAILURES as error:
        return _to_error_response(request, key, error, call.body)

    return _to_response(request, key, response, call.body)


async def asend(request: Request, *, stream: bool = False) -> ApiResponse:
    """Send like `send`, in the running event loop."""
    if (answer := recorded_answer()) is not None:
        return _recorded(request, answer)

    key = await _arequest_key(request)

    deadline = request.deadline
    with StrippedTracebacks():
        if deadline is None:
            return await _asend_admitted(request, key, stream=stream)
        try:
            async with asyncio.timeout(deadline.remaining):
                return await _asend_admitted(request, key, stream=stream)
        except TimeoutError:
            return _failed(request, key, deadline.failure())


async def _asend_admitted(request: Request, key: SecretStr | None, *, stream: bool) -> ApiResponse:
    """Send when the meters let the call begin."""
    call = request.call
    if call is None:
        return await _asend(request, key, stream=stream)

    await call.aadmit(request._replace(body=b"", call=None), key)
    try:
        return _watched(await _asend(request, key, stream=stream), call)
    except BaseException as error:
        call.end_with(error)
        raise


async def _asend(request: Request, key: SecretStr | None, *, stream: bool) -> ApiResponse:
    try:
        client = await async_client(request.client)
    except Exception as error:  # noqa: BLE001 - whatever a broken proxy or certificate raises
        return _failed(request, key, client_setup_failure(error))

    call = client.for_request(
        None if key is None else BearerAuth(key), request.deadline, request.call
    )
    try:
        response = await call.request(httpx2.Response, _to_options(request), stream=stream)
    except _FAILURES as error:
        return _to_error_response(request, key, error, call.body)

    return _to_response(request, key, response, call.body)


def _recorded(request: Request, answer: Callable[[Request], ApiResponse]) -> ApiResponse:
    """Return a response that was there already; who counts costs is told of it all the same."""
    response = answer(request)
    return response if request.call is None else _watched(replace(response), request.call)


def _watched(response: ApiResponse, call: Call) -> ApiResponse:
    """Return a response with its call, which ends when the response has been read."""
    response.call = call
    if response.is_error:
        call.end("failed")
    return response


_FAILURES = (
    APIConnectionError,
    APIStatusError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    LimitExceededError,
    StackedEncodingError,
)


def _to_options(request: Request) -> SendOptions:
    """Return what is sent; the key is not among it."""
    return SendOptions(
        method=request.method,
        url=request.url,
        headers=request.headers,
        params=request.query or {},
        max_retries=request.max_retries,
        timeout=request.timeout,
        content=request.body or None,
    )


def _to_response(
    request: Request, key: SecretStr | None, response: httpx2.Response, body: bytes
) -> ApiResponse:
    """Return a successful response, and remove the key from the request it holds."""
    response.request.headers.pop("authorization", None)

    return ApiResponse(
        response.status_code,
        _without_cookies(response.headers),
        body,
        key=key,
        base_url=_owner_url(request),
        stream=None if response.is_closed else response,
        deadline=request.deadline,
    )


def _to_error_response(
    request: Request, key: SecretStr | None, error: Exception, body: bytes
) -> ApiResponse:
    """Return the response or the failure that an exception of the SDK or httpx2 stands for."""
    if isinstance(error, APIStatusError):
        response = error.response
        return ApiResponse(
            response.status_code,
            _without_cookies(response.headers),
            body,
            key=key,
            base_url=_owner_url(request),
        )

    if request.deadline is not None and request.deadline.has_passed:
        return _failed(request, key, request.deadline.failure(), body)

    cause = error.__cause__ if isinstance(error, APIConnectionError) else error
    cause = correct_exception(cause if isinstance(cause, Exception) else error)
    timed_out = isinstance(error, APITimeoutError) or isinstance(cause, httpx2.TimeoutException)
    failure = to_failure(
        cause, url=request.url, timed_out=timed_out, shared_client=request.client is None
    )
    return _failed(request, key, failure, body)


def _failed(
    request: Request, key: SecretStr | None, failure: Failure, body: bytes = b""
) -> ApiResponse:
    return ApiResponse(body=body, failure=failure, key=key, base_url=_owner_url(request))


def _without_cookies(headers: httpx2.Headers) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "set-cookie"}


def _owner_url(request: Request) -> str:
    return "" if request.is_management else request.base_url
