"""Rerank, and a retrieval chain on one user's key."""

from __future__ import annotations

import json

import pytest
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_openrouter import (
    ChatOpenRouter,
)
from tests.support.endpoints import BOTH, OTHER, embeddings, recorded, rerank, run
from tests.support.loopback import Reply

pytestmark = pytest.mark.off_spec("no chat requests")


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
