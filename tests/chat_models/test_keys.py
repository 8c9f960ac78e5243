"""Keys, users and processes: traps 1 to 10, live on loopback."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps, loads
from langchain_core.runnables import ConfigurableField
from pydantic import SecretStr, ValidationError

from langchain_openrouter import ChatOpenRouter, errors
from tests.support.loopback import KEY, RESET, Reply, stream, whole
from tests.support.package_files import PACKAGE

A, B = "sk-or-v1-key-of-a", "sk-or-v1-key-of-b"


def echo(seen):
    """Answer with the key that was sent."""
    return stream(seen.key) if seen.body.get("stream") else Reply(whole(seen.key))


def ask_all_ways(model):
    """Return the keys that four ways of asking send."""

    async def both():
        return [
            (await model.ainvoke("x")).text,
            "".join([chunk.text async for chunk in model.astream("x")]),
        ]

    said = [model.invoke("x").text, "".join(chunk.text for chunk in model.stream("x"))]
    return {*said, *asyncio.run(both())}


def test_trap_1_a_changed_key_is_the_key_that_is_sent(serve, model_on):
    """Copying, assigning and configuring a key all change what goes over the wire."""
    model = model_on(serve(echo), api_key=A)
    configurable = model.configurable_fields(openai_api_key=ConfigurableField(id="k"))

    assert ask_all_ways(model) == {A}
    assert ask_all_ways(model.model_copy(update={"openai_api_key": B})) == {B}
    assert ask_all_ways(model.model_copy(update={"api_key": B})) == {B}
    assert ask_all_ways(configurable.with_config(configurable={"k": B})) == {B}
    assert ask_all_ways(model) == {A}
    model.openai_api_key = B
    assert ask_all_ways(model) == {B}
    assert B not in repr(model)


def test_trap_2_no_cookie_goes_out(serve, model_on):
    """A cookie set for one user's answer is not sent with another's request."""
    server = serve(Reply(whole(), headers={"set-cookie": "user=a; Path=/"}))
    model_on(server, api_key=A).invoke("x")
    model_on(server, api_key=B, include_response_headers=True)
    answer = model_on(server, api_key=B, include_response_headers=True).invoke("x")
    asyncio.run(model_on(server, api_key=B).ainvoke("x"))

    assert not [seen for seen in server.seen if "cookie" in seen.headers]
    assert "set-cookie" not in answer.response_metadata["headers"]


OTHERS = {
    "OPENAI_API_KEY": "sk-openai-leak",
    "OPENAI_ORG_ID": "org-leak",
    "OPENAI_ORGANIZATION": "org-leak",
    "OPENAI_PROJECT_ID": "proj-leak",
    "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer header-leak\nX-Leak: leak",
    "OPENAI_PROXY": "http://user:proxy-leak@127.0.0.1:9",
    "OPENAI_API_BASE": "http://127.0.0.1:9/leak",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/leak",
    "OPENAI_ADMIN_KEY": "admin-leak",
    "LANGSMITH_GATEWAY": "http://127.0.0.1:9/leak",
    "LANGSMITH_GATEWAY_URL": "http://127.0.0.1:9/leak",
    "LANGSMITH_GATEWAY_API_KEY": "lsv2_leak",
    "LANGSMITH_API_KEY": "lsv2_leak",
}


def test_trap_3_nothing_of_other_services_leaks(serve, model_on, monkeypatch):
    """No variable of OpenAI's or of LangSmith's gateway reaches the wire or the model."""
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)
    server = serve(echo)
    model = model_on(server)

    assert ask_all_ways(model) == {KEY}
    for seen in server.seen:
        assert "leak" not in json.dumps(seen.headers) + seen.raw.decode() + seen.path
        assert not [name for name in seen.headers if name.startswith(("openai", "x-stainless"))]
    assert "leak" not in repr(model) + dumps(model)
    keyless = ChatOpenRouter(model="a/b", base_url=server.url)
    with pytest.raises(errors.AuthenticationError, match="no OpenRouter API key"):
        keyless.invoke("x")


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_trap_4_a_loaded_model_finds_the_openrouter_key(model_on, monkeypatch):
    """`dumps` holds no key and `loads` takes OpenRouter's, not OpenAI's."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-leak")
    model = model_on(None, temperature=0.5, openrouter_provider={"zdr": True})
    text = dumps(model)
    loaded = loads(
        text, secrets_map={"OPENROUTER_API_KEY": B}, allowed_objects=[ChatOpenRouter],
        valid_namespaces=["langchain_openrouter"],
    )  # fmt: skip

    assert KEY not in text
    assert type(loaded) is ChatOpenRouter
    assert loaded.openai_api_key.get_secret_value() == B
    assert loaded._default_params == model._default_params
    assert "OPENAI_API_KEY" not in json.dumps(dumpd(model.model_copy(update={"api_key": None})))


