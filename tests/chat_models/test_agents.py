"""Chains, agents and graphs over loopback HTTP: where users put the model."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain.chat_models import init_chat_model
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from langchain_openrouter import ChatOpenRouter, errors
from tests.support.loopback import Reply, stream, whole

pytestmark = pytest.mark.both_endpoints
DETAILS = [{"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0,
            "format": "anthropic-claude-v1"}]  # fmt: skip


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def get_time(city: str) -> str:
    """Tell the time in a city."""
    return f"noon in {city}"


class Report(BaseModel):
    """A report."""

    summary: str


def agent_reply(seen):
    """Call both tools, then report: as a call of Report, by schema, or as text."""
    body = seen.body
    message = {}
    if not any(m["role"] == "tool" for m in body["messages"]):
        message = {"reasoning": "hm", "reasoning_details": DETAILS, "tool_calls": [
            {"id": f"c{i}", "index": i, "type": "function",
             "function": {"name": name, "arguments": '{ "city": "Paris" }'}}
            for i, name in enumerate(["get_weather", "get_time"])]}  # fmt: skip
    elif "Report" in [t.get("function", {}).get("name") for t in body.get("tools", [])]:
        message = {"tool_calls": [{"id": "r", "index": 0, "type": "function", "function": {
            "name": "Report", "arguments": '{"summary": "fine"}'}}]}  # fmt: skip
    elif "response_format" in body:
        message = {"content": '{"summary": "fine"}'}
    else:
        message = {"content": "It is fine."}
    reason = "tool_calls" if "tool_calls" in message else "stop"
    identity = f"gen-{len(body['messages'])}"
    if body.get("stream"):
        reply = stream(message, reason=reason)
        return replace(reply, body=reply.body.replace(b"gen-1-abc", identity.encode()))
    choice = {"finish_reason": reason}
    return Reply(whole(message.pop("content", ""), message=message, choice=choice, id=identity))


def test_prompt_model_parser(serve, model_on):
    """The plainest chain: whole, streamed, in a batch, async."""
    model = model_on(
        serve(lambda s: stream("Hi", "!") if s.body.get("stream") else Reply(whole("Hi!")))
    )
    chain = ChatPromptTemplate.from_messages([("system", "s"), ("human", "{q}")]) | model | (
        StrOutputParser()
    )  # fmt: skip

    assert chain.invoke({"q": "x"}) == "Hi!"
    assert "".join(chain.stream({"q": "x"})) == "Hi!"
    assert chain.batch([{"q": "x"}] * 3) == ["Hi!"] * 3
    assert asyncio.run(chain.abatch([{"q": "x"}] * 3)) == ["Hi!"] * 3


@pytest.mark.parametrize("strategy", [Report, ToolStrategy(Report), ProviderStrategy(Report)])
@pytest.mark.parametrize("streaming", [False, True])
def test_create_agent_with_two_tools_and_a_structured_response(
    strategy, streaming, serve, model_on
):
    """Both tools run, the reasoning goes back verbatim, the response is structured."""
    server = serve(agent_reply)
    agent = create_agent(
        model_on(server, streaming=streaming), [get_weather, get_time], response_format=strategy
    )
    result = agent.invoke({"messages": [("human", "Paris?")]})

    assert result["structured_response"] == Report(summary="fine")
    results = [m.content for m in result["messages"] if isinstance(m, ToolMessage)]
    assert results[:2] == ["sunny in Paris", "noon in Paris"]
    second = server.seen[1].body["messages"][1]
    assert second["reasoning_details"] == DETAILS
    assert second["content"] is None
    assert [c["function"]["arguments"] for c in second["tool_calls"]] == ['{ "city": "Paris" }'] * 2
    for seen in server.seen:
        assert not [t for t in seen.body["tools"] if "strict" in t["function"]]


def test_create_agent_async_and_streamed(serve, model_on):
    """Token by token, async, through the graph."""
    agent = create_agent(model_on(serve(agent_reply)), [get_weather, get_time])

    async def run():
        return [
            message.text
            async for message, _ in agent.astream(
                {"messages": [("human", "Paris?")]}, stream_mode="messages"
            )
        ]

    assert "It is fine." in "".join(asyncio.run(run()))


def test_init_chat_model(serve, endpoint, monkeypatch):
    """`init_chat_model("openrouter:...")` finds this package."""
    server = serve(Reply(whole("Hi")))
    monkeypatch.setenv("OPENROUTER_API_KEY", "k")
    model = init_chat_model("openrouter:anthropic/claude-sonnet-4.6", base_url=server.url,
                            use_responses_api=endpoint == "responses",
                            temperature=0.8, max_retries=0)  # fmt: skip

    assert type(model) is ChatOpenRouter
    assert model.invoke("x").text == "Hi"
    assert server.seen[0].body["model"] == "anthropic/claude-sonnet-4.6"


def test_langgraph_with_a_checkpointer(serve, model_on):
    """A conversation survives the checkpoint: reasoning and raw arguments go back."""
    server = serve(agent_reply)
    model = model_on(server).bind_tools([get_weather, get_time])

    def node(state):
        chunks = list(model.stream(state["messages"]))
        return {"messages": [chunks[0] + chunks[1:]]}

    graph = StateGraph(MessagesState).add_node("ask", node).add_edge(START, "ask")
    saver = InMemorySaver()
    app = graph.compile(checkpointer=saver)
    config = {"configurable": {"thread_id": "1"}}
    app.invoke({"messages": [("human", "Paris?")]}, config)
    again = graph.compile(checkpointer=saver)
    results = [ToolMessage("fine", tool_call_id=f"c{i}") for i in range(2)]
    final = again.invoke({"messages": results}, config)

    assert final["messages"][-1].text == "It is fine."
    sent = server.seen[1].body["messages"][1]
    assert sent["reasoning_details"] == DETAILS
    assert sent["tool_calls"][0]["function"]["arguments"] == '{ "city": "Paris" }'


def test_deepagents(serve, endpoint, monkeypatch):
    """A deep agent given a model's name as a string runs on this package."""
    from deepagents import create_deep_agent

    if endpoint == "responses":
        pytest.skip("a model that is named by a string has no options")
    server = serve(agent_reply)
    monkeypatch.setenv("OPENROUTER_API_KEY", "k")
    monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
    agent = create_deep_agent(model="openrouter:openai/gpt-4o-mini", tools=[get_weather, get_time])
    result = agent.invoke({"messages": [("human", "Paris?")]})

    assert result["messages"][-1].text == "It is fine."
    assert server.seen[0].body["provider"] == {"ignore": ["azure"]}
    assert server.seen[0].headers["x-openrouter-title"] == "Deep Agents"


