"""Values of the catalog, of embeddings, of reranking and of batches as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter import _html
from langchain_openrouter._notebook._markdown import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_openrouter._catalog_types import (
        Estimate,
        Generation,
        Model,
        ModelEndpoint,
        Provider,
    )
    from langchain_openrouter.batch._row_result import RowResult
    from langchain_openrouter.embeddings import EmbeddingsResult
    from langchain_openrouter.rerank import RerankResult

__all__ = [
    "embeddings_html",
    "endpoints_html",
    "estimate_html",
    "generation_html",
    "model_html",
    "providers_html",
    "rerank_html",
    "rows_html",
    "usd",
]

_MAX_ROWS = 200
_MILLIONTH = 1e-6
_MAX_TEXT = 200  # characters of a cell
_PRICES = "<p>Prices: USD a million tokens.</p>"


def endpoints_html(endpoints: Sequence[ModelEndpoint]) -> str:
    """Return a row for each endpoint."""
    head = ("provider", "tag", "context", "quantization", "in", "out", "ms", "tokens/s", "up %")
    rows = (
        (
            endpoint.provider,
            endpoint.tag,
            endpoint.context_length,
            endpoint.quantization,
            _per_million(endpoint.prompt_price),
            _per_million(endpoint.completion_price),
            _number(endpoint.latency),
            _number(endpoint.throughput),
            _number(endpoint.uptime),
        )
        for endpoint in endpoints
    )

    return _table(head, rows, len(endpoints)) + _PRICES


def model_html(model: Model) -> str:
    """Return what is known of a model."""
    facts = {
        "model": model.id,
        "name": model.name,
        "context": model.context_length,
        "longest answer": model.max_output_tokens,
        "takes": ", ".join(model.input_modalities),
        "gives": ", ".join(model.output_modalities),
        "in": _per_million(model.prompt_price),
        "out": _per_million(model.completion_price),
        "a request": model.request_price or None,
        "cache read": _per_million(model.cache_read_price),
        "cache write": _per_million(model.cache_write_price),
        "parameters": ", ".join(model.supported_parameters),
    }

    return _facts(facts) + _PRICES


def generation_html(generation: Generation) -> str:
    """Return what OpenRouter recorded of an answer."""
    return _facts(
        {
            "generation": generation.id,
            "model": generation.model_name,
            "provider": generation.provider,
            "tokens in": generation.prompt_tokens,
            "tokens out": generation.completion_tokens,
            "cost": usd(generation.cost),
        }
    )


def estimate_html(estimate: Estimate) -> str:
    """Return an estimate in its own words."""
    return _facts({"estimate": str(estimate).removeprefix("estimate: ")})


def providers_html(providers: Sequence[Provider]) -> str:
    """Return a row for each provider."""
    rows = ((provider.name, provider.slug) for provider in providers)
    return _table(("provider", "slug"), rows, len(providers))


def embeddings_html(result: EmbeddingsResult) -> str:
    """Return how many vectors there are and what they cost; no vector."""
    tokens: Any = result.usage.get("total_tokens", result.usage.get("prompt_tokens"))

    return _facts(
        {
            "vectors": f"{len(result.vectors):,}",
            "dimensions": len(result.vectors[0]) if result.vectors else None,
            "model": result.model_name,
            "provider": result.provider,
            "tokens": tokens,
            "cost": usd(result.cost),
            "requests": len(result.ids) or None,
        }
    )


def rerank_html(result: RerankResult) -> str:
    """Return the documents' indices, best first, and the cost."""
    facts = {
        "model": result.model_name,
        "provider": result.provider,
        "cost": usd(result.cost),
    }

    rows = (
        (rank, document.index, f"{document.score:.4f}")
        for rank, document in enumerate(result.results, start=1)
    )
    return _table(("rank", "index of the input", "score"), rows, len(result.results)) + _facts(
        facts
    )


def rows_html(results: Sequence[RowResult]) -> str:
    """Return a row for each result of a batch."""
    rows = (
        (row.key, row.error or row.output, row.model, row.provider, usd(row.cost))
        for row in results
    )
    return _table(("key", "output or error", "model", "provider", "cost"), rows, len(results))


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], count: int) -> str:
    """Return a table of the first rows, and how many more there are."""
    cells = (
        [_cell(value) for value in row] for row, _ in zip(rows, range(_MAX_ROWS), strict=False)
    )
    more = count - _MAX_ROWS
    return _html.table(head, cells) + (f"<p>and {more:,} more</p>" if more > 0 else "")


def _facts(facts: Mapping[str, Any]) -> str:
    known = {name: value for name, value in facts.items() if value not in {None, ""}}
    return _html.facts((name, _cell(value)) for name, value in known.items())


def _cell(value: Any) -> str:
    text = "" if value is None else visible(str(value))
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"


def _per_million(price: float | None) -> str:
    return "" if price is None else f"{price * 1e6:g}"


def usd(cost: float | None) -> str | None:
    """Return an amount in USD; what is less than a millionth, as embeddings cost, to two digits."""
    if cost is None:
        return None
    return f"${cost:.1e}" if 0 < cost < _MILLIONTH else f"${cost:.6f}"
