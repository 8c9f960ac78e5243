"""Recordings of the live service, and what a reader without our code makes of them.

They are read from the folder in OPENROUTER_TRAFFIC and are not part of the project.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("OPENROUTER_TRAFFIC") or Path(__file__).parents[3] / "shared")
CHAT = FOLDER / "traffic" / "chat.jsonl"
OTHER = FOLDER / "traffic" / "other.jsonl"
SPEC = FOLDER / "reference" / "openapi.yaml"
GROWING = {"text", "summary", "data"}


@cache
def exchanges() -> list[dict[str, Any]]:
    """Return the recorded chat exchanges, none where there is no folder."""
    if not CHAT.exists():
        return []
    return [json.loads(line) for line in CHAT.read_text(encoding="utf-8").splitlines()]


@cache
def response_exchanges() -> list[dict[str, Any]]:
    """Return the recorded exchanges of `POST /responses`, none where there is no folder."""
    if not OTHER.exists():
        return []
    rows = [json.loads(line) for line in OTHER.read_text(encoding="utf-8").split("\n") if line]
    return [row for row in rows if row["path"].endswith("/responses")]


def name_of(exchange: dict[str, Any]) -> str:
    """Return a short test id."""
    path, _, number = exchange["id"].partition("#")
    return f"{Path(path).stem}-{number}"


def bodies(exchange: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the JSON values of an exchange: one, or the events of its stream."""
    if not exchange["stream"] or "data: " not in exchange["body"]:
        return [json.loads(exchange["body"])]
    lines = exchange["body"].split("\n")
    return [json.loads(x[6:]) for x in lines if x.startswith("data: ") and x != "data: [DONE]"]


def error_of(exchange: dict[str, Any]) -> dict[str, Any] | None:
    """Return the error an exchange tells, wherever it does."""
    return next((body["error"] for body in bodies(exchange) if body.get("error")), None)


def expected(exchange: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer says: each field joined over the events, scalars the last one said."""
    found: dict[str, Any] = {
        "text": "", "reasoning": "", "details": [], "has_details": False, "calls": {},
        "annotations": [], "images": [], "refusal": "", "logprobs": [],
    }  # fmt: skip
    for body in bodies(exchange):
        for name in ("id", "model", "provider", "created", "system_fingerprint", "service_tier"):
            if body.get(name) is not None:
                found[name] = body[name]
        if body.get("usage"):
            found["usage"] = body["usage"]
        for choice in body["choices"]:
            for name in ("finish_reason", "native_finish_reason"):
                if choice.get(name):
                    found[name] = choice[name]
            found["logprobs"] += (choice.get("logprobs") or {}).get("content") or []
            said = choice.get("message") or choice["delta"]
            found["text"] += said.get("content") or ""
            found["reasoning"] += said.get("reasoning") or ""
            found["refusal"] += said.get("refusal") or ""
            found["annotations"] += said.get("annotations") or []
            found["images"] += said.get("images") or []
            if said.get("reasoning_details") is not None:
                found["has_details"] = True
                merge_details(found["details"], said["reasoning_details"])
            for place, call in enumerate(said.get("tool_calls") or []):
                known = found["calls"].setdefault(
                    call.get("index", place), {"id": None, "name": None, "arguments": ""}
                )
                function = call["function"]
                known["id"] = known["id"] or call.get("id")
                known["name"] = known["name"] or function.get("name")
                known["arguments"] += function.get("arguments") or ""
    return found


def merge_details(details: list[dict[str, Any]], fragments: list[dict[str, Any]]) -> None:
    """Join fragments of one type and index, as the service's guide says: in order."""
    for fragment in fragments:
        same = ("type", "index")
        into = next((d for d in details if all(d.get(k) == fragment.get(k) for k in same)), None)
        if into is None or (fragment["type"] == "reasoning.encrypted" and "data" in into):
            details.append(dict(fragment))
            continue
        for key, value in fragment.items():
            if key in GROWING and into.get(key):
                into[key] += value
            elif into.get(key) is None or (key in GROWING and value):
                into[key] = value


def response_of(exchange: dict[str, Any]) -> dict[str, Any]:
    """Return the complete response of an exchange, which the last event of a stream carries."""
    body = bodies(exchange)[-1]
    response: dict[str, Any] = body["response"] if exchange["stream"] else body
    return response


def response_error_of(exchange: dict[str, Any]) -> dict[str, Any] | None:
    """Return the error that an exchange of `POST /responses` tells, wherever it does."""
    for body in bodies(exchange):
        if body.get("type") == "error":
            return body
        found = (body.get("response") or body).get("error")
        if found:
            error: dict[str, Any] = found
            return error
    return None


def expected_response(exchange: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer of `POST /responses` says; of a stream, what its events say."""
    response = response_of(exchange)
    found: dict[str, Any] = {
        "text": "", "reasoning": "", "details": [], "calls": [], "annotations": [], "refusal": "",
        "logprobs": [], "items": response["output"], "response": response,
    }  # fmt: skip
    for item in response["output"]:
        if item["type"] == "function_call":
            found["calls"].append({name: item[name] for name in ("call_id", "name", "arguments")})
        if item["type"] == "message":
            for part in item["content"]:
                found["text"] += part.get("text", "")
                found["refusal"] += part.get("refusal", "")
                found["annotations"] += part.get("annotations") or []
                found["logprobs"] += part.get("logprobs") or []
        if item["type"] == "reasoning":
            parts = [*(item.get("summary") or []), *(item.get("content") or [])]
            texts = [part["text"] for part in parts]
            found["reasoning"] += "".join(texts)
            found["details"] += texts
            if item.get("encrypted_content"):
                found["details"].append(item["encrypted_content"])
    if exchange["stream"]:
        deltas = [e["delta"] for e in bodies(exchange) if e["type"] == "response.output_text.delta"]
        assert "".join(deltas) == found["text"]
    return found
