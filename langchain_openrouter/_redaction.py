"""Remove secrets, terminal escapes and long lines from text of others.

Every text of the service in an error's message goes through `redact`. Every pattern here is linear.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import SecretStr

# Keys of OpenRouter and of the vendors behind it, Bearer tokens and JWTs.
_KEY = re.compile(
    r"(?<![A-Za-z0-9])sk-[\w-]{8,}+|(?<![\w-])eyJ[\w-]++\.[\w.-]++|(?<=Bearer )\S++",
)
_MASK = "[key]"
_MIN_KEY_LENGTH = 6  # characters; a shorter key, as tests have, may be a part of ordinary words
_LIMIT = 600  # characters
_READ = 4 * _LIMIT  # characters of a text that are read: masking shortens it
_MIN_QUOTED_CHARS = 16
# Each window of 16 characters contains 8 that begin at a multiple of 8.
_GRAM = _MIN_QUOTED_CHARS // 2
_SHORTEST = 6  # characters; a shorter line may be a word of any message
_PUBLIC_FIELDS = {"role", "type", "format", "id", "tool_call_id", "call_id", "status", "phase"}
_JSON_ESCAPES = {"n": "\n", "r": "\n", "t": "\t", '"': '"', "/": "/"}
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([nrt\"/]))")
# Terminal escapes: CSI, the strings OSC, DCS, SOS, PM and APC with their end, all others.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]{0,256}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{0,8}[0-Z\\^-~]"
)
# Control and format characters (such as bidirectional overrides), lone surrogates, line ends.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_LINE_ENDS = {"\n", "\t", "\x0b", "\x0c", "\r", "\x85", "\u2028", "\u2029"}


def redact(
    text: str, prompt: str = "", *, key: SecretStr | None = None, limit: int = _LIMIT
) -> str:
    """Return one line that is safe in a message: no key, no prompt, no escape, not long.

    Args:
        text: Text of the service.
        prompt: Text that is replaced by `[...]`: each run of 16 characters of it, and each
            short line.
        key: The key that was sent, masked whatever it looks like.
        limit: The length of the result, in characters.
    """
    if key is not None:  # before the text is cut, which could leave a part of the key
        text = mask_key(text[: _READ + len(key)], key)
    text = _ESCAPED.sub(_unescape, text[:_READ])  # JSON inside a text, as services quote it
    if key is not None:
        text = mask_key(text, key)
    text = _without_secrets(text, prompt)

    plain = printable(text)
    if plain != text:  # an escape or a line end may have divided a secret
        plain = _without_secrets(plain, prompt)
        if key is not None:
            plain = mask_key(plain, key)
    return plain[:limit]


def mask_key(value: Any, key: SecretStr) -> Any:
    """Return a JSON value with each occurrence of a key masked, at any depth."""
    if len(key) < _MIN_KEY_LENGTH:
        return value

    if isinstance(value, str):
        return value.replace(key.get_secret_value(), _MASK)
    if isinstance(value, dict):
        return {mask_key(name, key): mask_key(item, key) for name, item in value.items()}
    if isinstance(value, list):
        return [mask_key(item, key) for item in value]
    return value


def printable(text: str, *, keep: str = "") -> str:
    """Return a text without terminal escapes, control characters and invisible characters.

    Args:
        text: Any text.
        keep: Characters that stay, such as line ends, which otherwise become spaces.
    """
    if text.isprintable():
        return text

    plain = _ESCAPE.sub("", text)
    changed = {}
    for character in set(plain):
        if character not in keep and unicodedata.category(character) in _INVISIBLE:
            changed[ord(character)] = " " if character in _LINE_ENDS else ""
    return plain.translate(changed) if changed else plain


def hide_keys(text: str) -> str:
    """Return a text with everything masked that looks like a key."""
    return _KEY.sub(_MASK, text)


def contains_api_key(text: str) -> bool:
    """Tell whether a text contains what looks like a key."""
    return _KEY.search(text) is not None


def mask_secrets(value: Any) -> Any:
    """Return a JSON value in which what looks like a key is masked, at any depth."""
    if isinstance(value, str):
        return _KEY.sub(_MASK, value)
    if isinstance(value, dict):
        return {name: mask_secrets(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_secrets(item) for item in value]
    return value


def prompt_text(messages: Any) -> str:
    """Return every text of a request's messages, for `redact`.

    Addresses, arguments of tool calls, reasoning and whatever else a message carries are the
    user's as its text is.
    """
    texts: list[str] = []
    pending = [messages]

    while pending:
        value = pending.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict):
            pending += [item for name, item in value.items() if name not in _PUBLIC_FIELDS]
        elif isinstance(value, list | tuple):
            pending += value
    return "\n".join(texts)


def _unescape(match: re.Match[str]) -> str:
    """Return the character that a JSON escape stands for."""
    code, letter = match.groups()
    return chr(int(code, 16)) if code else _JSON_ESCAPES[letter]


def _without_secrets(text: str, prompt: str) -> str:
    """Replace keys and parts of the prompt."""
    text = _KEY.sub(_MASK, text)
    if not prompt:
        return text

    hide = [False] * len(text)
    windows = _windows_of(text, prompt)
    if windows:
        _mark(hide, text, windows, _MIN_QUOTED_CHARS)
    lines = {line.strip() for line in prompt.split("\n") if len(line) < _READ}
    for size in range(_SHORTEST, _MIN_QUOTED_CHARS):
        _mark(hide, text, lines, size)

    runs = itertools.groupby(zip(hide, text, strict=True), key=lambda pair: pair[0])
    return "".join("[...]" if hidden else "".join(char for _, char in run) for hidden, run in runs)


def _mark(hide: list[bool], text: str, texts: set[str], size: int) -> None:
    """Mark each part of `text` that is one of `texts` of this size."""
    for start in range(len(text) - size + 1):
        if text[start : start + size] in texts:
            hide[start : start + size] = [True] * size


def _windows_of(text: str, prompt: str) -> set[str]:
    """Return the runs of 16 characters that text and prompt share.

    Only every eighth position of the prompt is looked up, which finds each run of 16: a prompt of
    10 MB takes a fraction of a second, however repetitive the texts are.
    """
    if len(text) < _MIN_QUOTED_CHARS:
        return set()

    grams = {text[start : start + _GRAM] for start in range(len(text) - _GRAM + 1)}
    windows = {
        text[start : start + _MIN_QUOTED_CHARS]
        for start in range(len(text) - _MIN_QUOTED_CHARS + 1)
    }
    # The surroundings of each match, without duplicates: a repetitive prompt has few of them.
    around = {
        prompt[max(0, index - _GRAM) : index + _MIN_QUOTED_CHARS]
        for index in range(0, len(prompt), _GRAM)
        if prompt[index : index + _GRAM] in grams
    }

    return {
        piece[start : start + _MIN_QUOTED_CHARS]
        for piece in around
        for start in range(_GRAM + 1)
        if piece[start : start + _MIN_QUOTED_CHARS] in windows
    }
