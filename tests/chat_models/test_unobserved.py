"""Calls where nobody is looking are equal to LangChain's own, piece by piece, and keep nothing."""

from __future__ import annotations

import ast
import asyncio
import gc
import hashlib
import inspect
import textwrap
import uuid
from contextlib import aclosing, closing

import pytest
import wrapt
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    CallbackManager,
    get_usage_metadata_callback,
)
from langchain_core.globals import set_debug, set_llm_cache
from langchain_core.language_models import chat_models as core
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.context import collect_runs

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter._shortcuts import shortcuts
from langchain_openrouter.callbacks import CostLimit, OpenRouterUsage
from langchain_openrouter.chat_models import _core_methods, _unobserved
from langchain_openrouter.errors import CostLimitError, OpenRouterError
from tests.support.loopback import CUT, Reply, events, sse, stream, whole
from tests.support.recut import neighbors, restorable, stream_of
from tests.support.traces import Trace
from tests.support.traffic import CHAT, exchanges, response_exchanges

RUN_ID = uuid.UUID(int=7)
MODES = pytest.mark.parametrize("mode", ["sync", "async"])


class Silent(BaseCallbackHandler):
    """A handler that looks, and does nothing."""


@pytest.fixture
def taken(monkeypatch):
    """Count the runs that were left out, also where the suite runs without short cuts."""
    monkeypatch.setattr(shortcuts, "enabled", True)
    count = []
    original = _unobserved.UnobservedRun.__init__

    def counted(self, run_manager):
        count.append(1)
        original(self, run_manager)

    monkeypatch.setattr(_unobserved.UnobservedRun, "__init__", counted)
    return count


def shown(message):
    """Return everything of a message or a chunk, in the order of its fields."""
    slots = [getattr(message, name, "unset") for name in ("detail_index", "shown_details")]
    return type(message), repr(message.model_dump()), slots


def failure(error):
    """Return everything of an error."""
    partial = getattr(error, "partial", None)
    return type(error), str(error), partial and repr(partial.model_dump())


def answer(model, *, is_stream, mode, config=None, **kwargs):
    """Return all that a caller gets: pieces or the message, and the error at the end."""
    config = {"run_id": RUN_ID, **(config or {})}
    got = []

    async def run():
        if not is_stream:
            got.append(shown(await model.ainvoke("What?", config, **kwargs)))
            return
        async for piece in model.astream("What?", config, **kwargs):
            got.append(shown(piece))  # noqa: PERF401 - kept when an error follows

    try:
        if mode == "async":
            asyncio.run(run())
        elif is_stream:
            got.extend(shown(piece) for piece in model.stream("What?", config, **kwargs))
        else:
            got.append(shown(model.invoke("What?", config, **kwargs)))
    except (OpenRouterError, ValueError) as error:
        got.append(failure(error))
    return got


def compare(model, monkeypatch, taken, **call):
    """Compare a call with one that a handler sees, and with one without any short cut."""
    before = len(taken)
    got = answer(model, **call)
    assert len(taken) == before + 1

    assert got == answer(model, config={"callbacks": [Silent()]}, **call)
    monkeypatch.setattr(shortcuts, "enabled", False)
    assert got == answer(model, **call)
    monkeypatch.setattr(shortcuts, "enabled", True)
    assert len(taken) == before + 1
    return got


# --- equal ------------------------------------------------------------------------------------


@pytest.mark.skipif(not CHAT.exists(), reason=f"no recordings at {CHAT}")
@MODES
@pytest.mark.parametrize("path", ["chat", "responses"])
def test_recorded(serve, model_on, monkeypatch, taken, mode, path):
    """All recorded answers, streamed and whole, come as through LangChain's run."""
    rows = exchanges() if path == "chat" else response_exchanges()
    current = {}
    server = serve(lambda _seen: current["reply"])
    model = model_on(server, max_retries=0, use_responses_api=path == "responses")

    for row in rows:
        body, kind = row["body"].encode(), row["content_type"]
        current["reply"] = Reply(body, status=row["status"], content_type=kind)
        is_stream = bool(row["stream"])
        assert compare(model, monkeypatch, taken, is_stream=is_stream, mode=mode)
        if is_stream:
            streaming = model.model_copy(update={"streaming": True})
            monkeypatch.setattr(_unobserved, "_CHUNKS_AT_ONCE", 3)
            assert compare(streaming, monkeypatch, taken, is_stream=False, mode=mode)


