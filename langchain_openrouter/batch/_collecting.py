"""Reading the batches of a submission, shard by shard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_openrouter import errors
from langchain_openrouter.batch._batch_values import RemoteBatch
from langchain_openrouter.batch._orphans import holds_shard
from langchain_openrouter.batch._remote_rows import read_answers
from langchain_openrouter.batch._steps import Call
from langchain_openrouter.batch._waiting import DELETED, refuse_other_key

if TYPE_CHECKING:
    from langchain_openrouter.batch._handles import BatchHandle, Shard
    from langchain_openrouter.batch._remote_rows import Answers
    from langchain_openrouter.batch._steps import Steps

_MAX_NAMES = 3  # batches that an error names


def collecting(handle: BatchHandle, shard: Shard) -> Steps[Answers]:
    """Return the results of a shard.

    Raises:
        BatchChangedError: The key does not see it, and is not the one that submitted it.
        BatchError: It was not submitted, or has not ended; or it is none of the batches that ran
            when its creation was not answered.
    """
    running: RemoteBatch | None = None
    for batch_id in (*shard.ids, *shard.candidates):
        batch = yield from _read(handle, batch_id)
        if not (batch.has_ended or batch.status == DELETED):
            running = batch
        elif batch_id in shard.ids or holds_shard(batch, handle, shard):
            return read_answers(batch, handle, shard)

    if running is not None:
        msg = f"batch {running.id!r} is {running.status or 'not done'}: `wait` for it first"
        raise errors.BatchError(msg, is_retryable=True)
    others = ", ".join(shard.candidates[:_MAX_NAMES])
    why = f", and are not those of {others}" if others else ""
    msg = (
        f"rows {shard.first} to {shard.last} were not submitted{why}: call `submit` again with the "
        "same `handle_path`, or with `resume=` this handle, which sends them"
    )
    raise errors.BatchError(msg)


def _read(handle: BatchHandle, batch_id: str) -> Steps[RemoteBatch]:
    try:
        batch: RemoteBatch = yield Call("get", (batch_id,))
    except errors.ModelUnavailableError:
        yield from refuse_other_key(handle, batch_id)
        batch = RemoteBatch(batch_id, DELETED)
    return batch
