"""Waiting until the batches of a submission have ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langchain_openrouter import errors
from langchain_openrouter.batch._batch_values import RemoteBatch, RequestCounts
from langchain_openrouter.batch._orphans import VISIBLE_AFTER, list_since
from langchain_openrouter.batch._steps import Call, Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_openrouter.batch._handles import BatchHandle
    from langchain_openrouter.batch._steps import Steps

FIRST_POLL, LONGEST_POLL = 2.0, 60.0  # seconds
_BACKOFF = 1.5
_OUTAGE = 1_800.0  # seconds for which the service may fail in a row
DELETED = "deleted"
"""The status of a batch that the service does not know any more: 30 days, or `delete`."""


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far the batches of a submission are."""

    statuses: Mapping[str, str]
    """By the id of the batch; with those of the handle's candidates."""
    counts: RequestCounts
    """Of the batches that were submitted."""
    total: int
    """Rows, those of batches that were not submitted included."""
    cost: float | None = None
    """USD, of the batches that have ended."""
    batches: tuple[RemoteBatch, ...] = field(default=(), repr=False)

    @property
    def has_ended(self) -> bool:
        """Whether none of them runs any more."""
        return all(batch.has_ended or batch.status == DELETED for batch in self.batches)

    def __str__(self) -> str:
        """Show the statuses and the counts in one line."""
        names = list(self.statuses.values())
        parts = [f"{names.count(name)} {name}" for name in dict.fromkeys(names)]
        done = self.counts.completed + self.counts.failed
        return f"{', '.join(parts) or 'nothing submitted'}: {done:,} of {self.total:,} rows"


def read_status(handle: BatchHandle) -> Steps[BatchStatus]:
    """Return how far a submission is: one request for up to a hundred batches."""
    known: dict[str, RemoteBatch] = {}
    since = min((s.sent_at for s in handle.shards if s.sent_at), default=handle.created_at)
    for batch in (yield from list_since(since)):
        known[batch.id] = batch

    batches = []
    for shard in handle.shards:
        for batch_id in (*shard.ids, *shard.candidates):
            if batch_id in known:
                batches.append(known[batch_id])
            else:
                batches.append((yield from _read_one(handle, batch_id, shard.sent_at or 0.0)))
    return _summarize(handle, batches)


def _read_one(handle: BatchHandle, batch_id: str, sent_at: float) -> Steps[RemoteBatch]:
    """Return a batch that was not listed; a new one may not be known yet."""
    try:
        batch: RemoteBatch = yield Call("get", (batch_id,))
    except errors.ModelUnavailableError:
        yield from refuse_other_key(handle, batch_id)
        is_new = time.time() - sent_at < VISIBLE_AFTER
        return RemoteBatch(batch_id, "validating" if is_new else DELETED)
    return batch


def refuse_other_key(handle: BatchHandle, batch_id: str) -> Steps[None]:
    """Check that a batch that was not found is not one of another account.

    Its rows would count as lost, and be sent again on the account of the key that does not see it.

    Raises:
        BatchChangedError: The key is not the one that the submission was made with.
    """
    fingerprint: str = yield Call("key_fingerprint")
    if handle.key_fingerprint not in {"", fingerprint}:
        msg = (
            f"batch {batch_id!r} is not found with this key, and was submitted with another one: "
            "pass that key, or one of its workspace; if it is one, the batch was deleted"
        )
        raise errors.BatchChangedError(msg)


def _summarize(handle: BatchHandle, batches: list[RemoteBatch]) -> BatchStatus:
    counts = RequestCounts()
    own = [batch for batch in batches if batch.id in handle.ids]
    for batch in own:
        counts += batch.counts
    costs = [batch.cost for batch in own if batch.cost is not None]

    return BatchStatus(
        statuses={batch.id: batch.status for batch in batches},
        counts=counts,
        total=handle.total,
        cost=sum(costs) if costs else None,
        batches=tuple(batches),
    )


def waiting(
    handle: BatchHandle,
    *,
    timeout: float | None = None,
    on_status: Callable[[BatchStatus], object] | None = None,
) -> Steps[BatchStatus]:
    """Wait until no batch of a submission runs any more.

    Args:
        handle: The submission.
        timeout: Seconds; None waits without a limit.
        on_status: Called with each status that was read; may raise to end the wait.

    Raises:
        BatchTimeoutError: They did not end in time. They run on.
        OpenRouterError: The service answered with an error that will not pass, or for half an hour
            with nothing else.
    """
    start = time.monotonic()
    poll, failing_since = FIRST_POLL, None

    while True:
        try:
            status = yield from read_status(handle)
        except errors.OpenRouterError as error:
            now = time.monotonic()
            failing_since = failing_since or now
            if not error.is_retryable or now - failing_since > _OUTAGE:
                raise
        else:
            failing_since = None
            if on_status is not None:
                on_status(status)
            if status.has_ended:
                return status

        left = None if timeout is None else timeout - (time.monotonic() - start)
        if left is not None and left <= 0:
            msg = f"the batches did not end in {timeout:g} s, and run on: wait for them again"
            raise errors.BatchTimeoutError(msg)
        yield Pause(poll if left is None else min(poll, left))
        poll = min(poll * _BACKOFF, LONGEST_POLL)
