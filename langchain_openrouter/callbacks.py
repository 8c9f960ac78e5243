"""Sum the usage and cost of calls: `with get_openrouter_callback() as usage: ...`."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.tracers.context import register_configure_hook

from langchain_openrouter import _html
from langchain_openrouter._json import get_dict, get_int, get_number, get_str

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from langchain_core.outputs import LLMResult

    from langchain_openrouter._catalog_types import Model

__all__ = [
    "Caller",
    "OpenRouterUsage",
    "UsageKey",
    "UsageTotals",
    "Used",
    "get_openrouter_callback",
]

_PROVIDER = "openrouter"


@dataclass(slots=True)
class UsageTotals:
    """Sums over calls. Cost in USD.

    `cached_tokens` are the input tokens that were read from the prompt cache, and
    `cache_write_tokens` those that were written into it.
    """

    requests: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float = 0.0
    cache_write_tokens: int = 0

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
        self.cost += get_number(message.response_metadata, "cost") or 0.0


@dataclass(frozen=True, slots=True)
class UsageKey:
    """By what calls are summed: the served model, the provider, and the `user` that was sent."""

    model: str
    provider: str = ""
    user: str = ""


# Former names.
Used = UsageTotals
Caller = UsageKey


class OpenRouterUsage(BaseCallbackHandler):
    """Sums the usage of all answers of OpenRouter; safe to share between threads and tasks.

    Args:
        models: The list of models (`Catalog().models()`), from whose prices `saved` is computed.

    Attributes:
        total: The sums over all calls.
        totals_by_key: The sums for each `UsageKey`.
    """

    def __init__(self, models: Iterable[Model] = ()) -> None:
        super().__init__()
        self._models = _by_slug(models)
        self.total = UsageTotals()
        self.totals_by_key: dict[UsageKey, UsageTotals] = {}
        self._users: dict[UUID, str] = {}
        self._lock = threading.Lock()

    @property
    def by(self) -> dict[UsageKey, UsageTotals]:
        """The former name of `totals_by_key`."""
        return self.totals_by_key

    @property
    def cost(self) -> float:
        """The cost of all calls, in USD."""
        return self.total.cost

    @property
    def saved(self) -> float | None:
        """What prompt caching saved, in USD: reads below the input price, less what writes cost.

        An estimate, by the list prices of the models; negative where more was written than read.
        None without a list of models, and where it has no cache price for any cached call.
        """
        with self._lock:
            savings = [
                _saving(totals, self._models.get(key.model) or self._models.get(_base(key.model)))
                for key, totals in self.totals_by_key.items()
                if totals.cached_tokens or totals.cache_write_tokens
            ]

        priced = [saving for saving in savings if saving is not None]
        return sum(priced) if priced or (self._models and not savings) else None

    def by_model(self) -> dict[str, UsageTotals]:
        """Return the sums for each served model."""
        return self._grouped("model")

    def by_provider(self) -> dict[str, UsageTotals]:
        """Return the sums for each provider."""
        return self._grouped("provider")

    def by_user(self) -> dict[str, UsageTotals]:
        """Return the sums for each `user` that was sent."""
        return self._grouped("user")

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Remember the `user` of a call."""
        del serialized, messages
        user = get_str(kwargs.get("invocation_params"), "user")
        if user:
            with self._lock:
                self._users[run_id] = user

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Add the answers of a call."""
        del kwargs
        generations = [item for prompt in response.generations for item in prompt]
        messages = [item.message for item in generations if isinstance(item, ChatGeneration)]

        with self._lock:
            user = self._users.pop(run_id, "")
            for message in messages:
                if isinstance(message, AIMessage):
                    self._add(message, user)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Count a failed call; its cost is not known."""
        del error, kwargs
        with self._lock:
            self._users.pop(run_id, None)
            self.total.failed += 1

    def _add(self, message: AIMessage, user: str) -> None:
        metadata = message.response_metadata
        if metadata.get("model_provider") != _PROVIDER:
            return

        model, provider = get_str(metadata, "model_name"), get_str(metadata, "provider")
        key = UsageKey(model or "", provider or "", user)
        self.totals_by_key.setdefault(key, UsageTotals()).add(message)
        self.total.add(message)

    def _grouped(self, attribute: str) -> dict[str, UsageTotals]:
        groups: dict[str, UsageTotals] = {}
        with self._lock:
            for key, totals in self.totals_by_key.items():
                group = groups.setdefault(getattr(key, attribute), UsageTotals())
                for name in UsageTotals.__slots__:
                    setattr(group, name, getattr(group, name) + getattr(totals, name))
        return groups

    def __repr__(self) -> str:
        """Show the sums in one line."""
        total = self.total
        return (
            f"<{total.requests} requests, {total.input_tokens} + {total.output_tokens} tokens, "
            f"{total.cached_tokens} cached, {total.cache_write_tokens} written to the cache, "
            f"${total.cost:.6f}{self._saved_text()}>"
        )

    def _saved_text(self) -> str:
        saved = self.saved
        return "" if saved is None else f", ${saved:.6f} saved by caching"

    def _repr_html_(self) -> str:
        head = ("model", "provider", "user", "requests", "in", "cached", "written", "out", "USD")
        keys = sorted(self.totals_by_key, key=lambda key: (key.model, key.provider, key.user))
        rows = [((key.model, key.provider, key.user), self.totals_by_key[key]) for key in keys]
        rows.append((("all", "", ""), self.total))
        table = _html.table(head, (_cells(names, totals) for names, totals in rows))

        saved = self.saved
        return table if saved is None else f"{table}<p>Caching saved {saved:.6f} USD.</p>"