REASONED = {
    "role": "assistant", "content": "Sunlight, scattered.", "reasoning": "Why? Because of air.",
    "reasoning_details": [
        {"type": "reasoning.text", "text": "Why? Because of air.", "signature": "s", "index": 0}
    ],
    "tool_calls": [
        {"id": f"c{n}", "type": "function", "index": n,
         "function": {"name": "look", "arguments": f'{{"at": "the blue sky", "n": {n}}}'}}
        for n in range(2)
    ],
}  # fmt: skip


@pytest.mark.off_spec("services cut their streams in ways that the spec does not have")
@MODES
def test_cut_in_every_way(serve, model_on, monkeypatch, taken, mode):
    """An answer with text, reasoning and calls, however a service cuts it."""
    body = {**whole("x")}
    body["choices"] = [{**body["choices"][0], "message": REASONED, "finish_reason": "tool_calls"}]
    current = {}
    server = serve(lambda _seen: Reply(current["data"], content_type="text/event-stream"))
    model = model_on(server, max_retries=0)
    monkeypatch.setattr(_unobserved, "_CHUNKS_AT_ONCE", 4)

    for cut in neighbors():
        current["data"] = stream_of(body, restorable(body, cut))
        compare(model, monkeypatch, taken, is_stream=True, mode=mode)
        streaming = model.model_copy(update={"streaming": True})
        compare(streaming, monkeypatch, taken, is_stream=False, mode=mode)


BROKEN = {
    "no id": Reply(
        sse([{k: v for k, v in event.items() if k != "id"} for event in events({"content": "a"})]),
        content_type="text/event-stream",
    ),
    "cut": Reply([sse(events({"content": "Half"}))[:-300], CUT], content_type="text/event-stream"),
    "no answer": Reply(b"data: [DONE]\n\n", content_type="text/event-stream"),
    "an error": Reply(
        sse([*events({"content": "Half"})[:1], {"error": {"code": 502, "message": "gone"}}]),
        content_type="text/event-stream",
    ),
    "refused": Reply({"error": {"code": 402, "message": "no credit"}}, status=402),
    "unreadable": Reply(b"data: {\n\n", content_type="text/event-stream"),
}


@pytest.mark.off_spec("damaged streams")
@MODES
@pytest.mark.parametrize("name", BROKEN)
def test_errors_and_ids(serve, model_on, monkeypatch, taken, mode, name):
    """Errors carry the partial answer, and a missing id is that of the run."""
    model = model_on(serve(BROKEN[name]), max_retries=0)
    got = compare(model, monkeypatch, taken, is_stream=True, mode=mode)
    assert name != "no id" or f"lc_run--{RUN_ID}" in got[0][1]
    streaming = model.model_copy(update={"streaming": True})
    compare(streaming, monkeypatch, taken, is_stream=False, mode=mode)


@pytest.mark.off_spec("content in parts of types that nobody knows")
@MODES
def test_content_in_parts(serve, model_on, monkeypatch, taken, mode):
    """A list of parts adds up as in LangChain's run, also where texts without content precede it."""
    part = {"content": [{"type": "new", "x": 1}]}
    deltas = [{"content": "a"}, {"reasoning": "r"}, part, part, {"reasoning": "r"}, part]
    model = model_on(serve(stream(*deltas, {"content": "b"}, *deltas)), streaming=True)
    for size in (2, 3, 5):
        monkeypatch.setattr(_unobserved, "_CHUNKS_AT_ONCE", size)
        assert compare(model, monkeypatch, taken, is_stream=False, mode=mode)


@pytest.mark.off_spec("an answer without an id")
@MODES
def test_whole_answers(serve, model_on, monkeypatch, taken, mode):
    """Several choices, and an answer without an id."""
    body = {**whole("one")}
    body.pop("id")
    body["choices"] = [body["choices"][0], {**body["choices"][0], "index": 1}]
    model = model_on(serve(Reply(body)))
    (got,) = compare(model, monkeypatch, taken, is_stream=False, mode=mode, n=2)
    assert f"lc_run--{RUN_ID}-0" in got[1]


