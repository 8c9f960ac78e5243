"""Assertions on what was exchanged: reasoning comes back, prefixes stay, nothing secret is kept."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from langchain_openrouter._http.transport import ApiResponse
from langchain_openrouter._json import get_dicts, get_list
from langchain_openrouter.chat_models._response import to_chat_result
from langchain_openrouter.testing.cassettes._scrubbing import secrets_in

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

_PREFIX = ("model", "tools", "response_format")
_TEXTS = {".yaml", ".yml", ".json", ".ipynb", ".py", ".md", ".txt", ".log", ".toml", ".cfg", ".env"}


class _Asked(Protocol):
    """A request: of a `Recording`, or of an `Emulator`."""

    @property
    def body(self) -> Any: ...


class _Exchanged(_Asked, Protocol):
    """A request and its answer: of a `Recording`."""

    answer: bytes


def assert_reasoning_returned(exchanges: Sequence[_Exchanged]) -> None:
    """Assert that reasoning details went back as they came, in each later request.

    Args:
        exchanges: A `Recording`'s; two at least, or there is nothing to assert.

    See https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks.
    """
    checked = 0
    for place, exchange in enumerate(exchanges[:-1]):
        details = _details_of(exchange.answer)
        if details is None:
            continue
        for later in exchanges[place + 1 :]:
            sent = [m.get("reasoning_details") for m in get_dicts(later.body, "messages")]
            assert details in sent, f"reasoning of answer {place + 1} did not go back: {details}"  # noqa: S101
            checked += 1
    assert checked, "no answer with reasoning was followed by a request"  # noqa: S101 - a test's assertion


def assert_prefix_stable(exchanges: Sequence[_Asked]) -> None:
    """Assert that each request begins with the one before it, byte for byte: what a cache needs.

    See https://openrouter.ai/docs/features/prompt-caching.
    """
    assert len(exchanges) > 1, "a prefix needs two requests"  # noqa: S101 - a test's assertion
    for place, (one, next_) in enumerate(pairwise(exchanges), start=2):
        for name in _PREFIX:
            same = json.dumps(one.body.get(name)) == json.dumps(next_.body.get(name))
            assert same, f"request {place} changes `{name}`"  # noqa: S101 - a test's assertion
        before = [json.dumps(m) for m in get_list(one.body, "messages") or ()]
        after = [json.dumps(m) for m in get_list(next_.body, "messages") or ()]
        for number, (old, new) in enumerate(zip(before, after, strict=False), start=1):
            assert old == new, f"request {place} changes message {number}:\n- {old}\n+ {new}"  # noqa: S101
        assert len(after) >= len(before), f"request {place} drops messages"  # noqa: S101


def assert_no_secrets(path: str | os.PathLike[str]) -> None:
    """Assert that no text file under a path holds what looks like a key or a user's id.

    Escaped, encoded in base64, packed and cut-up ones included.
    """
    root = Path(path)
    assert root.exists(), f"{path} does not exist"  # noqa: S101 - a test's assertion
    files = [root] if root.is_file() else [f for f in root.rglob("*") if f.suffix in _TEXTS]
    found = {str(file): secrets for file in files if (secrets := secrets_in(file.read_bytes()))}
    assert not found, f"secrets in files: {found}"  # noqa: S101 - a test's assertion


def _details_of(answer: bytes) -> list[Any] | None:
    """Return the reasoning details of an answer, whole or streamed."""
    streamed = answer.lstrip().startswith((b"data:", b":"))
    content_type = "text/event-stream" if streamed else "application/json"
    result = to_chat_result(ApiResponse(200, {"content-type": content_type}, answer))
    details: list[Any] | None = result.generations[0].message.additional_kwargs.get(
        "reasoning_details"
    )
    return details
