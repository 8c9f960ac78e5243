"""Ports for programs that are told theirs: below those that the system gives to everybody else."""

from __future__ import annotations

import random
import socket
from contextlib import closing, suppress

LOWEST, HIGHEST = 20_000, 32_000  # Linux gives out 32,768 and above


def free_port():
    """Return a port that nobody listens at.

    Another test that lets the system choose cannot take it before the program listens.
    """
    while True:
        port = random.randrange(LOWEST, HIGHEST)  # noqa: S311 - no secret
        with suppress(OSError), closing(socket.create_server(("127.0.0.1", port))):
            return port
