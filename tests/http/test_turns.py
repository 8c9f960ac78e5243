"""Fair turns: what the streams of an event loop take of one turn, by count and by a fake clock."""

from __future__ import annotations

import asyncio

import pytest

from langchain_openrouter._http import turns
from langchain_openrouter._http.turns import MAX_EVENTS, Turns
from tests.support.loopback import stream

PIECES = 200


class Counter:
    """Counts the turns of a loop: each time that it gets to run something else."""

    def __init__(self):
        self.turn = 0
        self.taken = {}

    def begin(self):
        """Note a turn, and come back in the next one."""
        self.turn += 1
        self._handle = asyncio.get_running_loop().call_soon(self.begin)

    def count(self):
        """Note an event of this turn."""
        self.taken[self.turn] = self.taken.get(self.turn, 0) + 1

    def end(self):
        """Count no more."""
        self._handle.cancel()


def read_all(model, number):
    """Read streams at once; return how many pieces came in each turn of the loop, and the order."""
    counter, order = Counter(), []

    async def read(name):
        count = 0
        async for piece in model.astream("?"):
            counter.count()
            order.append(name)
            count += bool(piece.content)
        return count

    async def run():
        counter.begin()
        counts = await asyncio.gather(*map(read, range(number)))
        counter.end()
        return counts

    assert asyncio.run(run()) == [PIECES] * number
    return list(counter.taken.values()), order


@pytest.mark.parametrize("number", [1, 30, 100])
def test_many_streams_share_a_turn(serve, model_on, number):
    """However many streams have events, 32 of them are read in one turn.

    An iteration of the loop may see the end of one turn and the start of the next.
    """
    model = model_on(serve(stream(*["piece"] * PIECES)))
    taken, order = read_all(model, number)
    # The last event of a stream ends it, and its `[DONE]` brings one chunk more.
    assert max(taken) <= 2 * (MAX_EVENTS + 1)
    assert number == 1 or len(set(order[: len(order) // 2])) > 1


def test_a_slow_reader_ends_the_turn(serve, model_on, monkeypatch):
    """A turn ends after 4 ms, whatever part of them the readers took."""
    now = [0.0]

    def clock():
        now[0] += 0.001
        return now[0]

    monkeypatch.setattr(turns, "clock", clock)
    taken, _ = read_all(model_on(serve(stream(*["piece"] * PIECES))), 3)
    assert max(taken) <= 2 * 5


def test_starts_have_turns(monkeypatch):
    """A crowd of requests starts over several turns, in order, and a canceled one blocks none."""
    monkeypatch.setattr(turns, "clock", lambda: 0.0)
    counter, started = Counter(), []

    async def start(number):
        await turns.await_turn()
        counter.count()
        started.append(number)

    async def run():
        counter.begin()
        tasks = [asyncio.ensure_future(start(number)) for number in range(300)]
        await asyncio.sleep(0)
        for task in tasks[40:60]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        counter.end()

    asyncio.run(run())
    assert started == [*range(40), *range(60, 300)]
    assert max(counter.taken.values()) <= MAX_EVENTS


def test_idle_loop(monkeypatch):
    """Time that passes between turns is no part of one, and one request alone does not wait."""
    now = [0.0]
    monkeypatch.setattr(turns, "clock", lambda: now[0])

    async def run():
        mine = Turns()
        for _ in range(3):
            assert not mine.must_wait
            assert not mine.spend()
            await asyncio.sleep(0)
            now[0] += 1
        mine.spend()
        now[0] += 0.005
        assert mine.is_over

    asyncio.run(run())
