"""The values that `Catalog` returns: models, endpoints, providers, generations, estimates.

Fields of the wrong type read as absent; `data` of each value holds all fields as sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, overload

from langchain_openrouter import _html, _model_profiles
from langchain_openrouter._json import get_dict, get_int, get_list, get_number, get_str
from langchain_openrouter._redaction import printable


@dataclass(frozen=True, slots=True)
class Model:
    """A model. Prices are USD per token; None means unknown."""

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
    cache_read_price: float | None = None
    cache_write_price: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert a row of `GET /models`."""
        architecture, prices = get_dict(row, "architecture"), get_dict(row, "pricing")

        return cls(
            id=get_str(row, "id") or "",
            name=get_str(row, "name"),
            context_length=get_int(row, "context_length"),
            max_output_tokens=get_int(get_dict(row, "top_provider"), "max_completion_tokens"),
            input_modalities=_strings(architecture, "input_modalities"),
            output_modalities=_strings(architecture, "output_modalities"),
            supported_parameters=_strings(row, "supported_parameters"),
            prompt_price=_price(prices, "prompt"),
            completion_price=_price(prices, "completion"),
            request_price=_price(prices, "request"),
            cache_read_price=_price(prices, "input_cache_read"),
            cache_write_price=_price(prices, "input_cache_write"),
            data=row,
        )

    of = from_api  # former name

    @property
    def profile(self) -> dict[str, Any]:
        """LangChain's model profile of the row."""
        return _model_profiles.to_profile(self.data)

    @property
    def is_free(self) -> bool:
        """Whether tokens cost nothing."""
        return self.prompt_price == 0 and self.completion_price == 0


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """A provider's endpoint of a model. Latency in ms, throughput in tokens per second."""

    provider: str
    tag: str | None = None
    """The provider's slug for `provider.order`, with its tier."""
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
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert an endpoint of `GET /models/{slug}/endpoints`."""
        prices = get_dict(row, "pricing")

        return cls(
            provider=get_str(row, "provider_name") or "",
            tag=get_str(row, "tag"),
            context_length=get_int(row, "context_length"),
            quantization=get_str(row, "quantization"),
            prompt_price=_price(prices, "prompt"),
            completion_price=_price(prices, "completion"),
            latency=_median(row, "latency_last_30m"),
            throughput=_median(row, "throughput_last_30m"),
            uptime=get_number(row, "uptime_last_30m"),
            supported_parameters=_strings(row, "supported_parameters"),
            data=row,
        )

    of = from_api  # former name


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider."""

    name: str
    slug: str
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert a row of `GET /providers`."""
        return cls(get_str(row, "name") or "", get_str(row, "slug") or "", row)

    of = from_api  # former name


@dataclass(frozen=True, slots=True)
class Generation:
    """OpenRouter's record of an answer.

    See https://openrouter.ai/docs/api-reference/get-a-generation.
    """

    id: str
    cost: float | None = None
    """USD, as charged."""
    model_name: str | None = None
    provider: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert the record of `GET /generation`."""
        return cls(
            id=get_str(row, "id") or "",
            cost=get_number(row, "total_cost"),
            model_name=get_str(row, "model"),
            provider=get_str(row, "provider_name"),
            prompt_tokens=get_int(row, "native_tokens_prompt"),
            completion_tokens=get_int(row, "native_tokens_completion"),
            data=row,
        )

    of = from_api  # former name


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call may cost, in USD. Tokens are counted approximately; caches are ignored."""

    prompt_tokens: int
    prompt_cost: float
    completion_cost: float | None
    """For `max_tokens` tokens; None without a limit."""

    @property
    def cost(self) -> float:
        """The maximum if the output is limited, else the minimum."""
        return self.prompt_cost + (self.completion_cost or 0.0)

    def __str__(self) -> str:
        """Show the amount as an upper or lower bound."""
        sign = "≤" if self.completion_cost is not None else "≥"
        return f"estimate: {sign} ${self.cost:.6f} for some {self.prompt_tokens} prompt tokens"


class Models(Sequence[Model]):
    """A sequence of models, shown as a table in a notebook."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = tuple(models)

    @overload
    def __getitem__(self, index: int) -> Model: ...
    @overload
    def __getitem__(self, index: slice) -> Models: ...
    def __getitem__(self, index: int | slice) -> Model | Models:
        """Return a model, or the models of a slice."""
        item = self._models[index]
        return Models(item) if isinstance(item, tuple) else item

    def __len__(self) -> int:
        """Return the number of models."""
        return len(self._models)

    def __repr__(self) -> str:
        """Show the first five slugs."""
        shown = ", ".join(printable(model.id) for model in self._models[:5])
        return f"<{len(self)} models: {shown}{', …' if len(self) > 5 else ''}>"  # noqa: PLR2004 - a few

    def _repr_html_(self) -> str:
        head = ("model", "context", "in", "out", "takes")
        rows = (
            (
                model.id,
                str(model.context_length or ""),
                _per_million(model.prompt_price),
                _per_million(model.completion_price),
                ", ".join(model.input_modalities),
            )
            for model in self._models
        )

        return f"{_html.table(head, rows)}<p>Prices: USD a million tokens.</p>"


def _strings(source: Any, key: str) -> tuple[str, ...]:
    return tuple(item for item in get_list(source, key) or () if isinstance(item, str))


def _price(source: Any, key: str) -> float | None:
    """Return a price, which the API sends as text; None for a negative one: it is not fixed."""
    value: Any = (source or {}).get(key)
    try:
        price = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return price if 0 <= price < math.inf else None


def _median(row: Any, key: str) -> float | None:
    return get_number(get_dict(row, key), "p50") if get_dict(row, key) else get_number(row, key)


def _per_million(price: float | None) -> str:
    return "" if price is None else f"{price * 1e6:g}"