class Recorder(BaseCallbackHandler):
    """Keeps everything that callbacks are told."""

    def __init__(self):
        self.told = []

    def on_chat_model_start(self, *args, **kwargs):
        """Keep the start of a run."""
        self.told.append(repr((args, kwargs)))

    def on_llm_error(self, *args, **kwargs):
        """Keep an error."""
        self.told.append(repr((args, kwargs)))

    def on_llm_end(self, *args, **kwargs):
        """Keep an end."""
        self.told.append(repr((args, kwargs)))


def test_trap_5_secrets_reach_no_callback_repr_error_or_pickle(serve, model_on, caplog):
    """Keys, headers and extra bodies stay out of traces, reprs, logs, errors and pickles."""
    caplog.set_level(logging.DEBUG)
    recorder = Recorder()
    server = serve(lambda seen: Reply({"error": {"code": 401, "message": f"bad {seen.key}"}}, 401))
    model = model_on(
        server, default_headers={"X-Provider-API-Keys": "secret-h"},
        extra_body={"safe_prompt": "secret-b"},
    )  # fmt: skip
    bound = model.bind(extra_headers={"X-Extra": "secret-e"}, extra_body={"x": "secret-x"})
    caught = []
    for ask in (bound.invoke, lambda *a, **k: list(bound.stream(*a, **k))):
        with pytest.raises(errors.AuthenticationError) as info:
            ask("x", config={"callbacks": [recorder]})
        caught.append(info.value)

    told = " ".join([*recorder.told, repr(model), dumps(model), str(model.model_dump()),
                     caplog.text, *map(repr, caught)])  # fmt: skip
    told += "".join("".join(traceback.format_exception(error)) for error in caught)
    for error in caught:
        told += repr(pickle.dumps(error)) + repr(error.__dict__)
        assert error.__cause__ is None
    assert "secret-" not in told
    assert KEY not in told
    assert server.seen[0].headers["x-provider-api-keys"] == "secret-h"
    assert server.seen[0].headers["x-extra"] == "secret-e"
    assert server.seen[0].body["safe_prompt"] == "secret-b"


def test_trap_5_no_traceback_frame_knows_the_key(serve, model_on):
    """No local variable on the way of a raised error shows the key."""
    for reply in (Reply([RESET]), Reply("", 500), Reply("<html>")):
        model = model_on(serve(reply))
        for ask in (model.invoke, lambda x, m=model: list(m.stream(x))):
            with pytest.raises(errors.OpenRouterError) as info:
                ask("x")
            error = info.value
            while error is not None:
                for frame, _ in traceback.walk_tb(error.__traceback__):
                    if frame.f_code.co_filename.startswith(PACKAGE):
                        assert KEY not in repr(frame.f_locals)
                error = error.__context__


