"""What goes wrong around a batch: congestion, changed work, odd rows, odd answers, odd calls."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import uuid
import warnings
from decimal import Decimal

import pytest
from langchain.agents import create_agent
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from pyarrow import parquet

from langchain_openrouter import errors
from langchain_openrouter.batch import arun, run
from langchain_openrouter.batch._output import write_output
from langchain_openrouter.batch._parts import Part
from langchain_openrouter.batch._requests import describe_model
from langchain_openrouter.batch._row_result import RowResult
from tests.batch.conftest import ROOT, echo, lines_of, text_of
from tests.support.loopback import Reply, whole

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


def test_ctrl_c_while_a_batch_starts(server, model_on, monkeypatch):
    """It does not run on unseen, whatever its thread has begun."""
    original = threading.Thread.start

    def interrupted(thread):
        original(thread)
        if thread.name == "openrouter-batch":
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(model_on(server), (f"row-{n}" for n in range(1000)), **quiet)
    for thread in threading.enumerate():
        if thread.name == "openrouter-batch":
            thread.join(10)
            assert not thread.is_alive()

    assert len(server.seen) < 100


async def test_a_long_wait_that_the_service_asks_for_is_said(serve, model_on):
    """Once: a free model's limit may last until midnight."""
    wait = {"Retry-After": "7200"}
    server = serve(Reply(SLOW_DOWN, status=429, headers=wait))

    async def go():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await arun(model_on(server), ["a", "b", "c"], **quiet)

    with pytest.warns(UserWarning, match="asks to wait 2:00 h") as told:
        await go()
    assert (len(told), len(server.seen)) == (1, 3)


# --- changed work -----------------------------------------------------------------------------


def agent(model, system="Be brief"):
    """Return an agent."""
    return create_agent(model, system_prompt=system)


def suffixed(model, suffix):
    """Return a chain whose function closes over a text."""
    return RunnableLambda(lambda text: text + suffix) | model


def upper(model):
    """Return a chain with a function."""
    return RunnableLambda(lambda text: text.upper()) | model


def lower(model):
    """Return a chain with another function."""
    return RunnableLambda(lambda text: text.lower()) | model


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (lambda make: agent(make()), lambda make: agent(make(model="openai/gpt-5"))),
        (lambda make: agent(make()), lambda make: agent(make(), "Be long")),
        (lambda make: suffixed(make(), " a"), lambda make: suffixed(make(), " b")),
        (lambda make: upper(make()), lambda make: lower(make())),
        (
            lambda make: make().with_fallbacks([make(model="openai/gpt-4.1")]),
            lambda make: make().with_fallbacks([make(model="openai/gpt-5")]),
        ),
    ],
    ids=["agent-model", "agent-system", "closure", "code", "fallback"],
)
def test_other_work_is_not_mixed_with_the_earlier(server, model_on, tmp_path, before, after):
    """The same work, built again, goes on."""
    path = tmp_path / "o.jsonl"

    def go(build, **fields):
        chain = build(lambda **more: model_on(server, **fields, **more))
        row = {"prompt": "a"} if hasattr(chain, "nodes") else "a"
        return run(chain, [row], output=path, **quiet)

    assert go(before).done == 1
    go(before, timeout=9, max_retries=1)
    assert len(server.seen) == 1
    with pytest.raises(errors.BatchChangedError, match="model"):
        go(after)
    assert len(server.seen) == 1


def test_another_address_is_no_other_work(server, serve, model_on, tmp_path):
    """Of a fallback too."""
    path, other = tmp_path / "o.jsonl", serve(echo)
    for target in (server, other):
        model = model_on(target).with_fallbacks([model_on(target, model="openai/gpt-5")])
        run(model, ["a"], output=path, **quiet)

    assert (len(server.seen), len(other.seen)) == (1, 0)


