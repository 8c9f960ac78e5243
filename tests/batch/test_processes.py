"""Batches that are killed, interrupted, or started twice: real processes, a real server."""

from __future__ import annotations

import collections
import os
import random
import signal
import threading
import time

import pytest

from tests.batch.conftest import echo, lines_of, text_of, told, wait_for

ROWS = 400


def slow(seconds):
    """Answer after a while, so that there is something to interrupt."""

    def reply(seen):
        time.sleep(seconds)
        return echo(seen)

    return reply


def test_a_killed_batch_loses_at_most_what_was_in_flight(serve, start, tmp_path):
    """Kill -9 at random moments, again and again: at the end each row is there, once, in order."""
    output, chance = tmp_path / "out.jsonl", random.Random(7)  # noqa: S311 - a test that can be repeated
    server = serve(slow(0.003))
    kills = 0
    for _ in range(4):
        process = start(server, ROWS, output, max_concurrency=8)
        wait_for(server, min(ROWS - 20, len(server.seen) + chance.randrange(10, 90)))
        process.kill()
        process.communicate()
        kills += 1
    done = told(start(server, ROWS, output, max_concurrency=8))

    rows = lines_of(output)
    assert (done["done"], done["failed"]) == (ROWS, 0)
    assert [row["key"] for row in rows] == list(range(ROWS))
    assert [row["output"] for row in rows] == [f"row-{n}" for n in range(ROWS)]
    sent = collections.Counter(text_of(seen) for seen in server.seen)
    again = sum(sent.values()) - ROWS
    assert 0 <= again <= kills * 8
    assert max(sent.values()) <= 1 + kills
    # What was paid is counted, unless it was in flight when the process died.
    assert done["spent"] == pytest.approx(0.001 * ROWS, abs=1e-6)


def test_a_torn_last_line_is_cut_off(server, start, tmp_path):
    """The row of that line is sent again; damage in the middle costs its row alone."""
    output = tmp_path / "out.jsonl"
    part = tmp_path / "out.jsonl.part"
    told(start(server, 20, output))
    lines = part.read_bytes().splitlines(keepends=True)
    lines[5] = b"\0" * (len(lines[5]) - 1) + b"\n"
    part.write_bytes(b"".join(lines[:-1]) + lines[-1][:-7])
    output.unlink()
    before = len(server.seen)
    done = told(start(server, 20, output))

    assert len(server.seen) == before + 2
    assert done["done"] == 20
    assert [row["output"] for row in lines_of(output)] == [f"row-{n}" for n in range(20)]
    assert [row["index"] for row in lines_of(output)] == list(range(20))
    assert told(start(server, 20, output))["done"] == 20
    assert len(server.seen) == before + 2


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c(serve, start, tmp_path, times):
    """Once: rows in flight finish, and the result says so. Twice: at once. The rest is run later."""
    hold = threading.Event()

    def reply(seen):
        if len(server.seen) > 40:
            hold.wait(20)
        return echo(seen)

    server = serve(reply)
    output = tmp_path / "out.jsonl"
    process = start(server, 100, output, max_concurrency=8)
    wait_for(server, 44)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    in_flight = len(server.seen) - 40
    if times == 2:
        process.send_signal(signal.SIGINT)
        assert told(process) == {"error": "KeyboardInterrupt"}
    hold.set()
    if times == 1:
        first = told(process)
        assert first.get("stopped") == "interrupted", first
        assert first["done"] == len(server.seen) == 40 + in_flight
        assert len(lines_of(output)) == first["done"]
    process.communicate()
    done = told(start(server, 100, output))

    assert (done["done"], done["stopped"]) == (100, None)
    assert [row["output"] for row in lines_of(output)] == [f"row-{n}" for n in range(100)]
    again = len(server.seen) - 100
    assert again <= (in_flight if times == 2 else 0)


def test_two_processes_do_not_write_one_output(serve, start, tmp_path):
    """The second is refused, by the first's number; after a kill the lock is free."""
    killed = threading.Event()  # the first must still run when the second has started

    def reply(seen):
        killed.wait(60)
        return echo(seen)

    server = serve(reply)
    output = tmp_path / "out.jsonl"
    first = start(server, ROWS, output)
    wait_for(server, 3)
    second = told(start(server, ROWS, output))

    assert second["error"] == "BatchInUseError"
    assert f"process {first.pid} is writing out.jsonl" in second["message"]
    first.kill()
    killed.set()
    first.wait()
    (tmp_path / "out.jsonl.lock").write_text(str(os.getpid()))  # stale, as a kill leaves it
    third = start(server, 30, output)
    assert "error" not in told(third)
    assert not (tmp_path / "out.jsonl.lock").exists()


def test_what_is_done_is_on_disk_at_once(serve, start, tmp_path):
    """A result is in the part before the next request ends."""
    server = serve(slow(0.02))
    output = tmp_path / "out.jsonl"
    process = start(server, ROWS, output, max_concurrency=1)
    wait_for(server, 12)
    process.kill()
    process.communicate()
    lines = (tmp_path / "out.jsonl.part").read_bytes().splitlines()

    assert len(lines) - 1 >= len(server.seen) - 1
    assert not output.exists()
