"""`run` and `arun`: rows in, results in order; resumed, refused, stopped by a budget."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import io
import pickle
import threading
import time
import weakref

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from matplotlib.image import imread
from pydantic import BaseModel

from langchain_openrouter import as_user, current_user, errors
from langchain_openrouter._shortcuts import shortcuts
from langchain_openrouter.batch import arun, run
from langchain_openrouter.callbacks import CostLimit, get_openrouter_callback
from tests.batch.conftest import echo, lines_of, text_of, wait_for
from tests.support.loopback import KEY, Reply, whole

ROWS = [{"text": f"row-{n}"} for n in range(30)]
quiet = {"progress": False}


def refuse(status, message="no", **more):
    """Return an error of the service."""
    return Reply({"error": {"code": status, "message": message, **more}}, status=status)


@pytest.fixture
def model(server, model_on):
    """A model on the server that says back what it got."""
    return model_on(server)


# --- rows and results -------------------------------------------------------------------------


def test_each_row_has_its_result_in_order(model):
    """Output, cost, tokens, provider, served model, generation id, latency; in memory."""
    result = run(model, ROWS, prompt="{text}", **quiet)
    first, *_, last = list(result)

    assert [row.output for row in result] == [row["text"] for row in ROWS]
    assert (result.done, result.failed, result.total, len(result)) == (30, 0, 30, 30)
    assert result.spent == result.cost == pytest.approx(0.03)
    assert (first.key, first.index, last.index) == (0, 0, 29)
    assert (first.cost, first.input_tokens, first.output_tokens) == (0.001, 10, 4)
    assert (first.cached_tokens, first.reasoning_tokens) == (3, 2)
    assert (first.provider, first.model) == ("OpenAI", "openai/gpt-4o-mini")
    assert (first.generation_id, first.finish_reason) == ("gen-row-0", "stop")
    assert first.latency > 0
    assert "30 of 30 rows done, 0 failed, $0.030000" in repr(result)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_every_kind_of_output_has_the_same_rows(model, tmp_path, suffix):
    """In the order given, however they came."""
    import pandas as pd

    path = tmp_path / f"out.{suffix}"
    run(model, ROWS, prompt="{text}", output=path, **quiet)
    read = {"jsonl": lambda p: pd.read_json(p, lines=True), "csv": pd.read_csv, "parquet": pd.read_parquet}  # fmt: skip
    frame = read[suffix](path)

    assert list(frame["output"]) == [row["text"] for row in ROWS]
    assert list(frame["key"]) == list(range(30))
    assert frame["cost"].sum() == pytest.approx(0.03)
    assert set(frame["provider"]) == {"OpenAI"}


def test_rows_come_back_in_order_when_they_end_in_disorder(serve, model_on, tmp_path):
    """Early rows take longest."""

    def reply(seen):
        time.sleep(0.2 if text_of(seen) in {"row-0", "row-3"} else 0)
        return echo(seen)

    result = run(model_on(serve(reply)), ROWS, prompt="{text}", output=tmp_path / "o.jsonl", **quiet)  # fmt: skip

    assert [row.index for row in result] == list(range(30))
    assert [row["output"] for row in lines_of(tmp_path / "o.jsonl")] == [r["text"] for r in ROWS]


def test_an_iterator_is_read_as_rows_are_sent(serve, model_on):
    """No further than there are requests in flight."""
    read, answered, ahead = [], [], []

    def rows():
        for n in range(60):
            read.append(n)
            yield {"text": f"row-{n}"}

    def reply(seen):
        ahead.append(len(read) - len(answered))
        answered.append(seen)
        return echo(seen)

    result = run(model_on(serve(reply)), rows(), prompt="{text}", max_concurrency=4, **quiet)

    assert result.done == result.total == 60
    assert max(ahead) <= 4


def test_a_schema_makes_objects(serve, model_on, tmp_path):
    """Instances by `parsed()`; an answer that does not fit keeps its cost and its message."""

    class Label(BaseModel):
        label: str
        score: float

    def reply(seen):
        return whole('{"label": "good", "score": 1}' if "row-2" not in text_of(seen) else '{"la')

    server = serve(lambda seen: Reply(reply(seen)))
    path = tmp_path / "o.parquet"
    result = run(model_on(server), ROWS[:4], prompt="Label: {text}", schema=Label, output=path, **quiet)  # fmt: skip
    rows = list(result)
    objects = list(result.parsed())

    assert rows[0].output == {"label": "good", "score": 1.0}
    assert objects[0] == Label(label="good", score=1.0)
    assert objects[2] is None
    assert (rows[2].error_type, rows[2].cost) == ("OutputParserException", 0.0025)
    assert rows[2].raw["content"] == '{"la'
    assert result.failed == 1
    frame = result.to_pandas()
    assert list(frame["label"])[:2] == ["good", "good"]
    assert list(frame.columns[:4]) == ["key", "index", "label", "score"]

    import pyarrow.parquet as pq

    table = pq.read_table(path)
    assert str(table.schema.field("output").type) == "struct<label: string, score: double>"
    assert table["output"].to_pylist()[2] is None


def test_every_kind_of_prompt(model, server):
    """A text, messages, a template, a callable; or rows that are inputs."""
    row = [{"a": "x", "b": 2}]
    system = [("system", "Be {b}"), ("user", "{a}!")]

    def output(prompt, rows=row):
        return next(iter(run(model, rows, prompt=prompt, **quiet))).output

    assert output("{a}-{b:03d} {{}}") == "x-002 {}"
    assert output(system) == "x!"
    assert server.seen[-1].body["messages"][0] == {"role": "system", "content": "Be 2"}
    assert output(ChatPromptTemplate.from_messages(system)) == "x!"
    assert output(lambda row: f"<{row['a']}>") == "<x>"
    assert output(None, ["plain"]) == "plain"
    assert output(None, [{"prompt": "of a column"}]) == "of a column"
    assert output(None, [{"messages": [{"role": "user", "content": "hi"}]}]) == "hi"
    in_csv = '[{"role": "system", "content": "Be brief"}, {"role": "user", "content": "hi"}]'
    assert output(None, [{"messages": in_csv}]) == "hi"
    assert server.seen[-1].body["messages"][0] == {"role": "system", "content": "Be brief"}
    for text in ("[not JSON", "[1, 2]", "[]", '["role"]'):  # texts, as `prompt` has them
        assert output(None, [{"messages": text}]) == text
    assert output("{a}", [{"a": "{braces} stay"}]) == "{braces} stay"


@pytest.mark.parametrize(
    ("prompt", "rows", "error"),
    [
        ("{txt}", [{"text": "x", "id": 1}], "row 0: the prompt needs `txt`; the row has `text`, `id`"),
        ("{0}", [{}], "name a column"),
        ("{a.b}", [{}], "name a column"),
        ("{", [{}], "no template"),
        (None, [{"question": "x"}], "rows need `messages` or `prompt`"),
        ('{"a": 1} {text}', [{"text": "x"}], "write {{ and }} for braces"),
    ],
)  # fmt: skip
def test_a_wrong_prompt_is_named(model, server, prompt, rows, error):
    """Before anything is sent."""
    with pytest.raises(ValueError, match=error):
        run(model, rows, prompt=prompt, **quiet)
    assert not server.seen


def test_an_async_prompt_is_refused(model, server):
    """By `run` and `arun` alike; not once for each row."""

    async def prompt(row):
        return row["text"]

    with pytest.raises(TypeError, match="not async"):
        run(model, ROWS, prompt=prompt, **quiet)
    assert not server.seen


def test_a_chain_is_called_with_the_row(model):
    """Any Runnable that ends in a model; what it cost is counted."""
    chain = ChatPromptTemplate.from_template("{text}") | model | StrOutputParser()
    result = run(chain, ROWS[:5], **quiet)

    assert [row.output for row in result] == [f"row-{n}" for n in range(5)]
    assert result.spent == pytest.approx(0.005)
    assert {row.provider for row in result} == {"OpenAI"}


def test_an_agent_is_called_with_messages(emulate, model_on):
    """Its calls are summed; its last message is the output."""
    from langchain.agents import create_agent

    def weather(city: str) -> str:
        """Get the weather of a city."""
        return f"sun in {city}"

    emulator = emulate()
    agent = create_agent(model_on(None, base_url=emulator.url), [weather])
    result = run(agent, ["What is the weather in Rome?"] * 2, prompt=lambda row: {"messages": [("user", row)]}, **quiet)  # fmt: skip
    rows = list(result)

    assert len(emulator.chat_requests) == 4
    assert isinstance(rows[0].output, str)
    assert result.spent == pytest.approx(sum(row.cost for row in rows))
    again = run(agent, [{"city": "Rome"}], prompt="What is the weather in {city}?", **quiet)
    assert again.done == 1


def test_embeddings_share_requests(emulate):
    """A vector for each row; cost and tokens are divided among them."""
    from langchain_openrouter import OpenRouterEmbeddings

    emulator = emulate()
    embeddings = OpenRouterEmbeddings(
        model="openai/text-embedding-3-small", api_key=KEY, base_url=emulator.url, chunk_size=10
    )
    result = run(embeddings, ROWS, **quiet)

    assert result.done == 30
    assert len(emulator.requests) == 3
    assert [row.output for row in result] == embeddings.embed_documents([r["text"] for r in ROWS])
    assert result.spent > 0


def test_rerank_ranks(emulate):
    """Each row brings a query and documents."""
    from langchain_openrouter import OpenRouterRerank

    emulator = emulate()
    rerank = OpenRouterRerank(model="cohere/rerank-v3.5", api_key=KEY, base_url=emulator.url)
    rows = [{"query": "sky", "documents": ["the sky", "the sea"]}, {"query": "sky"}]
    good, bad = run(rerank, rows, **quiet)

    assert {item["index"] for item in good.output} == {0, 1}
    assert good.cost > 0
    assert (bad.error_type, bad.error) == ("ValueError", "a row for rerank has `query`, a text, and `documents`, a list")  # fmt: skip


# --- errors -----------------------------------------------------------------------------------


def test_a_row_that_fails_has_a_typed_error(serve, model_on, tmp_path):
    """The others go on; what may pass is sent again by the next call, the rest if it says so."""
    broken = {"row-3": refuse(502), "row-5": refuse(400), "row-7": refuse(403, metadata={"reasons": ["x"], "flagged_input": "y"})}  # fmt: skip
    server = serve(lambda seen: broken.get(text_of(seen)) or echo(seen))
    model, path = model_on(server), tmp_path / "o.jsonl"
    first = run(model, ROWS, prompt="{text}", output=path, **quiet)
    by_index = {row.index: row for row in first.errors()}

    assert (first.done, first.failed) == (27, 3)
    assert [by_index[n].error_type for n in (3, 5, 7)] == ["UpstreamError", "InvalidRequestError", "ModerationError"]  # fmt: skip
    assert [by_index[n].is_retryable for n in (3, 5, 7)] == [True, False, False]
    assert first.stats.errors == {
        "UpstreamError": 1,
        "InvalidRequestError": 1,
        "ModerationError": 1,
    }

    broken.clear()
    assert run(model, ROWS, prompt="{text}", output=path, retry_failed=False, **quiet).failed == 3
    assert len(server.seen) == 30
    assert run(model, ROWS, prompt="{text}", output=path, **quiet).failed == 2
    assert len(server.seen) == 31
    last = run(model, ROWS, prompt="{text}", output=path, retry_failed="all", **quiet)
    assert (last.done, last.failed, len(server.seen)) == (30, 0, 33)
    assert [row["index"] for row in lines_of(path)] == list(range(30))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refuse(401), errors.AuthenticationError),
        (refuse(402, metadata={"limit_source": "openrouter_credits"}), errors.InsufficientCreditsError),
    ],
)  # fmt: skip
def test_without_key_or_money_the_batch_ends(serve, model_on, tmp_path, reply, error):
    """Instead of failing each row; what was done stays, and the error says where."""
    server = serve(lambda seen: reply if int(text_of(seen)[4:]) >= 20 else echo(seen))
    path = tmp_path / "o.jsonl"

    with pytest.raises(error) as caught:
        run(model_on(server), ROWS * 10, prompt="{text}", output=path, max_concurrency=2, **quiet)
    assert "o.jsonl.part" in caught.value.__notes__[0]
    assert len(server.seen) <= 23
    assert len(lines_of(path)) >= 20


def test_a_batch_whose_rows_all_fail_alike_ends(serve, model_on):
    """After fifty in a row, such as of a model that does not exist."""
    server = serve(lambda _: refuse(404))

    with pytest.raises(errors.BatchError, match="50 rows in a row failed, the last with ModelUna"):
        run(model_on(server), ROWS * 10, prompt="{text}", **quiet)
    assert len(server.seen) < 300


def test_a_broken_iterator_ends_the_batch_after_the_rows_in_flight(serve, model_on, tmp_path):
    """The error is the iterator's own."""

    def rows():
        yield from ROWS[:10]
        msg = "the database has gone"
        raise OSError(msg)

    server = serve(echo)
    with pytest.raises(OSError, match="the database has gone"):
        run(model_on(server), rows(), prompt="{text}", output=tmp_path / "o.jsonl", **quiet)
    assert len(lines_of(tmp_path / "o.jsonl")) == 10


