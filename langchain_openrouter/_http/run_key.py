"""Which key a request may be sent with: a model's own, or that of the user whose run it is.

Every request reads its key through `run_key` or `arun_key` when it is sent, so inside a run a key
of somebody else is noticed wherever it comes from. `_agent_runs` registers how a node of LangGraph
finds its user.
"""

from __future__ import annotations

import hmac
import inspect
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import SecretStr

from langchain_openrouter._http.api_key import to_secret
from langchain_openrouter._http.urls import foreign_service
from langchain_openrouter.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """The user of a run. The repr shows nothing of the key."""

    key: SecretStr | Callable[[], Any] = field(repr=False)
    user: str | None = None
    """Sent as the wire's `user` where a model has none."""
    base_url: str | None = None
    """The API that the key is for; None where nobody said."""
    strict: bool = True
    """Whether a call on another key is an error."""
    run: object = field(default=None, repr=False, compare=False)
    """The run of a graph with a `PerUserModel` in which this user was set."""
    scope: object = field(default=None, repr=False, compare=False)
    """The context manager that set this user."""
    outer: User | GraphUser | None = field(default=None, repr=False, compare=False)


class GraphUser(Protocol):
    """The user of a run of a graph that has a `PerUserModel`, whose key is not looked up yet."""

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
    """Ask `find`, at each request, which graph with a `PerUserModel` the caller is a node of."""
    _finders.append(find)


def remember_graph() -> None:
    """Keep the user of the graph for other graphs that are started in this context."""
    found = _nearest()
    if found is not _current.get():
        _current.set(found)


def enter(user: User, scope: object) -> None:
    graph = _graph()
    run = None if graph is None else graph.run
    _current.set(replace(user, run=run, scope=scope, outer=_current.get()))


def leave(scope: object) -> None:
    """Restore what was set before `scope`.

    No `ContextVar.reset`: a generator may be resumed, and closed, in another context than the
    one that it was begun in, where there is nothing to restore.
    """
    user = _current.get()
    while user is not None and user.scope is not scope:
        user = user.outer
    if user is not None:
        _current.set(user.outer)


def current_user() -> Any:
    """Return the key of the user whose run this is; pass the function itself as `api_key=`.

    Returns:
        A `SecretStr`, or what an async callable of `as_user` returns, to be awaited.

    Raises:
        AuthenticationError: Outside a user's run. No other key is ever taken instead.
    """
    user = _find()
    if user is None:
        raise AuthenticationError(_OUTSIDE)
    return user.key() if callable(user.key) else user.key


def user_id() -> str | None:
    """Return the id that is sent for the current user; None without one."""
    user = _nearest()
    return None if user is None else user.user


class CheckedKey(SecretStr):
    """A key that was read, and checked, for the call in which it is used."""


# --- at each request --------------------------------------------------------------------------


def run_key(key: Any, base_url: str | None = None) -> Any:
    """Return the key to send: a model's own, unless this is a user's run.

    Args:
        key: What the model has: a string, a secret, a callable.
        base_url: The API that the request goes to.

    Raises:
        AuthenticationError: In a user's run, it is not that user's.
    """
    if isinstance(key, CheckedKey) or (user := _find()) is None:
        return key
    if key is current_user or key is user.key:
        return _checked_service(user, base_url)
    if callable(key):
        key = to_secret(key())
    if not user.strict or inspect.isawaitable(key):
        return key

    own = to_secret(user.key() if callable(user.key) else user.key)
    if inspect.isawaitable(own):
        if inspect.iscoroutine(own):
            own.close()
        raise AuthenticationError(_ASYNC)
    return _checked(key, own, user, base_url)


async def arun_key(key: Any, base_url: str | None = None) -> Any:
    """Return like `run_key`."""
    if isinstance(key, CheckedKey) or (user := await _afind()) is None:
        return key
    if key is current_user or key is user.key:
        return _checked_service(user, base_url)
    if callable(key):
        key = to_secret(key())
    if inspect.isawaitable(key):
        key = to_secret(await key)
    if not user.strict:
        return key

    own = to_secret(user.key() if callable(user.key) else user.key)
    if inspect.isawaitable(own):
        own = to_secret(await own)
    return _checked(key, own, user, base_url)


def _graph() -> GraphUser | None:
    for find in _finders:
        if (graph := find()) is not None:
            return graph
    return None


def _nearest() -> User | GraphUser | None:
    """Return the user of the innermost scope: a context manager's, or a graph's.

    What was set in a node of this very run of the graph is further in than the graph.
    """
    graph, current = _graph(), _current.get()
    if graph is None or (current is not None and current.run is graph.run):
        return current
    graph.outer = current
    return graph


def _find() -> User | None:
    """Return the current user; a key that was looked up serves the rest of the node."""
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


def _checked(key: Any, own: Any, user: User, base_url: str | None) -> Any:
    """Return a model's key if it is the user's."""
    key = to_secret(key)
    if not isinstance(key, SecretStr) or not isinstance(own, SecretStr):
        return key if not isinstance(key, SecretStr) else own  # no key: the caller says so
    if not hmac.compare_digest(_bytes(key), _bytes(own)):
        raise AuthenticationError(_FOREIGN)
    _checked_service(user, base_url)
    return key


def _checked_service(user: User, base_url: str | None) -> Any:
    """Return the user's key if it is for the service that the request goes to."""
    if base_url and user.base_url:
        foreign = foreign_service(user.base_url, base_url)
        if foreign:
            raise AuthenticationError(foreign)
    return user.key


def _bytes(key: SecretStr) -> bytes:
    return key.get_secret_value().strip().encode()
