"""Finds a batch whose creation was not answered: the process died, or the connection broke.

`POST /batches` is not idempotent and a batch carries no name of the client's: what there is are
its endpoint, vendor, number of requests and time, and, once it is completed, the `custom_id` of
each request, which begins with the id of the submission. A batch may be unknown to the service's
other requests for some time after it was accepted, so that none is sent again before that is over.

So a batch is a submission's once its results say so. One that runs and looks alike is a candidate:
it may be of another user of the workspace, whose results are not these rows'.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_openrouter._json import get_str
from langchain_openrouter.batch._custom_ids import parse_custom_id
from langchain_openrouter.batch._steps import Call, Pause

if TYPE_CHECKING:
    from langchain_openrouter.batch._batch_values import BatchPage, RemoteBatch
    from langchain_openrouter.batch._handles import BatchHandle, Shard
    from langchain_openrouter.batch._steps import Steps

VISIBLE_AFTER = 120.0
"""Seconds after which a batch that was accepted is listed, if it was."""
_CLOCK_SKEW = 300.0  # seconds by which the clocks of this machine and the service may differ
_LONGEST_CREATION = 3_600.0  # seconds from sending a batch to its `created_at`, at most
_MAX_PAGES = 50
_POLL_SECONDS = 5.0


def find_orphan(handle: BatchHandle, shard: Shard) -> Steps[Shard]:
    """Return a shard whose creation was not answered with the batch that it is.

    Args:
        handle: The submission.
        shard: It was sent at `sent_at`.

    Returns:
        The shard with the `ids` of the batch whose results are its; else with those of running
        ones as `candidates`; else, as it does not exist, with `sent_at=None`.
    """
    sent_at = shard.sent_at or time.time()
    others: set[str] = set()

    while True:
        batch_id, running = yield from _look(handle, shard, sent_at, others)
        if batch_id is not None:
            return replace(shard, ids=(batch_id,), candidates=())
        left = sent_at + VISIBLE_AFTER - time.time()
        if left <= 0:
            return replace(shard, candidates=running, sent_at=sent_at if running else None)
        yield Pause(min(_POLL_SECONDS, left))


def _look(
    handle: BatchHandle, shard: Shard, sent_at: float, others: set[str]
) -> Steps[tuple[str | None, tuple[str, ...]]]:
    """Return the id of a shard's batch, and those of the running ones that may be it.

    Args:
        handle: The submission.
        shard: The shard.
        sent_at: When it was sent.
        others: The ids of batches whose results are not its; more are added.
    """
    known = {*handle.ids, *others}
    listed = yield from list_since(sent_at)
    batches = [b for b in listed if b.id not in known and _is_like(b, handle, shard, sent_at)]

    batches.sort(key=lambda batch: abs((batch.created_at or 0) - sent_at))
    for batch in batches:
        if batch.has_ended:
            read: RemoteBatch = yield Call("get", (batch.id,))
            if holds_shard(read, handle, shard):
                return batch.id, ()
            others.add(batch.id)
    return None, tuple(batch.id for batch in batches if not batch.has_ended)


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


def _is_like(batch: RemoteBatch, handle: BatchHandle, shard: Shard, sent_at: float) -> bool:
    """Tell whether a batch has the time, the endpoint, the size and the vendor of a shard.

    Not the model: the service may name a dated version, whose slug is spelled otherwise.
    """
    vendors = {(slug or "").partition("/")[0] for slug in (batch.model, handle.model)}
    is_endpoint = batch.endpoint in {None, handle.endpoint}
    is_vendor = batch.model is None or len(vendors) == 1
    is_in_time = (batch.created_at or 0) <= sent_at + _LONGEST_CREATION + _CLOCK_SKEW
    is_sized = batch.counts.total in {0, shard.count}
    return is_in_time and is_endpoint and is_vendor and is_sized


def holds_shard(batch: RemoteBatch, handle: BatchHandle, shard: Shard) -> bool:
    """Tell by its results whether a batch is the one of a shard."""
    for row in batch.results:
        parsed = parse_custom_id(get_str(row, "custom_id") or "")
        is_of_run = parsed is not None and parsed.run == handle.run
        if parsed is not None and is_of_run and shard.first <= parsed.index <= shard.last:
            return True
    return False