def test_an_agent_is_described_alike_in_another_process():
    """Whatever the seed of hashes."""
    code = (
        "from langchain.agents import create_agent\n"
        "from langchain_core.runnables import RunnableLambda\n"
        "from langchain_openrouter import ChatOpenRouter\n"
        "from langchain_openrouter.batch._requests import describe_model\n"
        "def tool(text: str) -> bool:\n    'Look.'\n    return text in {'a', 'b', 'c'}\n"
        "model = ChatOpenRouter(model='openai/gpt-4o-mini', api_key='k')\n"
        "print(describe_model(create_agent(model, [tool]) | RunnableLambda(tool)))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip

    assert "work" in told[0]
    assert told[0] == told[1]


def test_what_a_function_fills_is_not_what_it_does():
    """A list and a counter."""
    seen, count = [], 0

    def step(text):
        nonlocal count
        count += 1
        seen.append(text)
        return text

    before = describe_model(RunnableLambda(step))
    step("a")

    assert describe_model(RunnableLambda(step)) == before


@pytest.mark.parametrize(
    ("before", "after"),
    [(Decimal("1.5"), Decimal(99)), (uuid.UUID(int=1), uuid.UUID(int=2))],
)
def test_a_row_with_another_value_is_another_row(model_on, server, tmp_path, before, after):
    """Of a type that JSON does not have."""
    chain = ChatPromptTemplate.from_template("{p}") | model_on(server)
    run(chain, [{"p": before}], output=tmp_path / "o.jsonl", **quiet)

    with pytest.raises(errors.BatchChangedError, match="row 0"):
        run(chain, [{"p": after}], output=tmp_path / "o.jsonl", **quiet)


def test_a_template_with_a_function_is_described_alike_in_another_process():
    """A partial variable has an address, which says nothing."""
    code = (
        "import json\n"
        "from langchain_core.prompts import ChatPromptTemplate\n"
        "from langchain_openrouter.batch._prompts import build_prompt\n"
        "template = ChatPromptTemplate.from_messages([('user', '{day} {text}')])\n"
        "template = template.partial(day=lambda: 'WORD')\n"
        "print(json.dumps(build_prompt(template, 'chat').describe()))"
    )

    def describe(code):
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout

    assert describe(code) == describe(code)
    assert describe(code) != describe(code.replace("WORD", "Monday"))
    assert describe(code) != describe(code.replace("{day} {text}", "{day}: {text}"))


# --- files that are there ---------------------------------------------------------------------


def test_the_file_of_the_rows_is_not_replaced(model_on, server, tmp_path):
    """Neither by the output nor by its part, nor through a link."""
    path, link = tmp_path / "rows.jsonl", tmp_path / "link.jsonl"
    path.write_text('{"text": "a"}\n')
    link.symlink_to(path)

    for output in (path, link):
        with pytest.raises(ValueError, match="the file of the rows"):
            run(model_on(server), str(path), prompt="{text}", output=output, resume=False, **quiet)
    assert path.read_text() == '{"text": "a"}\n'


@pytest.mark.parametrize("content", ["a file of mine", "{", '{"langchain'])
def test_a_part_without_a_line_end(server, model_on, tmp_path, content):
    """It is a file of the user's, unless it is how a part begins, whose process was killed."""
    part = tmp_path / "o.jsonl.part"
    part.write_text(content)
    if content == "a file of mine":
        with pytest.raises(errors.BatchError, match="move it away"):
            run(model_on(server), ["a"], output=tmp_path / "o.jsonl", **quiet)
        assert part.read_text() == content
    else:
        assert run(model_on(server), ["a"], output=tmp_path / "o.jsonl", **quiet).done == 1


def test_an_output_that_is_a_link_stays_one(server, model_on, tmp_path):
    """Its target is written, whose folder has to be there."""
    folder, link = tmp_path / "large", tmp_path / "o.parquet"
    link.symlink_to(folder / "real.parquet")
    with pytest.raises(FileNotFoundError, match=r"no folder .*large"):
        run(model_on(server), ["a"], output=link, **quiet)
    folder.mkdir()
    for _ in range(2):
        run(model_on(server), ["a"], output=link, **quiet)

    assert link.is_symlink()
    assert parquet.read_table(folder / "real.parquet")["output"].to_pylist() == ["a"]
    assert len(server.seen) == 1


def test_a_new_beginning_that_fails_keeps_what_was_there(serve, server, model_on, tmp_path):
    """Output and part, until there is a first result."""
    path = tmp_path / "o.jsonl"
    run(model_on(server), ["a", "b"], output=path, **quiet)
    before = [file.read_bytes() for file in (path, tmp_path / "o.jsonl.part")]
    refused = serve(lambda _: Reply({"error": {"code": 401, "message": "No"}}, status=401))

    with pytest.raises(errors.AuthenticationError):
        run(model_on(refused), ["a", "b"], output=path, resume=False, **quiet)
    assert [file.read_bytes() for file in (path, tmp_path / "o.jsonl.part")] == before

    again = run(model_on(server), ["c"], output=path, resume=False, **quiet)
    assert ([row.output for row in again], len(lines_of(path))) == (["c"], 1)


def test_rows_that_the_input_lost_are_left_out(model_on, server, tmp_path):
    """With a warning; their results stay in the part, for an input that has them again."""
    path, model = tmp_path / "o.jsonl", model_on(server)
    run(model, ["a", "b", "c"], output=path, **quiet)

    with pytest.warns(UserWarning, match="2 rows of earlier runs are not in the input"):
        result = run(model, ["a"], output=path, **quiet)
    assert (result.done, result.total, len(lines_of(path))) == (1, 1, 1)
    assert run(model, ["a", "b", "c"], output=path, **quiet).done == 3
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cost", "1"),
        ("cost", -3),
        pytest.param("cost", 10**400, id="cost-huge"),
        ("provider", [1]),
        ("index", 10**30),
        ("key", None),
    ],
)
def test_an_edited_part_is_read(model_on, server, tmp_path, name, value):
    """A value that cannot be is left out, and a row without a place is sent again."""
    path, part = tmp_path / "o.jsonl", tmp_path / "o.jsonl.part"
    run(model_on(server), ["a", "b"], output=path, **quiet)
    header, *rows = part.read_text().splitlines()
    edited = json.dumps({**json.loads(rows[1]), name: value})
    part.write_text("\n".join([header, rows[0], edited, ""]))

    result = run(model_on(server), ["a", "b"], output=path, **quiet)

    assert (result.done, len(lines_of(path))) == (2, 2)
    assert result.spent >= 0.001
    assert len(server.seen) == (2 if name in {"cost", "provider"} else 3)


