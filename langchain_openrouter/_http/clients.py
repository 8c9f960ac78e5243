"""The SDK's clients, with our headers, retries and limits; which are shared is in `pools`.

They derive from the SDK's base classes, which read no environment and hold no credentials: they are
used for their retries. The key comes with each request.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self

import httpx2
from openai import APIStatusError
from openai._base_client import AsyncAPIClient, SyncAPIClient

from langchain_openrouter._distribution import VERSION
from langchain_openrouter._http.attempts import (
    build_request,
    drop_cookies,
    to_connection_error,
)
from langchain_openrouter._http.bodies import aiter_body, iter_body
from langchain_openrouter._http.deadlines import Deadline, RemainingTimeouts, hang_up
from langchain_openrouter._http.error_mapping import error_from_response
from langchain_openrouter._http.limits import count_bytes, refuse_stacked_encodings, response_limits
from langchain_openrouter._http.retry_after import retry_limits
from langchain_openrouter._http.retry_observer import report_retry
from langchain_openrouter._http.sdk_hooks import check_sdk
from langchain_openrouter._http.shards import (
    AsyncBusyStream,
    BusyStream,
    occupied,
)
from langchain_openrouter._json import parse_json_or_text

if TYPE_CHECKING:
    from langchain_openrouter._http.attempts import SendOptions
    from langchain_openrouter._http.metering import Call
    from langchain_openrouter._http.shards import Shard

_HEADERS = {
    "accept": "application/json",
    "content-type": "application/json",
    "user-agent": f"langchain-openrouter-oauth/{VERSION}",
}


class _ClientOverrides:
    """Overrides of both clients: only our headers; retry what OpenRouter marks retryable.

    Each request has a view of the shared client (`for_request`), which holds the request's
    credentials and the body received so far.
    """

    is_shared = False
    """Whether the httpx2 client is ours, and not the user's own."""
    _client: Any
    auth: httpx2.Auth | None = None
    deadline: Deadline | None = None
    call: Call | None = None
    body = b""
    retry_after: float | None = None
    shard: Shard | None = None
    """Of a client of ours: counts how many requests it is busy with."""

    def for_request(
        self,
        auth: httpx2.Auth | None,
        deadline: Deadline | None = None,
        call: Call | None = None,
    ) -> Self:
        """Return a view of this client for one request; connections are shared."""
        view = object.__new__(type(self))
        view.__dict__.update(
            self.__dict__, auth=auth, deadline=deadline, call=call, body=b"", retry_after=None
        )
        return view

    def _note_generation(self, response: httpx2.Response) -> None:
        """Note which generation has begun: its cost can be looked up if the response is cut."""
        if self.call is not None:
            name = response.headers.get("x-generation-id")
            self.call.header_id = name if response.is_success else None

    def _custom_auth(self, security: Any) -> httpx2.Auth | None:
        """Return this request's auth; overridden because the SDK's sync client calls it."""
        del security
        return self.auth

    @property
    def custom_auth(self) -> httpx2.Auth | None:
        """This request's auth; overridden because the SDK's async client reads it."""
        return self.auth

    def _build_headers(self, options: Any, *, retries_taken: int = 0) -> httpx2.Headers:
        """Return our headers and the user's; overridden because the SDK adds headers of its own."""
        del retries_taken
        return httpx2.Headers(self._headers_of(options))

    @staticmethod
    def _headers_of(options: SendOptions) -> dict[str, str]:
        own = options.headers
        return {**_HEADERS, **{name.lower(): str(value) for name, value in own.items()}}

    def _attempt(self, options: SendOptions) -> tuple[httpx2.Request, dict[str, Any]]:
        """Return the request of an attempt, and the arguments that it is sent with."""
        headers = self._headers_of(options)
        request = build_request(self._client, options, headers, is_shared=self.is_shared)
        return request, {} if self.auth is None else {"auth": self.auth}

    def _wait_before_retry(
        self, options: SendOptions, attempt: int, response: httpx2.Response | None
    ) -> float | None:
        """Return the seconds until the next attempt; None if there is none.

        Args:
            options: Of the request.
            attempt: How many attempts there were before.
            response: The response, which is an error; None where the network failed.
        """
        remaining = options.max_retries - attempt
        if remaining <= 0 or (response is not None and not self._should_retry(response)):
            return None
        return self._calculate_retry_timeout(remaining, options)

    def _should_retry(self, response: httpx2.Response) -> bool:
        """Follow the error in the body; overridden because the SDK sees only the status."""
        error = error_from_response(
            parse_json_or_text(self.body), status=response.status_code, headers=response.headers
        )
        self.retry_after = error.retry_after
        if self.deadline is not None and self.deadline.remaining <= (error.retry_after or 0):
            return False

        will_retry = error.is_retryable and retry_limits.allows(error)
        if will_retry:
            report_retry(error)
        return will_retry

    def _parse_retry_after_header(self, response_headers: httpx2.Headers | None = None) -> Any:
        """Return the wait of the last response in seconds; the SDK reads the header only."""
        del response_headers
        return self.retry_after or None

    def _calculate_retry_timeout(self, *args: Any, **kwargs: Any) -> float:
        """Return the wait of the last response, else the SDK's; the SDK's own bound is fixed."""
        if self.retry_after:
            return self.retry_after
        wait: float = super()._calculate_retry_timeout(*args, **kwargs)  # type: ignore[misc]
        return wait if self.deadline is None else min(wait, self.deadline.remaining)

    def _limit_time(self, request: httpx2.Request) -> None:
        """Let no phase of an attempt outlast the deadline."""
        if self.deadline is not None:
            timeouts = request.extensions.get("timeout", {})
            request.extensions["timeout"] = RemainingTimeouts(timeouts, self.deadline)

    def _make_status_error_from_response(self, response: httpx2.Response) -> APIStatusError:
        """Return an error that holds the response; the SDK's own would parse the body again."""
        return APIStatusError("", response=response, body=None)


