"""The libraries that are compared, each behind the same few functions; imported where it is used.

A piece is one delta as the library hands it on; `streamed` and `astreamed` return how many
characters of text, reasoning or tool arguments the pieces held, so that nobody wins by losing some.
"""

from __future__ import annotations

import asyncio
import gc
import json

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{n}",
            "description": f"Does thing number {n} with a place and a time.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "A city"},
                    "when": {"type": "string", "enum": ["now", "later", "never"]},
                    "items": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["place"],
            },
        },
    }
    for n in range(20)
]


def conversation(length):
    """Return messages in the wire's form: questions, tool calls, their results, answers."""
    messages = []
    for n in range(0, length, 4):
        call = {"name": f"tool_{n % 20}", "arguments": json.dumps({"place": f"city {n}"})}
        messages += [
            {"role": "user", "content": f"Question {n}: what is the weather like? " * 3},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": f"call_{n}", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": f"call_{n}", "content": f"It is {n} degrees. " * 3},
            {"role": "assistant", "content": f"Answer {n}: it is pleasant there. " * 3},
        ]
    return messages[:length]


class Peer:
    """What all have in common: the event loop that they run in, and a call in a new one."""

    def runner(self):
        """Return what runs coroutines."""
        return asyncio.Runner()

    async def call_in_new_loop(self):
        return await self.acall()


class Floor(Peer):
    """Nothing but httpx2: bytes in, events cut apart, JSON parsed."""

    name = "httpx2 alone"
    packages = ("httpx2", "pydantic-core")

    def __init__(self, url, key="k"):
        import httpx2
        from pydantic_core import from_json

        self.url, self.httpx2, self.from_json = f"{url}/chat/completions", httpx2, from_json
        self.headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
        self.client = httpx2.Client(limits=limits, timeout=300, trust_env=False)
        self.more = {"limits": limits, "timeout": 300, "trust_env": False}
        self.async_client = httpx2.AsyncClient(**self.more)
        self.tls = httpx2.create_ssl_context()

    def _body(self, slug, messages=None, tools=None, *, stream=True):
        body = {"model": slug, "messages": messages or [{"role": "user", "content": "x"}]}
        body.update({"stream": True} if stream else {}, **({"tools": tools} if tools else {}))
        return json.dumps(body, ensure_ascii=False).encode()

    def _size(self, data):
        if data == b"[DONE]":
            return 0
        delta = self.from_json(data)["choices"][0]["delta"]
        calls = delta.get("tool_calls")
        return len(delta.get("content") or "") + len(delta.get("reasoning") or "") + (
            len(calls[0]["function"]["arguments"]) if calls else 0
        )  # fmt: skip

    def streamed(self, slug, seen=lambda: None):
        rest, size = b"", 0
        body = self._body(slug)
        with self.client.stream("POST", self.url, content=body, headers=self.headers) as answer:
            for piece in answer.iter_bytes():
                *events, rest = (rest + piece).split(b"\n\n")
                for event in events:
                    size += self._size(event[6:])
                    seen()
        return size

    async def astreamed(self, slug, seen=lambda: None):
        rest, size = b"", 0
        body = self._body(slug)
        async with self.async_client.stream(
            "POST", self.url, content=body, headers=self.headers
        ) as answer:
            async for piece in answer.aiter_bytes():
                *events, rest = (rest + piece).split(b"\n\n")
                for event in events:
                    size += self._size(event[6:])
                    seen()
        return size

    def prepare(self, messages, tools):
        def call():
            body = self._body("bench/small", messages, tools, stream=False)
            answer = self.client.post(self.url, content=body, headers=self.headers)
            return self.from_json(answer.content)["choices"][0]["message"]["content"]

        return call

    def call(self, slug="bench/small"):
        body = self._body(slug, stream=False)
        answer = self.client.post(self.url, content=body, headers=self.headers)
        return self.from_json(answer.content)["choices"][0]["message"]["content"]

    async def acall(self, slug="bench/small"):
        body = self._body(slug, stream=False)
        answer = await self.async_client.post(self.url, content=body, headers=self.headers)
        return self.from_json(answer.content)["choices"][0]["message"]["content"]

    def runner(self):
        self.async_client = self.httpx2.AsyncClient(**self.more, verify=self.tls)
        return asyncio.Runner()

    async def call_in_new_loop(self):
        async with self.httpx2.AsyncClient(**self.more, verify=self.tls) as client:
            self.async_client = client
            return await self.acall()


