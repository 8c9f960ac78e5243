"""Reading what came of a batch: the result's rows, several at once, and its files."""

from __future__ import annotations

import threading

import pytest

from langchain_openrouter.batch import run
from tests.batch.conftest import text_of
from tests.support.loopback import Reply, whole

quiet = {"progress": False}


@pytest.fixture
def long(serve, model_on, tmp_path):
    """The result of a batch whose rows are larger than what is read at a time."""
    server = serve(lambda seen: Reply(whole(text_of(seen) * 1000)))
    texts = [f"row-{n:02}" for n in range(40)]
    return run(model_on(server), texts, output=tmp_path / "o.jsonl", **quiet)


def test_a_result_is_read_twice_at_once(long):
    """Side by side, one inside the other, and by two threads: each reader has its own place."""
    for row, parsed in zip(long, long.parsed(), strict=True):
        assert row.output == parsed == f"row-{row.index:02}" * 1000
    for row in long:
        assert sum(1 for _ in long.errors()) == 0
        assert row.output.startswith(f"row-{row.index:02}")

    read = []
    threads = [threading.Thread(target=lambda: read.append(list(long))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [list(long)] * 2


def test_a_result_is_read_where_its_part_was_replaced(long, server, model_on):
    """By a batch that began anew: what was returned before stays what it was."""
    readers = iter(long)
    next(readers)
    run(model_on(server), ["other"], output=long.path, resume=False, **quiet)

    assert [row.index for row in readers] == list(range(1, 40))
    assert next(iter(long)).output == "row-00" * 1000