# --- calls ------------------------------------------------------------------------------------


def test_progress_that_raises_loses_no_row(model_on, serve, tmp_path):
    """It is told once."""

    def reply(seen):
        time.sleep(0.3)
        return echo(seen)

    def show(progress):
        if progress.done:
            msg = "broken bar"
            raise RuntimeError(msg)

    path = tmp_path / "o.jsonl"
    with pytest.warns(UserWarning, match="RuntimeError: broken bar") as told:
        result = run(model_on(serve(reply)), ["a", "b", "c"], output=path, progress=show)
    assert (result.done, len(told)) == (3, 1)


def test_a_closed_terminal_ends_no_batch(model_on, serve, tmp_path, monkeypatch):
    """As of a job that `nohup` or `disown` keeps."""
    master, slave = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", os.fdopen(slave, "w"))

    def reply(seen):
        if text_of(seen) == "row-2":
            os.close(master)
        time.sleep(0.1)
        return echo(seen)

    path, rows = tmp_path / "o.jsonl", [f"row-{n}" for n in range(8)]
    result = run(model_on(serve(reply)), rows, output=path, max_concurrency=1, progress=True)
    with contextlib.suppress(OSError):
        sys.stderr.close()

    assert (result.done, len(lines_of(path))) == (8, 8)


