"""The emulator's answers have the shape of the live service's, kind by kind, event by event."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache

import httpx2
import pytest

from langchain_openrouter.testing import Call, Reply, error
from tests.support.contract import fits
from tests.support.traffic import bodies, exchanges

SINCE = 1_780_000_000  # streams end in two finish chunks since June 2026; older shapes differ
KINDS = ["text", "tools", "reasoning.text", "reasoning.summary", "reasoning.encrypted", "json"]
pytestmark = pytest.mark.skipif(
    not exchanges(), reason="OPENROUTER_TRAFFIC names no folder of recordings"
)


def shape(value, path="$"):
    """Return the path of each value with its type; items of a list share a path."""
    found = defaultdict(set)
    if isinstance(value, dict):
        found[path].add("object")
        for name, item in value.items():
            for where, types in shape(item, f"{path}.{name}").items():
                found[where] |= types
    elif isinstance(value, list):
        found[path].add("array")
        for item in value:
            for where, types in shape(item, f"{path}[]").items():
                found[where] |= types
    elif isinstance(value, bool) or value is None:
        found[path].add(json.dumps(value) if value is None else "boolean")
    else:
        found[path].add("string" if isinstance(value, str) else "number")
    return found


def kinds_of(exchange):
    """Return what an exchange shows."""
    text = exchange["body"]
    found = {kind for kind in KINDS[2:5] if f'"{kind}"' in text}
    if '"tool_calls":' in text:
        found.add("tools")
    if "response_format" in (exchange["request"] or {}):
        found.add("json")
    return found or {"text"}


@cache
def recorded(*, stream):
    """Return the recorded answers of a form: their kinds, bodies and date."""
    return [
        (kinds_of(exchange), bodies(exchange), exchange)
        for exchange in exchanges()
        if exchange["stream"] is stream and exchange["status"] == 200
    ]


def joined(values):
    """Return the shape of several values together."""
    whole = defaultdict(set)
    for value in values:
        for path, types in shape(value).items():
            whole[path] |= types
    return whole


REASONED = {"reasoning.text": "anthropic/claude-sonnet-4.6", "reasoning.summary": "openai/gpt-5.2",
            "reasoning.encrypted": "openai/gpt-5.2"}  # fmt: skip


def asked(emulator, kind, *, stream):
    """Ask the emulator for an answer of a kind; return the request and the raw answer."""
    reply = {
        "tools": Reply(tool_calls=[Call("get_weather", {"city": "Paris"})]),
        "json": Reply('{"a": 1}'),
    }.get(kind) or Reply("Some words here", reasoning="Some thoughts" if kind in REASONED else None)
    emulator.script([reply])
    body = {
        "model": REASONED.get(kind, "openai/gpt-4o-mini"), "stream": stream,
        "messages": [{"role": "user", "content": "x"}],
    }  # fmt: skip
    answer = httpx2.post(
        f"{emulator.url}/chat/completions", json=body, headers={"authorization": "Bearer k"}
    )
    return {"stream": stream, "body": answer.text, "request": body}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_keys_and_types_are_those_of_the_recordings(emulate, kind, stream):
    """Nothing is there that no recording has, and nothing is missing that each of them has."""
    same = [(k, b, e) for k, b, e in recorded(stream=stream) if kind in k]
    recent = [b for _, b, _ in same if (b[0].get("created") or 0) >= SINCE]
    if not same:
        pytest.skip(f"no recording of {kind}, stream={stream}")
    known = joined(body for _, values, _ in recorded(stream=stream) for body in values)
    ours = joined(bodies(asked(emulate(), kind, stream=stream)))
    always = set.intersection(*[set(joined(values)) for values in recent]) if recent else set()

    assert set(ours) <= set(known)
    wrong = {path: types - known[path] for path, types in ours.items() if types - known[path]}
    assert not wrong
    assert always <= set(ours)


def order_of(exchange):
    """Return the kinds of a stream's events, runs of one kind as one."""
    order = []
    for line in exchange["body"].split("\n"):
        if not line.startswith(("data: ", ":")):
            continue
        if line.startswith(":"):
            kind = "comment"
        elif line == "data: [DONE]":
            kind = "done"
        else:
            event = json.loads(line[6:])
            choice = (event["choices"] or [{}])[0]
            delta = choice.get("delta") or {}
            kind = "/".join(
                name
                for name, there in {
                    "tool": delta.get("tool_calls"), "reasoning": delta.get("reasoning") or delta.get("reasoning_details"),
                    "text": delta.get("content"), "finish": choice.get("finish_reason"), "usage": event.get("usage"),
                }.items()
                if there
            )  # fmt: skip
        if kind and kind != "comment" and order[-1:] != [kind]:
            order.append(kind)
    return order


@pytest.mark.parametrize("kind", KINDS)
def test_events_come_in_the_order_of_the_recordings(emulate, kind):
    """What the answer is made of, then a finish chunk, then another with the usage, then the end."""
    same = [
        e for k, b, e in recorded(stream=True) if kind in k and (b[0].get("created") or 0) >= SINCE
    ]
    ours = order_of(asked(emulate(), kind, stream=True))

    assert ours[-3:] == ["finish", "finish/usage", "done"]
    if kind != "json":
        assert ours in [order_of(exchange) for exchange in same] or not same


def test_a_stream_begins_and_breathes_like_the_recordings(emulate):
    """With a comment; lines end in LF; each delta has role and content."""
    text = asked(emulate(), "text", stream=True)["body"]

    assert text.startswith(": OPENROUTER PROCESSING\n\n")
    assert "\r" not in text
    for body in bodies({"stream": True, "body": text}):
        assert {"role", "content"} <= set(body["choices"][0]["delta"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_fit_the_specification_wherever_the_recorded_ones_do(emulate, kind, stream):
    """By the same schema; where every recording departs from it, so may the emulator."""
    name = "ChatStreamChunk" if stream else "ChatResult"
    same = [b for k, b, _ in recorded(stream=stream) if kind in k]
    theirs = {problem for values in same for body in values for problem in fits(name, body)}
    ours = {
        problem
        for body in bodies(asked(emulate(), kind, stream=stream))
        for problem in fits(name, body)
    }

    assert ours <= theirs


def test_errors_have_the_shape_of_the_recorded_ones(emulate):
    """`error` with code and message; an unknown slug is told in the same words."""
    recorded_ones = [json.loads(e["body"]) for e in exchanges() if e["status"] != 200]
    known = joined(recorded_ones)
    emulator = emulate([error("provider"), error("rate_limit")])
    headers = {"authorization": "Bearer k"}
    told = []
    for slug in ("nonexistent", "a/b", "a/b"):
        body = {"model": slug, "messages": [{"role": "user", "content": "x"}]}
        told.append(httpx2.post(f"{emulator.url}/chat/completions", json=body, headers=headers))

    assert [answer.status_code for answer in told] == [400, 502, 429]
    assert told[0].json()["error"]["message"] == "nonexistent is not a valid model ID"
    ours = joined(answer.json() for answer in told)
    assert set(ours) - set(known) <= {"$.error.metadata.error_type"}  # documented, not recorded