@pytest.mark.off_spec("what only goes wrong")
@MODES
@pytest.mark.parametrize("is_stream", [True, False])
def test_refused_before_a_request(serve, model_on, monkeypatch, mode, is_stream):
    """A wrong argument, an impossible input and a missing key fail alike."""
    model = model_on(serve(stream("a")))
    keyless = model.model_copy(update={"api_key": None})
    environment = ChatOpenRouter(model="a/b", base_url=model.openai_api_base)
    for one, kwargs in [(model, {"wrong_name": 1}), (model, {"n": "x"}), (keyless, {}),
                        (environment, {}), (model, {"stop": 5})]:  # fmt: skip
        call = {"is_stream": is_stream, "mode": mode, **kwargs}
        assert answer(one, **call) == answer(one, config={"callbacks": [Silent()]}, **call)
    for config in (None, {"callbacks": [Silent()]}):
        with pytest.raises(ValueError, match="Invalid input type"):
            model.invoke(5, config)
        with pytest.raises(ValueError, match="Invalid input type"):
            next(model.stream(5, config))


@MODES
def test_structured_output(serve, model_on, taken, mode):
    """The format that only traces show is no field of the request."""
    reply = whole('{"a": 1}')
    model = model_on(serve(Reply(reply)))
    schema = {"title": "A", "type": "object", "properties": {"a": {"type": "integer"}}}
    structured = model.with_structured_output(schema, method="json_schema")
    found = structured.invoke("?") if mode == "sync" else asyncio.run(structured.ainvoke("?"))
    assert found == {"a": 1}
    assert taken == [1]  # in a chain, whose manager has no handlers either


# --- ends -------------------------------------------------------------------------------------


def test_closed_early(serve, model_on, taken):
    """A stream that is closed, or dropped, hangs up at once."""
    body = [sse(events({"content": "a"}), done=False)[:400], 20]
    server = serve(Reply(body, content_type="text/event-stream"))
    model = model_on(server)
    with closing(model.stream("?")) as pieces:
        assert next(pieces).text == "a"

    async def run():
        async with aclosing(model.astream("?")) as pieces:
            async for piece in pieces:
                assert piece.text == "a"
                break

        async def read():
            async for _ in model.astream("?"):
                task.cancel()

        task = asyncio.ensure_future(read())
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert len(taken) == 3


def test_nothing_is_kept(serve, model_on, taken):
    """While a stream is read, no piece of it lives on; with a handler, all do."""
    server = serve(stream(*["piece"] * 3000))
    model = model_on(server)

    def alive(config):
        most = 0
        for number, _ in enumerate(model.stream("?", config)):
            if number % 1000 == 999:
                gc.collect()
                most = max(most, sum(isinstance(o, AIMessageChunk) for o in gc.get_objects()))
        return most

    assert alive(None) < 100
    assert len(taken) == 1
    assert alive({"callbacks": [Silent()]}) >= 3000


# --- who is looking ---------------------------------------------------------------------------


class Tokens(BaseCallbackHandler):
    """Counts what it is told."""

    def __init__(self):
        self.told = []

    def on_chat_model_start(self, *_args, **_kwargs):
        """Note it."""
        self.told.append("start")

    def on_llm_new_token(self, token, **_kwargs):
        """Note the text."""
        self.told.append(token)

    def on_llm_end(self, *_args, **_kwargs):
        """Note it."""
        self.told.append("end")


class AsyncTokens(AsyncCallbackHandler):
    """Counts what it is told, asynchronously."""

    def __init__(self):
        self.told = []

    async def on_llm_new_token(self, token, **_kwargs):
        """Note the text."""
        self.told.append(token)


def test_handlers(serve, model_on, taken):
    """Handlers of the call, of the model, of a chain around it and of a context are told all."""
    model = model_on(serve(stream("a", "b")))
    told = ["start", "a", "b", "", "end"]

    by_call, by_model, by_chain = Tokens(), Tokens(), Tokens()
    list(model.stream("?", {"callbacks": [by_call]}))
    list(model.model_copy(update={"callbacks": [by_model]}).stream("?"))
    chain = RunnableLambda(lambda text: text) | model
    list(chain.stream("?", {"callbacks": [by_chain]}))
    assert by_call.told == by_model.told == by_chain.told == told

    asynchronous = AsyncTokens()

    async def run():
        async for _ in model.astream("?", {"callbacks": [asynchronous]}):
            pass

    asyncio.run(run())
    assert asynchronous.told == ["a", "b", ""]

    inside = RunnableLambda(lambda text: list(model.stream(text)))
    nested = Tokens()
    inside.invoke("?", {"callbacks": [nested]})
    assert nested.told == told

    with get_usage_metadata_callback() as usage, collect_runs() as runs:
        list(model.stream("?"))
    assert usage.usage_metadata
    assert len(runs.traced_runs) == 1
    assert taken == []


