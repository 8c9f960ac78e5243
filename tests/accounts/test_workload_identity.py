"""A workload's JWT is exchanged once however many calls race, and renewed before it ends."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import os
import pickle
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_openrouter import ChatOpenRouter, OpenRouterEmbeddings, as_user, current_user, errors
from langchain_openrouter.accounts import Accounts, ManagementKey, WorkloadIdentity
from langchain_openrouter.oauth import UserKey
from langchain_openrouter.testing.emulator._federation import OAuthRefusal
from tests.support.accounts import BOTH
from tests.support.loopback import CUT, Reply

pytestmark = pytest.mark.off_spec("a token exchange is no chat request")


@pytest.fixture
def emulator(emulate):
    """An emulator with a policy."""
    made = emulate(any_key=False)
    made.policy = made.federation.add_policy(subject="svc", policy_id="fedp_1")
    return made


def identity(emulator, token=None, **options):
    """Make a key source of an emulator."""
    token = token or (lambda: emulator.federation.make_jwt(sub="svc"))
    defaults = {"federation_policy_id": "fedp_1", "base_url": emulator.url, "max_retries": 0}
    return WorkloadIdentity(token, **{**defaults, **options})


def token(how, source):
    """Return a token, as a string."""
    result = source() if how == "sync" else asyncio.run(source.aget())
    return result.get_secret_value()


def exchanges(emulator):
    """Return the exchanges that were requested."""
    return [request for request in emulator.requests if request.path == "/oauth/token"]


@pytest.fixture
def clocks(emulator, monkeypatch):
    """Move the clocks of the emulator and of this process on."""
    moved = [0.0]
    monotonic, wall = time.monotonic, time.time

    def advance(seconds, *, suspended=False):
        moved[0] += seconds
        emulator.clock.advance(seconds)
        base = "langchain_openrouter.accounts._workload_identity.time"
        monkeypatch.setattr(f"{base}.time", lambda: wall() + moved[0])
        if not suspended:
            monkeypatch.setattr(f"{base}.monotonic", lambda: monotonic() + moved[0])
        # the emulator's source is the clock that was patched
        emulator.clock._source = wall

    return advance


@BOTH
def test_models_of_all_kinds_use_one_token(emulator, how):
    """Chat, embeddings and a user's run, from threads and tasks: one exchange."""
    source = identity(emulator)
    chat = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url, api_key=source)
    vectors = OpenRouterEmbeddings(
        model="openai/text-embedding-3-small", base_url=emulator.url, api_key=source
    )
    current = chat.model_copy(update={"api_key": current_user})

    async def run():
        await asyncio.gather(chat.abatch(["hi"] * 20), vectors.aembed_query("x"))
        async with as_user(source):
            await current.ainvoke("hi")

    if how == "async":
        asyncio.run(run())
    else:
        chat.batch(["hi"] * 20, config={"max_concurrency": 20})
        vectors.embed_query("x")
        with as_user(source):
            current.invoke("hi")
    assert len(exchanges(emulator)) == 1
    assert emulator.policy.key.usage > 0
    form = exchanges(emulator)[0].raw.decode()
    assert "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange" in form
    assert "scope" not in form
    assert "authorization" not in exchanges(emulator)[0].headers


def test_threads_and_event_loops_race_for_one_exchange(emulator):
    """Forty threads, twenty of them with a loop of their own."""
    real = emulator.federation.exchange

    def slow(body):
        time.sleep(0.2)
        return real(body)

    emulator.federation.exchange = slow
    source = identity(emulator)
    with ThreadPoolExecutor(40) as pool:
        made = set(pool.map(lambda n: token(("sync", "async")[n % 2], source), range(40)))

    assert len(made) == 1
    assert len(exchanges(emulator)) == 1


