"""What the emulator is to answer, and its bytes, whole or streamed, as the live service's.

Pure: a `Reply` and a request give a status, headers and a list of things to send. The shapes are
those of recordings of the live service: two chunks with a finish reason, keep-alive comments, role
and content in every delta, usage with cost in the last chunk.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_openrouter._json import get_str

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Form: TypeAlias = Literal["status", "body", "choice", "event"]
FaultKind: TypeAlias = Literal[
    "cut", "reset", "stall", "drip", "duplicate", "malformed", "empty", "html"
]
_OK = 200
CUT, RESET = "cut", "reset"
Item: TypeAlias = bytes | float | str
"""Bytes to send, seconds to wait, or `CUT` or `RESET`."""

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_PRICE = {"prompt": 1.5e-07, "completion": 6e-07}  # USD per token
_NATIVE = {"stop": "stop", "tool_calls": "tool_calls", "length": "max_output_tokens"}
_VENDORS = {"openai": "OpenAI", "deepseek": "DeepSeek"}
_KEEP_ALIVE = b": OPENROUTER PROCESSING\n\n"


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. `arguments` is an object, or the text as the model wrote it."""

    name: str
    arguments: Any = field(default_factory=dict)
    id: str | None = None

    @property
    def text(self) -> str:
        """The arguments as they go over the wire."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with the bytes of an answer.

    Args:
        kind: "cut" and "reset" end the connection; "stall" stops sending for `seconds`; "drip"
            sends byte by byte, `seconds` apart; "duplicate" sends every event twice; "malformed"
            puts an event in that is no JSON; "empty" sends no body; "html" a page in its place.
        after: How many events, or halves of a whole body, come before it.
        seconds: For "stall" and "drip".
    """

    kind: FaultKind
    after: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, whole or streamed, as the request asks. A plain string is `Reply(text=...)`.

    `error` makes it an error, in the `form` that is asked for: an HTTP status; a 200 whose body is
    the error; a choice that ends in one after `text`; an event in mid-stream after `text`.
    """

    text: str | None = None
    reasoning: str | None = None
    reasoning_details: Sequence[Mapping[str, Any]] | None = None
    tool_calls: Sequence[Call] = ()
    images: Sequence[str] = ()
    """URLs, data URLs mostly."""
    audio: Mapping[str, Any] | None = None
    annotations: Sequence[Mapping[str, Any]] = ()
    refusal: str | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    model: str | None = None
    provider: str | None = None
    """Display name; None is that of the model's vendor."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    """Merged into the usage that is counted."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the body, or of the last chunk."""
    error: Mapping[str, Any] | None = None
    form: Form = "status"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    pause: float = 0.0
    """Seconds between events."""

    @property
    def reason(self) -> str:
        """The finish reason that OpenRouter gives."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    @property
    def native(self) -> str:
        """The provider's own."""
        return self.native_finish_reason or _NATIVE.get(self.reason, self.reason)


@dataclass(frozen=True, slots=True)
class Sent:
    """An HTTP answer: what to send, in order."""

    status: int
    headers: Mapping[str, str]
    items: Sequence[Item]
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Context:
    """What an answer needs to know of its request."""

    body: Mapping[str, Any]
    generation_id: str
    created: int

    @property
    def streamed(self) -> bool:
        """Whether events are asked for."""
        return self.body.get("stream") is True

    @property
    def model(self) -> str:
        """The slug that is served: the first that is asked for, without alias and variant."""
        models = self.body.get("models")
        slug = get_str(self.body, "model") or (models[0] if models else "openai/gpt-4o-mini")
        return re.sub(r"@preset/.*|:[a-z]+$", "", slug.lstrip("~")) or "openai/gpt-4o-mini"

    @property
    def provider(self) -> str:
        """The vendor of the model, as a provider's display name."""
        vendor = self.model.partition("/")[0]
        return _VENDORS.get(vendor, vendor.title())


def sent(reply: Reply, context: Context) -> Sent:
    """Return the HTTP answer of a reply."""
    usage = _usage(reply, context)
    if reply.error is not None and (reply.form == "status" or not context.streamed):
        body = _error_body(reply, context, usage)
        status = _status(reply) if reply.form == "status" else _OK
        answer = Sent(status, {"content-type": "application/json"}, [_json(body)])
    elif context.streamed:
        answer = Sent(200, {"content-type": "text/event-stream"}, _events(reply, context, usage))
    else:
        body = whole(reply, context, usage)
        keep_alive = b"\n         \n"  # whole answers of the live service begin with blank lines
        answer = Sent(reply.status, {"content-type": "application/json"}, [keep_alive, _json(body)])
    headers = {**answer.headers, "x-generation-id": context.generation_id, **reply.headers}
    paid = 0.0 if reply.error is not None and reply.form == "status" else float(usage["cost"] or 0)
    return _faulty(Sent(answer.status, headers, answer.items, paid), reply)


