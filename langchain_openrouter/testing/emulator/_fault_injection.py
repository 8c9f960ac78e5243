"""Sends a rendered response: its bytes item by item, with the waits, cuts and resets among them."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from langchain_openrouter.testing.emulator._rendering import CUT, RESET, RenderedResponse

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

COOKIE = "__cf_bm=emulated-{}; path=/; HttpOnly; Secure"


class ScriptedResponse(Response):
    """Sends the items of a response one by one: bytes, waits, and the end of the connection.

    Args:
        rendered: What is sent.
        gone: Set when the client disconnects before the response has ended.
        on_end: Called before the end of the response is sent, and when it ends otherwise; perhaps
            twice.
    """

    def __init__(
        self,
        rendered: RenderedResponse,
        gone: threading.Event,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(status_code=rendered.status)
        self._rendered = rendered
        self._gone = gone
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await self._send(scope, receive, send)
        finally:
            self._on_end()

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = scope.get("openrouter.transport")
        items = self._rendered.items
        if not items[:1] or items[0] not in {CUT, RESET}:
            await self._send_head(send)

        for item in items:
            if item in {CUT, RESET}:
                await _close_connection(transport, reset=item == RESET)
                return
            if isinstance(item, bytes):
                await send({"type": "http.response.body", "body": item, "more_body": True})
            elif await _disconnects_within(receive, float(item)):
                self._gone.set()
                return
            if transport is not None and transport.is_closing():
                self._gone.set()
                return

        self._on_end()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_head(self, send: Send) -> None:
        headers = {"set-cookie": COOKIE.format(id(self)), **self._rendered.headers}
        encoded = [
            (name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()
        ]
        status = self.status_code
        await send({"type": "http.response.start", "status": status, "headers": encoded})


async def _disconnects_within(receive: Receive, seconds: float) -> bool:
    """Wait; return at once, and true, if the client disconnects meanwhile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                if (await receive())["type"] == "http.disconnect":
                    return True
    return False


async def _close_connection(transport: Any, *, reset: bool) -> None:
    """Close the connection, after what was sent is out."""
    if transport is None:
        msg = "cuts and resets need uvicorn"
        raise RuntimeError(msg)
    if not reset:
        transport.close()
        return

    await asyncio.sleep(0.05)  # what was sent before arrives before the reset
    sock = transport.get_extra_info("socket")
    # To linger for no time makes the system send a reset when the socket is closed.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
