"""`run(..., engine="openrouter")`: the same rows, the same files, one batch however often killed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal

import pytest
from langchain_core.prompts import ChatPromptTemplate

from langchain_openrouter import as_user, errors
from langchain_openrouter.batch import BatchHandle, arun, collect, run, submit, wait
from langchain_openrouter.callbacks import CostLimit
from langchain_openrouter.testing import Reply, error
from tests.batch.conftest import ROOT, lines_of
from tests.support.batches import KEY, make_rows, model_on, posts, run_at_once, text_of

pytestmark = pytest.mark.usefixtures("quick_polls")

LABEL = {"title": "Label", "type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}  # fmt: skip


def away(model, rows, **options):
    """Run rows at OpenRouter."""
    options = {"prompt": "{text}", "key": "id", "progress": False, **options}
    return run(model, rows, engine="openrouter", **options)


SAME = ("key", "index", "output", "error_type", "error", "is_retryable", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "provider", "model", "finish_reason", "request_hash")  # fmt: skip


def test_rows_are_those_of_the_local_engine(emulator, tmp_path):
    """Answers, errors, what does not fit a schema: field by field; costs are the half."""
    special = {
        "text-2": error("context_length"),
        "text-3": '{"other": 1}',
        "text-4": Reply('{"label": "cu', finish_reason="length"),
        "text-5": Reply(refusal="I will not", text=""),
        "text-6": Reply('{"label": "thought"}', reasoning="let me think about it"),
    }
    emulator.script(lambda r: special.get(text_of(r), json.dumps({"label": text_of(r)})))
    model = model_on(emulator)
    rows, files = make_rows(8), {}
    for engine in ("local", "openrouter"):
        files[engine] = tmp_path / f"{engine}.jsonl"
        run(model, rows, prompt="{text}", key="id", schema=LABEL, output=files[engine], engine=engine, progress=False)  # fmt: skip
    local, remote = (lines_of(files[engine]) for engine in ("local", "openrouter"))

    assert sum(row["error_type"] is not None for row in local) >= 3
    for one, other in zip(local, remote, strict=True):
        assert {n: other[n] for n in SAME} == {n: one[n] for n in SAME}
        assert list(one) == list(other)
        if one["cost"] and one["error_type"] is None:
            assert other["cost"] == pytest.approx(one["cost"] / 2, rel=1e-3)
        if one.get("raw"):
            assert other["raw"]["content"] == one["raw"]["content"]


def test_files_and_costs(emulator, tmp_path):
    """The output and the part are those of any batch; the handle is beside them."""
    output = tmp_path / "out.jsonl"
    shown = []
    result = away(model_on(emulator), make_rows(5), output=output, progress=shown.append)
    handle = BatchHandle.load(tmp_path / "out.jsonl.batch.json")

    assert (result.done, result.failed, result.stopped) == (5, 0, None)
    assert [row["output"] for row in lines_of(output)] == [f"text-{n}" for n in range(5)]
    assert result.spent == pytest.approx(emulator.accounts.keys[KEY].usage)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.batch.json", "out.jsonl.part"]  # fmt: skip
    assert handle.is_collected
    assert any("5 rows" in (p.remote or "") for p in shown)
    assert away(model_on(emulator), make_rows(5), output=output).done == 5
    assert len(posts(emulator)) == 1


def test_more_rows_and_failed_rows_are_a_batch_of_their_own(emulator, tmp_path):
    """A later call sends what is new, and what failed and may pass."""
    answers = {"text-1": error("rate_limit"), "text-2": error("moderation")}
    emulator.script(lambda r: answers.get(text_of(r), text_of(r)))
    output, model = tmp_path / "out.jsonl", model_on(emulator)
    first = away(model, make_rows(4), output=output)
    answers.clear()
    second = away(model, make_rows(6), output=output)

    assert (first.done, first.failed) == (2, 2)
    assert (second.done, second.failed) == (5, 1)
    sent = [[r["body"]["messages"][0]["content"] for r in p.body["requests"]] for p in posts(emulator)]  # fmt: skip
    assert sent == [["text-0", "text-1", "text-2", "text-3"], ["text-1", "text-4", "text-5"]]
    assert [row["error_type"] for row in lines_of(output)] == [None, None, "PermissionDeniedError", None, None, None]  # fmt: skip


def test_an_expired_batch_is_run_again(emulator, tmp_path):
    """Thousands of rows that expired do not end the run as thousands of failures."""
    emulator.batches.times.running = 200_000
    emulator.batches.keeps_partial_results = True
    output, model = tmp_path / "out.jsonl", model_on(emulator)

    def advance(progress):
        if "in_progress" in (progress.remote or ""):
            emulator.clock.advance(90_000)

    first = away(model, make_rows(120), output=output, progress=advance)
    run_at_once(emulator)
    second = away(model, make_rows(120), output=output)

    assert 40 < first.done < 60
    assert first.failed == 120 - first.done
    assert (second.done, second.failed) == (120, 0)
    assert len(posts(emulator)[1].body["requests"]) == first.failed


async def test_in_a_running_loop_and_for_a_user(emulator):
    """`arun`, and a run inside a user's context."""
    model = model_on(emulator)
    with as_user("sk-or-v1-anns-key"):
        result = await arun(model.for_user("sk-or-v1-anns-key"), make_rows(3), prompt="{text}", engine="openrouter", progress=False)  # fmt: skip
    assert result.done == 3
    assert {r.key for r in emulator.requests} == {"sk-or-v1-anns-key"}
    assert run(model, make_rows(2), prompt="{text}", engine="openrouter", progress=False).done == 2


