"""The actors that run rows, and the driver's side of them.

An actor takes rows with `start` and tells with `poll` what has come since: one call brings many
results, so that a row costs little more than here. Results are small, and Ray brings them to the
driver in the call's reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from langchain_openrouter._current_user import acting
from langchain_openrouter._extras import import_extra
from langchain_openrouter._http.retry_observer import observe_retries, report_retry
from langchain_openrouter._redaction import redact
from langchain_openrouter.batch._ray_payload import to_user, unpack_plan
from langchain_openrouter.batch._row_result import RowResult
from langchain_openrouter.errors import BatchError, OpenRouterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langchain_openrouter._http.run_key import User
    from langchain_openrouter.batch._plan import RowPlan
    from langchain_openrouter.batch._requests import PendingRow

_LINGER = 0.005  # seconds that a reply waits for further results
_DEATHS_OF_ROW = 3  # workers that died while they had it: it may be the row that kills them
_FAILED_STARTS = 3  # in a row, for each worker
_POLL_SECONDS = 0.5  # between two looks whether the batch was stopped, while there is no worker


class Event(NamedTuple):
    """What a worker tells of some rows: results, or an error; or that a request is sent again."""

    number: int
    """Of the rows, as the driver counted them."""
    results: list[RowResult] | None = None
    error: Exception | None = None
    is_retry: bool = False


class Worker:
    """An actor with a model.

    Args:
        payload: Of `pack_plan`.
    """

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._plan: RowPlan
        self._user: User | None = None
        self._events: list[Event] = []
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self) -> str | None:
        """Load the model; return why it cannot be."""
        try:
            self._plan, carried = unpack_plan(self._payload)
            self._user = None if carried is None else to_user(carried)
        except Exception as error:  # noqa: BLE001 - whatever a module or an object raises
            return f"{type(error).__name__}: {error}"
        return None

    async def start(self, groups: Sequence[tuple[int, list[PendingRow]]]) -> None:
        """Begin to run rows."""
        for number, rows in groups:
            task = asyncio.create_task(self._answer(number, rows))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def poll(self) -> list[Event]:
        """Return what has come, as soon as there is something."""
        await self._wake.wait()
        await asyncio.sleep(_LINGER)

        self._wake.clear()
        events, self._events = self._events, []
        return events

    async def _answer(self, number: int, rows: list[PendingRow]) -> None:
        def on_retry(error: OpenRouterError) -> None:
            self._tell(Event(number, error=error, is_retry=True))

        user = contextlib.nullcontext() if self._user is None else acting(self._user)
        with user, observe_retries(on_retry):
            try:
                self._tell(Event(number, await self._plan.answer(rows)))
            except Exception as error:  # noqa: BLE001 - raised by the driver
                self._tell(Event(number, error=error))

    def _tell(self, event: Event) -> None:
        self._events.append(event)
        self._wake.set()


# --- the driver's side ------------------------------------------------------------------------


class _LostWorkerError(Exception):
    """The worker died before it told what came of the rows."""


class _Group(NamedTuple):
    """Rows that a worker has."""

    outcome: asyncio.Future[list[RowResult]]
    context: contextvars.Context
    """In which retries are reported."""


class _RemoteWorker:
    """An actor, as the driver sees it."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.groups: dict[int, _Group] = {}
        self._unsent: list[tuple[int, list[PendingRow]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def answer(self, number: int, rows: list[PendingRow]) -> list[RowResult]:
        """Run rows on the actor.

        Raises:
            _LostWorkerError: It died.
            Exception: What no further row would do better, as without a key.
        """
        loop = asyncio.get_running_loop()
        group = _Group(loop.create_future(), contextvars.copy_context())
        self.groups[number] = group
        if not self._unsent:  # what is started in one step of the loop goes out in one call
            loop.call_soon(self._send)
        self._unsent.append((number, rows))

        try:
            return await group.outcome
        finally:
            self.groups.pop(number, None)

    def _send(self) -> None:
        groups, self._unsent = self._unsent, []
        task = asyncio.ensure_future(self._start(groups))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _start(self, groups: list[tuple[int, list[PendingRow]]]) -> None:
        """Send rows; those that cannot be sent, as what does not pickle, have an error."""
        try:
            await self.handle.start.remote(groups)
        except Exception as error:  # noqa: BLE001 - of Ray: `poll` tells whether the actor died
            if is_death(error):
                return
            for number, _ in groups:
                self.take(Event(number, error=error))

    def take(self, event: Event) -> None:
        """Take what the actor tells."""
        group = self.groups.get(event.number)
        if group is None or group.outcome.done():
            return

        if event.is_retry:
            if isinstance(event.error, OpenRouterError):
                group.context.run(report_retry, event.error)
        elif event.error is not None:
            group.outcome.set_exception(event.error)
        else:
            group.outcome.set_result(event.results or [])

    def lose(self, error: Exception) -> None:
        """Note that the actor is gone, or that no actor can be there."""
        for group in self.groups.values():
            if not group.outcome.done():
                group.outcome.set_exception(error)


def is_death(error: Exception) -> bool:
    """Tell whether an error of Ray says that an actor, or its node, is gone."""
    exceptions = import_extra("ray.exceptions", 'engine="ray"', "ray")
    return isinstance(error, exceptions.RayError) and not isinstance(error, exceptions.RayTaskError)


class WorkerPool:
    """The actors of a batch. One that dies, as with its node, is replaced.

    Args:
        ray: The module.
        payload: Of `pack_plan`.
        count: How many actors.
        options: Of the actors.
        is_stopped: Tells whether the batch is to end before its last row.
    """

    def __init__(
        self,
        ray: Any,
        payload: bytes,
        count: int,
        options: Mapping[str, Any],
        is_stopped: Callable[[], bool],
    ) -> None:
        self._ray, self._payload, self._count = ray, payload, count
        self._is_stopped = is_stopped
        self._actor = ray.remote(Worker).options(**options)
        self._ready: list[_RemoteWorker] = []
        self._changed = asyncio.Event()
        self._pumps: dict[Any, asyncio.Task[None]] = {}
        """By the actors' handles."""

        self._failed_starts = 0
        self._failure: Exception | None = None
        self._number = 0

    async def __aenter__(self) -> Self:
        """Start the actors."""
        for _ in range(self._count):
            self._add_worker()
        return self

    async def __aexit__(self, *error: object) -> None:
        """End the actors, and what they are doing."""
        pumps = dict(self._pumps)
        self._pumps.clear()
        for handle, pump in pumps.items():
            pump.cancel()
            with contextlib.suppress(Exception):  # Ray itself may have been shut down
                self._ray.kill(handle)
        await asyncio.gather(*pumps.values(), return_exceptions=True)

    def _add_worker(self) -> None:
        handle = self._actor.remote(self._payload)
        self._pumps[handle] = asyncio.create_task(self._pump(handle))

    async def _pump(self, handle: Any) -> None:
        """Take what an actor tells, until it dies."""
        worker = _RemoteWorker(handle)
        try:
            cause = await handle.load.remote()
            if cause is None:
                self._failed_starts = 0
                self._ready.append(worker)
                self._changed.set()
            elif not self._ready:
                self._fail(cause)

            while cause is None:
                for event in await handle.poll.remote():
                    worker.take(event)
        except Exception as error:  # noqa: BLE001 - of Ray
            if self._pumps.pop(handle, None) is not None:  # else the batch has ended
                self._on_death(worker, error)

    def _on_death(self, worker: _RemoteWorker, error: Exception) -> None:
        with contextlib.suppress(Exception):  # one that is only out of reach must not go on
            self._ray.kill(worker.handle)
        if worker in self._ready:
            self._ready.remove(worker)
        else:
            self._failed_starts += 1

        worker.lose(_LostWorkerError(redact(str(error))))
        if is_death(error) and self._failed_starts < _FAILED_STARTS * self._count:
            self._add_worker()
        elif not self._ready:
            self._fail(str(error).strip().splitlines()[-1])

    def _fail(self, cause: str) -> None:
        """End the batch: no worker can be started."""
        self._failure = BatchError(f"no worker of Ray can be started: {redact(cause)}")
        self._changed.set()

    async def answer(self, rows: list[PendingRow]) -> list[RowResult]:
        """Run rows on the actor that has the fewest.

        Raises:
            _LostWorkerError: It died.
            BatchError: No actor can be started.
            CancelledError: The batch was stopped before there was one.
            Exception: What no further row would do better.
        """
        while not self._ready and self._failure is None:
            if self._is_stopped():
                raise asyncio.CancelledError  # rows that were not sent have no result
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._changed.wait()
        if self._failure is not None:
            raise self._failure

        worker = min(self._ready, key=lambda worker: len(worker.groups))
        self._number += 1
        return await worker.answer(self._number, rows)


class RemotePlan:
    """Answers rows as `RowPlan` does, on the workers of a pool.

    Args:
        pool: The workers.
        group_size: How many rows go into one request.
    """

    def __init__(self, pool: WorkerPool, group_size: int) -> None:
        self._pool = pool
        self.group_size = group_size

    async def answer(self, rows: Sequence[PendingRow]) -> list[RowResult]:
        """Return a result for each row; rows of a worker that died are run by another."""
        error: Exception | None = None
        for _ in range(_DEATHS_OF_ROW):
            try:
                return await self._pool.answer(list(rows))
            except _LostWorkerError as lost:
                error = lost

        return [
            RowResult(
                row.key,
                row.index,
                error_type="WorkerDiedError",
                error=f"{_DEATHS_OF_ROW} workers died while they ran it: {error}",
                is_retryable=True,
                request_hash=row.request_hash,
            )
            for row in rows
        ]
