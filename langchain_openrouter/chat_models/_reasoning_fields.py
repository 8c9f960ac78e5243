"""The reasoning of earlier answers -> the fields of an assistant message, as pure functions.

A reasoning detail is sent only where it has a signature or encrypted data, or came from OpenRouter;
the text of any other reasoning is sent as text.
See https://openrouter.ai/docs/use-cases/reasoning-tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str, is_empty

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REASONING_BLOCKS = {"reasoning", "thinking", "redacted_thinking", "reasoning_content"}
"""Types of content blocks that hold reasoning."""

# The format of a signature, by the provider in the metadata of the message.
_FORMATS = {
    "anthropic": "anthropic-claude-v1",
    "bedrock": "anthropic-claude-v1",
    "bedrock_converse": "anthropic-claude-v1",
    "google_anthropic_vertex": "anthropic-claude-v1",
    "google_genai": "google-gemini-v1",
    "google_vertexai": "google-gemini-v1",
}
_ANTHROPIC = "anthropic-claude-v1"
_ITEM_ID = "rs_"  # of a reasoning item that the service of OpenAI may not have stored
_TEXT_FIELDS = ("text", "summary", "data", "arguments", "result")
_IDENTITY = ("id", "signature", "data", "format")  # entries that differ here are two details


def to_reasoning_fields(
    extras: Mapping[str, Any], blocks: Sequence[dict[str, Any]], *, provider: str | None = None
) -> dict[str, Any]:
    """Return `reasoning` and `reasoning_details` of an assistant message, where it has them.

    Args:
        extras: The `additional_kwargs` of the message.
        blocks: The blocks of its content.
        provider: The `model_provider` in its metadata.
    """
    details, texts = [], []
    for block in blocks:
        if block.get("type") in REASONING_BLOCKS:
            text, detail = _from_block(block, provider)
            texts.append(text)
            details += [detail] if detail else []

    stored = get_list(extras, "reasoning_details")
    fields: dict[str, Any] = {}
    text = _flatten_text(extras.get("reasoning_content") or extras.get("reasoning"))
    if reasoning := text or "".join(texts):
        fields["reasoning"] = reasoning
    if stored is not None:
        fields["reasoning_details"] = normalize_details(stored)
    elif details:
        fields["reasoning_details"] = normalize_details(details)
    return fields


def normalize_details(details: Sequence[Any]) -> list[Any]:
    """Return reasoning details in the form of a complete answer.

    Fragments of a stream, consecutive entries of one type and index, are merged, since a signature
    stands for a complete text. An id `rs_...` is left out where the detail has no encrypted data:
    the service looks it up and has not stored it.

    Args:
        details: As stored in a message; not changed. n of them cost O(n).
    """
    merged: list[Any] = []
    texts: dict[str, list[str]] = {}  # of the last of `merged`

    for item in details:
        if not isinstance(item, dict):
            merged.append(item)
            continue
        detail = _with_whole_index(item)
        if not (merged and _continues(merged[-1], detail)):
            _join_texts(merged, texts)
            texts = {}
            merged.append(dict(detail))
        _merge_fragment(merged[-1], detail, texts)

    _join_texts(merged, texts)
    stored = {get_str(item, "id") for item in merged if get_str(item, "data")}
    return [_without_item_id(item, stored) for item in merged]


def _continues(last: Any, detail: dict[str, Any]) -> bool:
    """Tell whether a detail is the next fragment of the last one."""
    if not isinstance(last, dict) or detail.get("index") is None:
        return False
    if any(last.get(name) != detail.get(name) for name in ("type", "index")):
        return False
    if get_str(last, "data") and get_str(detail, "data"):
        return False
    if get_str(last, "signature") and not detail.get(
        "signature"
    ):  # a signature ends the text that it signs
        return False

    return all(
        is_empty(last.get(name)) or is_empty(detail.get(name)) or last[name] == detail[name]
        for name in _IDENTITY
    )


def _merge_fragment(entry: dict[str, Any], detail: dict[str, Any], texts: Any) -> None:
    for name, value in detail.items():
        if name in _TEXT_FIELDS and isinstance(value, str):
            texts.setdefault(name, []).append(value)
            entry.setdefault(name, "")
        elif is_empty(entry.get(name)) and (name not in entry or not is_empty(value)):
            entry[name] = value


def _join_texts(merged: list[Any], texts: dict[str, list[str]]) -> None:
    """Write the texts of its fragments into the last detail."""
    if merged and isinstance(merged[-1], dict):
        merged[-1].update({name: "".join(pieces) for name, pieces in texts.items()})


def _with_whole_index(detail: dict[str, Any]) -> dict[str, Any]:
    """Return the detail with an index that is an integer: some were stored as 0.0."""
    index = detail.get("index")
    is_whole = isinstance(index, float) and index.is_integer()
    return {**detail, "index": int(index)} if is_whole else detail  # type: ignore[arg-type]


def _without_item_id(detail: Any, stored: set[str | None]) -> Any:
    detail_id = get_str(detail, "id")
    if detail_id is None or not detail_id.startswith(_ITEM_ID) or detail_id in stored:
        return detail
    return {name: value for name, value in detail.items() if name != "id"}


def _from_block(block: dict[str, Any], provider: str | None) -> tuple[str, dict[str, Any] | None]:
    """Return the text of a reasoning block, and its detail if it is signed or encrypted."""
    kind, extras = block["type"], get_dict(block, "extras") or {}
    if kind == "redacted_thinking":
        data = get_str(block, "data")
        return "", _detail("encrypted", _ANTHROPIC, data=data) if data else None

    if kind == "reasoning_content":  # Bedrock's
        source = get_dict(block, "reasoning_content") or {}
        text = _flatten_text(source.get("text"))
        return text, _signed(text, get_str(source, "signature"), _ANTHROPIC)
    if kind == "thinking":
        text = _flatten_text(block.get("thinking"))
        signature = get_str(block, "signature") or get_str(extras, "signature")
        return text, _signed(text, signature, _FORMATS.get(provider or "", _ANTHROPIC))

    texts = (_flatten_text(block.get(name)) for name in ("reasoning", "summary", "content"))
    text = next(filter(None, texts), "")
    stored = get_dict(extras, "reasoning_detail")
    if stored is None:
        return text, _signed(text, get_str(extras, "signature"), _FORMATS.get(provider or ""))
    name = "summary" if stored.get("type") == "reasoning.summary" else "text"
    return text, {**stored, name: text} if text and not stored.get(name) else dict(stored)


def _signed(text: str, signature: str | None, form: str | None) -> dict[str, Any] | None:
    return _detail("text", form, text=text, signature=signature) if signature else None


def _detail(kind: str, form: str | None, **fields: Any) -> dict[str, Any]:
    return {"type": f"reasoning.{kind}", **fields, **({"format": form} if form else {})}


def _flatten_text(value: Any) -> str:
    """Return the text of a string, a list of parts (Mistral), or a reasoning item (OpenAI)."""
    if isinstance(value, dict):
        value = value.get("summary")
    if isinstance(value, str):
        return value
    return "".join(get_str(part, "text") or "" for part in get_dicts({"parts": value}, "parts"))
