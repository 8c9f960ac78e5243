"""Runs as server-sent events: models, chains, agents and graphs."""

from __future__ import annotations

import json
import operator
import re
from pathlib import Path
from typing import Annotated, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.callbacks import adispatch_custom_event
from langchain_core.messages import ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from langchain_openrouter import ChatOpenRouter, current_user
from langchain_openrouter.middleware import PerUserModel
from langchain_openrouter.testing import Call, Fault, Reply
from langchain_openrouter.web import SignIn, events_response, sse_response
from tests.support.webapp import SECRET, Visit, in_thread

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "web.md").read_text(encoding="utf-8")
QUESTION = {"messages": [("user", "How is the weather in Paris?")]}
CALL = Reply("Let me see.", tool_calls=[Call("weather", {"city": "Paris"})])


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


@pytest.fixture
def model_with(emulate):
    """Make a model whose answers are scripted."""

    def make(*replies, **options):
        emulator = emulate(list(replies))
        return ChatOpenRouter(
            model="openai/gpt-4o-mini",
            base_url=emulator.url,
            api_key="a-key",
            max_retries=0,
            **options,
        )

    return make


def parse(text):
    """Return the events of a stream; the text of neighbors in one."""
    events = []
    for block in text.split("\n\n")[:-1]:
        name, data = re.fullmatch(r"event: (\w+)\ndata: (.*)", block).groups()
        data = json.loads(data)
        if events and events[-1][0] == name in {"text", "reasoning"}:
            events[-1] = (name, events[-1][1] + data)
        else:
            events.append((name, data))
    return events


async def events_of(*args, **kwargs):
    """Return the events of a run."""
    return parse("".join([part async for part in sse_response(*args, **kwargs).body_iterator]))


def names(events):
    """Return the names of events."""
    return [name for name, _ in events]


async def test_a_model(model_with):
    """Reasoning, text, a complete tool call, and what it cost."""
    reply = Reply("Let me see.", reasoning="Hm.", tool_calls=CALL.tool_calls, usage={"cost": 0.25})
    model = model_with(reply, reply)
    tools = [{"type": "function", "function": {"name": "weather"}}]
    events = await events_of(model, "Hi", tools=tools)

    assert names(events) == ["reasoning", "text", "tool_call", "done"]
    assert [data for _, data in events[:2]] == ["Hm.", "Let me see."]
    call = events[2][1]
    assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
    assert events[3][1] == {
        "cost": 0.25, "provider": "OpenAI", "model_name": "openai/gpt-4o-mini",
        "finish_reason": "tool_calls", "input_tokens": 9, "output_tokens": events[3][1]["output_tokens"],
    }  # fmt: skip
    bound = await events_of(model.bind_tools([weather]), "Hi")
    assert names(bound) == names(events)
    assert events_response is sse_response


async def test_a_cut_tool_call_tells_its_error(model_with):
    """With what the model wrote of it."""
    call = Call("weather", '{"city": "Par')
    model = model_with(
        Reply(tool_calls=[call], finish_reason="length", native_finish_reason="length")
    )
    events = await events_of(model.bind_tools([weather]), "Hi")

    assert names(events) == ["tool_call", "done"]
    assert events[0][1]["args"] == '{"city": "Par'
    assert events[0][1]["error"]
    assert events[1][1]["finish_reason"] == "length"


async def test_an_agent(model_with):
    """Each step, tool call and result in order; the cost of all calls."""
    model = model_with(Reply("Let me see.", tool_calls=CALL.tool_calls, usage={"cost": 0.25}),
                       Reply("Sunny.", reasoning="Easy.", usage={"cost": 0.5}))  # fmt: skip
    events = await events_of(create_agent(model, [weather]), QUESTION)

    assert names(events) == ["step", "text", "tool_call", "step", "tool_result", "step", "reasoning", "text", "done"]  # fmt: skip
    assert [data for name, data in events if name == "step"] == [
        {"name": name, "path": [name]} for name in ("model", "tools", "model")
    ]
    call, result = events[2][1], events[4][1]
    assert result == {"id": call["id"], "name": "weather", "status": "success", "content": "sunny in Paris"}  # fmt: skip
    assert events[-2] == ("text", "Sunny.")
    assert events[-1][1]["cost"] == 0.75


