"""The emulator's Batch API: batches whose status follows the clock, and what is refused of them.

See https://openrouter.ai/docs/guides/features/batch-api and
https://openrouter.ai/docs/batch-quickstart.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_openrouter._json import get_int, get_number
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._batch_validation import invalid_request, validate_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langchain_openrouter.testing.emulator._accounts import Key

__all__ = ["BatchTimes", "Batches", "RowAnswer"]

_OK = 200
_LOWEST_ERROR = 400
_DEFAULT_PAGE, _MAX_PAGE = 20, 100
TERMINAL = {"completed", "failed", "expired", "cancelled"}


class RowAnswer(NamedTuple):
    """What the emulator answers to one request of a batch."""

    body: Mapping[str, Any] | None
    """The body of the response; None where the row has an error instead."""
    status: int = _OK
    error: Mapping[str, Any] | None = None
    usage: Mapping[str, Any] | None = None


@dataclass
class BatchTimes:
    """How long a batch stays in each status, in seconds of the emulator's clock; tests set them."""

    validating: float = 0.2
    running: float = 0.5
    """For all requests, which are answered one after the other in this time."""
    finalizing: float = 0.2
    cancelling: float = 0.2
    window: float = 86_400.0
    """After which what is not answered expires."""
    invisible: float = 0.0
    """For how long a batch that was accepted is not known to the other requests yet."""


@dataclass
class _Batch:
    """A batch, as far as the emulator has got with it."""

    id: str
    key: Key
    body: Mapping[str, Any]
    created: float
    invalid: str | None
    """Why it fails, found after it was accepted."""
    cancelled: float | None = None
    answers: list[RowAnswer] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def requests(self) -> Sequence[Mapping[str, Any]]:
        requests: Sequence[Mapping[str, Any]] = self.body["requests"]
        return requests


