"""Sending a submission, shard by shard.

What was sent is written down before and after each shard, so that a submission that was cut off
goes on where it ended, and nothing is paid for twice.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx2

from langchain_openrouter import errors
from langchain_openrouter._http.retry_after import retry_limits
from langchain_openrouter.batch._orphans import find_orphan, list_since
from langchain_openrouter.batch._steps import Call, Pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_openrouter.batch._batch_values import RemoteBatch
    from langchain_openrouter.batch._draft import Draft, SubmitOptions
    from langchain_openrouter.batch._handles import BatchHandle
    from langchain_openrouter.batch._steps import Steps

_WAIT = 5.0  # seconds after a refusal that passes, where the service does not say how long
_SERVER_ERROR = 500


def submission(  # noqa: PLR0913 - of one submission
    draft: Draft,
    handle: BatchHandle,
    options: SubmitOptions,
    *,
    max_retries: int,
    save: Callable[[BatchHandle], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> Steps[BatchHandle]:
    """Send the shards that were not sent; return the handle with the ids of all.

    A shard whose creation was not answered, and that may be among batches that run, is not sent
    again: it has `candidates` then, and the next call looks at them again.

    Args:
        draft: The requests.
        handle: What is known of them; of an earlier call, where it was cut off.
        options: Of the submission.
        max_retries: How often a shard is sent again that was refused for the time being.
        save: Called with the handle before and after each shard.
        should_stop: Called before each shard: whether it and the rest are left for later.

    Raises:
        OpenRouterError: A shard was refused, or it is not known whether it was accepted. Its
            `handle` is the submission so far, which goes on from there.
    """
    handle = yield from _with_key(handle)
    fields = {
        "endpoint": handle.endpoint,
        "model": handle.model,
        "callback_url": options.callback_url,
        "completion_window": options.completion_window,
        "provider": draft.first.provider,
    }
    present = {name: value for name, value in fields.items() if value is not None}
    save(handle)

    for position in range(len(handle.shards)):
        if should_stop():
            break
        try:
            handle = yield from _recover(handle, position)
            if handle.shards[position].sent_at is None:
                shard = replace(handle.shards[position], sent_at=time.time())
                handle = handle.with_shard(position, shard)
                save(handle)
                body = draft.spool.body(position, present)
                handle, refusal = yield from _create(handle, position, body, max_retries)
                if refusal is not None:
                    raise refusal
        except errors.OpenRouterError as error:
            _annotate(error, handle)
            raise
        finally:
            save(handle)
    return handle


def _with_key(handle: BatchHandle) -> Steps[BatchHandle]:
    """Return the handle with the fingerprint of the key.

    Raises:
        BatchChangedError: It was begun with a key of another workspace: that user would not see
            these batches, and would pay for the rows a second time.
    """
    fingerprint: str = yield Call("key_fingerprint")
    if handle.key_fingerprint in {"", fingerprint}:
        return replace(handle, key_fingerprint=fingerprint)

    listed = yield from list_since(handle.created_at)
    if not {batch.id for batch in listed} & {*handle.ids, *handle.candidates}:
        msg = "this submission was begun with another key, of another workspace: go on with that"
        raise errors.BatchChangedError(msg)
    return replace(handle, key_fingerprint=fingerprint)


def _recover(handle: BatchHandle, position: int) -> Steps[BatchHandle]:
    """Return the handle with the batch of a shard whose creation was not answered, if there is.

    Or with the running ones that may be it.
    """
    shard = handle.shards[position]
    if shard.sent_at is None or shard.is_submitted:
        return handle
    return handle.with_shard(position, (yield from find_orphan(handle, shard)))


def _create(
    handle: BatchHandle, position: int, body: bytes, max_retries: int
) -> Steps[tuple[BatchHandle, errors.OpenRouterError | None]]:
    """Create the batch of a shard; where the answer does not come, look for it.

    Returns:
        The handle with the id, or with those of batches that may be it; or without, and why it was
        refused.

    Raises:
        OpenRouterError: It is not known whether there is a batch.
    """
    shard = handle.shards[position]
    attempt = 0

    while True:
        try:
            batch: RemoteBatch = yield Call("create", (body,))
        except errors.OpenRouterError as error:
            if not _is_refused(error):
                return (yield from _look_for(handle, position, error)), None
            may_wait = error.is_retryable and retry_limits.allows(error)
            if attempt >= max_retries or not may_wait:
                return handle.with_shard(position, replace(shard, sent_at=None)), error
            attempt += 1
            wait = _WAIT if error.retry_after is None else error.retry_after
        else:
            return handle.with_shard(position, replace(shard, ids=(batch.id,))), None
        yield Pause(wait)


def _look_for(
    handle: BatchHandle, position: int, error: errors.OpenRouterError
) -> Steps[BatchHandle]:
    """Return the handle with the batch that was made although the answer to it failed.

    Raises:
        OpenRouterError: `error`, as there is none, or the service does not say.
    """
    recovered = handle
    with suppress(errors.OpenRouterError):
        recovered = yield from _recover(handle, position)
    shard = recovered.shards[position]
    if not (shard.is_submitted or shard.candidates):
        raise error
    return recovered


def _is_refused(error: errors.OpenRouterError) -> bool:
    """Tell whether it is certain that no batch was made: it was refused, or was never sent."""
    if isinstance(error, errors.ConnectionFailedError):
        return isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
    is_uncertain = isinstance(error, errors.UpstreamError | errors.RequestTimeoutError)
    return not is_uncertain and (error.code is None or error.code < _SERVER_ERROR)


def _annotate(error: errors.OpenRouterError, handle: BatchHandle) -> None:
    submitted = sum(shard.is_submitted for shard in handle.shards)

    error.handle = handle  # type: ignore[attr-defined]
    error.add_note(
        f"{submitted} of {len(handle.shards)} batches were submitted, and run on: the same call "
        "goes on, with the same `handle_path` or with `resume=error.handle`."
    )