@BOTH
def test_a_failed_exchange_fails_all_who_wait_and_is_not_cached(emulator, how):
    """One request; the next call tries again."""
    emulator.federation.refusals = [OAuthRefusal(400, "invalid_grant", "not now")]
    real = emulator.federation.exchange

    def slow(body):
        time.sleep(0.3)
        return real(body)

    emulator.federation.exchange = slow
    source = identity(emulator)
    barrier = threading.Barrier(10)

    def get(_):
        barrier.wait()
        with pytest.raises(errors.AuthenticationError, match="invalid_grant: not now") as caught:
            token(how, source)
        return caught.value

    with ThreadPoolExecutor(10) as pool:
        raised = list(pool.map(get, range(10)))
    assert len(exchanges(emulator)) == 1
    assert len({id(error) for error in raised}) == 10
    assert token(how, source)
    assert len(exchanges(emulator)) == 2


@BOTH
def test_a_token_is_renewed_before_it_ends(emulator, clocks, how):
    """By the call that needs it; the file is read again."""
    source = identity(emulator)
    first = token(how, source)
    clocks(800)
    assert token(how, source) == first
    clocks(50)
    second = token(how, source)
    assert second != first
    assert token(how, source) == second
    assert len(exchanges(emulator)) == 2


@BOTH
def test_a_suspended_machine_does_not_send_a_dead_token(emulator, clocks, how):
    """One clock stops while it sleeps, the other does not."""
    source = identity(emulator)
    first = token(how, source)
    clocks(3000, suspended=True)

    assert token(how, source) != first


@BOTH
def test_a_short_token_is_renewed_in_proportion(emulator, clocks, how):
    """A JWT that ends soon gives a token that ends with it."""
    source = identity(emulator, lambda: emulator.federation.make_jwt(sub="svc", lifetime=100))
    first = token(how, source)
    clocks(70)
    assert token(how, source) == first
    clocks(15)
    assert token(how, source) != first


@BOTH
def test_a_renewal_that_fails_is_no_error_while_the_token_works(emulator, clocks, how):
    """And is not tried at each call; when it has ended, it is one."""
    source = identity(emulator)
    first = token(how, source)
    clocks(850)
    emulator.federation.refusals = [OAuthRefusal(503, "temporarily_unavailable", "x")] * 99

    assert {token(how, source) for _ in range(5)} == {first}
    assert len(exchanges(emulator)) == 2
    clocks(60)
    with pytest.raises(errors.UpstreamError):
        token(how, source)
    emulator.federation.refusals = []
    assert token(how, source) != first


@BOTH
def test_an_expired_token_is_refused_by_the_emulator(emulator, how):
    """So that a test of renewal would notice."""
    source = identity(emulator)
    model = ChatOpenRouter(
        model="openai/gpt-4o-mini", base_url=emulator.url, api_key=source, max_retries=0
    )
    model.invoke("hi")
    emulator.clock.advance(901)

    with pytest.raises(errors.AuthenticationError, match="expired"):
        model.invoke("hi") if how == "sync" else asyncio.run(model.ainvoke("hi"))


@BOTH
def test_a_file_is_read_at_each_exchange(emulator, tmp_path, clocks, how):
    """What replaces the JWT there is used; where there is none, the error names the path."""
    path = tmp_path / "jwt"
    source = identity(emulator, path)
    with pytest.raises(errors.AuthenticationError, match=str(path)):
        token(how, source)
    path.write_text("")
    with pytest.raises(errors.AuthenticationError, match="empty"):
        token(how, source)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(errors.AuthenticationError, match="no text"):
        token(how, source)

    path.write_text(emulator.federation.make_jwt(sub="other"))
    with pytest.raises(errors.AuthenticationError, match="was not accepted"):
        token(how, source)
    path.write_text(emulator.federation.make_jwt(sub="svc") + "\n")
    assert token(how, source)


def test_an_async_source_serves_async_calls(emulator):
    """And says so in sync ones."""

    async def read():
        return emulator.federation.make_jwt(sub="svc")

    source = identity(emulator, read)
    assert token("async", source)
    chat = ChatOpenRouter(
        model="openai/gpt-4o-mini", base_url=emulator.url, api_key=identity(emulator, read)
    )
    assert asyncio.run(chat.ainvoke("hi")).text
    with pytest.raises(errors.AuthenticationError, match="async"):
        identity(emulator, read)()


