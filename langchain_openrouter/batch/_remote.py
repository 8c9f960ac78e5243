"""`status`, `wait`, `collect`, `cancel`, `delete`: what was submitted to the Batch API.

See https://openrouter.ai/docs/guides/features/batch-api.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from langchain_openrouter import errors
from langchain_openrouter.batch._batch_api import OpenRouterBatches
from langchain_openrouter.batch._batch_requests import EMBEDDINGS, build_requests
from langchain_openrouter.batch._collecting import collecting
from langchain_openrouter.batch._draft import hash_description
from langchain_openrouter.batch._handles import BatchHandle
from langchain_openrouter.batch._orphans import holds_shard
from langchain_openrouter.batch._plan import build_plan
from langchain_openrouter.batch._remote_rows import expected_rows, to_results
from langchain_openrouter.batch._requests import (
    describe_batch,
)
from langchain_openrouter.batch._steps import Call, atake_steps, take_steps
from langchain_openrouter.batch._waiting import DELETED, BatchStatus, read_status, waiting
from langchain_openrouter.chat_models import ChatOpenRouter
from langchain_openrouter.embeddings import OpenRouterEmbeddings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from os import PathLike

    from langchain_openrouter.batch._handles import Shard
    from langchain_openrouter.batch._plan import RowPlan
    from langchain_openrouter.batch._row_result import RowResult
    from langchain_openrouter.batch._steps import Steps

__all__ = [
    "acancel",
    "acollect",
    "adelete",
    "astatus",
    "await_batch",
    "cancel",
    "collect",
    "delete",
    "status",
    "wait",
]

T = TypeVar("T")
Handle: TypeAlias = "BatchHandle | str | PathLike[str]"
"""A handle, or the path of the file that `handle_path` wrote."""


# --- wait -------------------------------------------------------------------------------------


def status(handle: Handle, model: Any = None) -> BatchStatus:
    """Return how far a submission is.

    Args:
        handle: Of `submit`.
        model: The model that submitted, or an `OpenRouterBatches`: its key and address are used.
            None: those of the environment, if it is the handle's address.
    """
    known = to_handle(handle)
    return take_steps(read_status(known), to_resource(known, model))


async def astatus(handle: Handle, model: Any = None) -> BatchStatus:
    """Return like `status`."""
    known = to_handle(handle)
    return await atake_steps(read_status(known), to_resource(known, model))


def wait(
    handle: Handle,
    model: Any = None,
    *,
    timeout: float | None = None,
    on_status: Callable[[BatchStatus], object] | None = None,
) -> BatchStatus:
    """Wait until all batches of a submission have ended, however they did.

    They are polled every two seconds at first, and every minute later. An outage of up to half an
    hour is sat out. Ctrl-C ends the wait and nothing else: the batches run on.

    Args:
        handle: Of `submit`.
        model: As of `status`.
        timeout: Seconds; None waits without a limit.
        on_status: Called with each `BatchStatus` that is read.

    Raises:
        BatchTimeoutError: They did not end in time; they run on.
        OpenRouterError: The service refused to say.
    """
    known = to_handle(handle)
    steps = waiting(known, timeout=timeout, on_status=on_status)
    return take_steps(steps, to_resource(known, model))


async def await_batch(
    handle: Handle,
    model: Any = None,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - as in `wait`
    on_status: Callable[[BatchStatus], object] | None = None,
) -> BatchStatus:
    """Wait like `wait`, in the running event loop (`await` alone is no name in Python)."""
    known = to_handle(handle)
    steps = waiting(known, timeout=timeout, on_status=on_status)
    return await atake_steps(steps, to_resource(known, model))


# --- collect ----------------------------------------------------------------------------------


def collect(
    handle: Handle, model: Any = None, *, schema: Any = None, include_raw: bool = False
) -> Iterator[RowResult]:
    """Yield a result for each row of a submission that has ended, in the order of the rows.

    A row whose batch failed, expired or was canceled, or that the service left out, has a
    `BatchRowError`; what was done before is there if the service keeps it. Results are at the
    service for 30 days. They can be collected any number of times.

    Args:
        handle: Of `submit`.
        model: The model that submitted. None: outputs are texts, or vectors.
        schema: The schema that was submitted.
        include_raw: Whether results hold the whole message, as `raw`.

    Yields:
        Results like those of `run`; 5,000 are in memory at a time. `cost` is the row's share of
        what its batch cost, where the service sends no cost for it.

    Raises:
        BatchError: A batch has not ended, or was not submitted.
        BatchChangedError: The schema is not the one that was submitted; or the key is not, and does
            not see the batch.
    """
    reader = _Reader(to_handle(handle), model, schema, include_raw=include_raw)
    for shard in reader.handle.shards:
        answers = take_steps(collecting(reader.handle, shard), reader.resource)
        rows = expected_rows(shard)
        yield from run_in_thread(to_results(rows, answers, reader.plan, is_checked=False))


async def acollect(
    handle: Handle, model: Any = None, *, schema: Any = None, include_raw: bool = False
) -> AsyncIterator[RowResult]:
    """Yield like `collect`."""
    reader = _Reader(to_handle(handle), model, schema, include_raw=include_raw)
    for shard in reader.handle.shards:
        answers = await atake_steps(collecting(reader.handle, shard), reader.resource)
        rows = expected_rows(shard)
        for result in await to_results(rows, answers, reader.plan, is_checked=False):
            yield result


class _Reader:
    """What reads the answers of a submission."""

    def __init__(self, handle: BatchHandle, model: Any, schema: Any, *, include_raw: bool) -> None:
        self.handle = handle
        if model is None or isinstance(model, OpenRouterBatches):
            self.resource = to_resource(handle, model)
            model = _plain_model(handle)
        else:
            self.resource = to_resource(handle, model)

        plan = build_plan(model, None, schema, include_raw=include_raw)
        described = describe_batch(model, plan.prompt, schema, None)
        if hash_description(described)["schema"] != handle.fingerprint.get("schema"):
            msg = "`schema` is not the one that was submitted: pass that, as of `submit`"
            raise errors.BatchChangedError(msg)
        self.plan: RowPlan = build_requests(plan, handle.method).answer_plan(plan)


def _plain_model(handle: BatchHandle) -> Any:
    """Return a model that reads the answers of a submission, and sends nothing."""
    kind: Any = OpenRouterEmbeddings if handle.endpoint == EMBEDDINGS else ChatOpenRouter
    return kind(model=handle.model, api_key="unused", base_url=handle.base_url)


def run_in_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread of its own, in the caller's context: a loop may run here."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(asyncio.run(coroutine))
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            failure.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(work,), daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure.pop()
    return outcome[0]


# --- cancel, delete ---------------------------------------------------------------------------


def cancel(handle: Handle, model: Any = None) -> BatchStatus:
    """Say whether a submission can still be stopped: nothing more of it is sent.

    OpenRouter documents no request that stops a batch. `DELETE /batches/{id}` is refused while one
    runs, and erases the results of one that has ended, so that it is never sent here: see `delete`.

    Returns:
        The status, where nothing runs any more.

    Raises:
        BatchError: Batches run on, and are billed; it says how many rows that are.
    """
    known = to_handle(handle)
    return _without_running(take_steps(read_status(known), to_resource(known, model)))


async def acancel(handle: Handle, model: Any = None) -> BatchStatus:
    """Say like `cancel`."""
    known = to_handle(handle)
    return _without_running(await atake_steps(read_status(known), to_resource(known, model)))


def _without_running(status_: BatchStatus) -> BatchStatus:
    running = [b for b in status_.batches if not (b.has_ended or b.status == DELETED)]
    if not running:
        return status_

    rows = sum(batch.counts.total for batch in running)
    ids = ", ".join(batch.id for batch in running[:3])
    msg = (
        f"OpenRouter has no request that cancels a batch: {len(running)} of them ({ids}), with "
        f"{rows:,} rows, run on and are billed. `collect` their results when they have ended; rows "
        "that were not submitted are not sent"
    )
    raise errors.BatchError(msg)


def delete(handle: Handle, model: Any = None) -> None:
    """Erase the requests and the results of a submission at OpenRouter; collect them before.

    What the provider behind it keeps is not erased with every provider. Bills are kept.

    Args:
        handle: Of `submit`.
        model: As of `status`.

    Raises:
        BatchError: A batch has not ended, and nothing was erased.
    """
    known = to_handle(handle)
    take_steps(_deleting(known), to_resource(known, model))


async def adelete(handle: Handle, model: Any = None) -> None:
    """Erase like `delete`."""
    known = to_handle(handle)
    await atake_steps(_deleting(known), to_resource(known, model))


def _deleting(handle: BatchHandle) -> Steps[None]:
    current = yield from read_status(handle)
    if not current.has_ended:
        msg = f"a batch that has not ended cannot be deleted: {current}"
        raise errors.BatchError(msg)

    gone = {batch.id for batch in current.batches if batch.status == DELETED}
    for shard in handle.shards:
        own = list(shard.ids)
        for batch_id in shard.candidates:  # which may be another user's
            is_own = batch_id not in gone and (yield from _is_own(batch_id, handle, shard))
            own += [batch_id] if is_own else []
        for batch_id in own:
            if batch_id not in gone:
                yield Call("delete", (batch_id,))


def _is_own(batch_id: str, handle: BatchHandle, shard: Shard) -> Steps[bool]:
    batch = yield Call("get", (batch_id,))
    return holds_shard(batch, handle, shard)


# --- handles ----------------------------------------------------------------------------------


def to_handle(handle: Handle) -> BatchHandle:
    """Return a handle, read from its file if it is a path."""
    return handle if isinstance(handle, BatchHandle) else BatchHandle.load(handle)


def to_resource(handle: BatchHandle, model: Any = None) -> OpenRouterBatches:
    """Return the resource that reads a submission.

    Raises:
        ValueError: It would send a key to another address than the one it is for: a handle is a
            file, and says where its batches are.
    """
    if isinstance(model, OpenRouterBatches):
        resource = model
    elif model is None:
        resource = OpenRouterBatches()
    else:
        resource = build_requests(build_plan(model, None, None)).resource(OpenRouterBatches)

    base_url = resource._build_request("").base_url  # noqa: SLF001 - as a request would have it
    if base_url != handle.base_url:
        msg = (
            f"the batches are at {handle.base_url}, and the key is for {base_url}: pass the model "
            "that submitted them"
        )
        raise ValueError(msg)
    return resource