class LangChain(Peer):
    """What the three LangChain models have in common."""

    def __init__(self, url, key="k"):
        self.url = url
        self.models = {}
        self.key = key

    def model(self, slug):
        if slug not in self.models:
            self.models[slug] = self.make(slug, self.key)
        return self.models[slug]

    def _size(self, chunk):
        said = chunk.additional_kwargs.get("reasoning_content")
        text = chunk.content if isinstance(chunk.content, str) else ""
        size = len(text) + (len(said) if said else 0)
        for call in chunk.tool_call_chunks:
            size += len(call["args"] or "")
        return size

    def streamed(self, slug, seen=lambda: None):
        size = 0
        for chunk in self.model(slug).stream("x"):
            size += self._size(chunk)
            seen()
        return size

    async def astreamed(self, slug, seen=lambda: None):
        size = 0
        async for chunk in self.model(slug).astream("x"):
            size += self._size(chunk)
            seen()
        return size

    def prepare(self, messages, tools):
        from langchain_core.messages.utils import convert_to_messages

        model = self.model("bench/small")
        model = model.bind_tools(tools) if tools else model
        made = convert_to_messages(messages)
        return lambda: model.invoke(made).content

    def call(self, slug="bench/small"):
        return self.model(slug).invoke("x").content

    async def acall(self, slug="bench/small"):
        return (await self.model(slug).ainvoke("x")).content


class Ours(LangChain):
    """This package."""

    name = "this package"
    packages = ("-e", ".[testing]", "aiohttp", "uvloop")
    responses = False
    loop_factory = None
    http_async_client = None

    def make(self, slug, key):
        from langchain_openrouter import ChatOpenRouter

        return ChatOpenRouter(
            model=slug,
            api_key=key,
            base_url=self.url,
            use_responses_api=self.responses,
            http_async_client=self.http_async_client,
        )

    def runner(self):
        return asyncio.Runner(loop_factory=self.loop_factory)

    def varied(self, ways):
        """Do what an app can do: `freeze`, `uvloop` and `aiohttp`."""
        if "uvloop" in ways:
            import uvloop

            self.loop_factory = uvloop.new_event_loop
        if "aiohttp" in ways:
            import httpx2
            from openai import DefaultAioHttpClient

            limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=200)
            self.http_async_client = DefaultAioHttpClient(limits=limits)
        if "freeze" in ways:
            self.call()
            gc.collect()
            gc.freeze()
        return self

    def over_responses(self):
        """Return the same at the other endpoint."""
        found = Ours(self.url, self.key)
        found.responses = True
        return found

    def user(self, key):
        found = Ours(self.url, key)
        found.models["bench/small"] = self.model("bench/small").for_user(key)
        return found


class OpenAI(LangChain):
    """LangChain's OpenAI model, pointed at OpenRouter."""

    name = "ChatOpenAI"
    packages = ("langchain-openai",)

    def make(self, slug, key):
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model=slug, api_key=key, base_url=self.url, stream_usage=True)

    def user(self, key):
        found = OpenAI(self.url, key)
        found.model("bench/small")
        return found


class Official(LangChain):
    """LangChain's own package, built on a generated SDK."""

    name = "langchain-openrouter"
    packages = ("langchain-openrouter",)

    def make(self, slug, key):
        from langchain_openrouter import ChatOpenRouter

        return ChatOpenRouter(model=slug, api_key=key, base_url=self.url)

    def user(self, key):
        found = Official(self.url, key)
        found.model("bench/small")
        return found


