"""Embeddings, rerank, the catalogue, profiles: over real HTTP, on recordings, on the emulator."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import subprocess
import sys
from contextvars import ContextVar
from urllib.parse import unquote

import httpx2
import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from loopback import CUT, Reply
from pydantic import BaseModel, ValidationError
from traffic import FOLDER

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    OpenRouterRerank,
    OpenRouterSettings,
    UserKey,
    _model_profiles,
    errors,
)
from langchain_openrouter.catalog import Catalog, Models
from langchain_openrouter.testing import error

OTHER = FOLDER / "traffic" / "other.jsonl"
BOTH = pytest.mark.parametrize("how", ["sync", "async"])
pytestmark = pytest.mark.off_spec("no chat requests")


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


# --- embeddings -------------------------------------------------------------------------------


@BOTH
@pytest.mark.skipif(not OTHER.exists(), reason="OPENROUTER_TRAFFIC names no folder of recordings")
def test_recorded_embeddings_lose_nothing(serve, how):
    """Every recording: vectors, usage, cost, provider, model, id; the request as it was sent."""
    exchanges = recorded("/embeddings")
    assert len(exchanges) >= 6
    for exchange in exchanges:
        body, asked = json.loads(exchange["body"]), exchange["request"]
        server = serve(Reply(exchange["body"]))
        given = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        more = {
            name: asked[name]
            for name in ("input_type", "dimensions", "encoding_format")
            if name in asked
        }
        model = embeddings(server, model=asked["model"], **more)
        result = run(how, lambda m=model, g=given: m.embed(g), lambda m=model, g=given: m.aembed(g))

        assert result.vectors == [row["embedding"] for row in body["data"]]
        assert result.usage == body["usage"]
        assert result.cost == body["usage"]["cost"]
        assert (result.provider, result.model_name) == (body["provider"], body["model"])
        assert result.ids == (body["id"],)
        assert server.seen[0].body == {**asked, "input": given}


@BOTH
def test_batches_are_split_and_kept_in_order(serve, how):
    """Answers may be in any order; vectors are not; usage and cost are summed."""

    def reply(seen):
        rows = [
            {"index": n, "embedding": [float(text)]} for n, text in enumerate(seen.body["input"])
        ]
        usage = {"prompt_tokens": len(rows), "total_tokens": len(rows), "cost": 0.5}
        return Reply({"id": f"gen-{len(rows)}", "data": rows[::-1], "usage": usage})

    server = serve(reply)
    model = embeddings(server, chunk_size=3)
    texts = [str(n) for n in range(8)]
    result = run(how, lambda: model.embed(texts), lambda: model.aembed(texts))

    assert result.vectors == [[float(n)] for n in range(8)]
    assert [len(seen.body["input"]) for seen in server.seen] == [3, 3, 2]
    assert (result.usage["prompt_tokens"], result.cost, result.ids) == (
        8,
        1.5,
        ("gen-3", "gen-3", "gen-2"),
    )
    assert run(how, lambda: model.embed_documents([]), lambda: model.aembed_documents([])) == []
    assert len(server.seen) == 3


def test_base64_is_read(serve):
    """Whether or not it was asked for."""
    data = base64.b64encode(struct.pack("<3f", 0.5, -1.0, 2.0)).decode()
    server = serve(Reply({"data": [{"embedding": data}]}))

    assert embeddings(server, encoding_format="base64").embed_query("x") == [0.5, -1.0, 2.0]
    assert server.seen[0].body["encoding_format"] == "base64"


def test_multimodal_inputs_go_out_as_documented(serve):
    """A list of parts is one input; a text stays a text."""
    server = serve(Reply({"data": [{"embedding": [1.0]}] * 3}))
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    embeddings(server).embed([[{"type": "text", "text": "a"}, picture], picture, "plain"])

    assert server.seen[0].body["input"] == [
        {"content": [{"type": "text", "text": "a"}, picture]}, {"content": [picture]}, "plain",
    ]  # fmt: skip
    with pytest.raises(TypeError, match="not int"):
        embeddings(server).embed([1])


def test_preferences_go_along(serve):
    """Dimensions, type, user, provider, and fields this package does not know."""
    server = serve(Reply({"data": [{"embedding": [1.0]}]}))
    embeddings(server, dimensions=5, input_type="query", user="u", openrouter_provider={"zdr": True, "max_price": {"prompt": 1}},
               model_kwargs={"brand_new": 1}, app_title="T").embed_query("x")  # fmt: skip

    assert server.seen[0].body == {
        "model": "openai/text-embedding-3-small", "input": ["x"], "dimensions": 5, "input_type": "query",
        "user": "u", "provider": {"zdr": True, "max_price": {"prompt": 1}}, "brand_new": 1,
    }  # fmt: skip
    assert server.seen[0].headers["x-openrouter-title"] == "T"


DAMAGE = ["{}", "[]", "null", '{"data": null}', '{"data": [{}]}', '{"data": [{"embedding": "!"}]}', '{"data": [{"embedding": []}]}',
          '{"data": [{"embedding": [null]}]}', '{"data": [{"embedding": [1], "index": 9}]}', "<html>", "", '{"data": [{"embedding": "AAA="}]}',
          '{"error": {"code": 429, "message": "x"}}', '{"error": "x"}']  # fmt: skip


@BOTH
@pytest.mark.parametrize("body", DAMAGE)
def test_a_damaged_answer_is_a_typed_error(serve, how, body):
    """Never a KeyError, never a short list."""
    server = serve(Reply(body))
    for model, ask in ((embeddings(server), "embed"), (rerank(server), "rerank")):
        given = (["x"],) if ask == "embed" else ("q", ["x"])
        with pytest.raises(errors.OpenRouterError):
            run(
                how,
                lambda m=model, a=ask, g=given: getattr(m, a)(*g),
                lambda m=model, a=ask, g=given: getattr(m, f"a{a}")(*g),
            )


@BOTH
@pytest.mark.parametrize(
    ("name", "kind"),
    [("rate_limit", errors.RateLimitError), ("payment_required", errors.InsufficientCreditsError),
     ("authentication", errors.AuthenticationError), ("server", errors.UpstreamError)],
)  # fmt: skip
def test_errors_are_typed_as_in_chat(emulate, how, name, kind):
    """With the user's own link where it is about money."""
    emulator = emulate(lambda _: error(name))
    key = UserKey("sk-or-ann", "ann", emulator.url)
    for model, ask in ((embeddings(emulator), "embed"), (rerank(emulator), "rerank")):
        given = (["x"],) if ask == "embed" else ("q", ["x"])
        own = model.for_user(key)
        with pytest.raises(kind) as caught:
            run(
                how,
                lambda m=own, a=ask, g=given: getattr(m, a)(*g),
                lambda m=own, a=ask, g=given: getattr(m, f"a{a}")(*g),
            )
        if kind is errors.InsufficientCreditsError:
            assert caught.value.settings_url == key.settings_url