def _cells(names: tuple[str, str, str], totals: UsageTotals) -> tuple[str, ...]:
    numbers = (
        totals.requests,
        totals.input_tokens,
        totals.cached_tokens,
        totals.cache_write_tokens,
        totals.output_tokens,
    )

    return (*names, *map(str, numbers), f"{totals.cost:.6f}")


def _by_slug(models: Iterable[Model]) -> dict[str, Model]:
    """Return the models by both of their slugs: an answer names the dated one."""
    by_slug: dict[str, Model] = {}
    for model in models:
        by_slug[model.id] = model
        if dated := get_str(model.data, "canonical_slug"):
            by_slug.setdefault(dated, model)
    return by_slug


def _base(slug: str) -> str:
    """Return a slug without its variant."""
    return slug.partition(":")[0]


def _saving(totals: UsageTotals, model: Model | None) -> float | None:
    """Return what caching saved on calls of a model, in USD; None if its prices are not known."""
    if model is None or model.prompt_price is None or model.cache_read_price is None:
        return None

    write_price = model.prompt_price if model.cache_write_price is None else model.cache_write_price
    read = totals.cached_tokens * (model.prompt_price - model.cache_read_price)
    return read - totals.cache_write_tokens * (write_price - model.prompt_price)


_current: ContextVar[OpenRouterUsage | None] = ContextVar("openrouter_usage", default=None)
register_configure_hook(_current, inheritable=True)


@contextmanager
def get_openrouter_callback(models: Iterable[Model] = ()) -> Iterator[OpenRouterUsage]:
    """Sum the usage of all calls inside, in chains, agents, batches, threads and tasks too.

    Args:
        models: The list of models (`Catalog().models()`), from whose prices `saved` is computed.

    Example:
        ```python
        from langchain_openrouter.callbacks import get_openrouter_callback

        with get_openrouter_callback() as usage:
            model.invoke("Why is the sky blue?")
        print(usage.cost, usage.by_provider())
        ```
    """
    usage = OpenRouterUsage(models)
    token = _current.set(usage)
    try:
        yield usage
    finally:
        _current.reset(token)
