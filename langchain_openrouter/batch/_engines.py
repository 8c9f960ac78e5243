"""What an engine is, and where each is found.

An engine takes rows from a `RowFeed` and yields a result for each, in any order. It knows neither
files nor budgets: the feed ends where the batch is to stop, and the runner writes what is yielded
before it takes the next.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from langchain_openrouter.batch._feed import RowFeed
    from langchain_openrouter.batch._plan import RowPlan
    from langchain_openrouter.batch._row_result import RowResult

_ENGINES = {
    "local": ("langchain_openrouter.batch._local_engine", "LocalEngine"),
    "ray": ("langchain_openrouter.batch._ray_engine", "RayEngine"),
    "openrouter": ("langchain_openrouter.batch._openrouter_engine", "OpenRouterEngine"),
}


@runtime_checkable
class Engine(Protocol):
    """Where the rows of a batch are run."""

    def run(self, feed: RowFeed, plan: RowPlan) -> AsyncGenerator[RowResult]:
        """Yield a result for each row of the feed, as they come.

        Args:
            feed: `feed.take(n)` returns up to n rows: an empty list where there are no more, None
                where there are none before a further result has been yielded.
            plan: `plan.answer(rows)` makes results of up to `plan.group_size` rows. It pickles.

        Raises:
            OpenRouterError: No further row can be run, as without a key. Results that were yielded
                stay; rows in flight are not lost, but run again by the next batch.
        """
        ...


@runtime_checkable
class RemoteEngine(Protocol):
    """An engine whose rows run elsewhere, and go on when the process ends."""

    def attach(self, output: Path | None, description: Mapping[str, Any], *, resume: bool) -> None:
        """Note which batch it is, before `run`.

        Args:
            output: The output; None where results are in memory.
            description: What the batch is, see `describe_batch`.
            resume: Whether to go on with what runs elsewhere.
        """
        ...


@runtime_checkable
class PreparedEngine(Protocol):
    """An engine that cannot run each batch."""

    def prepare(self, plan: RowPlan) -> None:
        """Check a batch in the context of its caller, before anything is written.

        Raises:
            BatchError: It cannot be run here.
        """
        ...


def find_engine(engine: Any, max_concurrency: int | None) -> Engine:
    """Return an engine by its name, or the object itself.

    Raises:
        ValueError: There is no such engine.
        ImportError: Its extra is not installed.
    """
    if isinstance(engine, str) and engine in _ENGINES:
        module, name = _ENGINES[engine]
        made: Engine = getattr(import_module(module), name)(max_concurrency=max_concurrency)
        return made
    if isinstance(engine, Engine):
        return engine

    msg = f"engine {engine!r}: use {', '.join(map(repr, _ENGINES))}"
    raise ValueError(msg)