# --- going on ---------------------------------------------------------------------------------


def test_the_same_call_again_sends_nothing(model, server, tmp_path):
    """Nor with more rows more than those; the output is written anew."""
    path = tmp_path / "o.parquet"
    first = run(model, ROWS, prompt="{text}", output=path, **quiet)
    path.unlink()
    second = run(model, ROWS, prompt="{text}", output=path, **quiet)

    assert (first.cost, second.cost) == (pytest.approx(0.03), 0)
    assert second.spent == pytest.approx(0.03)
    assert second.done == 30
    assert path.exists()
    assert len(server.seen) == 30
    more = run(model, [*ROWS, {"text": "new"}], prompt="{text}", output=path, **quiet)
    assert len(server.seen) == 31
    assert [row.output for row in more][-1] == "new"


def test_rows_with_a_key_may_move(model, server, tmp_path):
    """They are known by it, and come out in the order of the last input."""
    rows = [{"id": f"r{n}", **row} for n, row in enumerate(ROWS)]
    path = tmp_path / "o.jsonl"
    run(model, rows, prompt="{text}", output=path, key="id", **quiet)
    moved = [{"id": "new", "text": "new"}, *reversed(rows)]
    result = run(model, moved, prompt="{text}", output=path, key="id", **quiet)

    assert len(server.seen) == 31
    assert [row.key for row in result] == [row["id"] for row in moved]
    assert [row["index"] for row in lines_of(path)] == list(range(31))