@pytest.mark.parametrize(
    "arguments",
    [{"api_key": 12345}, {"api_key": KEY, "temperature": "x"}, {"api_key": KEY, "api_kee": KEY},
     {"api_key": KEY, "base_url": f"https://user:{KEY}@openrouter.ai"},
     {"api_key": KEY, "default_headers": {"Authorization": f"Bearer {KEY}"}}],
)  # fmt: skip
def test_trap_5_validation_errors_show_no_value(arguments):
    """A constructor error names the argument and shows no value."""
    with pytest.raises(ValidationError) as caught:
        ChatOpenRouter(model="a/b", **arguments)

    assert KEY not in str(caught.value)
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize("key", ["bad\nkey-sentinel", "bad key-sentinel", "bädkey-sentinel", " "])
def test_trap_5_a_key_that_no_header_takes_is_not_quoted(key, serve, model_on):
    """A key with a line break inside is refused without being shown."""
    with pytest.raises(errors.AuthenticationError) as caught:
        model_on(serve(echo), api_key=key).invoke("x")

    assert "sentinel" not in str(caught.value)


def test_a_key_pasted_with_white_space_works(serve, model_on):
    """A trailing line break, the usual accident of pasting, is taken away."""
    assert model_on(serve(echo), api_key=f" {A}\n").invoke("x").text == A


def test_trap_6_the_key_is_a_secret_wherever_it_is_kept(model_on):
    """The model keeps a SecretStr, which no checkpointer writes in plain text."""
    model = model_on(None, api_key=A)
    model.openai_api_key = A

    assert isinstance(model.openai_api_key, SecretStr)
    assert isinstance(model.model_copy(update={"openai_api_key": B}).openai_api_key, SecretStr)
    assert A not in str(model.__dict__)


USER = contextvars.ContextVar("user", default="sk-or-v1-the-operator")


def test_trap_7_callables_see_the_context_of_their_caller(serve, model_on):
    """A sync callable, and an async one, run where the request is made."""

    def sync_key():
        return USER.get()

    async def async_key():
        await asyncio.sleep(0)
        return SecretStr(USER.get())

    server = serve(echo)

    async def ask(key, user):
        USER.set(user)
        model = model_on(server, api_key=key)
        said = (await model.ainvoke("x")).text
        return said, "".join([chunk.text async for chunk in model.astream("x")])

    async def many():
        return await asyncio.gather(*[ask(k, u) for k in (sync_key, async_key) for u in (A, B)])

    assert asyncio.run(many()) == [(A, A), (B, B), (A, A), (B, B)]
    token = USER.set(A)
    assert model_on(server, api_key=sync_key).invoke("x").text == A
    USER.reset(token)


def test_an_async_key_in_a_sync_call_says_what_to_do(serve, model_on):
    """A coroutine cannot be awaited there; the error says so, and nothing warns."""

    async def key():
        return A

    with pytest.raises(errors.AuthenticationError, match="ainvoke"):
        model_on(serve(echo), api_key=key).invoke("x")
    gc.collect()


def test_trap_8_two_event_loops_in_a_row(serve, model_on):
    """The second `asyncio.run` works, leaves nothing open and reuses within each."""
    server = serve(echo)
    model = model_on(server)

    async def twice():
        return [(await model.ainvoke("x")).text for _ in range(2)]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asyncio.run(twice()) == [KEY, KEY]
        assert asyncio.run(twice()) == [KEY, KEY]
        gc.collect()
    assert server.connections == 2


def test_trap_8_loops_in_threads_at_once(serve, model_on):
    """Each thread's event loop has a pool of its own."""
    model = model_on(serve(echo))

    def run(_):
        async def several():
            return [m.text for m in await asyncio.gather(*[model.ainvoke("x") for _ in range(5)])]

        return asyncio.run(several())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(8))) == [[KEY] * 5] * 8


def test_trap_9_cached_answers_belong_to_their_user(serve, model_on):
    """LangChain's cache answers one user's question with that user's answer only."""
    server = serve(echo)
    cache = InMemoryCache()

    async def b_key():
        return B

    a, b = (model_on(server, api_key=key, cache=cache) for key in (A, B))
    by_call = model_on(server, api_key=lambda: A, cache=cache)
    by_async_call = model_on(server, api_key=b_key, cache=cache)

    assert [a.invoke("x").text, b.invoke("x").text, a.invoke("x").text] == [A, B, A]
    assert [by_call.invoke("x").text, asyncio.run(by_async_call.ainvoke("x")).text] == [A, B]
    assert len(server.seen) == 2
    assert A not in repr(cache._cache.keys())