def test_summarization_middleware(serve, model_on):
    """It counts tokens with the model, and its trigger by reported tokens fires (trap 20)."""

    def reply(seen):
        return Reply(whole("summary" if "extract" in seen.raw.decode().lower() else "fine"))

    server = serve(reply)
    model = model_on(server)
    agent = create_agent(
        model, [],
        middleware=[SummarizationMiddleware(model, trigger=("tokens", 60), keep=("messages", 1))],
    )  # fmt: skip
    long = [HumanMessage("word " * 60), AIMessage("ok"), HumanMessage("and now?")]
    result = agent.invoke({"messages": long})

    assert any("summary" in str(m.content) for m in result["messages"])
    assert result["messages"][-1].text == "fine"


def test_retry_middleware_retries_what_can_succeed(serve, model_on):
    """Trap 23: 402, 409, 413 and 422 are asked once, 503 until it works."""
    for status, asked in ((402, 1), (409, 1), (413, 1), (422, 1), (503, 2)):

        def reply(_seen, status=status, counted=(counted := [])):
            counted.append(1)
            if len(counted) > 1:
                return Reply(whole("fine"))
            return Reply({"error": {"code": status, "message": "x"}}, status=status)

        server = serve(reply)
        retry = ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="error")
        agent = create_agent(model_on(server), [], middleware=[retry])
        if asked == 1:
            with pytest.raises(errors.ResponseError):
                agent.invoke({"messages": [("human", "x")]})
        else:
            assert agent.invoke({"messages": [("human", "x")]})["messages"][-1].text == "fine"
        assert len(counted) == asked


def test_fallbacks(serve, model_on):
    """`with_fallbacks` takes over on our errors, by type too."""
    bad = model_on(serve(Reply({"error": {"code": 429, "message": "slow"}}, status=429)))
    good = model_on(serve(Reply(whole("fine"))))
    chain = bad.with_fallbacks([good], exceptions_to_handle=(errors.RateLimitError,))

    assert chain.invoke("x").text == "fine"


def test_batch_reports_usage_by_model(serve, model_on):
    """LangChain's own usage callback sums what the messages say."""
    from langchain_core.callbacks import get_usage_metadata_callback

    model = model_on(serve(Reply(whole())))
    with get_usage_metadata_callback() as seen:
        model.batch(["a", "b", "c"])

    assert seen.usage_metadata["openai/gpt-4o-mini"]["total_tokens"] == 42


def test_events_of_every_version(serve, model_on):
    """`astream_events` v2 and the typed events of v3 carry the text and the end."""
    model = model_on(serve(stream({"reasoning": "hm"}, "Hi")))

    async def v2():
        return [e async for e in model.astream_events("x", version="v2")]

    end = asyncio.run(v2())[-1]
    assert end["event"] == "on_chat_model_end"
    assert end["data"]["output"].text == "Hi"
    output = model.stream_events("x", version="v3").output
    assert output.text == "Hi"
    assert output.response_metadata["cost"] == 0.0025
    assert json.loads(json.dumps(output.additional_kwargs))["reasoning_content"] == "hm"