class Batches:
    """The batches of all workspaces; safe to use from any thread.

    Args:
        now: Returns Unix time in seconds.
        answer: Answers one request of a batch and charges its key: takes the key, the batch's
            endpoint, and the request's body with its model.

    Attributes:
        times: How long each status takes.
        keeps_partial_results: Whether a batch that expired or was cancelled has the results of
            the requests that were answered. The documentation says that it has none.
        max_requests: How many requests a batch may have.
        max_bytes: How large the request that creates it may be.
    """

    def __init__(
        self,
        now: Callable[[], float],
        answer: Callable[[Key, str, dict[str, Any]], RowAnswer],
    ) -> None:
        self.times = BatchTimes()
        self.keeps_partial_results = False
        self.max_requests = 5_000
        self.max_bytes = 200_000_000

        self._now = now
        self._answer = answer
        self._batches: dict[str, _Batch] = {}
        self._created = 0  # deleted ones included: no id comes twice
        self._lock = threading.Lock()

    def create(self, key: Key, body: Any, size: int) -> dict[str, Any]:
        """Accept a batch.

        Args:
            key: Who pays.
            body: The JSON of `POST /batches`.
            size: Bytes of it.

        Raises:
            ApiRefusal: The service would refuse it at once.
        """
        if size > self.max_bytes:
            raise ApiRefusal(413, f"Batch exceeds the maximum size of {self.max_bytes} bytes")
        validate_batch(body, self.max_requests)

        with self._lock:
            self._created += 1
            name = hashlib.sha256(f"{id(self)} {self._created}".encode()).hexdigest()[:24]
            batch = _Batch(f"batch_{name}", key, body, self._now(), invalid_request(body))
            self._batches[batch.id] = batch
        return self._to_object(batch)

    def get(self, key: Key, batch_id: str) -> dict[str, Any]:
        """Return a batch with its results, as far as the clock has got.

        Raises:
            ApiRefusal: The key's workspace has no such batch, or not yet.
        """
        batch = self._require(key, batch_id)
        listed = self._to_object(batch)
        status = listed["status"]
        has_results = status == "completed" or (
            status in {"expired", "cancelled"} and self.keeps_partial_results
        )
        return {**listed, "results": _results(batch) if has_results else None}

    def listing(self, key: Key, query: Mapping[str, str], statuses: set[str]) -> dict[str, Any]:
        """Return a page of a workspace's batches, the newest first, without results.

        Args:
            key: Of the workspace.
            query: `limit`, `after`, `created_after`, `created_before`.
            statuses: Which to list; empty is all.
        """
        limit = int(query.get("limit", _DEFAULT_PAGE))
        if not 1 <= limit <= _MAX_PAGE:
            raise ApiRefusal(400, f"limit: expected a number from 1 to {_MAX_PAGE}")

        rows = [self._to_object(batch) for batch in self._visible(key)]
        rows.reverse()
        since, until = (float(query.get(n, d)) for n, d in _CREATED_BOUNDS)
        rows = [
            row
            for row in rows
            if since < row["created_at"] < until and (not statuses or row["status"] in statuses)
        ]

        names = [row["id"] for row in rows]
        after = query.get("after")
        start = names.index(after) + 1 if after in names else 0
        page = rows[start : start + limit]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": start + limit < len(rows),
        }

    def delete(self, key: Key, batch_id: str) -> dict[str, Any]:
        """Delete a batch that has ended, with its requests and results.

        Raises:
            ApiRefusal: There is none, or it has not ended: deletion cancels nothing.
        """
        batch = self._require(key, batch_id)
        if self._to_object(batch)["status"] not in TERMINAL:
            message = "Only completed, failed, expired, or cancelled batches can be deleted"
            raise ApiRefusal(409, message)

        with self._lock:
            self._batches.pop(batch_id, None)
        deletion = {
            "openrouter": "deleted",
            "upstream": {"provider": "OpenAI", "status": "unsupported"},
        }
        return {"id": batch_id, "object": "batch", "deletion": deletion}

    def cancel(self, batch_id: str) -> None:
        """Cancel a batch, as its provider may; the service has no request for it."""
        batch = self._batches[batch_id]
        if self._to_object(batch)["status"] not in TERMINAL:
            batch.cancelled = self._now()

    @property
    def ids(self) -> list[str]:
        """The ids of all batches, the oldest first."""
        return list(self._batches)

    # --- the clock ------------------------------------------------------------------------

    def _visible(self, key: Key) -> list[_Batch]:
        since = self._now() - self.times.invisible
        with self._lock:
            batches = list(self._batches.values())

        return [
            batch
            for batch in batches
            if batch.created <= since and batch.key.workspace_id == key.workspace_id
        ]

    def _require(self, key: Key, batch_id: str) -> _Batch:
        for batch in self._visible(key):
            if batch.id == batch_id:
                return batch
        raise ApiRefusal(404, "Batch not found")

    def _to_object(self, batch: _Batch) -> dict[str, Any]:
        """Return a batch without its results, after answering what is due."""
        with batch.lock:
            status, finalized = self._advance(batch)
        usage = _sum_usage(batch.answers) if status in TERMINAL and batch.answers else None
        failed = sum(answer.error is not None or answer.status != _OK for answer in batch.answers)
        error = batch.invalid if status == "failed" else None

        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.body["endpoint"],
            "model": batch.body["model"].removesuffix(":batch"),
            "completion_window": "24h",
            "status": status,
            "created_at": int(batch.created),
            "expires_at": int(batch.created + self.times.window),
            "finalized_at": None if finalized is None else int(finalized),
            "provider": None if status == "validating" else "OpenAI",
            "request_counts": {
                "total": len(batch.requests),
                "completed": len(batch.answers) - failed,
                "failed": failed,
            },
            "usage": usage,
            "results": None,
            "error": None if error is None else {"message": error},
        }

    def _advance(self, batch: _Batch) -> tuple[str, float | None]:
        """Answer the requests that are due; return the status, and when the batch ended."""
        now, times = self._now(), self.times
        start = batch.created + times.validating
        if now < start and batch.cancelled is None:
            return "validating", None
        if batch.invalid is not None:
            return "failed", start

        end, expiry = start + times.running, batch.created + times.window
        stop = min(expiry, expiry if batch.cancelled is None else batch.cancelled)
        self._answer_due(batch, min(now, stop) - start)
        if batch.cancelled is not None and batch.cancelled < min(end, expiry):
            ended = batch.cancelled + times.cancelling
            return ("cancelled", ended) if now >= ended else ("cancelling", None)
        if expiry < end and now >= expiry:
            return "expired", expiry
        if now < end:
            return "in_progress", None
        done = end + times.finalizing
        return ("completed", done) if now >= done else ("finalizing", None)

    def _answer_due(self, batch: _Batch, seconds: float) -> None:
        """Answer the requests that are due after some seconds of running."""
        total = len(batch.requests)
        share = min(1.0, seconds / self.times.running) if self.times.running > 0 else 1.0
        due = int(total * max(0.0, share) + 1e-9)

        for request in batch.requests[len(batch.answers) : due]:
            body = {**request["body"], "model": batch.body["model"].removesuffix(":batch")}
            batch.answers.append(self._answer(batch.key, batch.body["endpoint"], body))


_CREATED_BOUNDS = (("created_after", "-inf"), ("created_before", "inf"))


def _results(batch: _Batch) -> list[dict[str, Any]]:
    """Return the results, in another order than the requests had."""
    rows = zip(batch.requests, batch.answers, strict=False)

    return [
        {
            "id": f"{batch.id.replace('batch_', 'batch_req_')}_{index}",
            "custom_id": request["custom_id"],
            "response": None
            if answer.error is not None
            else {
                "status_code": answer.status,
                "request_id": f"request_{batch.id[6:14]}_{index}",
                "body": answer.body,
            },
            "error": answer.error,
        }
        for index, (request, answer) in reversed(list(enumerate(rows)))
    ]


def _sum_usage(answers: Sequence[RowAnswer]) -> dict[str, Any]:
    """Return the tokens and the cost of a batch."""
    usages = [dict(answer.usage or {}) for answer in answers]
    tokens = {
        name: sum(get_int(usage, name) or 0 for usage in usages)
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    cost = sum(get_number(usage, "cost") or 0 for usage in usages)
    return {**tokens, "cost": round(cost, 10), "is_byok": False}
