"""What the tests of batches share: a server that says back what it got, and processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.support import commands
from tests.support.batches import hurry, run_at_once
from tests.support.loopback import Reply, whole

ROOT = Path(__file__).parents[2]


def text_of(seen):
    """Return the text of the last message of a request."""
    return seen.body["messages"][-1]["content"]


def echo(seen):
    """Answer with the text of the request, for a tenth of a cent."""
    body = whole(text_of(seen), id=f"gen-{text_of(seen)}")
    body["usage"]["cost"] = 0.001
    return Reply(body)


@pytest.fixture
def server(serve):
    """A server that says back what it got."""
    return serve(echo)


@pytest.fixture
def quick_polls(monkeypatch):
    """Poll batches at OpenRouter at once."""
    hurry(monkeypatch)


@pytest.fixture
def emulator(emulate):
    """An emulator that says back what it got, and completes batches at once."""
    emulator = emulate(text_of)
    run_at_once(emulator)
    return emulator


class Batch:
    """A batch in a process of its own, as `subprocess.Popen` has one: see `support.commands`."""

    def __init__(self, options):
        # `close` closes them
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        with Path(os.devnull).open("rb") as nothing:
            self._process = commands.start(
                [json.dumps(options)],
                [nothing.fileno(), self._out.fileno(), self._err.fileno()],
                env=os.environ,
                module="tests.support.batch_process",
            )
        self.pid = self._process.pid
        self.kill, self.wait = self._process.kill, self._process.wait
        self.send_signal = self._process.send_signal

    def communicate(self, timeout=60):
        """Wait for its end; return what it printed, and on standard error."""
        self.wait(timeout)
        printed = []
        for file in (self._out, self._err):
            file.seek(0)
            printed.append(file.read().decode())
        return tuple(printed)

    def close(self):
        """End it, if it runs."""
        self.kill()
        self._out.close()
        self._err.close()


class RayBatch(subprocess.Popen):
    """A batch in a process that starts anew, as Ray's drivers do."""

    def __init__(self, options):
        super().__init__(
            [sys.executable, "-m", "tests.support.batch_process", json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def close(self):
        """End it, if it runs."""
        if self.poll() is None:
            self.kill()
        self.communicate()


@pytest.fixture
def start(request):
    """Start batches in processes of their own."""
    kind = RayBatch if request.node.get_closest_marker("ray") else Batch
    started = []

    def begin(server, rows, output, **options):
        defaults = {"base_url": server.url, "rows": rows, "output": str(output), "prompt": "{text}"}
        started.append(kind({**defaults, **options}))
        return started[-1]

    yield begin
    for process in started:
        process.close()


def told(process):
    """Wait for a process; return what it said of its batch."""
    out, err = process.communicate(timeout=60)
    assert out, err
    return json.loads(out)


def lines_of(path):
    """Return the rows of a JSONL output."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def wait_for(server, count, seconds=30):
    """Wait until the server has got so many requests."""
    end = time.monotonic() + seconds
    while len(server.seen) < count:
        assert time.monotonic() < end, len(server.seen)
        time.sleep(0.005)
