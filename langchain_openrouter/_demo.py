"""The demo: a user signs in, the model answers, a chain and an agent run; what it used and cost.

Without a key it runs on the emulator, and a browser of ours clicks through the sign-in page.
"""

from __future__ import annotations

import os
import re
import urllib.request
from contextlib import nullcontext
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_openrouter.callbacks import get_openrouter_callback
from langchain_openrouter.chat_models import ChatOpenRouter

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console

MODEL = "anthropic/claude-sonnet-4.6"


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"20 degrees and sunny in {city}"


def run(console: Console, *, live: bool | None = None) -> None:
    """Run the demo.

    Args:
        console: Where it is shown.
        live: With OPENROUTER_API_KEY against the service; None where there is such a key.
    """
    live = bool(os.environ.get("OPENROUTER_API_KEY")) if live is None else live
    emulator: AbstractContextManager[Any] = nullcontext()
    if not live:
        from langchain_openrouter.testing import Emulator  # noqa: PLC0415 - an extra

        emulator = Emulator()
        console.print("No OPENROUTER_API_KEY: everything below is answered by the emulator.\n")
    with emulator as server, get_openrouter_callback() as used:
        console.rule("1. Sign in")
        model = ChatOpenRouter(model=MODEL) if live else _signed_in(server.url)
        console.print(
            "The key of OPENROUTER_API_KEY is used."
            if live
            else f"Signed in; the model runs on the user's own key: {model.openai_api_key!r}"
        )
        console.rule("2. A stream, with reasoning")
        _stream(console, model.bind(reasoning={"effort": "low"}))
        console.rule("3. A chain")
        prompt = ChatPromptTemplate.from_template("In five words: {question}")
        chain = prompt | model | StrOutputParser()
        console.print(chain.invoke({"question": "Why is the sky blue?"}), markup=False)
        console.rule("4. An agent with a tool")
        _agent(console, model)
        console.rule("5. What it used")
        _used(console, used)


def _signed_in(base_url: str) -> ChatOpenRouter:
    """Sign in as a user would: the page is opened, and somebody says yes."""
    return ChatOpenRouter.login(
        model=MODEL, base_url=base_url, mode="loopback", open_browser=_say_yes,
        prompt=lambda _: "", key_label="Demo", limit=1,
    )  # fmt: skip


def _say_yes(url: str) -> None:
    """Do what a browser does when its user approves: send the form, follow where it leads."""
    with urllib.request.urlopen(url) as page:  # noqa: S310 - the emulator's own address
        fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', page.read().decode()))
    fields = {name: unescape(value) for name, value in fields.items()} | {"decision": "approve"}
    data = urlencode(fields).encode()
    urllib.request.urlopen(urljoin(url, "/auth"), data).close()  # noqa: S310 - as above


def _stream(console: Console, model: Any) -> None:
    whole, thought_any = None, False
    for chunk in model.stream("Hello! Who are you?"):
        thought = chunk.additional_kwargs.get("reasoning_content", "")
        if chunk.text and not (whole.text if whole else "") and thought_any:
            console.print()
        thought_any = thought_any or bool(thought)
        console.print(thought, style="dim", end="", markup=False, highlight=False)
        console.print(chunk.text, end="", markup=False, highlight=False)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None  # noqa: S101 - a stream has a chunk, or has raised
    said = whole.response_metadata
    console.print(
        f"\n{said.get('provider')} · {said.get('model_name')} · ${said.get('cost', 0):.6f}",
        style="dim",
    )


def _agent(console: Console, model: ChatOpenRouter) -> None:
    try:
        from langchain.agents import create_agent  # noqa: PLC0415 - an extra
    except ImportError:
        console.print("(needs the extra `agents`)", markup=False)
        return
    agent: Any = create_agent(model, [get_weather])
    question = {"messages": [("user", "What is the weather in Paris?")]}
    for message in agent.invoke(question)["messages"]:
        for call in getattr(message, "tool_calls", None) or ():
            console.print(f"calls {call['name']}({call['args']})", style="dim", markup=False)
        if message.type in {"tool", "ai"} and message.text:
            console.print(message.text, markup=False)


def _used(console: Console, used: Any) -> None:
    from rich.table import Table  # noqa: PLC0415 - an extra

    table = Table("model", "provider", "requests", "in", "cached", "out", "USD")
    for caller, sums in used.by.items():
        table.add_row(
            caller.model, caller.provider, str(sums.requests), str(sums.input_tokens),
            str(sums.cached_tokens), str(sums.output_tokens), f"{sums.cost:.6f}",
        )  # fmt: skip
    console.print(table)
