"""`Draft`: the requests of a submission before anything is sent, and what they may cost."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from langchain_openrouter import errors
from langchain_openrouter._json import get_dict, get_str
from langchain_openrouter._redaction import printable
from langchain_openrouter.batch._batch_requests import BATCH_VARIANT
from langchain_openrouter.batch._ceiling import validate_max_cost
from langchain_openrouter.batch._custom_ids import build_custom_id, make_run
from langchain_openrouter.batch._handles import BatchHandle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_openrouter._catalog_types import Model
    from langchain_openrouter.batch._batch_requests import BatchRequest, RequestBuilder
    from langchain_openrouter.batch._requests import PendingRow
    from langchain_openrouter.batch._spool import Spool

COMPLETION_WINDOW = "24h"
_MAX_NAMES = 3  # models that an error names
_WAIT = 5.0  # seconds after a refusal that passes, where the service does not say how long
_SERVER_ERROR = 500


@dataclass(frozen=True)
class SubmitOptions:
    """What a submission has beside its rows."""

    max_cost: float | None = None
    callback_url: str | None = None
    completion_window: str = COMPLETION_WINDOW

    def __post_init__(self) -> None:
        """Refuse what the service does not take.

        Raises:
            ValueError: It does not take one of them.
        """
        if self.completion_window != COMPLETION_WINDOW:
            msg = f"completion_window {self.completion_window!r}: the Batch API has '24h' alone"
            raise ValueError(msg)

        if self.callback_url is not None and not self.callback_url.startswith("https://"):
            msg = "callback_url must be an https URL"
            raise ValueError(msg)
        max_cost = validate_max_cost(self.max_cost)
        if max_cost is not None and not max_cost > 0:
            msg = "max_cost must be above zero"
            raise ValueError(msg)


class Draft:
    """The requests of a submission, built and checked, and none of them sent.

    Args:
        builder: Makes a request of a row.
        run: The id of the submission.
        spool: Holds the requests; empty.
    """

    def __init__(self, builder: RequestBuilder, run: str, spool: Spool) -> None:
        self.builder, self.run, self.spool = builder, run, spool
        self._first: BatchRequest | None = None
        self.count = 0

    def add(self, row: PendingRow) -> None:
        """Add the request of a row.

        Raises:
            ValueError: It cannot be sent in a batch; the message names the row, and what of it.
        """
        try:
            request = self.builder.build(row.input)
            self.spool.add(row.index, row.key, build_custom_id(self.run, row), request.body)
            self._compare(request)
        except ValueError as error:
            msg = f"row {row.key!r}: {error}"
            raise ValueError(msg) from error

        self.count += 1

    def _compare(self, request: BatchRequest) -> None:
        """Check that a request is for the same model and providers as the first.

        Raises:
            ValueError: It is not.
        """
        if self._first is None:
            self._first = request._replace(body={k: request.body.get(k) for k in (*_LIMITS, "n")})
        elif (request.model, request.provider) != (self._first.model, self._first.provider):
            msg = "it is for another model, or other providers, than the rows before"
            raise ValueError(msg)

    @property
    def first(self) -> BatchRequest:
        """The request of the first row, without its messages.

        Raises:
            ValueError: There is none.
        """
        if self._first is None:
            msg = "there are no rows to submit"
            raise ValueError(msg)
        return self._first

    @property
    def max_tokens(self) -> int | None:
        """How many tokens an answer has at most, reasoning included; None without a limit."""
        return _max_tokens(self.builder.endpoint, self.first.body)

    @property
    def _answers(self) -> int:
        """How many answers a request asks for."""
        count = self.first.body.get("n")
        return count if isinstance(count, int) and count > 1 else 1

    def estimate(self, row: Model) -> float | None:
        """Return what the requests may cost at most, USD; None where answers have no limit.

        Args:
            row: The batch variant of the model, with its prices.
        """
        prices = row.prompt_price, row.completion_price
        if self.max_tokens is None or prices[0] is None or prices[1] is None:
            return None
        per_answer = self._answers * self.max_tokens * prices[1]
        answers = self.count * (per_answer + (row.request_price or 0.0))
        return self.spool.prompt_tokens * prices[0] + answers


_LIMITS = ("max_tokens", "max_completion_tokens")


def _max_tokens(endpoint: str, body: Mapping[str, Any]) -> int | None:
    """Return how many tokens an answer has at most, reasoning included; None without a limit."""
    if endpoint.endswith("embeddings"):
        return 0
    limits = [body[name] for name in _LIMITS if isinstance(body.get(name), int)]
    return max(limits) if limits else None


def find_batch_variant(models: Sequence[Model], slug: str) -> tuple[str, Model]:
    """Return the slug that a batch is submitted for, and the row with its prices.

    Args:
        models: As listed.
        slug: The model's, without `:batch`. An alias stands for its target.

    Raises:
        ModelUnavailableError: The Batch API does not run this model.
    """
    by_slug = {model.id: model for model in models}
    listed = by_slug.get(slug)
    target = (
        None if listed is None else get_str(get_dict(dict(listed.data), "alias_target"), "slug")
    )
    for name in (slug, target):
        variant = by_slug.get(f"{name}{BATCH_VARIANT}")
        if name is not None and variant is not None:
            return name, variant

    vendor = slug.lstrip("~").partition("/")[0]
    others = [n.removesuffix(BATCH_VARIANT) for n in by_slug if n.endswith(BATCH_VARIANT)]
    others.sort(key=lambda name: not name.startswith(f"{vendor}/"))
    hint = ", ".join(map(printable, others[:_MAX_NAMES]))
    msg = f"the Batch API does not run {slug}: no `{slug}{BATCH_VARIANT}` is listed"
    raise errors.ModelUnavailableError(f"{msg} - it runs {hint}" if hint else msg)


def validate_cost(draft: Draft, row: Model, max_cost: float | None) -> float | None:
    """Return the estimate of a submission, USD; None where it has no bound.

    A batch that was submitted cannot be stopped, so its cost is bounded before.

    Raises:
        BatchError: The estimate is above `max_cost`.
        ValueError: There is no estimate to hold against `max_cost`.
    """
    estimate = draft.estimate(row)
    if max_cost is None:
        return estimate

    if estimate is None:
        msg = (
            "max_cost needs `max_tokens` on the model, and a model with prices: a batch cannot be "
            "stopped once it is submitted, so its cost is bounded beforehand"
        )
        raise ValueError(msg)
    if estimate > max_cost:
        msg = (
            f"{draft.count:,} rows may cost up to ${estimate:.6f}, above max_cost=${max_cost:g}: "
            "nothing more is sent. Lower `max_tokens`, submit fewer rows, or allow more"
        )
        raise errors.BatchError(msg)
    return estimate


def make_handle(
    draft: Draft,
    variant: tuple[str, Model],
    *,
    fingerprint: Mapping[str, str],
    estimate: float | None,
    base_url: str,
) -> BatchHandle:
    """Return the handle of a submission of which nothing is sent."""
    slug, row = variant

    return BatchHandle(
        run=draft.run,
        base_url=base_url,
        endpoint=draft.builder.endpoint,
        model=slug,
        shards=draft.spool.shards,
        created_at=time.time(),
        fingerprint=fingerprint,
        method=draft.builder.method,
        prompt_price=row.prompt_price,
        completion_price=row.completion_price,
        estimate=estimate,
    )


def hash_description(description: Mapping[str, Any]) -> dict[str, str]:
    """Return a hash of each part of what a batch is: of the model, the prompt, the schema."""
    return {
        name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
        for name, value in description.items()
    }


def validate_earlier(
    earlier: BatchHandle, draft: Draft, fingerprint: Mapping[str, str], base_url: str
) -> None:
    """Check that a submission that was cut off can go on.

    Raises:
        BatchChangedError: It is of another model, prompt, schema or input, or another service.
    """
    names = [f"`{n}`" for n in fingerprint if earlier.fingerprint.get(n) != fingerprint[n]]
    if earlier.base_url != base_url:
        names.append("`base_url`")
    plain = [replace(shard, sent_at=None, ids=(), candidates=()) for shard in earlier.shards]
    if not names and plain != list(draft.spool.shards):
        names = ["what the rows say, or their order,"]

    if names:
        msg = (
            f"this handle is of another submission: {', '.join(names)} changed. Collect it, or "
            "submit under another handle"
        )
        raise errors.BatchChangedError(msg)


def new_run(earlier: BatchHandle | None) -> str:
    """Return the id of a submission: the earlier one's, or a new one."""
    return make_run() if earlier is None else earlier.run
