"""What the tests of batches share: a server that says back what it got, and processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
def start():
    """Start batches in processes of their own."""
    started = []

    def begin(server, rows, output, **options):
        options = {"base_url": server.url, "rows": rows, "output": str(output), "prompt": "{text}", **options}  # fmt: skip
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.batch_process", json.dumps(options)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            )
        )  # fmt: skip
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


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
