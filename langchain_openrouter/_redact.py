"""What the message of an error may not quote: keys, and the user's prompt."""

from __future__ import annotations

import re
from typing import Any

from langchain_openrouter._read import dicts_of, str_of

# Keys of OpenRouter and of the vendors behind it, Bearer tokens and JWTs.
_KEY = re.compile(r"(?<![A-Za-z0-9])sk-[\w-]{8,}|eyJ[\w-]+\.[\w.-]+|(?<=Bearer )\S+")
_LIMIT = 600
_WINDOW = 16
_SHORTEST = 6  # a shorter line says nothing, and may be a word of any message


def hidden(message: str, prompt: str) -> str:
    """Replace keys, each short line of the prompt, and every run of 16 characters out of it."""
    message = _KEY.sub("[key]", message)[:_LIMIT]
    for line in sorted({line.strip() for line in prompt.split("\n")}, key=len, reverse=True):
        if _SHORTEST <= len(line) < _WINDOW:
            message = message.replace(line, "[...]")
    marks = [False] * len(message)
    for start in range(len(message) - _WINDOW + 1 if prompt else 0):
        if message[start : start + _WINDOW] in prompt:
            marks[start : start + _WINDOW] = [True] * _WINDOW
    shown = "".join("\0" if hide else char for char, hide in zip(message, marks, strict=True))
    return re.sub("\0+", "[...]", shown)


def holds_key(text: str) -> bool:
    """Tell whether a text holds what looks like a key."""
    return _KEY.search(text) is not None


def prompt_of(messages: Any) -> str:
    """Return all text of a request's messages, for `hidden`."""
    texts: list[str] = []
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            texts.append(content)
        texts += [part["text"] for part in dicts_of(message, "content") if str_of(part, "text")]
    return "\n".join(texts)
