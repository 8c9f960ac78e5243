"""The bytes of a reply of `POST /responses`, streamed or not, as the live service would send them.

The shapes are those of recordings of the live service and of `StreamEvents` in
https://openrouter.ai/openapi.json: numbered events, the complete response in the last, `[DONE]`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_str
from langchain_openrouter.testing.emulator._rendering import (
    RenderedResponse,
    apply_fault,
    encode_event,
    encode_json,
    error_status,
    optional_fields,
    split_pieces,
    to_call_id,
)
from langchain_openrouter.testing.emulator._usage import count_usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_openrouter.testing.emulator._context import Context
    from langchain_openrouter.testing.emulator._rendering import Item
    from langchain_openrouter.testing.emulator._replies import Reply

__all__ = ["render_responses", "to_error_body"]

_OK = 200
_KEEP_ALIVE = b": \n\n"
_BLANK_LINES = b"\n         \n"
# https://openrouter.ai/docs/api-reference/responses/error-handling
_CODES = {
    400: "invalid_prompt",
    413: "invalid_prompt",
    422: "invalid_prompt",
    429: "rate_limit_exceeded",
}
_TYPES = {
    400: "invalid_request",
    401: "authentication",
    402: "payment_required",
    403: "permission_denied",
    404: "not_found",
    408: "timeout",
    412: "precondition_failed",
    413: "payload_too_large",
    422: "unprocessable",
    429: "rate_limit_exceeded",
    502: "provider_unavailable",
    503: "provider_overloaded",
    504: "timeout",
}
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_USAGE_NAMES = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "prompt_tokens_details": "input_tokens_details",
    "completion_tokens_details": "output_tokens_details",
}
_COSTS = {
    "upstream_inference_prompt_cost": "upstream_inference_input_cost",
    "upstream_inference_completions_cost": "upstream_inference_output_cost",
}
# Fields that repeat the request, with what they are where it does not set them.
_ECHOES: dict[str, Any] = {
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "max_output_tokens": None,
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "top_logprobs": 0,
    "max_tool_calls": None,
    "metadata": {},
    "background": False,
    "previous_response_id": None,
    "service_tier": "auto",
    "truncation": "disabled",
    "store": False,
    "instructions": None,
    "text": {"format": {"type": "text"}},
    "reasoning": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
    "prompt_cache_options": None,
}


def render_responses(
    reply: Reply, context: Context, request: Mapping[str, Any]
) -> RenderedResponse:
    """Return the HTTP response of a reply.

    Args:
        reply: The reply.
        context: With the request as a chat request.
        request: The body of the request as it came.
    """
    usage = count_usage(reply, context)
    status, content_type = reply.status, "application/json"
    items: list[Item]
    if (
        reply.error is not None
        and reply.form in {"status", "body"}
        and not _is_event(reply, context)
    ):
        status = error_status(reply) if reply.form == "status" else _OK
        items = [encode_json(to_error_body(reply.error))]
    elif context.streamed:
        status, content_type = _OK, "text/event-stream"
        items = _events(reply, context, request, usage)
    else:
        items = [_BLANK_LINES, encode_json(_response(reply, context, request, usage))]

    headers = {
        "content-type": content_type,
        "x-generation-id": context.generation_id,
        **reply.headers,
    }
    is_free = reply.error is not None and reply.form == "status"
    cost = 0.0 if is_free else float(usage["cost"] or 0)
    response = RenderedResponse(status, headers, items, cost, usage)
    return response if reply.fault is None else apply_fault(response, reply.fault)


def _is_event(reply: Reply, context: Context) -> bool:
    return reply.form == "body" and context.streamed


def to_error_body(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of an error: one of four codes, and the type that says it exactly.

    Args:
        error: As chat completions have it.
    """
    code, error_type = _to_code(error)
    metadata = dict(get_dict(error, "metadata") or {})
    return {
        "error": {"code": code, "message": error.get("message", "")},
        "error_type": error_type,
        "metadata": metadata or None,
    }


def _to_code(error: Mapping[str, Any]) -> tuple[str, str]:
    """Return the code of an error, and its type."""
    code = error.get("code")
    status = code if isinstance(code, int) else error.get("http_status", 500)
    metadata = get_dict(error, "metadata")
    is_flagged = "flagged_input" in (metadata or {})
    word = "image_content_policy_violation" if is_flagged else _CODES.get(status, "server_error")
    error_type = get_str(metadata, "error_type") or get_str(error, "error_type")
    return word, error_type or _TYPES.get(status, "server")


