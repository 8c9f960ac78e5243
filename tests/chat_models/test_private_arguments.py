"""Headers, queries and bodies of the user's own: sent where they belong, shown nowhere."""

from __future__ import annotations

import pickle

import pytest
from langchain_core.load import dumpd, dumps
from langchain_core.tracers.base import BaseTracer

from langchain_openrouter import ChatOpenRouter, OpenRouterEmbeddings, OpenRouterRerank
from langchain_openrouter.catalog import Catalog
from tests.support.loopback import Reply, whole

SECRET = "sentinel-secret-0123456789"

pytestmark = pytest.mark.off_spec("fields of the user's own")


class Trace(BaseTracer):
    """Keeps all that a tracer is told."""

    def __init__(self):
        super().__init__()
        self.runs = []

    def _persist_run(self, run):
        self.runs.append(run)


@pytest.mark.parametrize("where", ["extra_headers", "extra_query", "extra_body"])
@pytest.mark.parametrize("how", ["model_kwargs", "bind", "call", "bind_tools"])
def test_headers_queries_and_bodies_arrive_and_show_nowhere(serve, model_on, where, how):
    """However they are passed: not in a body they do not belong to, a repr, a trace or a dump."""
    server = serve(Reply(whole()))
    trace = Trace()
    config = {"callbacks": [trace]}
    model = model_on(server)
    values = {where: {"x-own": SECRET}}
    if how == "model_kwargs":
        model = model_on(server, model_kwargs=values)
        model.invoke("x", config)
    elif how == "bind":
        model = model.bind(**values)
        model.invoke("x", config)
    elif how == "bind_tools":
        model = model.bind_tools([{"type": "openrouter:web_search"}], **values)
        model.invoke("x", config)
    else:
        model.invoke("x", config, **values)
    seen = server.seen[0]

    homes = {
        "extra_headers": lambda: seen.headers.get("x-own"),
        "extra_query": lambda: seen.path.partition("x-own=")[2],
        "extra_body": lambda: seen.body.get("x-own"),
    }
    assert homes[where]() == SECRET
    assert where not in seen.body
    shown = [repr(model), str(model), dumps(model), repr(dumpd(model))]
    shown += [repr(vars(run)) for run in trace.runs]
    assert trace.runs
    assert SECRET not in "".join(shown)
    assert pickle.loads(pickle.dumps(model)).invoke("x").content == "Hello!"


def test_model_kwargs_and_default_query_show_nowhere(serve, model_on):
    """They may hold a provider's key."""
    server = serve(Reply(whole()))
    trace = Trace()
    model = model_on(server, model_kwargs={"x_new": SECRET}, default_query={"q": SECRET})
    model.invoke("x", {"callbacks": [trace]})

    assert server.seen[0].body["x_new"] == SECRET
    assert f"q={SECRET}" in server.seen[0].path
    shown = [repr(model), dumps(model), model._repr_html_(), repr(model._get_llm_string())]
    shown += [repr(vars(run)) for run in trace.runs]
    assert SECRET not in "".join(shown)


def test_other_model_kwargs_have_another_cache(serve, model_on):
    """Though they are not written into it."""
    from langchain_core.caches import InMemoryCache

    server = serve(Reply(whole()))
    cache = InMemoryCache()
    for value in ("one", "two", "one"):
        model_on(server, model_kwargs={"x_new": value}, cache=cache).invoke("x")

    assert len(server.seen) == 2


@pytest.mark.parametrize("where", ["extra_headers", "extra_query", "extra_body"])
def test_what_is_no_mapping_is_refused_with_advice(where):
    """Before anything is sent."""
    with pytest.raises(ValueError, match="must be a mapping"):
        ChatOpenRouter(model="a/b", api_key="k", model_kwargs={where: "x"})


@pytest.mark.parametrize("make", [OpenRouterEmbeddings, OpenRouterRerank, Catalog])
def test_a_key_that_is_assigned_or_copied_in_is_hidden(make):
    """In embeddings, rerank and the catalog as in the model."""
    fields = {} if make is Catalog else {"model": "a/b"}
    assigned = make(**fields, api_key="k")
    assigned.api_key = SECRET
    copied = make(**fields, api_key="k").model_copy(update={"api_key": SECRET})

    for each in (assigned, copied):
        assert each.api_key.get_secret_value() == SECRET
        assert SECRET not in f"{each!r} {each} {each.model_dump()} {each.model_dump_json()}"


REFUSED = [
    "Host", "Content-Length", "Transfer-Encoding", "Proxy-Authorization", "Connection", "Upgrade",
    "TE", "Trailer", "Keep-Alive", "Expect", "Authorization", "Cookie", "hOST",
]  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_headers_of_the_connection_are_refused(name):
    """In the constructor, in a call and in embeddings; the message says why."""
    with pytest.raises(ValueError, match="is not accepted"):
        ChatOpenRouter(model="a/b", api_key="k", default_headers={name: "x"})
    with pytest.raises(ValueError, match="is not accepted"):
        ChatOpenRouter(model="a/b", api_key="k").invoke("x", extra_headers={name: "x"})
    with pytest.raises(ValueError, match="is not accepted"):
        OpenRouterEmbeddings(model="a/b", api_key="k", default_headers={name: "x"})
