"""`python -m langchain_openrouter.web`: the example on the emulator, or live with `--live`."""

from __future__ import annotations

import argparse
import os
import secrets
import socket
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from langchain_openrouter._extras import import_extra

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_APP = "langchain_openrouter.web.example.app:from_environment"


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m langchain_openrouter.web")
    parser.add_argument("--live", action="store_true", help="sign in at openrouter.ai")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1, help="more than one needs --redis")
    parser.add_argument("--redis", help="as redis://127.0.0.1:6379/0")
    options = parser.parse_args(arguments)
    uvicorn = import_extra("uvicorn", "the example", "web")
    if options.workers > 1 and not options.redis:
        parser.error("workers share nothing but a store: pass --redis")
    if problem := _port_problem(options.port):
        parser.error(f"cannot listen on port {options.port}: {problem} - pass another --port")

    if not os.environ.get("OPENROUTER_WEB_SECRET"):
        os.environ["OPENROUTER_WEB_SECRET"] = secrets.token_urlsafe(32)
    os.environ.setdefault("OPENROUTER_WEB_ALLOWED_HOSTS", "localhost,127.0.0.1")
    if options.redis:
        os.environ["OPENROUTER_WEB_REDIS"] = options.redis

    emulator: AbstractContextManager[Any] = nullcontext()
    if not options.live and "OPENROUTER_BASE_URL" not in os.environ:
        from langchain_openrouter.testing import Emulator  # noqa: PLC0415 - an extra

        emulator = Emulator(any_key=False)

    with emulator as server:
        if server is not None:
            os.environ["OPENROUTER_BASE_URL"] = server.url
        print(f"http://localhost:{options.port}", flush=True)  # noqa: T201 - the address of the page
        uvicorn.run(
            _APP,
            factory=True,
            host="127.0.0.1",
            port=options.port,
            workers=options.workers,
            log_level="warning",
        )


def _port_problem(port: int) -> str | None:
    """Return why the app cannot be reached on this port of localhost, None if it can."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    except OverflowError as error:
        return str(error)

    try:  # a browser tries this address of localhost first
        socket.create_connection(("::1", port), timeout=1).close()
    except OSError:
        return None
    return "another program listens on [::1]"


if __name__ == "__main__":
    main()
