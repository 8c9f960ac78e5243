"""What the catalogue tells: models, their endpoints, providers, generations, estimates; pure.

Read leniently: `data` of each value holds all fields, as sent, known here or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Self, overload

from langchain_openrouter import _profiles
from langchain_openrouter._read import count_of, dict_of, list_of, number_of, str_of


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the list. Prices are USD a token; None is "not said"."""

    id: str
    name: str | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    supported_parameters: tuple[str, ...] = ()
    prompt_price: float | None = None
    completion_price: float | None = None
    request_price: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a row."""
        architecture, prices = dict_of(row, "architecture"), dict_of(row, "pricing")
        return cls(
            id=str_of(row, "id") or "",
            name=str_of(row, "name"),
            context_length=count_of(row, "context_length"),
            max_output_tokens=count_of(dict_of(row, "top_provider"), "max_completion_tokens"),
            input_modalities=_words(architecture, "input_modalities"),
            output_modalities=_words(architecture, "output_modalities"),
            supported_parameters=_words(row, "supported_parameters"),
            prompt_price=_price(prices, "prompt"),
            completion_price=_price(prices, "completion"),
            request_price=_price(prices, "request"),
            data=row,
        )

    @property
    def profile(self) -> dict[str, Any]:
        """The row as LangChain's model profile."""
        return _profiles.profile(self.data)

    @property
    def is_free(self) -> bool:
        """Whether tokens cost nothing."""
        return self.prompt_price == 0 and self.completion_price == 0


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """One provider's endpoint of a model. Latency in ms, throughput in tokens a second."""

    provider: str
    tag: str | None = None
    """The slug for `provider.order`, with its tier."""
    context_length: int | None = None
    quantization: str | None = None
    prompt_price: float | None = None
    completion_price: float | None = None
    latency: float | None = None
    """The median of the last 30 minutes; None without a key."""
    throughput: float | None = None
    uptime: float | None = None
    """Percent, of the last 30 minutes."""
    supported_parameters: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read an endpoint."""
        prices = dict_of(row, "pricing")
        return cls(
            provider=str_of(row, "provider_name") or "",
            tag=str_of(row, "tag"),
            context_length=count_of(row, "context_length"),
            quantization=str_of(row, "quantization"),
            prompt_price=_price(prices, "prompt"),
            completion_price=_price(prices, "completion"),
            latency=_median(row, "latency_last_30m"),
            throughput=_median(row, "throughput_last_30m"),
            uptime=number_of(row, "uptime_last_30m"),
            supported_parameters=_words(row, "supported_parameters"),
            data=row,
        )


@dataclass(frozen=True, slots=True)
class Provider:
    """Who serves models."""

    name: str
    slug: str
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a provider."""
        return cls(str_of(row, "name") or "", str_of(row, "slug") or "", row)


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer as OpenRouter's books have it. https://openrouter.ai/docs/api-reference/get-a-generation."""

    id: str
    cost: float | None = None
    """USD, as charged."""
    model_name: str | None = None
    provider: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a generation."""
        return cls(
            id=str_of(row, "id") or "",
            cost=number_of(row, "total_cost"),
            model_name=str_of(row, "model"),
            provider=str_of(row, "provider_name"),
            prompt_tokens=count_of(row, "native_tokens_prompt"),
            completion_tokens=count_of(row, "native_tokens_completion"),
            data=row,
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call may cost, USD. An estimate: tokens are counted by letters, caches not at all."""

    prompt_tokens: int
    prompt_cost: float
    completion_cost: float | None
    """For `max_tokens` tokens; None where no limit was given."""

    @property
    def cost(self) -> float:
        """The most it may cost, or, without a limit of tokens, the least."""
        return self.prompt_cost + (self.completion_cost or 0.0)

    def __str__(self) -> str:
        """Say that it is an estimate."""
        sign = "≤" if self.completion_cost is not None else "≥"
        return f"estimate: {sign} ${self.cost:.6f} for some {self.prompt_tokens} prompt tokens"


class Models(Sequence[Model]):
    """Models in a list; a table in a notebook."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = tuple(models)

    @overload
    def __getitem__(self, place: int) -> Model: ...
    @overload
    def __getitem__(self, place: slice) -> Models: ...
    def __getitem__(self, place: int | slice) -> Model | Models:
        """Return one, or some."""
        found = self._models[place]
        return Models(found) if isinstance(found, tuple) else found

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._models)

    def __repr__(self) -> str:
        """Show the first of them."""
        shown = ", ".join(model.id for model in self._models[:5])
        return f"<{len(self)} models: {shown}{', …' if len(self) > 5 else ''}>"  # noqa: PLR2004 - a few

    def _repr_html_(self) -> str:
        head = "<tr><th>model</th><th>context</th><th>in</th><th>out</th><th>takes</th></tr>"
        rows = "".join(
            f"<tr><td>{escape(m.id)}</td><td>{m.context_length or ''}</td>"
            f"<td>{_per_million(m.prompt_price)}</td><td>{_per_million(m.completion_price)}</td>"
            f"<td>{escape(', '.join(m.input_modalities))}</td></tr>"
            for m in self._models
        )
        return f"<table>{head}{rows}</table><p>Prices: USD a million tokens.</p>"


def _words(source: Any, key: str) -> tuple[str, ...]:
    return tuple(word for word in list_of(source, key) or () if isinstance(word, str))


def _price(source: Any, key: str) -> float | None:
    """Return a price: text on the wire; a negative one means "depends"."""
    value: Any = (source or {}).get(key)
    try:
        price = float(value)
    except (TypeError, ValueError):
        return None
    return price if price >= 0 else None


def _median(row: Any, key: str) -> float | None:
    return number_of(dict_of(row, key), "p50") if dict_of(row, key) else number_of(row, key)


def _per_million(price: float | None) -> str:
    return "" if price is None else f"{price * 1e6:g}"