@pytest.mark.parametrize(
    ("fields", "options", "what"),
    [
        ({"temperature": 0.5}, {}, r"the model's `temperature` was None and is 0.5"),
        ({"model": "a/b"}, {}, r"`model` was 'openai/gpt-4o-mini' and is 'a/b'"),
        ({}, {"prompt": "Say {text}"}, "`prompt` has changed"),
        ({}, {"schema": {"title": "T", "description": "t", "type": "object", "properties": {}}}, "`schema` has changed"),
        ({}, {"key": "text"}, "`key` was None and is 'text'"),
        ({}, {"rows": [{"text": "other"}]}, "row 0 is not what it was"),
    ],
)  # fmt: skip
def test_another_batch_is_refused_by_name(server, model_on, tmp_path, fields, options, what):
    """Nothing is sent, nothing is changed; `resume=False` begins anew."""
    path = tmp_path / "o.jsonl"
    run(model_on(server), ROWS, prompt="{text}", output=path, **quiet)
    options = {"prompt": "{text}", "rows": ROWS, "output": path, **quiet, **options}
    before = path.read_bytes()
    rows = options.pop("rows")

    with pytest.raises(errors.BatchChangedError, match=what):
        run(model_on(server, **fields), rows, **options)
    assert len(server.seen) == 30
    assert path.read_bytes() == before
    assert run(model_on(server), ROWS, prompt="{text}", output=path, resume=False, **quiet).cost > 0


