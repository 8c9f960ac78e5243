"""A whole answer -> the bytes of a stream that says the same, cut as services cut them."""

from __future__ import annotations

import copy
import itertools
import json
from typing import Any, NamedTuple

GROWING = ("text", "summary")
SCALARS = ("id", "model", "provider", "system_fingerprint", "service_tier")


class Cut(NamedTuple):
    """How an answer is cut; the first value of each in OPTIONS is the live service's."""

    size: int = 5
    """Characters of a piece."""
    first: str = "value"
    """What stands in the first fragment of each field: value, empty, null."""
    last: str = "absent"
    """What a last fragment holds for each field that is complete: absent, empty, null."""
    scalars: str = "every"
    """The events that carry id, model and the like: every, first, last, gaps."""
    calls: str = "index"
    """What names the call of a fragment: index, id, both, order, same index, late id, names."""
    interleaved: bool = False
    """Fragments of several calls in turn."""
    reasoning: str = "both"
    """The fields that carry the text: both, plain, details, plain first, details first."""
    signature: str = "last"
    """Where a detail's signature is: last, alone, empty first, first, in all."""
    details: str = "index"
    """What names the detail of a fragment: index, first index, type, nothing."""
    finish: int = 2
    """Events with a finish reason."""
    usage: str = "finish"
    """Where usage is: finish, alone, last of two."""
    noise: bool = False
    """Comments and blank lines between the events."""
    repeated: bool = False
    """Images and annotations come twice."""
    newline: str = "\n"
    done: bool = True


OPTIONS: dict[str, list[Any]] = {
    "size": [5, 1, 64, 1_000_000],
    "first": ["value", "empty", "null"],
    "last": ["absent", "empty", "null"],
    "scalars": ["every", "first", "last", "gaps"],
    "calls": ["index", "id", "both", "order", "same index", "late id", "names"],
    "interleaved": [False, True],
    "reasoning": ["both", "plain", "details", "plain first", "details first"],
    "signature": ["last", "alone", "empty first", "first", "in all"],
    "details": ["index", "first index", "type", "nothing"],
    "finish": [2, 1],
    "usage": ["finish", "alone", "last of two"],
    "noise": [False, True],
    "repeated": [False, True],
    "newline": ["\n", "\r\n", "\r"],
    "done": [True, False],
}


_CHANGES = [(name, value) for name, values in OPTIONS.items() for value in values[1:]]


def neighbors() -> list[Cut]:
    """Return the live service's cut, and each that differs from it in one way."""
    return [Cut(), *(Cut(**{name: value}) for name, value in _CHANGES)]


def second_neighbors() -> list[Cut]:
    """Return each cut that differs in one way and has empty first fragments besides."""
    return [
        Cut(**{name: value, "first": first})
        for name, value in _CHANGES
        for first in ("empty", "null")
        if name != "first"
    ]


def restorable(body: dict[str, Any], cut: Cut) -> Cut:
    """Return the cut without what loses information that nobody could restore."""
    message = body["choices"][0]["message"]
    calls = message.get("tool_calls") or []
    ids = [call.get("id") for call in calls]
    if not all(ids) or len(set(ids)) < len(ids):
        # A fragment that names neither index nor id could belong to any call.
        cut = cut._replace(calls="index")
    if cut.calls in {"order", "late id"}:
        # Without an index, only the order of the fragments tells the calls apart.
        cut = cut._replace(interleaved=False)
    details = message.get("reasoning_details") or []
    types = [detail.get("type") for detail in details]
    if any(a == b for a, b in itertools.pairwise(types)):
        # Two blocks of one type in a row, with nothing that tells them apart, are one.
        cut = cut._replace(details="index")
    if cut.details != "index" and len(details) > 1 and (
        len(set(types)) < len(types) or cut.first != "value" or cut.last != "absent"
    ):  # fmt: skip
        # Of several blocks, an empty fragment without an index could be of any.
        cut = cut._replace(details="index")
    if cut.done is False and not body["choices"][0].get("finish_reason"):
        # A stream without a finish reason and without `[DONE]` was cut by the network.
        cut = cut._replace(done=True)
    return cut


