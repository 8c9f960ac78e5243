"""What a hostile or broken server can make this process read."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib

import pytest

from langchain_openrouter import ChatOpenRouter, OpenRouterEmbeddings, UserKey, errors
from langchain_openrouter.settings import response_limits
from tests.support.loopback import Reply, event, sse, whole

pytestmark = pytest.mark.off_spec("a hostile server")

MIB = 1024 * 1024


@pytest.fixture
def limits(monkeypatch):
    """Bounds small enough to be met quickly."""
    for name, size in (("body", 64_000), ("event", 32_000), ("comments", 16_000)):
        monkeypatch.setattr(response_limits, name, size)
    return response_limits


def model_at(server):
    """Return a model that asks this server, once."""
    return ChatOpenRouter(model="a/b", api_key="k", base_url=server.url, max_retries=0)


def calls(model):
    """Return every way to ask."""

    async def astream():
        return [chunk async for chunk in model.astream("x")]

    return {
        "invoke": lambda: model.invoke("x"),
        "ainvoke": lambda: asyncio.run(model.ainvoke("x")),
        "stream": lambda: list(model.stream("x")),
        "astream": lambda: asyncio.run(astream()),
    }


def endless(chunk, *, first=b""):
    """Yield a body that does not end by itself; a hundred times what is allowed."""
    yield first
    for _ in range(2000):
        yield chunk


BODIES = {
    "body": (lambda: Reply(endless(b" " * 4096)), "body"),
    "error body": (lambda: Reply(endless(b"x" * 4096), 500), "body"),
    "one line": (lambda: Reply(endless(b"x" * 4096, first=b"data: "), content_type="text/event-stream"), "event"),
    "many data lines": (lambda: Reply(endless(b"data: x\n" * 512), content_type="text/event-stream"), "event"),
    "comments": (lambda: Reply(endless(b": x\n\n" * 512), content_type="text/event-stream"), "comments"),
    "blank lines": (lambda: Reply(endless(b"\n" * 4096), content_type="text/event-stream"), "comments"),
    "unknown fields": (lambda: Reply(endless(b"id: 1\n\n" * 512), content_type="text/event-stream"), "comments"),
}  # fmt: skip


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("name", BODIES)
def test_an_endless_response_is_given_up_and_says_which_bound(serve, limits, name, how):
    """The error names the bound and where it is raised; nothing is retried."""
    reply, bound = BODIES[name]
    server = serve(lambda _: reply())
    whole_body = how in {"invoke", "ainvoke"}

    with pytest.raises(errors.UpstreamError) as caught:
        calls(model_at(server))[how]()

    bound = "body" if whole_body else bound
    assert f"response_limits.{bound}" in str(caught.value)
    assert not caught.value.is_retryable
    assert len(server.seen) == 1


@pytest.mark.parametrize("how", ["stream", "astream"])
def test_a_stream_that_exceeds_a_bound_keeps_what_came(serve, limits, how):
    """The partial answer travels with the error."""
    first = sse([event({"content": "Hello"})], done=False)
    server = serve(
        lambda _: Reply(endless(b": x\n\n" * 512, first=first), content_type="text/event-stream")
    )

    with pytest.raises(errors.UpstreamError) as caught:
        calls(model_at(server))[how]()

    assert caught.value.partial.content == "Hello"


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_a_body_that_was_compressed_twice_is_refused_unread(serve, how):
    """Some hundred bytes that would become hundreds of MiB cost nothing."""
    bomb = gzip.compress(gzip.compress(b" " * (64 * MIB)))
    server = serve(Reply(bomb, headers={"content-encoding": "gzip, gzip"}))
    tracemalloc.start()
    try:
        with pytest.raises(errors.UpstreamError, match="compressed more than once"):
            calls(model_at(server))[how]()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(bomb) < 1000
    assert peak < 16 * MIB


def test_a_compressed_body_is_bounded_after_decompression(serve, limits):
    """The bound counts what memory holds, not what the network brought."""
    bomb = zlib.compress(b" " * MIB)
    server = serve(Reply(bomb, headers={"content-encoding": "deflate"}))

    with pytest.raises(errors.UpstreamError, match=r"response_limits\.body"):
        model_at(server).invoke("x")


def test_one_compression_is_read_as_ever(serve):
    """What the live service sends."""
    body = gzip.compress(json.dumps(whole("fine")).encode())
    server = serve(Reply(body, headers={"content-encoding": "gzip"}))

    assert model_at(server).invoke("x").content == "fine"


@pytest.mark.parametrize("how", ["sync", "async"])
def test_the_sign_in_reads_no_endless_body(serve, how):
    """Its answers have a few hundred bytes."""
    server = serve(lambda _: Reply(endless(b" " * 65_536)))
    key = UserKey("k", base_url=server.url)

    with pytest.raises(errors.OpenRouterError, match="exceeds"):
        key.info() if how == "sync" else asyncio.run(key.ainfo())


@pytest.mark.parametrize("how", ["sync", "async"])
def test_embeddings_are_bounded_alike(serve, limits, how):
    """As is every other endpoint: one transport serves all."""
    server = serve(lambda _: Reply(endless(b" " * 4096)))
    embeddings = OpenRouterEmbeddings(model="a/b", api_key="k", base_url=server.url, max_retries=0)

    with pytest.raises(errors.UpstreamError, match=r"response_limits\.body"):
        _ = (
            embeddings.embed_query("x")
            if how == "sync"
            else asyncio.run(embeddings.aembed_query("x"))
        )


def test_a_large_image_in_one_event_arrives(serve):
    """The bounds are far above what OpenRouter sends."""
    url = "data:image/png;base64," + "A" * (20 * MIB)
    delta = {"images": [{"type": "image_url", "image_url": {"url": url}}]}
    server = serve(Reply(sse([event(delta), event({}, choice={"finish_reason": "stop"})]),
                         content_type="text/event-stream"))  # fmt: skip

    chunks = list(model_at(server).stream("x"))

    images = [image for chunk in chunks for image in chunk.additional_kwargs.get("images", ())]
    assert images[0]["image_url"]["url"] == url