def test_a_key_and_an_address_are_no_change(server, serve, model_on, tmp_path):
    """Another account may go on; neither is in the files."""
    path = tmp_path / "o.jsonl"
    run(model_on(server), ROWS[:5], prompt="{text}", output=path, **quiet)
    other = model_on(serve(echo), api_key="sk-or-v1-another-key", default_headers={"X-My": "secret-header"}, timeout=9)  # fmt: skip
    assert run(other, ROWS[:6], prompt="{text}", output=path, **quiet).done == 6
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())

    assert b"sk-or" not in files
    assert b"secret-header" not in files


def test_a_callable_prompt_that_changed_is_refused(model, tmp_path):
    """By the first row for which it returns something else."""
    path = tmp_path / "o.jsonl"
    run(model, ROWS, prompt=lambda row: row["text"], output=path, **quiet)

    with pytest.raises(
        errors.BatchChangedError, match=r"row 0 is not what it was.*callable prompt"
    ):
        run(model, ROWS, prompt=lambda row: row["text"] + "!", output=path, **quiet)


def test_what_ended_before_its_first_result_is_no_other_batch(model, tmp_path):
    """A misspelled column, set right: there is nothing to mix, and nothing to choose."""
    path = tmp_path / "o.jsonl"
    with pytest.raises(ValueError, match="needs `txt`") as caught:
        run(model, ROWS, prompt="{txt}", output=path, **quiet)

    assert not getattr(caught.value, "__notes__", [])
    assert run(model, ROWS, prompt="{text}", output=path, **quiet).done == 30
    with pytest.raises(errors.BatchChangedError):
        run(model, ROWS, prompt="{txt}", output=path, **quiet)