async def test_include_selects(model_with):
    """But the end is always sent; a misspelled name is refused at once."""
    model = model_with(CALL, "Sunny.")
    events = await events_of(create_agent(model, [weather]), QUESTION, include={"text"})

    assert names(events) == ["text", "done"]
    assert events[0][1] == "Let me see.Sunny."
    with pytest.raises(ValueError, match="no such event: texts"):
        sse_response(model, "Hi", include={"texts"})


async def test_a_chain_tells_its_text_once(model_with):
    """The model's, not the parser's again; its parts that are chains or functions are steps."""
    prompt = ChatPromptTemplate.from_template("{question}")
    look_up = RunnableLambda(lambda question: {"question": question}).with_config(
        run_name="look up"
    )
    chain = look_up | prompt | model_with("Blue.") | StrOutputParser()

    assert (await events_of(chain, "Why?"))[:-1] == [
        ("step", {"name": "look up", "path": ["look up"]}), ("text", "Blue."),
    ]  # fmt: skip


async def test_a_chain_tells_its_result(model_with):
    """A value as JSON; text that no model told as text."""

    class City(BaseModel):
        name: str
        secret: object = None

    model = model_with('{"name": "Paris"}')
    events = await events_of(model.with_structured_output(City, method="json_schema"), "Where?")
    assert ("result", {"name": "Paris", "secret": None}) in events
    assert events[-1][0] == "done"
    assert (await events_of(RunnableLambda(str.upper), "hi"))[0] == ("text", "HI")
    circle = {}
    circle["self"] = circle
    assert (await events_of(RunnableLambda(lambda _: circle), "hi"))[0] == ("result", "<dict>")
    odd = RunnableLambda(lambda _: {(1, 2): float("nan"), "x": b"\xff", "y": City(name="\ud800")})
    assert (await events_of(odd, "hi"))[0][1]["1,2"] is None


async def test_an_agents_structured_response_is_its_result(model_with):
    """The rest of its state is not sent."""

    class City(BaseModel):
        name: str

    model = model_with(Reply(tool_calls=[Call("City", {"name": "Paris"})]))
    from langchain.agents.structured_output import ToolStrategy

    events = await events_of(create_agent(model, response_format=ToolStrategy(City)), QUESTION)
    assert [data for name, data in events if name == "result"] == [{"name": "Paris"}]