@pytest.mark.parametrize("max_cost", [float("nan"), float("inf"), "5", True, -1])
def test_a_ceiling_is_a_number(model_on, server, max_cost):
    """Nothing is sent."""
    with pytest.raises(ValueError, match="max_cost must be a number of USD"):
        run(model_on(server), ["a"], max_cost=max_cost, **quiet)
    assert not server.seen


def test_a_ceiling_without_costs_is_told(model_on, serve):
    """It cannot be kept."""

    def reply(seen):
        body = whole(text_of(seen))
        del body["usage"]["cost"]
        return Reply(body)

    with pytest.warns(UserWarning, match="without its cost") as told:
        result = run(model_on(serve(reply)), ["a", "b", "c"], max_cost=0.1, **quiet)
    assert (result.done, len(told)) == (3, 1)


# --- answers ----------------------------------------------------------------------------------

NUMBER = {
    "title": "Answer", "description": "A number.", "type": "object",
    "properties": {"n": {"type": "integer"}}, "required": ["n"],
}  # fmt: skip


@pytest.mark.parametrize("number", ["100000000000000000000000", "1e999", "NaN"])
@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_one_odd_number_spoils_no_output(serve, model_on, tmp_path, number, suffix):
    """The column is one of JSON texts, with one warning; JSONL is JSON."""

    def reply(seen):
        return Reply(whole(f'{{"n": {number if text_of(seen) == "odd" else 1}}}'))

    path = tmp_path / f"o.{suffix}"
    watch = pytest.warns(UserWarning, match="`output` is written as texts")
    with watch if suffix == "parquet" else contextlib.nullcontext():
        run(model_on(serve(reply)), ["a", "odd"], schema=NUMBER, output=path, **quiet)

    if suffix == "parquet":
        outputs = [row["output"] for row in parquet.read_table(path).to_pylist()]
        assert json.loads(outputs[0]) == {"n": 1}
    else:
        json_lines = path.read_text() if suffix == "jsonl" else ""
        for line in json_lines.splitlines():
            json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("keys", [(1, "x"), (1, 2**63), ("x", 1)])
def test_keys_of_several_kinds_are_texts(server, model_on, tmp_path, keys):
    """Of a Parquet column; a warning says so, where the first one was a number."""
    rows, path = [{"id": key, "text": "a"} for key in keys], tmp_path / "o.parquet"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(model_on(server), rows, prompt="{text}", key="id", output=path, **quiet)

    assert parquet.read_table(path)["key"].to_pylist() == [str(key) for key in keys]


@pytest.mark.parametrize("key", [1.5, b"x", float("inf"), True, [1]])
def test_a_key_is_a_text_or_a_whole_number(server, model_on, key):
    """No other value is made a text unasked."""
    with pytest.raises(ValueError, match=f"row 0 has a key of type {type(key).__name__}"):
        run(model_on(server), [{"id": key, "text": "a"}], prompt="{text}", key="id", **quiet)