def test_retries_and_cuts(serve):
    """429 and then an answer; a cut body is a failed connection."""
    answers = [
        Reply({"error": {"code": 429, "message": "x"}}, 429, headers={"retry-after": "0"}),
        Reply({"data": [{"embedding": [1.0]}]}),
        Reply([b'{"da', CUT]),
    ]
    server = serve(lambda _: answers.pop(0))

    assert embeddings(server, max_retries=1).embed_query("x") == [1.0]
    with pytest.raises(errors.ConnectionFailedError):
        embeddings(server).embed_query("x")


def test_keys_settings_and_secrets(serve, monkeypatch):
    """As with chat: callables, settings, environment, no key of the operator's for a user."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-environment")
    server = serve(lambda seen: Reply({"data": [{"embedding": [float(len(seen.key))]}]}))
    plain = OpenRouterEmbeddings(model="a/b", base_url=server.url)
    settings = OpenRouterEmbeddings(
        model="a/b", settings=OpenRouterSettings(api_key="sk-or-s", base_url=server.url)
    )

    assert plain.embed_query("x") == [float(len("sk-or-environment"))]
    assert settings.embed_query("x") == [7.0]
    assert plain.for_user(lambda: "four").embed_query("x") == [4.0]
    assert "sk-or" not in repr(plain) + str(plain.model_dump()) + repr(plain.for_user("sk-or-u"))
    for nothing in ("", " ", None):
        with pytest.raises(errors.AuthenticationError):
            plain.for_user(nothing)
    with pytest.raises(ValidationError, match="dimensions"):
        OpenRouterEmbeddings(model="a/b", dimension=3)


class TestEmbeddingsUnit(EmbeddingsUnitTests):
    """LangChain's standard unit tests."""

    embeddings_class = OpenRouterEmbeddings
    embedding_model_params = {"model": "openai/text-embedding-3-small", "api_key": "k"}  # noqa: RUF012 - as the parent has it

    @property
    def init_from_env_params(self):
        """What the environment says, and what it becomes."""
        return {"OPENROUTER_API_KEY": "k"}, {"model": "a/b"}, {"api_key": "k"}