KINDS = {
    "invalid_request": (400, errors.InvalidRequestError),
    "unsupported_grant_type": (400, errors.InvalidRequestError),
    "invalid_scope": (400, errors.InvalidRequestError),
    "invalid_grant": (400, errors.AuthenticationError),
    "too large": (413, errors.InvalidRequestError),
    "too many": (429, errors.RateLimitError),
    "temporarily_unavailable": (503, errors.UpstreamError),
}


@pytest.mark.parametrize("name", KINDS)
@BOTH
def test_errors_of_rfc_6749_are_the_errors_of_their_kind(emulator, name, how):
    """With the service's code and words."""
    status, kind = KINDS[name]
    code = name if "_" in name else "invalid_request"
    headers = {"retry-after": "7"} if status == 429 else {}
    emulator.federation.refusals = [OAuthRefusal(status, code, "in words", headers=headers)]

    with pytest.raises(kind, match="in words") as caught:
        token(how, identity(emulator))
    assert (caught.value.code, caught.value.error_type) == (status, code)
    assert caught.value.retry_after == (7 if status == 429 else None)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"federation_policy_id": "fedp_none"}, "invalid_grant"),
        ({"scope": "admin"}, "invalid_scope"),
    ],
)
def test_the_emulator_refuses_what_the_service_does(emulator, options, code):
    """Policies, scopes, audiences, times."""
    with pytest.raises(errors.ResponseError, match=code):
        identity(emulator, **options)()
    assert identity(emulator, scope="inference")()
    for claims in ({"aud": "x"}, {"sub": "x"}, {"lifetime": -1}):
        jwt = emulator.federation.make_jwt(**{"sub": "svc", **claims})
        with pytest.raises(errors.AuthenticationError):
            identity(emulator, lambda jwt=jwt: jwt)()
    with pytest.raises(errors.InvalidRequestError, match="not a JWT"):
        identity(emulator, lambda: "no.jwt")()
    emulator.policy.enabled = False
    with pytest.raises(errors.AuthenticationError):
        identity(emulator)()


@BOTH
def test_what_may_pass_is_tried_again(emulator, how):
    """503 and 429, with the wait that was asked for; a bad JWT is not."""
    emulator.federation.refusals = [
        OAuthRefusal(503, "temporarily_unavailable", "x", headers={"retry-after": "0"}),
        OAuthRefusal(429, "invalid_request", "x", headers={"retry-after": "0"}),
    ]
    assert token(how, identity(emulator, max_retries=2))
    assert len(exchanges(emulator)) == 3

    emulator.federation.refusals = [OAuthRefusal(400, "invalid_grant", "x")] * 3
    with pytest.raises(errors.AuthenticationError):
        token(how, identity(emulator, max_retries=2))
    assert len(exchanges(emulator)) == 4


JUNK = {
    "nothing": Reply(b""),
    "a page": Reply("<html>", content_type="text/html"),
    "a list": Reply("[]"),
    "no token": Reply({}),
    "a number": Reply({"access_token": 5}),
    "line end": Reply({"access_token": "a\nb"}),
    "not a bearer": Reply({"access_token": "abc", "token_type": "mac"}),
    "cut": Reply([b'{"access', CUT]),
    "error in a 200": Reply({"error": "invalid_grant"}),
}


@pytest.mark.parametrize("junk", JUNK)
@BOTH
def test_what_is_no_token_is_an_error(serve, junk, how):
    """Of this package; the JWT is in no message."""
    server = serve(lambda _: JUNK[junk])
    source = identity(server, lambda: "eyJsecret.jwt.text")

    with pytest.raises(errors.OpenRouterError) as caught:
        token(how, source)
    assert "eyJsecret" not in str(caught.value)