def test_vectors_are_vectors_where_the_first_row_failed(tmp_path):
    """And texts beside a list are written as texts."""
    failed = RowResult("a", 0, error_type="UpstreamError", error="no")
    vector, text = RowResult("b", 1, output=[0.5, 1.0]), RowResult("c", 2, output="text \ud800")
    path = tmp_path / "o.parquet"

    write_output(path, lambda: iter([failed, vector]), None)
    assert parquet.read_table(path)["output"].to_pylist() == [None, [0.5, 1.0]]
    with pytest.warns(UserWarning, match="cannot hold the value of row 'c'"):
        write_output(path, lambda: iter([vector, text]), None)
    assert parquet.read_table(path)["output"].to_pylist() == ["[0.5, 1.0]", "text ?"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_counts_below_zero_are_none(serve, model_on, tmp_path, suffix):
    """A service that sends them is not believed: in no kind of output, and in no sum."""
    usage = {"prompt_tokens": -5, "completion_tokens": 3, "total_tokens": -2, "cost": -1.0}
    server = serve(Reply({**whole("text"), "usage": usage}))
    path = tmp_path / f"o.{suffix}"
    result = run(model_on(server), ["a"], output=path, **quiet)

    rows = lines_of(path) if suffix == "jsonl" else parquet.read_table(path).to_pylist()
    (read,) = result
    for name in ("input_tokens", "output_tokens", "cost"):
        assert rows[0][name] == getattr(read, name)
    assert (read.input_tokens, read.output_tokens, read.cost) == (None, 3, None)
    assert result.stats.all.input_tokens == 0


# --- rows that cannot be sent -----------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["{text}", "{text:>3}", [("user", "{text}")]])
@pytest.mark.parametrize("value", [None, float("nan")])
def test_an_empty_cell_is_not_sent(server, model_on, prompt, value):
    """The row and the column are named."""
    with pytest.raises(ValueError, match="row 1: `text` is empty"):
        run(model_on(server), [{"text": "a"}, {"text": value}], prompt=prompt, **quiet)
    assert "None" not in {text_of(seen) for seen in server.seen}


def test_a_value_that_has_no_such_format_is_named(server, model_on):
    """As a list with a width."""
    with pytest.raises(ValueError, match="row 0: a value does not fit its format"):
        run(model_on(server), [{"text": [1]}], prompt="{text:>3}", **quiet)


def test_a_long_field_of_csv_is_read(server, model_on, tmp_path):
    """Of more characters than Python's csv takes unasked."""
    path = tmp_path / "rows.csv"
    path.write_text("text\n" + "x" * 200_000 + "\n")

    assert run(model_on(server), path, prompt="{text}", **quiet).done == 1


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_file_that_is_not_utf8_is_named(server, model_on, tmp_path, name):
    """With the line."""
    path = tmp_path / name
    path.write_bytes("text\né\n".encode("latin-1") if name.endswith("csv") else '"é"\n'.encode("latin-1"))  # fmt: skip

    with pytest.raises(ValueError, match=rf"{name}, after line \d, is not UTF-8"):
        run(model_on(server), path, prompt=None if name.endswith("l") else "{text}", **quiet)


def test_columns_of_several_kinds(server, model_on, tmp_path):
    """Numbers beside texts, and levels of a data frame: rows are compared all the same."""
    chain = RunnableLambda(lambda row: str(row[0])) | model_on(server)
    path = tmp_path / "o.jsonl"
    for _ in range(2):
        run(chain, [{0: "a", "id": 1, ("x", 2): 3}], output=path, **quiet)

    assert [text_of(seen) for seen in server.seen] == ["a"]
    with pytest.raises(errors.BatchChangedError, match="row 0"):
        run(chain, [{0: "b", "id": 1, ("x", 2): 3}], output=path, **quiet)


@pytest.mark.parametrize("key", ["a", ',"index":7,'])
def test_the_lines_of_a_part_are_its_results(tmp_path, key):
    """Those of this run are copied, unless the input has the row at another place since."""
    path = tmp_path / "out.jsonl.part"
    results = [
        RowResult("moved", 5, output={"index": 0, "more": 1}, request_hash="h"),
        RowResult(key, 1, output=',"index":9,', request_hash="h"),
    ]
    part = Part(path, {"key": "id"}, resume=True)
    part.visit("moved", 0, "h")
    part.visit(key, 1, "h")
    for result in results:
        part.append(result)
    again = Part(path, {"key": "id"}, resume=True)

    for one in (part, again):
        assert list(one.lines()) == [result.to_json() for result in one.results()]
    assert [json.loads(line)["index"] for line in part.lines()] == [0, 1]
