"""What calls used and cost, as values: sums, by what they are grouped, and what caching saved."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from langchain_openrouter._cost_ledger import to_decimal
from langchain_openrouter._json import get_dict, get_int, get_number, get_str

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.messages import AIMessage

    from langchain_openrouter._catalog_types import Model
    from langchain_openrouter._http.metering import Call

__all__ = ["UsageKey", "UsageTotals", "base_slug", "caching_saving", "models_by_slug"]


@dataclass(slots=True)
class UsageTotals:
    """Sums over calls. Cost in USD.

    `cached_tokens` are the input tokens that were read from the prompt cache, and
    `cache_write_tokens` those that were written into it.
    """

    requests: int = 0
    """Answers, those of LangChain's cache included."""
    failed: int = 0
    """Calls that ended in an error."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    exact_cost: Decimal = Decimal(0)
    """The sum of the costs as OpenRouter sent them, to the last digit."""
    cache_write_tokens: int = 0
    stopped: int = 0
    """Calls that were left before their answer was complete."""
    from_cache: int = 0
    """Answers of LangChain's cache (`set_llm_cache`), which cost nothing."""

    @property
    def cost(self) -> float:
        """USD."""
        return float(self.exact_cost)

    @property
    def cache_hit_rate(self) -> float:
        """The share of the input tokens that was read from the prompt cache, 0 to 1."""
        return self.cached_tokens / self.input_tokens if self.input_tokens else 0.0

    @property
    def total_tokens(self) -> int:
        """Input and output tokens."""
        return self.input_tokens + self.output_tokens

    def add(self, message: AIMessage) -> None:
        """Add the usage of an answer."""
        usage: Any = message.usage_metadata or {}
        inputs = get_dict(usage, "input_token_details")

        self.requests += 1
        self.input_tokens += get_int(usage, "input_tokens") or 0
        self.output_tokens += get_int(usage, "output_tokens") or 0
        self.cached_tokens += get_int(inputs, "cache_read") or 0
        self.cache_write_tokens += get_int(inputs, "cache_creation") or 0
        self.reasoning_tokens += get_int(get_dict(usage, "output_token_details"), "reasoning") or 0
        self.exact_cost += to_decimal(get_number(message.response_metadata, "cost"))

    def add_call(self, call: Call) -> None:
        """Add a call of embeddings or rerank."""
        facts = call.facts()
        self.requests += 1
        self.input_tokens += get_int(facts.usage, "prompt_tokens") or 0
        self.exact_cost += to_decimal(facts.cost)


@dataclass(frozen=True, slots=True)
class UsageKey:
    """By what calls are summed: the served model, the provider, and the `user` that was sent."""

    model: str
    provider: str = ""
    user: str = ""


def models_by_slug(models: Iterable[Model]) -> dict[str, Model]:
    """Return the models by both of their slugs: an answer names the dated one."""
    by_slug: dict[str, Model] = {}
    for model in models:
        by_slug[model.id] = model
        if ":" not in model.id and (dated := get_str(model.data, "canonical_slug")):
            by_slug.setdefault(dated, model)
    return by_slug


def base_slug(slug: str) -> str:
    """Return a slug without its variant."""
    return slug.partition(":")[0]


def caching_saving(totals: UsageTotals, model: Model | None) -> float | None:
    """Return what caching saved on calls of a model, in USD; None if its prices are not known."""
    if model is None or model.prompt_price is None or model.cache_read_price is None:
        return None

    write_price = model.prompt_price if model.cache_write_price is None else model.cache_write_price
    read = totals.cached_tokens * (model.prompt_price - model.cache_read_price)
    return read - totals.cache_write_tokens * (write_price - model.prompt_price)