@pytest.mark.parametrize("life", [None, -5, 0, 1, "x", 1e308, True])
def test_odd_lifetimes_are_bounded(serve, life):
    """Never longer than the service's maximum."""
    body = {"access_token": "sk-or-v1-t", "expires_in": life}
    server = serve(lambda _: Reply(body))
    source = identity(server, lambda: "eyJ.a.b")

    assert token("sync", source) == "sk-or-v1-t"
    assert source._token.life <= 900


@BOTH
def test_no_secret_shows(serve, how, caplog):
    """In reprs, logs, messages, frames and pickles."""
    caplog.set_level(logging.DEBUG)
    jwt, access = "eyJsecretjwt." + "a" * 30 + ".x", "accesstoken" + "b" * 30
    replies = [
        Reply({"access_token": access, "expires_in": 900}),
        Reply({"error": "invalid_grant", "error_description": f"bad {jwt}"}, 400),
    ]
    server = serve(lambda _: replies.pop(0))
    source = identity(server, lambda: jwt)
    token(how, source)
    shown = repr(source) + repr(source._token) + str(vars(source)) + repr(copy.deepcopy(source))

    source._token = None
    with pytest.raises(errors.AuthenticationError) as caught:
        token(how, source)
    shown += str(caught.value) + repr(caught.value.metadata) + caplog.text
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown += "".join(line for line in report.format() if "test_workload" not in line)
    assert "eyJsecretjwt" not in shown
    assert access not in shown


def test_pickles_hold_the_arguments_alone(emulator, tmp_path):
    """For a process pool: the other end makes an exchange of its own."""
    path = tmp_path / "jwt"
    path.write_text(emulator.federation.make_jwt(sub="svc"))
    source = identity(emulator, path)
    access = token("sync", source)
    pickled = pickle.dumps(source)

    assert access.encode() not in pickled
    assert token("sync", pickle.loads(pickled)) != access


def test_a_canceled_call_does_not_fail_those_who_wait(emulator):
    """The exchange goes on."""
    real = emulator.federation.exchange

    def slow(body):
        time.sleep(0.3)
        return real(body)

    emulator.federation.exchange = slow
    source = identity(emulator)

    async def run():
        first = asyncio.create_task(source.aget())
        await asyncio.sleep(0.1)
        second = asyncio.create_task(source.aget())
        await asyncio.sleep(0.05)
        first.cancel()
        return await second

    assert asyncio.run(run()).get_secret_value()
    assert len(exchanges(emulator)) == 1
    gc.collect()


def test_a_loop_that_ends_amid_an_exchange_does_not_block_others(emulator):
    """Who waits in another thread takes over."""
    release = threading.Event()
    entered = threading.Event()

    async def read():
        entered.set()
        while not release.is_set():  # noqa: ASYNC110 - it is set by another thread
            await asyncio.sleep(0.01)
        return emulator.federation.make_jwt(sub="svc")

    source = identity(emulator, read)

    async def abandon():
        task = asyncio.create_task(source.aget())
        await asyncio.to_thread(entered.wait, 5)
        task.cancel()

    with ThreadPoolExecutor(2) as pool:
        ended = pool.submit(asyncio.run, abandon())
        entered.wait(5)
        waiting = pool.submit(asyncio.run, source.aget())
        ended.result(10)
        release.set()
        assert waiting.result(10).get_secret_value()


@BOTH
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_loop_that_stopped_amid_an_exchange_and_stays_open_is_not_waited_for(
    emulator, how, elsewhere
):
    """In its thread, and in another; it ends when the loop goes on."""
    resumed = threading.Event()
    entered = threading.Event()

    async def read():
        entered.set()
        while not resumed.is_set():  # noqa: ASYNC110 - it is set by another thread
            await asyncio.sleep(0.01)
        return emulator.federation.make_jwt(sub="svc")

    def read_both():
        first = not entered.is_set()
        return read() if first else emulator.federation.make_jwt(sub="svc")

    source = identity(emulator, read_both)
    loop = asyncio.new_event_loop()
    task = loop.create_task(source.aget())
    loop.run_until_complete(asyncio.sleep(0.05))
    assert entered.is_set()

    if elsewhere:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(token, how, source).result(10)
    else:
        assert token(how, source)
    resumed.set()
    assert loop.run_until_complete(task).get_secret_value()
    loop.close()


