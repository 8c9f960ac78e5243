"""Faults on real sockets: cuts, resets, stalls, bodies that are no answers. Never silence."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest

from langchain_openrouter import errors
from tests.support.loopback import CUT, RESET, Reply, event, events, sse, stream, whole

pytestmark = pytest.mark.both_endpoints
MODES = ["invoke", "ainvoke", "stream", "astream"]


def run(model, mode, question="What?"):
    """Ask in one of four ways; return the text and the error, one of which is empty."""
    text = ""

    async def consume():
        nonlocal text
        async for chunk in model.astream(question):
            text += chunk.text

    try:
        if mode == "invoke":
            text = model.invoke(question).text
        elif mode == "ainvoke":
            text = asyncio.run(model.ainvoke(question)).text
        elif mode == "stream":
            for chunk in model.stream(question):
                text += chunk.text
        else:
            asyncio.run(consume())
    except errors.OpenRouterError as error:
        return text, error
    return text, None


def partial(*texts, then):
    """Return a stream that says the texts and then comes to grief."""
    said = sse([event({"content": text}) for text in texts], done=False)
    return Reply([said, 0.05, then], content_type="text/event-stream")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", [CUT, RESET])
def test_no_answer_at_all(mode, fault, serve, model_on):
    """A connection that ends before the headers is a connection error, worth a retry."""
    server = serve(Reply([fault]))
    text, error = run(model_on(server), mode)

    assert not text
    assert type(error) is errors.ConnectionFailedError
    assert error.partial is None
    assert error.is_retryable


@pytest.mark.parametrize("mode", MODES)
def test_nobody_listens(mode, model_on):
    """A refused connection is a connection error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    _, error = run(model_on(None, base_url=f"http://127.0.0.1:{port}/api/v1"), mode)

    assert type(error) is errors.ConnectionFailedError


@pytest.mark.parametrize("mode", ["stream", "astream"])
@pytest.mark.parametrize("fault", [CUT, RESET])
@pytest.mark.parametrize("texts", [(), ("Hel",), ("Hel", "lo")])
def test_stream_cut(mode, fault, texts, serve, model_on):
    """A stream cut before, during or after the first token fails with what came."""
    text, error = run(model_on(serve(partial(*texts, then=fault))), mode)

    assert text == "".join(texts)
    assert type(error) is errors.ConnectionFailedError
    assert (error.partial.text if error.partial else "") == text


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_stream_cut_inside_an_event(mode, serve, model_on):
    """Half an event is no event and no success."""
    data = sse([event({"content": "Hel"}), event({"content": "lo"})], done=False)
    reply = Reply([data[:-40], CUT], content_type="text/event-stream")
    text, error = run(model_on(serve(reply)), mode)

    assert text == "Hel"
    assert type(error) is errors.ConnectionFailedError


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_trap_22_a_stream_that_ends_early_with_a_proper_end_of_body(mode, serve, model_on):
    """No finish reason and no [DONE]: cut, though HTTP saw nothing wrong."""
    reply = Reply(sse([event({"content": "Hel"})], done=False), content_type="text/event-stream")
    text, error = run(model_on(serve(reply)), mode)

    assert text == "Hel"
    assert error.partial.text == "Hel"
    assert type(error) is errors.ConnectionFailedError


@pytest.mark.parametrize("mode", ["stream", "astream"])
@pytest.mark.parametrize("then", [None, CUT, RESET])
def test_a_finished_answer_needs_no_done(mode, then, serve, model_on):
    """After the finish reason nothing but the connection can be lost."""
    data = sse(events({"content": "Hi"}), done=False)
    reply = Reply([data, 0.05, then], content_type="text/event-stream")

    assert run(model_on(serve(reply)), mode) == ("Hi", None)


@pytest.mark.parametrize("mode", MODES)
def test_stall_before_any_byte(mode, serve, model_on):
    """Silence longer than `timeout` is a timeout."""
    started = time.monotonic()
    _, error = run(model_on(serve(Reply([60.0])), timeout=0.3), mode)

    assert type(error) is errors.ConnectionTimeoutError
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_stall_in_mid_stream(mode, serve, model_on):
    """A stall after text is a timeout that keeps the text."""
    text, error = run(model_on(serve(partial("Hel", then=8.0)), timeout=0.3), mode)

    assert text == "Hel"
    assert type(error) is errors.ConnectionTimeoutError
    assert error.partial.text == "Hel"


@pytest.mark.parametrize("mode", MODES)
def test_trap_17_any_byte_starts_the_timer_anew(mode, serve, model_on):
    """Keep-alive comments and blank lines keep a slow answer alive."""

    def reply(seen):
        if seen.body.get("stream"):
            drip = [x for _ in range(5) for x in (b": OPENROUTER PROCESSING\n\n", 0.25)]
            return Reply([*drip, sse(events({"content": "Hi"}))], content_type="text/event-stream")
        drip = [x for _ in range(5) for x in (b"\n         \n", 0.25)]
        return Reply([*drip, json.dumps(whole("Hi")).encode()])

    assert run(model_on(serve(reply), timeout=0.6), mode) == ("Hi", None)


