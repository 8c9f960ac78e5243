"""The redirect listener on 127.0.0.1: receives one callback, shows its result, frees its port.

It knows the expected path and a function that handles the callback, but not OpenRouter. See RFC
8252, 7.3 and 8.3.
"""

from __future__ import annotations

import hmac
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

_IDLE = 5.0  # seconds; browsers open connections in advance, some of which they never use
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{title}</title>
<style>:root{{color-scheme:light dark}}
body{{font:1.1rem/1.5 system-ui;margin:20vh auto;max-width:32rem;padding:0 1rem}}</style>
<h1>{title}</h1><p>{text}</p></html>"""


class CallbackResponse(NamedTuple):
    """The page for the browser, and whether the sign-in is over."""

    status: int
    title: str
    text: str
    """Plain text, without anything of the query."""
    outcome: Any = None
    """Ends the sign-in; None waits for another callback."""


class LoopbackServer:
    """Listens from construction until `close`, on a port that the system chooses.

    Args:
        outcome: Completed once, after the page was sent to the browser.

    Raises:
        OSError: No port can be bound.
    """

    def __init__(self, outcome: Future[Any]) -> None:
        self._outcome = outcome
        self._on_callback: Callable[[str], CallbackResponse] | None = None
        self._path = ""

        self._lock = threading.Lock()
        self._redeemed = False
        self._serves = False
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.port: int = self._server.server_address[1]

    def start(self, path: str, on_callback: Callable[[str], CallbackResponse]) -> None:
        """Start to respond to requests.

        Args:
            path: The path of the callback; all others get 404.
            on_callback: Called with the target (path and query) of a callback, in a thread, never
                twice at once, and never again after it returned an outcome.
        """
        self._path, self._on_callback = path, on_callback

        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            daemon=True,
            name="openrouter-sign-in",
        ).start()
        self._serves = True

    def close(self) -> None:
        """Free the port and close idle connections. Can be called again."""
        self._on_callback = None
        if self._serves:  # else `shutdown` would wait for a loop that never began
            self._server.shutdown()
            self._serves = False
        self._server.server_close()
        self._server.close_idle()

    def handle(self, target: str, send: Callable[[CallbackResponse], None], *, head: bool) -> None:
        """Respond to one request, and complete the outcome after the page was sent.

        Args:
            target: Path and query.
            send: Sends the response.
            head: Whether it is a HEAD request, which must not use the code.
        """
        response = self._respond(target, head=head)
        try:
            send(response)
        finally:
            if response.outcome is not None and not self._outcome.done():
                self._outcome.set_result(response.outcome)

    def _respond(self, target: str, *, head: bool) -> CallbackResponse:
        on_callback = self._on_callback
        try:
            path = unquote(urlsplit(target).path)
        except ValueError:  # an absolute URL, as proxies send it, that is not valid
            path = ""

        if on_callback is None or not hmac.compare_digest(path.encode(), self._path.encode()):
            return CallbackResponse(404, "Not found", "There is nothing here.")
        if head:
            return CallbackResponse(200, "Sign-in", "Waiting.")
        if not self._lock.acquire(blocking=False):
            return CallbackResponse(409, "Already used", "This sign-in is being finished.")

        try:
            if self._redeemed or self._outcome.done():
                text = "This sign-in is over: close this tab."
                return CallbackResponse(409, "Already used", text)
            response = on_callback(target)
            self._redeemed = response.outcome is not None
            return response
        finally:
            self._lock.release()


class _Server(ThreadingHTTPServer):
    """One thread per connection: an idle connection must not block the callback."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = False  # no other process may bind the same port
    request_queue_size = 32

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_idle(self) -> None:
        """Close the connections for reading; a page that is being sent still arrives."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a browser may disconnect, and a traceback would show the code."""


def _handler(server: LoopbackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _IDLE
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else the page waits 40 ms for the ACK of its head
        server_version, sys_version = "langchain-openrouter", ""

        def do_GET(self) -> None:
            server.handle(self.path, self._send, head=False)

        def do_HEAD(self) -> None:
            server.handle(self.path, self._send, head=True)

        def _send(self, response: CallbackResponse) -> None:
            page = _PAGE.format(title=response.title, text=response.text).encode()
            self.send_response(response.status)
            for name, value in {**_HEADERS, "Content-Length": str(len(page))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(page)

        def send_error(self, code: int, *_: Any) -> None:
            """Send a page of our own: the parent's would quote the request."""
            self.close_connection = True
            self.requestline, self.command = "", getattr(self, "command", None) or ""
            self.request_version = self.protocol_version
            text = "This address takes a browser's GET."
            self._send(CallbackResponse(code, "Not possible", text))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
            """Log nothing: the URL of the request holds the code."""

    return Handler
