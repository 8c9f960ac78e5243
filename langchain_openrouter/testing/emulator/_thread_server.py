"""A server in a thread of its own, which starts and stops in milliseconds."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import suppress
from typing import Any

import uvicorn

_LAST_WORDS = 0.1  # seconds in which responses may end once the server stops
_POLL = 0.002  # seconds between looks at whether they have


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a listening socket, whose connections send at once.

    asyncio turns Nagle's algorithm off where the socket says that its protocol is TCP, which one of
    `socket.create_server` does not: a response then waits 40 ms for the client's delayed ACK.

    Args:
        host: The address, of IPv4.
        port: 0 lets the system choose.

    Raises:
        OSError: The port is taken, or the address is not of this machine.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two servers have one port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(1024)
    except BaseException:
        sock.close()
        raise

    return sock


class ThreadServer(uvicorn.Server):
    """uvicorn in a thread.

    uvicorn looks for its end ten times a second, and then waits a tenth of a second for connections
    that may all be closed. A test suite starts and stops thousands of servers, so that `stop` wakes
    this one, which waits only for connections that are there.

    Args:
        app: The ASGI application.
        sock: A listening socket; `stop` closes it.
        name: The name of the thread.
        **options: Other arguments of `uvicorn.Config`.
    """

    def __init__(self, app: Any, sock: socket.socket, *, name: str, **options: Any) -> None:
        defaults = {"log_config": None, "access_log": False, "lifespan": "off"}
        super().__init__(uvicorn.Config(app, **{**defaults, "log_level": "critical", **options}))
        self._socket = sock
        self._up_or_failed = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=name)

    def start(self) -> None:
        """Serve; return when connections are accepted."""
        self._thread.start()
        self._up_or_failed.wait()

    def stop(self) -> None:
        """End every connection and free the port; at once, or after 0.1 s if a response is on."""
        self.should_exit = self.force_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._woken.set)
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
        self._socket.close()

    def join(self, timeout: float) -> bool:
        """Wait for the end, for so many seconds; tell whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.run(sockets=[self._socket])
        finally:
            self._up_or_failed.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._up_or_failed.set()

    async def main_loop(self) -> None:
        """Serve until `stop`; once a second, the `date` header is made anew."""
        while not await self.on_tick(0):
            try:
                await asyncio.wait_for(self._woken.wait(), timeout=1)
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the connections: those that are idle at once, the others within 0.1 s."""
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()

        loop = asyncio.get_running_loop()
        end = loop.time() + _LAST_WORDS
        await asyncio.sleep(0)  # a closed connection is lost in the next iteration
        while (state.connections or state.tasks) and loop.time() < end:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(_POLL)
        for connection in list(state.connections):
            connection.transport.abort()