class PydanticAI(Peer):
    """pydantic-ai's OpenRouter model, without an agent around it."""

    name = "pydantic-ai"
    packages = ("pydantic-ai-slim[openrouter]",)

    def __init__(self, url, key="k"):
        self.url, self.key, self.models = url, key, {}

    def model(self, slug):
        if slug not in self.models:
            from openai import AsyncOpenAI
            from pydantic_ai.models.openrouter import OpenRouterModel
            from pydantic_ai.providers.openrouter import OpenRouterProvider

            client = AsyncOpenAI(base_url=self.url, api_key=self.key)
            self.models[slug] = OpenRouterModel(
                slug, provider=OpenRouterProvider(openai_client=client)
            )
        return self.models[slug]

    def user(self, key):
        found = PydanticAI(self.url, key)
        found.model("bench/small")
        return found

    @property
    def question(self):
        from pydantic_ai.messages import ModelRequest

        return [ModelRequest.user_text_prompt("x")]

    def _size(self, event):
        if event.event_kind == "part_start":
            part = event.part
            return len(getattr(part, "content", None) or getattr(part, "args", None) or "")
        if event.event_kind == "part_delta":
            delta = event.delta
            return len(
                getattr(delta, "content_delta", None) or getattr(delta, "args_delta", "") or ""
            )
        return 0

    def streamed(self, slug, seen=lambda: None):
        from pydantic_ai.direct import model_request_stream_sync

        size = 0
        with model_request_stream_sync(self.model(slug), self.question) as stream:
            for event in stream:
                size += self._size(event)
                seen()
        return size

    async def astreamed(self, slug, seen=lambda: None):
        from pydantic_ai.direct import model_request_stream

        size = 0
        async with model_request_stream(self.model(slug), self.question) as stream:
            async for event in stream:
                size += self._size(event)
                seen()
        return size

    def _messages(self, messages):
        from pydantic_ai import messages as m

        made, names = [], {}
        for said in messages:
            if said["role"] == "user":
                made.append(m.ModelRequest.user_text_prompt(said["content"]))
            elif said["role"] == "tool":
                part = m.ToolReturnPart(
                    names[said["tool_call_id"]], said["content"], said["tool_call_id"]
                )
                made.append(m.ModelRequest(parts=[part]))
            elif calls := said.get("tool_calls"):
                call = calls[0]
                names[call["id"]] = call["function"]["name"]
                part = m.ToolCallPart(
                    call["function"]["name"], call["function"]["arguments"], call["id"]
                )
                made.append(m.ModelResponse(parts=[part]))
            else:
                made.append(m.ModelResponse(parts=[m.TextPart(said["content"])]))
        return made

    def prepare(self, messages, tools):
        from pydantic_ai.direct import model_request
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.tools import ToolDefinition

        functions = [tool["function"] for tool in tools or ()]
        asked = ModelRequestParameters(
            function_tools=[
                ToolDefinition(
                    name=f["name"],
                    parameters_json_schema=f["parameters"],
                    description=f["description"],
                )
                for f in functions
            ]
        )
        made = self._messages(messages)
        loop = self.runner()

        async def ask():
            model = self.model("bench/small")
            return await model_request(model, made, model_request_parameters=asked)

        return lambda: loop.run(ask()).parts[0].content

    def call(self, slug="bench/small"):
        self.runner_of_calls = getattr(self, "runner_of_calls", None) or asyncio.Runner()
        return self.runner_of_calls.run(self.acall(slug))

    async def acall(self, slug="bench/small"):
        from pydantic_ai.direct import model_request

        return (await model_request(self.model(slug), self.question)).parts[0].content


PEERS = {
    "floor": Floor,
    "ours": Ours,
    "openai": OpenAI,
    "official": Official,
    "pydantic-ai": PydanticAI,
}


def peer_named(name, url):
    """Return a peer; `ours+aiohttp+uvloop` names this package with what an app can do."""
    base, *ways = name.split("+")
    peer = PEERS[base](url)
    return peer.varied(ways) if ways else peer


IMPORTS = {
    "floor": {"httpx2": "import httpx2"},
    "ours": {
        "import langchain_openrouter": "import langchain_openrouter",
        "login": "from langchain_openrouter import login",
        "the model": "from langchain_openrouter import ChatOpenRouter",
    },
    "openai": {"the model": "from langchain_openai import ChatOpenAI"},
    "official": {"the model": "from langchain_openrouter import ChatOpenRouter"},
    "pydantic-ai": {"the model": "from pydantic_ai.models.openrouter import OpenRouterModel"},
}
