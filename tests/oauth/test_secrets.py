"""One marked key, code and verifier through every public call: seen nowhere but on the wire."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass

import pytest
from langchain.agents import create_agent
from langchain_core.load import dumps
from langgraph.checkpoint.memory import InMemorySaver

from langchain_openrouter import ChatOpenRouter, PKCELogin, UserKey, alogin, errors, login
from langchain_openrouter.key_store import KeyStore
from langchain_openrouter.middleware import PerUserModel
from langchain_openrouter.oauth import logout
from tests.support.loopback import CUT, RESET, Reply, whole
from tests.support.package_files import PACKAGE
from tests.support.traces import Trace, everything_in

KEY = "sk-or-v1-sentinelkey" + "0" * 44
CODE = "sentinelcode-0123456789"
VERIFIER = "sentinelverifier-" + "0" * 40
MARKS = ("sentinelkey", "sentinelcode", "sentinelverifier")

pytestmark = pytest.mark.off_spec("the sign-in's requests are no chat requests")


def marks_in(text):
    """Return where a text shows a mark."""
    places = [(text.find(mark), mark) for mark in MARKS]
    return [text[max(0, at - 90) : at + 30] for at, _ in places if at >= 0]


def all_of(error, *, frames=True):
    """Return everything that can be printed of an exception: causes, pickles, frames' locals.

    Not the frames of a model's call where the test's own service quotes the key in a body.
    """
    told, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        told += [repr(error), str(error), repr(error.args), repr(vars(error))]
        told += traceback.TracebackException.from_exception(error).format()
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frames and frame.f_code.co_filename.startswith(PACKAGE):
                told += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
        told.append(repr(pickle.dumps(error)))
        error = error.__cause__ or error.__context__
    return "\n".join(told)


REPLIES = {
    "fine": Reply({"key": KEY, "user_id": "u"}),
    "invalid": Reply(
        {"error": {"code": 403, "message": f"Invalid code {CODE} or {VERIFIER}"}}, 403
    ),
    "expired": Reply(
        {"error": {"code": 403, "message": f"Authorization code {CODE} expired"}}, 403
    ),
    "method": Reply(
        {"error": {"code": 400, "message": f"Invalid code_challenge_method {VERIFIER}"}}, 400
    ),
    "server": Reply(f"<html>{CODE} {VERIFIER} {KEY}</html>", 500),
    "no json": Reply(f"{KEY} {CODE}"),
    "no key": Reply({"token": KEY, "user_id": CODE}),
    "cut": Reply([f'{{"key": "{KEY}'.encode(), CUT]),
    "reset": Reply([RESET]),
}


@pytest.mark.parametrize("how", ["redeem", "aredeem", "settle"])
@pytest.mark.parametrize("name", list(REPLIES))
def test_the_exchange_shows_nothing(serve, caplog, capsys, name, how):
    """Whatever the service answers, and quotes."""
    caplog.set_level(logging.DEBUG)
    server = serve(REPLIES[name])
    login_ = PKCELogin(VERIFIER, "nonce", "http://localhost:9/cb", base_url=server.url)
    pasted = f"http://localhost:9/cb/nonce?code={CODE}"
    told = [
        repr(login_),
        str(login_),
        login_.url,
        repr(asdict(login_)),
        login_.seal("sixteen-bytes-or-more"),
    ]
    try:
        if how == "settle":
            told.append(repr(login_._redeem(pasted)))
        else:
            key = asyncio.run(login_.aredeem(pasted)) if how == "aredeem" else login_.redeem(pasted)
            told += [
                repr(key),
                str(key),
                key._repr_html_(),
                repr(asdict(key)),
                key.settings_url,
                key.logs_url,
            ]
            assert name == "fine"
    except errors.SignInError as error:
        assert name != "fine"
        told.append(all_of(error))
    said = capsys.readouterr()

    assert server.seen[0].body["code"] == CODE
    assert server.seen[0].body["code_verifier"] == VERIFIER
    assert not marks_in("\n".join([*told, caplog.text, said.out, said.err]))


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("name", list(REPLIES))
def test_the_whole_sign_in_shows_nothing(serve, caplog, capsys, monkeypatch, name, how):
    """Through the listener and by paste, the page included; then info, keeping, signing out."""
    import httpx2

    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("secrets.token_urlsafe", lambda _=32: VERIFIER)

    def reply(seen):
        if seen.path.endswith("/auth/keys"):
            return REPLIES[name]
        return Reply({"data": {"label": "x", "limit": 1}})

    server = serve(reply)
    pages, told, keys = [], [], KeyStore()

    def open_(url):
        port = url.partition("127.0.0.1%3A")[2].partition("%2F")[0]
        target = f"http://127.0.0.1:{port}/callback/{VERIFIER}?code={CODE}"
        pages.append(httpx2.get(target, trust_env=False).text)

    ways = [{"mode": "loopback", "open_browser": open_, "prompt": lambda _: ""},
            {"mode": "headless", "open_browser": False, "prompt": lambda _: CODE}]  # fmt: skip
    for way in ways:
        try:
            words = {**way, "base_url": server.url, "key_store": keys, "timeout": 10}
            key = asyncio.run(alogin(**words)) if how == "async" else login(**words)
            told += [repr(key), repr(keys), repr(key.info()), key.info()._repr_html_()]
            told.append(repr(keys._store.store) if hasattr(keys._store, "store") else "")
            logout(keys)
        except errors.SignInError as error:
            assert name != "fine"
            told.append(all_of(error))
    said = capsys.readouterr()
    # The nonce is a token too, so the verifier's mark is in the address here: only in that one line.
    lines = [line for line in (said.out + said.err).splitlines() if "/auth?" not in line]
    logged = "\n".join(line for line in caplog.text.splitlines() if "/callback/" not in line)

    assert len(pages) == 1
    assert not marks_in("\n".join([*told, *pages, *lines, logged]))


FAILURES = {
    "fine": lambda: Reply(whole("ok")),
    401: lambda: Reply({"error": {"code": 401, "message": f"no such key {KEY}"}}, 401),
    402: lambda: Reply({"error": {"code": 402, "message": f"no credit for {KEY}"}}, 402),
    500: lambda: Reply(f"<html>{KEY}</html>", 500),
    "html": lambda: Reply(f"<html>{KEY}</html>"),
    "body": lambda: Reply({"error": {"code": 403, "message": f"Key limit exceeded for {KEY}"}}),
    "reset": lambda: Reply([RESET]),
    "cut": lambda: Reply([b'{"id": "', CUT]),
}
QUOTELESS = {"fine", "reset", "cut"}


def parse_tool_calls(model):
    """Return every way to ask a model."""

    async def astream():
        return [chunk async for chunk in model.astream("x")]

    return {
        "invoke": lambda: model.invoke("x"),
        "stream": lambda: list(model.stream("x")),
        "batch": lambda: model.batch(["x", "y"]),
        "ainvoke": lambda: asyncio.run(model.ainvoke("x")),
        "astream": lambda: asyncio.run(astream()),
        "tools": lambda: model.bind_tools([{"type": "openrouter:web_search"}]).invoke("x"),
        "structured": lambda: model.with_structured_output({"title": "A", "type": "object", "properties": {}}).invoke("x"),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(FAILURES))
def test_a_users_model_shows_nothing(serve, caplog, capsys, name):
    """Every call on a user's key, with a tracer beside it."""
    caplog.set_level(logging.DEBUG)
    server = serve(lambda _: FAILURES[name]())
    trace = Trace()
    model = ChatOpenRouter(model="a/b", base_url=server.url, max_retries=0, callbacks=[trace])
    for key in (UserKey(KEY, "u", server.url), KEY, lambda: KEY):
        own = model.for_user(key)
        told = [
            repr(own),
            str(own),
            repr(own.model_dump()),
            dumps(own),
            repr(own._identifying_params),
        ]
        told.append(repr(own._get_ls_params()) + own._get_llm_string())
        for call in parse_tool_calls(own).values():
            try:
                told.append(repr(call()))
            except Exception as error:  # noqa: BLE001 - whatever it is, it must show nothing
                told.append(all_of(error, frames=name in QUOTELESS))
        said = capsys.readouterr()
        assert {seen.key for seen in server.seen} == {KEY}
        assert trace.kept
        assert not marks_in("\n".join([*told, *trace.kept, caplog.text, said.out, said.err]))


