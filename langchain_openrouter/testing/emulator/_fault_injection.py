"""How an answer goes out: its bytes one by one, with the waits, cuts and resets among them."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from langchain_openrouter.testing.emulator._replies import CUT, RESET, Sent

if TYPE_CHECKING:
    import threading

    from starlette.types import Receive, Scope, Send

COOKIE = "__cf_bm=emulated-{}; path=/; HttpOnly; Secure"


class Wire(Response):
    """Sends the items of an answer one by one, and does what they say."""

    def __init__(self, answer: Sent, gone: threading.Event) -> None:
        super().__init__(status_code=answer.status)
        self._answer = answer
        self._gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in {
                "set-cookie": COOKIE.format(id(self)),
                **self._answer.headers,
            }.items()
        ]
        transport = scope.get("openrouter.transport")
        if not self._answer.items[:1] or self._answer.items[0] not in {CUT, RESET}:
            start = {"type": "http.response.start", "status": self.status_code, "headers": headers}
            await send(start)
        for item in self._answer.items:
            if item in {CUT, RESET}:
                await _hang_up(transport, reset=item == RESET)
                return
            if isinstance(item, bytes):
                await send({"type": "http.response.body", "body": item, "more_body": True})
            elif await _left(receive, float(item)):
                self._gone.set()
                return
            if transport is not None and transport.is_closing():
                self._gone.set()
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive, seconds: float) -> bool:
    """Wait; tell whether the client went away meanwhile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                if (await receive())["type"] == "http.disconnect":
                    return True
    return False


async def _hang_up(transport: Any, *, reset: bool) -> None:
    """Close the connection, after what was sent is out."""
    if transport is None:
        msg = "cuts and resets need uvicorn"
        raise RuntimeError(msg)
    if reset:
        await asyncio.sleep(0.05)  # what was sent before arrives before the reset
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
