"""Budget and rate of Ray's workers, and keys that are read on them: without Ray."""

from __future__ import annotations

import pickle
import sys

import pytest

from langchain_openrouter import ChatOpenRouter, errors
from langchain_openrouter.batch import key_from_env, key_from_file, map_batches, run
from langchain_openrouter.batch._ray_pace import Ended, Pace, Refusal, Report, Totals

KEY = "sk-or-v1-a-key-in-a-file-or-a-variable"


class Clock:
    """Seconds, as the test says."""

    now = 0.0

    def __call__(self):
        """Return them."""
        return self.now


class Workers:
    """Workers that tell a pace what they do, and do what it permits."""

    def __init__(self, pace):
        self.pace = pace
        self.totals, self.in_flight, self.last = {}, {}, {}

    def ask(self, name, waiting, **more):
        """Ask for permission; return how many requests may start."""
        before = self.last.get(name)
        report = Report(
            name, self.in_flight.get(name, 0), waiting, self.totals.get(name, Totals()),
            actor=before.actor if before else "", **more,
        )  # fmt: skip
        self.last[name] = self.pace.exchange(report)
        self.in_flight[name] = self.in_flight.get(name, 0) + self.last[name].count
        return self.last[name].count

    def end(self, name, count=1, cost=0.001):
        """Let requests end."""
        settled, spent = self.totals.get(name, Totals())
        self.totals[name] = Totals(settled + count, spent + count * cost)
        self.in_flight[name] -= count


def test_the_budget_is_one_for_all_workers():
    """The first request runs alone; then those in flight count as the mean, wherever they are."""
    workers = Workers(Pace(max_cost=0.0105))
    assert (workers.ask("a", 5), workers.ask("b", 5)) == (1, 0)
    workers.end("a")
    assert (workers.ask("a", 4), workers.ask("b", 5)) == (4, 4)
    assert (workers.ask("a", 5), workers.ask("b", 5)) == (0, 0)
    workers.end("a", 4)
    assert workers.ask("a", 5) == 1  # ten were started: what is left pays for none more
    workers.end("b", 4)
    assert workers.ask("b", 5) == 0
    assert workers.last["b"].ended is None  # the one in flight may cost less
    workers.end("a")
    workers.ask("a", 5)
    assert workers.last["a"].ended.error_type == "CostLimitError"
    assert workers.pace.totals == Totals(10, pytest.approx(0.01))
    assert Workers(Pace(max_cost=0)).ask("a", 1) == 0


def test_the_rate_is_one_for_all_workers():
    """A 429 of one halves what all may do, and its wait is everybody's."""
    clock = Clock()
    workers = Workers(Pace(max_concurrency=8, now=clock))
    assert workers.ask("a", 99) == 8
    assert workers.ask("b", 99) == 0
    workers.end("a", 8)
    assert workers.ask("a", 99, refusals=(Refusal(0.0, 5.0),)) == 0
    assert workers.ask("b", 99) == 0
    assert workers.last["b"].wait == 1.0
    clock.now = 6.0
    assert workers.ask("b", 99) == 2  # a half of the half: `a` wants some too
    assert workers.ask("a", 99) == 2


def test_what_a_dead_worker_had_in_flight_is_forgotten_and_what_it_spent_is_not():
    """After some silence."""
    clock = Clock()
    workers = Workers(Pace(max_cost=1, max_concurrency=4, now=clock))
    workers.ask("a", 1)
    workers.end("a", cost=0.4)
    assert workers.ask("a", 9) == 1
    assert workers.ask("b", 9) == 0
    clock.now = 60.0
    assert workers.ask("b", 9) == 1
    workers.end("b", cost=0.4)
    workers.ask("b", 9)
    assert workers.last["b"].ended.error_type == "CostLimitError"


def test_a_restarted_actor_learns_what_was_spent():
    """From the first worker that asks, and of workers that are gone too; nothing is counted twice."""
    workers = Workers(Pace(max_cost=0.01))
    workers.ask("gone", 1)
    workers.end("gone", cost=0.004)
    workers.ask("gone", 0)
    workers.ask("a", 1)
    workers.end("a", cost=0.002)
    workers.ask("a", 0)
    known = workers.last["a"].totals
    workers.pace = Pace(max_cost=0.01)

    assert workers.ask("a", 5) == 0
    assert workers.last["a"].needs_totals
    assert workers.ask("a", 5, known=known) == 1
    assert not workers.last["a"].needs_totals
    assert workers.pace.totals == Totals(2, pytest.approx(0.006))


def test_what_ends_one_worker_ends_all():
    """As where there is no money left."""
    workers = Workers(Pace())
    assert workers.ask("a", 1) == 1
    workers.ask("a", 1, ended=Ended("InsufficientCreditsError", "no credits"))

    assert workers.ask("b", 5) == 0
    assert workers.last["b"].ended.error == "no credits"


def test_keys_are_read_where_they_are_used(tmp_path, monkeypatch, serve, model_on):
    """For each request; a pickle holds the place alone."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", encoding="utf-8")
    monkeypatch.setenv("TEAM_KEY", KEY)
    from tests.support.loopback import Reply, whole

    server = serve(Reply(whole()))
    for source in (key_from_file(file), key_from_env("TEAM_KEY")):
        data = pickle.dumps(model_on(server, api_key=source))
        assert KEY.encode() not in data
        assert KEY not in repr(source)
        pickle.loads(data).invoke("x")
    assert [seen.key for seen in server.seen] == [KEY, KEY]

    file.write_text(" ", encoding="utf-8")
    monkeypatch.delenv("TEAM_KEY")
    for source, match in (
        (key_from_file(file), "is empty"),
        (key_from_file(tmp_path / "none"), "cannot be read: FileNotFoundError"),
        (key_from_env("TEAM_KEY"), "TEAM_KEY is not set here"),
    ):
        with pytest.raises(errors.AuthenticationError, match=match):
            model_on(server, api_key=source).invoke("x")


def test_the_extra_is_named_where_it_is_missing(monkeypatch, model_on):
    """By the message, before anything begins."""
    monkeypatch.setitem(sys.modules, "ray", None)
    model = ChatOpenRouter(model="a/b")
    with pytest.raises(ImportError, match=r"langchain-openrouter-oauth\[ray\]"):
        run(model, ["x"], engine="ray", progress=False)
    with pytest.raises(ImportError, match=r"langchain-openrouter-oauth\[ray\]"):
        map_batches(model)
