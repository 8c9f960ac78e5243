"""What the emulator answers when nobody told it: something sensible for the request; pure."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str
from langchain_openrouter.testing.emulator._replies import PIXEL, Call, Reply
from langchain_openrouter.testing.emulator._schema_examples import conforming

if TYPE_CHECKING:
    from collections.abc import Mapping

_SILENT = {"none", None}
_SEARCH = {"openrouter:web_search", "web_search", "web_search_preview"}
_SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="


def improvised(body: Mapping[str, Any]) -> Reply:
    """Return a reply: a tool call where one is due, JSON that fits the schema, or a few words."""
    asked = _last_text(body)
    reasoning = f"The user asks: {asked[:80]}" if _reasons(body) else None
    calls = _calls(body, asked)
    if calls:
        return Reply(tool_calls=calls, reasoning=reasoning)
    kind = get_str(get_dict(body, "response_format"), "type")
    if kind == "json_schema":
        named = get_dict(get_dict(body, "response_format"), "json_schema")
        return Reply(json.dumps(conforming(get_dict(named, "schema"), asked)), reasoning=reasoning)
    if kind == "json_object":
        return Reply(json.dumps(_object(asked)), reasoning=reasoning)
    modalities = get_list(body, "modalities") or []
    return Reply(
        _words(body, asked),
        reasoning=reasoning,
        images=[PIXEL] if "image" in modalities else [],
        audio={"id": "audio_emulated", "data": _SOUND, "transcript": "Hello!",
               "expires_at": 1893456000} if "audio" in modalities else None,
        annotations=[*_citations(body), *_parsed_files(body)],
        usage={"server_tool_use_details": {"web_search_requests": 1}} if _searches(body) else {},
    )  # fmt: skip


def _words(body: Mapping[str, Any], asked: str) -> str:
    last = get_dicts(body, "messages")[-1:] or [{}]
    if last[0].get("role") == "tool":
        return f"The tool answered: {_text_of(last[0])[:200]}"
    seen = [str(part.get("type", "")).split("_")[0] for part in get_dicts(last[0], "content")
            if part.get("type") != "text"]  # fmt: skip
    if seen:
        return f"I see: {', '.join(seen)}. {_echo(asked)}"
    return _echo(asked)


def _echo(asked: str) -> str:
    if re.match(r"\s*(?:hi|hello|hey)\b", asked, re.IGNORECASE):
        return "Hello! I am the emulator of OpenRouter, and no model at all."
    return f"This is the emulator: no model thought about “{asked.strip()[:120]}”."


def _reasons(body: Mapping[str, Any]) -> bool:
    if body.get("include_reasoning") is True:
        return True
    wanted = get_dict(body, "reasoning")
    effort = body.get("reasoning_effort") or (wanted or {}).get("effort", "medium")
    if wanted is None:
        return body.get("reasoning_effort") not in _SILENT
    return effort != "none" and wanted.get("enabled") is not False and not wanted.get("exclude")


def _calls(body: Mapping[str, Any], asked: str) -> list[Call]:
    """Call the tool that is forced, or whose words the user used; none after a tool's answer."""
    tools = [tool for tool in (get_dict(t, "function") for t in get_dicts(body, "tools")) if tool]
    choice = body.get("tool_choice")
    last = get_dicts(body, "messages")[-1:] or [{}]
    if not tools or choice == "none":
        return []
    forced = get_str(get_dict(choice, "function"), "name") if isinstance(choice, dict) else None
    if forced is not None:
        tools = [tool for tool in tools if tool.get("name") == forced]
    elif choice == "required":
        fresh = [tool for tool in tools if tool.get("name") not in _called(body)] or tools[-1:]
        tools = [tool for tool in fresh if _meant(tool, asked)] or fresh
    elif last[0].get("role") != "user":
        return []
    else:
        tools = [tool for tool in tools if _meant(tool, asked)]
    many = forced is None and choice != "required" and body.get("parallel_tool_calls") is not False
    return [
        Call(str(tool.get("name")), conforming(tool.get("parameters"), asked))
        for tool in (tools if many else tools[:1])
    ]


def _called(body: Mapping[str, Any]) -> set[str | None]:
    """Return the tools that were called since the user last spoke."""
    called: set[str | None] = set()
    for message in get_dicts(body, "messages"):
        if message.get("role") == "user":
            called.clear()
        for call in get_dicts(message, "tool_calls"):
            called.add(get_str(get_dict(call, "function"), "name"))
    return called


def _meant(tool: Mapping[str, Any], asked: str) -> bool:
    """Tell whether the user's words are the tool's: its name, or two words of its description."""
    said = set(re.findall(r"[a-z]{3,}", asked.lower().replace("_", " ")))
    name = {w for w in re.findall(r"[a-z]{3,}", str(tool.get("name", "")).lower()) if w != "get"}
    about = set(re.findall(r"[a-z]{5,}", str(tool.get("description") or "").lower()))
    return bool(name & said) or len(about & said) >= 2  # noqa: PLR2004 - one may be chance


def _searches(body: Mapping[str, Any]) -> bool:
    return (
        any(tool.get("type") in _SEARCH for tool in get_dicts(body, "tools"))
        or any(plugin.get("id") == "web" for plugin in get_dicts(body, "plugins"))
        or ":online" in str(body.get("model"))
    )


def _citations(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not _searches(body):
        return []
    source = {"url": "https://example.org/", "title": "Example", "content": "An example page.",
              "start_index": 0, "end_index": 4}  # fmt: skip
    return [{"type": "url_citation", "url_citation": source}]


def _parsed_files(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the files of the conversation as parsed, once each, unless they came parsed."""
    messages = get_dicts(body, "messages")
    known = {
        get_str(get_dict(a, "file"), "hash") for m in messages for a in get_dicts(m, "annotations")
    }
    found: dict[str, dict[str, Any]] = {}
    for message in messages:
        for part in get_dicts(message, "content"):
            file = get_dict(part, "file")
            if file is None:
                continue
            name = get_str(file, "filename") or "file.pdf"
            data = get_str(file, "file_data") or get_str(file, "file_id") or ""
            mark = hashlib.sha256(data.encode()).hexdigest()
            texts = (f'<file name="{name}">', "A parsed page.", "</file>")
            content = [{"type": "text", "text": text} for text in texts]
            found[mark] = {"type": "file", "file": {"hash": mark, "name": name, "content": content}}
    return [annotation for mark, annotation in found.items() if mark not in known]


def _object(asked: str) -> dict[str, Any]:
    """Return an object for JSON mode: with the keys that the prompt names in quotes, if any."""
    keys = re.findall(r"[\"'`](\w{1,40})[\"'`]", asked)
    return {key: key for key in keys} or {"answer": asked[:80]}


def _last_text(body: Mapping[str, Any]) -> str:
    for message in reversed(get_dicts(body, "messages")):
        if message.get("role") == "user":
            return _text_of(message)
    return ""


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in get_dicts(message, "content") if get_str(part, "text"))
