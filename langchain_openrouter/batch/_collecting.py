"""Reading the batches of a submission, shard by shard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_openrouter import errors
from langchain_openrouter.batch._batch_values import RemoteBatch
from langchain_openrouter.batch._orphans import belongs_to
from langchain_openrouter.batch._remote_rows import read_answers
from langchain_openrouter.batch._steps import Call
from langchain_openrouter.batch._waiting import DELETED

if TYPE_CHECKING:
    from langchain_openrouter.batch._handles import BatchHandle, Shard
    from langchain_openrouter.batch._remote_rows import Answers
    from langchain_openrouter.batch._steps import Steps


def collecting(handle: BatchHandle, shard: Shard) -> Steps[Answers]:
    """Return the results of a shard.

    Raises:
        BatchError: It was not submitted, or has not ended.
    """
    if not shard.is_submitted:
        msg = (
            f"rows {shard.first} to {shard.last} were not submitted: call `submit` again with the "
            "handle"
        )
        raise errors.BatchError(msg)

    batch = yield from _read(handle, shard)
    if not (batch.has_ended or batch.status == DELETED):
        msg = f"batch {batch.id!r} is {batch.status or 'not done'}: `wait` for it first"
        raise errors.BatchError(msg, is_retryable=True)
    return read_answers(batch, handle, shard)


def _read(handle: BatchHandle, shard: Shard) -> Steps[RemoteBatch]:
    """Return the batch of a shard; where several may be it, the one with its results."""
    last: RemoteBatch | None = None

    for batch_id in shard.ids:
        try:
            last = yield Call("get", (batch_id,))
        except errors.ModelUnavailableError:
            last = RemoteBatch(batch_id, DELETED)
        if last is not None and belongs_to(last, handle.run):
            return last
    assert last is not None  # noqa: S101 - a submitted shard has an id
    return last