@MODES
def test_of_invoke(serve, model_on, taken, mode):
    """The same for `invoke`, where a context has the handlers."""
    model = model_on(serve(Reply(whole("a"))))

    def call(config=None):
        if mode == "sync":
            return model.invoke("?", config)
        return asyncio.run(model.ainvoke("?", config))

    with get_usage_metadata_callback() as usage:
        call()
    assert usage.usage_metadata
    with collect_runs() as runs:
        call()
    assert len(runs.traced_runs) == 1

    ours, trace = OpenRouterUsage(), Trace()
    call({"callbacks": [ours, trace]})
    assert len(ours.totals_by_key) == 1
    assert len(trace.kept) == 1
    assert taken == []


def test_langsmith_and_debug(serve, model_on, taken, monkeypatch, capsys):
    """Tracing by environment, `set_debug` and `verbose=True` have a run to show."""
    model = model_on(serve(stream("a")))
    list(model.model_copy(update={"verbose": True}).stream("?"))
    set_debug(True)
    try:
        list(model.stream("?"))
    finally:
        set_debug(False)
    assert "[llm:ChatOpenRouter] Entering LLM run" in capsys.readouterr().out

    from langchain_core.tracers.langchain import LangChainTracer

    seen = []
    monkeypatch.setattr(LangChainTracer, "on_chat_model_start", lambda *a, **k: seen.append(1))
    monkeypatch.setattr(LangChainTracer, "raise_error", False)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGSMITH_API_KEY", "none")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "http://127.0.0.1:9")
    from langsmith import utils

    utils.get_env_var.cache_clear()
    try:
        list(model.stream("?"))
    finally:
        monkeypatch.delenv("LANGSMITH_TRACING")
        utils.get_env_var.cache_clear()
    assert seen == [1]
    assert taken == []