def test_two_rows_with_one_key_are_an_error(model):
    """That names the key and both rows."""
    rows = [{"id": "a", "text": "x"}, {"id": "b", "text": "y"}, {"id": "a", "text": "z"}]

    with pytest.raises(errors.BatchError, match="the key 'a' is that of two rows, 0 and 2"):
        run(model, rows, prompt="{text}", key="id", **quiet)
    with pytest.raises(ValueError, match="row 1 has no key in the column `id`"):
        run(model, [rows[0], {"text": "x"}], prompt="{text}", key="id", **quiet)


def test_a_foreign_output_is_not_replaced(model, server, tmp_path):
    """Nor is a part that is none."""
    path = tmp_path / "o.jsonl"
    path.write_text("{}\n")
    with pytest.raises(errors.BatchError, match="choose another output"):
        run(model, ROWS, prompt="{text}", output=path, **quiet)
    (tmp_path / "p.jsonl.part").write_text("something else\n")
    with pytest.raises(errors.BatchError, match="move it away"):
        run(model, ROWS, prompt="{text}", output=tmp_path / "p.jsonl", **quiet)

    assert path.read_text() == "{}\n"
    assert not server.seen


# --- the budget -------------------------------------------------------------------------------


def test_max_cost_stops_and_the_rest_is_bought_later(model, server, tmp_path):
    """It is not exceeded by rows that cost as much as the others; earlier runs count."""
    path = tmp_path / "o.jsonl"
    first = run(model, ROWS, prompt="{text}", output=path, max_cost=0.0105, **quiet)

    assert (first.stopped, first.done) == ("max_cost", 10)
    assert first.spent == pytest.approx(0.010)
    assert not first.is_complete
    same = run(model, ROWS, prompt="{text}", output=path, max_cost=0.010, **quiet)
    assert (same.stopped, same.cost, len(server.seen)) == ("max_cost", 0, 10)
    rest = run(model, ROWS, prompt="{text}", output=path, max_cost=1, **quiet)
    assert (rest.stopped, rest.done, rest.spent) == (None, 30, pytest.approx(0.03))
    assert len(server.seen) == 30
    assert [row["output"] for row in lines_of(path)] == [row["text"] for row in ROWS]


