"""How bodies are read and requests are framed: compressed, read before, with the user's headers."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json

import httpx2
import pytest

from langchain_openrouter._http.metering import Call, Meter, metered
from tests.support.loopback import Reply, stream, whole


@pytest.mark.parametrize("encoding", ["gzip", "identity", None])
def test_a_body_is_decompressed(serve, model_on, encoding):
    """A body comes as it was before it was compressed, whether the server compresses or not."""
    body = json.dumps(whole("fine")).encode()
    sent = gzip.compress(body) if encoding == "gzip" else body
    model = model_on(serve(Reply(sent, headers={"content-encoding": encoding} if encoding else {})))

    assert model.invoke("?").content == "fine"
    assert asyncio.run(model.ainvoke("?")).content == "fine"


def test_a_stream_is_decompressed(serve, model_on):
    """A stream that a proxy has compressed is read like another."""
    reply = stream("one", " two")
    sent = gzip.compress(b"".join(reply.items()))
    headers = {"content-encoding": "gzip"}
    model = model_on(serve(Reply(sent, headers=headers, content_type="text/event-stream")))
    assert "".join(piece.text for piece in model.stream("?")) == "one two"


def test_a_body_that_a_hook_has_read(serve, model_on):
    """A hook of the user's own client may read the body before this package does."""
    with httpx2.Client(event_hooks={"response": [lambda response: response.read()]}) as client:
        model = model_on(serve(Reply(whole("fine"))), http_client=client)
        assert model.invoke("?").content == "fine"


def test_what_frames_a_request_is_sent_once(serve, model_on):
    """The host, and the length of the body in bytes."""
    server = serve(Reply(whole("fine")))
    model_on(server).invoke("\u00e9")
    asyncio.run(model_on(server).ainvoke("\u00e9"))

    for request in server.seen:
        assert request.headers["host"] == server.url.split("/")[2]
        assert int(request.headers["content-length"]) == len(request.raw)
        assert "transfer-encoding" not in request.headers


def test_a_counted_call_leaves_no_cycle(serve, model_on):
    """What a meter was told of is freed at once: a batch makes millions of calls."""

    class Count(Meter):
        def record(self, call):
            kinds.append(call.kind)

    kinds = []
    model = model_on(serve(Reply(whole("fine"))))
    gc.collect()
    gc.disable()
    try:
        with metered(Count()):
            model.invoke("?")
            asyncio.run(model.ainvoke("?"))
        left = [item for item in gc.get_objects() if isinstance(item, Call)]
    finally:
        gc.enable()
    assert kinds == ["chat", "chat"]
    assert left == []
