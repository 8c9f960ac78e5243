"""A server for benchmarks, in a process of its own: streams of any length, made beforehand.

It speaks just enough HTTP/1.1, on asyncio alone, that the clients are what is measured. Each event
is an HTTP chunk and a write of its own, as a live service flushes them. The model's slug says what
comes: `bench/text-1000`, `bench/reasoning-1000`, `bench/tools-1000` (a thousand deltas),
`bench/paced-1000` (fifty a second), or else a small whole answer, after 100 ms for `bench/slow-100`.
`GET /stats` tells how many TCP connections were opened and are open; `GET /models-100/api/v1/models`
lists a hundred models.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import time

WORD = " word"
PACE = 1 / 50  # seconds between two pieces of a paced stream
FACTS = {
    "id": "gen-1760000000-benchmark0000000000",
    "object": "chat.completion.chunk",
    "created": 1760000000,
    "model": "openai/gpt-4o-mini",
    "provider": "OpenAI",
    "system_fingerprint": "fp_1",  # not always sent; langchain-openrouter cannot do without
}
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 20,
    "total_tokens": 30,
    "cost": 0.00001,
    "is_byok": False,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "cost_details": {"upstream_inference_cost": None},
    "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 0},
}
SMALL = {
    **FACTS,
    "object": "chat.completion",
    "choices": [
        {
            "logprobs": None,
            "finish_reason": "stop",
            "native_finish_reason": "stop",
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hello!",
                "refusal": None,
                "reasoning": None,
            },
        }
    ],
    "usage": USAGE,
}


def _event(delta, *, reason=None, **more):
    choice = {
        "index": 0,
        "delta": {"role": "assistant", "content": "", **delta},
        "finish_reason": reason,
        "native_finish_reason": reason,
        "logprobs": None,
    }
    return {**FACTS, "choices": [choice], **more}


def _text(_):
    return {"content": WORD}


def _reasoning(_):
    detail = {
        "type": "reasoning.text",
        "text": WORD,
        "format": "anthropic-claude-v1",
        "index": 0,
    }
    return {"reasoning": WORD, "reasoning_details": [detail]}


def _tools(place):
    if place == 0:
        function = {"name": "write", "arguments": '{"text":"'}
        return {
            "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]
        }
    call = {"index": 0, "type": "function", "function": {"arguments": WORD}}
    return {"tool_calls": [call]}


DELTAS = {"text": _text, "reasoning": _reasoning, "tools": _tools, "paced": _text}


@functools.lru_cache(maxsize=64)
def parts(slug):
    """Return the HTTP chunks of a stream."""
    kind, _, number = slug.removeprefix("bench/").partition("-")
    events = [_event(DELTAS[kind](place)) for place in range(int(number))]
    reason = "stop"
    if kind == "tools":
        reason = "tool_calls"
        call = {"index": 0, "type": "function", "function": {"arguments": '"}'}}
        events.append(_event({"tool_calls": [call]}))
    if kind == "reasoning":  # an answer follows the thought
        events.append(_event({"content": "Done."}))
    events += [_event({}, reason=reason), _event({}, reason=reason, usage=USAGE)]
    texts = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    texts.append(b"data: [DONE]\n\n")
    return [b"%x\r\n%s\r\n" % (len(text), text) for text in texts]


@functools.lru_cache(maxsize=8)
def models(number):
    """Return a list of models in the API's form."""
    architecture = {
        "modality": "text+image->text",
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
        "tokenizer": "GPT",
        "instruct_type": None,
    }
    return {
        "data": [
            {
                "id": f"author/model-{n}",
                "canonical_slug": f"author/model-{n}",
                "hugging_face_id": "",
                "name": f"Author: Model {n}",
                "created": FACTS["created"],
                "description": "A model of the benchmark. " * 10,
                "context_length": 128_000,
                "architecture": architecture,
                "pricing": {"prompt": "0.0000001", "completion": "0.0000004", "request": "0"},
                "top_provider": {"context_length": 128_000, "is_moderated": False},
                "per_request_limits": None,
                "supported_parameters": ["max_tokens", "seed", "stop", "tools", "tool_choice"],
            }
            for n in range(number)
        ]
    }


