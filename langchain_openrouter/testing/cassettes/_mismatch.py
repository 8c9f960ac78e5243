"""A request that a cassette does not hold: the error, and how the nearest recorded one differs."""

from __future__ import annotations

import difflib
import inspect
import json
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_openrouter.testing.cassettes._scrubbing import normalize_placeholders

if TYPE_CHECKING:
    from collections.abc import Sequence

_LINES = 2000  # of a body that are compared, from the first that differs
_WIDTH = 300  # characters of a line that are shown
_CONTEXT = 40  # characters before the first that differs
_SHOWN = 60  # lines of a difference


class CassetteError(BaseException):
    """A request is not in the cassette, or an exchange was not played.

    Not an `Exception`, so that no retry, fallback or error handler can hide it.
    """

    # `BaseChatModel.agenerate` gathers results and errors, and takes what is not an `Exception`
    # for a result. With these attributes it then raises the error itself.
    generations: ClassVar[Sequence[Any]] = ()
    llm_output: ClassVar[None] = None


def difference(cassette: Any, request: Any) -> str:
    """Return a message: what was requested, and how the nearest recorded request differs."""
    request = cassette.filter_request(request) or request
    head = f"{request.method} {request.uri} is not in the cassette"
    same = [
        (number, pretty(recorded.body))
        for number, recorded in enumerate(cassette.requests)
        if (recorded.method, recorded.path) == (request.method, request.path)
    ]
    body = pretty(request.body)

    for number, recorded in same:
        if cassette.play_counts[number] and recorded == body:
            return f"{head} once more: it was recorded, and played already"
    if not len(cassette):
        return f"{head}: {cassette._path} is not there"  # noqa: SLF001 - vcrpy has no other way
    if not same:
        known = ", ".join(f"{r.method} {r.path}" for r in cassette.requests)
        return f"{head}, which holds {known}"

    unplayed = [recorded for number, recorded in same if not cassette.play_counts[number]]
    candidates = unplayed or [recorded for _, recorded in same]
    nearest = max(candidates, key=lambda recorded: _likeness(recorded, body))
    return "\n".join([f"{head}. The nearest recorded one differs:", *diff(nearest, body)])


def diff(recorded: str, requested: str) -> list[str]:
    """Return the lines in which two texts differ, up to a bound of lines and of their width."""
    before, after = recorded.splitlines(), requested.splitlines()
    at = _common(before, after)
    # A long line is shown from shortly before the first character that differs.
    common = _common(before[at], after[at]) if at < min(len(before), len(after)) else 0
    start = max(common - _CONTEXT, 0)

    compared = slice(max(at - 2, 0), at + _LINES)
    lines = difflib.unified_diff(
        before[compared], after[compared], "recorded", "requested", lineterm="", n=2
    )
    shown = ["@@" if line.startswith("@@") else _cut(line, start) for line in lines]
    rest = len(shown) - _SHOWN
    return [*shown[:_SHOWN], f"… and {rest} lines more"] if rest > 0 else shown


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many items two sequences have in common from the first."""
    shortest = min(len(first), len(second))
    return next((n for n in range(shortest) if first[n] != second[n]), shortest)


def _cut(line: str, start: int) -> str:
    if len(line) <= _WIDTH:
        return line
    # the first character says which side the line is from
    return f"{line[0]}{'…' if start else ''}{line[1 + start : 1 + start + _WIDTH]}…"


def pretty(body: Any) -> str:
    """Return JSON over several lines; keys keep their order, which a prompt cache depends on."""
    data = normalize_placeholders(to_bytes(body))
    try:
        value = json.loads(data, object_hook=_clean_description)
        return json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return data.decode("utf-8", "replace")


def _clean_description(value: dict[str, Any]) -> dict[str, Any]:
    """Dedent a tool's or a schema's description: Python 3.13 and later dedent docstrings."""
    if isinstance(text := value.get("description"), str):
        value["description"] = inspect.cleandoc(text)
    return value


def to_bytes(body: Any) -> bytes:
    """Return a body as bytes; none where there is none."""
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else bytes(body)


def _likeness(recorded: str, requested: str) -> float:
    """Return how much two bodies have in common, in one pass: lines, whatever their order."""
    before, after = recorded.splitlines(), requested.splitlines()
    return difflib.SequenceMatcher(None, before, after).quick_ratio()
