"""Reasoning items of `POST /responses` <-> the reasoning details of a chat completion.

A reasoning item has a summary, a text with its signature, and encrypted content; in a chat
completion each of these is a detail of its own, with the same id and format.
See https://openrouter.ai/docs/use-cases/reasoning-tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_list, get_str

if TYPE_CHECKING:
    from collections.abc import Sequence

SUMMARY, TEXT, ENCRYPTED = "reasoning.summary", "reasoning.text", "reasoning.encrypted"
_COMMON = ("id", "format")  # fields of an item that each of its details has


def to_reasoning_details(item: dict[str, Any], start: int = 0) -> list[dict[str, Any]]:
    """Return the details of a reasoning item: its summary, its text, what is encrypted.

    Args:
        item: Of type "reasoning".
        start: The index of the first detail in the message.
    """
    common = {name: item[name] for name in _COMMON if item.get(name) is not None}
    details: list[dict[str, Any]] = [
        {"type": SUMMARY, "summary": text} for text in part_texts(item, "summary")
    ]

    texts = part_texts(item, "content")
    signature = get_str(item, "signature")
    if signature and not texts:
        texts = [""]
    details += [{"type": TEXT, "text": text} for text in texts]
    if signature:
        details[-1]["signature"] = signature
    if data := get_str(item, "encrypted_content"):
        details.append({"type": ENCRYPTED, "data": data})

    return [
        {**detail, **common, "index": index} for index, detail in enumerate(details, start=start)
    ]


def part_texts(item: dict[str, Any], name: str) -> list[str]:
    """Return the texts of an item's `summary` or `content`, whose parts are objects or strings."""
    value = item.get(name)
    if isinstance(value, str):
        return [value]

    parts = get_list(item, name) or []
    return [
        part if isinstance(part, str) else get_str(part, "text") or ""
        for part in parts
        if isinstance(part, str | dict)
    ]


def to_reasoning_items(details: Sequence[Any], text: str | None) -> list[dict[str, Any]]:
    """Return the reasoning of an assistant message as items.

    Args:
        details: Its reasoning details; those of one item are consecutive.
        text: Its reasoning as text, which is sent where no detail has any.
    """
    items: list[dict[str, Any]] = []
    for detail in details:
        if get_str(detail, "type") not in {SUMMARY, TEXT, ENCRYPTED}:
            continue
        if not (items and _belongs_to(items[-1], detail)):
            items.append({"type": "reasoning", "summary": []})
        _add_detail(items[-1], detail)

    if text and not any(item["summary"] or item.get("content") for item in items):
        part = {"type": "reasoning_text", "text": text}
        items.insert(0, {"type": "reasoning", "summary": [], "content": [part]})
    return items


def has_unknown_details(details: Sequence[Any]) -> bool:
    """Tell whether there are details of types that no item has a field for."""
    return any(get_str(detail, "type") not in {SUMMARY, TEXT, ENCRYPTED} for detail in details)


def _belongs_to(item: dict[str, Any], detail: dict[str, Any]) -> bool:
    """Tell whether a detail is part of the latest item, and not the first of another one."""
    pairs = {name: (item.get(name), detail.get(name)) for name in _COMMON}
    if any(before and now and before != now for before, now in pairs.values()):
        return False
    if "encrypted_content" in item:
        return False

    kind, is_signed = detail["type"], "signature" in item
    if kind == ENCRYPTED:  # after a signature it is what Anthropic has redacted
        return not is_signed or (item.get("id") is not None and item["id"] == detail.get("id"))
    return not is_signed and not (kind == SUMMARY and "content" in item)


def _add_detail(item: dict[str, Any], detail: dict[str, Any]) -> None:
    for name in _COMMON:
        if detail.get(name) is not None:
            item[name] = detail[name]

    if detail["type"] == SUMMARY:
        item["summary"].append({"type": "summary_text", "text": get_str(detail, "summary") or ""})
    elif detail["type"] == ENCRYPTED:
        item["encrypted_content"] = get_str(detail, "data") or ""
    else:
        content = get_str(detail, "text") or ""
        if content:
            item.setdefault("content", []).append({"type": "reasoning_text", "text": content})
        if signature := get_str(detail, "signature"):
            item["signature"] = signature
