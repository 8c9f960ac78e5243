"""How many rows are in flight: what the limit learns, alone and in a storm of 429."""

from __future__ import annotations

import threading
import time

import pytest

from langchain_openrouter.batch import run
from langchain_openrouter.batch._concurrency import ConcurrencyLimit
from tests.batch.conftest import echo
from tests.support.loopback import Reply


def answers(limit, count, latency, *, full=True, now=0.0):
    """Let so many answers come."""
    for _ in range(count):
        limit.on_answer(latency, limit.limit if full else 1, now)


def test_it_grows_while_answers_come_up_to_the_ceiling():
    """Fast at first; only when it was reached; never past the ceiling."""
    limit = ConcurrencyLimit(100)
    assert limit.limit == 8
    answers(limit, 16, 1.0)
    assert limit.limit == 16
    answers(limit, 16, 1.0, full=False)
    assert limit.limit == 16
    answers(limit, 1000, 1.0)
    assert limit.limit == 100
    assert ConcurrencyLimit(3).limit == 3
    with pytest.raises(ValueError, match="at least 1"):
        ConcurrencyLimit(0)


def test_congestion_halves_it_once_for_all_that_were_in_flight():
    """And growth is slow from then on."""
    limit = ConcurrencyLimit(100)
    answers(limit, 100, 1.0)
    high = limit.limit
    for started in (1.0, 2.0, 3.0):
        limit.on_congestion(started, now=10.0)
    assert limit.limit == high // 2
    limit.on_congestion(11.0, now=12.0)
    assert limit.limit == high // 4
    low = limit.limit
    answers(limit, 16, 1.0)
    assert low < limit.limit <= low + low**0.5


def test_it_waits_as_long_as_the_service_asks():
    """No row is started before."""
    limit = ConcurrencyLimit()
    limit.on_congestion(0.0, now=100.0, retry_after=5.0)

    assert limit.room(0, 104.9) == 0
    assert limit.room(0, 105.1) == 4


def test_late_answers_lower_it():
    """To where answers come in time again; a model that is slow from the start is not late."""
    limit = ConcurrencyLimit(100)
    answers(limit, 16 + 16 + 32, 1.0)
    high = limit.limit
    answers(limit, high, 3.0)
    assert limit.limit < high
    slow = ConcurrencyLimit(100)
    answers(slow, 1000, 30.0)
    assert slow.limit == 100


def test_rows_that_have_become_longer_do_not_lower_it_for_long():
    """Where fewer requests do not help, they are not the cause."""
    limit = ConcurrencyLimit(100)
    answers(limit, 1000, 1.0)
    answers(limit, 5000, 5.0)
    assert limit.limit == 100
    queue = ConcurrencyLimit(100)  # each request makes the others wait
    for _ in range(2000):
        queue.on_answer(0.1 * queue.limit, queue.limit, 0.0)
    assert 8 <= queue.limit <= 20


def test_the_best_latency_ages():
    """What a model did at night is no measure for the day."""
    limit = ConcurrencyLimit(100)
    answers(limit, 16 + 16 + 32 + 64, 1.0)
    answers(limit, 400, 3.5, now=1200.0)
    assert limit.limit == 100


class Gate:
    """A service that takes so many requests at once, and answers 429 or 402 to further ones."""

    def __init__(self, room, refusal, seconds=0.01):
        self.room, self.refusal, self.seconds = room, refusal, seconds
        self.lock = threading.Lock()
        self.now = self.most = self.refused = self.served = 0

    def __call__(self, seen):
        """Answer a request."""
        with self.lock:
            if self.now >= self.room:
                self.refused += 1
                return self.refusal
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1
            self.served += 1
        return echo(seen)


IN_FLIGHT = {"limit_source": "openrouter_in_flight_budget", "reason": "in_flight_budget_exhausted"}


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize(
    "refusal",
    [
        Reply({"error": {"code": 429, "message": "slow down"}}, status=429, headers={"retry-after": "0.1"}),
        Reply({"error": {"code": 402, "message": "busy", "metadata": IN_FLIGHT}}, status=402, headers={"retry-after": "0.1"}),
    ],
    ids=["429", "402"],
)  # fmt: skip
def test_a_storm_of_refusals_is_weathered(serve, model_on, refusal, retries):
    """Each row is answered in the end, and few requests are refused."""
    gate = Gate(5, refusal)
    model = model_on(serve(gate), max_retries=retries)
    rows = [{"text": f"row-{n}"} for n in range(300)]
    result = run(model, rows, prompt="{text}", progress=False)

    assert (result.done, result.failed) == (300, 0)
    assert [row.output for row in result] == [row["text"] for row in rows]
    assert gate.served == 300
    assert gate.refused < 100
    assert gate.most == 5


def test_it_finds_the_level_of_a_service_that_takes_much(serve, model_on):
    """More at once than it began with, no more than the user allows."""
    gate = Gate(1000, None, seconds=0.1)
    model = model_on(serve(gate))
    rows = [{"text": f"row-{n}"} for n in range(150)]
    run(model, rows, prompt="{text}", max_concurrency=20, progress=False)

    assert 8 < gate.most <= 20
