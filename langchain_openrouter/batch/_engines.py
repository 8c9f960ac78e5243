"""What an engine is, and where each is found.

An engine takes rows from a `RowFeed` and yields a result for each, in any order. It knows neither
files nor budgets: the feed ends where the batch is to stop, and the runner writes what is yielded
before it takes the next.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from langchain_openrouter.batch._handles import BatchHandle
from langchain_openrouter.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from langchain_openrouter.batch._feed import RowFeed
    from langchain_openrouter.batch._plan import RowPlan
    from langchain_openrouter.batch._requests import Key
    from langchain_openrouter.batch._row_result import RowResult

_SUFFIX = ".batch.json"
_MAX_NAMES = 3  # batches that an error names
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

    def awaits(self, key: Key, index: int) -> bool:
        """Tell whether a row was sent by an earlier process, whose answers were not all read.

        Called for each row of the input, in order; such a row is handed out, unless it is done.
        """
        ...


def refuse_running(output: Path | None) -> None:
    """Check that no batches at OpenRouter hold rows of an output, which would be paid for twice.

    Raises:
        BatchError: There are some whose results were not collected.
    """
    path = None if output is None else batch_file(output)
    if path is None or not path.exists():
        return

    handle = BatchHandle.load(path)
    if handle.is_sent and not handle.is_collected:
        ids = ", ".join([*handle.ids, *handle.candidates][:_MAX_NAMES]) or "not answered yet"
        msg = (
            f"rows of {path.name.removesuffix(_SUFFIX)} are in batches at OpenRouter ({ids}): the "
            'same call with engine="openrouter" waits for them and writes their results; or delete '
            f"{path}, and pay for those rows twice"
        )
        raise BatchError(msg)


def batch_file(output: Path) -> Path:
    """Return where the handle of an output's batches at OpenRouter is."""
    return output.with_name(f"{output.name}{_SUFFIX}")


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