async def test_a_graph_waits_for_a_person_and_goes_on(model_with):
    """`interrupt`, then `Command(resume=...)` on the same thread."""

    @tool
    def book(city: str) -> str:
        """Book a flight."""
        return interrupt({"question": f"Really {city}?"})

    model = model_with(Reply(tool_calls=[Call("book", {"city": "Paris"})]), "Booked.")
    agent = create_agent(model, [book], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    asked = await events_of(agent, QUESTION, config=config)
    resumed = await events_of(agent, Command(resume="yes"), config=config)

    assert names(asked) == ["step", "tool_call", "step", "interrupt", "done"]
    assert asked[3][1]["value"] == {"question": "Really Paris?"}
    assert names(resumed) == ["step", "tool_result", "step", "text", "done"]
    assert resumed[1][1]["content"] == "yes"


async def test_what_runs_inside_a_tool_or_a_hook_is_not_told(model_with):
    """A subagent's text is not the answer; its cost is counted, its result is the tool's."""
    inner = create_agent(model_with(Reply("Secret thoughts.", usage={"cost": 0.5})))
    summarizer = model_with(Reply("A summary.", usage={"cost": 1.0}))

    @tool
    async def weather(city: str) -> str:
        """Ask a subagent."""
        return (await inner.ainvoke({"messages": [("user", city)]}))["messages"][-1].text[:6]

    class Summarize(AgentMiddleware):
        async def abefore_agent(self, state, runtime):
            await summarizer.ainvoke("Sum up")

    model = model_with(Reply(tool_calls=CALL.tool_calls, usage={"cost": 0.25}), Reply("Sunny.", usage={"cost": 0.25}))  # fmt: skip
    events = await events_of(create_agent(model, [weather], middleware=[Summarize()]), QUESTION)

    assert [data for name, data in events if name == "text"] == ["Sunny."]
    assert [data["content"] for name, data in events if name == "tool_result"] == ["Secret"]
    assert [d["name"] for n, d in events if n == "step"] == ["Summarize.before_agent", "model", "tools", "model"]  # fmt: skip
    assert events[-1][1]["cost"] == 2.0


async def test_a_graph_of_graphs(model_with):
    """The path of a step leads through the graphs; a node's own events; a node that is hidden."""
    hidden = model_with("Not for the page.").with_config(tags=["nostream"])

    class State(TypedDict):
        messages: Annotated[list, operator.add]

    async def note(state):
        await adispatch_custom_event("progress", {"percent": 50})
        await hidden.ainvoke("x")

    graph = StateGraph(State)
    graph.add_node("note", note)
    graph.add_node("team", create_agent(model_with(CALL, "Sunny."), [weather]))
    graph.add_edge("__start__", "note")
    graph.add_edge("note", "team")
    events = await events_of(graph.compile(), {"messages": [("user", "Hi")]})

    assert ("custom", {"name": "progress", "data": {"percent": 50}}) in events
    assert [data["path"] for name, data in events if name == "step"] == [
        ["note"], ["team"], ["team", "model"], ["team", "tools"], ["team", "model"],
    ]  # fmt: skip
    assert [data for name, data in events if name == "text"] == ["Let me see.", "Sunny."]
    assert "result" not in names(events)


async def test_tools_that_answer_with_commands_and_errors(model_with):
    """A command's message is the result; an exception is named and not quoted."""

    @tool
    def hand_over(city: str, call_id: Annotated[str, InjectedToolCallId]) -> Command:
        """Hand over."""
        return Command(update={"messages": [ToolMessage("handed over", tool_call_id=call_id)]})

    @tool
    def fail(city: str) -> str:
        """Fail."""
        raise RuntimeError("password=hunter2")  # noqa: EM101 - as a tool does

    calls = [Call("hand_over", {"city": "x"}), Call("fail", {"city": "x"})]
    events = await events_of(create_agent(model_with(Reply(tool_calls=calls)), [hand_over, fail]), QUESTION)  # fmt: skip
    results = {data["name"]: data for name, data in events if name == "tool_result"}

    assert (results["hand_over"]["content"], results["hand_over"]["status"]) == ("handed over", "success")  # fmt: skip
    assert (results["fail"]["content"], results["fail"]["status"]) == ("RuntimeError", "error")
    assert events[-1][0] == "error"
    assert events[-1][1]["message"] == "the run failed (RuntimeError)"
    assert "hunter2" not in json.dumps(events)


@pytest.mark.parametrize("kind", ["model", "chain", "agent"])
async def test_an_error_has_its_type_and_what_came(model_with, kind):
    """In mid-answer, whatever ran."""
    model = model_with(Reply("some words and more", fault=Fault("cut", after=3)))
    run = {"model": model, "chain": ChatPromptTemplate.from_template("{messages}") | model,
           "agent": create_agent(model)}[kind]  # fmt: skip
    events = await events_of(run, "Hi" if kind == "model" else QUESTION)
    error = events[-1][1]

    assert events[-1][0] == "error"
    assert (error["type"], error["is_retryable"]) == ("ConnectionFailedError", True)
    assert "cut short" in error["message"]
    assert error["partial"] == "some words" == "".join(d for n, d in events if n == "text")
    assert error["cost"] is None


async def test_an_error_about_money_leads_to_the_page(emulate):
    """Where the visitor raises the limit."""
    emulator = emulate()
    key = emulator.accounts.add_key(limit=0.0)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url, api_key=key.secret, max_retries=0)  # fmt: skip
    ((name, error),) = await events_of(model, "Hi")

    assert (name, error["type"]) == ("error", "InsufficientCreditsError")
    assert error["settings_url"].startswith(f"{emulator.site}/")
    assert key.secret not in json.dumps(error)


async def test_other_exceptions_are_logged_and_not_quoted(caplog):
    """A bug is the server's matter."""

    def broken(_):
        raise KeyError("sk-or-v1-0123456789abcdef")  # noqa: EM101 - as a bug does

    events = await events_of(RunnableLambda(broken), "x")
    assert events == [("error", {"type": "KeyError", "message": "the run failed (KeyError)", "cost": None})]  # fmt: skip
    assert caplog.records[0].name == "langchain_openrouter.web.streams"
    assert caplog.records[0].exc_info[0] is KeyError


