"""Submissions that are cut off: refused, killed, or not answered; nothing is paid for twice."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from langchain_openrouter import errors
from langchain_openrouter.batch import collect, delete, run, submit, wait
from langchain_openrouter.batch._handles import BatchHandle
from langchain_openrouter.batch._lock import OutputLock
from langchain_openrouter.batch._spool import Spool
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from tests.batch.conftest import ROOT
from tests.support.batches import KEY, hurry, make_rows, model_on, posts, run_at_once

pytestmark = pytest.mark.usefixtures("quick_polls")


def test_a_submission_goes_on_where_it_was_refused(emulator, monkeypatch, tmp_path):
    """Three shards, the second of which is refused at first: it alone and the third are sent."""
    from langchain_openrouter.batch import _submit

    monkeypatch.setattr(_submit, "Spool", lambda: Spool(2))
    model, path = model_on(emulator), tmp_path / "job.json"
    create, calls = emulator.batches.create, []

    def once(key, body, size):
        calls.append(body)
        if len(calls) == 2:
            raise ApiRefusal(403, "not today")
        return create(key, body, size)

    emulator.batches.create = once
    with pytest.raises(errors.PermissionDeniedError) as caught:
        submit(model, make_rows(6), prompt="{text}", handle_path=path)
    assert len(BatchHandle.load(path).ids) == len(caught.value.handle.ids) == 1
    handle = submit(model, make_rows(6), prompt="{text}", handle_path=path)
    again = submit(model, make_rows(6), prompt="{text}", resume=caught.value.handle)

    wait(handle, model)
    assert [r.output for r in collect(handle, model)] == [f"text-{n}" for n in range(6)]
    assert handle.ids[:1] == again.ids[:1] == caught.value.handle.ids
    assert len(calls) == 1 + 1 + 2 + 2
    assert not list(tmp_path.glob("*.lock"))


def test_a_submission_is_not_mixed(emulator, tmp_path):
    """Other rows, another prompt, model or schema: refused by name, and nothing is sent."""
    model, path = model_on(emulator), tmp_path / "job.json"
    submit(model, make_rows(2), prompt="{text}", handle_path=path)
    changes = [
        ({"rows": make_rows(3)}, "the rows say"),
        ({"prompt": "Say {text}"}, "`prompt`"),
        ({"model": model_on(emulator, temperature=1)}, "`model`"),
        ({"schema": {"title": "A", "type": "object", "properties": {}}}, "`schema`"),
        ({"key": "id"}, "`key`"),
    ]
    for change, says in changes:
        arguments = {"model": model, "rows": make_rows(2), "prompt": "{text}", **change}
        with pytest.raises(errors.BatchChangedError, match=says):
            submit(arguments.pop("model"), arguments.pop("rows"), handle_path=path, **arguments)
    same = submit(model, make_rows(2), prompt="{text}", handle_path=path)

    assert len(posts(emulator)) == 1
    assert same == BatchHandle.load(path)


def test_another_users_key_does_not_go_on(emulator, tmp_path):
    """That user would not see these batches, and would pay for the rows again."""
    emulator.accounts.add_key("sk-or-v1-other-key", workspace_id="ws_other")
    path = tmp_path / "job.json"
    submit(model_on(emulator), make_rows(2), prompt="{text}", handle_path=path)
    rotated = submit(model_on(emulator, api_key="sk-or-v1-new-key"), make_rows(2), prompt="{text}", handle_path=path)  # fmt: skip

    assert rotated.ids == emulator.batches.ids
    with pytest.raises(errors.BatchChangedError, match="another key"):
        submit(model_on(emulator, api_key="sk-or-v1-other-key"), make_rows(2), prompt="{text}", handle_path=path)  # fmt: skip
    assert len(posts(emulator)) == 1


def test_one_process_submits(emulator, tmp_path):
    """A second one at the same time is refused."""
    path = tmp_path / "job.json"
    lock = OutputLock(path.with_name("job.json.lock"))
    lock.acquire()
    with pytest.raises(errors.BatchInUseError):
        submit(model_on(emulator), ["one"], handle_path=path)
    lock.release()
    assert posts(emulator) == []


def test_a_refusal_that_passes_is_waited_for(emulator):
    """429 with Retry-After: sent again, as often as the model allows."""
    create, calls = emulator.batches.create, []

    def busy(key, body, size):
        calls.append(1)
        if len(calls) < 3:
            raise ApiRefusal(429, "slow down", headers={"retry-after": "0.01"})
        return create(key, body, size)

    emulator.batches.create = busy
    submit(model_on(emulator, max_retries=2), ["one"])
    assert len(calls) == 3
    calls.clear()
    with pytest.raises(errors.RateLimitError):
        submit(model_on(emulator, max_retries=1), ["one"])
    assert len(calls) == 2


@pytest.mark.parametrize("invisible", [0.0, 0.15])
def test_an_answer_that_does_not_come_is_looked_for(emulator, monkeypatch, invisible, tmp_path):
    """The batch was made and its answer failed: it is found, and is not made again."""
    hurry(monkeypatch, visible_after=10)
    emulator.batches.times.invisible = invisible
    create = emulator.batches.create

    def broken(key, body, size):
        create(key, body, size)
        raise ApiRefusal(500, "broken pipe")

    emulator.batches.create = broken
    model = model_on(emulator)
    handle = submit(model, make_rows(3), prompt="{text}", handle_path=tmp_path / "job.json")
    wait(handle, model)

    assert handle.ids == emulator.batches.ids
    assert len(posts(emulator)) == 1
    assert [r.output for r in collect(handle, model)] == ["text-0", "text-1", "text-2"]


def _broken(create, *, is_made):
    """Return a creation that is not answered."""

    def broken(key, body, size):
        if is_made:
            create(key, body, size)
        raise ApiRefusal(500, "broken pipe")

    return broken


def _submit_unanswered(emulator, model, path, *, is_made):
    """Submit two rows without an answer, while others of the same size run."""
    emulator.batches.times.running = 3600
    create = emulator.batches.create
    submit(model, ["other-1", "other-2"])

    emulator.batches.create = _broken(create, is_made=is_made)
    with pytest.warns(UserWarning, match="was not answered"):
        handle = submit(model, ["mine-1", "mine-2"], handle_path=path)
    emulator.batches.create = create
    submit(model, ["other-3", "other-4"])
    return handle


def test_among_batches_that_look_alike_the_results_tell(emulator, tmp_path):
    """Others of the same size and model run at the time: the right one is collected."""
    model, path = model_on(emulator), tmp_path / "job.json"
    handle = _submit_unanswered(emulator, model, path, is_made=True)
    with pytest.warns(UserWarning, match="was not answered"):
        submit(model, ["mine-1", "mine-2"], handle_path=path)
    emulator.clock.advance(3601)
    wait(handle, model)

    assert (handle.ids, len(handle.candidates)) == ([], 2)
    assert [r.output for r in collect(handle, model)] == ["mine-1", "mine-2"]
    again = submit(model, ["mine-1", "mine-2"], handle_path=path)
    assert again.ids == emulator.batches.ids[1:2]
    assert len(posts(emulator)) == 3
    delete(handle, model)
    assert len(emulator.batches.ids) == 2


def test_somebody_elses_batch_is_not_taken_for_ours(emulator, tmp_path):
    """Nothing was made: the error says so, and the same call sends the rows."""
    model, path = model_on(emulator), tmp_path / "job.json"
    handle = _submit_unanswered(emulator, model, path, is_made=False)
    emulator.clock.advance(3601)
    wait(handle, model)
    with pytest.raises(
        errors.BatchError, match=f"not those of {emulator.batches.ids[0]}.*`submit`"
    ):
        list(collect(handle, model))
    delete(handle, model)
    assert len(emulator.batches.ids) == 2

    run_at_once(emulator)
    again = submit(model, ["mine-1", "mine-2"], handle_path=path)
    wait(again, model)
    assert [r.output for r in collect(again, model)] == ["mine-1", "mine-2"]
    assert again.ids == emulator.batches.ids[2:]


@pytest.mark.parametrize("is_made", [True, False])
def test_a_run_waits_for_the_proof(emulator, is_made):
    """`run` looks again when the batches that look alike have ended, and sends what is missing."""
    model, create = model_on(emulator), emulator.batches.create
    emulator.batches.times.running = 3600
    submit(model, ["other-1", "other-2"])
    emulator.batches.create = _broken(create, is_made=is_made)

    def go_on(progress):
        if "in_progress" in (progress.remote or ""):
            emulator.batches.create = create
            run_at_once(emulator)
            emulator.clock.advance(3601)

    result = run(model, ["mine-1", "mine-2"], engine="openrouter", progress=go_on)
    assert [r.output for r in result] == ["mine-1", "mine-2"]
    assert len(emulator.batches.ids) == 2


def test_what_was_never_sent_is_sent_again(emulator, tmp_path):
    """No connection: the handle says that nothing is at the service."""
    path = tmp_path / "job.json"
    closed = model_on(emulator, base_url="http://127.0.0.1:9/api/v1")
    with pytest.raises(errors.ConnectionFailedError):
        submit(closed, ["one"], handle_path=path)  # the list of models
    assert not path.exists()


_KILLED = """
import os, sys
from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.batch import submit, _batch_api, _orphans, _submit
from langchain_openrouter.batch._spool import Spool
from tests.support.batches import KEY, SLUG, make_rows

