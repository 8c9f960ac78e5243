"""pytest in processes that begin with everything imported: each is forked from one that waits.

A pytest of a project of its own needs some three seconds of CPU time to import LangChain and the
plugins, and a tenth of one for its tests. This file is also the program of the process that waits,
which runs in any environment; it has run one test that imports, before it forks.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORTS = """
import httpcore2
import pytest_asyncio.plugin
import uvicorn.protocols.http.h11_impl
import vcr
import yaml

import langchain_openrouter.chat_models
import langchain_openrouter.testing.cassettes._recorder
import langchain_openrouter.testing.emulator._server


def test_imports():
    pass
"""


class WarmPytest:
    """Runs pytest as `python -m pytest` would in a process of its own, in an environment.

    Args:
        python: The environment's interpreter.
        folder: An empty folder.
    """

    def __init__(self, python, folder):
        (folder / "test_imports.py").write_text(IMPORTS)
        (folder / "pytest.ini").write_text(
            "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
        )
        self._socket, others = socket.socketpair()
        self._process = subprocess.Popen(
            [str(python), __file__, str(others.fileno())],
            cwd=folder,
            env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[others.fileno()],
        )
        others.close()
        self._answers = self._socket.makefile("r")
        assert self._answers.readline() == "ready\n"

    def run(self, arguments, *, cwd, env, timeout=100):
        """Run pytest; return the `CompletedProcess`, whose output is text."""
        with tempfile.TemporaryFile("w+b") as out, tempfile.TemporaryFile("w+b") as errors:
            request = {"arguments": list(map(str, arguments)), "cwd": str(cwd), "env": env}
            data = json.dumps(request).encode()
            self._socket.settimeout(timeout)
            socket.send_fds(
                self._socket, [len(data).to_bytes(4), data], [out.fileno(), errors.fileno()]
            )
            code = int(self._answers.readline())
            out.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(
                arguments, code, out.read().decode(), errors.read().decode()
            )

    def close(self):
        """End the process that waits."""
        self._answers.close()
        self._socket.close()
        self._process.wait(30)


def serve(connection):
    """Fork a process for each request; return in each of these, with the arguments of pytest."""
    connection.sendall(b"ready\n")
    while True:
        head, descriptors, _, _ = socket.recv_fds(connection, 4, 2)
        if not head:
            sys.exit()
        request = json.loads(connection.recv(int.from_bytes(head), socket.MSG_WAITALL))
        child = os.fork()
        if child == 0:
            connection.close()
            for number, descriptor in enumerate(descriptors, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(request["env"])
            return request["arguments"]
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def main():
    """Import, wait, and be a pytest."""
    import pytest

    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    here = Path.cwd()
    sys.path[0] = str(here)  # as of `python -m`
    if pytest.main(["-q", "-p", "no:cacheprovider", "--capture=fd"]):
        sys.exit("the imports failed")
    sys.modules.pop("test_imports", None)

    gc.collect()
    sys.stdout.flush()
    gc.freeze()  # pytest collects garbage five times at its end
    arguments = serve(connection)
    sys.path[0] = str(Path.cwd())
    sys.path[:] = [entry for entry in sys.path if entry != str(here)]
    sys.argv[1:] = arguments
    sys.exit(pytest.main())


if __name__ == "__main__":
    main()
