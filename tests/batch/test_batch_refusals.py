"""What a batch does not take is refused by name, before anything is sent."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from langchain_openrouter import OpenRouterEmbeddings, OpenRouterRerank, errors
from langchain_openrouter.batch import submit
from langchain_openrouter.batch._custom_ids import build_custom_id, parse_custom_id
from langchain_openrouter.batch._requests import PendingRow
from tests.support.batches import KEY, model_on, posts

pytestmark = pytest.mark.usefixtures("quick_polls")

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
SECRET = "the prompt that nobody may quote"


@tool
def look_up(name: str) -> str:
    """Look a name up."""
    return name


def agent(model):
    """Return an agent, which calls its model repeatedly."""
    from langchain.agents import create_agent

    return create_agent(model, [look_up])


def rerank(model):
    """Return what the Batch API has no endpoint for."""
    return OpenRouterRerank(model="cohere/rerank-v3.5", api_key=KEY, base_url=model.openai_api_base)


def embeddings(model, **fields):
    """Return embeddings."""
    return OpenRouterEmbeddings(model="openai/text-embedding-3-small", api_key=KEY, base_url=model.openai_api_base, **fields)  # fmt: skip


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (agent, "an agent"),
        (rerank, "rerank"),
        (lambda m: m | StrOutputParser() | m, "calls 2 models"),
        (lambda m: RunnableLambda(len) | RunnableLambda(str), "calls 0 models"),
        (lambda m: m.with_fallbacks([m]), "RunnableWithFallbacks"),
        (lambda m: m.bind(deferred_tools={"tools": []}), "deferred_tools"),
        (lambda m: m.bind(models=["openai/gpt-4o"]), "models"),
        (lambda m: m.bind(modalities=["text", "image"]), "image"),
        (lambda m: m.bind(audio={"voice": "a"}), "audio"),
        (lambda m: m.bind(plugins=[{"id": "web"}]), "web"),
        (lambda m: m.bind(web_search_options={"search_context_size": "low"}), "web_search_options"),
        (lambda m: m.bind_tools([{"type": "openrouter:web_search"}]), "web search"),
        (lambda m: m.bind(provider={"zdr": True}), "provider.zdr"),
        (lambda m: m.bind(provider={"order": ["openai"]}), "provider.order"),
        (lambda m: m.with_structured_output({"title": "A", "type": "object", "properties": {}}, require_parameters=True), "provider.require_parameters"),
        (lambda m: m.bind(extra_headers={"x-a": "b"}), "extra_headers"),
        (lambda m: m.bind(extra_body={"stream": True}), "stream"),
        (lambda m: ChatPromptTemplate.from_messages([("user", "{x}"), ("user", [IMAGE])]) | m, "image_url"),
        (lambda m: embeddings(m, input_type="query"), "input_type"),
        (lambda m: embeddings(m, openrouter_provider={"order": ["openai"]}), "provider.order"),
    ],
)  # fmt: skip
def test_refused_by_name(emulator, make, says):
    """The message names what it is, where it works, and quotes no prompt."""
    model = make(model_on(emulator))
    rows = [{"x": SECRET, "query": "q", "documents": ["d"], "messages": [{"role": "user", "content": SECRET}], "input": SECRET}]  # fmt: skip
    prompt = (lambda row: {"x": row["x"]}) if "ChatPrompt" in repr(model)[:200] else "{x}"
    with pytest.raises(ValueError, match=says) as caught:
        submit(model, rows, prompt=prompt)

    assert "local" in str(caught.value) or "stream" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert posts(emulator) == []


def test_a_row_that_is_not_text_is_named(emulator):
    """Nothing is sent, the rows before it included."""
    rows = ["one", "two", [HumanMessage([{"type": "text", "text": SECRET}, IMAGE])]]
    with pytest.raises(ValueError, match=r"row 2: .*image_url") as caught:
        submit(model_on(emulator), rows)

    assert SECRET not in str(caught.value)
    assert posts(emulator) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"callback_url": "http://example.com"}, "https"),
        ({"completion_window": "48h"}, "24h"),
        ({"max_cost": 0}, "max_cost"),
        ({"handle_path": "a", "resume": 1}, "not both"),
    ],
)
def test_options_that_the_service_does_not_take(emulator, options, says):
    """Each is named."""
    with pytest.raises(ValueError, match=says):
        submit(model_on(emulator), ["one"], **options)
    assert emulator.requests == []


def test_models_and_rows_that_there_are_not(emulator):
    """A model without a batch variant, no rows, rows for two models, two rows with a key."""
    with pytest.raises(errors.ModelUnavailableError, match=r"gemini-2.5-flash:batch.* it runs"):
        submit(model_on(emulator, model="google/gemini-2.5-flash"), ["one"])
    with pytest.raises(ValueError, match="no rows"):
        submit(model_on(emulator), [])
    with pytest.raises(errors.BatchError, match="two rows"):
        submit(model_on(emulator), [{"id": 1, "t": "a"}, {"id": 1, "t": "b"}], prompt="{t}", key="id")  # fmt: skip
    assert posts(emulator) == []


def test_custom_ids_say_what_they_mean():
    """Whatever a key is, an id has 64 plain characters at most; what was not made here is nothing."""
    for key in (0, 7, -5, "", "a", "a b", "x" * 200, "п", "a-b_c", "\ud800"):
        made = build_custom_id("0" * 12, PendingRow(key, 7, "", "hash"))
        parsed = parse_custom_id(made)
        assert len(made) <= 64
        assert (parsed.index, parsed.run) == (7, "0" * 12)
    for text in (
        "",
        "a",
        "0" * 12 + "-1-" + "0" * 12 + "-b%",
        "../../etc",
        "0" * 12 + "-1",
        "0" * 12 + "-²-" + "0" * 12,
    ):
        assert parse_custom_id(text) is None