def test_trap_9_private_arguments_tell_cached_answers_apart(serve, model_on):
    """Another header or extra body is another question; neither stands in the cache."""
    server = serve(echo)
    cache = InMemoryCache()
    for number in (1, 2, 1):
        private = {"x": f"secret-{number}"}
        model_on(server, cache=cache, extra_body=private).invoke("x")
        model_on(server, cache=cache, default_headers=private).invoke("x")
        model_on(server, cache=cache).invoke("x", extra_headers=private)

    assert len(server.seen) == 6
    assert "secret-" not in repr(list(cache._cache))


def test_trap_10_models_pickle_and_copy(serve, model_on):
    """A copy, deep or through pickle, works and asks with the same key."""
    model = model_on(serve(echo), openrouter_provider={"zdr": True})
    model.invoke("x")

    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        assert other.invoke("x").text == KEY
        assert other.openrouter_provider == {"zdr": True}


def test_a_thousand_users_at_once_share_a_pool_and_no_key(serve, model_on):
    """Every answer is the asking user's, over few connections."""
    server = serve(echo)
    model = model_on(server, timeout=30)
    users = [f"sk-or-v1-user-{number}" for number in range(1000)]
    models = [model.model_copy(update={"openai_api_key": user}) for user in users]
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda one: one.invoke("x").text, models))

    assert said == users
    assert server.connections < 50


