"""What the calls of one row used and cost, whatever made them: see `_http/metering.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_openrouter._http.metering import Call, Meter
from langchain_openrouter._json import get_dict, get_int

if TYPE_CHECKING:
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

    def fill(self, result: RowResult, share: float = 1.0) -> None:
        """Write what was counted into the result of a row.

        Args:
            result: The result.
            share: The row's part of it, where rows share a request.
        """
        result.cost = None if self.cost is None else self.cost * share
        for call in self.calls:
            facts = call.facts()
            usage = facts.usage
            inputs = get_dict(usage, "prompt_tokens_details")
            outputs = get_dict(usage, "completion_tokens_details")

            _add(result, "input_tokens", get_int(usage, "prompt_tokens"), share)
            _add(result, "output_tokens", get_int(usage, "completion_tokens"), share)
            _add(result, "cached_tokens", get_int(inputs, "cached_tokens"), share)
            _add(result, "reasoning_tokens", get_int(outputs, "reasoning_tokens"), share)
            result.provider = facts.provider or result.provider
            result.model = facts.model or result.model
            result.generation_id = call.generation_id or result.generation_id


def _add(result: RowResult, name: str, count: int | None, share: float) -> None:
    if count is not None:
        setattr(result, name, (getattr(result, name) or 0) + round(count * share))
