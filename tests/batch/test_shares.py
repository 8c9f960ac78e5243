"""Shares of what was paid for together."""

from __future__ import annotations

from decimal import Decimal

import pytest

from langchain_openrouter import OpenRouterEmbeddings
from langchain_openrouter.batch import run
from langchain_openrouter.batch._shares import split_cost, split_count
from tests.support.loopback import Reply


@pytest.mark.parametrize("total", [0.000219975, 7.0, 0.1, 1e-9, 123456.789, 0.0])
@pytest.mark.parametrize("weights", [[1], [0, 0, 0], [1, 2, 4], [0.1 * n for n in range(101)]])
def test_shares_add_up(total, weights):
    """To the last decimal digit, and whole numbers to the last one."""
    shares = split_cost(total, weights)
    assert sum(map(Decimal, map(repr, shares))) == Decimal(repr(total))
    assert min(shares) >= 0
    counts = split_count(100, weights)
    assert sum(counts) == 100
    assert len(shares) == len(counts) == len(weights)


@pytest.mark.off_spec("usage is made up")
def test_rows_of_one_request_share_its_tokens(serve):
    """Embeddings: 100 tokens are 100, and ten cents ten, over seven rows."""

    def reply(seen):
        data = [{"object": "embedding", "index": i, "embedding": [0.1]} for i in range(len(seen.body["input"]))]  # fmt: skip
        usage = {"prompt_tokens": 100, "total_tokens": 100, "cost": 0.1}
        return Reply({"object": "list", "model": "x/y", "data": data, "usage": usage})

    server = serve(reply)
    model = OpenRouterEmbeddings(model="x/y", api_key="sk-or-v1-a-key", base_url=server.url)
    result = run(model, ["a"] * 7, progress=False)

    assert sum(row.input_tokens for row in result) == 100
    assert sum(Decimal(repr(row.cost)) for row in result) == Decimal("0.1")
    assert result.spent == 0.1