RESPONSE = {
    "id": FACTS["id"],
    "object": "response",
    "created_at": FACTS["created"],
    "model": FACTS["model"],
    "status": "completed",
}
KINDS = {
    "text": ("message", "response.output_text.delta"),
    "reasoning": ("reasoning", "response.reasoning_text.delta"),
    "tools": ("function_call", "response.function_call_arguments.delta"),
}


def _items(kind, text):
    """Return the items of an answer of `POST /responses`."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [part]}
    if kind == "text":
        return [message]
    if kind == "tools":
        call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "write"}
        return [{**call, "arguments": text}]
    thought = {"type": "reasoning_text", "text": text}
    part["text"] = "Done."
    return [{"id": "rs_1", "type": "reasoning", "summary": [], "content": [thought]}, message]


@functools.lru_cache(maxsize=64)
def response_parts(slug):
    """Return the HTTP chunks of a stream of `POST /responses`."""
    kind, _, number = slug.removeprefix("bench/").partition("-")
    texts = [WORD] * int(number)
    if kind == "tools":
        texts = ['{"text":"', *texts[1:], '"}']
    items = _items(kind, "".join(texts))
    name, delta = KINDS[kind]
    where = {"output_index": 0, "item_id": items[0]["id"], "content_index": 0}

    begun = {**items[0], "type": name, "content": [], "arguments": ""}
    events = [
        {"type": "response.created", "response": {**RESPONSE, "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        *({"type": delta, **where, "delta": text, "logprobs": []} for text in texts),
        {"type": "response.output_item.done", "output_index": 0, "item": items[0]},
        {"type": "response.completed", "response": {**RESPONSE, "output": items, "usage": None}},
    ]
    lines = [
        b"data: " + json.dumps({**event, "sequence_number": place}).encode() + b"\n\n"
        for place, event in enumerate(events)
    ]
    return [b"%x\r\n%s\r\n" % (len(line), line) for line in [*lines, b"data: [DONE]\n\n"]]


class Connection(asyncio.Protocol):
    """One TCP connection."""

    opened = 0
    open = 0

    def __init__(self):
        self.rest = b""
        self.writing = None
        self.may_write = asyncio.Event()
        self.may_write.set()

    def connection_made(self, transport):
        self.transport = transport
        Connection.opened += 1
        Connection.open += 1

    def connection_lost(self, _):
        Connection.open -= 1
        self.may_write.set()

    def pause_writing(self):
        self.may_write.clear()

    def resume_writing(self):
        self.may_write.set()

    def data_received(self, data):
        self.rest += data
        head, found, body = self.rest.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(body) < length:
            return
        self.rest = body[length:]
        self.writing = asyncio.ensure_future(self.answer(head, body[:length]))

    async def answer(self, head, body):
        """Write the answer to one request."""
        if head.startswith(b"GET /models-"):
            self.whole(models(int(head.partition(b"-")[2].partition(b"/")[0])))
            return
        if head.startswith(b"GET"):
            self.whole({"opened": Connection.opened, "open": Connection.open, "now": time.time()})
            return
        asked = json.loads(body)
        if not asked.get("stream"):
            if asked["model"].startswith("bench/slow-"):
                await asyncio.sleep(int(asked["model"].rpartition("-")[2]) / 1000)
            self.whole(SMALL)
            return
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\nCache-Control: no-cache\r\n\r\n"
        )
        is_response = b"/responses " in head.partition(b"\r\n")[0]
        is_paced = asked["model"].startswith("bench/paced-")
        for part in (response_parts if is_response else parts)(asked["model"]):
            if not self.may_write.is_set():
                await self.may_write.wait()
            if self.transport.is_closing():
                return
            self.transport.write(part)
            if is_paced:
                await asyncio.sleep(PACE)
        self.transport.write(b"0\r\n\r\n")

    def whole(self, answer):
        """Write a whole answer."""
        body = json.dumps(answer).encode()
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )


async def main():
    """Serve on a free port, which is printed, until the standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
