"""What the options of `chat` say, as pure functions."""

from __future__ import annotations

import json
import re
from string import Template
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["extract_code", "fill_template", "parse_options", "split_pairs"]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def split_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Return NAME=VALUE pairs as a dict.

    Raises:
        ValueError: One has no "=".
    """
    values = {}

    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            msg = f"{pair!r}: write NAME=VALUE"
            raise ValueError(msg)
        values[name.strip()] = value
    return values


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Return arguments of the model: a value is JSON where it can be read so, else text."""
    values: dict[str, Any] = {}
    for name, text in split_pairs(pairs).items():
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text

    if "api_key" in values:
        msg = "a key in the command line can be read by others: set OPENROUTER_API_KEY, or sign in"
        raise ValueError(msg)
    return values


def fill_template(text: str, params: dict[str, str], question: str) -> str:
    """Return a template with its `$name`s filled; `$input` is the question.

    Raises:
        ValueError: A name has no value.
    """
    try:
        filled = Template(text).substitute({**params, "input": question})
    except KeyError as error:
        msg = f"the template needs -p {error.args[0]}=..."
        raise ValueError(msg) from None
    except ValueError:
        msg = "the template has a $ that begins no name: write $$"
        raise ValueError(msg) from None

    uses_input = "input" in Template(text).get_identifiers()
    return filled if uses_input or not question else f"{filled}\n\n{question}"


def extract_code(text: str, *, last: bool = False) -> str:
    """Return the first fenced block of a text, or the last; the text if it has none."""
    blocks: list[str] = []
    lines: list[str] = []
    fence = ""

    for line in text.splitlines(keepends=True):
        match = _FENCE.match(line)
        if not fence and match:
            fence, lines = match[1], []
        elif match and match[1].startswith(fence) and not line[match.end() :].strip():
            blocks.append("".join(lines))
            fence = ""
        elif fence:
            lines.append(line)
    return blocks[-1 if last else 0] if blocks else text