@pytest.mark.parametrize("mode", ["invoke", "ainvoke"])
@pytest.mark.parametrize("fault", [CUT, RESET])
def test_whole_body_cut(mode, fault, serve, model_on):
    """A whole body cut in the middle fails with the text that came."""
    data = json.dumps(whole("Hello there")).encode()
    place = data.index(b" there") + 3
    _, error = run(model_on(serve(Reply([data[:place], 0.05, fault]))), mode)

    assert type(error) is errors.ConnectionFailedError
    assert error.partial.text == "Hello th"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [200, 502])
def test_html(mode, status, serve, model_on):
    """A page of HTML is an error that says so, whatever its status."""
    page = "<html><head><title>Bad gateway</title></head><body>oh</body></html>"
    _, error = run(model_on(serve(Reply(page, status=status, content_type="text/html"))), mode)

    assert type(error) is errors.UpstreamError
    assert "Bad gateway" in str(error)
    assert "<" not in str(error)
    assert error.code == (502 if status == 502 else None)
    assert error.is_retryable


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("body", ["", "\n\n", "null", "[]", '"x"', "{}", '{"choices": []}', "{"])
def test_bodies_that_are_no_answers(mode, body, serve, model_on):
    """Empty, null and odd bodies are upstream errors."""
    _, error = run(model_on(serve(Reply(body))), mode)

    assert type(error) is errors.UpstreamError
    assert str(error)


@pytest.mark.parametrize("mode", ["stream", "astream"])
@pytest.mark.parametrize(
    "data", [b"", b"data: [DONE]\n\n", b": OPENROUTER PROCESSING\n\n", b"data: {\n\n", b"{}",
             b"data: null\n\n", b"data: []\n\n", b"event: x\n\n", b'data: {"choices": []}\n\n'],
)  # fmt: skip
def test_streams_that_are_no_answers(mode, data, serve, model_on):
    """Empty streams and malformed events end in an error, never in silence."""
    text, error = run(model_on(serve(Reply(data, content_type="text/event-stream"))), mode)

    assert not text
    assert isinstance(error, errors.UpstreamError | errors.ConnectionFailedError)


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_malformed_event_in_mid_stream(mode, serve, model_on):
    """An event that cannot be read fails with what came before it."""
    data = sse([event({"content": "Hel"})], done=False) + b'data: {"cho\n\n'
    text, error = run(model_on(serve(Reply(data, content_type="text/event-stream"))), mode)

    assert text == "Hel"
    assert type(error) is errors.UpstreamError
    assert error.partial.text == "Hel"


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_a_whole_answer_where_a_stream_was_asked(mode, serve, model_on):
    """JSON in place of a stream is read as the answer it is."""
    assert run(model_on(serve(Reply(whole("Hi")))), mode) == ("Hi", None)


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_stall_after_done(mode, serve, model_on):
    """A body that does not end after [DONE] costs nothing of the answer."""
    data = sse(events({"content": "Hi"}))
    server = serve(Reply([data, 8.0], content_type="text/event-stream"))

    assert run(model_on(server, timeout=0.5), mode) == ("Hi", None)


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_leaving_a_stream_closes_it(mode, serve, model_on):
    """A reader who leaves hangs up, so that the service can stop generating."""
    items = [x for _ in range(200) for x in (sse([event({"content": "x"})], done=False), 0.02)]
    server = serve(Reply(items, content_type="text/event-stream"))
    model = model_on(server)

    async def leave():
        async for _ in model.astream("What?"):
            break

    if mode == "stream":
        next(iter(model.stream("What?")))
    else:
        asyncio.run(leave())
    assert server.hung_up.wait(3)


def in_forms(status, error):
    """Return every form in which the service tells one error."""
    mid = event({"content": ""}, choice={"finish_reason": "error"}, error=error)
    in_choice = whole("Hel", choice={"finish_reason": "error", "error": error})
    chunk = event({"content": ""}, choice={"finish_reason": "error", "error": error})
    hello = event({"content": "Hel"})
    sse_type = "text/event-stream"
    return {
        "status": Reply({"error": error, "user_id": "u"}, status=status),
        "status, as a string code": Reply({"error": {**error, "code": str(status)}}, status=status),
        "status, no code": Reply(
            {"error": {k: v for k, v in error.items() if k != "code"}}, status=status
        ),
        "http_status": Reply(
            {"error": {"http_status": status, **{k: v for k, v in error.items() if k != "code"}}},
        ),
        "200": Reply({"error": error}),
        "choice": Reply(in_choice),
        "event": Reply(sse([hello, mid]), content_type=sse_type),
        "event, no choices": Reply(
            sse([hello, {"error": error, "choices": []}]), content_type=sse_type
        ),
        "event, error alone": Reply(sse([hello, {"error": error}]), content_type=sse_type),
        "event, in the choice": Reply(sse([hello, chunk]), content_type=sse_type),
    }


