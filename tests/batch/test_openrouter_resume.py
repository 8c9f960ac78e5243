"""`run(..., engine="openrouter")` called again: nothing that was paid for is lost or bought twice."""

from __future__ import annotations

import asyncio
import os
import stat

import pytest

from langchain_openrouter import errors
from langchain_openrouter.batch import BatchHandle, _openrouter_engine, _progress, run, submit
from langchain_openrouter.batch._runner import Batch
from langchain_openrouter.batch._spool import Spool
from langchain_openrouter.testing import error
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from tests.batch.conftest import lines_of
from tests.support.batches import make_rows, model_on, posts, run_at_once, text_of

pytestmark = pytest.mark.usefixtures("quick_polls")


@pytest.fixture
def output(tmp_path):
    """The output of the batch."""
    return tmp_path / "out.jsonl"


def go(model, rows, **options):
    """Run rows at OpenRouter, or elsewhere."""
    options = {
        "prompt": "{text}",
        "key": "id",
        "progress": False,
        "engine": "openrouter",
        **options,
    }
    return run(model, rows, **options)


class _Killed(BaseException):
    """Ends a batch at once, as `kill -9` does."""


def kill_while_it_runs(emulator, model, rows, output):
    """Submit rows in a call that ends before their batch, which ends afterwards."""

    def show(progress):
        if "in_progress" in (progress.remote or ""):
            raise _Killed

    emulator.batches.times.running = 3600
    with pytest.raises(_Killed):
        go(model, rows, output=output, progress=show)
    emulator.clock.advance(3601)
    run_at_once(emulator)


def refuse_batch(emulator, monkeypatch, number):
    """Refuse a batch, counted from 1; return the list of those that were asked for."""
    create, calls = emulator.batches.create, []

    def refuse(key, body, size):
        calls.append(body)
        if len(calls) == number:
            raise ApiRefusal(403, "not today")
        return create(key, body, size)

    monkeypatch.setattr(emulator.batches, "create", refuse)
    return calls


def test_killed_when_all_was_read(emulator, output, monkeypatch):
    """Before that was written down: the next call does it, and the rest may run elsewhere."""

    def save(handle, path):
        if handle.is_collected:
            raise _Killed
        original(handle, path)

    model, original = model_on(emulator), BatchHandle.save
    with monkeypatch.context() as patch:
        patch.setattr(BatchHandle, "save", save)
        with pytest.raises(_Killed):
            go(model, make_rows(3), output=output)
    assert go(model, make_rows(3), output=output).handle is None

    new = {"id": "new", "text": "new"}
    assert go(model, [new, *make_rows(3)], output=output).done == 4
    assert go(model, [new, *make_rows(4)], output=output, engine="local").done == 5
    assert [len(p.body["requests"]) for p in posts(emulator)] == [3, 1]


@pytest.mark.parametrize("between", [None, "local"])
def test_a_batch_that_was_refused_binds_nobody(emulator, output, monkeypatch, between):
    """Nothing was sent: the input may have changed, or a part of it was run here."""
    refuse_batch(emulator, monkeypatch, 1)
    model = model_on(emulator)
    with pytest.raises(errors.PermissionDeniedError):
        go(model, make_rows(3), output=output)
    if between:
        go(model, make_rows(2), output=output, engine=between)

    assert go(model, make_rows(4), output=output).done == 4
    assert len(posts(emulator)) == 2


def test_a_submission_that_was_refused_binds_nobody(emulator, tmp_path, monkeypatch):
    """As a file, or as the handle of the error."""
    refuse_batch(emulator, monkeypatch, 1)
    model, path = model_on(emulator), tmp_path / "job.json"
    with pytest.raises(errors.PermissionDeniedError) as caught:
        submit(model, make_rows(3), prompt="{text}", handle_path=path)

    assert submit(model, make_rows(4), prompt="{text}", handle_path=path).total == 4
    assert submit(model, make_rows(5), prompt="{text}", resume=caught.value.handle).total == 5


