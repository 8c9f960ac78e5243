"""The demo: a sign-in, a stream, a chain, an agent, and the sums of usage and cost.

Without a key it runs on the emulator, and approves the sign-in page by itself.
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
        console: Where it is printed.
        live: Whether to use OPENROUTER_API_KEY at the live service; None uses it if it is set.
    """
    live = bool(os.environ.get("OPENROUTER_API_KEY")) if live is None else live
    emulator: AbstractContextManager[Any] = nullcontext()
    if not live:
        from langchain_openrouter.testing import Emulator  # noqa: PLC0415 - an extra

        emulator = Emulator()
        console.print("No OPENROUTER_API_KEY: everything below is answered by the emulator.\n")

    with emulator as server, get_openrouter_callback() as usage:
        console.rule("1. Sign in")
        model = ChatOpenRouter(model=MODEL) if live else _signed_in(server.url)
        console.print(
            "The key of OPENROUTER_API_KEY is used."
            if live
            else "Signed in; the model runs on the user's own key."
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
        _print_usage(console, usage)


def _signed_in(base_url: str) -> ChatOpenRouter:
    """Sign in like a user: open the page and approve."""
    return ChatOpenRouter.login(
        model=MODEL,
        base_url=base_url,
        mode="loopback",
        open_browser=_approve,
        prompt=lambda _: "",
        key_label="Demo",
        limit=1,
    )


def _approve(url: str) -> None:
    """Do what a browser does when its user approves: send the form and follow the redirect."""
    with urllib.request.urlopen(url) as page:  # noqa: S310 - the emulator's own address
        fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', page.read().decode()))
    fields = {name: unescape(value) for name, value in fields.items()} | {"decision": "approve"}
    data = urlencode(fields).encode()
    urllib.request.urlopen(urljoin(url, "/auth"), data).close()  # noqa: S310 - as above


def _stream(console: Console, model: Any) -> None:
    answer, has_reasoning = None, False

    for chunk in model.stream("Hello! Who are you?"):
        reasoning = chunk.additional_kwargs.get("reasoning_content", "")
        if chunk.text and not (answer.text if answer else "") and has_reasoning:
            console.print()
        has_reasoning = has_reasoning or bool(reasoning)
        console.print(reasoning, style="dim", end="", markup=False, highlight=False)
        console.print(chunk.text, end="", markup=False, highlight=False)
        answer = chunk if answer is None else answer + chunk

    assert answer is not None  # noqa: S101 - a stream has a chunk, or has raised
    metadata = answer.response_metadata
    price = f"${metadata.get('cost', 0):.6f}"
    console.print(
        f"\n{metadata.get('provider')} · {metadata.get('model_name')} · {price}", style="dim"
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


def _print_usage(console: Console, usage: Any) -> None:
    from rich.table import Table  # noqa: PLC0415 - an extra

    table = Table("model", "provider", "requests", "in", "cached", "out", "USD")
    table.columns[0].overflow = "fold"
    for key, totals in usage.totals_by_key.items():
        table.add_row(
            key.model,
            key.provider,
            str(totals.requests),
            str(totals.input_tokens),
            str(totals.cached_tokens),
            str(totals.output_tokens),
            f"{totals.cost:.6f}",
        )
    console.print(table)