DOCUMENTED = [
    (400, "invalid_request", errors.InvalidRequestError, False),
    (400, "context_length_exceeded", errors.ContextOverflowError, False),
    (400, "content_policy_violation", errors.InvalidRequestError, False),
    (401, "authentication", errors.AuthenticationError, False),
    (402, "payment_required", errors.InsufficientCreditsError, False),
    (403, "permission_denied", errors.PermissionDeniedError, False),
    (404, "not_found", errors.ModelUnavailableError, False),
    (408, None, errors.RequestTimeoutError, True),
    (409, None, errors.InvalidRequestError, False),
    (412, "precondition_failed", errors.InvalidRequestError, False),
    (413, "payload_too_large", errors.InvalidRequestError, False),
    (422, "unprocessable", errors.InvalidRequestError, False),
    (429, "rate_limit_exceeded", errors.RateLimitError, True),
    (500, "server", errors.UpstreamError, True),
    (502, "provider_unavailable", errors.UpstreamError, True),
    (503, "provider_overloaded", errors.UpstreamError, True),
    (504, "timeout", errors.RequestTimeoutError, True),
    (524, None, errors.RequestTimeoutError, True),
    (529, None, errors.UpstreamError, True),
]


@pytest.mark.parametrize("form", in_forms(400, {}))
@pytest.mark.parametrize(("status", "kind", "expected", "retryable"), DOCUMENTED)
def test_documented_errors_in_each_form(
    status, kind, expected, retryable, form, endpoint, serve, model_on
):
    """Each documented error is the same exception in whatever form it comes."""
    if endpoint == "responses" and kind is None and form != "status":
        pytest.skip("none of the four codes says it, and there is no type")
    error = {"code": status, "message": "It went wrong"}
    if kind:
        error["metadata"] = {"error_type": kind, "provider_name": "Acme"}
    server = serve(in_forms(status, error)[form])
    for mode in ["stream", "astream"] if form.startswith("event") else MODES:
        text, got = run(model_on(server), mode)
        assert type(got) is expected, mode
        assert got.code == status
        assert "It went wrong" in str(got)
        assert got.error_type == kind
        assert got.is_retryable is retryable
        if form.startswith("event") or form == "choice":
            assert got.partial.text == "Hel"
        if form.startswith("event"):
            assert text == "Hel"
            assert got.generation_id == "gen-1-abc"


@pytest.mark.parametrize("mode", MODES)
def test_retries_then_succeeds(mode, serve, model_on):
    """408, 429, 5xx and dropped connections are tried again; the answer is the last one's."""

    def reply(seen):
        if len(server.seen) == 1:
            return Reply([RESET])
        if len(server.seen) == 2:
            return Reply({"error": {"code": 503, "message": "x"}}, status=503,
                         headers={"retry-after": "0"})  # fmt: skip
        return stream("Hi") if seen.body.get("stream") else Reply(whole("Hi"))

    server = serve(reply)

    assert run(model_on(server, max_retries=2), mode) == ("Hi", None)
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422])
def test_what_cannot_succeed_is_not_tried_again(status, serve, model_on):
    """A wrong request stays wrong; 409 too."""
    server = serve(Reply({"error": {"code": status, "message": "x"}}, status=status))
    _, error = run(model_on(server, max_retries=3), "invoke")

    assert error.code == status
    assert len(server.seen) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("status", "retryable"), [(503, False), (404, True)])
def test_availability_decides(mode, status, retryable, serve, model_on):
    """`availability.retryable` beats the status, for our retries and for the caller's."""
    error = {"error_type": "no_endpoints", "http_status": status, "message": "none",
             "availability": {"code": "no_endpoints", "retryable": retryable,
                              "retry_after": 0.01}}  # fmt: skip
    server = serve(Reply({"error": error}, status=status))
    _, got = run(model_on(server, max_retries=1), mode)

    assert type(got) is errors.ModelUnavailableError
    assert got.is_retryable is retryable
    assert got.retry_after == 0.01
    assert len(server.seen) == (2 if retryable else 1)


@pytest.mark.parametrize("mode", MODES)
def test_retry_after_is_obeyed(mode, serve, model_on):
    """The service's wait is waited, and a wait beyond 60 s is handed to the caller at once."""

    def reply(seen):
        wait = "0.4" if len(server.seen) == 1 else "61"
        return Reply({"error": {"code": 429, "message": "slow"}}, status=429,
                     headers={"Retry-After": wait})  # fmt: skip

    server = serve(reply)
    started = time.monotonic()
    _, error = run(model_on(server, max_retries=2), mode)

    assert 0.4 <= time.monotonic() - started < 30
    assert error.retry_after == 61
    assert "wait 61 s" in str(error)
    assert len(server.seen) == 2


def test_a_redirect_is_not_followed(serve, model_on):
    """A prompt and a key go nowhere but where they were sent."""
    elsewhere = serve(Reply(whole()))
    reply = Reply("", status=307, headers={"location": f"{elsewhere.url}/chat/completions"})
    _, error = run(model_on(serve(reply)), "invoke")

    assert isinstance(error, errors.UpstreamError)
    assert not error.is_retryable
    assert not elsewhere.seen
