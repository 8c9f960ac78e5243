"""What tests of the endpoints beside chat share."""

from __future__ import annotations

import asyncio
import json

import pytest

from langchain_openrouter import (
    OpenRouterEmbeddings,
    OpenRouterRerank,
)
from tests.support.traffic import FOLDER

OTHER = FOLDER / "traffic" / "other.jsonl"
BOTH = pytest.mark.parametrize("how", ["sync", "async"])


def recorded(path):
    """Return the recorded exchanges of an endpoint."""
    if not OTHER.exists():
        return []
    rows = [json.loads(line) for line in OTHER.read_text(encoding="utf-8").split("\n") if line]
    return [row for row in rows if row["path"].endswith(path)]


def run(how, sync, unsync):
    """Call one or the other."""
    return sync() if how == "sync" else asyncio.run(unsync())


def embeddings(server, **words):
    """Make embeddings that talk to a server."""
    return OpenRouterEmbeddings(**{"model": "openai/text-embedding-3-small", "api_key": "k", "base_url": server.url,
                                   "max_retries": 0, **words})  # fmt: skip


def rerank(server, **words):
    """Make a reranker that talks to a server."""
    return OpenRouterRerank(**{"model": "cohere/rerank-v3.5", "api_key": "k", "base_url": server.url,
                               "max_retries": 0, **words})  # fmt: skip
