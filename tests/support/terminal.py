"""A real pseudo-terminal, and what else tests of the sign-in share."""

from __future__ import annotations

import os
import pty
import re
import socket
import sys
import time
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

# RFC 7636, appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def query_of(url):
    """Return an address's query, one value a name."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def closed(port):
    """Tell whether nobody listens on a port."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class Terminal:
    """A pseudo-terminal with a Python script behind it."""

    def __init__(self, script):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-c", script])  # noqa: S606 - our own script
        self.said = ""

    def until(self, pattern, seconds=20):
        """Read until the pattern was said; return the match."""
        import select

        poll = select.poll()  # select() refuses descriptors over 1023
        poll.register(self.fd, select.POLLIN)
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.said)):
            assert poll.poll(1000 * max(0, end - time.monotonic())), self.said
            try:
                self.said += os.read(self.fd, 4096).decode().replace("\r", "")
            except OSError:
                break
        assert found, self.said
        return found

    def type(self, text):
        """Type a line."""
        os.write(self.fd, text.encode() + b"\n")

    def echoes(self):
        """Tell whether the terminal shows what is typed."""
        import termios

        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def close(self):
        """Wait for the script's end."""
        try:
            os.close(self.fd)
        finally:
            os.waitpid(self.pid, 0)
