"""`prompt_caching=`, `session_id="thread"`, `response_cache=` and `router_metadata=` over HTTP."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import ValidationError

from langchain_openrouter import OpenRouterEmbeddings, OpenRouterRerank, OpenRouterSettings
from tests.support.loopback import Reply, stream, whole

SYSTEM, HUMAN = SystemMessage("Be brief."), HumanMessage("Hi")
MARK = {"type": "ephemeral"}


def marked(text):
    """Return a text block with a mark."""
    return {"type": "text", "text": text, "cache_control": MARK}


async def call(model, messages, how, **kwargs):
    """Call a model in one of four ways."""
    if how == "invoke":
        await asyncio.to_thread(model.invoke, messages, **kwargs)
    elif how == "ainvoke":
        await model.ainvoke(messages, **kwargs)
    elif how == "stream":
        await asyncio.to_thread(lambda: list(model.stream(messages, **kwargs)))
    else:
        assert [chunk async for chunk in model.astream(messages, **kwargs)]


def answer(seen):
    """Answer whole or as a stream, as the request says."""
    if seen.body.get("stream"):
        return stream("Hi.")
    return Reply(whole())


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize(
    ("slug", "setting", "sent"),
    [
        ("anthropic/claude-sonnet-5.5", True, {"cache_control": MARK}),
        ("~anthropic/claude-opus-latest", "1h", {"cache_control": {**MARK, "ttl": "1h"}}),
        ("anthropic/claude-haiku-4.5", False, {}),
        ("openai/gpt-4o-mini", True, {}),
        ("openai/gpt-5.5", False, {}),
        ("openai/gpt-5.6-sol", False, {"prompt_cache_options": {"mode": "explicit"}}),
        ("openai/gpt-6-astra:batch", False, {"prompt_cache_options": {"mode": "explicit"}}),
        ("~openai/gpt-latest", False, {"prompt_cache_options": {"mode": "explicit"}}),
        ("openai/gpt-6-luna", True, {}),
        ("openai/gpt-oss-120b", False, {}),
        ("deepseek/deepseek-v4", True, {}),
    ],
)
async def test_caching_is_turned_on_and_off_as_the_model_needs(
    serve, model_on, how, slug, setting, sent
):
    """On the model and on a call alike, and nothing else of the request changes."""
    server = serve(answer)
    await call(model_on(server, model=slug, prompt_caching=setting), [SYSTEM, HUMAN], how)
    await call(model_on(server, model=slug), [SYSTEM, HUMAN], how, prompt_caching=setting)
    await call(model_on(server, model=slug), [SYSTEM, HUMAN], how)

    plain = server.seen[2].body
    assert server.seen[0].body == server.seen[1].body == {**plain, **sent}


def test_alibaba_gets_marks_on_the_system_message_and_the_users_last(serve, model_on):
    """Its models cache at explicit marks only; the caller's messages are left as they were."""
    server = serve(Reply(whole()))
    history = [SYSTEM, HUMAN, AIMessage("Hello."), HumanMessage("And now?")]
    model_on(server, model="qwen/qwen3.7-max", prompt_caching=True).invoke(history)

    assert server.seen[0].body["messages"] == [
        {"role": "system", "content": [marked("Be brief.")]},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [marked("And now?")]},
    ]
    assert history[0].content == "Be brief."


def test_a_call_overrides_the_models_caching(serve, model_on):
    """A call's False removes every mark; its None leaves the request as it is."""
    server = serve(Reply(whole()))
    model = model_on(server, model="anthropic/claude-opus-5.5", prompt_caching="1h",
                     tools=[{"type": "function", "function": {"name": "f"}, "cache_control": MARK}])  # fmt: skip
    messages = [SystemMessage([marked("a")]), HUMAN]
    model.invoke(messages, prompt_caching=False)
    model.invoke(messages, prompt_caching=None)
    model.bind(prompt_caching=True).invoke(messages)

    off, as_it_is, on = (seen.body for seen in server.seen)
    assert "cache_control" not in str(off)
    assert "cache_control" not in as_it_is
    assert as_it_is["messages"][0]["content"] == [marked("a")]
    assert on["cache_control"] == MARK


