"""`prompt_caching=`: what it sends for the model of a request, and the limit of four breakpoints.

See https://openrouter.ai/docs/guides/best-practices/prompt-caching.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dicts
from langchain_openrouter.chat_models._content_parts import with_cache_control

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_BREAKPOINTS = 4  # Anthropic and Alibaba answer a fifth with 400
_MARKS = ("cache_control", "prompt_cache_breakpoint")  # OpenRouter translates one into the other
_SETTINGS = (True, False, "5m", "1h", None)
# GPT-5.6 and later charge for each automatic write.
_GPT = re.compile(
    r"~?openai/gpt-(?:(?P<latest>latest)|(?P<major>\d{1,3})(?:\.(?P<minor>\d{1,3}))?)"
)


def validate_prompt_caching(setting: Any) -> Any:
    """Return the value of `prompt_caching`.

    Raises:
        ValueError: It is not one of the accepted values.
    """
    is_known = setting is None or isinstance(setting, bool | str)
    if not is_known or setting not in _SETTINGS:
        msg = '`prompt_caching` must be True, False, "5m" or "1h" (how long a write is kept)'
        raise ValueError(msg)
    return setting


def apply_prompt_caching(body: dict[str, Any], setting: Any) -> None:
    """Set what turns prompt caching on or off for the model that a request names first.

    Args:
        body: The body of the request; changed in place, but not the parts in it.
        setting: The value of `prompt_caching`; None changes nothing.

    Raises:
        ValueError: The setting is not valid, or the model refuses as many breakpoints.
    """
    setting = validate_prompt_caching(setting)
    slug = _first_model(body)
    is_anthropic = slug.startswith(("anthropic/", "~anthropic/"))
    is_alibaba = slug.startswith(("qwen/", "~qwen/", "alibaba/", "~alibaba/"))

    if setting is False:
        _remove_marks(body)
        if _charges_for_writes(slug):
            body["prompt_cache_options"] = {"mode": "explicit"}
    elif setting and is_anthropic:
        mark = {"type": "ephemeral"}
        if isinstance(setting, str):
            mark["ttl"] = setting
        if body.get("cache_control") is None and _count_breakpoints(body) < _MAX_BREAKPOINTS:
            body["cache_control"] = mark
    elif setting and is_alibaba:
        _mark_messages(body)

    if is_anthropic or is_alibaba:
        _check_breakpoints(body, slug)


def _first_model(body: dict[str, Any]) -> str:
    """Return the slug that is tried first, or an empty string: a preset may name it."""
    models = body.get("models")
    first = models[0] if isinstance(models, list | tuple) and models else None
    slug = body.get("model") or first
    return slug if isinstance(slug, str) else ""


def _charges_for_writes(slug: str) -> bool:
    match = _GPT.match(slug)
    if match is None:
        return False
    if match["latest"]:
        return True
    return (int(match["major"]), int(match["minor"] or 0)) >= (5, 6)


def _mark_messages(body: dict[str, Any]) -> None:
    """Mark the first system message and the last message of the user, unless they are marked."""
    messages = body["messages"]
    system = next((i for i, m in enumerate(messages) if m["role"] in {"system", "developer"}), None)
    user = next(
        (i for i in range(len(messages) - 1, -1, -1) if messages[i]["role"] == "user"), None
    )

    for index in (system, user):
        if index is None or any(_is_marked(part) for part in _parts(messages[index])):
            continue
        if _count_breakpoints(body) < _MAX_BREAKPOINTS:
            content = with_cache_control(messages[index]["content"], {"type": "ephemeral"})
            messages[index] = {**messages[index], "content": content}


def _remove_marks(body: dict[str, Any]) -> None:
    """Remove all breakpoints."""
    body.pop("cache_control", None)

    for index, message in enumerate(body["messages"]):
        if any(_is_marked(part) for part in _parts(message)):
            content = [_without_marks(part) for part in message["content"]]
            body["messages"][index] = {**message, "content": content}
    if any(_is_marked(tool) for tool in get_dicts(body, "tools")):
        body["tools"] = [_without_marks(tool) for tool in body["tools"]]


def _without_marks(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: item for name, item in value.items() if name not in _MARKS}


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    return get_dicts(message, "content")


def _is_marked(value: dict[str, Any]) -> bool:
    return any(value.get(name) is not None for name in _MARKS)


def _breakpoints(body: dict[str, Any]) -> Iterator[str]:
    """Yield where each breakpoint is."""
    if body.get("cache_control") is not None:
        yield "the request (`cache_control`)"

    for tool in get_dicts(body, "tools"):
        if _is_marked(tool):
            yield "its tools"

    for message in body["messages"]:
        for part in _parts(message):
            if _is_marked(part):
                yield f"{message['role']} messages"


def _count_breakpoints(body: dict[str, Any]) -> int:
    return sum(1 for _ in _breakpoints(body))


def _check_breakpoints(body: dict[str, Any], slug: str) -> None:
    """Refuse more breakpoints than the model accepts.

    Raises:
        ValueError: There are too many; the error says where they are.
    """
    places = list(_breakpoints(body))
    if len(places) <= _MAX_BREAKPOINTS:
        return

    counts = ", ".join(f"{places.count(name)} in {name}" for name in dict.fromkeys(places))
    msg = (
        f"{slug} accepts {_MAX_BREAKPOINTS} cache breakpoints and this request has {len(places)}: "
        f"{counts}. Remove some marks, or leave them all out and pass `prompt_caching=True`."
    )
    raise ValueError(msg)
