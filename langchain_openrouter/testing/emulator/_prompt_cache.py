"""Prompt caching: what is read from the cache and what is written to it, in tokens.

A prefix of a prompt is written when it ends at a breakpoint, and read when a later prompt begins
with it. Anthropic and Alibaba cache at breakpoints that a request sets, other vendors by
themselves. See https://openrouter.ai/docs/guides/best-practices/prompt-caching.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_dicts, get_str

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["CacheUse", "PromptCache", "count_marks"]

_BY_THEMSELVES = {"openai", "deepseek", "google", "x-ai", "moonshotai", "groq"}
_BY_BREAKPOINT = {"anthropic", "qwen", "alibaba"}
_CHARGES_WRITES = re.compile(r"anthropic/|qwen/|alibaba/|openai/gpt-(?:5\.[6-9]|[6-9])")
_SMALL_MINIMUM = re.compile(r"anthropic/claude-\w+-5\.5")
_MINIMUM, _SMALLER_MINIMUM = 1024, 512  # tokens of a prefix that is cached
_MAX_ENTRIES = 10_000
_LIFETIMES = {"5m": 300.0, "1h": 3600.0}  # seconds
_MARKS = ("cache_control", "prompt_cache_breakpoint")


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Tokens of a prompt that the cache served, and those that were added to it."""

    read: int = 0
    written: int = 0
    lifetime: str = "5m"


@dataclass(frozen=True, slots=True)
class _Block:
    """A part of a prompt: its content, and the lifetime that its breakpoint asks for, if any."""

    content: bytes
    lifetime: str | None


class PromptCache:
    """The prefixes that are cached, by account and model; safe to use from any thread.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expiry: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def use(self, account: str, model: str, body: Mapping[str, Any]) -> CacheUse:
        """Return what a prompt reads and writes, and remember what it writes.

        Args:
            account: Whose cache it is.
            model: The slug that serves the request.
            body: The request's.
        """
        blocks = list(_blocks(body))
        marks = _breakpoints(blocks, model, body)
        minimum = _SMALLER_MINIMUM if _SMALL_MINIMUM.match(model) else _MINIMUM
        if not marks:
            return CacheUse()

        digest = hashlib.sha256(f"{account} {model}".encode())
        read, written, size, now = 0, 0, 0, self._clock()
        with self._lock:
            for index, block in enumerate(blocks):
                digest.update(block.content)
                size += len(block.content)
                prefix, tokens = digest.digest(), size // 4
                if self._expiry.get(prefix, 0.0) > now:
                    read = tokens
                elif index not in marks or tokens < minimum:
                    continue
                else:
                    written = tokens
                if index in marks:
                    self._remember(prefix, now + _LIFETIMES[marks[index]])

        lifetime = next(reversed(marks.values()))
        added = max(0, written - read) if _CHARGES_WRITES.match(model) else 0
        return CacheUse(read, added, lifetime)

    def _remember(self, prefix: bytes, expiry: float) -> None:
        self._expiry[prefix] = expiry
        self._expiry.move_to_end(prefix)
        while len(self._expiry) > _MAX_ENTRIES:
            self._expiry.popitem(last=False)


def count_marks(body: Mapping[str, Any]) -> int:
    """Return how many cache breakpoints a request sets."""
    explicit = sum(block.lifetime is not None for block in _blocks(body))
    return explicit + (get_dict(body, "cache_control") is not None)


def _breakpoints(blocks: list[_Block], model: str, body: Mapping[str, Any]) -> dict[int, str]:
    """Return the lifetimes of the breakpoints of a prompt, by the block that each is at."""
    vendor = model.partition("/")[0]
    marks = {i: b.lifetime for i, b in enumerate(blocks) if b.lifetime is not None}
    last = len(blocks) - 1
    if vendor in _BY_BREAKPOINT:
        if vendor == "anthropic" and (automatic := get_dict(body, "cache_control")) is not None:
            marks[last] = _lifetime(automatic)
        return marks

    is_explicit = get_str(get_dict(body, "prompt_cache_options"), "mode") == "explicit"
    if vendor in _BY_THEMSELVES and not is_explicit:
        marks[last] = "5m"
    return marks


def _blocks(body: Mapping[str, Any]) -> Iterator[_Block]:
    """Yield the tools and the parts of the messages, in the order of a prompt."""
    for tool in get_dicts(body, "tools"):
        yield _block("tool", tool)

    for message in get_dicts(body, "messages"):
        role = str(message.get("role"))
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else None
        for part in parts or get_dicts(message, "content"):
            yield _block(role, part)
        rest = {key: value for key, value in message.items() if key not in {"role", "content"}}
        if rest:
            yield _block(role, rest)


def _block(role: str, value: Mapping[str, Any]) -> _Block:
    mark = next((value[name] for name in _MARKS if isinstance(value.get(name), dict)), None)
    content = {key: item for key, item in value.items() if key not in _MARKS}
    encoded = json.dumps([role, content], sort_keys=True).encode()
    return _Block(encoded, None if mark is None else _lifetime(mark))


def _lifetime(mark: Mapping[str, Any]) -> str:
    lifetime = mark.get("ttl")
    return lifetime if lifetime in _LIFETIMES else "5m"
