"""Names that were public once still work."""

from __future__ import annotations

import asyncio

from langchain_openrouter import callbacks, catalog, rerank
from langchain_openrouter.chat_models import ChatOpenRouter


def test_former_names_of_usage_sums():
    """`Used`, `Caller` and `OpenRouterUsage.by` are today's classes and dictionary."""
    usage = callbacks.OpenRouterUsage()

    assert callbacks.Used is callbacks.UsageTotals
    assert callbacks.Caller is callbacks.UsageKey
    assert usage.by is usage.totals_by_key


def test_former_names_of_rerank_results():
    """`Ranked` and `RerankResult.ranked` are today's class and list."""
    result = rerank.RerankResult([rerank.Ranked(1, 0.5)])

    assert rerank.Ranked is rerank.RankedDocument
    assert result.ranked is result.results


def test_former_constructors_from_api_rows():
    """Each value of the catalog can be made with `of` as with `from_api`."""
    row = {"id": "a/b", "name": "B", "provider_name": "P", "total_cost": 1, "data": {"usage": 2}}
    kinds = catalog.Model, catalog.ModelEndpoint, catalog.Provider, catalog.Generation

    for kind in kinds:
        assert kind.of(row) == kind.from_api(row) != kind.from_api({})


def test_former_names_of_the_parameter_check(emulate):
    """`Catalog.check` and `acheck` return what `unsupported_parameters` does."""
    url = emulate().url
    models = catalog.Catalog(base_url=url)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", base_url=url, top_a=0.5)

    assert models.check(model) == asyncio.run(models.acheck(model)) == ["top_a"]
