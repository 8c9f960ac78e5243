"""What the calls of one row used and cost, whatever made them: see `_http/metering.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_openrouter._http.metering import Call, Meter
from langchain_openrouter._json import get_dict, get_int
from langchain_openrouter.batch._shares import split_cost, split_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_openrouter.batch._row_result import RowResult


class RowMeter(Meter):
    """Adds up the calls of a row: of a chain, an agent and their threads and tasks too."""

    def __init__(self) -> None:
        self.cost: float | None = None
        self.calls: list[Call] = []

    def record(self, call: Call) -> None:
        """Take a call that has ended."""
        self.calls.append(call)
        if call.cost is not None:
            self.cost = (self.cost or 0.0) + call.cost

    def fill(self, *results: RowResult) -> None:
        """Write what was counted into the result of a row, or its shares into several; once."""
        if self.cost is not None:
            costs = [self.cost] if len(results) == 1 else split_cost(self.cost, [1] * len(results))
            for result, cost in zip(results, costs, strict=True):
                result.cost = cost

        calls, self.calls = self.calls, []  # a call has its meters: no cycle for the collector
        for call in calls:
            facts = call.facts()
            usage = facts.usage
            inputs = get_dict(usage, "prompt_tokens_details")
            outputs = get_dict(usage, "completion_tokens_details")

            _add(results, "input_tokens", get_int(usage, "prompt_tokens"))
            _add(results, "output_tokens", get_int(usage, "completion_tokens"))
            _add(results, "cached_tokens", get_int(inputs, "cached_tokens"))
            _add(results, "reasoning_tokens", get_int(outputs, "reasoning_tokens"))
            for result in results:
                result.provider = facts.provider or result.provider
                result.model = facts.model or result.model
                result.generation_id = call.generation_id or result.generation_id


def _add(results: Sequence[RowResult], name: str, count: int | None) -> None:
    if count is None or count < 0:
        return
    counts = [count] if len(results) == 1 else split_count(count, [1] * len(results))
    for result, share in zip(results, counts, strict=True):
        setattr(result, name, (getattr(result, name) or 0) + share)
