"""`POST /responses` for tests that are written in terms of chat completions.

What a test replies is translated into the form of the endpoint, and what it is asked into a chat
request, so that one test covers both endpoints.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from langchain_openrouter.testing.emulator._responses_requests import parse_responses_request
from tests.support.loopback import Reply, Seen, whole

WORDS = {
    400: "invalid_prompt",
    413: "invalid_prompt",
    422: "invalid_prompt",
    429: "rate_limit_exceeded",
}
TYPES = {
    400: "invalid_request", 401: "authentication", 402: "payment_required", 403: "permission_denied",
    404: "not_found", 429: "rate_limit_exceeded", 502: "provider_unavailable",
    503: "provider_overloaded", 504: "timeout",
}  # fmt: skip


class ResponsesSeen(Seen):
    """A request of the endpoint, whose body reads as that of a chat request."""

    @property
    def body(self) -> Any:
        """The JSON body, in the form of a chat request."""
        return parse_responses_request(json.loads(self.raw))


def translated(reply: Any) -> Any:
    """Return a reply, or a function that replies, in the form of the endpoint."""
    if not callable(reply):
        return to_reply(reply)

    def answer(seen: Seen) -> Any:
        return to_reply(reply(ResponsesSeen(**vars(seen))))

    return answer


def to_reply(reply: Reply) -> Reply:
    """Return a reply of chat completions in the form of the endpoint."""
    if "event-stream" in reply.content_type:
        stream = EventTranslator()
        items = [stream.data(i) if isinstance(i, bytes) else i for i in reply.items()]
    else:
        items = [to_body_bytes(i) if isinstance(i, bytes) else i for i in reply.items()]
    return replace(reply, body=items)


def to_body_bytes(data: bytes) -> bytes:
    """Return a body in the form of the endpoint; one that is no JSON stays as it is."""
    try:
        body = json.loads(data)
    except ValueError:
        return data
    return json.dumps(to_body(body)).encode() if isinstance(body, dict) else data


def to_error(error: Any) -> dict[str, Any]:
    """Return an error with one of the few codes, and its type."""
    if not isinstance(error, dict):
        return {"error": error}
    code, metadata = error.get("code"), error.get("metadata") or {}
    word = WORDS.get(code, "server_error") if isinstance(code, int) else code
    kind = metadata.get("error_type") or error.get("error_type") or TYPES.get(code)
    return {"error": {**error, "code": word}, **({"error_type": kind} if kind else {})}


def to_body(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a chat completion, or of an error, in the form of the endpoint."""
    if not body.get("choices"):
        return {**body, **to_error(body["error"])} if body.get("error") else body
    choice = body["choices"][0]
    rest = {
        k: v for k, v in body.items() if k not in {"choices", "usage", "created", "object", "error"}
    }
    error = body.get("error") or choice.get("error")
    return {
        **rest, "object": "response", "created_at": body.get("created"),
        "output": to_items(choice.get("message") or choice.get("delta") or {}),
        **to_status(choice.get("finish_reason"), choice.get("native_finish_reason"), failed=bool(error)),
        **(to_error(error) if error else {}),
        "usage": to_usage(body.get("usage")),
    }  # fmt: skip


