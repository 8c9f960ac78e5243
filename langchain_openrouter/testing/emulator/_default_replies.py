"""What the emulator replies when nothing is scripted; a function of the request alone.

One rule reads the user's words: a tool is called when a word of its name, of three letters or more
and other than `get`, is in the last user message, in any of its endings. Names are split at
underscores and capitals: `get_weather` and `GetWeather` are called for "weather", `multiply` for
"multiplied". Everything else follows from the fields of the request: a forced tool, a response
format, modalities, plugins, reasoning and its effort.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str
from langchain_openrouter.testing.emulator import _catalog
from langchain_openrouter.testing.emulator._picture import draw
from langchain_openrouter.testing.emulator._replies import Call, Reply
from langchain_openrouter.testing.emulator._schema_examples import example_for

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["default_reply"]

_CHECK = "\nLet me go through it once more: is anything missing, and is every step right?"
_CHECKS = {"medium": 2, "high": 6, "xhigh": 12, "max": 20}
_NO_REASONING = {"none", None}
_SEARCH_TOOLS = {"openrouter:web_search", "web_search", "web_search_preview"}
_AUDIO = {
    "id": "audio_emulated",
    "data": "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=",
    "transcript": "Hello!",
    "expires_at": 1893456000,
}
_CITATION = {
    "type": "url_citation",
    "url_citation": {
        "url": "https://example.org/",
        "title": "Example",
        "content": "An example page.",
        "start_index": 0,
        "end_index": 4,
    },
}
_GREETING = re.compile(r"\s*(?:hi|hello|hey)\b", re.IGNORECASE)
_ENDINGS = (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("ss", "ss"), ("s", ""))
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # also of `get_weather` and `GetWeather`


def default_reply(body: Mapping[str, Any]) -> Reply:
    """Return a reply: a tool call, JSON that fits the schema of the request, or a sentence.

    Args:
        body: The request's.
    """
    prompt = _last_user_text(body)
    calls = _tool_calls(body, prompt)
    reasoning = _reasoning(body, prompt, calls) if _wants_reasoning(body) else None
    if calls:
        return Reply(tool_calls=calls, reasoning=reasoning)

    response_format = get_dict(body, "response_format")
    match get_str(response_format, "type"):
        case "json_schema":
            schema = get_dict(get_dict(response_format, "json_schema"), "schema")
            return Reply(json.dumps(example_for(schema, prompt)), reasoning=reasoning)
        case "json_object":
            return Reply(json.dumps(_json_object(prompt)), reasoning=reasoning)

    modalities = get_list(body, "modalities") or []
    searches = _wants_search(body)
    return Reply(
        _sentence(body, prompt),
        reasoning=reasoning,
        images=[draw(prompt)] if "image" in modalities else [],
        audio=dict(_AUDIO) if "audio" in modalities else None,
        annotations=[*([_CITATION] if searches else []), *_parsed_files(body)],
        usage={"server_tool_use_details": {"web_search_requests": 1}} if searches else {},
    )


# --- text -------------------------------------------------------------------------------------


def _sentence(body: Mapping[str, Any], prompt: str) -> str:
    """Return a sentence that repeats what the last message holds."""
    last = (get_dicts(body, "messages") or [{}])[-1]
    if last.get("role") == "tool":
        return f"The tool answered: {_text_of(last)[:200]}"

    kinds = [
        str(part.get("type", "")).split("_")[0]
        for part in get_dicts(last, "content")
        if part.get("type") != "text"
    ]
    seen = f"I see: {', '.join(kinds)}. " if kinds else ""
    return f"{seen}{_echo(body, prompt)}"


def _echo(body: Mapping[str, Any], prompt: str) -> str:
    if _GREETING.match(prompt):
        return "Hello! I am the emulator of OpenRouter, and no model at all."

    messages = get_dicts(body, "messages")
    return (
        f"This is the emulator: no model thought about “{prompt.strip()[:120]}”. "
        f"It received {_count(messages, 'message')} and {_count(get_dicts(body, 'tools'), 'tool')} "
        f"for {body.get('model') or 'the default model'}. A model would answer here, in about as "
        "many words, which come one by one in a stream; the last part of it says how many tokens "
        "were counted, and what they cost."
    )


def _count(items: list[Any], name: str) -> str:
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"


def _reasoning(body: Mapping[str, Any], prompt: str, calls: list[Call]) -> str:
    """Return what the reply shows as its reasoning: the more effort, the longer it is."""
    names = " and ".join(call.name for call in calls)
    step = f"That is a task for {names}." if names else "No tool is needed for that."
    effort = body.get("reasoning_effort") or get_str(get_dict(body, "reasoning"), "effort")
    checks = _CHECK * _CHECKS.get(str(effort), 0)

    return f"The user asks: {prompt[:80]}\n{step} I answer in a few sentences.{checks}"


def _json_object(prompt: str) -> dict[str, Any]:
    """Return an object for JSON mode: with the keys that the prompt names in quotes, if any."""
    keys = re.findall(r"[\"'`](\w{1,40})[\"'`]", prompt)
    return {key: key for key in keys} or {"answer": prompt[:80]}


def _last_user_text(body: Mapping[str, Any]) -> str:
    for message in reversed(get_dicts(body, "messages")):
        if message.get("role") == "user":
            return _text_of(message)
    return ""


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in get_dicts(message, "content") if get_str(part, "text"))


# --- tools ------------------------------------------------------------------------------------


def _tool_calls(body: Mapping[str, Any], prompt: str) -> list[Call]:
    """Return a call of each tool that the request forces, or that the rule of the module selects.

    No tool is called after a tool's result, unless one is forced.
    """
    tools = [tool for t in get_dicts(body, "tools") if (tool := get_dict(t, "function"))]
    choice = body.get("tool_choice")
    forced = get_str(get_dict(choice, "function"), "name") if isinstance(choice, dict) else None
    if not tools or choice == "none":
        return []

    if forced is not None:
        tools = [tool for tool in tools if tool.get("name") == forced][:1]
    elif choice == "required":
        tools = _required(tools, body, prompt)
    else:
        tools = [tool for tool in tools if _is_named(tool, prompt)]
        if (get_dicts(body, "messages") or [{}])[-1].get("role") != "user":
            return []
        if body.get("parallel_tool_calls") is False:
            tools = tools[:1]
    return [
        Call(str(tool.get("name")), example_for(tool.get("parameters"), prompt)) for tool in tools
    ]


def _required(
    tools: list[dict[str, Any]], body: Mapping[str, Any], prompt: str
) -> list[dict[str, Any]]:
    """Return one tool: one that was not called yet if there is any, of these one that is named."""
    called = _called_since_user(body)
    fresh = [tool for tool in tools if tool.get("name") not in called] or tools[-1:]
    named = [tool for tool in fresh if _is_named(tool, prompt)]
    return (named or fresh)[:1]


def _called_since_user(body: Mapping[str, Any]) -> set[str | None]:
    """Return the names of the tools that were called after the last user message."""
    called: set[str | None] = set()
    for message in get_dicts(body, "messages"):
        if message.get("role") == "user":
            called.clear()
        for call in get_dicts(message, "tool_calls"):
            called.add(get_str(get_dict(call, "function"), "name"))
    return called


def _is_named(tool: Mapping[str, Any], prompt: str) -> bool:
    """Tell whether a word of a tool's name is in the prompt: the rule of the module."""
    return bool(_words_of(str(tool.get("name", ""))) & _words_of(prompt))


