"""`as_user` sets the user whose key is used inside a `with`; `current_user` returns that key."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from langchain_openrouter._cost_meter import CostMeter
from langchain_openrouter._http.metering import add_meter, remove_meter
from langchain_openrouter._http.run_key import User, current_user, enter, leave
from langchain_openrouter.oauth._user_key import UserKey, to_user_secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

__all__ = ["acting", "as_user", "current_user", "to_cost_meter", "user_of_key"]


def user_of_key(key: Any, *, user: str | None = None, strict: bool = True) -> User:
    """Return the user of a key.

    Raises:
        AuthenticationError: There is no key.
    """
    base_url = key.base_url if isinstance(key, UserKey) else None
    return User(to_user_secret(key), user, base_url, strict)


class as_user:  # noqa: N801 - reads as a verb: `with as_user(key):`
    """Use one user's key inside a `with` or `async with`.

    Each model, embeddings, rerank or catalog with `api_key=current_user` uses this key, in
    LangChain's threads, tasks, `batch`, LangGraph nodes and tools. If nested, the inner user is
    used, and the outer one again afterwards. Nothing is written to configurations, checkpoints or
    traces.

    Do not `yield` inside it, unless the generator is resumed in a context of its own: between its
    steps the user is also set for the consumer, and of several generators that take turns in one
    context the last one to start would set the user of all.

    The key is read when a request is sent. The `stream` of a model that was created inside may be
    read outside; any other generator, as a chain's, must be started inside. A thread that
    was started without a copy of the context (`threading.Thread`) has none either: there
    `current_user` raises, and a model with a key of its own is not noticed.

    Args:
        key: The user's `UserKey`, `SecretStr` or string, or a callable, sync or async, that is
            called before each request.
        user: Your id of the user, sent as the field `user` by chat models that have none.
        strict: Whether a call on any other key, which is charged to another account, is an error.
        max_cost: What the calls inside may cost in all, in USD; see `callbacks.CostLimit`, which
            it may be instead.

    Attributes:
        costs: The ceiling, with what was spent under it; None without one.

    Raises:
        AuthenticationError: There is no key. In a call: it has a key of its own, or goes to
            another service than the one that the `UserKey` is for.
        CostLimitError: In a call: the ceiling is reached.
        ValueError: The ceiling is no amount.
    """

    def __init__(
        self,
        key: Any,
        *,
        user: str | None = None,
        strict: bool = True,
        max_cost: float | Decimal | CostMeter | None = None,
    ) -> None:
        self._user = user_of_key(key, user=user, strict=strict)
        self.costs = to_cost_meter(max_cost)

    def __enter__(self) -> Self:
        """Set the user."""
        enter(self._user, self)
        if self.costs is not None:
            add_meter(self.costs, self)
        return self

    def __exit__(self, *error: object) -> None:
        """Restore the outer user."""
        leave(self)
        if self.costs is not None:
            remove_meter(self)
            self.costs.flush()

    async def __aenter__(self) -> Self:
        """Set the user."""
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        """Restore the outer user."""
        leave(self)
        if self.costs is not None:
            remove_meter(self)
            await self.costs.aflush()

    def __repr__(self) -> str:
        """Show the user's id; the key is hidden."""
        if not hasattr(self, "_user"):  # the key was refused
            return "as_user('**********')"
        more = "" if self.costs is None else f", max_cost={self.costs.max_cost!r}"
        return f"as_user('**********', user={self._user.user!r}, strict={self._user.strict}{more})"


def to_cost_meter(max_cost: Any) -> CostMeter | None:
    """Return an amount in USD as a ceiling; a ceiling and None as they are.

    Raises:
        ValueError: It is no amount.
    """
    if max_cost is None or isinstance(max_cost, CostMeter):
        return max_cost
    return CostMeter(max_cost)


@contextmanager
def acting(user: User) -> Iterator[None]:
    """Set a user like `as_user`."""
    scope = object()
    enter(user, scope)
    try:
        yield
    finally:
        leave(scope)