def test_a_chain(emulator):
    """A prompt template before the model; the row is its input."""
    chain = ChatPromptTemplate.from_messages([("user", "{text}!")]) | model_on(emulator)
    result = run(chain, make_rows(2), engine="openrouter", progress=False)

    assert [row.output for row in result] == ["text-0!", "text-1!"]


def test_refusals_are_before_the_first_row(emulator, tmp_path):
    """A budget that the estimate exceeds, a ceiling, a model without a variant, another batch."""
    output = tmp_path / "out.jsonl"
    model = model_on(emulator, max_tokens=100)
    with pytest.raises(errors.BatchError, match="may cost up to"):
        away(model, make_rows(50), output=output, max_cost=0.0001)
    with pytest.raises(errors.ModelUnavailableError):
        away(model_on(emulator, model="google/gemini-2.5-flash"), make_rows(2))
    with CostLimit(1), pytest.raises(errors.BatchError, match="ceiling"):
        away(model, make_rows(2))
    with pytest.raises(ValueError, match="row 'row 1': the Batch API"):
        away(model, [{"id": "row 0", "text": "a"}, {"id": "row 1", "text": "b"}], prompt=lambda row: [("user", [{"type": "image_url", "image_url": {"url": "https://x"}}])] if row["text"] == "b" else row["text"])  # fmt: skip
    assert posts(emulator) == []

    assert away(model, make_rows(50), output=output, max_cost=1).done == 50
    run_again = away(model, make_rows(60), output=output, max_cost=1)
    assert run_again.spent < 1
    with pytest.raises(errors.BatchChangedError):
        away(model_on(emulator), make_rows(50), output=output)


def test_input_that_changed_while_it_ran(emulator, tmp_path):
    """A row that is not as it was submitted does not get another row's answer."""
    emulator.batches.times.running = 3600
    output, model = tmp_path / "out.jsonl", model_on(emulator)
    with pytest.raises(_Enough):
        away(model, make_rows(4), output=output, progress=_enough)
    emulator.clock.advance(3601)
    changed = make_rows(4)[::-1]

    with pytest.raises(errors.BatchChangedError, match="is not what it was when it was submitted"):
        away(model, changed, output=output)
    assert away(model, make_rows(4), output=output).done == 4
    assert len(posts(emulator)) == 1


def test_ctrl_c_between_two_shards(emulator, monkeypatch, tmp_path):
    """The batches that were submitted run on; the same call submits the rest."""
    from langchain_openrouter.batch import _openrouter_engine
    from langchain_openrouter.batch._runner import Batch
    from langchain_openrouter.batch._spool import Spool

    monkeypatch.setattr(_openrouter_engine, "Spool", lambda: Spool(2))
    output, model, create = tmp_path / "out.jsonl", model_on(emulator), emulator.batches.create
    batch = Batch(
        model, make_rows(6), prompt="{text}", schema=None, output=output, key="id", max_cost=None,
        max_concurrency=None, engine="openrouter", resume=True, retry_failed=True,
        include_raw=False, progress=False,
    )  # fmt: skip

    def interrupting(key, body, size):
        batch.interrupt()
        return create(key, body, size)

    emulator.batches.create = interrupting
    with pytest.warns(UserWarning, match="1 batches at OpenRouter run on"):
        result = asyncio.run(batch.run())
    handle = BatchHandle.load(tmp_path / "out.jsonl.batch.json")
    emulator.batches.create = create

    assert (result.done, result.stopped, len(handle.ids)) == (0, "interrupted", 1)
    assert away(model, make_rows(6), output=output).done == 6
    assert len(posts(emulator)) == 3
    assert [row["output"] for row in lines_of(output)] == [f"text-{n}" for n in range(6)]


class _Enough(BaseException):
    """Ends a batch, as an error of a progress callback does not."""


def _enough(progress):
    if "in_progress" in (progress.remote or ""):
        raise _Enough