class Site:
    """Routes that run chains and agents for visitors."""

    def __init__(self, emulator):
        sign_in = SignIn(secret=SECRET, base_url=emulator.url)
        options = {"model": "openai/gpt-4o-mini", "base_url": emulator.url, "max_retries": 0}
        anyone = ChatOpenRouter(api_key=current_user, **options)
        operators = ChatOpenRouter(api_key="the-operators", **options)
        user_model = sign_in.user_model(operators)
        per_user = create_agent(
            operators, [weather], middleware=[PerUserModel(lambda visitor: visitor.key)]
        )

        async def run(request):
            visitor = await sign_in.visitor(request)
            kind = request.path_params["kind"]
            if kind == "current-user":
                return sse_response(anyone | StrOutputParser(), "Hi", visitor=visitor)
            if kind == "operators":
                return sse_response(operators | StrOutputParser(), "Hi", visitor=visitor)
            if kind == "per-user":
                return sse_response(per_user, QUESTION, context=visitor)
            return sse_response(await user_model(request), request.query_params["question"])

        async def page(request):
            return HTMLResponse("<!doctype html><body></body>")

        self.app = Starlette(
            routes=[
                Mount("/auth", sign_in.router),
                Route("/", page),
                Route("/run/{kind}", run),
                Route("/{kind:path}", run, methods=["POST"]),
            ]
        )


def test_each_visitor_runs_chains_and_agents_on_their_own_key(emulate):
    """At once: `visitor=` and `context=`; a key of the operator's is an error inside."""
    from concurrent.futures import ThreadPoolExecutor

    emulator = emulate(lambda request: f"You are {request.key}", any_key=False)
    with in_thread(Site(emulator).app) as url, ThreadPoolExecutor(8) as pool:
        visits = [Visit(url) for _ in range(4)]
        for number, visit in enumerate(visits):
            visit.sign_in(f"user_{number}")
        jobs = [(visit, kind) for visit in visits for kind in ("current-user", "per-user")] * 3
        texts = list(pool.map(lambda job: job[0].get(f"/run/{job[1]}").text, jobs))
        refused = parse(visits[0].get("/run/operators").text)
        for visit in visits:
            visit.close()

    for (visit, _), text in zip(jobs, texts, strict=True):
        said = "".join(data for name, data in parse(text) if name == "text")
        key = said.removeprefix("You are ")
        assert emulator.accounts.keys[key].user_id == f"user_{visits.index(visit)}"
    assert refused[0][1]["type"] == "AuthenticationError"
    assert "the-operators" not in {request.key for request in emulator.chats}


def test_a_disconnect_stops_an_agent(emulate):
    """Upstream too, and the run goes no further."""
    emulator = emulate([Reply("a " * 500, pause=0.02, tool_calls=CALL.tool_calls)], any_key=False)
    with in_thread(Site(emulator).app) as url:
        ann = Visit(url)
        ann.sign_in()
        with ann.client.stream("GET", f"{url}/run/per-user") as response:
            next(part for part in response.iter_text() if "event: text" in part)
        assert emulator.chats[0].gone.wait(10)
        ann.close()
    assert len(emulator.chats) == 1


def test_the_client_of_the_guide_works_in_a_browser(emulate, browser):
    """Ten lines, as they are printed there; characters that are cut in two by the network too."""
    (client,) = re.findall(r"^```js\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(client.split("\n\n")[0].splitlines()) <= 11
    emulator = emulate(lambda _: "Grüße & <b>Küsse</b> 🎉\n\nzwei\u2028drei", any_key=False)
    with in_thread(Site(emulator).app) as url:
        page = browser.new_page()
        page.goto(f"{url}/auth/sign-in?next=/")
        page.get_by_role("button", name="Approve").click()
        page.wait_for_url(f"{url}/")
        page.evaluate(f"async () => {{ {client} }}")
        assert (
            page.evaluate("document.body.textContent")
            == "Grüße & <b>Küsse</b> 🎉\n\nzwei\u2028drei"
        )
        page.close()
