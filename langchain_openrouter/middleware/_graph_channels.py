"""Look up the `PerUserModel` and the ceilings of a LangGraph graph from inside any of its nodes.

Hooks of other middleware are nodes of their own, which a middleware cannot wrap. It adds a channel
to the graph's state instead: never written, never checkpointed, and in no node's state. A request
that is sent from a node reads these channels to find out whose key to use, and what may be spent.
"""

from __future__ import annotations

from contextvars import ContextVar
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, Protocol, Self, get_type_hints

from langchain.agents.middleware.types import PrivateStateAttr
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook
from langgraph.channels import UntrackedValue
from langgraph.errors import EmptyChannelError
from langgraph.runtime import get_runtime
from typing_extensions import TypedDict

from langchain_openrouter._http.metering import register_meters, remember_meters
from langchain_openrouter._http.run_key import register_graphs, remember_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_openrouter._cost_meter import CostMeter
    from langchain_openrouter._http.run_key import GraphUser, User

try:
    # There is no public way to read a graph's state inside a node: tools and edges use this key.
    from langgraph._internal._constants import CONFIG_KEY_READ
except ImportError:
    msg = (
        f"langgraph {version('langgraph')} has no `CONFIG_KEY_READ`, by which calls of a user's "
        "run are recognized: upgrade langchain-openrouter-oauth, or use an older langgraph"
    )
    raise ImportError(msg) from None

_USER = "langchain_openrouter_user"
_COSTS = ("langchain_openrouter_user_costs", "langchain_openrouter_costs")
_reading: ContextVar[bool] = ContextVar("openrouter_reads_graph", default=False)


class Owner(Protocol):
    """The interface of `PerUserModel` that is used here."""

    def user_of(self, context: Any) -> User:
        """Return the user whom the context names."""

    async def auser_of(self, context: Any) -> User:
        """Return like `user_of`."""

    def sent_id(self, context: Any) -> str | None:
        """Return the id to send for the user."""


class _Channel(UntrackedValue[Any]):
    """A channel that is empty for all but this module; each run has its own instance.

    Overrides the channel's methods so that it is never copied, written or checkpointed.
    """

    def __init__(self) -> None:
        super().__init__(Any)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def for_run(self) -> Self:
        """Return the instance of a new run."""
        raise NotImplementedError

    def copy(self) -> Self:
        return self

    def from_checkpoint(self, checkpoint: Any) -> Self:
        del checkpoint
        fresh = self.for_run()
        fresh.key = self.key
        return fresh

    def update(self, values: Sequence[Any]) -> bool:
        del values
        return False

    def get(self) -> Any:
        if _reading.get():
            return self
        raise EmptyChannelError

    def is_available(self) -> bool:
        return False


class _UserChannel(_Channel):
    """Holds the `PerUserModel` of a graph."""

    def __init__(self, owner: Owner) -> None:
        super().__init__()
        self.owner = owner

    def for_run(self) -> Self:
        return self.__class__(self.owner)


class _CostsChannel(_Channel):
    """Holds the ceiling of a run."""

    def __init__(self, make_meter: Callable[[], CostMeter]) -> None:
        super().__init__()
        self._make_meter = make_meter
        self.meter = make_meter()

    def for_run(self) -> Self:
        return self.__class__(self._make_meter)


class _GraphUser:
    """The user of a graph's run; the key is looked up when a request needs it."""

    __slots__ = ("_context", "_owner", "outer", "run", "scope")

    def __init__(self, channel: _UserChannel, context: Any) -> None:
        self.run: object = channel
        self.scope: object = None
        self.outer: User | GraphUser | None = None
        self._owner = channel.owner
        self._context = context

    @property
    def user(self) -> str | None:
        return self._owner.sent_id(self._context)

    def resolve(self) -> User:
        return self._owner.user_of(self._context)

    async def aresolve(self) -> User:
        return await self._owner.auser_of(self._context)


def add_user_channel(owner: Owner, schema: type) -> type:
    """Return a state schema through which the graph's nodes find `owner`."""
    return _with_channel(schema, _USER, _UserChannel(owner))


def add_costs_channel(
    make_meter: Callable[[], CostMeter], schema: type, *, of_user: bool = False
) -> type:
    """Return a state schema through which the graph's nodes find the ceiling of their run.

    Args:
        make_meter: Makes the ceiling of a run.
        schema: The state schema.
        of_user: Whether it is that of a `PerUserModel`, which a graph may have beside another.
    """
    return _with_channel(schema, _COSTS[not of_user], _CostsChannel(make_meter))


def _with_channel(schema: type, name: str, channel: _Channel) -> type:
    fields = get_type_hints(schema, include_extras=True)
    fields[name] = NotRequired[Annotated[Any, channel, PrivateStateAttr]]
    return TypedDict("OpenRouterState", fields)  # type: ignore[operator, no-any-return]


def find_user() -> GraphUser | None:
    """Return the user of the graph that the caller is a node of; None if there is none."""
    channel = _read(_USER)
    return None if channel is None else _GraphUser(channel, get_runtime().context)


def find_meters() -> Iterator[CostMeter]:
    """Yield the ceilings of the graph that the caller is a node of."""
    for name in _COSTS:
        channel = _read(name)
        if channel is not None:
            yield channel.meter


def _read(name: str) -> Any:
    """Return a channel of the graph that the caller is a node of; None if it has none."""
    config = var_child_runnable_config.get()
    read = config.get("configurable", {}).get(CONFIG_KEY_READ) if config else None
    if read is None:
        return None

    token = _reading.set(True)
    try:
        return read([name])[name]
    except KeyError:
        return None
    finally:
        _reading.reset(token)


def check_graph() -> None:
    """Check that other nodes of this graph can find its `PerUserModel`.

    Raises:
        RuntimeError: They cannot, because LangGraph has changed.
    """
    if var_child_runnable_config.get() is not None and find_user() is None:
        raise RuntimeError(_UNREADABLE)


def check_costs() -> None:
    """Check that other nodes of this graph can find its ceiling.

    Raises:
        RuntimeError: They cannot, because LangGraph has changed.
    """
    if var_child_runnable_config.get() is not None and not list(find_meters()):
        raise RuntimeError(_UNREADABLE)


_UNREADABLE = (
    f"langgraph {version('langgraph')} does not show the state of a graph to its nodes as "
    "expected: calls of other middleware could go to the operator's account, or not be counted. "
    "Upgrade langchain-openrouter-oauth, or use an older langgraph"
)


class _Remember:
    """Replaces the ContextVar of `register_configure_hook`: `get` is called when a run starts.

    If a hook of other middleware starts another graph, the configuration of its nodes does not
    refer to the outer graph: the user and the ceilings are passed on in the context.
    """

    def get(self) -> None:
        remember_graph()
        remember_meters(find_meters())


register_graphs(find_user)
register_meters(find_meters)
register_configure_hook(_Remember(), inheritable=False)  # type: ignore[arg-type]