# --- bodies -----------------------------------------------------------------------------------


def _response(
    reply: Reply, context: Context, request: Mapping[str, Any], usage: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the body of a complete response."""
    incomplete = _INCOMPLETE.get(reply.reason) or (
        reply.native if reply.native in _INCOMPLETE.values() else None
    )
    status = "incomplete" if incomplete else "completed"

    body = _envelope(reply, context, request)
    body |= {
        "status": status,
        "completed_at": context.created + 1,
        "output": _output(reply, context, status),
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "usage": _to_responses_usage(usage),
    }
    if reply.error is not None or reply.finish_reason == "error":
        error = to_error_body(reply.error or {"code": 502, "message": "Provider returned error"})
        body |= {"status": "failed", "completed_at": None, "error": error["error"]}
        body["error_type"] = error["error_type"]
    return {**body, **reply.fields}


def _envelope(reply: Reply, context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a response has from its first event on."""
    echoes = {
        name: default if request.get(name) is None else request[name]
        for name, default in _ECHOES.items()
    }

    return {
        "id": context.generation_id,
        "object": "response",
        "created_at": context.created,
        "model": reply.model or context.model,
        "status": "in_progress",
        "completed_at": None,
        "output": [],
        "error": None,
        "incomplete_details": None,
        **echoes,
        "usage": None,
    }


def _to_responses_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {_USAGE_NAMES.get(name, name): value for name, value in usage.items()}
    costs = renamed.get("cost_details")
    if isinstance(costs, dict):
        renamed["cost_details"] = {_COSTS.get(name, name): value for name, value in costs.items()}
    return renamed


def _output(reply: Reply, context: Context, status: str) -> list[dict[str, Any]]:
    """Return the items: reasoning, those of server tools, the message, images, calls."""
    fields = optional_fields(reply, context)
    details = fields.get("reasoning_details")
    if details is None and reply.reasoning:
        details = [{"type": "reasoning.text", "text": reply.reasoning}]
    items: list[dict[str, Any]] = []
    if details:
        items.append(_reasoning_item(details, _item_id("rs", 0, context)))
    items += [dict(item) for item in reply.items]

    parts = _message_parts(reply)
    if parts or not (reply.tool_calls or reply.images):
        message = {"id": _item_id("msg", 1, context), "type": "message", "role": "assistant"}
        items.append({**message, "status": status, "content": parts or [_text_part("", ())]})
    for index, url in enumerate(reply.images):
        image = {"id": _item_id("ig", index, context), "type": "image_generation_call"}
        items.append({**image, "status": "completed", "result": url.rpartition("base64,")[2]})
    for index, call in enumerate(reply.tool_calls):
        items.append(
            {
                "id": _item_id("fc", index, context),
                "type": "function_call",
                "status": status,
                "call_id": to_call_id(call, index, context),
                "name": call.name,
                "arguments": call.text,
            }
        )
    return items


def _item_id(prefix: str, index: int, context: Context) -> str:
    digest = hashlib.sha256(f"{context.generation_id} {prefix} {index}".encode()).hexdigest()
    return f"{prefix}_tmp_{digest[:11]}"


def _message_parts(reply: Reply) -> list[dict[str, Any]]:
    parts = [_text_part(reply.text, reply.annotations)] if reply.text else []
    return [*parts, {"type": "refusal", "refusal": reply.refusal}] if reply.refusal else parts


def _text_part(text: str, annotations: Any) -> dict[str, Any]:
    flat = [
        {"type": a.get("type"), **(get_dict(a, "url_citation") or {})}
        for a in annotations
        if a.get("type") == "url_citation"
    ]
    return {"type": "output_text", "text": text, "annotations": flat, "logprobs": []}


def _reasoning_item(details: list[dict[str, Any]], item_id: str) -> dict[str, Any]:
    """Return the item of which the details of a chat completion are the parts."""
    item: dict[str, Any] = {"id": item_id, "type": "reasoning", "summary": []}

    for detail in details:
        match detail.get("type"):
            case "reasoning.summary":
                item["summary"].append({"type": "summary_text", "text": detail.get("summary")})
            case "reasoning.text":
                part = {"type": "reasoning_text", "text": detail.get("text") or ""}
                item.setdefault("content", []).append(part)
            case "reasoning.encrypted":
                item["encrypted_content"] = detail.get("data")
        for name in ("id", "format", "signature"):
            if detail.get(name) is not None:
                item[name] = detail[name]
    return item


# --- streams ----------------------------------------------------------------------------------


def _events(
    reply: Reply, context: Context, request: Mapping[str, Any], usage: Mapping[str, Any]
) -> list[Item]:
    """Return the events of a stream, `[DONE]` last if it does not fail."""
    envelope = _envelope(reply, context, request)
    complete = _response(reply, context, request, usage)
    events: list[dict[str, Any]] = []
    if reply.error is None or reply.form != "body":
        events += [
            {"type": "response.created", "response": envelope},
            {"type": "response.in_progress", "response": envelope},
        ]
        for index, item in enumerate(complete["output"]):
            events += _item_events(index, item)

    has_failed = complete["status"] == "failed"
    if reply.error is not None and reply.form in {"body", "event"}:
        code, error_type = _to_code(reply.error)
        message = reply.error.get("message", "")
        error = {"type": "error", "code": code, "message": message, "param": None}
        events.append({**error, "error_type": error_type})
    else:
        events.append({"type": f"response.{complete['status']}", "response": complete})

    items: list[Item] = [_KEEP_ALIVE]
    items += [encode_event({**e, "sequence_number": n}) for n, e in enumerate(events)]
    if not has_failed:
        items.append(b"data: [DONE]\n\n")
    return [part for item in items for part in (item, reply.pause)] if reply.pause else items


def _item_events(index: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of an item: it begins, its texts come in pieces, it is complete."""
    begun = {**item, "status": "in_progress"}
    where = {"output_index": index, "item_id": item.get("id")}
    inner: Iterator[dict[str, Any]] = iter(())
    match item.get("type"):
        case "message":
            begun["content"] = []
            inner = _message_events(item)
        case "reasoning":
            begun = {k: v for k, v in begun.items() if k not in {"encrypted_content", "signature"}}
            begun |= {"summary": [], **({"content": []} if "content" in item else {})}
            inner = _reasoning_events(item)
        case "function_call":
            begun["arguments"] = ""
            inner = _text_events("function_call_arguments", item["arguments"], "arguments")
        case "image_generation_call":
            begun.pop("result", None)

    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    for event in inner:
        named = {"name": item["name"]} if event["type"].endswith("arguments.done") else {}
        yield {"type": event["type"], **where, **event, **named}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _text_events(
    kind: str, text: str, name: str, fields: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the pieces of a text, then all of it."""
    for piece in split_pieces(text):
        yield {"type": f"response.{kind}.delta", "delta": piece, **(fields or {})}
    yield {"type": f"response.{kind}.done", name: text, **(fields or {})}


def _message_events(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for index, part in enumerate(item["content"]):
        at = {"content_index": index}
        is_text = part["type"] == "output_text"
        empty = {**part, "text": "", "annotations": []} if is_text else {**part, "refusal": ""}
        yield {"type": "response.content_part.added", **at, "part": empty}
        if is_text:
            yield from _text_events("output_text", part["text"], "text", {**at, "logprobs": []})
            for number, annotation in enumerate(part["annotations"]):
                kind = "response.output_text.annotation.added"
                fields = {"annotation_index": number, "annotation": annotation}
                yield {"type": kind, **at, **fields}
        else:
            yield from _text_events("refusal", part["refusal"], "refusal", at)
        yield {"type": "response.content_part.done", **at, "part": part}


def _reasoning_events(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for index, part in enumerate(item["summary"]):
        at = {"summary_index": index}
        kind = "response.reasoning_summary_part"
        yield {"type": f"{kind}.added", **at, "part": {**part, "text": ""}}
        yield from _text_events("reasoning_summary_text", part["text"], "text", at)
        yield {"type": f"{kind}.done", **at, "part": part}

    for index, part in enumerate(item.get("content", ())):
        yield from _text_events("reasoning_text", part["text"], "text", {"content_index": index})