def comparable(body: dict[str, Any], cut: Cut) -> dict[str, Any]:
    """Return the whole answer, without what this cut leaves out altogether."""
    body = copy.deepcopy(body)
    message = body["choices"][0]["message"]
    if cut.details in {"type", "nothing"}:
        for detail in message.get("reasoning_details") or []:
            detail.pop("index", None)
    return body


def stream_of(body: dict[str, Any], cut: Cut) -> bytes:
    """Return the bytes of the stream."""
    choice = body["choices"][0]
    deltas = list(_deltas(choice["message"], cut))
    ends = [{} for _ in range(cut.finish)]
    events = [{"delta": delta} for delta in [*deltas, *ends]]
    logprobs = choice.get("logprobs")
    for place, event in enumerate(events):
        event.update(index=0, finish_reason=None, native_finish_reason=None, logprobs=None)
        if place >= len(deltas):
            for name in ("finish_reason", "native_finish_reason"):
                event[name] = choice.get(name)
    _spread(logprobs, events[: max(1, len(deltas))], cut)
    wire = [{"object": "chat.completion.chunk", "choices": [event]} for event in events]
    if cut.usage == "alone":
        wire.append({"object": "chat.completion.chunk", "choices": [], "usage": body.get("usage")})
    else:
        wire[-1]["usage"] = body.get("usage")
        if cut.usage == "last of two":
            wire[0]["usage"] = {} if cut.first == "empty" else None
    _scalars(body, wire, cut)
    return _bytes(wire, cut)


def _blank(value: Any, kind: str) -> Any:
    return type(value)() if kind == "empty" else None


def _pieces(text: str, cut: Cut) -> list[str | None]:
    """Cut a text; perhaps with an empty piece before and after it."""
    pieces: list[str | None] = [text[i : i + cut.size] for i in range(0, len(text), cut.size)]
    if cut.first != "value":
        pieces.insert(0, _blank(text, cut.first))
    if cut.last != "absent":
        pieces.append(_blank(text, cut.last))
    return pieces or [text]


def _deltas(message: dict[str, Any], cut: Cut) -> Any:
    message = copy.deepcopy(message)
    yield {"role": "assistant", "content": _blank("", cut.first) if cut.first != "value" else ""}
    yield from _reasoning(message, cut)
    if isinstance(content := message.get("content"), str):
        yield from ({"role": "assistant", "content": piece} for piece in _pieces(content, cut))
    if refusal := message.get("refusal"):
        yield from ({"content": "", "refusal": piece} for piece in _pieces(refusal, cut))
    yield from ({"content": None, "tool_calls": [call]} for call in _calls(message, cut))
    yield from _media(message, cut)


def _media(message: dict[str, Any], cut: Cut) -> Any:
    for name in ("images", "annotations"):
        if items := message.get(name):
            for item in items * (2 if cut.repeated else 1):
                yield {"content": "", name: [item]}
            if cut.repeated:
                yield {"content": "", name: items}
            if cut.last != "absent":
                yield {"content": "", name: _blank([], cut.last)}
    if audio := message.get("audio"):
        yield from _audio(audio, cut)
    yield from _unknown(message, cut)


def _unknown(message: dict[str, Any], cut: Cut) -> Any:
    known = {"role", "content", "refusal", "reasoning", "reasoning_content", "reasoning_details",
             "tool_calls", "images", "annotations", "audio"}  # fmt: skip
    for name, value in message.items():
        if name not in known and value is not None:
            if cut.first != "value":
                yield {"content": "", name: _blank(value, cut.first)}
            yield {"content": "", name: value}
            if cut.last != "absent":
                yield {"content": "", name: _blank(value, cut.last)}


