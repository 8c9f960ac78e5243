"""Sum the usage and cost of calls: `with get_openrouter_callback() as usage: ...`."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from html import escape
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook

from langchain_openrouter import _html
from langchain_openrouter._cost_ledger import to_decimal
from langchain_openrouter._http.metering import Meter, register_meters, to_slug
from langchain_openrouter._http.run_key import user_id
from langchain_openrouter._json import get_str
from langchain_openrouter._open_costs import OpenCosts
from langchain_openrouter._redaction import redact
from langchain_openrouter.callbacks._totals import (
    UsageKey,
    UsageTotals,
    base_slug,
    caching_saving,
    models_by_slug,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from langchain_core.outputs import LLMResult

    from langchain_openrouter._catalog_types import Model
    from langchain_openrouter._http.metering import Call

__all__ = [
    "Caller",
    "OpenRouterUsage",
    "UsageKey",
    "UsageTotals",
    "Used",
    "get_openrouter_callback",
]

_PROVIDER = "openrouter"
_MAX_NAME = 100  # characters of a provider's name


# Former names.
Used = UsageTotals
Caller = UsageKey


class OpenRouterUsage(BaseCallbackHandler, Meter):
    """Sums the usage of all calls of OpenRouter; safe to share between threads and tasks.

    Args:
        models: The list of models (`Catalog().models()`), from whose prices `saved` is computed.

    Attributes:
        total: The sums over all calls: chat, embeddings and rerank.
        totals_by_key: The sums for each `UsageKey`.
    """

    def __init__(self, models: Iterable[Model] = ()) -> None:
        super().__init__()
        self._models = models_by_slug(models)
        self.total = UsageTotals()
        self.totals_by_key: dict[UsageKey, UsageTotals] = {}

        self._users: dict[UUID, str] = {}
        self._open = OpenCosts(self._settled)
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
                caching_saving(
                    totals, self._models.get(key.model) or self._models.get(base_slug(key.model))
                )
                for key, totals in self.totals_by_key.items()
                if totals.cached_tokens or totals.cache_write_tokens
            ]

        priced = [saving for saving in savings if saving is not None]
        return sum(priced) if priced or (self._models and not savings) else None

    def _model(self, slug: str) -> Model | None:
        return self._models.get(slug) or self._models.get(base_slug(slug))

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
        if get_str(kwargs.get("metadata"), "ls_provider") != _PROVIDER:
            return

        user = get_str(kwargs.get("invocation_params"), "user") or user_id()
        with self._lock:
            self._users[run_id] = user or ""

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Add the answers of a call."""
        del kwargs
        answers = [_answer(prompt) for prompt in response.generations]

        with self._lock:
            user = self._users.pop(run_id, "")
            for message in answers:
                if message is not None:
                    self._add(message, user)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Count a failed call, or one that was stopped; `unsettled` has those of unknown cost."""
        del kwargs
        with self._lock:
            if self._users.pop(run_id, None) is None:  # a model of another package
                return

            if isinstance(error, Exception):
                self.total.failed += 1
            else:
                self.total.stopped += 1

    def record(self, call: Call) -> None:
        """Add a request that no callback tells of: of embeddings, of rerank, or an incomplete one.

        Called by this package when a request has ended.
        """
        if call.cost is None and call.generation_id:
            self._open.add(call)

        with self._lock:
            if call.outcome == "done":
                if call.kind != "chat":
                    for totals in self._totals(call):
                        totals.add_call(call)
                return

            if call.kind != "chat":
                failed = call.outcome == "failed"
                self.total.failed += failed
                self.total.stopped += not failed
            if call.cost is not None:
                self._add_cost(call, call.cost)

    # --- answers that were not complete ---------------------------------------------------

    @property
    def unsettled(self) -> tuple[str, ...]:
        """The generation ids of the stopped and failed calls whose cost is not known yet."""
        return self._open.generation_ids

    def settle(self) -> None:
        """Ask `GET /generation` what the calls in `unsettled` have cost, for up to 7.5 seconds.

        Each look-up goes out on the key of its call. What is not known then stays in `unsettled`.
        """
        self._open.settle()

    async def asettle(self) -> None:
        """Ask like `settle`."""
        await self._open.asettle()

    def _settled(self, call: Call, cost: float) -> None:
        with self._lock:
            self._add_cost(call, cost)

    def _add_cost(self, call: Call, cost: float) -> None:
        for totals in self._totals(call):
            totals.exact_cost += to_decimal(cost)

    def _totals(self, call: Call) -> tuple[UsageTotals, UsageTotals]:
        """Return the sums that a call counts in."""
        provider = redact(call.facts().provider or "", key=call.key, limit=_MAX_NAME)
        key = UsageKey(call.served_model, provider, call.user)
        return self.total, self.totals_by_key.setdefault(key, UsageTotals())

    # --- answers --------------------------------------------------------------------------

    def _add(self, message: AIMessage, user: str) -> None:
        metadata = message.response_metadata
        if metadata.get("model_provider") != _PROVIDER:
            return

        model = to_slug(metadata.get("model_name"))
        provider = redact(get_str(metadata, "provider") or "", limit=_MAX_NAME)
        key = UsageKey(model, provider, user)
        usage: Any = message.usage_metadata
        # LangChain sets this in an answer of its cache; ours is a float.
        from_cache = type((usage or {}).get("total_cost")) is int
        for totals in (self.total, self.totals_by_key.setdefault(key, UsageTotals())):
            if from_cache:
                totals.requests += 1
                totals.from_cache += 1
            else:
                totals.add(message)

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
        noun = "request" if total.requests == 1 else "requests"
        return (
            f"<{total.requests} {noun}, {total.input_tokens} + {total.output_tokens} tokens, "
            f"{total.cached_tokens} cached, {total.cache_write_tokens} written to the cache, "
            f"${total.cost:.6f}{self._saved_text()}{self._exceptions_text()}>"
        )

    def _exceptions_text(self) -> str:
        counts = {
            "from LangChain's cache": self.total.from_cache,
            "failed": self.total.failed,
            "stopped": self.total.stopped,
            "of unknown cost": len(self._open),
        }
        return "".join(f", {count} {name}" for name, count in counts.items() if count)

    def _saved_text(self) -> str:
        saved = self.saved
        return "" if saved is None else f", ${saved:.6f} saved by caching"

    def _repr_html_(self) -> str:
        head = ("model", "provider", "user", "requests", "in", "cached", "written", "out", "USD")
        keys = sorted(self.totals_by_key, key=lambda key: (key.model, key.provider, key.user))
        rows = [((key.model, key.provider, key.user), self.totals_by_key[key]) for key in keys]
        rows.append((("all", "", ""), self.total))
        table = _html.table(head, (_cells(names, totals) for names, totals in rows))

        notes = self._exceptions_text().removeprefix(", ")
        table += f"<p>{escape(notes)}.</p>" if notes else ""
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


def _answer(generations: list[Any]) -> AIMessage | None:
    """Return the message that has the usage of all choices: the first."""
    messages = [item.message for item in generations if isinstance(item, ChatGeneration)]
    return next((message for message in messages if isinstance(message, AIMessage)), None)


def find_meters() -> Iterator[Meter]:
    """Yield the meters among the callback handlers of the run around the caller."""
    usage = _current.get()
    if usage is not None:
        yield usage

    config = var_child_runnable_config.get()
    callbacks: Any = config.get("callbacks") if config else None
    handlers = getattr(callbacks, "handlers", callbacks) or ()
    for handler in handlers:
        if isinstance(handler, Meter):
            yield handler


_current: ContextVar[OpenRouterUsage | None] = ContextVar("openrouter_usage", default=None)
register_configure_hook(_current, inheritable=True)
register_meters(find_meters)


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
