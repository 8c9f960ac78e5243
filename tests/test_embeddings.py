"""Embeddings: over real HTTP, on recordings, on the emulator."""

from __future__ import annotations

import asyncio
import base64
import json
import struct

import pytest
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from pydantic import ValidationError

from langchain_openrouter import (
    OpenRouterEmbeddings,
    OpenRouterSettings,
    UserKey,
    errors,
)
from langchain_openrouter.testing import error
from tests.support.endpoints import BOTH, OTHER, embeddings, recorded, rerank, run
from tests.support.loopback import CUT, Reply

pytestmark = pytest.mark.off_spec("no chat requests")


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


@pytest.mark.parametrize("asynchronous", [False, True])
def test_progress_is_told_to_a_callable(emulate, asynchronous):
    """After each request: inputs, cost, the rest of the time; the call's goes before the field's."""
    reports, others = [], []
    embeddings = OpenRouterEmbeddings(
        model="openai/text-embedding-3-small", api_key="k", base_url=emulate().url,
        chunk_size=2, progress=others.append,
    )  # fmt: skip

    if asynchronous:
        result = asyncio.run(embeddings.aembed(list("abcde"), progress=reports.append))
    else:
        result = embeddings.embed(list("abcde"), progress=reports.append)
    assert [report.done for report in reports] == [0, 2, 4, 5, 5]
    assert {report.total for report in reports} == {5}
    assert [report.is_last for report in reports] == [False] * 4 + [True]
    assert reports[-1].spent == pytest.approx(result.cost)
    assert not others
    embeddings.embed_documents(["a"])
    assert others[-1].done == 1


def test_a_callable_that_raises_ends_the_progress_alone(emulate):
    """With a warning; the vectors come."""
    embeddings = OpenRouterEmbeddings(model="openai/text-embedding-3-small", api_key="k", base_url=emulate().url, chunk_size=1)  # fmt: skip

    with pytest.warns(UserWarning, match="progress raised ZeroDivisionError"):
        result = embeddings.embed(["a", "b"], progress=lambda _: 1 / 0)
    assert len(result.vectors) == 2


def test_a_bar_where_somebody_sees_it(emulate, capfd):
    """`True` shows it, on standard error; by default nothing is shown where nobody watches."""
    embeddings = OpenRouterEmbeddings(model="openai/text-embedding-3-small", api_key="k", base_url=emulate().url, chunk_size=1)  # fmt: skip

    embeddings.embed(["a", "b"])
    assert capfd.readouterr() == ("", "")
    embeddings.embed(["a", "b"], progress=True)
    shown = capfd.readouterr()
    assert "2/2 inputs" in shown.err
    assert not shown.out
