"""A real HTTP server on loopback, scripted by the test: whole bodies, streams, cuts and stalls."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

KEY = "sk-or-v1-sentinel-key-of-the-tests"
CUT = object()  # close the connection before the body has ended
RESET = object()  # the same, with a TCP reset


@dataclass
class Seen:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    connection: int

    @property
    def body(self) -> Any:
        """The JSON body."""
        return json.loads(self.raw)

    @property
    def key(self) -> str:
        """The Bearer key."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class Reply:
    """What to answer. `body` items: bytes to send, seconds to wait, CUT or RESET."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def items(self) -> list[Any]:
        """The body as a list of things to do."""
        if isinstance(self.body, dict):
            return [json.dumps(self.body).encode()]
        if isinstance(self.body, str):
            return [self.body.encode()]
        return [self.body] if isinstance(self.body, bytes) else list(self.body)


def whole(text: str = "Hello!", **fields: Any) -> dict[str, Any]:
    """Return a whole answer as the live service shapes it."""
    message = {"role": "assistant", "content": text, "refusal": None, "reasoning": None}
    message.update(fields.pop("message", {}))
    choice = {
        "index": 0, "logprobs": None, "finish_reason": "stop", "native_finish_reason": "stop",
        "message": message,
    }  # fmt: skip
    choice.update(fields.pop("choice", {}))
    body = {
        "id": "gen-1-abc", "object": "chat.completion", "created": 1700000000,
        "model": "openai/gpt-4o-mini", "provider": "OpenAI", "system_fingerprint": None,
        "choices": [choice],
        "usage": {
            "prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14, "cost": 0.0025,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
            "cost_details": {"upstream_inference_cost": None},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }  # fmt: skip
    body.update(fields)
    return body


def event(delta: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return one chunk of a stream as the live service shapes it."""
    choice = {
        "index": 0, "delta": {"role": "assistant", "content": "", **(delta or {})},
        "finish_reason": None, "native_finish_reason": None, "logprobs": None,
    }  # fmt: skip
    choice.update(fields.pop("choice", {}))
    return {
        "id": "gen-1-abc", "object": "chat.completion.chunk", "created": 1700000000,
        "model": "openai/gpt-4o-mini", "provider": "OpenAI", "choices": [choice], **fields,
    }  # fmt: skip


def events(*deltas: dict[str, Any], reason: str = "stop", native: str | None = None) -> list[Any]:
    """Return a stream's events, ended as the live service ends it: two finish chunks."""
    end = {"finish_reason": reason, "native_finish_reason": native or reason}
    return [
        *[event(delta) for delta in deltas],
        event({}, choice=end),
        event({}, choice=end, usage=whole()["usage"]),
    ]


def sse(items: list[Any], *, done: bool = True, newline: str = "\n") -> bytes:
    """Return events as bytes, keep-alive comment first."""
    blocks = [": OPENROUTER PROCESSING", *[f"data: {json.dumps(item)}" for item in items]]
    if done:
        blocks.append("data: [DONE]")
    return "".join(block + newline * 2 for block in blocks).encode()


def stream(*deltas: Any, done: bool = True, **fields: Any) -> Reply:
    """Return a streamed reply of these deltas, or of texts."""
    shaped = [{"content": d} if isinstance(d, str) else d for d in deltas]
    return Reply(sse(events(*shaped, **fields), done=done), content_type="text/event-stream")


class Server:
    """Serves `reply(seen) -> Reply` on 127.0.0.1, one thread a connection; remembers requests."""

    def __init__(self, reply: Any, *, seen_class: type[Seen] = Seen) -> None:
        self._seen_class = seen_class
        self.reply = reply if callable(reply) else lambda _seen: reply
        self.seen: list[Seen] = []
        self.connections = 0
        self.hung_up = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        self._stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The API's base URL."""
        return f"http://127.0.0.1:{self.port}/api/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        self._socket.close()
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with suppress(OSError), sock.makefile("rb") as reader:
            while seen := _read(reader, number):
                self.seen.append(self._seen_class(**vars(seen)))
                if not self._answer(sock, self.reply(seen)):
                    return
        with suppress(OSError):
            sock.close()

    def _answer(self, sock: socket.socket, reply: Reply) -> bool:
        """Send one reply; tell whether the connection goes on."""
        items = reply.items()
        if items[:1] == [CUT] or items[:1] == [RESET]:
            _hang_up(sock, reset=items[0] is RESET)
            return False
        headers = {"content-type": reply.content_type, "transfer-encoding": "chunked"}
        headers.update(reply.headers)
        head = f"HTTP/1.1 {reply.status} X\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
        sock.sendall(head.encode("latin-1") + b"\r\n")
        for item in items:
            if isinstance(item, int | float):
                if self._stopped.wait(item):
                    return False
            elif item is CUT or item is RESET:
                _hang_up(sock, reset=item is RESET)
                return False
            elif item:
                try:
                    sock.sendall(f"{len(item):x}\r\n".encode() + item + b"\r\n")
                except OSError:
                    self.hung_up.set()
                    return False
        sock.sendall(b"0\r\n\r\n")
        return True


def _hang_up(sock: socket.socket, *, reset: bool) -> None:
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.05)  # what was sent before arrives before the reset
    else:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _read(reader: Any, number: int) -> Seen | None:
    """Read one request; None at the end of the connection."""
    line = reader.readline().decode("latin-1").split()
    if len(line) < 2:
        return None
    headers = {}
    while (raw := reader.readline().strip()) != b"":
        name, _, value = raw.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", 0)))
    return Seen(line[0], line[1], headers, body, number)
