"""The bytes of a reply, streamed or not, as the live service would send them.

A `Reply` and its request give a status, headers and a list of items to send. The shapes are those
of recordings of the live service: two chunks with a finish reason, keep-alive comments, role and
content in every delta, usage with cost in the last chunk.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_openrouter.testing.emulator._usage import count_usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from langchain_openrouter.testing.emulator._context import Context
    from langchain_openrouter.testing.emulator._replies import Call, Fault, Reply

CUT, RESET = "cut", "reset"
Item: TypeAlias = bytes | float | str
"""Bytes to send, seconds to wait, or `CUT` or `RESET`."""

_OK = 200
_KEEP_ALIVE = b": OPENROUTER PROCESSING\n\n"
_BLANK_LINES = b"\n         \n"  # the live service's keep-alive before a body that is not streamed


@dataclass(frozen=True, slots=True)
class RenderedResponse:
    """An HTTP response: what to send, in order, and what it costs in USD."""

    status: int
    headers: Mapping[str, str]
    items: Sequence[Item]
    cost: float = 0.0
    usage: Mapping[str, Any] = field(default_factory=dict)


def render(reply: Reply, context: Context) -> RenderedResponse:
    """Return the HTTP response of a reply."""
    usage = count_usage(reply, context)
    status, content_type = reply.status, "application/json"
    items: list[Item]
    if reply.error is not None and (reply.form == "status" or not context.streamed):
        status = error_status(reply) if reply.form == "status" else _OK
        items = [encode_json(_error_body(reply, context, usage))]
    elif context.streamed:
        status, content_type = _OK, "text/event-stream"
        items = _events(reply, context, usage)
    else:
        items = [_BLANK_LINES, encode_json(_completion(reply, context, usage))]

    headers = {
        "content-type": content_type,
        "x-generation-id": context.generation_id,
        **reply.headers,
    }
    is_free = reply.error is not None and reply.form == "status"
    cost = 0.0 if is_free else float(usage["cost"] or 0)
    response = RenderedResponse(status, headers, items, cost, usage)
    return response if reply.fault is None else apply_fault(response, reply.fault)


# --- bodies -----------------------------------------------------------------------------------


def _completion(reply: Reply, context: Context, usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a response that is not streamed."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.text if reply.text is not None or reply.tool_calls else "",
        "refusal": reply.refusal,
        "reasoning": reply.reasoning,
        **optional_fields(reply, context),
    }
    if reply.tool_calls:
        message["tool_calls"] = [
            {
                "type": "function",
                "index": index,
                "id": to_call_id(call, index, context),
                "function": {"name": call.name, "arguments": call.text},
            }
            for index, call in enumerate(reply.tool_calls)
        ]

    choice = {
        "index": 0,
        "logprobs": None,
        "finish_reason": reply.reason,
        "native_finish_reason": reply.native,
        "message": message,
    }
    return {
        **_envelope(reply, context, "chat.completion"),
        "system_fingerprint": None,
        "service_tier": None,
        "choices": [choice],
        "usage": usage,
        **reply.fields,
    }


def _envelope(reply: Reply, context: Context, kind: str) -> dict[str, Any]:
    """Return the fields that a body and each chunk begin with."""
    return {
        "id": context.generation_id,
        "object": kind,
        "created": context.created,
        "model": reply.model or context.model,
        "provider": reply.provider or context.provider,
    }


def optional_fields(reply: Reply, context: Context) -> dict[str, Any]:
    """Return the fields of a message that only some have."""
    fields: dict[str, Any] = {}
    details = reply.reasoning_details
    if details is None and reply.reasoning:
        details = _vendor_details(reply.reasoning, context.model)

    if details is not None:
        fields["reasoning_details"] = [dict(detail) for detail in details]
    if reply.images:
        fields["images"] = [
            {"type": "image_url", "image_url": {"url": url}} for url in reply.images
        ]
    if reply.audio:
        fields["audio"] = dict(reply.audio)
    if reply.annotations:
        fields["annotations"] = [dict(annotation) for annotation in reply.annotations]
    return fields


def _vendor_details(reasoning: str, model: str) -> list[dict[str, Any]]:
    """Return reasoning details in the form of a model's vendor.

    See https://openrouter.ai/docs/use-cases/reasoning-tokens.
    """
    vendor = model.partition("/")[0]
    signature = hashlib.sha256(reasoning.encode()).hexdigest()
    text = {"type": "reasoning.text", "text": reasoning, "format": "unknown", "index": 0}
    encrypted = {"type": "reasoning.encrypted", "data": signature}

    match vendor:
        case "openai":
            layout = "openai-responses-v1"
            summary = {"type": "reasoning.summary", "summary": reasoning, "format": layout}
            end = {"format": layout, "id": f"rs_{signature[:16]}", "index": 1}
            return [{**summary, "index": 0}, {**encrypted, **end}]
        case "anthropic":
            return [{**text, "format": "anthropic-claude-v1", "signature": signature}]
        case "google":
            layout = "google-gemini-v1"
            return [{**text, "format": layout}, {**encrypted, "format": layout, "index": 1}]
    return [text]


def _error_body(reply: Reply, context: Context, usage: Mapping[str, Any]) -> dict[str, Any]:
    error = dict(reply.error or {})
    if reply.form in {"choice", "event"}:
        body = _completion(replace(reply, finish_reason="error"), context, usage)
        body["choices"][0]["error"] = error
        return body
    return {"error": error, "user_id": "user_emulated"}


def error_status(reply: Reply) -> int:
    """Return the status of an error: the reply's own, its code, or `http_status`, or 500."""
    if reply.status != _OK:
        return reply.status
    error = reply.error or {}
    for name in ("code", "http_status"):
        if isinstance(error.get(name), int):
            return int(error[name])
    return 500