def _reasoning(message: dict[str, Any], cut: Cut) -> Any:
    text, details = message.get("reasoning") or "", message.get("reasoning_details")
    if details == []:
        yield {"content": "", "reasoning_details": []}
    # Where two blocks share an index, as summary and encrypted data do, an empty fragment without
    # a type could be of either.
    indexes = [detail.get("index") for detail in details or []]
    shared = len(set(indexes)) < len(indexes)
    fragments = [f for detail in details or [] for f in _fragments(detail, cut, typed=shared)]
    texts = [fragment.get("text") or fragment.get("summary") or "" for fragment in fragments]
    if text and "".join(texts) != text:
        # The details say something else: text and details are two things.
        yield from ({"content": "", "reasoning": piece} for piece in _pieces(text, cut))
        if not "".join(texts):
            yield from ({"content": "", "reasoning_details": [piece]} for piece in fragments)
        return
    plain = [{"content": "", "reasoning": piece} for piece in _pieces(text, cut)] if text else []
    if not fragments:
        yield from plain
        return
    alone = [{"content": "", "reasoning_details": [fragment]} for fragment in fragments]
    if cut.reasoning in {"details", "plain"} or not text:
        # `plain` is a service that sends the text without details: they come at the end, whole.
        if cut.reasoning == "plain" and text:
            yield from plain
            yield {"content": "", "reasoning_details": details_without_index(details, cut)}
            return
        yield from alone
    elif cut.reasoning == "both":
        for delta, piece in zip(alone, texts, strict=True):
            yield {**delta, "reasoning": piece or None}
    else:
        order = [plain, alone] if cut.reasoning == "plain first" else [alone, plain]
        yield from itertools.chain(*order)


def details_without_index(details: list[dict[str, Any]], cut: Cut) -> list[dict[str, Any]]:
    """Return whole details, without their index where the cut has none."""
    gone = {"index"} if cut.details in {"type", "nothing"} else set()
    return [{key: value for key, value in one.items() if key not in gone} for one in details]


def _fragments(detail: dict[str, Any], cut: Cut, *, typed: bool) -> list[dict[str, Any]]:
    key = next((name for name in GROWING if isinstance(detail.get(name), str)), None)
    signature = detail.get("signature")
    frame = {name: value for name, value in detail.items() if name not in {key, "signature"}}
    found = [dict(frame)]
    if key is not None:
        found = [{**frame, key: piece} for piece in _pieces(detail[key], cut)]
    if cut.first != "value":
        # Encrypted data comes whole, in the fragment after the empty one.
        first = {
            name: _blank(value, cut.first) if isinstance(value, str) else value
            for name, value in detail.items()
        }
        if typed:
            first["type"] = detail["type"]
        found.insert(0, first)
    if "signature" in detail:
        _sign(found, signature, cut, {key: ""} if key else {})
    if cut.last != "absent" and key is not None:
        found.append({**found[-1], key: _blank("", cut.last)})
    for place, fragment in enumerate(found):
        if cut.details in {"type", "nothing"} or (cut.details == "first index" and place):
            fragment.pop("index", None)
        if cut.details == "nothing" and place > (cut.first != "value") and key is not None:
            fragment.pop("type", None)
    return found


def _sign(found: list[dict[str, Any]], signature: Any, cut: Cut, blank: dict[str, Any]) -> None:
    frame = {name: found[-1][name] for name in ("type", "index", "format") if name in found[-1]}
    if not signature or cut.signature == "last":
        found[-1]["signature"] = signature
    elif cut.signature == "first":
        found[0]["signature"] = signature
    elif cut.signature == "in all":
        for fragment in found:
            fragment["signature"] = signature
    elif cut.signature == "empty first":
        for fragment in found:
            fragment["signature"] = ""
        found[-1]["signature"] = signature
    else:
        found.append({**frame, **blank, "signature": signature})


def _calls(message: dict[str, Any], cut: Cut) -> Any:
    """Return the fragments of the calls, in turn or one call after another."""
    lists = [_call(place, raw, cut) for place, raw in enumerate(message.get("tool_calls") or [])]
    if cut.interleaved:
        rounds = itertools.zip_longest(*lists)
        return [fragment for fragments in rounds for fragment in fragments if fragment]
    return list(itertools.chain(*lists))