@pytest.mark.openrouter
class TestEmbeddingsStandard(EmbeddingsIntegrationTests):
    """LangChain's standard integration tests, on cassettes."""

    embeddings_class = OpenRouterEmbeddings
    embedding_model_params = {"model": "openai/text-embedding-3-small"}  # noqa: RUF012 - as the parent has it


# --- rerank -----------------------------------------------------------------------------------


@BOTH
@pytest.mark.skipif(not OTHER.exists(), reason="OPENROUTER_TRAFFIC names no folder of recordings")
def test_recorded_reranks_lose_nothing(serve, how):
    """Order, scores, usage, cost, provider, model, id; the request as it was sent."""
    exchanges = recorded("/rerank")
    assert exchanges
    for exchange in exchanges:
        body, asked = json.loads(exchange["body"]), exchange["request"]
        server = serve(Reply(exchange["body"]))
        model = rerank(server, model=asked["model"], top_n=asked["top_n"])
        result = run(how, lambda m=model, a=asked: m.rerank(a["query"], a["documents"]),
                     lambda m=model, a=asked: m.arerank(a["query"], a["documents"]))  # fmt: skip

        assert [(r.index, r.score) for r in result.results] == [
            (r["index"], r["relevance_score"]) for r in body["results"]
        ]
        assert (result.usage, result.cost) == (body["usage"], body["usage"]["cost"])
        assert (result.provider, result.model_name, result.id) == (
            body["provider"],
            body["model"],
            body["id"],
        )
        assert server.seen[0].body == asked


@BOTH
def test_documents_are_copied_with_their_score(emulate, how):
    """Metadata and ids stay; the originals are not touched."""
    documents = [
        Document("Athens", metadata={"n": 1}, id="a"),
        Document("Paris is in France", metadata={"n": 2}, id="b"),
    ]
    model = rerank(emulate(), top_n=1)
    best = run(
        how,
        lambda: model.compress_documents(documents, "France"),
        lambda: model.acompress_documents(documents, "France"),
    )

    assert [(d.page_content, d.id, d.metadata["n"]) for d in best] == [
        ("Paris is in France", "b", 2)
    ]
    assert best[0].metadata["relevance_score"] == 1.0
    assert "relevance_score" not in documents[1].metadata
    assert (
        run(
            how,
            lambda: model.compress_documents([], "x"),
            lambda: model.acompress_documents([], "x"),
        )
        == []
    )
    assert model.rerank("x", ["a", "b"], top_n=2).results[0].index in {0, 1}


@BOTH
def test_a_retrieval_chain_on_one_users_key(emulate, how):
    """Documents, vectors, rerank, answer: the server sees that key and no other."""
    emulator = emulate(any_key=False)
    key = emulator.accounts.add_key(user_id="ann").secret
    vectors = embeddings(emulator, api_key="operators").for_user(key)
    order = rerank(emulator, api_key="operators", top_n=1).for_user(key)
    model = ChatOpenRouter(
        model="openai/gpt-4o-mini", api_key="operators", base_url=emulator.url
    ).for_user(key)
    store = InMemoryVectorStore(vectors)
    store.add_texts(["Athens is in Greece", "Paris is in France", "Lima is in Peru"])
    prompt = ChatPromptTemplate.from_template("Answer from: {context}\nQuestion: {question}")

    def answer(question):
        found = order.compress_documents(store.similarity_search(question, k=2), question)
        return (prompt | model | StrOutputParser()).invoke(
            {"context": found[0].page_content, "question": question}
        )

    async def aanswer(question):
        found = await order.acompress_documents(
            await store.asimilarity_search(question, k=2), question
        )
        return await (prompt | model | StrOutputParser()).ainvoke(
            {"context": found[0].page_content, "question": question}
        )

    said = run(how, lambda: answer("Where is Paris"), lambda: aanswer("Where is Paris"))
    assert "Paris is in France" in said
    assert {asked.key for asked in emulator.asked} == {key}