def test_beginning_anew_says_what_runs_on(emulator, tmp_path):
    """`resume=False` submits again; the batches of before are named."""
    emulator.batches.times.running = 3600
    output, model = tmp_path / "out.jsonl", model_on(emulator)
    with pytest.raises(_Enough):
        away(model, make_rows(2), output=output, progress=_enough)
    run_at_once(emulator)
    with pytest.warns(UserWarning, match=f"run on, and are billed: {emulator.batches.ids[0]}"):
        assert away(model, make_rows(2), output=output, resume=False).done == 2
    assert len(posts(emulator)) == 2


# --- processes --------------------------------------------------------------------------------

_PROCESS = """
import json, sys
from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.batch import run
from tests.support.batches import KEY, SLUG, hurry, make_rows

class Patch:
    setattr = staticmethod(setattr)

hurry(Patch)
url, output = sys.argv[1:3]
model = ChatOpenRouter(model=SLUG, base_url=url, api_key=KEY, max_retries=0)
def show(progress):
    print(progress.remote, flush=True)
result = run(model, make_rows(6), prompt="{text}", key="id", output=output, engine="openrouter", progress=show)
print(json.dumps({"done": result.done, "failed": result.failed, "stopped": result.stopped}), flush=True)
"""  # fmt: skip


@pytest.fixture
def process(emulator, tmp_path):
    """Start the run in a process of its own."""
    started = []

    def start():
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", _PROCESS, emulator.url, str(tmp_path / "out.jsonl")],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
                env={**os.environ, "PYTHONWARNINGS": "always"},
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for one in started:
        if one.poll() is None:
            one.kill()
        one.communicate()


def read_until(process, words):
    """Read the lines of a process up to one with these words."""
    end = time.monotonic() + 30
    for line in process.stdout:
        if words in line:
            return
        assert time.monotonic() < end
    raise AssertionError(process.stderr.read())


