"""Other people's clients take the emulator for OpenRouter, each in an environment of its own.

The environment is made once, beside the packages of the tests, and again when a version changes.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_openrouter.testing import Emulator
from tests.support.environments import install

PACKAGES = ["openrouter==1.3.84", "pydantic-ai-slim[openrouter]==2.68.0", "litellm==1.110.2"]
SLUGS = ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4.6", "anthropic/claude-opus-5.5"]
pytestmark = pytest.mark.timeout(600)  # the first test makes the environment


@pytest.fixture(scope="module")
def python():
    """Return the Python of the clients' environment."""
    digest = hashlib.sha256(" ".join([*PACKAGES, sys.version]).encode()).hexdigest()[:12]
    folder = Path(sys.prefix) / f"clients-{digest}"
    complete = folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        install(folder, *PACKAGES, timeout=550)
        complete.touch()
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def emulator():
    """Start one emulator for all clients."""
    with Emulator() as started:
        yield started


# Runs one program for several models: to import a client can take ten seconds of CPU time.
FOR_EACH = """
import sys
program, url, *slugs = sys.argv[1:]
for slug in slugs or [""]:
    sys.argv[1:] = [url, slug]
    exec(compile(program, "program", "exec"), {"__name__": "__main__"})
"""


@pytest.fixture(scope="module")
def run(python, emulator):
    """Run a program with the address of the emulator; return the JSON that it prints last.

    With a slug, it is run for all of them, one after the other, in one process.
    """

    @functools.cache
    def run_program(program, *arguments):
        done = subprocess.run(
            [python, "-c", FOR_EACH, program, emulator.url, *arguments],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1"},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return [
            json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", "["))
        ]

    def run_for(program, slug=None):
        printed = run_program(program, *(SLUGS if slug else ()))
        assert len(printed) == (len(SLUGS) if slug else 1)
        return printed[SLUGS.index(slug) if slug else 0]

    return run_for


# --- OpenRouter's own SDK ---------------------------------------------------------------------

SDK = """
import asyncio, json, sys
from openrouter import OpenRouter, errors

TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
client = OpenRouter(api_key="k", server_url=sys.argv[1])

def user(text):
    return [{"role": "user", "content": text}]
"""

BESIDE_CHAT = """
models = client.models.list().result
endpoints = client.endpoints.list(author="anthropic", slug="claude-opus-5.5").data.endpoints
key = client.api_keys.get_current_key_metadata().data
embedded = client.embeddings.generate(model="openai/text-embedding-3-small", input=["a", "b"])
ranked = client.rerank.rerank(model="cohere/rerank-v3.5", query="a", documents=["b", "a"])
providers = client.providers.list().data
count = client.models.count().data.count
one = client.models.get(author="openai", slug="gpt-4o-mini").data
print(json.dumps({
    "models": [m.id for m in models.data],
    "mandatory": [m.id for m in models.data if m.reasoning and m.reasoning.mandatory],
    "aliases": {m.id: m.alias_target.slug for m in models.data if m.alias_target},
    "required": [e.supports_tool_choice.required for e in endpoints],
    "budgets": [(b.scope, b.remaining_usd, b.resets_at.hour) for b in key.budgets],
    "effective": key.effective_budget.scope,
    "free": key.free_model_daily_requests.limit,
    "expires": key.expires_at.year,
    "vectors": [len(row.embedding) for row in embedded.data],
    "ranked": [r.index for r in ranked.results],
    "providers": [p.slug for p in providers],
    "count": count,
    "one": one.id,
}))
"""


def test_openrouters_sdk_parses_what_is_beside_chat(run, emulator):
    """Models, endpoints, a key with its budgets, embeddings, rerank, providers."""
    emulator.accounts.add_key(
        "k", limit=5.0, limit_reset="daily", expires_at="2099-01-01T00:00:00+00:00"
    )
    parsed = run(SDK + BESIDE_CHAT)
    emulator.accounts.add_key("k")

    assert "openai/gpt-4o-mini" in parsed["models"]
    assert "anthropic/claude-opus-5.5" in parsed["mandatory"]
    assert parsed["aliases"]["~anthropic/claude-opus-latest"] == "anthropic/claude-opus-5.5"
    assert parsed["required"] == [False] * 3
    assert parsed["budgets"] == [["key_limit", 5.0, 0]]
    assert (parsed["effective"], parsed["free"], parsed["expires"]) == ("key_limit", 1000, 2099)
    assert parsed["vectors"] == [64, 64]
    assert parsed["ranked"] == [1, 0]
    assert parsed["providers"][0] == "openai"
    assert (parsed["count"], parsed["one"]) == (len(parsed["models"]) + 3, "openai/gpt-4o-mini")


CHAT = """
slug = sys.argv[2]

def told(result):
    choice = result.choices[0]
    calls = choice.message.tool_calls or []
    return [choice.message.content, [c.function.arguments for c in calls], result.usage.cost,
            bool(choice.message.reasoning)]

async def main():
    async with client:
        answer = await client.chat.send_async(model=slug, messages=user("Tell me"))
        stream = await client.chat.send_async(model=slug, messages=user("Tell me"), stream=True)
        return told(answer), [event async for event in stream]

called = client.chat.send(
    model=slug, messages=user("What is the weather in Oslo?"), tools=[TOOL], tool_choice="auto")
streamed = list(client.chat.send(model=slug, messages=user("Tell me"), stream=True))
answer, astreamed = asyncio.run(main())

def joined(events):
    deltas = [e.choices[0].delta for e in events if e.choices]
    return "".join(d.content or "" for d in deltas)

print(json.dumps({"called": told(called), "answer": answer, "streamed": joined(streamed),
                  "astreamed": joined(astreamed), "cost": streamed[-1].usage.cost}))
"""


@pytest.mark.parametrize("slug", SLUGS)
def test_openrouters_sdk_parses_chat_and_streams(run, slug):
    """Sync and async, with a tool call, the usage and, where there is any, the reasoning."""
    parsed = run(SDK + CHAT, slug)
    text, calls, cost, reasons = parsed["answer"]

    assert json.loads(parsed["called"][1][0]) == {"city": "Oslo"}
    assert calls == []
    assert text == parsed["streamed"] == parsed["astreamed"]
    assert cost == parsed["cost"] > 0
    assert reasons == (slug == "anthropic/claude-opus-5.5")


REFUSED = """
def refusal(**words):
    try:
        client.chat.send(messages=user("x"), **words)
    except errors.OpenRouterError as error:
        return [type(error).__name__, error.status_code, json.loads(error.body)["error"]["code"]]

print(json.dumps([
    refusal(model="anthropic/claude-opus-5.5", tools=[TOOL], tool_choice="required"),
    refusal(model="anthropic/claude-opus-5.5", reasoning={"effort": "none"}),
    refusal(model="anthropic/claude-opus-5.5", provider={"only": ["groq"]}),
]))
"""


def test_openrouters_sdk_knows_the_refusals(run):
    """A forced tool, reasoning turned off, no provider left: each is its own typed error."""
    assert run(SDK + REFUSED) == [
        ["BadRequestResponseError", 400, 400],
        ["BadRequestResponseError", 400, 400],
        ["NotFoundResponseError", 404, 404],
    ]


# --- pydantic-ai ------------------------------------------------------------------------------

PYDANTIC_AI = """
import asyncio, json, sys
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openrouter import OpenRouterModel
from pydantic_ai.providers.openrouter import OpenRouterProvider

class City(BaseModel):
    name: str

client = AsyncOpenAI(base_url=sys.argv[1], api_key="k")
model = OpenRouterModel(sys.argv[2], provider=OpenRouterProvider(openai_client=client))
agent = Agent(model)

@agent.tool_plain
def get_weather(city: str) -> str:
    return f"sunny in {city}"

async def main():
    answer = await agent.run("What is the weather in Oslo?")
    async with agent.run_stream("Tell me a tale") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    city = await Agent(model, output_type=City).run("Paris please")
    print(json.dumps({"answer": answer.output, "requests": answer.usage.requests,
                      "pieces": pieces, "city": city.output.name}))

asyncio.run(main())
"""


@pytest.mark.parametrize("slug", SLUGS)
def test_pydantic_ai_runs_an_agent_and_a_stream(run, slug):
    """A tool is called and its result answered; a text arrives in pieces; an output is typed."""
    parsed = run(PYDANTIC_AI, slug)

    assert parsed["answer"] == "The tool answered: sunny in Oslo"
    assert parsed["requests"] == 2
    assert len(parsed["pieces"]) > 10
    assert parsed["city"] == "Paris"


# --- LiteLLM ----------------------------------------------------------------------------------

LITELLM = """
import asyncio, json, sys
import litellm

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                   "required": ["city"]}}}]
words = {"model": "openrouter/" + sys.argv[2], "api_base": sys.argv[1], "api_key": "k"}

async def main():
    messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
    called = await litellm.acompletion(**words, messages=messages, tools=TOOLS)
    call = called.choices[0].message.tool_calls[0]
    messages += [called.choices[0].message.model_dump(exclude_none=True),
                 {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    answer = await litellm.acompletion(**words, messages=messages, tools=TOOLS)
    tale = [{"role": "user", "content": "Tell me a tale"}]
    stream = await litellm.acompletion(**words, messages=tale, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    return call.function.arguments, answer.choices[0].message.content, pieces, called.usage.cost

arguments, answer, pieces, cost = asyncio.run(main())
tale = [{"role": "user", "content": "Tell me a tale"}]
sync = "".join(c.choices[0].delta.content or ""
               for c in litellm.completion(**words, messages=tale, stream=True))
print(json.dumps({"arguments": arguments, "answer": answer, "pieces": pieces, "sync": sync,
                  "cost": cost}))
"""


@pytest.mark.parametrize("slug", SLUGS)
def test_litellm_runs_a_tool_call_and_a_stream(run, slug):
    """A tool is called and its result answered; a text arrives in pieces; the cost is there."""
    parsed = run(LITELLM, slug)

    assert json.loads(parsed["arguments"]) == {"city": "Oslo"}
    assert parsed["answer"] == "The tool answered: sunny"
    assert parsed["sync"] == "".join(parsed["pieces"])
    assert len(parsed["pieces"]) > 10
    assert parsed["cost"] > 0