# --- the catalogue ----------------------------------------------------------------------------


@BOTH
def test_the_catalogue(emulate, how):
    """Models with filters, one, its endpoints, providers; typed, with all fields as sent."""
    emulator = emulate()
    catalog = Catalog(base_url=emulator.url, api_key="k")
    models = run(
        how,
        lambda: catalog.models(supported_parameters=["tools", "reasoning"]),
        lambda: catalog.amodels(supported_parameters=["tools", "reasoning"]),
    )
    one = run(
        how,
        lambda: catalog.model("openai/gpt-4o-mini"),
        lambda: catalog.amodel("openai/gpt-4o-mini"),
    )
    ends = run(
        how,
        lambda: catalog.endpoints("openai/gpt-4o-mini"),
        lambda: catalog.aendpoints("openai/gpt-4o-mini"),
    )
    providers = run(how, catalog.providers, catalog.aproviders)
    mine = run(how, catalog.user_models, catalog.auser_models)

    assert [m.id for m in models] == ["anthropic/claude-sonnet-4.6", "google/gemini-2.5-flash"]
    assert (one.prompt_price, one.completion_price, one.context_length) == (1.5e-07, 6e-07, 128_000)
    assert one.data["top_provider"]["is_moderated"] is False
    assert [(e.provider, e.tag, e.latency) for e in ends] == [
        ("OpenAI", "openai", 400.0),
        ("Azure", "azure", 800.0),
    ]
    assert providers[0].slug == "openai"
    assert any(m.is_free for m in mine)
    assert "<table>" in models._repr_html_()
    assert isinstance(models[:1], Models)
    assert emulator.asked[0].query == {"supported_parameters": "tools,reasoning"}


def test_answers_are_kept_for_an_hour_and_for_their_user(emulate):
    """Asked once; another filter, another user and a shorter time ask again."""
    emulator = emulate()
    catalog = Catalog(base_url=emulator.url, api_key="k")
    for _ in range(3):
        catalog.models()
        asyncio.run(catalog.amodels())
    assert len(emulator.asked) == 1
    catalog.models(q="claude")
    catalog.for_user("other").models()
    assert [asked.key for asked in emulator.asked] == ["k", "k", "other"]
    quick = Catalog(base_url=emulator.url, ttl=0)
    quick.models()
    quick.models()
    assert len(emulator.asked) == 5
    assert "authorization" not in emulator.asked[-1].headers


def test_the_catalogue_needs_a_key_where_the_service_does(emulate):
    """And says so before it asks."""
    with pytest.raises(errors.AuthenticationError, match="no OpenRouter API key"):
        Catalog(base_url=emulate().url).user_models()


@BOTH
def test_what_an_answer_cost_is_asked_politely(emulate, how):
    """Again and again until the books have it; an unknown one is an error in the end."""
    emulator = emulate(generation_delay=0.7)
    answer = ChatOpenRouter(model="a/b", api_key="k", base_url=emulator.url).invoke("x")
    catalog = Catalog(base_url=emulator.url, api_key="k")
    audited = run(
        how, lambda: catalog.generation(answer.id), lambda: catalog.ageneration(answer.id)
    )

    assert audited.cost == answer.response_metadata["cost"]
    assert len([asked for asked in emulator.asked if asked.path == "/generation"]) >= 2


def test_an_unknown_generation_ends(emulate, monkeypatch):
    """After five tries."""
    monkeypatch.setattr("langchain_openrouter.catalog._GENERATION_BACKOFF", (0.0, 0.0))
    emulator = emulate()

    with pytest.raises(errors.ModelUnavailableError, match="not found"):
        Catalog(base_url=emulator.url, api_key="k").generation("gen-none")
    assert len(emulator.asked) == 3


