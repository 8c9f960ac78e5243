"""Finds a batch whose creation was not answered: the process died, or the connection broke.

`POST /batches` is not idempotent and a batch carries no name of the client's: what there is are
its endpoint, vendor, number of requests and time, and, once it is completed, the `custom_id` of
each request, which begins with the id of the submission. A batch may be unknown to the service's
other requests for some time after it was accepted, so that none is sent again before that is over.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from langchain_openrouter._json import get_str
from langchain_openrouter.batch._steps import Call, Pause

if TYPE_CHECKING:
    from langchain_openrouter.batch._batch_values import BatchPage, RemoteBatch
    from langchain_openrouter.batch._handles import BatchHandle, Shard
    from langchain_openrouter.batch._steps import Steps

VISIBLE_AFTER = 120.0
"""Seconds after which a batch that was accepted is listed, if it was."""
_CLOCK_SKEW = 300.0  # seconds by which the clocks of this machine and the service may differ
_MAX_PAGES = 50
_POLL_SECONDS = 5.0


def find_orphans(handle: BatchHandle, shard: Shard) -> Steps[tuple[str, ...]]:
    """Return the ids of the batches that may be a shard whose creation was not answered.

    Args:
        handle: The submission.
        shard: It was sent at `sent_at`.

    Returns:
        One id where its results tell, or no other batch is like it; none where it does not exist.
    """
    sent_at = shard.sent_at or time.time()

    while True:
        ids = yield from _candidates(handle, shard, sent_at)
        if ids:
            return ids
        left = sent_at + VISIBLE_AFTER - time.time()
        if left <= 0:
            return ()
        yield Pause(min(_POLL_SECONDS, left))


def _candidates(handle: BatchHandle, shard: Shard, sent_at: float) -> Steps[tuple[str, ...]]:
    known = set(handle.ids)
    listed = yield from list_since(sent_at)
    batches = [b for b in listed if b.id not in known and _is_like(b, handle, shard)]

    batches.sort(key=lambda batch: abs((batch.created_at or 0) - sent_at))
    running = []
    for batch in batches:
        if not batch.has_ended:
            running.append(batch.id)
        elif batch.status == "completed":
            read: RemoteBatch = yield Call("get", (batch.id,))
            if belongs_to(read, handle.run):
                return (batch.id,)
    return tuple(running)


def list_since(since: float) -> Steps[list[RemoteBatch]]:
    """Return the batches that were created since a time, clocks allowed for, without results.

    Args:
        since: Unix time in seconds.
    """
    batches: dict[str, RemoteBatch] = {}
    after: str | None = None
    filters = {"created_after": int(since - _CLOCK_SKEW)}

    for _ in range(_MAX_PAGES):
        page: BatchPage = yield Call("list_batches", (), {**filters, "after": after})
        is_new = any(batch.id not in batches for batch in page)
        batches |= {batch.id: batch for batch in page if batch.id}
        after = page.last_id
        if not page.has_more or not after or not is_new:
            break
    return list(batches.values())


def _is_like(batch: RemoteBatch, handle: BatchHandle, shard: Shard) -> bool:
    """Tell whether a batch has the endpoint, the size and the vendor of a shard.

    Not the model: the service may name a dated version, whose slug is spelled otherwise.
    """
    vendors = {(slug or "").partition("/")[0] for slug in (batch.model, handle.model)}
    is_endpoint = batch.endpoint in {None, handle.endpoint}
    is_vendor = batch.model is None or len(vendors) == 1
    return is_endpoint and is_vendor and batch.counts.total in {0, shard.count}


def belongs_to(batch: RemoteBatch, run: str) -> bool:
    """Tell by its results whether a batch is of a submission."""
    return any((get_str(row, "custom_id") or "").startswith(f"{run}-") for row in batch.results)
