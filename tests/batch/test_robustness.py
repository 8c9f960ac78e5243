"""What goes wrong around a batch: congestion, changed work, odd rows, odd answers, odd calls."""

from __future__ import annotations

import _thread
import time

from langchain_openrouter.batch import run
from tests.batch.conftest import echo, text_of
from tests.support.loopback import Reply

quiet = {"progress": False}
SLOW_DOWN = {"error": {"code": 429, "message": "slow down"}}


# --- congestion -------------------------------------------------------------------------------


def test_a_batch_does_not_end_before_its_last_row_in_a_storm(serve, model_on):
    """Rows that used up their attempts are errors; the others still come."""

    def reply(seen):
        if len(server.seen) <= 60:
            return Reply(SLOW_DOWN, status=429, headers={"Retry-After": "0.05"})
        return echo(seen)

    server = serve(reply)
    result = run(model_on(server), [f"row-{n}" for n in range(100)], **quiet)

    assert result.is_complete
    assert (len(result), result.total) == (100, 100)
    assert result.done >= 90


def test_ctrl_c_ends_a_batch_that_only_retries(serve, model_on, tmp_path):
    """All rows were taken, and one waits for a minute to be sent again."""

    def reply(seen):
        if text_of(seen) == "row-1":
            return Reply(SLOW_DOWN, status=429, headers={"Retry-After": "60"})
        time.sleep(0.5)  # then the progress is told
        return echo(seen)

    def interrupt(progress):
        if progress.done == 1 and not interrupted:
            interrupted.append(True)
            _thread.interrupt_main()

    interrupted = []
    model = model_on(serve(reply))
    result = run(model, ["row-0", "row-1"], output=tmp_path / "o.jsonl", progress=interrupt)

    assert (result.stopped, result.done, result.total) == ("interrupted", 1, 2)
    assert not result.is_complete