def test_a_lower_ceiling_counts_for_batches_to_come(emulator, output, monkeypatch, tmp_path):
    """Of a submission that was cut off, too."""
    monkeypatch.setattr(_openrouter_engine, "Spool", lambda: Spool(2))
    monkeypatch.setattr("langchain_openrouter.batch._submit.Spool", lambda: Spool(2))
    model, path = model_on(emulator, max_tokens=100), tmp_path / "job.json"
    calls = refuse_batch(emulator, monkeypatch, 2)
    with pytest.raises(errors.PermissionDeniedError):
        go(model, make_rows(6), output=output, max_cost=1)
    with pytest.raises(errors.BatchError, match="above max_cost"):
        go(model, make_rows(6), output=output, max_cost=0.000_01)
    assert len(calls) == 2
    assert go(model, make_rows(6), output=output, max_cost=1).done == 6

    calls = refuse_batch(emulator, monkeypatch, 2)
    with pytest.raises(errors.PermissionDeniedError):
        submit(model, make_rows(6), prompt="{text}", handle_path=path, max_cost=1)
    with pytest.raises(errors.BatchError, match="above max_cost"):
        submit(model, make_rows(6), prompt="{text}", handle_path=path, max_cost=0.000_01)
    assert len(calls) == 2
    assert submit(model, make_rows(6), prompt="{text}", handle_path=path).is_submitted
    assert submit(model, make_rows(6), prompt="{text}", handle_path=path, max_cost=0.000_01).ids


def test_rows_that_came_while_it_was_cut_off(emulator, output, monkeypatch):
    """Between two batches: they become one of their own, after those that were begun."""
    monkeypatch.setattr(_openrouter_engine, "Spool", lambda: Spool(2))
    refuse_batch(emulator, monkeypatch, 2)
    model = model_on(emulator)
    with pytest.raises(errors.PermissionDeniedError):
        go(model, make_rows(4), output=output)

    assert go(model, make_rows(5), output=output).done == 5
    assert [row["output"] for row in lines_of(output)] == [f"text-{n}" for n in range(5)]
    assert [len(p.body["requests"]) for p in posts(emulator)] == [2, 2, 2, 1]


def test_rows_that_the_input_lost_while_it_ran(emulator, output):
    """Their answers are kept for a call with those rows."""
    model = model_on(emulator)
    kill_while_it_runs(emulator, model, make_rows(4), output)
    with pytest.warns(UserWarning, match="2 rows that were submitted are not in the input"):
        fewer = go(model, make_rows(2), output=output)

    assert (fewer.done, fewer.handle is None) == (2, False)
    assert go(model, make_rows(4), output=output).done == 4
    assert len(posts(emulator)) == 1


def test_answers_to_failed_rows_are_read_whatever_is_retried(emulator, output):
    """They were sent again by the call before, and are paid for."""
    answers = {"text-1": error("rate_limit")}
    emulator.script(lambda request: answers.get(text_of(request), text_of(request)))
    model = model_on(emulator)
    assert go(model, make_rows(2), output=output).failed == 1
    answers.clear()
    kill_while_it_runs(emulator, model, make_rows(3), output)

    assert go(model, make_rows(3), output=output, retry_failed=False).done == 3
    assert len(posts(emulator)) == 2


def test_a_power_cut_at_any_time(emulator, output, monkeypatch):
    """A handle is on disk, its name too, before its batch is made; results before it is done."""

    def sync(file):
        state = os.fstat(file)
        kind = "folder" if stat.S_ISDIR(state.st_mode) else "file"
        is_part = part.exists() and part.stat().st_ino == state.st_ino
        steps.append("part" if is_part else kind)
        original(file)

    def create(key, body, size):
        steps.append("create")
        return make(key, body, size)

    part, steps = output.with_name("out.jsonl.part"), []
    make, original = emulator.batches.create, os.fsync
    monkeypatch.setattr(emulator.batches, "create", create)
    monkeypatch.setattr(os, "fsync", sync)
    go(model_on(emulator), make_rows(2), output=output)
    at = steps.index("create")

    assert steps[at - 2 : at] == ["file", "folder"]
    end = len(steps) - steps[::-1].index("folder")
    assert steps[end - 3 : end] == ["part", "file", "folder"]


def test_ctrl_c_while_the_last_answers_are_read(emulator, output, monkeypatch):
    """They are all there: nothing was interrupted."""
    monkeypatch.setattr(_progress, "_SECONDS", 0)

    def interrupt(progress):
        if progress.done == 2:
            batch.interrupt()

    batch = Batch(
        model_on(emulator), make_rows(4), prompt="{text}", schema=None, output=output, key="id",
        max_cost=None, max_concurrency=None, engine="openrouter", resume=True, retry_failed=True,
        include_raw=False, progress=interrupt,
    )  # fmt: skip
    result = asyncio.run(batch.run())

    assert (result.done, result.stopped, result.total) == (4, None, 4)
