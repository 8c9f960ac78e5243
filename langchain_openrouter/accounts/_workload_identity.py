"""`WorkloadIdentity`: a key source for workloads that hold a JWT instead of a key.

See https://openrouter.ai/docs/guides/overview/auth/workload-identity-federation.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import os
import random
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic import SecretStr

from langchain_openrouter._http import oneshot
from langchain_openrouter._http.api_key import (
    InferenceSecret,
    KeySource,
    ManagementKey,
    to_secret,
)
from langchain_openrouter._http.frames import StrippedTracebacks
from langchain_openrouter._http.retry_after import retry_limits
from langchain_openrouter._http.urls import validate_base_url
from langchain_openrouter.accounts._access_token import AccessToken, Moment, parse_token
from langchain_openrouter.accounts._token_exchange import build_request
from langchain_openrouter.errors import AuthenticationError, OpenRouterError
from langchain_openrouter.oauth._user_key import UserKey
from langchain_openrouter.settings import environment_base_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    TokenSource = (
        str | os.PathLike[str] | Callable[[], str | SecretStr | Awaitable[str | SecretStr]]
    )

__all__ = ["WorkloadIdentity"]

_TIMEOUT = 30.0  # seconds without a byte
_RETRY_RENEWAL = 5.0  # seconds after a renewal that failed, while the old token works
_MAX_PAUSE = 8.0
_KEY_PREFIX = "sk-or-"
_EXTRA_WAIT = 10.0
_LOOK_EVERY = 0.5  # seconds between two looks at an exchange of another
_DOTS = 2


@dataclass(slots=True)
class _Exchange:
    """An exchange that is under way; others wait for it."""

    is_async: bool
    result: Future[AccessToken] = field(default_factory=Future, repr=False)
    thread: int = field(default_factory=threading.get_ident)
    process: int = field(default_factory=os.getpid)
    loop: asyncio.AbstractEventLoop | None = None
    """That of an async exchange."""

    @property
    def is_running(self) -> bool:
        """Whether its result is to come: not of a loop that has stopped, nor another process's."""
        if self.result.done() or self.process != os.getpid():
            return False
        return self.loop is None or self.loop.is_running()


class _Turn(NamedTuple):
    """What a caller does: return the token, make the exchange, or wait for it."""

    token: AccessToken | None
    exchange: _Exchange
    is_leader: bool = False


_NO_EXCHANGE = _Exchange(is_async=False)


class _AbandonedError(Exception):
    """The exchange ended without a result: its caller was canceled or interrupted."""


