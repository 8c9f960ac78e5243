"""The emulator's start and stop, and the sockets between."""

from __future__ import annotations

import asyncio
import socket

import httpx2
import pytest

from langchain_openrouter.testing import Emulator, Reply
from langchain_openrouter.testing.emulator._thread_server import ThreadServer, listen

BODY = {"model": "a/b", "messages": [{"role": "user", "content": "x"}], "stream": True}


def test_a_response_does_not_wait_for_an_acknowledgment(emulate):
    """The body is sent while the head is on its way, not 40 ms later."""
    emulator = emulate()
    with httpx2.Client() as client:
        client.get(f"{emulator.url}/models")
        (connection,) = emulator._server.server_state.connections
        sock = connection.transport.get_extra_info("socket")

        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_to_stop_waits_for_no_clock(monkeypatch):
    """A connection that is idle is closed in the next turns of the loop."""
    emulator = Emulator()
    emulator.start()
    server, slept = emulator._server, []
    with httpx2.Client() as client:
        client.get(f"{emulator.url}/models")
        sleep = asyncio.sleep

        async def counted(seconds, *rest):
            slept.append(seconds)
            await sleep(0, *rest)

        monkeypatch.setattr(asyncio, "sleep", counted)
        emulator.stop()

    assert server.join(0)
    assert sum(slept) < 0.1
    assert not server.server_state.connections


def test_to_stop_ends_a_response_that_is_on(emulate):
    """The client sees a cut, and the port is free."""
    emulator = emulate([Reply("a b c", pause=60)])
    url, headers = f"{emulator.url}/chat/completions", {"authorization": "Bearer k"}
    with httpx2.stream("POST", url, json=BODY, headers=headers, timeout=20) as response:
        pieces = response.iter_bytes()
        assert next(pieces)
        emulator.stop()
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            list(pieces)

    listen(port=emulator.port).close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_cannot_start_does_not_hang():
    """Its thread ends, and so does the wait for it."""

    class Broken(ThreadServer):
        async def startup(self, sockets=None):
            raise RuntimeError

    sock = listen()
    server = Broken(None, sock, name="broken")
    server.start()

    assert server.join(10)
    server.stop()
    assert sock.fileno() == -1