def to_status(reason: Any, native: Any, *, failed: bool = False) -> dict[str, Any]:
    """Return status and details for a finish reason."""
    if failed or reason == "error":
        return {"status": "failed"}
    cut = {"length", "max_tokens", "max_output_tokens", "MAX_TOKENS"}
    if {reason, native} & cut:
        return {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    if reason == "content_filter":
        return {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    return {"status": "completed", "incomplete_details": None}


def to_usage(usage: Any) -> Any:
    """Return a usage with the endpoint's names."""
    names = {"prompt": "input", "completion": "output"}
    found = {}
    for name, value in (usage or {}).items():
        first, _, rest = name.partition("_")
        found[f"{names[first]}_{rest}" if first in names else name] = value
    return found or None


def to_items(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the items of a message."""
    items: list[dict[str, Any]] = []
    details = message.get("reasoning_details") or []
    if details or message.get("reasoning"):
        item: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": []}
        for detail in details or [{"type": "reasoning.text", "text": message["reasoning"]}]:
            if detail["type"] == "reasoning.summary":
                item["summary"].append({"type": "summary_text", "text": detail["summary"]})
            elif detail["type"] == "reasoning.text":
                item.setdefault("content", []).append(
                    {"type": "reasoning_text", "text": detail["text"]}
                )
            else:
                item["encrypted_content"] = detail.get("data")
            item.update({k: detail[k] for k in ("format", "signature", "id") if detail.get(k)})
        items.append(item)
    content = message.get("content")
    parts = [{"type": "output_text", "text": content, "annotations": []}] if content else []
    if message.get("refusal"):
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    if parts or (content is not None and not message.get("tool_calls")):
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                      "content": parts or [{"type": "output_text", "text": "", "annotations": []}]})  # fmt: skip
    for index, call in enumerate(message.get("tool_calls") or []):
        function = call.get("function") or {}
        items.append({"type": "function_call", "id": f"fc_{index}", "call_id": call.get("id"),
                      "name": function.get("name"), "arguments": function.get("arguments")})  # fmt: skip
    return items


class EventTranslator:
    """The chunks of one stream -> events; what is no whole event stays as it is."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self.envelope: dict[str, Any] = {}
        self.begun: dict[Any, int] = {}
        self.ended = False

    def data(self, data: bytes) -> bytes:
        """Return bytes of events."""
        pieces = data.replace(b"\r\n", b"\n").split(b"\n\n")
        rest = pieces.pop()
        chunks = [_parsed(piece) for piece in pieces]
        usage = next((c["usage"] for c in chunks if isinstance(c, dict) and c.get("usage")), None)
        out = b""
        for chunk in chunks:
            if not isinstance(chunk, dict):
                out += chunk + b"\n\n"
                continue
            for event in self.events(chunk, usage):
                out += b"data: " + json.dumps(event).encode() + b"\n\n"
        return out + rest

    def events(self, chunk: dict[str, Any], usage: Any) -> list[dict[str, Any]]:
        """Return the events of one chunk."""
        if not chunk.get("choices"):
            if chunk.get("error"):
                found = to_error(chunk["error"])
                return [{"type": "error", **found["error"], "error_type": found.get("error_type")}]
            return []
        choice = chunk["choices"][0]
        found = self.begin(chunk) + self.delta(choice.get("delta") or {})
        error = chunk.get("error") or choice.get("error")
        if error or choice.get("finish_reason") == "error":
            response = {**self.envelope, "status": "failed", **(to_error(error) if error else {})}
            return [*found, {"type": "response.failed", "response": response}]
        if choice.get("finish_reason") and not self.ended:
            self.ended = True
            status = to_status(choice["finish_reason"], choice.get("native_finish_reason"))
            response = {**self.envelope, **status, "output": to_items(self.message),
                        "usage": to_usage(usage or whole()["usage"])}  # fmt: skip
            found.append({"type": f"response.{status['status']}", "response": response})
        return found

    def begin(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the first event of the stream, once."""
        if self.envelope:
            return []
        names = ("id", "model", "provider")
        self.envelope = {n: chunk[n] for n in names if n in chunk} | {
            "created_at": chunk.get("created")
        }
        return [
            {"type": "response.created", "response": {**self.envelope, "status": "in_progress"}}
        ]

    def item(self, key: Any, item: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
        """Return the index of an item, and the event that begins it if it is new."""
        if key in self.begun:
            return self.begun[key], []
        self.begun[key] = len(self.begun)
        return self.begun[key], [
            {"type": "response.output_item.added", "output_index": self.begun[key], "item": item}
        ]

    def delta(self, delta: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the events of a delta, and add it to the message."""
        found: list[dict[str, Any]] = []
        text = delta.get("reasoning")
        details = delta.get("reasoning_details") or []
        if text or details:
            self.message["reasoning"] = self.message.get("reasoning", "") + (text or "")
            self.message.setdefault("reasoning_details", []).extend(details)
            index, found = self.item(
                "reasoning", {"type": "reasoning", "id": "rs_1", "summary": []}
            )
            found.append({"type": "response.reasoning_text.delta", "output_index": index,
                          "content_index": 0, "delta": text or "".join(d.get("text", "") for d in details)})  # fmt: skip
        for name, kind in (("content", "output_text"), ("refusal", "refusal")):
            if delta.get(name):
                self.message[name] = (self.message.get(name) or "") + delta[name]
                index, begun = self.item(
                    "message", {"type": "message", "id": "msg_1", "content": []}
                )
                found += [*begun, {"type": f"response.{kind}.delta", "output_index": index,
                                   "content_index": 0, "delta": delta[name]}]  # fmt: skip
        for call in delta.get("tool_calls") or []:
            found += self.call(call)
        return found

    def call(self, call: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the events of a fragment of a call."""
        calls = self.message.setdefault("tool_calls", [])
        function = call.get("function") or {}
        known = next((c for c in calls if c["index"] == call.get("index", 0)), None)
        if known is None:
            known = {"index": call.get("index", 0), "id": call.get("id"),
                     "function": {"name": function.get("name"), "arguments": ""}}  # fmt: skip
            calls.append(known)
        index, found = self.item(("call", known["index"]), {
            "type": "function_call", "id": f"fc_{known['index']}", "call_id": known["id"],
            "name": known["function"]["name"], "arguments": ""})  # fmt: skip
        text = function.get("arguments") or ""
        known["function"]["arguments"] += text
        return [
            *found,
            {
                "type": "response.function_call_arguments.delta",
                "output_index": index,
                "delta": text,
            },
        ]


def _parsed(piece: bytes) -> Any:
    """Return the JSON of an event, or its bytes if they are none."""
    try:
        return json.loads(piece.removeprefix(b"data: ")) if piece.startswith(b"data: {") else piece
    except ValueError:
        return piece
