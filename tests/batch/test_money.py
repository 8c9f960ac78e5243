"""What a batch may cost: ceilings that hold where rows fail, resume, or cost odd sums."""

from __future__ import annotations

import time

import pytest

from langchain_openrouter.batch import run
from tests.batch.conftest import text_of
from tests.support.loopback import Reply, whole

quiet = {"progress": False}
BROKEN = Reply({"error": {"code": 502, "message": "broken"}}, status=502)


def charging(cost, *, broken=()):
    """Answer for a price, but to some rows with an error that costs nothing."""

    def reply(seen):
        time.sleep(0.02)
        body = whole("x")
        body["usage"]["cost"] = cost
        return BROKEN if text_of(seen) in broken else Reply(body)

    return reply


@pytest.mark.parametrize("failing", [1, 6])
def test_a_row_that_failed_for_free_does_not_tell_what_rows_cost(serve, model_on, failing):
    """Rows run alone until one has."""
    rows = [f"row-{n}" for n in range(40)]
    server = serve(charging(0.01, broken=rows[:failing]))
    result = run(model_on(server), rows, max_cost=0.025, **quiet)

    assert (result.stopped, result.done, result.failed) == ("max_cost", 2, failing)
    assert result.spent == pytest.approx(0.02)


def test_rows_that_failed_for_free_do_not_lower_the_mean(serve, model_on, tmp_path):
    """Nor do those of an earlier run."""
    rows = [f"row-{n}" for n in range(60)]
    broken = set(rows[1:31])
    server = serve(charging(0.01, broken=broken))
    options = {"output": tmp_path / "o.jsonl", "retry_failed": False, **quiet}
    first = run(model_on(server), rows[:31], max_cost=1, **options)
    second = run(model_on(server), rows, max_cost=0.045, **options)

    assert (first.done, first.failed) == (1, 30)
    assert (second.stopped, second.done) == ("max_cost", 4)
    assert second.spent <= 0.045


@pytest.mark.parametrize(("cost", "count"), [(0.1, 3), (0.07, 7), (1e-7, 3), (4, 3)])
def test_a_ceiling_is_reached_to_the_last_digit(serve, model_on, cost, count):
    """`3 * 0.1` is more than 0.3 as a float, and a third row fits all the same."""
    server = serve(charging(cost))
    ceiling = round(cost * count, 9)
    result = run(model_on(server), [f"row-{n}" for n in range(count + 2)], max_cost=ceiling, **quiet)  # fmt: skip

    assert (result.stopped, result.done, result.spent) == ("max_cost", count, ceiling)