class SyncClient(_ClientOverrides, SyncAPIClient):
    """The SDK's sync client, which also keeps the partial body of a cut response.

    `_send_request` is overridden to bound the body and to keep it where reading it fails, and
    `request` for speed: see `attempts`.
    """

    def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        """Send a request, again where that may help; the response is returned as it is."""
        del cast_to
        with occupied(self.shard, BusyStream) as keep:
            return keep(self._send_attempts(options, **kwargs))

    def _send_attempts(self, options: SendOptions, **kwargs: Any) -> Any:
        attempt = 0
        while True:
            request, more = self._attempt(options)
            response: Any = None
            error = None
            try:
                response = self._send_request(request, stream=kwargs.get("stream", False), **more)
            except Exception as failure:
                error = to_connection_error(failure, request)
                if error is None:
                    raise
                error.__cause__ = failure

            if response is not None and response.is_success:
                return response
            wait = self._wait_before_retry(options, attempt, response)
            if wait is None:
                raise error or self._make_status_error_from_response(response)
            time.sleep(wait)
            attempt += 1

    def _send_request(self, request: httpx2.Request, *, stream: bool, **kwargs: Any) -> Any:
        self._limit_time(request)
        response = self._client.send(request, stream=True, follow_redirects=False, **kwargs)
        self._note_generation(response)
        if not self.is_shared:
            drop_cookies(self._client, response)
        refuse_stacked_encodings(response)
        if stream and response.is_success and is_event_stream(response):
            return response

        total, max_body, chunks = 0, response_limits.body, []
        try:
            with hang_up(response, self.deadline):
                for chunk in iter_body(response):
                    chunks.append(chunk)
                    total = count_bytes(total, chunk, "body", max_body)
        finally:
            self.body = b"".join(chunks)
            response.close()
        return response


class AsyncClient(_ClientOverrides, AsyncAPIClient):
    """The SDK's async client, with the overrides of `SyncClient`."""

    async def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        """Send like `SyncClient.request`."""
        del cast_to
        with occupied(self.shard, AsyncBusyStream) as keep:
            return keep(await self._send_attempts(options, **kwargs))

    async def _send_attempts(self, options: SendOptions, **kwargs: Any) -> Any:
        attempt, stream = 0, kwargs.get("stream", False)
        while True:
            request, more = self._attempt(options)
            response: Any = None
            error = None
            try:
                response = await self._send_request(request, stream=stream, **more)
            except Exception as failure:
                error = to_connection_error(failure, request)
                if error is None:
                    raise
                error.__cause__ = failure

            if response is not None and response.is_success:
                return response
            wait = self._wait_before_retry(options, attempt, response)
            if wait is None:
                raise error or self._make_status_error_from_response(response)
            await asyncio.sleep(wait)
            attempt += 1

    async def _send_request(self, request: httpx2.Request, *, stream: bool, **kwargs: Any) -> Any:
        response = await self._client.send(request, stream=True, follow_redirects=False, **kwargs)
        self._note_generation(response)
        if not self.is_shared:
            drop_cookies(self._client, response)
        refuse_stacked_encodings(response)
        if stream and response.is_success and is_event_stream(response):
            return response

        total, max_body, chunks = 0, response_limits.body, []
        try:
            async for chunk in aiter_body(response):
                chunks.append(chunk)
                total = count_bytes(total, chunk, "body", max_body)
        finally:
            self.body = b"".join(chunks)
            await response.aclose()
        return response


def is_event_stream(response: httpx2.Response) -> bool:
    """Tell whether the body is an event stream; a missing content type counts as one."""
    content_type = response.headers.get("content-type", "")
    return "event-stream" in content_type or not content_type


def make_client(kind: Any, http_client: Any, *, is_shared: bool = False) -> Any:
    """Return a client of the SDK's kind around a client of httpx2.

    Args:
        kind: `SyncClient` or `AsyncClient`.
        http_client: The client of httpx2.
        is_shared: Whether it is ours, and not the user's own.
    """
    client = kind(
        version="0",
        base_url="http://unset.invalid",
        http_client=http_client,
        max_retries=0,
        _strict_response_validation=False,
    )
    client.is_shared = is_shared

    return client


check_sdk()
