"""Web servers for the tests: an ASGI app in a thread, the example in worker processes, a Redis."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from html import unescape
from urllib.parse import urljoin

import httpx2

from langchain_openrouter.testing.emulator._thread_server import ThreadServer, listen
from tests.support.ports import free_port

SECRET = "a secret of sixteen bytes and more"


@contextmanager
def in_thread(app, *, ws="none"):
    """Serve an app, with the WebSocket library of a name; yield its address."""
    sock = listen()
    server = ThreadServer(app, sock, name="web-app", ws=ws)
    server.start()
    try:
        yield f"http://localhost:{sock.getsockname()[1]}"
    finally:
        server.stop()


@contextmanager
def as_program(*words, **environment):
    """Run the example as its users do; yield its address and the process."""
    port = free_port()
    command = [sys.executable, "-m", "langchain_openrouter.web", "--port", str(port), *words]
    process = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True)
    url = f"http://localhost:{port}"
    end = time.monotonic() + 40
    while time.monotonic() < end:
        try:
            httpx2.get(f"{url}/", trust_env=False)
            break
        except httpx2.TransportError:
            time.sleep(0.1)
    yield url, process
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()


@contextmanager
def redis_server(folder):
    """Start a Redis of our own; yield its address. None where it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    process, port = _start_redis(program, folder)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def _start_redis(program, folder):
    """Start a Redis; at another port where somebody took the free one before it did."""
    while True:
        port = free_port()
        words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(
            [program, *words, "--dir", str(folder)], stdout=subprocess.DEVNULL
        )
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as one:
                one.settimeout(1)
                one.sendall(b"PING\r\n")
                if one.recv(5) == b"+PONG" and process.poll() is None:
                    return process, port
            time.sleep(0.05)


class Visit:
    """A visitor with a browser's cookies, and no script."""

    def __init__(self, url, **headers):
        self.url = url
        self.client = httpx2.Client(
            follow_redirects=False, trust_env=False, timeout=20, headers=headers
        )

    def get(self, path, **words):
        """Load a page of the site."""
        return self.client.get(urljoin(self.url, path), **words)

    def to_consent(self, next_="/"):
        """Begin; return the address of OpenRouter's page."""
        return self.get(f"/auth/sign-in?next={next_}").headers["location"]

    def decide(self, consent, *, user="user_ann", decision="approve"):
        """Click on OpenRouter's page; return where it sends the browser."""
        with httpx2.Client(trust_env=False) as other:
            fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', other.get(consent).text))
            fields = {n: unescape(v) for n, v in fields.items()} | {
                "decision": decision,
                "emulated_user": user,
            }
            return other.post(urljoin(consent, "/auth"), data=fields).headers["location"]

    def sign_in(self, user="user_ann", next_="/"):
        """Go all the way; return the last answer."""
        return self.client.get(self.decide(self.to_consent(next_), user=user))

    def me(self):
        """Return who the site thinks this is."""
        return self.get("/auth/me").json()

    def sign_out(self, token=None, **headers):
        """Ask to be signed out."""
        token = self.me().get("csrf_token", "") if token is None else token
        return self.client.post(
            urljoin(self.url, "/auth/sign-out"), data={"csrf_token": token}, headers=headers
        )

    def chat(self, text, **more):
        """Return the events of an answer."""
        body = {"messages": [{"role": "user", "content": text}], **more}
        return self.client.post(urljoin(self.url, "/api/chat"), json=body)

    def close(self):
        """Close the connections."""
        self.client.close()
