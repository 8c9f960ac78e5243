"""`deadline=`: a call ends in time, whatever the server does, and keeps what has come."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time

import pytest

from langchain_openrouter import ChatOpenRouter, OpenRouterEmbeddings, errors
from tests.support.loopback import Reply, event, sse, stream, whole

TRICKLE = [b": keep-alive\n\n", 0.15] * 400
SPACES = [b" ", 0.15] * 400
BEGIN = sse([event({"content": "Hel"}), event({"content": "lo"})], done=False)


def ask(model, how, **kwargs):
    """Call a model in one of four ways."""

    async def astream():
        return [chunk async for chunk in model.astream("x", **kwargs)]

    return {
        "invoke": lambda: model.invoke("x", **kwargs),
        "ainvoke": lambda: asyncio.run(model.ainvoke("x", **kwargs)),
        "stream": lambda: list(model.stream("x", **kwargs)),
        "astream": lambda: asyncio.run(astream()),
    }[how]()


SLOW = {
    "no header": (lambda: Reply([])),
    "whole that trickles": lambda: Reply(SPACES),
    "stream that trickles": lambda: Reply([BEGIN, *TRICKLE], content_type="text/event-stream"),
    "stream that falls silent": lambda: Reply([BEGIN, 60], content_type="text/event-stream"),
}


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("case", SLOW)
def test_a_call_ends_when_its_deadline_has_passed(serve, model_on, case, how):
    """Bytes keep coming, so that the idle timeout never ends it."""

    def reply(_):
        if case == "no header":
            time.sleep(4)
        return SLOW[case]()

    model = model_on(serve(reply), timeout=30, deadline=0.6, max_retries=3)
    started = time.monotonic()
    with pytest.raises(errors.DeadlineError, match=r"deadline=0\.6 seconds") as caught:
        ask(model, how)

    assert time.monotonic() - started < 20  # a minute without it
    assert isinstance(caught.value, errors.ConnectionTimeoutError)
    assert not caught.value.is_retryable
    assert "raise `deadline=`" in str(caught.value)
    if case.startswith("stream") and "stream" in how:
        assert caught.value.partial.text == "Hello"
        assert caught.value.generation_id == "gen-1-abc"


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_retries_end_at_the_deadline(serve, model_on, how):
    """Neither a wait that the server asks for nor the client's own outlasts it."""
    busy = Reply({"error": {"code": 503, "message": "busy"}}, status=503)
    server = serve(busy)
    model = model_on(server, max_retries=50, deadline=1.2)
    started = time.monotonic()
    with pytest.raises(errors.OpenRouterError):
        ask(model, how)
    assert time.monotonic() - started < 20
    assert 2 <= len(server.seen) < 50

    asked = Reply(
        {"error": {"code": 429, "message": "slow"}}, status=429, headers={"retry-after": "30"}
    )
    with pytest.raises(errors.RateLimitError if how == "invoke" else errors.OpenRouterError):
        ask(model_on(serve(asked), max_retries=5, deadline=1), how)


def test_the_server_sees_at_once_that_a_stream_was_left(serve, model_on):
    """By the deadline, and by a reader who goes."""
    server = serve(Reply([BEGIN, *TRICKLE], content_type="text/event-stream"))
    with pytest.raises(errors.DeadlineError):
        list(model_on(server, deadline=0.4).stream("x"))
    assert server.hung_up.wait(3)

    server.hung_up.clear()
    for _ in model_on(server).stream("x"):
        break
    assert server.hung_up.wait(3)

    async def leave():
        async for _ in model_on(server).astream("x"):
            break

    server.hung_up.clear()
    asyncio.run(leave())
    assert server.hung_up.wait(3)


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_a_call_in_time_is_as_without_a_deadline(serve, model_on, how):
    """And connections are reused; no thread is left."""
    server = serve(lambda seen: stream("Hi") if seen.body.get("stream") else Reply(whole("Hi")))
    model = model_on(server)
    plain = ask(model, how)
    timed = ask(model, how, deadline=20)
    assert timed == plain
    for _ in range(3):
        ask(model.model_copy(update={"deadline": 20}), how)
    if how in {"invoke", "stream"}:
        assert server.connections == 1
        timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
        for timer in timers:
            timer.join(1)
            assert not timer.is_alive()


def test_a_reader_who_takes_too_long_meets_the_deadline_too(serve, model_on):
    """The time in the reader's hands counts."""
    server = serve(Reply([BEGIN, 0.3, BEGIN, 0.3, *TRICKLE], content_type="text/event-stream"))
    pieces = model_on(server, deadline=0.5).stream("x")
    next(pieces)
    time.sleep(0.6)
    with pytest.raises(errors.DeadlineError):
        list(pieces)


@pytest.mark.off_spec("a server that never answers")
def test_embeddings_and_calls_take_a_deadline(serve, model_on):
    """Bound, copied, pickled; refused when it is no amount of time."""
    server = serve(Reply(SPACES))
    embeddings = OpenRouterEmbeddings(
        model="a/b", api_key="k", base_url=server.url, deadline=0.4, max_retries=0
    )
    with pytest.raises(errors.DeadlineError):
        embeddings.embed_query("x")
    with pytest.raises(errors.DeadlineError):
        asyncio.run(embeddings.aembed_query("x"))

    model = model_on(server, deadline=5)
    assert pickle.loads(pickle.dumps(model)).deadline == 5
    with pytest.raises(errors.DeadlineError):
        model.bind(deadline=0.3).invoke("x")
    for bad in (0, -1, True, float("inf"), "3"):
        with pytest.raises(ValueError, match="deadline must be"):
            ChatOpenRouter("a/b", api_key="k", deadline=bad)
        with pytest.raises(ValueError, match="deadline must be"):
            model.deadline = bad
        with pytest.raises(ValueError, match="deadline must be"):
            model.invoke("x", deadline=bad)
