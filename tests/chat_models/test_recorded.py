"""This package on its own cassettes: recorded against the emulator, replayed with no network."""

from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from langchain_openrouter import ChatOpenRouter, PKCELogin, UserKey, errors
from langchain_openrouter.testing import (
    Call,
    Fault,
    Reply,
    assert_prefix_stable,
    assert_reasoning_returned,
    error,
)
from langchain_openrouter.testing.emulator._replies import PIXEL

pytestmark = pytest.mark.openrouter
PDF = base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()
BOTH = pytest.mark.parametrize("how", ["sync", "async"])


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    degrees: int


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"20 degrees in {city}"


def model(**words):
    """Make a model as a user would: no key, no address."""
    return ChatOpenRouter(model="anthropic/claude-sonnet-4.6", **words)


def ask(runnable, question, how):
    """Ask whole, sync or async."""
    return runnable.invoke(question) if how == "sync" else asyncio.run(runnable.ainvoke(question))


def ask_streamed(runnable, question, how):
    """Ask streamed, sync or async; return the sum of the chunks."""

    async def chunks():
        return [chunk async for chunk in runnable.astream(question)]

    parts = list(runnable.stream(question)) if how == "sync" else asyncio.run(chunks())
    whole = parts[0]
    for part in parts[1:]:
        whole += part
    return whole


@BOTH
def test_chat(how):
    """A whole answer, with its cost and provider."""
    answer = ask(model(), "Hello there", how)

    assert answer.text.startswith("Hello!")
    assert answer.response_metadata["cost"] > 0
    assert answer.response_metadata["provider"] == "Anthropic"


@BOTH
def test_streaming(how):
    """The same in pieces of a byte, seven bytes, and more."""
    answer = ask_streamed(model(), "Hello there", how)

    assert answer.text.startswith("Hello!")
    assert answer.usage_metadata["total_tokens"] > 0
    assert answer.response_metadata["finish_reason"] == "stop"


@BOTH
def test_tools(how):
    """Called, answered, and answered again: the prefix stays."""
    bound = model().bind_tools([get_weather])
    asked = [HumanMessage("What is the weather in Paris?")]
    first = ask(bound, asked, how)
    call = first.tool_calls[0]
    second = ask(
        bound,
        [*asked, first, ToolMessage(get_weather(**call["args"]), tool_call_id=call["id"])],
        how,
    )

    assert call["args"] == {"city": "Paris"}
    assert "20 degrees in Paris" in second.text


def test_tools_keep_the_prefix(openrouter):
    """What a prompt cache needs, over three turns."""
    bound = model().bind_tools([get_weather])
    messages = [HumanMessage("What is the weather in Paris?")]
    for _ in range(2):
        answer = bound.invoke(messages)
        messages.append(answer)
        messages += [ToolMessage("ok", tool_call_id=call["id"]) for call in answer.tool_calls]
        messages.append(HumanMessage("And the weather in Rome?"))
    bound.invoke(messages)

    assert_prefix_stable(openrouter.exchanges)


@BOTH
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output(how, method):
    """In all methods."""
    question = 'In "Paris" it is 20. Answer with JSON of "city" and "degrees".'
    if method == "json_mode":
        made = ask(model().with_structured_output(None, method=method), question, how)
        assert set(made) >= {"city", "degrees"}
    else:
        made = ask(
            model().with_structured_output(Weather, method=method), "In Paris it is 20.", how
        )
        assert made == Weather(city="Paris", degrees=20)


@BOTH
@pytest.mark.parametrize(
    "slug", ["anthropic/claude-sonnet-4.6", "openai/gpt-4o-mini", "google/gemini-2.5-flash"]
)
def test_reasoning_goes_back(openrouter, how, slug):
    """Details and signatures, streamed first and whole after, exactly as they came."""
    thinker = ChatOpenRouter(model=slug, reasoning={"effort": "high"})
    first = ask_streamed(thinker, "Why?", how)
    ask(thinker, [HumanMessage("Why?"), first, HumanMessage("And why that?")], how)

    assert first.content_blocks[0]["type"] == "reasoning"
    assert_reasoning_returned(openrouter.exchanges)


