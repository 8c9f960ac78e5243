"""The engine on a Ray cluster: workers on many machines, one budget, one rate.

The driver hands rows to actors, as many at once as its `ConcurrencyLimit` allows, and writes each
result when it comes. So nothing is lost with a node but the rows that were in flight there, and no
worker goes on where the driver has died. Ray Data itself delivers blocks of rows: with a node, all
rows of a block would be lost and paid again.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any, cast

from langchain_openrouter._extras import import_extra
from langchain_openrouter.batch._local_engine import LocalEngine
from langchain_openrouter.batch._ray_payload import pack_plan, refuse_key_in_environment
from langchain_openrouter.batch._ray_workers import RemotePlan, WorkerPool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from langchain_openrouter.batch._feed import RowFeed
    from langchain_openrouter.batch._plan import RowPlan
    from langchain_openrouter.batch._row_result import RowResult

__all__ = ["RayEngine"]

_REQUESTS_PER_WORKER = 64
_CPUS = 0.5  # of a worker: half of the cluster is left to a data set that is read meanwhile


class RayEngine:
    """Runs rows on the actors of a Ray cluster: `run(..., engine=RayEngine(workers=8))`.

    It uses the cluster that the process is connected to; else it connects as `ray.init()` does, to
    RAY_ADDRESS or to a cluster that it starts on this machine. The package has to be installed on
    all nodes, and the key there: see `key_from_env` and `key_from_file`.

    Args:
        max_concurrency: The highest number of requests at once, of all workers together; None
            takes 128. How many there are follows the answers of all.
        workers: How many actors; None takes one for 64 requests at once, at least one for each
            node, but not more than the cluster has CPUs.
        options: Further options of the actors, as of `ray.remote`: `num_cpus` (0.5 unless given,
            so that there is room for what makes the rows), `resources` and the like.

    Raises:
        ImportError: The extra `ray` is not installed.
        BatchError: The key is in the options.
        ValueError: A number is not positive.
    """

    def __init__(
        self,
        max_concurrency: int | None = None,
        *,
        workers: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if workers is not None and workers < 1:
            msg = f"workers={workers}: at least 1"
            raise ValueError(msg)
        refuse_key_in_environment(options)

        self._local = LocalEngine(max_concurrency)
        self._workers = workers
        self._options = {"num_cpus": _CPUS, "scheduling_strategy": "SPREAD", **(options or {})}
        self._ray = connect('engine="ray"')

    def prepare(self, plan: RowPlan) -> None:
        """Check that a batch can be run here, in the context of its caller.

        Raises:
            BatchError: It holds a key, or cannot be sent to workers.
        """
        pack_plan(plan)

    async def run(self, feed: RowFeed, plan: RowPlan) -> AsyncGenerator[RowResult]:
        """Yield a result for each row, as they come; see `Engine`.

        Rows that were in flight on a node that died are sent again on the others: the service may
        have been paid for them, but each has one result.
        """
        pool = WorkerPool(
            self._ray,
            pack_plan(plan),
            self._workers or self._default_workers(),
            self._options,
            is_stopped=lambda: feed.is_ended_early,
        )
        remote = cast("RowPlan", RemotePlan(pool, plan.group_size))

        async with pool, contextlib.aclosing(self._local.run(feed, remote)) as results:
            async for result in results:
                yield result

    def _default_workers(self) -> int:
        cpus = [int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]]
        nodes = sum(1 for count in cpus if count)

        enough = math.ceil(self._local.limit.ceiling / _REQUESTS_PER_WORKER)
        return max(1, min(max(nodes, enough), sum(cpus)))


def connect(purpose: str) -> Any:
    """Return the module `ray`, connected to a cluster.

    Raises:
        ImportError: It is not installed.
    """
    ray = import_extra("ray", purpose, "ray")
    if not ray.is_initialized():
        ray.init()
    return ray