_submit.Spool = lambda: Spool(2)
_orphans.VISIBLE_AFTER, _orphans._POLL_SECONDS = 0.3, 0.05
url, path, die_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
create, calls = _batch_api.OpenRouterBatches.create, []

def dying(self, body):
    calls.append(1)
    if len(calls) == die_at and sys.argv[4] == "before":
        os.kill(os.getpid(), 9)
    batch = create(self, body)
    if len(calls) == die_at:
        os.kill(os.getpid(), 9)
    return batch

_batch_api.OpenRouterBatches.create = dying
model = ChatOpenRouter(model=SLUG, base_url=url, api_key=KEY, max_retries=0)
handle = submit(model, make_rows(6), prompt="{text}", key="id", handle_path=path)
print(handle.to_json())
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_submission_pays_for_nothing_twice(emulator, tmp_path, moment):
    """`kill -9` before or after a shard is sent, at each of three; then the same call again."""
    path = tmp_path / "job.json"
    for die_at in (1, 1, 9):
        done = subprocess.run(
            [sys.executable, "-c", _KILLED, emulator.url, str(path), str(die_at), moment],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == (-9 if die_at == 1 else 0), done.stderr
        time.sleep(0.3 if moment == "before" else 0)
    handle = BatchHandle.from_json(done.stdout)
    model = model_on(emulator)
    wait(handle, model)
    results = list(collect(handle, model))

    assert len(emulator.batches.ids) == 3
    assert sorted(handle.ids) == sorted(emulator.batches.ids)
    assert [(r.key, r.output) for r in results] == [(f"row {n}", f"text-{n}") for n in range(6)]
    assert emulator.accounts.keys[KEY].usage == pytest.approx(sum(r.cost for r in results))
    assert KEY not in path.read_text()