def test_who_waits_already_notices_that_the_loop_stops(emulator):
    """Within a second, not two minutes."""
    entered = threading.Event()

    async def read():
        entered.set()
        await asyncio.sleep(60)

    def read_both():
        first = not entered.is_set()
        return read() if first else emulator.federation.make_jwt(sub="svc")

    source = identity(emulator, read_both)
    loop = asyncio.new_event_loop()
    task = loop.create_task(source.aget())
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(loop.run_until_complete, asyncio.sleep(0.3))
        assert entered.wait(5)
        assert token("sync", source)
        stopped.result(10)
    task.cancel()
    for inner in asyncio.all_tasks(loop):
        inner.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()


@pytest.mark.parametrize(
    "secret", ["sk-or-v1-secret", "\neyJsecret.b.c", "Bearer eyJsecret.b.c", " sk-or-v1-secret\n"]
)
def test_a_secret_is_no_path(emulator, secret):
    """It is in no message, and nothing is made that could be pickled."""
    with pytest.raises(ValueError, match="no secret") as caught:
        identity(emulator, secret)
    assert "secret.b" not in str(caught.value)
    assert "v1-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [ManagementKey("mgmt-1"), UserKey("user-1"), UserKey("user-1").secret, "sk-or-v1-user"],
    ids=["management key", "user key", "user secret", "text"],
)
@BOTH
def test_an_api_key_is_not_exchanged(emulator, how, key):
    """Nothing is sent."""
    with pytest.raises(errors.AuthenticationError, match="API key"):
        token(how, identity(emulator, lambda: key))
    assert not exchanges(emulator)


def test_a_sync_call_inside_the_loop_of_an_exchange_does_not_deadlock(emulator):
    """It makes one of its own."""
    source = identity(emulator)

    async def run():
        task = asyncio.create_task(source.aget())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return source().get_secret_value(), (await task).get_secret_value()

    assert all(asyncio.run(run()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_amid_an_exchange_does_not_wait_for_its_parent(emulator):
    """The child makes its own."""
    entered, release = threading.Event(), threading.Event()

    def read():
        if os.getpid() == parent:
            entered.set()
            release.wait(10)
        return emulator.federation.make_jwt(sub="svc")

    parent = os.getpid()
    source = identity(emulator, read)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(source)
        entered.wait(5)
        child = os.fork()
        if child == 0:
            turn = source._begin(is_async=False)
            os._exit(0 if turn.is_leader else 1)
        assert os.waitpid(child, 0)[1] == 0
        release.set()
        assert made.result(10)


def test_wrong_arguments_are_refused_without_quoting_them(emulator):
    """A JWT in place of its path, and no policy."""
    with pytest.raises(ValueError, match="never renewed") as caught:
        identity(emulator, "eyJsecret.b.c")
    assert "eyJsecret" not in str(caught.value)
    with pytest.raises(ValueError, match="federation_policy_id"):
        identity(emulator, "/jwt", federation_policy_id=" ")
    with pytest.raises(ValueError, match="https"):
        identity(emulator, "/jwt", base_url="http://example.org")


def test_an_access_token_is_for_inference_at_its_own_service(emulator, emulate):
    """The management API and other services are not sent it."""
    source, other = identity(emulator), emulate()

    with pytest.raises(errors.AuthenticationError, match="inference"):
        Accounts(management_key=source, base_url=emulator.url).credits()
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=other.url, api_key=source)
    with pytest.raises(errors.AuthenticationError, match="would be sent to"):
        model.invoke("hi")
    assert not other.requests


def test_the_environment_says_where_the_exchange_is(emulator, monkeypatch):
    """At the time of the exchange."""
    source = identity(emulator, base_url=None)
    monkeypatch.setenv("OPENROUTER_BASE_URL", emulator.url)

    assert token("sync", source)