def to_call_id(call: Call, index: int, context: Context) -> str:
    if call.id is not None:
        return call.id
    return "call_" + hashlib.sha256(f"{context.generation_id} {index}".encode()).hexdigest()[:24]


# --- streams ----------------------------------------------------------------------------------


def _events(reply: Reply, context: Context, usage: Mapping[str, Any]) -> list[Item]:
    """Return the events of a stream, keep-alive first and `[DONE]` last."""
    envelope = _envelope(reply, context, "chat.completion.chunk")
    items: list[Item]
    if reply.error is not None and reply.form == "body":
        items = [encode_event({"error": reply.error})]
    else:
        chunks = [_chunk(envelope, delta) for delta in _deltas(reply, context)]
        if reply.error is not None:
            chunks.append(_error_chunk(envelope, reply))
        else:
            reasons = (reply.reason, reply.native)
            last = _chunk({**envelope, "service_tier": None}, {}, reasons)
            chunks.append(_chunk(envelope, {}, reasons))
            chunks.append({**last, "usage": usage, **reply.fields})
        items = [_KEEP_ALIVE, *map(encode_event, chunks)]
        if reply.error is None:
            items.append(b"data: [DONE]\n\n")

    return [part for item in items for part in (item, reply.pause)] if reply.pause else items


def _chunk(
    envelope: Mapping[str, Any],
    delta: Mapping[str, Any],
    reasons: tuple[str | None, str | None] = (None, None),
) -> dict[str, Any]:
    choice = {
        "index": 0,
        "delta": {"content": "", "role": "assistant", **delta},
        "finish_reason": reasons[0],
        "native_finish_reason": reasons[1],
    }
    return {**envelope, "choices": [choice]}


def _error_chunk(envelope: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """Return the chunk that ends a stream in an error: in its choice, or beside it."""
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    if reply.form == "choice":
        return {**envelope, "choices": [{**choice, "error": reply.error}]}
    return {**envelope, "error": reply.error, "choices": [choice]}


def _deltas(reply: Reply, context: Context) -> list[dict[str, Any]]:
    """Return the deltas of a message, in the order of the live service."""
    fields = optional_fields(reply, context)
    details = fields.pop("reasoning_details", ())
    deltas = [delta for detail in details for delta in _detail_deltas(detail)]
    if not details:
        deltas += [{"reasoning": piece} for piece in split_pieces(reply.reasoning or "")]

    deltas += [{"content": piece} for piece in split_pieces(reply.text or "")]
    if reply.refusal:
        deltas.append({"refusal": reply.refusal})
    for index, call in enumerate(reply.tool_calls):
        deltas += [
            {"content": None, "tool_calls": [fragment]}
            for fragment in _call_fragments(call, index, context)
        ]
    deltas += [{name: value} for name, value in fields.items()]
    return deltas


def _detail_deltas(detail: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the deltas of a reasoning detail: its text piece by piece, then its signature."""
    growing = "text" if isinstance(detail.get("text"), str) else "summary"
    signature = detail.get("signature")
    first = {key: value for key, value in detail.items() if key != "signature" or signature is None}

    pieces = split_pieces(first.get(growing) or "")
    for piece in pieces:
        yield {"reasoning": piece, "reasoning_details": [{**first, growing: piece}]}
    if not pieces:
        yield {"reasoning_details": [first]}
    if signature is not None:
        rest = {key: value for key, value in first.items() if key != growing}
        yield {"reasoning_details": [{**rest, "signature": signature}]}


def _call_fragments(call: Call, index: int, context: Context) -> Iterator[dict[str, Any]]:
    """Yield the fragments of a tool call: its name, then its arguments piece by piece."""
    yield {
        "index": index,
        "id": to_call_id(call, index, context),
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }

    for piece in split_pieces(call.text):
        yield {"index": index, "function": {"arguments": piece}}


def split_pieces(text: str) -> list[str]:
    """Cut a text into the pieces that a model streams: words with the space before them."""
    return re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text)


# --- bytes ------------------------------------------------------------------------------------


def encode_json(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def encode_event(body: Any) -> bytes:
    return b"data: " + encode_json(body) + b"\n\n"


def apply_fault(response: RenderedResponse, fault: Fault) -> RenderedResponse:
    """Apply a reply's fault to its bytes."""
    items, headers = list(response.items), dict(response.headers)
    data = b"".join(item for item in items if isinstance(item, bytes))
    if len(items) <= 2 and fault.kind in {"cut", "reset", "stall"}:  # noqa: PLR2004 - no stream
        items = [data[: len(data) // 2], data[len(data) // 2 :]]

    before, rest = items[: fault.after], items[fault.after :]
    match fault.kind:
        case "cut" | "reset":
            items = [*before, fault.kind]
        case "stall":
            items = [*before, fault.seconds, *rest]
        case "drip":
            items = [part for byte in data for part in (bytes([byte]), fault.seconds)]
        case "duplicate":
            items = [part for item in items for part in (item, item)]
        case "malformed":
            items = [*before, b'data: {"id": "gen-\n\n', *rest]
        case "empty":
            items = []
        case "html":
            headers["content-type"] = "text/html"
            items = [b"<html><body><h1>Bad gateway</h1></body></html>"]
    return replace(response, headers=headers, items=items)