@pytest.mark.parametrize("name", list(FAILURES))
@pytest.mark.parametrize("how", ["sync", "async"])
def test_an_agent_shows_nothing(serve, caplog, name, how):
    """Checkpoints, traces, logs, errors; from a store and from a callable that returns a string."""

    @dataclass
    class Context:
        user_id: str

    caplog.set_level(logging.DEBUG)
    server = serve(lambda _: FAILURES[name]())
    store = KeyStore()
    store.set("ann", KEY)
    told = []
    for keys in (store, lambda _: KEY):
        saver, trace = InMemorySaver(), Trace()
        model = ChatOpenRouter(model="a/b", base_url=server.url, max_retries=0)
        agent = create_agent(
            model, [], middleware=[PerUserModel(keys)], context_schema=Context, checkpointer=saver
        )
        words = {
            "context": Context("ann"),
            "config": {"configurable": {"thread_id": "1"}, "callbacks": [trace]},
        }
        try:
            if how == "sync":
                told.append(repr(agent.invoke({"messages": "hi"}, **words)))
            else:
                told.append(repr(asyncio.run(agent.ainvoke({"messages": "hi"}, **words))))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must show nothing
            told.append(all_of(error, frames=name in QUOTELESS))
        told += [everything_in(saver), *trace.kept]

    assert {seen.key for seen in server.seen} == {KEY}
    assert not marks_in("\n".join([*told, caplog.text]))
