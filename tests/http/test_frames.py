"""However a call ends, no frame of its traceback holds the key, the code or the verifier."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import traceback

import httpx2
import pytest

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    OpenRouterRerank,
    PKCELogin,
    UserKey,
    errors,
)
from langchain_openrouter.catalog import Catalog
from tests.support.loopback import Reply, event, sse, whole

KEY = "sentinel-key-of-no-usual-form-0123456789"
CODE = "sentinel-code-0123456789"
VERIFIER = "sentinel-verifier-" + "0" * 40

pytestmark = pytest.mark.off_spec("a server that never answers")


def marks_in_traceback(error):
    """Return every local of every frame of the exception and its causes that shows a secret."""
    shown, seen, pending = [], set(), [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        shown += [str(current), repr(vars(current))]
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if frame.f_code.co_filename == __file__:
                continue  # this test knows the secrets
            for name, value in frame.f_locals.items():
                shown.append(f"{frame.f_code.co_filename}:{name}={value!r}={everything(value)}")
        pending += [current.__cause__, current.__context__]
    return [text[:200] for text in shown if "sentinel" in text]


def everything(value, depth=3):  # noqa: PLR0911 - one for each kind of value
    """Return what an error reporter that follows attributes would save, secrets masked by type."""
    if depth == 0 or isinstance(value, str | bytes | int | float | type(None)):
        return repr(value)
    if isinstance(value, dict):
        return [(key, everything(item, depth - 1)) for key, item in list(value.items())[:50]]
    if isinstance(value, list | tuple | set):
        return [everything(item, depth - 1) for item in list(value)[:50]]
    if isinstance(value, httpx2.Request):
        return [(name, item) for name, item in value.headers.raw], repr(value.content[:500])
    if isinstance(value, httpx2.Response):
        return everything(value.request, depth - 1)
    if type(value).__name__ == "SecretStr":
        return "**********"
    return {
        name: everything(item, depth - 1) for name, item in getattr(value, "__dict__", {}).items()
    }


def silent(serve, first=b""):
    """Serve what begins to answer, if that, and then says nothing."""
    return serve(Reply([first, 30.0] if first else [30.0], content_type="text/event-stream"))


def clients(url):
    """Return every public call that carries a key."""
    model = ChatOpenRouter(model="a/b", api_key=KEY, base_url=url, max_retries=0)
    embeddings = OpenRouterEmbeddings(model="a/b", api_key=KEY, base_url=url, max_retries=0)
    rerank = OpenRouterRerank(model="a/b", api_key=KEY, base_url=url, max_retries=0)
    catalog = Catalog(api_key=KEY, base_url=url, max_retries=0)
    key = UserKey(KEY, base_url=url)
    login = PKCELogin(VERIFIER, "nonce", "http://localhost:9/cb", base_url=url)

    async def astream():
        return [chunk async for chunk in model.astream("x")]

    return {
        "invoke": (lambda: model.invoke("x"), lambda: model.ainvoke("x")),
        "stream": (lambda: list(model.stream("x")), astream),
        "embed": (lambda: embeddings.embed_query("x"), lambda: embeddings.aembed_query("x")),
        "rerank": (lambda: rerank.rerank("x", ["y"]), lambda: rerank.arerank("x", ["y"])),
        "catalog": (catalog.user_models, catalog.auser_models),
        "info": (key.info, key.ainfo),
        "redeem": (
            lambda: login.redeem(f"http://localhost:9/cb/nonce?code={CODE}"),
            lambda: login.aredeem(f"http://localhost:9/cb/nonce?code={CODE}"),
        ),
        "settle": (
            lambda: login.settle(f"http://localhost:9/cb/nonce?code={CODE}"),
            lambda: login.asettle(f"http://localhost:9/cb/nonce?code={CODE}"),
        ),
    }


CALLS = sorted(clients("http://127.0.0.1:9"))


@pytest.mark.parametrize("streamed", [False, True], ids=["no byte", "mid-stream"])
@pytest.mark.parametrize("name", CALLS)
def test_a_cancelled_call_leaves_no_secret_in_frames(serve, name, streamed):
    """`asyncio.timeout` around any call, before the first byte and in the middle of a stream."""
    url = silent(serve, sse([event({"content": "Hi"})], done=False) if streamed else b"").url
    _, call = clients(url)[name]

    async def run():
        async with asyncio.timeout(0.5):
            await call()

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(run())

    assert not marks_in_traceback(caught.value)


class Interrupt(BaseException):
    """Raised from a signal handler, as KeyboardInterrupt is."""


@pytest.mark.parametrize("streamed", [False, True], ids=["no byte", "mid-stream"])
@pytest.mark.parametrize("name", CALLS)
def test_an_exception_from_a_signal_handler_leaves_no_secret_in_frames(serve, name, streamed):
    """Ctrl-C, or the worker timeout of a web server, in the middle of any sync call."""
    url = silent(serve, sse([event({"content": "Hi"})], done=False) if streamed else b"").url
    call, _ = clients(url)[name]

    def interrupt(*_):
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Interrupt) as caught:
            call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert not marks_in_traceback(caught.value)


BROKEN = {
    "proxy scheme": {"HTTPS_PROXY": "gopher://127.0.0.1:1", "HTTP_PROXY": "gopher://127.0.0.1:1"},
    "proxy address": {"HTTPS_PROXY": "http://[sentinel", "HTTP_PROXY": "http://[sentinel"},
    "dead proxy": {"HTTPS_PROXY": "http://u:sentinel@127.0.0.1:1", "HTTP_PROXY": "http://u:sentinel@127.0.0.1:1"},
    "certificate": {"SSL_CERT_FILE": "/nonexistent/sentinel.pem"},
}  # fmt: skip


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("variable", BROKEN)
@pytest.mark.parametrize(
    "name", [name for name in CALLS if name not in {"redeem", "settle", "info"}]
)
def test_a_broken_proxy_or_certificate_variable_is_a_typed_error(monkeypatch, variable, name, how):
    """It says what is broken, quotes no password, and leaves no secret in frames."""
    monkeypatch.setenv("NO_PROXY", "")
    for env, value in BROKEN[variable].items():
        monkeypatch.setenv(env, value)
    call, acall = clients("http://localhost:9")[name]

    with pytest.raises(errors.ConnectionFailedError) as caught:
        call() if how == "sync" else asyncio.run(acall())

    assert not marks_in_traceback(caught.value)
    expected = "certificates" if variable == "certificate" else "proxy"
    assert expected in str(caught.value)


def test_the_exception_that_was_being_handled_keeps_its_traceback(serve):
    """What is stripped is ours alone: the caller's own context stays readable."""
    server = serve(Reply({"error": {"code": 500, "message": "x"}}, 500))
    model = ChatOpenRouter(model="a/b", api_key=KEY, base_url=server.url, max_retries=0)

    def fail():
        msg = "the caller's own"
        raise LookupError(msg)

    try:
        fail()
    except LookupError as own:
        with pytest.raises(errors.UpstreamError):
            model.invoke("x")
        frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(own.__traceback__)]

    assert "fail" in frames


