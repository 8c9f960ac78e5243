"""What embeddings, rerank and the catalog share."""

from __future__ import annotations

import httpx2
import pytest

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    OpenRouterRerank,
)
from langchain_openrouter.catalog import Catalog
from tests.support.endpoints import run
from tests.support.loopback import Reply

pytestmark = pytest.mark.off_spec("no chat requests")


@pytest.mark.parametrize("make", [OpenRouterEmbeddings, OpenRouterRerank, Catalog, ChatOpenRouter])
def test_a_base_url_that_is_assigned_or_copied_in_is_checked(make):
    """A key must not travel in plain text because a field was set later."""
    fields = {} if make is Catalog else {"model": "a/b"}
    name = "openai_api_base" if make is ChatOpenRouter else "base_url"
    made = make(**fields, api_key="k")

    for url in (
        "http://openrouter.ai/api/v1",
        "ftp://x",
        "https://u:p@openrouter.ai",
        "https://x?y",
    ):
        with pytest.raises(ValueError, match="base_url must"):
            setattr(made, name, url)
        with pytest.raises(ValueError, match="base_url must"):
            made.model_copy(update={name: url})
    setattr(made, name, "http://127.0.0.1:9/api/v1/")
    assert getattr(made, name) == "http://127.0.0.1:9/api/v1"


@pytest.mark.off_spec("every endpoint on one server")
@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("name", ["catalog", "embeddings", "rerank"])
def test_a_client_of_the_users_own_is_used(serve, name, how):
    """Sync and async, and its own headers arrive."""
    body = {"data": [{"embedding": [0.5], "id": "a/b"}], "results": []}
    server = serve(Reply(body))
    clients = {
        "http_client": httpx2.Client(headers={"x-own": "sync"}),
        "http_async_client": httpx2.AsyncClient(headers={"x-own": "async"}),
    }
    settings = {"api_key": "k", "base_url": server.url, **clients}
    calls = {
        "catalog": lambda c: (c.models, c.amodels),
        "embeddings": lambda c: (lambda: c.embed_query("x"), lambda: c.aembed_query("x")),
        "rerank": lambda c: (lambda: c.rerank("x", ["y"]), lambda: c.arerank("x", ["y"])),
    }
    makers = {
        "catalog": lambda: Catalog(**settings),
        "embeddings": lambda: OpenRouterEmbeddings(model="a/b", **settings),
        "rerank": lambda: OpenRouterRerank(model="a/b", **settings),
    }

    call, acall = calls[name](makers[name]())

    async def acall_and_close():
        async with clients["http_async_client"]:
            await acall()

    with clients["http_client"]:
        run(how, call, acall_and_close)

    assert server.seen[0].headers["x-own"] == how
    assert server.seen[0].key == "k"