def whole(reply: Reply, context: Context, usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a whole answer."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.text if reply.text is not None or reply.tool_calls else "",
        "refusal": reply.refusal,
        "reasoning": reply.reasoning,
        **_extras(reply, context),
    }
    if reply.tool_calls:
        message["tool_calls"] = [
            {"type": "function", "index": place, "id": _call_id(call, place, context),
             "function": {"name": call.name, "arguments": call.text}}
            for place, call in enumerate(reply.tool_calls)
        ]  # fmt: skip
    choice = {
        "index": 0,
        "logprobs": None,
        "finish_reason": reply.reason,
        "native_finish_reason": reply.native,
        "message": message,
    }
    return {
        **_head(reply, context, "chat.completion"),
        "system_fingerprint": None,
        "service_tier": None,
        "choices": [choice],
        "usage": usage,
        **reply.fields,
    }


def _events(reply: Reply, context: Context, usage: Mapping[str, Any]) -> list[Item]:
    """Return the events of a streamed answer, keep-alive first and `[DONE]` last."""
    head = _head(reply, context, "chat.completion.chunk")

    def chunk(delta: Mapping[str, Any], reason: bool = False, **more: Any) -> bytes:  # noqa: FBT001, FBT002
        choice = {
            "index": 0,
            "delta": {"content": "", "role": "assistant", **delta},
            "finish_reason": reply.reason if reason else None,
            "native_finish_reason": reply.native if reason else None,
        }
        return _event({**head, **more, "choices": [choice]})

    items: list[Item] = [_KEEP_ALIVE]
    items += [chunk(delta) for delta in _deltas(reply, context)]
    if reply.error is not None and reply.form == "body":
        items = [_event({"error": reply.error})]
    elif reply.error is not None:
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        if reply.form == "choice":
            choice["error"] = reply.error
            items.append(_event({**head, "choices": [choice]}))
        else:
            items.append(_event({**head, "error": reply.error, "choices": [choice]}))
    else:
        items.append(chunk({}, reason=True))
        last = json.loads(chunk({}, reason=True, service_tier=None)[6:])
        items.append(_event({**last, "usage": usage, **reply.fields}))
        items.append(b"data: [DONE]\n\n")
    if reply.pause:
        return [part for item in items for part in (item, reply.pause)]
    return items


def _deltas(reply: Reply, context: Context) -> list[dict[str, Any]]:
    """Return what the chunks of an answer say, in the order of the live service."""
    deltas: list[dict[str, Any]] = []
    extras = _extras(reply, context)
    details = [dict(detail) for detail in extras.pop("reasoning_details", ())]
    for detail in details or ([{"text": reply.reasoning}] if reply.reasoning else []):
        grows = "text" if isinstance(detail.get("text"), str) else "summary"
        late = {k: detail.pop(k) for k in ("signature",) if detail.get(k) is not None}
        pieces = _pieces(detail.get(grows) or "")
        for piece in pieces:
            delta: dict[str, Any] = {"reasoning": piece}
            if details:
                delta["reasoning_details"] = [{**detail, grows: piece}]
            deltas.append(delta)
        if details and not pieces:
            deltas.append({"reasoning_details": [detail]})
        if late:
            rest = {k: v for k, v in detail.items() if k != grows}
            deltas.append({"reasoning_details": [{**rest, **late}]})
    deltas += [{"content": piece} for piece in _pieces(reply.text or "")]
    if reply.refusal:
        deltas.append({"refusal": reply.refusal})
    for place, call in enumerate(reply.tool_calls):
        named = {"index": place, "id": _call_id(call, place, context), "type": "function"}
        start = {**named, "function": {"name": call.name, "arguments": ""}}
        deltas.append({"content": None, "tool_calls": [start]})
        deltas += [
            {"content": None, "tool_calls": [{"index": place, "function": {"arguments": piece}}]}
            for piece in _pieces(call.text)
        ]
    deltas += [{name: value} for name, value in extras.items()]
    return deltas


def _extras(reply: Reply, context: Context) -> dict[str, Any]:
    """Return the fields of a message that only some have."""
    extras: dict[str, Any] = {}
    details = reply.reasoning_details
    if details is None and reply.reasoning:
        details = details_of(reply.reasoning, context.model)
    if details is not None:
        extras["reasoning_details"] = [dict(detail) for detail in details]
    if reply.images:
        extras["images"] = [{"type": "image_url", "image_url": {"url": u}} for u in reply.images]
    if reply.audio:
        extras["audio"] = dict(reply.audio)
    if reply.annotations:
        extras["annotations"] = [dict(one) for one in reply.annotations]
    return extras


