"""Assertions on exchanges and files: reasoning is sent back, prefixes stay, no file has secrets."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from langchain_openrouter._http.transport import ApiResponse
from langchain_openrouter._json import get_dicts, get_list
from langchain_openrouter.chat_models._endpoints import CHAT, RESPONSES
from langchain_openrouter.chat_models._messages import OUTPUT_ITEMS
from langchain_openrouter.chat_models._response import to_chat_result
from langchain_openrouter.testing.cassettes._scrubbing import secrets_in

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["assert_no_secrets", "assert_prefix_stable", "assert_reasoning_returned"]

_PREFIX = ("model", "tools", "response_format", "text", "instructions")
_TEXTS = {".yaml", ".yml", ".json", ".ipynb", ".py", ".md", ".txt", ".log", ".toml", ".cfg", ".env"}


class _Request(Protocol):
    """A request: of a `Recording`, or of an `Emulator`."""

    @property
    def body(self) -> Any: ...


class _Exchange(_Request, Protocol):
    """A request and its response, `answer`: of a `Recording`."""

    answer: bytes


def assert_reasoning_returned(exchanges: Sequence[_Exchange]) -> None:
    """Assert that each later request sends reasoning details back as they came.

    See https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks.

    Args:
        exchanges: A `Recording`'s; two at least, or there is nothing to assert.

    Raises:
        AssertionError: A request lacks them, or no response had any.
    """
    checked = 0
    for number, exchange in enumerate(exchanges[:-1], start=1):
        reasoning = _reasoning_of(exchange.answer)
        for later in exchanges[number:] if reasoning else ():
            sent: list[Any] = [
                m.get("reasoning_details") for m in get_dicts(later.body, "messages")
            ]
            sent += get_dicts(later.body, "input")
            lost = [item for item in reasoning if item not in sent]
            assert not lost, f"reasoning of answer {number} did not go back: {lost}"  # noqa: S101
            checked += 1

    assert checked, "no answer with reasoning was followed by a request"  # noqa: S101 - a test's assertion


def assert_prefix_stable(exchanges: Sequence[_Request]) -> None:
    """Assert that each request begins with the previous one, byte for byte: what a cache needs.

    See https://openrouter.ai/docs/features/prompt-caching.

    Args:
        exchanges: A `Recording`'s, or the requests of an `Emulator`; two at least.

    Raises:
        AssertionError: A request changes or drops what the previous one began with.
    """
    assert len(exchanges) > 1, "a prefix needs two requests"  # noqa: S101 - a test's assertion
    for number, (previous, current) in enumerate(pairwise(exchanges), start=2):
        for name in _PREFIX:
            same = json.dumps(previous.body.get(name)) == json.dumps(current.body.get(name))
            assert same, f"request {number} changes `{name}`"  # noqa: S101 - a test's assertion

        before = [json.dumps(m) for m in _messages_of(previous.body)]
        after = [json.dumps(m) for m in _messages_of(current.body)]
        for index, (old, new) in enumerate(zip(before, after, strict=False), start=1):
            assert old == new, f"request {number} changes message {index}:\n- {old}\n+ {new}"  # noqa: S101
        assert len(after) >= len(before), f"request {number} drops messages"  # noqa: S101


def assert_no_secrets(path: str | os.PathLike[str]) -> None:
    """Assert that no text file under a path holds what looks like a key or a user's id.

    Those that are escaped, encoded in base64, packed or cut into pieces included.

    Args:
        path: A file, or a folder with the files in it at any depth.

    Raises:
        AssertionError: A file does, or the path does not exist; no secret is in the message.
    """
    root = Path(path)
    assert root.exists(), f"{path} does not exist"  # noqa: S101 - a test's assertion
    files = [root] if root.is_file() else [f for f in root.rglob("*") if f.suffix in _TEXTS]
    leaks = {str(file): secrets for file in files if (secrets := secrets_in(file.read_bytes()))}
    assert not leaks, f"secrets in files: {leaks}"  # noqa: S101 - a test's assertion


def _messages_of(body: Any) -> list[Any]:
    """Return the messages of a chat request, or the items of one to `POST /responses`."""
    return get_list(body, "messages") or get_list(body, "input") or []


def _reasoning_of(answer: bytes) -> list[Any]:
    """Return what the next request has to repeat: the list of details, or the reasoning items."""
    streamed = answer.lstrip().startswith((b"data:", b":"))
    content_type = "text/event-stream" if streamed else "application/json"

    endpoint = RESPONSES if b'"object":"response"' in answer.replace(b" ", b"") else CHAT
    result = to_chat_result(ApiResponse(200, {"content-type": content_type}, answer), endpoint)
    extras = result.generations[0].message.additional_kwargs
    if endpoint is RESPONSES:
        items = get_dicts(extras, OUTPUT_ITEMS)
        return [item for item in items if item.get("type") == "reasoning"]
    return [extras["reasoning_details"]] if "reasoning_details" in extras else []
