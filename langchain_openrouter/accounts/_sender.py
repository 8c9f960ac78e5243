"""Sends calls to the management API; one that creates something is not repeated blindly."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import httpx2
from pydantic import SecretStr

from langchain_openrouter._http.frames import StrippedTracebacks
from langchain_openrouter._http.retry_after import retry_limits
from langchain_openrouter.errors import ConnectionFailedError, OpenRouterError, RateLimitError

if TYPE_CHECKING:
    from langchain_openrouter._http import transport
    from langchain_openrouter.accounts._calls import Call

__all__ = ["AccountsSender", "created_nothing", "reveal"]

T = TypeVar("T")
_BEFORE_SENDING = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_FIRST_PAUSE = 0.5  # seconds
_LONGEST_PAUSE = 8.0


class _Client(Protocol):
    """What `Accounts` has of a client."""

    max_retries: int

    def to_request(self, call: Call[Any]) -> transport.Request: ...

    def _send(self, request: transport.Request, *, sensitive: Any = None) -> dict[str, Any]: ...

    async def _asend(
        self, request: transport.Request, *, sensitive: Any = None
    ) -> dict[str, Any]: ...

    def _base_url(self) -> str: ...


class AccountsSender:
    """Sends calls with an `Accounts`."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def send(self, call: Call[T]) -> T:
        """Send a call and return its parsed response.

        Raises:
            OpenRouterError: The request failed; see `errors`.
        """
        for attempt in range(self._repeats(call) + 1):
            try:
                with StrippedTracebacks():  # the frames inside hold the keys of bodies
                    return self._exchange(call)
            except OpenRouterError as error:
                if attempt == self._repeats(call) or not created_nothing(error):
                    raise
                pause = _pause(error, attempt)
            time.sleep(pause)

        raise AssertionError  # the last attempt returns or raises

    async def asend(self, call: Call[T]) -> T:
        """Send like `send`."""
        for attempt in range(self._repeats(call) + 1):
            try:
                with StrippedTracebacks():
                    return await self._aexchange(call)
            except OpenRouterError as error:
                if attempt == self._repeats(call) or not created_nothing(error):
                    raise
                pause = _pause(error, attempt)
            await asyncio.sleep(pause)

        raise AssertionError  # the last attempt returns or raises

    def _exchange(self, call: Call[T]) -> T:
        request, sensitive = self._client.to_request(call), reveal(call.body)
        return call.parse(self._client._send(request, sensitive=sensitive))  # noqa: SLF001 - of the same room

    async def _aexchange(self, call: Call[T]) -> T:
        request, sensitive = self._client.to_request(call), reveal(call.body)
        return call.parse(await self._client._asend(request, sensitive=sensitive))  # noqa: SLF001 - of the same room

    def service_url(self) -> str:
        """Return the base URL that calls are sent to now."""
        return self._client._base_url()  # noqa: SLF001 - of the same room

    def _repeats(self, call: Call[Any]) -> int:
        """Return how often a call is repeated here; those that are repeatable are in the client."""
        return 0 if call.is_repeatable else self._client.max_retries


def created_nothing(error: OpenRouterError) -> bool:
    """Tell whether the service cannot have acted: it was not reached, or refused for now (429)."""
    if isinstance(error, RateLimitError):
        return retry_limits.allows(error)
    return isinstance(error, ConnectionFailedError) and isinstance(error.__cause__, _BEFORE_SENDING)


def _pause(error: OpenRouterError, attempt: int) -> float:
    """Return the seconds to wait: what the service says, or longer each time."""
    if error.retry_after is not None:
        return error.retry_after
    return float(min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE) * random.uniform(0.75, 1.0))  # noqa: S311 - no secret


def reveal(value: Any) -> Any:
    """Return a body with its secrets in plain text, to be encoded at once."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {name: reveal(item) for name, item in value.items()}
    return value
