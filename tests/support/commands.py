"""The command line as processes whose imports were done before: each is a fork of a prepared one.

A command takes over a second to import what it needs; a test that runs ten would wait for that ten
times. `python -m tests.support.commands SOCKET` imports all once, and forks for each command. What
differs from a start by hand is left to the tests that start one.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Process:
    """A command that runs, as a child of the prepared process."""

    def __init__(self, connection):
        self._connection = connection
        self.pid = self._number(60)
        self.returncode = None

    def _number(self, seconds):
        self._connection.settimeout(seconds)
        return int.from_bytes(self._connection.recv(4), "big", signed=True)

    def send_signal(self, number):
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self):
        """End it, if it runs."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self, seconds=30):
        """Wait for its end; return the exit code."""
        if self.returncode is None:
            self.returncode = self._number(seconds)
            self._connection.close()
        return self.returncode


@functools.cache
def _prepared():
    """Start the prepared process; return the address of its socket."""
    folder = Path(tempfile.mkdtemp(prefix="commands-"))
    address = f"{folder}/socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(50)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.commands", str(listener.fileno())],
        cwd=ROOT, pass_fds=[listener.fileno()],
    )  # fmt: skip
    listener.close()

    def stop():
        server.terminate()
        server.wait()
        shutil.rmtree(folder)

    atexit.register(stop)
    return address


def start(words, descriptors, *, env, terminal=False, module=None):
    """Start `langchain-openrouter` with some words, in this folder.

    Args:
        words: The arguments.
        descriptors: Its standard input, output and error.
        env: Its environment.
        terminal: Whether the first is a terminal that shall control it.
        module: What runs in place of the command, as by `python -m`.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(_prepared())
    fields = {
        "words": list(map(str, words)), "env": dict(env), "folder": str(Path.cwd()),
        "terminal": terminal, "module": module,
    }  # fmt: skip
    data = json.dumps(fields).encode()
    socket.send_fds(connection, [len(data).to_bytes(4, "big")], descriptors)
    connection.sendall(data)
    return Process(connection)


def run(words, *, stdin=b"", env, seconds=60):
    """Run a command to its end; return the exit code, the standard output and the error, as bytes."""
    (in_r, in_w), (out_r, out_w), (err_r, err_w) = (os.pipe() for _ in range(3))
    process = start(words, [in_r, out_w, err_w], env=env)
    for descriptor in (in_r, out_w, err_w):
        os.close(descriptor)
    outputs = {}

    def write():
        with contextlib.suppress(BrokenPipeError), os.fdopen(in_w, "wb") as file:
            file.write(stdin)

    def read(name, descriptor):
        with os.fdopen(descriptor, "rb") as file:
            outputs[name] = file.read()

    threads = [
        threading.Thread(target=write),
        threading.Thread(target=read, args=("out", out_r)),
        threading.Thread(target=read, args=("err", err_r)),
    ]
    for thread in threads:
        thread.start()
    try:
        code = process.wait(seconds)
    finally:
        process.kill()
    for thread in threads:
        thread.join(seconds)
    return code, outputs["out"], outputs["err"]


# --- the prepared process ---------------------------------------------------------------------


def _import_everything():
    import prompt_toolkit.shortcuts  # noqa: F401
    import puremagic  # noqa: F401
    import rich.markup  # noqa: F401

    import langchain_openrouter.__main__
    import langchain_openrouter._cli
    import langchain_openrouter._cli_batch
    import langchain_openrouter._cli_batches
    import langchain_openrouter._cli_chat._command
    import langchain_openrouter._cli_chat._line_editor
    import langchain_openrouter._cli_chat._talk
    import langchain_openrouter.batch
    import langchain_openrouter.catalog
    import langchain_openrouter.chat_models.base  # noqa: F401


def _receive(connection):
    head, descriptors, _, _ = socket.recv_fds(connection, 4, 3)
    data = b""
    while len(data) < int.from_bytes(head, "big"):
        data += connection.recv(65536)
    return json.loads(data), descriptors


def _send(connection, number):
    connection.sendall(number.to_bytes(4, "big", signed=True))


def _become(fields, descriptors):
    """Be the command: its terminal, its files, its environment, its folder."""
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.closerange(3, max(descriptors) + 1)
    if fields["terminal"]:
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(fields["env"])
    os.chdir(fields["folder"])
    sys.argv = [fields["module"] or "langchain-openrouter", *fields["words"]]
    sys.modules["__main__"].__package__ = None  # else the name of the program is taken from it

    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)


def _serve(listener):
    """Fork for each command; return in the process that is to be one, with the module to run."""
    while True:
        connection, _ = listener.accept()
        fields, descriptors = _receive(connection)
        if os.fork():
            connection.close()
            for descriptor in descriptors:
                os.close(descriptor)
            continue

        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        pid = os.fork()
        if pid == 0:
            _become(fields, descriptors)
            return fields["module"]
        listener.close()
        for descriptor in descriptors:
            os.close(descriptor)
        _send(connection, pid)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):
            _send(connection, os.waitstatus_to_exitcode(status))
        os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _import_everything()
    gc.freeze()  # the end of a command does not go through all of it
    if module := _serve(socket.socket(fileno=int(sys.argv[1]))):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        from langchain_openrouter.__main__ import main

        main()
