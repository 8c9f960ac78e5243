"""The results of a batch at the service -> `RowResult`s, by the code that reads direct answers.

Each result is handed to the plan's own call of the model in place of a response, so that a row is
the same wherever it was run: its message, its structured output, its error.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from langchain_openrouter import errors
from langchain_openrouter._http.recorded import answer_with
from langchain_openrouter._http.transport import ApiResponse, encode_json
from langchain_openrouter._json import get_dict, get_int, get_number, get_str
from langchain_openrouter._redaction import redact
from langchain_openrouter.batch._custom_ids import CustomId, parse_custom_id, row_check
from langchain_openrouter.batch._plan import set_error
from langchain_openrouter.batch._requests import PendingRow
from langchain_openrouter.batch._row_result import RowResult
from langchain_openrouter.batch._shares import split_cost, to_decimal
from langchain_openrouter.batch._waiting import DELETED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_openrouter._http.transport import Request
    from langchain_openrouter.batch._batch_values import RemoteBatch
    from langchain_openrouter.batch._handles import BatchHandle, Shard
    from langchain_openrouter.batch._plan import RowPlan

_OK, _BAD_GATEWAY = 200, 502
_LOWEST_STATUS, _HIGHEST_STATUS = 100, 599
_MAX_ERROR = 300  # characters of what the service says of a batch that failed
# The types of a row's `error`, where it has no `error_type` of OpenRouter's.
_STATUS_OF_ERROR = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
}
_EXPIRED = {"batch_expired", "expired", "batch_cancelled", "cancelled", "canceled"}


@dataclass(frozen=True)
class Answers:
    """The results of one batch, by the index of the row."""

    batch: RemoteBatch
    by_index: Mapping[int, tuple[CustomId, Mapping[str, Any]]]
    costs: Mapping[int, float]
    """USD, by the index of the row."""
    unknown: int = 0
    """Results of no row of the submission."""


def read_answers(batch: RemoteBatch, handle: BatchHandle, shard: Shard) -> Answers:
    """Return the results of a shard's batch, whatever order they came in.

    Results of unknown rows are ignored, and so are duplicates: a warning counts them.

    Args:
        batch: As read.
        handle: The submission.
        shard: The rows of the batch.
    """
    by_index: dict[int, tuple[CustomId, Mapping[str, Any]]] = {}
    unknown = duplicates = 0

    for result in batch.results:
        parsed = parse_custom_id(get_str(result, "custom_id") or "")
        is_known = parsed is not None and parsed.run == handle.run
        if parsed is None or not is_known or not shard.first <= parsed.index <= shard.last:
            unknown += 1
            continue
        earlier = by_index.get(parsed.index)
        duplicates += earlier is not None
        if earlier is None or get_dict(earlier[1], "response") is None:
            by_index[parsed.index] = parsed, result

    if unknown or duplicates:
        warnings.warn(
            f"batch {batch.id[:64]!r} has {unknown} results of unknown rows and {duplicates} "
            "duplicates, which are ignored",
            stacklevel=2,
        )
    return Answers(batch, by_index, _costs(batch, by_index, handle, shard), unknown)


def _costs(
    batch: RemoteBatch,
    by_index: Mapping[int, tuple[CustomId, Mapping[str, Any]]],
    handle: BatchHandle,
    shard: Shard,
) -> dict[int, float]:
    """Return what each row cost, USD: as sent; else its share of the batch's cost.

    The service sends the cost of the batch, and the tokens of each row: the shares are those of
    the tokens at the listed prices, so that the rows add up to the bill. Without tokens the rows
    with an answer share it equally; without answers, all do.
    """
    usages = {i: _usage_of(result) for i, (_, result) in by_index.items()}
    costs: dict[int, float] = {}
    weights: dict[int, float] = {}
    for index, usage in usages.items():
        cost = get_number(usage, "cost")
        if cost is not None:
            costs[index] = cost
        elif usage is not None:
            weights[index] = _weight(usage, handle)

    if batch.cost is None:
        return costs
    sent = sum((to_decimal(cost) for cost in costs.values()), Decimal(0))
    left = max(0.0, float(to_decimal(batch.cost) - sent))
    if left and not any(weights.values()):
        indices = weights or [i for i, (_, r) in by_index.items() if _is_answered(r)] or by_index
        rows = indices or [index for index, _ in shard.row_keys()]
        weights = {index: 1.0 for index in rows if index not in costs}
    return costs | dict(zip(weights, split_cost(left, list(weights.values())), strict=True))


def _is_answered(result: Mapping[str, Any]) -> bool:
    return get_int(get_dict(dict(result), "response"), "status_code") == _OK


def _usage_of(result: Mapping[str, Any]) -> dict[str, Any] | None:
    body = get_dict(get_dict(dict(result), "response"), "body")
    return get_dict(body, "usage")


def _weight(usage: Mapping[str, Any], handle: BatchHandle) -> float:
    prompt = max(0, get_int(usage, "prompt_tokens") or 0)
    completion = max(0, get_int(usage, "completion_tokens") or 0)
    if not handle.prompt_price and not handle.completion_price:
        return float(prompt + completion)
    prices = handle.prompt_price or 0.0, handle.completion_price or 0.0
    return max(0.0, prompt * prices[0] + completion * prices[1])


# --- rows -------------------------------------------------------------------------------------


def expected_rows(shard: Shard) -> list[PendingRow]:
    """Return the rows of a shard, without their inputs.

    Raises:
        BatchError: The handle's keys are damaged.
    """
    return [PendingRow(key, index, "", "") for index, key in shard.row_keys()]


async def to_results(
    rows: Sequence[PendingRow], answers: Answers, plan: RowPlan, *, is_checked: bool
) -> list[RowResult]:
    """Return a result for each row: its answer, or why there is none.

    Args:
        rows: Of the shard.
        answers: Of its batch.
        plan: Reads the answers, whatever a row's input is.
        is_checked: Whether the rows are of the input: one that is not as it was submitted has no
            answer then.
    """
    results = []
    for row in rows:
        match answers.by_index.get(row.index):
            case (custom_id, sent) if not is_checked or custom_id.check == row_check(row):
                response = to_response(sent, answers.batch, answers.costs.get(row.index))
                results.append(await _answer(row, response, plan))
            case _:
                results.append(_without_answer(row, answers.batch))

    for result in results:
        result.latency = _duration(answers.batch)
        if result.cost is None:
            result.cost = answers.costs.get(result.index)
    return results


async def _answer(row: PendingRow, response: ApiResponse, plan: RowPlan) -> RowResult:
    """Return the result that a plan makes of a response."""
    has_answered = False

    def answer(request: Request) -> ApiResponse:
        nonlocal has_answered
        del request
        if has_answered and not response.is_error:
            msg = "the answer needs a second request, which a batch does not send"
            raise errors.BatchRowError(msg)
        has_answered = True
        return response

    try:
        with answer_with(answer):
            (result,) = await plan.answer([PendingRow(row.key, row.index, "", row.request_hash)])
    except errors.OpenRouterError as error:  # that would end a batch of direct requests
        result = RowResult(row.key, row.index, request_hash=row.request_hash)
        set_error(result, error)
    return result


def to_response(result: Mapping[str, Any], batch: RemoteBatch, cost: float | None) -> ApiResponse:
    """Return the response that a result stands for, with what the batch alone says of it.

    Args:
        result: As sent, with a `response` or an `error`.
        batch: Whose provider it is, where the body names none.
        cost: USD.
    """
    response = get_dict(dict(result), "response")
    if response is None:
        return _error_response(get_dict(dict(result), "error") or {})

    body: Any = response.get("body")
    if isinstance(body, dict):
        usage = get_dict(body, "usage")
        if cost is not None and (usage is not None or _is_answered(result)):
            body = {**body, "usage": {**(usage or {}), "cost": cost}}
        if batch.provider and not get_str(body, "provider"):
            body = {**body, "provider": batch.provider}
    status = get_int(response, "status_code") or 0
    is_status = _LOWEST_STATUS <= status <= _HIGHEST_STATUS
    return ApiResponse(status if is_status else _BAD_GATEWAY, {}, encode_json(body))


def _error_response(error: Mapping[str, Any]) -> ApiResponse:
    """Return the response of a request that ended without one."""
    kind = get_str(dict(error), "type") or ""
    error_type = get_str(dict(error), "error_type")
    status = _STATUS_OF_ERROR.get(kind, _BAD_GATEWAY)
    body: dict[str, Any] = {"message": get_str(dict(error), "message") or f"the row failed: {kind}"}

    if error_type is not None:
        body["metadata"] = {"error_type": error_type}
    elif kind not in _EXPIRED:
        body["code"] = status
    return ApiResponse(status, {}, encode_json({"error": body}))


def _without_answer(row: PendingRow, batch: RemoteBatch) -> RowResult:
    """Return the result of a row that its batch has no answer to."""
    result = RowResult(row.key, row.index, request_hash=row.request_hash)
    set_error(result, missing_row_error(batch))
    return result


def missing_row_error(batch: RemoteBatch) -> errors.BatchRowError:
    """Return the error of a row that is not among the results of its batch."""
    if batch.status == "failed":
        reason = redact(batch.error or "the service does not say why", limit=_MAX_ERROR)
        return errors.BatchRowError(f"the batch failed: {reason}", is_retryable=False)

    problem = {
        "completed": "the service left this row out of the results",
        "expired": "the batch expired before this row was done",
        "cancelled": "the batch was canceled before this row was done",
        DELETED: "the batch is not at the service any more: results are kept for 30 days",
    }.get(batch.status, "the batch has no result for this row")
    return errors.BatchRowError(f"{problem}: run it again", is_retryable=True)


def _duration(batch: RemoteBatch) -> float | None:
    """Return how long a batch took, in seconds."""
    if batch.finalized_at is None or batch.created_at is None:
        return None
    return float(max(0, batch.finalized_at - batch.created_at))
