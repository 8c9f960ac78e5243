"""A third party's mock of OpenRouter agrees: aimock, from npm, started on loopback."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess

import pytest

from langchain_openrouter import ChatOpenRouter, errors

PACKAGE = "@copilotkit/aimock@1.43.0"
FIXTURES = [
    ({"userMessage": "hello"}, {"content": "Hello from a mock!", "usage": {
        "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "cost": 0.00042}}),
    ({"userMessage": "think"}, {"content": "Forty-two.", "reasoning": "Let me see."}),
    ({"userMessage": "weather"}, {"toolCalls": [{"name": "get_weather", "arguments": '{"city": "Paris"}'}]}),
    ({"userMessage": "who", "model": "first/model"}, {"error": {"message": "overloaded", "type": "x"}, "status": 503}),
    ({"userMessage": "who", "model": "second/model"}, {"content": "The second."}),
    ({"userMessage": "broken"}, {"error": {"message": "slow down", "type": "x"}, "status": 429}),
]  # fmt: skip
SERVER = """
import { LLMock } from "@copilotkit/aimock";
const mock = new LLMock({ port: 0 });
for (const [match, response] of JSON.parse(process.argv[2])) {
  mock.addFixture({ match, response, openRouterProcessing: true });
}
await mock.start();
console.log(mock.url);
"""


@pytest.fixture(scope="module")
def aimock(tmp_path_factory):
    """Install and start the mock; return its base URL."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("no Node here: aimock cannot be started")
    folder = tmp_path_factory.mktemp("aimock")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    npm = [shutil.which("npm"), "install", "--silent", "--no-audit", "--no-fund", PACKAGE]
    subprocess.run(npm, cwd=folder, check=True, timeout=100)
    (folder / "server.js").write_text(SERVER)
    command = [shutil.which("node"), "server.js", json.dumps(FIXTURES)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip() + "/api/v1"
        process.terminate()


@pytest.fixture
def model(aimock):
    """Make a model that talks to the mock."""
    return ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", base_url=aimock, max_retries=0)


def streamed(model, question):
    """Return the sum of the chunks."""
    chunks = list(model.stream(question))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def test_whole_and_streamed_answers(model):
    """Text, provider, both finish reasons, usage and cost."""

    async def both():
        return await model.ainvoke("hello"), [c async for c in model.astream("hello")]

    whole, parts = asyncio.run(both())
    for answer in (model.invoke("hello"), streamed(model, "hello"), whole):
        assert answer.text == "Hello from a mock!"
        assert answer.response_metadata["provider"]
        assert answer.response_metadata["finish_reason"] == "stop"
        assert answer.response_metadata["native_finish_reason"] == "stop"
        assert answer.id.startswith("gen-")
        assert answer.response_metadata["cost"] == 0.00042
        assert answer.usage_metadata["total_tokens"] == 12
    assert "".join(part.text for part in parts) == "Hello from a mock!"


def test_reasoning(model):
    """As a block of its own."""
    for answer in (model.invoke("think"), streamed(model, "think")):
        assert answer.content_blocks[0]["reasoning"] == "Let me see."
        assert answer.text == "Forty-two."


def test_tools(model):
    """Whole and streamed."""

    def get_weather(city: str) -> str:
        """Tell the weather."""
        return city

    bound = model.bind_tools([get_weather])
    for answer in (bound.invoke("weather"), streamed(bound, "weather")):
        assert [(c["name"], c["args"]) for c in answer.tool_calls] == [
            ("get_weather", {"city": "Paris"})
        ]


def test_fallbacks(aimock):
    """The first model is overloaded: the second serves, and says so."""
    model = ChatOpenRouter(
        model="first/model", models=["second/model"], api_key="k", base_url=aimock, max_retries=0
    )

    for answer in (model.invoke("who"), streamed(model, "who")):
        assert answer.text == "The second."
        assert answer.response_metadata["model_name"] == "second/model"


def test_an_error(model):
    """In OpenRouter's envelope."""
    with pytest.raises(errors.RateLimitError, match="slow down"):
        model.invoke("broken")
