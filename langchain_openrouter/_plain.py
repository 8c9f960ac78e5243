"""One HTTP request by httpx2 alone: no retry, no cookie, no redirect; a failure is a value.

For the sign-in, which must not need the OpenAI SDK, must never repeat a request that spends a
one-time code, and must leave no frame in a traceback that knows a code or a key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx2

from langchain_openrouter import errors
from langchain_openrouter._read import json_or_text

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that is not sent yet."""

    method: str
    url: str
    timeout: float
    """Seconds without a byte."""
    json: Any = field(default=None, repr=False)
    key: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, or `failure`: the name of what went wrong on the way."""

    status: int = 0
    data: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    failure: Exception | None = None
    timed_out: bool = False

    def error(self) -> errors.OpenRouterError | None:
        """Return the error that this answer tells, as the model's own errors are; not raised."""
        if self.failure is not None:
            return errors.from_body(failure=self.failure, timed_out=self.timed_out)
        if self.status == 200 and isinstance(self.data, dict):  # noqa: PLR2004 - HTTP
            return None
        return errors.from_body(self.data, status=self.status, headers=self.headers)


@cache
def _tls() -> ssl.SSLContext:
    """Load the certificates once: it takes longer than all else here."""
    return httpx2.create_ssl_context()


def _arguments(ask: Ask) -> dict[str, Any]:
    headers = {"accept": "application/json"}
    if ask.key is not None:
        headers["authorization"] = f"Bearer {ask.key.get_secret_value()}"
    return {"method": ask.method, "url": ask.url, "json": ask.json, "headers": headers}


def _read(response: httpx2.Response) -> Answer:
    headers = {name: value for name, value in response.headers.items() if name != "set-cookie"}
    return Answer(response.status_code, json_or_text(response.content), headers)


def _failed(error: Exception) -> Answer:
    """Keep the kind of a failure; its request holds the secrets."""
    return Answer(
        failure=type(error)(type(error).__name__) if isinstance(error, httpx2.HTTPError) else error,
        timed_out=isinstance(error, httpx2.TimeoutException),
    )


def send(ask: Ask) -> Answer:
    """Send once."""
    try:
        with httpx2.Client(timeout=ask.timeout, verify=_tls()) as client:
            return _read(client.request(**_arguments(ask)))
    except (httpx2.HTTPError, OSError) as error:
        return _failed(error)


async def asend(ask: Ask) -> Answer:
    """Send once, in the running event loop."""
    try:
        async with httpx2.AsyncClient(timeout=ask.timeout, verify=_tls()) as client:
            return _read(await client.request(**_arguments(ask)))
    except (httpx2.HTTPError, OSError) as error:
        return _failed(error)