@pytest.mark.skipif(not OTHER.exists(), reason="OPENROUTER_TRAFFIC names no folder of recordings")
def test_recorded_generations(serve):
    """Cost, model, provider and native tokens; an unknown one typed."""
    for exchange in recorded("/generation"):
        server = serve(Reply(exchange["body"], exchange["status"]))
        catalog = Catalog(base_url=server.url, api_key="k", max_retries=0)
        if exchange["status"] == 200:
            data = json.loads(exchange["body"])["data"]
            found = catalog.generation("x")
            assert (found.cost, found.model_name, found.provider) == (
                data["total_cost"],
                data["model"],
                data["provider_name"],
            )
            assert found.prompt_tokens == data["native_tokens_prompt"]
            assert found.data == data
        else:
            with pytest.raises(errors.ModelUnavailableError):
                asyncio.run(_once(catalog))


async def _once(catalog):
    """Ask for a generation once."""
    from unittest import mock

    with mock.patch("langchain_openrouter.catalog._GENERATION_BACKOFF", ()):
        await catalog.ageneration("x")


@BOTH
def test_a_model_is_checked_before_the_call(emulate, how):
    """Which arguments its endpoints do not support."""
    emulator = emulate()
    catalog = Catalog(base_url=emulator.url)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", base_url=emulator.url, temperature=1, top_a=0.5,
                           reasoning={"effort": "low"}, max_completion_tokens=5, provider={"zdr": True})  # fmt: skip

    assert run(
        how,
        lambda: catalog.unsupported_parameters(model, min_p=0.1),
        lambda: catalog.aunsupported_parameters(model, min_p=0.1),
    ) == ["top_a", "reasoning", "min_p"]


@BOTH
def test_cost_is_estimated_before_the_call(emulate, how):
    """An estimate that says that it is one."""
    emulator = emulate()
    catalog = Catalog(base_url=emulator.url)
    model = ChatOpenRouter(
        model="openai/gpt-4o-mini", api_key="k", base_url=emulator.url, max_tokens=1000
    )
    told = run(
        how,
        lambda: catalog.estimate(model, "x" * 4000),
        lambda: catalog.aestimate(model, "x" * 4000),
    )
    real = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", base_url=emulator.url).invoke(
        "x" * 4000
    )

    assert str(told).startswith("estimate: ≤ $")
    assert told.completion_cost == pytest.approx(1000 * 6e-07)
    assert told.prompt_cost == pytest.approx(
        real.response_metadata["cost_details"]["upstream_inference_prompt_cost"], rel=0.2
    )


@pytest.mark.parametrize("row", [{}, {"pricing": None}, {"pricing": {"prompt": "-1"}}, {"architecture": 5, "supported_parameters": "x"},
                                 {"top_provider": [], "context_length": "many", "reasoning": 3}])  # fmt: skip
def test_a_row_of_any_shape_is_read(serve, row):
    """Lenient: what does not fit is not said."""
    server = serve(Reply({"data": [row, 5]}))
    models = Catalog(base_url=server.url).models()

    assert len(models) == 1
    assert models[0].prompt_price is None
    assert models[0].profile in ({}, {"name": None}) or models[0].profile is not None
    assert "<table>" in models._repr_html_()


# --- profiles ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slug", "tokens"),
    [("openai/gpt-4o-mini", 128_000), ("openai/gpt-4o-mini:nitro", 128_000), ("openai/gpt-4o-mini:floor:online", 128_000),
     ("~anthropic/claude-sonnet-latest", 1_000_000), ("nobody/nothing", None), ("openrouter/auto", None), ("@preset/mine", None),
     ("openai/gpt-4o-mini@preset/mine", None), ("", None)],
)  # fmt: skip
def test_a_profile_is_known_or_unknown(slug, tokens):
    """Variants and aliases are looked through; a preset, a router and an unknown slug claim nothing."""
    profile = ChatOpenRouter(model=slug, api_key="k").profile

    assert (profile and profile["max_input_tokens"]) == tokens