def test_a_cost_limit_around_a_batch_ends_it(model, tmp_path):
    """The ceiling's own error is raised; what was paid for is there."""
    path = tmp_path / "o.jsonl"
    with CostLimit(0.0045), pytest.raises(errors.CostLimitError):
        run(model, ROWS, prompt="{text}", output=path, **quiet)

    assert 4 <= len(lines_of(path)) <= 5


# --- where it runs ----------------------------------------------------------------------------


async def test_it_runs_inside_a_running_loop(model):
    """`run` as in a notebook, `arun` in the loop itself."""
    inside = run(model, ROWS, prompt="{text}", **quiet)
    awaited = await arun(model, ROWS, prompt="{text}", **quiet)

    assert inside.done == awaited.done == 30


async def test_a_canceled_batch_keeps_what_is_done(serve, model_on, tmp_path):
    """The rows in flight are canceled, and run by the next call."""
    hold = threading.Event()

    def reply(seen):
        if text_of(seen) == "row-9":
            hold.wait(10)
        return echo(seen)

    server = serve(reply)
    path = tmp_path / "o.jsonl"
    task = asyncio.ensure_future(arun(model_on(server), ROWS[:10], prompt="{text}", output=path, **quiet))  # fmt: skip
    await asyncio.to_thread(wait_for, server, 10)
    await asyncio.sleep(0.1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    hold.set()
    result = await arun(model_on(server), ROWS[:10], prompt="{text}", output=path, **quiet)

    assert result.done == 10
    assert len(server.seen) == 11


def test_as_user_applies_to_rows(server, model_on):
    """Each run inside is on that user's key; callbacks see the rows too."""
    model = model_on(server, api_key=current_user)
    with as_user("sk-or-v1-of-ann"), get_openrouter_callback() as usage:
        run(model, ROWS[:3], prompt="{text}", **quiet)
    with pytest.raises(errors.AuthenticationError):
        run(model, ROWS[:3], prompt="{text}", **quiet)

    assert {seen.key for seen in server.seen} == {"sk-or-v1-of-ann"}
    assert usage.total.requests == 3


def test_a_library_that_traces_by_patching_sees_the_rows(model, monkeypatch):
    """A row is then a run of LangChain's."""
    told = []
    original = BaseChatModel.ainvoke

    async def traced(self, *args, **kwargs):
        told.append(1)
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(BaseChatModel, "ainvoke", traced)
    assert run(model, ROWS[:3], prompt="{text}", **quiet).done == 3
    assert told == [1, 1, 1]


async def test_a_plan_pickles(model):
    """So that other processes can run rows; what it has built is built anew there."""
    from langchain_openrouter.batch._plan import build_plan
    from langchain_openrouter.batch._requests import PendingRow

    plan = build_plan(model, "{text}!", None)
    row = PendingRow("a", 0, plan.prompt.build({"text": "x"}), "hash")
    (here,) = await plan.answer([row])
    (there,) = await pickle.loads(pickle.dumps(plan)).answer([pickle.loads(pickle.dumps(row))])

    assert here.output == there.output == "x!"
    assert pickle.loads(pickle.dumps(there)) == there


def test_progress_is_told(model):
    """Counts, rates, USD so far and to come; the last report says that it is."""
    reports = []
    run(model, ROWS, prompt="{text}", progress=reports.append)
    first, last = reports[0], reports[-1]

    assert (first.done, first.total, first.is_last) == (0, 30, False)
    assert (last.done, last.failed, last.in_flight, last.is_last) == (30, 0, 0, True)
    assert last.spent == pytest.approx(0.03)
    assert last.rows_per_second > 0
    assert last.to_come == 0


def test_the_bar_says_it_in_words():
    """Rows, failures, rate, money, time."""
    from langchain_openrouter.batch import Progress
    from langchain_openrouter.batch._bar import to_text

    progress = Progress(done=900, failed=3, total=2000, in_flight=8, rows_per_second=12.345, spent=1.5, to_come=1.8, seconds_left=3700)  # fmt: skip
    assert to_text(progress) == "903/2,000 rows · 3 failed · 12.3 rows/s · $1.5000 + $1.8000 to come · 1:01 h left"  # fmt: skip


@pytest.mark.parametrize(("width", "lines"), [(80, 2), (120, 1)])
def test_the_bar_breaks_no_phrase(monkeypatch, width, lines):
    """Where its text does not fit beside the bar, it is below: from then on, so that it stays put."""
    from rich.console import Console

    from langchain_openrouter._progress_bar import BarState, TerminalBar

    monkeypatch.setenv("COLUMNS", str(width))
    text = "903/2,000 rows · 12.3 rows/s · $1.5000 + $1.8000 to come · 1:01 h left"
    with TerminalBar() as bar:
        for state in (BarState(text, 903, 2000), BarState("2,000/2,000 rows", 2000, 2000)):
            bar.show(state)
            assert len(Console(width=width).render_lines(bar._live.renderable, pad=False)) == lines


def test_the_summary_of_a_notebook(serve, model_on):
    """Counts, providers, errors, and a picture; everything is escaped."""
    server = serve(lambda seen: Reply({**whole("x"), "provider": "<b>Acme"}) if text_of(seen) != "row-1" else refuse(400))  # fmt: skip
    html = run(model_on(server), ROWS, prompt="{text}", **quiet)._repr_html_()

    assert "29 done of 30, 1 failed" in html
    assert "&lt;b&gt;Acme" in html
    assert "<b>Acme" not in html
    assert "InvalidRequestError" in html
    picture = base64.b64decode(html.partition("data:image/png;base64,")[2].partition('"')[0])
    opacity = imread(io.BytesIO(picture))[2, 2, 3]
    assert opacity == 0  # the page is its background, light or dark


# --- the garbage collector --------------------------------------------------------------------


def frozen_during(model, **options):
    """Return how many objects are frozen in a run, and after it."""
    during = []

    def prompt(row):
        during.append(gc.get_freeze_count())
        return row["text"]

    with contextlib.suppress(ZeroDivisionError):
        run(model, ROWS[:3], prompt=options.pop("prompt", prompt), **quiet, **options)
    return during[0] if during else 0, gc.get_freeze_count()


def test_earlier_objects_are_frozen_while_a_batch_runs(model, monkeypatch):
    """Not after it, however it ends; not by `arun`, nor where short cuts are off."""
    during, after = frozen_during(model)
    assert during > 100_000
    assert after == 0

    def fails(_):
        raise ZeroDivisionError

    assert frozen_during(model, prompt=fails) == (0, 0)
    frozen = []
    asyncio.run(arun(model, ROWS[:1], prompt=lambda _: frozen.append(gc.get_freeze_count()) or "x", **quiet))  # fmt: skip
    assert frozen == [0]
    monkeypatch.setattr(shortcuts, "enabled", False)
    assert frozen_during(model) == (0, 0)


def test_what_an_app_has_frozen_stays_frozen(model):
    """A batch leaves the collector as it is then."""
    gc.freeze()
    try:
        during, after = frozen_during(model)
        assert min(during, after) > 100_000  # not equal: some of them may have ended meanwhile
    finally:
        gc.unfreeze()


def test_garbage_of_a_batch_is_collected_while_it_runs(model):
    """Of its own rows: only what was there before is passed over."""
    alive = weakref.WeakSet()

    class Cycle:
        pass

    def prompt(row):
        cycle = Cycle()
        cycle.itself = cycle
        alive.add(cycle)
        del cycle
        gc.collect()
        return row["text"]

    seen = []
    run(model, ROWS[:5], prompt=lambda row: seen.append(len(alive)) or prompt(row), **quiet)
    assert seen == [0] * 5