@BOTH
def test_images_in_and_out(how):
    """A picture goes in, a picture comes out."""
    painter = ChatOpenRouter(model="google/gemini-2.5-flash-image", modalities=["image", "text"])
    question = HumanMessage([
        {"type": "text", "text": "Paint this in blue"},
        {"type": "image", "base64": PIXEL.partition(",")[2], "mime_type": "image/png"},
    ])  # fmt: skip
    answer = ask(painter, [question], how)

    assert "image" in answer.text
    assert [block["type"] for block in answer.content_blocks if block["type"] == "image"] == [
        "image"
    ]


@BOTH
def test_a_pdf_is_parsed_once(openrouter, how):
    """Its annotation goes back, so that it is not paid for twice."""
    question = HumanMessage([
        {"type": "text", "text": "Sum this up"},
        {"type": "file", "base64": PDF, "mime_type": "application/pdf", "filename": "a.pdf"},
    ])  # fmt: skip
    first = ask(model(), [question], how)
    ask(model(), [question, first, HumanMessage("Shorter")], how)

    sent = openrouter.exchanges[1].body["messages"][1]
    assert sent["annotations"] == first.additional_kwargs["annotations"]


@BOTH
@pytest.mark.openrouter(
    script=[error("rate_limit", retry_after=2), error("overloaded"), "At last."]
)
def test_a_retry(how):
    """429, 503, and then an answer: a cassette plays each once, in order."""
    assert ask(model(max_retries=2), "x", how).text == "At last."


@BOTH
@pytest.mark.parametrize(
    ("name", "kind"),
    [("payment_required", errors.InsufficientCreditsError), ("moderation", errors.ModerationError),
     ("no_endpoints", errors.ModelUnavailableError), ("context_length", errors.ContextOverflowError)],
)  # fmt: skip
@pytest.mark.openrouter(
    script=lambda asked: error(asked.body["messages"][0]["content"]),
)
def test_errors(how, name, kind):
    """Typed, from a recording as from the wire."""
    with pytest.raises(kind):
        ask(model(max_retries=0), name, how)


@pytest.mark.openrouter(script=[error("provider", "event", text="So far")])
def test_an_error_in_mid_stream():
    """With what came before it."""
    with pytest.raises(errors.UpstreamError) as caught:
        list(model(max_retries=0).stream("x"))

    assert caught.value.partial.text == "So far"


@BOTH
def test_the_sign_in(openrouter, how):
    """Code, key, what the key may spend, a model on it: nothing of it is in the file."""
    login = PKCELogin.start(key_label="Recorded", limit=5)
    code = openrouter.approve(login, "user_ann")
    key = login.redeem(code) if how == "sync" else asyncio.run(login.aredeem(code))
    info = key.info()
    answer = ask(model().for_user(key), "Hello", how)

    assert isinstance(key, UserKey)
    assert (info.label, info.limit) == ("Recorded", 5.0)
    assert answer.text.startswith("Hello!")


@BOTH
def test_an_agent(how):
    """Tool, answer, structured response."""
    agent = create_agent(model(), [get_weather], response_format=Weather)
    question = {"messages": [HumanMessage("What is the weather in Paris? It is 20.")]}
    result = agent.invoke(question) if how == "sync" else asyncio.run(agent.ainvoke(question))

    assert any(isinstance(m, ToolMessage) and "Paris" in m.text for m in result["messages"])
    assert result["structured_response"].city == "Paris"


def test_threads():
    """A batch in threads: each answer belongs to its question."""
    chain = ChatPromptTemplate.from_template("Say {word}") | model()
    words = ["one", "two", "three", "four", "five", "six"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda word: chain.invoke({"word": word}), words))

    assert [word in answer.text for word, answer in zip(words, answers, strict=True)] == [True] * 6
    assert all(isinstance(answer, AIMessage) for answer in answers)


@pytest.mark.openrouter(script=[Reply(tool_calls=[Call("get_weather", '{"city": "Par', id="c1")],
                                      finish_reason="length"), Reply("x", fault=Fault("duplicate"))])  # fmt: skip
def test_awkward_answers():
    """A cut call is invalid; doubled events are read as they come."""
    cut = model().bind_tools([get_weather]).invoke("x")

    assert not cut.tool_calls
    assert cut.invalid_tool_calls[0]["args"] == '{"city": "Par'
    assert ask_streamed(model(), "x", "sync").response_metadata["finish_reason"] == "stop"
