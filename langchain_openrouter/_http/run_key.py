"""Which key a request is sent with: the model's own, or the key of the run's user.

Every request reads its key through `run_key` or `arun_key` when it is sent, so a key that is not
the user's is noticed inside a run wherever it comes from. `middleware._graph_channels` registers
how a node of LangGraph looks up its user.
"""

from __future__ import annotations

import hmac
import inspect
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import SecretStr

from langchain_openrouter._http.api_key import (
    InferenceSecret,
    UserSecret,
    call_for_async,
    to_secret,
)
from langchain_openrouter._http.urls import service_mismatch
from langchain_openrouter.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OUTSIDE = (
    "`api_key=current_user` was used outside a user's run: open one with `with as_user(key):`, or "
    "give the agent a `PerUserModel`"
)
_FOREIGN = (
    "this call has an API key of its own, inside the run of a user whose key is another: it would "
    "be charged to that key's account. Make this model with `api_key=current_user`, or call "
    "`model.for_user(key)`; `strict=False` allows keys of their own in this run"
)
_ASYNC = "the user's key comes from an async callable: use ainvoke, astream or abatch"


@dataclass(frozen=True, slots=True)
class User:
    """The user of a run. The key is not in the repr."""

    key: SecretStr | Callable[[], Any] = field(repr=False)
    user: str | None = None
    """Sent as the field `user` by models that have none."""
    base_url: str | None = None
    """The API that the key is for; None if unknown."""
    strict: bool = True
    """Whether a call on another key is an error."""
    run: object = field(default=None, repr=False, compare=False)
    """The run of a graph with a `PerUserModel` in which this user was set, if any."""
    scope: object = field(default=None, repr=False, compare=False)
    """The context manager that set this user."""
    outer: User | GraphUser | None = field(default=None, repr=False, compare=False)


class GraphUser(Protocol):
    """The user of a run of a graph with a `PerUserModel`; the key is not looked up yet."""

    run: object
    """Equal for the nodes of one run, and for no others."""
    scope: object
    outer: User | GraphUser | None

    @property
    def user(self) -> str | None:
        """The id that is sent."""

    def resolve(self) -> User:
        """Look the key up.

        Raises:
            AuthenticationError: There is none.
        """

    async def aresolve(self) -> User:
        """Look the key up like `resolve`."""


_current: ContextVar[User | GraphUser | None] = ContextVar("openrouter_user", default=None)
_finders: list[Callable[[], GraphUser | None]] = []


def register_graphs(find: Callable[[], GraphUser | None]) -> None:
    """Register a function that returns the user of the LangGraph run around its caller, or None."""
    _finders.append(find)


def remember_graph() -> None:
    """Keep the graph's user for other graphs that are started in this context."""
    nearest = _nearest()
    if nearest is not _current.get():
        _current.set(nearest)


def enter(user: User, scope: object) -> None:
    """Make this the current user until `leave(scope)`."""
    graph = _graph()
    run = None if graph is None else graph.run
    _current.set(replace(user, run=run, scope=scope, outer=_current.get()))


def leave(scope: object) -> None:
    """Restore the user that was current before `scope`.

    A user that was set inside it and is still current stays so. Does not use `ContextVar.reset`: a
    generator may be resumed and closed in another context than the one that it started in, where
    there is nothing to restore.
    """
    user, inner = _current.get(), []
    while user is not None and user.scope is not scope:
        inner.append(user)
        user = user.outer
    if user is None:
        return

    outer = user.outer
    for item in reversed(inner):
        if isinstance(item, User):
            outer = replace(item, outer=outer)
        else:
            item.outer, outer = outer, item
    _current.set(outer)


def user_at_creation() -> object | None:
    """Return what a generator that is created here must be given when it starts; None for none."""
    return _nearest()


@contextmanager
def as_at_creation(user: Any) -> Iterator[None]:
    """Make the user of `user_at_creation` the current one."""
    token = _current.set(user)
    try:
        yield
    finally:
        _current.reset(token)


def current_user() -> Any:
    """Return the key of the user whose run this is; pass the function itself as `api_key=`.

    Returns:
        A `SecretStr`, or what an async callable of `as_user` returns, to be awaited.

    Raises:
        AuthenticationError: Outside a user's run. No other key is used instead.
    """
    user = _find()
    if user is None:
        raise AuthenticationError(_OUTSIDE)
    return user.key() if callable(user.key) else user.key