def test_trap_33_streams_reuse_their_connection(serve, model_on):
    """Twenty streams, one handshake, sync and async."""
    server = serve(echo)
    model = model_on(server)
    from langchain_openrouter._http import transport

    transport.close()
    for _ in range(20):
        list(model.stream("x"))

    assert server.connections == 1

    async def twenty():
        for _ in range(20):
            [chunk async for chunk in model.astream("x")]

    asyncio.run(twenty())
    assert server.connections == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_opens_connections_of_its_own(serve, model_on):
    """Parent and child go on asking after a fork, each over its own connection."""
    server = serve(echo)
    code = f"""
import os, sys
from langchain_openrouter import ChatOpenRouter
model = ChatOpenRouter(model="a/b", api_key="k", base_url={server.url!r})
assert model.invoke("x").text == "k"
child = os.fork()
assert model.invoke("x").text == "k"
if child:
    _, status = os.waitpid(child, 0)
    assert model.invoke("x").text == "k"
    sys.exit(os.waitstatus_to_exitcode(status))
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)

    first, *others = server.seen
    assert {seen.connection for seen in others} > {first.connection}


def test_closing_is_not_the_end(serve, model_on):
    """After `close` and `aclose` the next call opens anew."""
    server = serve(echo)
    model = model_on(server)
    model.invoke("x")
    model.close()

    assert model.invoke("x").text == KEY
    assert server.connections == 2

    async def run():
        await model.ainvoke("x")
        await model.aclose()
        return (await model.ainvoke("x")).text

    assert asyncio.run(run()) == KEY
    assert server.connections == 4


def test_the_usual_proxy_variables_work(serve, model_on, monkeypatch):
    """HTTP_PROXY carries the request, NO_PROXY keeps it direct."""
    proxy, server = serve(echo), serve(echo)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    model = model_on(server)
    model.invoke("x")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    model.invoke("x")

    assert [seen.path for seen in proxy.seen] == [f"{server.url}/chat/completions"]
    assert [seen.path for seen in server.seen] == ["/api/v1/chat/completions"]


def test_a_client_of_the_users_own(serve, model_on):
    """`http_client` and `http_async_client` are used as given."""
    server = serve(echo)
    own = httpx2.Client(headers={"x-own": "1"})
    model = model_on(server, http_client=own)
    model.invoke("x")
    own.close()

    assert server.seen[0].headers["x-own"] == "1"


def test_many_threads_start_one_pool(serve, model_on):
    """The first calls of many threads race for the first clients."""
    from langchain_openrouter._http import pools

    pools.close()
    model = model_on(serve(echo))
    barrier = threading.Barrier(8)

    def run(_):
        barrier.wait()
        model.invoke("x")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    (shards,) = pools._pools.sync.values()
    assert 1 <= len(shards._shards) <= 8


def test_hundreds_of_streams_at_once_do_not_mix(serve, model_on):
    """300 users stream in one event loop, each with a key of their own."""

    def slow(seen):
        said = stream(*[f"{seen.key} "] * 5).items()[0]
        return Reply([said[:200], 0.2, said[200:]], content_type="text/event-stream")

    model = model_on(serve(slow), timeout=30)

    async def one(number):
        mine = model.model_copy(update={"openai_api_key": f"sk-or-v1-user-{number}"})
        return "".join([chunk.text async for chunk in mine.astream("x")])

    async def everyone():
        return await asyncio.gather(*[one(number) for number in range(300)])

    assert asyncio.run(everyone()) == [f"sk-or-v1-user-{n} " * 5 for n in range(300)]


def test_a_cancelled_stream_hangs_up_and_leaves_the_pool_whole(serve, model_on):
    """Cancelling a task closes its connection; the next request works."""

    def reply(seen):
        if seen.body.get("stream"):
            drip = [x for _ in range(200) for x in (b": OPENROUTER PROCESSING\n\n", 0.02)]
            return Reply(drip, content_type="text/event-stream")
        return echo(seen)

    server = serve(reply)
    model = model_on(server)

    async def run():
        async def read():
            async for _ in model.astream("x"):
                pass

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await read()
        await asyncio.to_thread(server.hung_up.wait, 3)
        return (await model.ainvoke("x")).text

    assert asyncio.run(run()) == KEY
    assert server.hung_up.is_set()


def test_any_field_can_be_configured(serve, model_on):
    """`configurable_fields` rebuilds the model from its fields, after use too."""
    server = serve(echo)
    model = model_on(server, openrouter_provider={"zdr": True})
    model.invoke("x")
    asked = model.configurable_fields(
        temperature=ConfigurableField(id="t"), model_name=ConfigurableField(id="m")
    )
    asked.invoke("x", config={"configurable": {"t": 0.5, "m": "c/d"}})
    body = server.seen[-1].body

    assert (body["model"], body["temperature"]) == ("c/d", 0.5)
    assert body["provider"] == {"zdr": True}
    assert server.seen[-1].key == KEY


def test_a_model_without_a_key_never_takes_the_operators(serve, model_on, monkeypatch):
    """Not when it is copied, and not when `configurable_fields` builds it anew."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-the-operators")
    server = serve(echo)
    keyless = model_on(server).model_copy(update={"api_key": None})
    configured = keyless.configurable_fields(temperature=ConfigurableField(id="t"))
    for ask in (keyless.invoke, copy.deepcopy(keyless).invoke, configured.invoke):
        with pytest.raises(errors.AuthenticationError, match="no OpenRouter API key"):
            ask("x", config={"configurable": {"t": 0.5}})

    assert not server.seen


def test_ended_event_loops_leave_nothing_behind(serve, model_on):
    """A hundred loops later the pools hold none of them."""
    from langchain_openrouter._http import pools

    model = model_on(serve(echo))
    for _ in range(100):
        asyncio.run(model.ainvoke("x"))
    gc.collect()

    assert len(pools._pools.loops) == 0
    assert len(pools._pools.guards) == 0


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_loops_closed_by_hand_are_let_go(serve, model_on):
    """A loop that never shut its generators down is forgotten when the next one comes."""
    from langchain_openrouter._http import pools

    model = model_on(serve(echo))
    for _ in range(5):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(model.ainvoke("x"))
        loop.close()
    asyncio.run(model.ainvoke("x"))
    gc.collect()

    assert len(pools._pools.loops) == 0