def _call(place: int, raw: dict[str, Any], cut: Cut) -> list[dict[str, Any]]:
    function = raw["function"]
    fragments: list[dict[str, Any]] = [
        {"function": {"arguments": piece}}
        for piece in _pieces(function.get("arguments") or "", cut)
    ]
    blank = cut.first != "value" and cut.calls in {"index", "both", "names"} and len(fragments) > 1
    named = 1 if blank else 0
    for number, fragment in enumerate(fragments):
        if cut.calls in {"index", "both", "late id", "names"}:
            fragment["index"] = place
        if cut.calls == "same index":
            fragment["index"] = 0
        fragment["type"] = "function"
        if number == named or (number > named and cut.calls == "names"):
            fragment["function"]["name"] = function.get("name")
        elif number < named:
            fragment["function"]["name"] = _blank("", cut.first)
        elif cut.last != "absent":
            fragment["function"]["name"] = _blank("", cut.last)
        if raw.get("id"):
            _identify(fragment, raw["id"], number, named, len(fragments), cut)
    return fragments


def _identify(
    fragment: dict[str, Any], call_id: str, number: int, named: int, count: int, cut: Cut
) -> None:
    """Put the id, or nothing, into a fragment."""
    if cut.calls in {"id", "both", "same index"}:
        here = True
    elif cut.calls == "late id":
        here = number == count - 1
    else:
        here = number == named
    if here:
        fragment["id"] = call_id
    elif number < named:
        fragment["id"] = _blank("", cut.first)
    elif cut.last != "absent":
        fragment["id"] = _blank("", cut.last)


def _audio(audio: dict[str, Any], cut: Cut) -> Any:
    facts = {name: value for name, value in audio.items() if name not in {"data", "transcript"}}
    if cut.first != "value":
        yield {"content": "", "audio": {name: _blank(value, cut.first) for name, value in audio.items()
                                        if not isinstance(value, int)}}  # fmt: skip
    yield {"content": "", "audio": facts}
    for name in ("transcript", "data"):
        if isinstance(audio.get(name), str):
            for piece in _pieces(audio[name], cut):
                yield {"content": "", "audio": {name: piece}}
    if cut.last != "absent":
        yield {"content": "", "audio": {name: _blank(value, cut.last) for name, value in audio.items()
                                        if not isinstance(value, int)}}  # fmt: skip


def _spread(logprobs: Any, events: list[dict[str, Any]], cut: Cut) -> None:
    """Put the logprobs into the events, some tokens in each."""
    if not isinstance(logprobs, dict):
        return
    if cut.first != "value" and len(events) > 1:
        events[0]["logprobs"] = {name: _blank([], cut.first) for name in logprobs}
        events = events[1:]
    for place, event in enumerate(events):
        size = -(-max(len(value or ()) for value in logprobs.values()) // len(events))
        event["logprobs"] = {
            name: value[place * size : (place + 1) * size] if isinstance(value, list) else value
            for name, value in logprobs.items()
        }


def _scalars(body: dict[str, Any], wire: list[dict[str, Any]], cut: Cut) -> None:
    """Put id, model and all else of the body into the events that carry them."""
    facts = {
        name: value for name, value in body.items() if name not in {"choices", "usage", "object"}
    }
    for place, event in enumerate(wire):
        here = {"every": True, "first": place == 0, "last": place == len(wire) - 1,
                "gaps": place % 3 == 1 or place == len(wire) - 1}[cut.scalars]  # fmt: skip
        if place == 0 and cut.first != "value" and len(wire) > 1:
            if cut.scalars == "first":
                here = True
            else:
                event.update({name: _blank("", cut.first) for name in SCALARS if facts.get(name)})
                continue
        if here:
            event.update(facts)
        elif cut.last != "absent" and place:
            event.update({name: _blank("", cut.last) for name in SCALARS if facts.get(name)})


def _bytes(wire: list[dict[str, Any]], cut: Cut) -> bytes:
    end = cut.newline
    blocks = []
    for place, event in enumerate(wire):
        if cut.noise:
            blocks.append(
                [": OPENROUTER PROCESSING", "\n:", "event: message", "id: 7\n\n"][place % 4]
            )
        blocks.append(f"data: {json.dumps(event)}\n")
    if cut.done:
        blocks.append("data: [DONE]\n")
    return "".join(f"{block}\n" for block in blocks).replace("\n", end).encode()
