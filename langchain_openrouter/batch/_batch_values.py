"""What the Batch API answers, as values; fields of the wrong type read as absent.

See https://openrouter.ai/docs/batch-quickstart and
https://openrouter.ai/docs/guides/features/batch-api.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from langchain_openrouter._json import get_dict, get_dicts, get_int, get_number, get_str

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
"""The statuses after which a batch does not change any more."""


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """How many requests a batch has, and how many of them are done."""

    total: int = 0
    completed: int = 0
    failed: int = 0

    def __add__(self, other: RequestCounts) -> RequestCounts:
        """Return the sum of two batches."""
        return RequestCounts(
            self.total + other.total,
            self.completed + other.completed,
            self.failed + other.failed,
        )


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch as the service has it. Times are Unix times in seconds."""

    id: str
    status: str
    """`validating`, `in_progress`, `finalizing`, `completed`, `failed`, `expired`, `cancelling` or
    `cancelled`; a list has no `finalizing` and no `cancelling`."""
    endpoint: str | None = None
    model: str | None = None
    provider: str | None = None
    """The display name of the provider that runs it, once there is one."""
    created_at: int | None = None
    expires_at: int | None = None
    finalized_at: int | None = None
    counts: RequestCounts = field(default_factory=RequestCounts)
    cost: float | None = None
    """USD, of the whole batch."""
    error: str | None = None
    """Why the batch failed, as sent. It may quote a prompt: do not log it."""
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """All fields as sent, results included."""

    @classmethod
    def from_api(cls, body: Mapping[str, Any]) -> Self:
        """Convert a batch of `/batches`."""
        counts = get_dict(body, "request_counts")

        return cls(
            id=get_str(body, "id") or "",
            status=get_str(body, "status") or "",
            endpoint=get_str(body, "endpoint"),
            model=get_str(body, "model"),
            provider=get_str(body, "provider"),
            created_at=get_int(body, "created_at"),
            expires_at=get_int(body, "expires_at"),
            finalized_at=get_int(body, "finalized_at"),
            counts=RequestCounts(
                *(get_int(counts, name) or 0 for name in ("total", "completed", "failed"))
            ),
            cost=get_number(get_dict(body, "usage"), "cost"),
            error=get_str(get_dict(body, "error"), "message"),
            data=body,
        )

    @property
    def has_ended(self) -> bool:
        """Whether its status does not change any more."""
        return self.status in ENDED

    @property
    def results(self) -> list[dict[str, Any]]:
        """The results, in any order; empty where the service sent none."""
        return get_dicts(self.data, "results")


@dataclass(frozen=True, slots=True)
class BatchPage:
    """A page of a workspace's batches, the newest first, without results."""

    batches: Sequence[RemoteBatch]
    last_id: str | None = None
    has_more: bool = False

    @classmethod
    def from_api(cls, body: Mapping[str, Any]) -> Self:
        """Convert the body of `GET /batches`."""
        batches = [RemoteBatch.from_api(row) for row in get_dicts(body, "data")]
        return cls(batches, get_str(body, "last_id"), body.get("has_more") is True)

    def __iter__(self) -> Iterator[RemoteBatch]:
        """Yield the batches."""
        return iter(self.batches)


def is_batch_error(body: Any) -> bool:
    """Tell whether the body of a success is an error: a batch that failed has an `error` too."""
    is_batch = get_str(body, "id") is not None and get_str(body, "status") is not None
    return not is_batch
