"""`BatchStats`: counts, tokens, costs and latencies of a batch, in bounded memory."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_openrouter.batch._row_result import RowResult

_SAMPLE = 1000  # latencies of each provider, which stand for all


@dataclass(slots=True)
class ProviderStats:
    """Sums over the rows that one provider served, or over all."""

    rows: int = 0
    failed: int = 0
    cost: float = 0.0
    """USD."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    seconds: float = 0.0
    """The sum of the rows' latencies."""
    latencies: list[float] = field(default_factory=list, repr=False)
    """Seconds: of up to 1,000 rows, drawn at random from all."""

    @property
    def mean_latency(self) -> float:
        """Seconds."""
        return self.seconds / self.rows if self.rows else 0.0

    def add(self, result: RowResult) -> None:
        """Add a row."""
        self.rows += 1
        self.failed += result.is_error
        self.cost += result.cost or 0.0
        self.input_tokens += result.input_tokens or 0
        self.output_tokens += result.output_tokens or 0
        self.cached_tokens += result.cached_tokens or 0
        self.reasoning_tokens += result.reasoning_tokens or 0

        latency = result.latency or 0.0
        self.seconds += latency
        if len(self.latencies) < _SAMPLE:
            self.latencies.append(latency)
        elif (at := random.randrange(self.rows)) < _SAMPLE:  # noqa: S311 - a sample, no secret
            self.latencies[at] = latency


@dataclass(slots=True)
class BatchStats:
    """Sums over all requests of a batch, those of earlier runs and of retried rows included."""

    all: ProviderStats = field(default_factory=ProviderStats)
    by_provider: dict[str, ProviderStats] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    """How many errors there were, by the name of their class."""

    def add(self, result: RowResult) -> None:
        """Add a row."""
        self.all.add(result)
        self.by_provider.setdefault(result.provider or "", ProviderStats()).add(result)
        if result.error_type is not None:
            self.errors[result.error_type] = self.errors.get(result.error_type, 0) + 1