def finish(process):
    """Return the last line of a process that ended."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1]), err


def test_a_killed_process_waits_for_the_same_batch(emulator, process, tmp_path):
    """`kill -9` while it waits, twice: one batch, paid for once, and each row is there."""
    emulator.batches.times.running = 3600
    for _ in range(2):
        one = process()
        read_until(one, "in_progress")
        one.kill()
        one.communicate()
    emulator.clock.advance(3601)
    result, _ = finish(process())

    assert (result["done"], result["failed"]) == (6, 0)
    assert len(posts(emulator)) == len(emulator.batches.ids) == 1
    assert [row["output"] for row in lines_of(tmp_path / "out.jsonl")] == [f"text-{n}" for n in range(6)]  # fmt: skip
    spent = sum(row["cost"] for row in lines_of(tmp_path / "out.jsonl"))
    assert spent == pytest.approx(emulator.accounts.keys[KEY].usage)


def test_ctrl_c_leaves_the_batch_and_says_how_to_go_on(emulator, process, tmp_path):
    """The run ends at once; its batch is collected by the same call, or from the handle."""
    emulator.batches.times.running = 3600
    one = process()
    read_until(one, "in_progress")
    one.send_signal(signal.SIGINT)
    stopped, err = finish(one)
    handle = tmp_path / "out.jsonl.batch.json"

    assert stopped == {"done": 0, "failed": 0, "stopped": "interrupted"}
    assert "1 batches at OpenRouter run on, and are billed" in err
    assert "out.jsonl.batch.json" in err
    assert KEY not in err
    emulator.clock.advance(3601)
    model = model_on(emulator)
    wait(handle, model)
    assert [row.output for row in collect(handle, model)] == [f"text-{n}" for n in range(6)]
    result, _ = finish(process())
    assert (result["done"], result["stopped"]) == (6, None)
    assert len(posts(emulator)) == 1


# --- what is not paid for twice ---------------------------------------------------------------


def test_another_engine_does_not_pay_for_rows_that_run_here(emulator, tmp_path):
    """The local engine refuses them by the ids of the batches, until they are collected."""
    emulator.batches.times.running = 3600
    output, model = tmp_path / "out.jsonl", model_on(emulator)
    with pytest.raises(_Enough):
        away(model, make_rows(2), output=output, progress=_enough)
    options = {"prompt": "{text}", "key": "id", "output": output, "progress": False}
    for resume in (True, False):
        with pytest.raises(errors.BatchError, match=emulator.batches.ids[0]):
            run(model, make_rows(2), resume=resume, **options)
    assert not emulator.chat_requests

    emulator.clock.advance(3601)
    assert away(model, make_rows(2), output=output).done == 2
    assert run(model, make_rows(3), **options).done == 3
    assert len(emulator.chat_requests) == 1
    (tmp_path / "out.jsonl.batch.json").write_text("{")
    with pytest.raises(errors.BatchError, match=r"out\.jsonl\.batch\.json is no handle"):
        run(model, make_rows(3), **options)


def test_results_that_were_read_before_are_counted_once(emulator, tmp_path):
    """The process ended after the last row, and before it noted that all were collected."""
    output, model = tmp_path / "out.jsonl", model_on(emulator)
    options = {"output": output, "schema": LABEL, "retry_failed": "all"}
    first = away(model, make_rows(3), **options)
    path = tmp_path / "out.jsonl.batch.json"
    dataclasses.replace(BatchHandle.load(path), is_collected=False).save(path)
    again = away(model, make_rows(3), **options)

    assert (first.failed, again.failed, len(posts(emulator))) == (3, 3, 1)
    assert first.spent == again.spent > 0
    assert (again.cost, again.stats.all.rows) == (0, 3)
    sent_again = away(model, make_rows(3), **options)
    assert (len(posts(emulator)), sent_again.cost) == (2, pytest.approx(first.cost))


@pytest.mark.parametrize("kept", [2, 0])
def test_the_cost_of_a_batch_without_that_of_its_rows(emulator, monkeypatch, kept):
    """It is shared equally: by the rows with an answer, or by all of them."""
    from langchain_openrouter.batch._batch_values import RemoteBatch

    read = RemoteBatch.results.fget

    def without_usage(batch):
        results = read(batch)[:kept]
        for result in results:
            result["response"]["body"].pop("usage", None)
        return results

    monkeypatch.setattr(RemoteBatch, "results", property(without_usage))
    result = away(model_on(emulator), make_rows(2))
    bill = emulator.accounts.keys[KEY].usage

    assert result.spent == bill > 0
    assert [row.cost for row in result] == [pytest.approx(bill / 2)] * 2
    assert result.done == kept


def test_costs_add_up_to_the_last_digit(emulator):
    """Of 101 rows of different length: as decimals, and as `spent`."""
    rows = [{"id": n, "text": "w " * (n * 7 % 13 + 1)} for n in range(101)]
    result = away(model_on(emulator), rows)
    bill = emulator.accounts.keys[KEY].usage

    assert sum(Decimal(repr(row.cost)) for row in result) == Decimal(repr(result.spent))
    assert result.spent == bill
    assert len({row.cost for row in result}) > 5


@pytest.mark.parametrize("max_cost", [float("nan"), "5", True, [1]])
@pytest.mark.parametrize("engine", ["openrouter", "local"])
def test_a_ceiling_that_is_no_number(emulator, max_cost, engine):
    """Refused before anything is sent."""
    with pytest.raises(ValueError, match="max_cost must be a number"):
        run(model_on(emulator, max_tokens=5), ["one"], max_cost=max_cost, engine=engine)
    with pytest.raises(ValueError, match="max_cost must be a number"):
        submit(model_on(emulator, max_tokens=5), ["one"], max_cost=max_cost)
    assert posts(emulator) == emulator.chat_requests == []


def test_the_estimate_counts_each_answer(emulator):
    """`n=3` may cost three times the answers."""
    one, three = (submit(model_on(emulator, max_tokens=1_000, n=n), ["a"]).estimate for n in (1, 3))
    assert three == pytest.approx(3 * one, rel=0.05)


def test_batches_that_run_on_are_found_without_an_output(emulator):
    """After Ctrl-C the result and the warning have the handle; an error has it too."""
    from langchain_openrouter.batch._runner import Batch

    emulator.batches.times.running = 3600
    model = model_on(emulator)

    def interrupt(progress):
        if "in_progress" in (progress.remote or ""):
            batch.interrupt()

    batch = Batch(
        model, make_rows(2), prompt="{text}", schema=None, output=None, key="id", max_cost=None,
        max_concurrency=None, engine="openrouter", resume=True, retry_failed=True,
        include_raw=False, progress=interrupt,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="`handle` of the result") as caught:
        result = asyncio.run(batch.run())
    key = emulator.accounts.keys[KEY]

    def disable(progress):
        if "in_progress" in (progress.remote or ""):
            key.disabled = True

    with pytest.raises(errors.AuthenticationError) as raised:
        away(model, make_rows(2), progress=disable)
    key.disabled = False
    emulator.clock.advance(3601)

    handle = BatchHandle.from_json(result.handle.to_json())
    assert caught[0].message.handle == result.handle
    for known in (handle, raised.value.handle):
        wait(known, model)
        assert [(r.key, r.output) for r in collect(known, model)] == [("row 0", "text-0"), ("row 1", "text-1")]  # fmt: skip
    run_at_once(emulator)
    assert away(model, make_rows(2)).handle is None
    assert len(posts(emulator)) == 3


def test_a_column_that_a_row_lacks_is_said_with_the_row(emulator):
    """By `submit` as by `run`."""
    with pytest.raises(ValueError, match="row 1: "):
        submit(model_on(emulator), [{"text": "a"}, {"x": "b"}], prompt="{text}")
    assert posts(emulator) == []