def test_a_mark_of_the_callers_own_is_kept(serve, model_on):
    """`cache_control=` says more than True does."""
    server = serve(Reply(whole()))
    own = {"type": "ephemeral", "ttl": "5m"}
    model_on(
        server, model="anthropic/claude-opus-5", cache_control=own, prompt_caching="1h"
    ).invoke("x")

    assert server.seen[0].body["cache_control"] == own


@pytest.mark.parametrize("slug", ["anthropic/claude-opus-5", "qwen/qwen3.7-max"])
def test_a_fifth_breakpoint_is_an_error_before_the_call(serve, model_on, slug):
    """Four are sent, and True adds none to them; with five, the error says where they are."""
    server = serve(Reply(whole()))
    model = model_on(server, model=slug, prompt_caching=True)
    parts = [marked(str(number)) for number in range(5)]
    model.invoke([HumanMessage(parts[:4])])
    with pytest.raises(ValueError, match=r"4 cache breakpoints.* has 5: 1 in system .* 4 in user"):
        model.invoke([SystemMessage(parts[:1]), HumanMessage(parts[1:])])
    model_on(server).invoke([HumanMessage(parts)])

    first, other = (str(seen.body).count("cache_control") for seen in server.seen)
    assert (first, other) == (4, 5)


@pytest.mark.parametrize("value", ["2h", 5, {"type": "ephemeral"}])
def test_another_value_is_refused(model_on, value):
    """When the model is made and when it is called."""
    with pytest.raises(ValidationError, match="prompt_caching"):
        model_on(None, prompt_caching=value)
    with pytest.raises(ValueError, match='must be True, False, "5m" or "1h"'):
        model_on(None).invoke("x", prompt_caching=value)


# --- session ids ------------------------------------------------------------------------------


