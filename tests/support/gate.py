"""A proxy before an emulator: a test holds, cuts or rewrites responses after the service acted."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2

CUT = object()
"""What a hook returns to close the connection in place of a response."""


class Gate:
    """Forwards whole requests; `hook(method, path, response)` runs before a response is sent.

    It may wait, raise nothing, and return None, CUT, or other bytes for the body.
    """

    def __init__(self, emulator):
        self.emulator, self.hook = emulator, None
        self.reached, self.opened = threading.Event(), threading.Event()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else the body waits 40 ms for the ACK of the head

            def forward(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in {"host", "connection", "accept-encoding"}
                }
                with httpx2.Client(trust_env=False, timeout=30) as client:
                    url = f"{emulator.site}{self.path}"
                    response = client.request(self.command, url, content=body, headers=headers)
                hook = gate.hook
                result = hook and hook(self.command, self.path.split("?")[0], response)
                if result is CUT:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                content = response.content if result is None else result
                self.send_response(response.status_code)
                self.send_header("content-type", response.headers.get("content-type", ""))
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = forward  # noqa: N815 - as the server calls them

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_):
                """Say nothing: a killed client closes its connection."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def url(self):
        """The API's base URL through this proxy."""
        return f"http://127.0.0.1:{self.server.server_port}/api/v1"

    @property
    def management_key(self):
        """The emulator's."""
        return self.emulator.management_key

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.opened.set()
        self.server.shutdown()
        self.server.server_close()

    def hold(self, times=1):
        """Hold the next responses to `POST /keys` until `opened` is set; `reached` says when."""
        left = [times]

        def hook(method, path, _response):
            if (method, path) == ("POST", "/api/v1/keys") and left[0]:
                left[0] -= 1
                self.reached.set()
                self.opened.wait(30)

        self.hook = hook

    def once(self, result, *, method="POST", path="/api/v1/keys", times=1):
        """Return `result`, or what it returns of the response, in place of the next responses."""
        left = [times]

        def hook(got_method, got_path, response):
            if (got_method, got_path) != (method, path) or not left[0]:
                return None
            left[0] -= 1
            return result(response) if callable(result) else result

        self.hook = hook