def _words_of(text: str) -> set[str]:
    """Return the stems of the words of a text or a name, in lower case."""
    return {
        _stem(word.lower())
        for word in _WORD.findall(text)
        if len(word) > 2 and word.lower() != "get"  # noqa: PLR2004 - see the module
    }


def _stem(word: str) -> str:
    """Return a word without the ending of a plural or a verb."""
    for ending, rest in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:  # noqa: PLR2004 - letters
            return word.removesuffix(ending) + rest
    return word


# --- reasoning, search, files -----------------------------------------------------------------


def _wants_reasoning(body: Mapping[str, Any]) -> bool:
    if body.get("include_reasoning") is True:
        return True
    reasoning = get_dict(body, "reasoning")
    if reasoning and reasoning.get("exclude"):
        return False
    if _catalog.is_mandatory_reasoning(str(body.get("model"))):
        return True
    if reasoning is None:
        return body.get("reasoning_effort") not in _NO_REASONING

    effort = body.get("reasoning_effort") or reasoning.get("effort", "medium")
    return effort != "none" and reasoning.get("enabled") is not False


def _wants_search(body: Mapping[str, Any]) -> bool:
    return (
        any(tool.get("type") in _SEARCH_TOOLS for tool in get_dicts(body, "tools"))
        or any(plugin.get("id") == "web" for plugin in get_dicts(body, "plugins"))
        or ":online" in str(body.get("model"))
    )


def _parsed_files(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an annotation for each file of the conversation, unless it was sent parsed.

    See https://openrouter.ai/docs/features/multimodal/pdfs.
    """
    messages = get_dicts(body, "messages")
    known = {
        get_str(get_dict(annotation, "file"), "hash")
        for message in messages
        for annotation in get_dicts(message, "annotations")
    }

    parsed: dict[str, dict[str, Any]] = {}
    for message in messages:
        for part in get_dicts(message, "content"):
            if (file := get_dict(part, "file")) is not None:
                annotation = _file_annotation(file)
                parsed[annotation["hash"]] = {"type": "file", "file": annotation}
    return [annotation for digest, annotation in parsed.items() if digest not in known]


def _file_annotation(file: Mapping[str, Any]) -> dict[str, Any]:
    name = get_str(file, "filename") or "file.pdf"
    data = get_str(file, "file_data") or get_str(file, "file_id") or ""
    texts = (f'<file name="{name}">', "A parsed page.", "</file>")
    content = [{"type": "text", "text": text} for text in texts]
    return {"hash": hashlib.sha256(data.encode()).hexdigest(), "name": name, "content": content}