def details_of(reasoning: str, model: str) -> list[dict[str, Any]]:
    """Return reasoning details as the vendor of a model gives them."""
    vendor = model.partition("/")[0]
    seal = hashlib.sha256(reasoning.encode()).hexdigest()
    if vendor == "openai":
        return [
            {"type": "reasoning.summary", "summary": reasoning, "format": "openai-responses-v1",
             "index": 0},
            {"type": "reasoning.encrypted", "data": seal, "format": "openai-responses-v1",
             "id": f"rs_{seal[:16]}", "index": 1},
        ]  # fmt: skip
    text = {"type": "reasoning.text", "text": reasoning, "format": "unknown", "index": 0}
    if vendor == "anthropic":
        return [{**text, "format": "anthropic-claude-v1", "signature": seal}]
    if vendor == "google":
        hidden = {"type": "reasoning.encrypted", "data": seal, "format": "google-gemini-v1"}
        return [{**text, "format": "google-gemini-v1"}, {**hidden, "index": 1}]
    return [text]


def _head(reply: Reply, context: Context, kind: str) -> dict[str, Any]:
    return {
        "id": context.generation_id,
        "object": kind,
        "created": context.created,
        "model": reply.model or context.model,
        "provider": reply.provider or context.provider,
    }


def _usage(reply: Reply, context: Context) -> dict[str, Any]:
    """Count four characters a token, at the prices of a small model."""
    asked = len(json.dumps(context.body.get("messages", ""))) // 4 + 1
    reasoned = len(reply.reasoning or "") // 4
    said = len((reply.text or "") + "".join(c.text for c in reply.tool_calls)) // 4 + 1 + reasoned
    asked_cost, said_cost = asked * _PRICE["prompt"], said * _PRICE["completion"]
    cost = round(asked_cost + said_cost, 10)
    usage = {
        "prompt_tokens": asked,
        "completion_tokens": said,
        "total_tokens": asked + said,
        "cost": cost,
        "is_byok": False,
        "prompt_tokens_details": {
            "cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0, "video_tokens": 0,
        },
        "cost_details": {
            "upstream_inference_cost": cost,
            "upstream_inference_prompt_cost": round(asked_cost, 10),
            "upstream_inference_completions_cost": round(said_cost, 10),
        },
        "completion_tokens_details": {
            "reasoning_tokens": reasoned, "image_tokens": 0, "audio_tokens": 0,
        },
    }  # fmt: skip
    return {**usage, **reply.usage}


def _error_body(reply: Reply, context: Context, usage: Mapping[str, Any]) -> dict[str, Any]:
    if reply.form in {"choice", "event"}:
        body = whole(replace(reply, finish_reason="error"), context, usage)
        body["choices"][0]["error"] = dict(reply.error or {})
        return body
    return {"error": dict(reply.error or {}), "user_id": "user_emulated"}


def _status(reply: Reply) -> int:
    """Return the status of an error: the reply's own, its code, or `http_status`, or 500."""
    if reply.status != _OK:
        return reply.status
    error = reply.error or {}
    for name in ("code", "http_status"):
        if isinstance(error.get(name), int):
            return int(error[name])
    return 500


def _call_id(call: Call, place: int, context: Context) -> str:
    if call.id is not None:
        return call.id
    return "call_" + hashlib.sha256(f"{context.generation_id} {place}".encode()).hexdigest()[:24]


def _pieces(text: str) -> list[str]:
    """Cut a text into the pieces that a model streams: words with the space before them."""
    return re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text)


def _json(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _event(body: Any) -> bytes:
    return b"data: " + _json(body) + b"\n\n"


def _faulty(answer: Sent, reply: Reply) -> Sent:
    """Let go wrong what shall."""
    fault = reply.fault
    if fault is None:
        return answer
    items = list(answer.items)
    if len(items) <= 2 and fault.kind in {"cut", "reset", "stall"}:  # noqa: PLR2004 - a whole body
        data = b"".join(item for item in items if isinstance(item, bytes))
        items = [data[: len(data) // 2], data[len(data) // 2 :]]
    before, rest = items[: fault.after], items[fault.after :]
    headers = dict(answer.headers)
    match fault.kind:
        case "cut" | "reset":
            items = [*before, fault.kind]
        case "stall":
            items = [*before, fault.seconds, *rest]
        case "drip":
            data = b"".join(item for item in items if isinstance(item, bytes))
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
    return Sent(answer.status, headers, items, answer.cost)