def graph_of(model):
    """Return a graph of one node that calls the model."""

    def node(state):
        return {"messages": [model.invoke(state["messages"])]}

    async def anode(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    graphs = []
    for function in (node, anode):
        builder = StateGraph(MessagesState)
        builder.add_node("call", function)
        builder.add_edge(START, "call")
        graphs.append(builder.compile())
    return graphs


async def test_the_thread_of_a_graph_becomes_the_session(serve, model_on):
    """`session_id="thread"` sends LangGraph's `thread_id`, whatever its type, and a long one hashed."""
    server = serve(Reply(whole()))
    graph, agraph = graph_of(model_on(server, session_id="thread"))
    graph.invoke({"messages": "x"}, {"configurable": {"thread_id": "t-1"}})
    await agraph.ainvoke({"messages": "x"}, {"configurable": {"thread_id": 7}})
    graph.invoke({"messages": "x"}, {"configurable": {"thread_id": "t" * 300}})
    graph.invoke({"messages": "x"})
    model_on(server, session_id="thread").invoke("x")

    sessions = [seen.body.get("session_id") for seen in server.seen]
    assert sessions[:2] == ["t-1", "7"]
    assert len(sessions[2]) == 64
    assert sessions[3:] == [None, None]


async def test_tools_in_a_thread_share_its_session(serve, model_on):
    """A model that a tool or another thread calls inside the run is of the session too."""
    server = serve(Reply(whole()))
    model = model_on(server, session_id="thread")

    @tool
    def ask(question: str) -> str:
        """Ask the model."""
        return model.invoke(question).text

    builder = StateGraph(MessagesState)
    builder.add_node("call", lambda _: {"messages": [ask.invoke({"question": "x"})]})
    builder.add_edge(START, "call")
    await builder.compile().ainvoke({"messages": "x"}, {"configurable": {"thread_id": "t-2"}})

    assert server.seen[0].body["session_id"] == "t-2"


def test_an_empty_session_and_user_are_not_sent(serve, model_on):
    """Neither from the model nor from a call: the API would group strangers under them."""
    server = serve(Reply(whole()))
    model_on(server, session_id="", user="").invoke("x")
    model_on(server, session_id="s", user="u").invoke("x", session_id="", user="")

    for seen in server.seen:
        assert not {"session_id", "user"} & set(seen.body)


@pytest.mark.off_spec("two endpoints on one server")
async def test_embeddings_and_rerank_name_their_session_in_a_header(serve):
    """Their own, that of the settings, and the thread's of a graph; an empty one is not sent."""
    server = serve(
        lambda seen: Reply(
            {"data": [{"embedding": [1.0], "index": 0}]}
            if seen.path.endswith("/embeddings")
            else {"results": [{"index": 0, "relevance_score": 1.0}]}
        )
    )
    common = {"model": "a/b", "api_key": "k", "base_url": server.url}

    for session_id in ("s", "thread", "", None):
        embeddings = OpenRouterEmbeddings(**common, session_id=session_id, user="")
        rerank = OpenRouterRerank(**common, session_id=session_id)
        builder = StateGraph(MessagesState)
        builder.add_node("embed", lambda _, e=embeddings: {"messages": [str(e.embed_query("x"))]})
        builder.add_node("rank", lambda _, r=rerank: {"messages": [str(r.rerank("q", ["d"]))]})
        builder.add_edge(START, "embed")
        builder.add_edge("embed", "rank")
        builder.compile().invoke({"messages": "x"}, {"configurable": {"thread_id": "t-3"}})

    settings = OpenRouterSettings(api_key="k", base_url=server.url, session_id="of-the-settings")
    await OpenRouterEmbeddings(model="a/b", settings=settings).aembed_query("x")
    await OpenRouterRerank(model="a/b", settings=settings).arerank("q", ["d"])

    sessions = [seen.headers.get("x-session-id") for seen in server.seen]
    assert sessions == ["s", "s", "t-3", "t-3", None, None, None, None, *["of-the-settings"] * 2]
    assert not any({"session_id", "user"} & set(seen.body) for seen in server.seen)


# --- features by header -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_response_cache_and_router_metadata_are_headers(serve, model_on, how):
    """As arguments of the model and of a call; nothing of them is in the body."""
    server = serve(answer)
    model = model_on(server, response_cache=600, router_metadata=True)
    await call(model, "x", how)
    await call(model, "x", how, response_cache=False, router_metadata=False)
    await call(model_on(server), "x", how)

    names = ("x-openrouter-cache", "x-openrouter-cache-ttl", "x-openrouter-metadata")
    sent = [[seen.headers.get(name) for name in names] for seen in server.seen]
    assert sent == [["true", "600", "enabled"], ["false", None, "disabled"], [None] * 3]
    assert server.seen[0].body == server.seen[1].body == server.seen[2].body


@pytest.mark.parametrize("value", [0, -1, 86_401])
def test_a_cache_time_out_of_range_is_refused(model_on, value):
    """When the model is made, and when it is called."""
    with pytest.raises(ValidationError, match="1 to 86400 seconds"):
        model_on(None, response_cache=value)
    with pytest.raises(ValueError, match="1 to 86400 seconds"):
        model_on(None).invoke("x", response_cache=value)


def test_one_title_header_is_sent(serve, model_on):
    """The former name `X-Title` and the present one are one header."""
    server = serve(Reply(whole()))
    model = model_on(server, app_title="A", default_headers={"X-Title": "B"})
    model.invoke("x")
    model.invoke("x", extra_headers={"x-openrouter-title": "C"})
    model.invoke("x", extra_headers={"X-TITLE": "D"})

    titles = [{k: v for k, v in seen.headers.items() if "title" in k} for seen in server.seen]
    assert titles == [{"x-title": "B"}, {"x-openrouter-title": "C"}, {"x-title": "D"}]