def user_id() -> str | None:
    """Return the id that is sent for the current user; None without one."""
    user = _nearest()
    return None if user is None else user.user


class CheckedKey(InferenceSecret):
    """A key that was already read and checked for the current call."""


# --- at each request --------------------------------------------------------------------------


def run_key(key: Any, base_url: str | None = None) -> Any:
    """Return the key to send: the model's own, or inside a user's run the user's.

    Args:
        key: The model's key: a string, a secret or a callable.
        base_url: The API that the request goes to.

    Raises:
        AuthenticationError: Inside a user's run, the model's key is another one.
    """
    require_same_service(key, base_url)
    if isinstance(key, CheckedKey) or (user := _find()) is None:
        return key
    if key is current_user or key is user.key:
        return _users_key_for_service(user, base_url)
    if callable(key):
        key = to_secret(key())
    if not user.strict or inspect.isawaitable(key):
        return key

    users_key = to_secret(user.key() if callable(user.key) else user.key)
    if inspect.isawaitable(users_key):
        if inspect.iscoroutine(users_key):
            users_key.close()
        raise AuthenticationError(_ASYNC)
    return _require_users_key(key, users_key, user, base_url)


async def arun_key(key: Any, base_url: str | None = None) -> Any:
    """Return like `run_key`."""
    require_same_service(key, base_url)
    if isinstance(key, CheckedKey) or (user := await _afind()) is None:
        return key
    if key is current_user or key is user.key:
        return _users_key_for_service(user, base_url)
    if callable(key):
        key = to_secret(call_for_async(key))
    if inspect.isawaitable(key):
        key = to_secret(await key)
    if not user.strict:
        return key

    users_key = to_secret(call_for_async(user.key) if callable(user.key) else user.key)
    if inspect.isawaitable(users_key):
        users_key = to_secret(await users_key)
    return _require_users_key(key, users_key, user, base_url)


def _graph() -> GraphUser | None:
    for find in _finders:
        if (graph := find()) is not None:
            return graph
    return None


def _nearest() -> User | GraphUser | None:
    """Return the user of the innermost scope: a context manager's, or a graph's.

    A user that was set inside a node of the graph's current run takes precedence over the graph's.
    """
    graph, current = _graph(), _current.get()
    if graph is None or (current is not None and current.run is graph.run):
        return current
    graph.outer = current
    return graph


def user_of_run() -> User | GraphUser | None:
    """Return the user whose run this is; its key is not looked up."""
    return _nearest()


def _find() -> User | None:
    """Return the current user; a key that was looked up is reused for the rest of the node."""
    user = _nearest()
    if user is None or isinstance(user, User):
        return user
    resolved = replace(user.resolve(), run=user.run, outer=user.outer)
    _current.set(resolved)
    return resolved


async def _afind() -> User | None:
    user = _nearest()
    if user is None or isinstance(user, User):
        return user
    resolved = replace(await user.aresolve(), run=user.run, outer=user.outer)
    _current.set(resolved)
    return resolved


def _require_users_key(key: Any, users_key: Any, user: User, base_url: str | None) -> Any:
    """Return a model's key if it equals the user's.

    Raises:
        AuthenticationError: It is another one, or is for another service.
    """
    key = to_secret(key)
    if not isinstance(key, SecretStr) or not isinstance(users_key, SecretStr):
        return key if not isinstance(key, SecretStr) else users_key  # no key: the caller raises
    if not hmac.compare_digest(_bytes(key), _bytes(users_key)):
        raise AuthenticationError(_FOREIGN)
    _users_key_for_service(user, base_url)
    return key


def require_same_service(key: Any, base_url: str | None) -> None:
    """Raise if a user's key is for another service than the one that the request goes to.

    Raises:
        AuthenticationError: The model's base URL was changed since `for_user`.
    """
    if isinstance(key, UserSecret) and key.base_url and base_url:
        foreign = service_mismatch(key.base_url, base_url)
        if foreign:
            raise AuthenticationError(foreign)


def _users_key_for_service(user: User, base_url: str | None) -> Any:
    """Return the user's key if it is for the service that the request goes to.

    Raises:
        AuthenticationError: It is for another service.
    """
    if base_url and user.base_url:
        foreign = service_mismatch(user.base_url, base_url)
        if foreign:
            raise AuthenticationError(foreign)
    return user.key


def _bytes(key: SecretStr) -> bytes:
    return key.get_secret_value().strip().encode()
