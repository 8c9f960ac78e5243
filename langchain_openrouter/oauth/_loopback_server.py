"""The redirect listener on 127.0.0.1: waits for one browser, tells it the truth, frees its port.

It knows the path that is expected and a function that settles what came; nothing of OpenRouter.
See RFC 8252, 7.3 and 8.3.
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

_IDLE = 5.0  # seconds; browsers open connections before they need them, and never use some
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


class Verdict(NamedTuple):
    """What the browser is told, and whether the wait is over."""

    status: int
    title: str
    text: str
    """Our own words: nothing of the query, no markup."""
    outcome: Any = None
    """Ends the wait; None goes on."""


class Listener:
    """Listens from construction until `close`, on a port that the system chose.

    Args:
        outcome: Completed once, after the browser has its page.

    Raises:
        OSError: No port can be bound.
    """

    def __init__(self, outcome: Future[Any]) -> None:
        self._outcome = outcome
        self._settle: Callable[[str], Verdict] | None = None
        self._path = ""
        self._turn = threading.Lock()
        self._spent = False
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.port: int = self._server.server_address[1]

    def start(self, path: str, settle: Callable[[str], Verdict]) -> None:
        """Answer from now on.

        Args:
            path: The one that is settled; all others are not found.
            settle: Called with the target (path and query) of a callback, in a thread, never twice
                at once, and never again after it gave an outcome.
        """
        self._path, self._settle = path, settle
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True,
            name="openrouter-sign-in",
        ).start()  # fmt: skip

    def close(self) -> None:
        """Free the port and end idle connections. Can be called again."""
        if self._settle is not None:
            self._server.shutdown()
            self._settle = None
        self._server.server_close()
        self._server.hang_up()

    def answer(self, target: str, reply: Callable[[Verdict], None], *, head: bool) -> None:
        """Reply to one request, and end the wait once the page is out."""
        verdict = self._verdict(target, head=head)
        try:
            reply(verdict)
        finally:
            if verdict.outcome is not None and not self._outcome.done():
                self._outcome.set_result(verdict.outcome)

    def _verdict(self, target: str, *, head: bool) -> Verdict:
        settle = self._settle
        try:
            path = unquote(urlsplit(target).path)
        except ValueError:  # a proxy's form of request, for an address that is none
            path = ""
        if settle is None or not hmac.compare_digest(path.encode(), self._path.encode()):
            return Verdict(404, "Not found", "There is nothing here.")
        if head:
            return Verdict(200, "Sign-in", "Waiting.")
        if not self._turn.acquire(blocking=False):
            return Verdict(409, "Already used", "This sign-in is being finished.")
        try:
            if self._spent or self._outcome.done():
                return Verdict(409, "Already used", "This sign-in is over: close this tab.")
            verdict = settle(target)
            self._spent = verdict.outcome is not None
            return verdict
        finally:
            self._turn.release()


class _Server(ThreadingHTTPServer):
    """One thread a connection: an idle one must not keep the callback waiting."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = False  # the port is new, and nobody may share it
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

    def hang_up(self) -> None:
        """End the connections that are idle; a page that is on its way arrives first."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that goes away is no event, and a traceback shows the code."""


def _handler(listener: Listener) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _IDLE
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "langchain-openrouter", ""

        def do_GET(self) -> None:
            listener.answer(self.path, self._reply, head=False)

        def do_HEAD(self) -> None:
            listener.answer(self.path, self._reply, head=True)

        def _reply(self, verdict: Verdict) -> None:
            page = _PAGE.format(title=verdict.title, text=verdict.text).encode()
            self.send_response(verdict.status)
            for name, value in {**_HEADERS, "Content-Length": str(len(page))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(page)

        def send_error(self, code: int, *_: Any) -> None:
            """Say it in our words: the parent's would quote the request."""
            self.close_connection = True
            self.requestline, self.command = "", getattr(self, "command", None) or ""
            self.request_version = self.protocol_version
            self._reply(Verdict(code, "Not possible", "This address takes a browser's GET."))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
            """Say nothing: the address of the request holds the code."""

    return Handler