def test_event_streams_and_graphs(serve, model_on, taken):
    """`astream_events`, `astream_log` and LangGraph's `messages` see each piece."""
    model = model_on(serve(stream("a", "b")))

    async def run():
        events = [e async for e in model.astream_events("?", version="v2")]
        pieces = [e["data"]["chunk"].text for e in events if e["event"].endswith("model_stream")]
        assert pieces == ["a", "b", ""]
        inner = RunnableLambda(lambda text: model.invoke(text + text))
        events = [e async for e in inner.astream_events("?", version="v2")]
        pieces = [e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"]
        assert pieces[:2] == ["a", "b"]
        with pytest.warns(DeprecationWarning, match="astream_log"):
            log = [patch async for patch in model.astream_log("?")]
        assert sum("AIMessageChunk" in str(patch) for patch in log) >= 2

    asyncio.run(run())

    graph = pytest.importorskip("langgraph.graph")
    builder = graph.StateGraph(graph.MessagesState)
    builder.add_node("ask", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_edge(graph.START, "ask")
    compiled = builder.compile()
    question = {"messages": [HumanMessage("?")]}
    pieces = [piece.text for piece, _ in compiled.stream(question, stream_mode="messages")]
    assert pieces[:2] == ["a", "b"]
    assert taken == []


def test_cache_rate_limiter_and_output_version(serve, model_on, taken):
    """What core does besides, core does."""
    model = model_on(serve(Reply(whole("a"))))
    set_llm_cache(InMemoryCache())
    try:
        first, second = model.invoke("?"), model.invoke("?")
    finally:
        set_llm_cache(None)
    assert second.usage_metadata["total_cost"] == 0
    assert first.id == second.id

    cached = model.model_copy(update={"cache": InMemoryCache()})
    assert cached.invoke("?").text == cached.invoke("?").text

    limiter = InMemoryRateLimiter(requests_per_second=1000)
    limiter.available_tokens = 1
    limited = model.model_copy(update={"rate_limiter": limiter})
    limited.invoke("?")
    assert limiter.available_tokens < 1

    v1 = model.model_copy(update={"output_version": "v1"})
    assert isinstance(v1.invoke("?").content, list)
    whole_only = model.model_copy(update={"disable_streaming": True})
    assert [piece.text for piece in whole_only.stream("?")] == ["a"]
    assert len(taken) == 1  # the `invoke` of the last


def test_ceilings(serve, model_on, taken):
    """A ceiling counts calls that nobody else sees."""
    model = model_on(serve(stream("a")))
    limit = CostLimit(0.0000001)
    with limit:
        list(model.stream("?"))
        with pytest.raises(CostLimitError):
            list(model.stream("?"))
    assert limit.spent > 0
    assert taken


def test_overridden_and_patched(serve, model_on, taken, monkeypatch):
    """A subclass, and a library that traces by patching, get every call."""
    model = model_on(serve(stream("a")))
    told = []

    class Mine(ChatOpenRouter):
        def _stream(self, *args, **kwargs):
            told.append("subclass")
            return super()._stream(*args, **kwargs)

    list(Mine(model="a/b", api_key="k", base_url=model.openai_api_base).stream("?"))
    names = ("generate", "stream", "_generate_with_cache", "_convert_input")
    patched = [(core.BaseChatModel, name) for name in names]
    patched.append((CallbackManager, "on_chat_model_start"))
    patched += [(ChatOpenRouter, name) for name in ("_stream", "_message_chunks", "_generate")]
    for owner, name in patched:
        with monkeypatch.context() as patch:
            original = getattr(owner, name)
            patch.setattr(owner, name, lambda *a, _o=original, **k: _o(*a, **k))
            list(model.stream("?"))
    assert told == ["subclass"]
    assert taken == []

    for name in ("stream", "generate", "invoke"):  # a method that wrapt wraps is equal to its own
        with monkeypatch.context() as patch:
            patch.setattr(core.BaseChatModel, name, getattr(core.BaseChatModel, name))
            wrapt.wrap_function_wrapper(
                core, f"BaseChatModel.{name}", lambda f, _, a, k: f(*a, **k)
            )
            list(model.stream("?"))
    assert taken == []

    class Plain(ChatOpenRouter):
        """Nothing is overridden."""

    list(Plain(model="a/b", api_key="k", base_url=model.openai_api_base).stream("?"))
    assert taken == [1]


# --- core -------------------------------------------------------------------------------------

# Hashes of the source of each function, without comments, docstrings and layout.
SOURCES = {
    "invoke": ("7495ea47bc26",),
    "ainvoke": ("66fc7a7768bf",),
    "stream": ("27fccc0750ed",),
    "astream": ("78220643ff5f",),
    "generate": ("82da89ea6c1c",),
    "agenerate": ("0e77ed4f1958",),
    "generate_prompt": ("ae5743df1558",),
    "agenerate_prompt": ("0c8ca16e706a",),
    "_generate_with_cache": ("98e7f18ff3f3", "5eee375d01f5"),
    "_agenerate_with_cache": ("ba5faf4636ca", "61296b0c281f"),
    "_should_stream": ("1b8df8e77b59",),
    "_streaming_disabled": ("cd5f0ebc171f",),
    "_should_use_protocol_streaming": ("2c8ff06aeffb",),
    "_convert_input": ("22a3f5a640fb",),
    "_get_ls_params_with_defaults": ("fbe018536f58",),
    "_format_for_tracing": ("e69b1274856d",),
    "_gen_info_and_msg_metadata": ("991f218c7024",),
    "generate_from_stream": ("56a17c279c79",),
    "_generate_response_from_error": ("c9b73b424fa7",),
    "_format_ls_structured_output": ("dc5a3d77e64d",),
    "_normalize_messages": ("83e7936b7e1f",),
    "_configure": ("498339dbc814",),
    "CallbackManager.on_chat_model_start": ("d8df71ee3869",),
    "AsyncCallbackManager.on_chat_model_start": ("3a493879cd83",),
}


def source_digest(function):
    """Return the hash of a function's source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        is_text = isinstance(body, list) and body and isinstance(body[0], ast.Expr)
        if is_text and isinstance(getattr(body[0].value, "value", None), str):
            body[0].value.value = ""
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", _core_methods.core_functions())
def test_core_is_known(name):
    """A core that does something new is read before it is skipped."""
    function = _core_methods.core_functions()[name]
    told = (
        f"langchain-core's `{name}` is not one that was read. Compare it with the last version; "
        "what it does where no handler is attached belongs into `_unobserved.py` too. Then add "
    )
    assert source_digest(function) in SOURCES[name], f"{told} {source_digest(function)} to SOURCES"
    digest = _core_methods.digest_names(function)
    assert digest in _core_methods.KNOWN[name], f"{told} {digest} to `_core_methods.KNOWN`"


def test_unknown_core(serve, model_on, taken, monkeypatch):
    """With a core that nobody has read, LangChain's own methods are used."""
    monkeypatch.setitem(_core_methods.KNOWN, "stream", ())
    _core_methods.is_known_core.cache_clear()
    try:
        model = model_on(serve(stream("a")))
        assert [piece.text for piece in model.stream("?")] == ["a", ""]
    finally:
        monkeypatch.undo()
        _core_methods.is_known_core.cache_clear()
    assert taken == []