def test_frames_of_the_caller_stay_in_the_traceback(serve):
    """So that a failure can be found in the user's program."""
    server = serve(Reply([30.0]))
    model = ChatOpenRouter(
        model="a/b", api_key=KEY, base_url=server.url, timeout=0.2, max_retries=0
    )

    with pytest.raises(errors.ConnectionTimeoutError) as caught:
        model.invoke("x")

    names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert names[0] == "test_frames_of_the_caller_stay_in_the_traceback"
    assert "invoke" in names


def test_a_consumer_that_fails_in_mid_stream_sees_no_secret(serve):
    """The frames of a generator that is still open hold none either."""
    server = serve(
        Reply(sse([event({"content": "Hi"})], done=False), content_type="text/event-stream")
    )
    model = ChatOpenRouter(model="a/b", api_key=KEY, base_url=server.url)
    chunks = model.stream("x")
    next(chunks)

    shown = []
    frame_owner = chunks
    while frame_owner is not None and getattr(frame_owner, "gi_frame", None) is not None:
        shown += [repr(v) + str(everything(v)) for v in frame_owner.gi_frame.f_locals.values()]
        frame_owner = frame_owner.gi_yieldfrom
    with contextlib.suppress(errors.OpenRouterError):
        list(chunks)

    assert shown
    assert "sentinel" not in "".join(shown)


def test_the_key_that_was_sent_is_masked_whatever_it_looks_like(serve):
    """In messages, details and causes, of whole and streamed errors."""
    quoted = {
        "code": 402,
        "message": f"no credit for {KEY}",
        "metadata": {"raw": f"x {KEY}", KEY: [KEY], "provider_name": KEY},
    }
    replies = [
        Reply({"error": quoted}, 402),
        Reply({"error": quoted}),
        Reply(sse([event({"content": "Hi"}), {"error": quoted, "choices": []}]), content_type="text/event-stream"),
    ]  # fmt: skip
    for reply in replies:
        model = ChatOpenRouter(model="a/b", api_key=KEY, base_url=serve(reply).url, max_retries=0)
        for call in (lambda: model.invoke("x"), lambda: list(model.stream("x"))):  # noqa: B023
            with pytest.raises(errors.OpenRouterError) as caught:
                call()
            error = caught.value
            assert "sentinel" not in f"{error} {error.args} {vars(error)}"
            assert "[key]" in str(error)


def test_a_thread_that_ends_during_a_call_is_no_leak(serve):
    """A call in a thread leaves nothing behind in the thread's own exception hook."""
    server = serve(Reply({"error": {"code": 401, "message": f"{KEY} is disabled"}}, 401))
    model = ChatOpenRouter(model="a/b", api_key=KEY, base_url=server.url, max_retries=0)
    hooked = []
    before, threading.excepthook = threading.excepthook, lambda args: hooked.append(args.exc_value)
    try:
        thread = threading.Thread(target=model.invoke, args=("x",))
        thread.start()
        thread.join(10)
    finally:
        threading.excepthook = before

    assert len(hooked) == 1
    assert not marks_in_traceback(hooked[0])


def test_a_whole_answer_is_unharmed(serve):
    """Stripping changes nothing of a call that succeeds."""
    server = serve(Reply(whole("fine")))
    model = ChatOpenRouter(model="a/b", api_key=KEY, base_url=server.url)

    assert model.invoke("x").content == "fine"
    assert server.seen[0].key == KEY