def test_a_profile_is_loaded_when_it_is_asked_for():
    """Not when the package is imported, nor when a model is made, called or copied."""
    code = (
        "from langchain_openrouter import ChatOpenRouter, _model_profiles\n"
        "m = ChatOpenRouter(model='openai/gpt-4o-mini', api_key='k').for_user('u').model_copy()\n"
        "m._get_request_payload('x'); repr(m); m.model_dump()\n"
        "print(_model_profiles._snapshot.cache_info().currsize)\n"
        "assert m.profile['tool_calling'] is True\n"
        "print(_model_profiles._snapshot.cache_info().currsize)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.split() == ["0", "1"]


def test_a_given_profile_stays():
    """The user's word counts, and survives copies."""
    model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", profile={"max_input_tokens": 5})

    assert model.for_user("u").profile == {"max_input_tokens": 5}
    with pytest.raises(AttributeError, match="nothing"):
        model.nothing  # noqa: B018 - the access is the test


def test_the_snapshot_is_made_from_a_list():
    """Aliases have their target's profile; a row without a slug is none."""
    rows = [{"id": "a/b", "canonical_slug": "a/b-1", "context_length": 7, "supported_parameters": ["tools"]},
            {"id": "~a/latest", "context_length": 1, "alias_target": {"slug": "a/b"}}, {"name": "none"}]  # fmt: skip
    made = _model_profiles.build_snapshot({"data": rows}, "2026-01-02")

    assert made["taken_on"] == "2026-01-02"
    assert set(made["models"]) == {"a/b", "a/b-1", "~a/latest"}
    assert {p["max_input_tokens"] for p in made["models"].values()} == {7}
    assert made["models"]["a/b"]["structured_output"] is False
    assert _model_profiles.taken_on() >= "2026-08-22"


class City(BaseModel):
    """A city."""

    name: str


@pytest.mark.parametrize(
    ("slug", "field"),
    [("anthropic/claude-sonnet-4.6", "response_format"), ("nobody/unknown", "tools")],
)
def test_an_agent_chooses_structured_output_by_the_profile(emulate, slug, field):
    """The service's own where the model has it, a tool where that is unknown."""
    emulator = emulate()
    model = ChatOpenRouter(model=slug, api_key="k", base_url=emulator.url)
    result = create_agent(model, [], response_format=City).invoke({"messages": "Where is Paris?"})

    assert result["structured_response"] == City(name="Paris")
    assert field in emulator.chats[0].body


# --- whose catalog, and which endpoint ---------------------------------------------------------


@pytest.mark.off_spec("a private list")
@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_callable_key_gets_the_list_of_the_user_it_names(serve, how):
    """One catalog, a key for each user from a context variable: nobody sees another's list."""
    server = serve(lambda seen: Reply({"data": [{"id": f"models-of/{seen.key}"}]}))
    user = ContextVar("user")
    catalog = Catalog(api_key=lambda: f"key-of-{user.get()}", base_url=server.url)

    def ids():
        models = run(how, catalog.user_models, catalog.auser_models)
        return [model.id for model in models]

    for name in ("ann", "bob", "ann"):
        user.set(name)
        assert ids() == [f"models-of/key-of-{name}"]
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "slug", ["../key", "a/../../key", "..", ".", "", "a//b", "/key", "a/b/", "a/./b"]
)
def test_a_slug_cannot_leave_its_path(serve, slug):
    """It would reach another endpoint with the operator's key."""
    server = serve(Reply({"data": {}}))
    catalog = Catalog(api_key="k", base_url=server.url)

    for call in (catalog.model, catalog.endpoints):
        with pytest.raises(ValueError, match="is no slug"):
            call(slug)
    with pytest.raises(ValueError, match="is no slug"):
        asyncio.run(catalog.amodel(slug))
    assert not server.seen


@pytest.mark.off_spec("a slug that is none")
@pytest.mark.parametrize("slug", ["a/b?x=1", "a/b#c", "a/%2e%2e/key", "a/b\\..\\key", "a/b%00"])
def test_what_is_odd_in_a_slug_stays_in_its_path(serve, slug):
    """Percent-encoded, so that the server sees the slug and nothing else."""
    server = serve(Reply({"data": {}}))
    Catalog(api_key="k", base_url=server.url).model(slug)

    path = server.seen[0].path.removeprefix("/api/v1")
    assert unquote(path) == f"/model/{slug}"


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