class WorkloadIdentity(KeySource):
    """Exchanges a workload's JWT for an access token, and renews it before it ends.

    Pass it as `api_key=`; it serves sync and async requests, from any thread and event loop:

        ```python
        identity = WorkloadIdentity("/var/run/secrets/openrouter/token", federation_policy_id="...")
        model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key=identity)
        ```

    However many calls need a token at the same time, one exchange is made; if it fails, all of them
    raise its error, and the next call tries again. While the old token works, a renewal that fails
    is no error. What is pickled are the arguments, never a token.

    Args:
        token: Where the JWT comes from: the path of a file, or a callable, sync or async. It is
            read for each exchange, since a JWT that lies in a file is replaced there.
        federation_policy_id: The policy's id, on the service's page of workload identities.
        scope: Sent if there is one; the service takes "inference".
        base_url: The API's base URL; None reads OPENROUTER_BASE_URL at each exchange.
        timeout: Seconds without a byte.
        max_retries: How often an exchange is repeated after 429, 5xx and connection errors.

    Raises:
        ValueError: There is no policy id, or the JWT itself was passed.
    """

    def __init__(  # noqa: PLR0913 - what is sent, and how
        self,
        token: TokenSource,
        *,
        federation_policy_id: str,
        scope: str | None = None,
        base_url: str | None = None,
        timeout: float = _TIMEOUT,
        max_retries: int = 2,
    ) -> None:
        if not callable(token):
            token = _check_path(token)
        if not federation_policy_id.strip():
            msg = "`federation_policy_id` must not be empty"
            raise ValueError(msg)

        self._source, self._policy_id, self._scope = token, federation_policy_id, scope
        self._base_url = None if base_url is None else validate_base_url(base_url)
        self._timeout, self._max_retries = timeout, max_retries
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        self._exchange: _Exchange | None = None
        self._renew_after = 0.0
        self._tasks: set[asyncio.Task[AccessToken]] = set()

    def __call__(self) -> SecretStr:
        """Return an access token that works for some seconds at least.

        Raises:
            AuthenticationError: There is no JWT, or it was not accepted.
            OpenRouterError: The exchange failed for another reason.
        """
        while True:
            turn = self._begin(is_async=False)
            if turn.token is not None:
                return turn.token.secret
            if turn.is_leader:
                return self._lead(turn.exchange).secret
            if turn.exchange.is_async and turn.exchange.thread == threading.get_ident():
                return self._request().secret  # that exchange goes on after this call at best

            try:
                return self._wait(turn.exchange).secret
            except (_AbandonedError, FutureTimeoutError):
                self._drop(turn.exchange)
            except OpenRouterError as error:
                raise copy.copy(error) from error.__cause__

    async def aget(self) -> SecretStr:
        """Return an access token like a sync call, in the running event loop."""
        while True:
            turn = self._begin(is_async=True)
            if turn.token is not None:
                return turn.token.secret
            if turn.is_leader:
                # Shielded: who waits for it must not fail because its first caller is canceled.
                task = asyncio.ensure_future(self._alead(turn.exchange))
                self._tasks.add(task)
                task.add_done_callback(self._forget_task)
                return (await asyncio.shield(task)).secret

            try:
                return (await self._await(turn.exchange)).secret
            except (_AbandonedError, TimeoutError):
                self._drop(turn.exchange)
            except OpenRouterError as error:
                raise copy.copy(error) from error.__cause__

    # --- whose turn it is -----------------------------------------------------------------

    def _begin(self, *, is_async: bool) -> _Turn:
        """Return the token, or the exchange to wait for, or to make."""
        with self._lock:
            token, running = self._token, self._exchange
            if token is not None and not token.is_valid:
                token = self._token = None
            if token is not None and (token.is_fresh or time.monotonic() < self._renew_after):
                return _Turn(token, _NO_EXCHANGE)
            if running is not None and running.is_running:
                return _Turn(token, running)  # the token, if it works while it is renewed

            loop = asyncio.get_running_loop() if is_async else None
            self._exchange = _Exchange(is_async, loop=loop)
            return _Turn(None, self._exchange, is_leader=True)

    def _wait(self, exchange: _Exchange) -> AccessToken:
        """Wait for the exchange of another.

        Raises:
            FutureTimeoutError: It takes too long, or its event loop has stopped.
        """
        end = time.monotonic() + self._longest_wait
        while True:
            try:
                return exchange.result.result(_LOOK_EVERY)
            except FutureTimeoutError:
                if time.monotonic() > end or not exchange.is_running:
                    raise

    async def _await(self, exchange: _Exchange) -> AccessToken:
        """Wait like `_wait`.

        Raises:
            TimeoutError: It takes too long, or its event loop has stopped.
        """
        end = time.monotonic() + self._longest_wait
        waiting = asyncio.wrap_future(exchange.result)
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())

        while True:
            try:
                return await asyncio.wait_for(asyncio.shield(waiting), _LOOK_EVERY)
            except TimeoutError:
                if time.monotonic() > end or not exchange.is_running:
                    raise

    def _drop(self, exchange: _Exchange) -> None:
        """Give an exchange up that does not end."""
        with self._lock:
            if self._exchange is exchange:
                self._exchange = None

    def _lead(self, exchange: _Exchange) -> AccessToken:
        """Make the exchange that others wait for."""
        try:
            token = self._request()
        except BaseException as error:  # noqa: BLE001 - raised there, to all who wait
            return self._fail(exchange, error)
        return self._finish(exchange, token)

    async def _alead(self, exchange: _Exchange) -> AccessToken:
        try:
            token = await self._arequest()
        except BaseException as error:  # noqa: BLE001 - raised there, to all who wait
            return self._fail(exchange, error)
        return self._finish(exchange, token)

    def _finish(self, exchange: _Exchange, token: AccessToken) -> AccessToken:
        with self._lock:
            self._token, self._renew_after = token, 0.0
        self._drop(exchange)
        exchange.result.set_result(token)
        return token

    def _fail(self, exchange: _Exchange, error: BaseException) -> AccessToken:
        """End an exchange that failed: with the token that is renewed, while it works.

        Raises:
            BaseException: The error, which those who wait get too.
        """
        with self._lock:
            token = self._token
            if token is not None and token.is_valid and isinstance(error, OpenRouterError):
                self._renew_after = time.monotonic() + (error.retry_after or _RETRY_RENEWAL)
            else:
                token = None
        self._drop(exchange)

        if token is not None:
            exchange.result.set_result(token)
            return token
        exchange.result.set_exception(error if isinstance(error, Exception) else _AbandonedError())
        raise error

    @property
    def _longest_wait(self) -> float:
        """Seconds after which the exchange of another is taken for dead."""
        return (self._max_retries + 1) * (self._timeout + _MAX_PAUSE) + _EXTRA_WAIT

    def _forget_task(self, task: asyncio.Task[AccessToken]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # is retrieved: its caller may be gone

    # --- the exchange ---------------------------------------------------------------------

    def _request(self) -> AccessToken:
        for attempt in range(self._max_retries + 1):
            jwt = self._to_jwt(self._read())
            sent = Moment()
            result = parse_token(oneshot.send(self._build(jwt)), jwt, sent, self._url())
            if isinstance(result, AccessToken):
                return result
            if attempt == self._max_retries or not _may_repeat(result):
                raise result
            time.sleep(_pause(result, attempt))

        raise AssertionError  # the last attempt returns or raises

    async def _arequest(self) -> AccessToken:
        for attempt in range(self._max_retries + 1):
            source = self._read()
            jwt = self._to_jwt(await source if inspect.isawaitable(source) else source)
            sent = Moment()
            result = parse_token(await oneshot.asend(self._build(jwt)), jwt, sent, self._url())
            if isinstance(result, AccessToken):
                return result
            if attempt == self._max_retries or not _may_repeat(result):
                raise result
            await asyncio.sleep(_pause(result, attempt))

        raise AssertionError  # the last attempt returns or raises

    def _url(self) -> str:
        return self._base_url or environment_base_url()

    def _build(self, jwt: SecretStr) -> oneshot.Request:
        return build_request(self._url(), jwt, self._policy_id, self._scope, self._timeout)

    def _read(self) -> Any:
        """Return what the source has: the JWT as a secret, or an awaitable.

        Raises:
            AuthenticationError: The file cannot be read.
        """
        if callable(self._source):
            return to_secret(self._source())

        try:
            with StrippedTracebacks():
                return SecretStr(Path(self._source).read_text(encoding="utf-8"))
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
        msg = f"the file with the workload's JWT cannot be read: {self._source}: {reason}"
        raise AuthenticationError(msg)

    def _to_jwt(self, value: Any) -> SecretStr:
        """Return what a source returned as a JWT.

        Raises:
            AuthenticationError: It is none, or an async callable was called for a sync request.
        """
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()  # a coroutine that nobody awaits is a warning
            msg = "`token` is an async callable: use ainvoke, astream or abatch"
            raise AuthenticationError(msg)

        jwt = to_secret(value)
        if isinstance(value, ManagementKey | InferenceSecret | UserKey) or _is_key(jwt):
            msg = "`token` returned an API key, not the workload's JWT: it is sent nowhere"
            raise AuthenticationError(msg)
        if not isinstance(jwt, SecretStr) or not jwt.get_secret_value().strip():
            msg = "the workload has no JWT: `token` returned none, or its file is empty"
            raise AuthenticationError(msg)
        return SecretStr(jwt.get_secret_value().strip())

    # --- copies ---------------------------------------------------------------------------

    def __copy__(self) -> Self:
        """Return the object itself, and its token."""
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        """Return the object itself, and its token."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments."""
        options = {
            "federation_policy_id": self._policy_id,
            "scope": self._scope,
            "base_url": self._base_url,
            "timeout": self._timeout,
            "max_retries": self._max_retries,
        }

        return _rebuild, (type(self), self._source, options)

    def __repr__(self) -> str:
        """Show the policy; the tokens are hidden."""
        return f"WorkloadIdentity(federation_policy_id={self._policy_id!r})"


def _rebuild(kind: type[WorkloadIdentity], source: Any, options: dict[str, Any]) -> Any:
    return kind(source, **options)


def _check_path(path: str | os.PathLike[str]) -> str:
    """Return the path of a file.

    Raises:
        ValueError: It is a JWT, or a key. The text is not in the message.
    """
    text = os.fspath(path)
    word = text.strip().removeprefix("Bearer").removeprefix("bearer").strip()
    if (word.startswith("eyJ") and word.count(".") >= _DOTS) or word.startswith(_KEY_PREFIX):
        msg = (
            "`token` is the path of a file, or a callable, and no secret: a JWT that is passed is "
            "never renewed"
        )
        raise ValueError(msg)

    if not text.isprintable() or "://" in text:
        msg = "`token` must be the path of a file, or a callable that returns the JWT"
        raise ValueError(msg)
    return text


def _is_key(secret: Any) -> bool:
    return isinstance(secret, SecretStr) and (
        secret.get_secret_value().strip().startswith(_KEY_PREFIX)
    )


def _may_repeat(error: OpenRouterError) -> bool:
    return bool(error.is_retryable) and retry_limits.allows(error)


def _pause(error: OpenRouterError, attempt: int) -> float:
    """Return the seconds to wait: what the service says, or longer each time."""
    if error.retry_after is not None:
        return error.retry_after
    return float(min(0.5 * 2**attempt, _MAX_PAUSE) * random.uniform(0.75, 1.0))  # noqa: S311 - no secret
