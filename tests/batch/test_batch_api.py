"""submit, wait, collect, cancel, delete: rows by the Batch API, on the emulator."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import pickle
import time
import uuid

import pytest
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from langchain_openrouter import OpenRouterEmbeddings, as_user, current_user, errors
from langchain_openrouter.batch import (
    BatchHandle,
    OpenRouterBatches,
    acancel,
    acollect,
    adelete,
    astatus,
    asubmit,
    await_batch,
    cancel,
    collect,
    delete,
    run,
    status,
    submit,
    wait,
)
from langchain_openrouter.batch._row_keys import pack_rows
from langchain_openrouter.callbacks import CostLimit
from langchain_openrouter.testing import Call, Reply, error
from tests.support.batches import DAY, KEY, make_rows, model_on, posts, text_of

pytestmark = pytest.mark.usefixtures("quick_polls")


class Label(BaseModel):
    """A label."""

    label: str


def fetched(handle, model, **options):
    """Wait for a submission, and return its results."""
    wait(handle, model, timeout=10)
    return list(collect(handle, model, **options))


def comparable(results):
    """Return results without what differs between two runs of the same row."""
    names = ("key", "index", "output", "error_type", "is_retryable", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "provider", "model", "finish_reason")  # fmt: skip
    return [{name: getattr(result, name) for name in names} for result in results]


# --- there and back ---------------------------------------------------------------------------


def test_rows_go_there_and_come_back_in_order_at_half_the_price(emulator):
    """Each result has its key, output, tokens, provider and a share of the batch's cost."""
    model = model_on(emulator)
    handle = submit(model, make_rows(7), prompt="{text}", key="id")
    results = fetched(handle, model)
    local = list(run(model, make_rows(7), prompt="{text}", key="id", progress=False))

    assert [r.key for r in results] == [f"row {n}" for n in range(7)]
    assert [r.output for r in results] == [f"text-{n}" for n in range(7)]
    assert comparable(results) == comparable(local)
    assert sum(r.cost for r in results) == pytest.approx(sum(r.cost for r in local) / 2)
    assert all(r.generation_id.startswith("gen-") for r in results)
    assert emulator.accounts.keys[KEY].usage == pytest.approx(
        sum(r.cost for r in [*results, *local])
    )


def test_the_body_has_the_requests_last_and_no_field_of_the_batch(emulator):
    """`endpoint` and `model` come first; a request's body has neither model nor provider."""
    model = model_on(emulator, temperature=0, openrouter_provider={"only": ["openai"]})
    submit(model, make_rows(2), prompt="{text}", callback_url="https://example.com/hook")
    body = posts(emulator)[0].body

    assert list(body) == ["endpoint", "model", "callback_url", "completion_window", "provider", "requests"]  # fmt: skip
    assert body["model"] == "openai/gpt-4o-mini"
    assert body["provider"] == {"only": ["openai"]}
    assert body["requests"][0]["body"] == {"messages": [{"role": "user", "content": "text-0"}], "temperature": 0}  # fmt: skip


@pytest.mark.parametrize("slug", ["openai/gpt-4o-mini", "openai/gpt-4o-mini:batch"])
def test_a_slug_may_name_the_batch_variant(emulator, slug):
    """The batch is for the model, with or without `:batch` on its slug."""
    handle = submit(model_on(emulator, model=slug), ["hello"])

    assert handle.model == posts(emulator)[0].body["model"] == "openai/gpt-4o-mini"


def test_an_alias_stands_for_its_target(emulator):
    """The list has batch variants of models, and none of aliases."""
    handle = submit(model_on(emulator, model="~anthropic/claude-haiku-latest"), ["hello"])

    assert handle.model == "anthropic/claude-haiku-5.5"


def test_shards_by_count_and_by_bytes(emulator, monkeypatch):
    """Results come in the order of the rows, whatever shard they were in."""
    from langchain_openrouter.batch import _submit
    from langchain_openrouter.batch._spool import Spool

    monkeypatch.setattr(_submit, "Spool", lambda: Spool(3, 4_096 + 330))
    rows = [{"text": "x" * (100 if n < 4 else 1) + f"-{n}"} for n in range(11)]
    model = model_on(emulator)
    handle = submit(model, rows, prompt="{text}")
    results = fetched(handle, model)

    assert [shard.count for shard in handle.shards] == [1, 1, 1, 2, 3, 3]
    assert [r.output for r in results] == [row["text"] for row in rows]
    assert len(posts(emulator)) == len(set(handle.ids)) == 6
    assert all(len(r.raw) <= 4_096 + 330 for r in posts(emulator))


def test_structured_output_and_chains(emulator):
    """A schema, a prompt template and a parser are one request a row."""
    emulator.script(lambda r: Reply(json.dumps({"label": text_of(r)[-1]})))
    model = model_on(emulator)
    by_schema = submit(model, make_rows(3), prompt="{text}", schema=Label)
    chain = ChatPromptTemplate.from_messages([("user", "{text}")]) | model.with_structured_output(Label)  # fmt: skip
    by_chain = submit(chain, make_rows(3), prompt=lambda row: {"text": row["text"]})
    expected = [{"label": str(n)} for n in range(3)]

    assert [r.output for r in fetched(by_schema, model, schema=Label)] == expected
    assert [r.output for r in fetched(by_chain, chain)] == expected
    local = list(run(model, make_rows(3), prompt="{text}", schema=Label, progress=False))
    again = list(collect(by_schema, model, schema=Label))
    assert comparable(again) == comparable(local)


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_each_method_of_structured_output(emulator, method):
    """Forced tools and JSON schemas."""
    emulator.script(lambda r: Reply(tool_calls=[Call("Label", {"label": "a"})]) if "tools" in r.body else '{"label": "a"}')  # fmt: skip
    chain = model_on(emulator).with_structured_output(Label, method=method)
    handle = submit(chain, ["one"])

    assert fetched(handle, chain)[0].output == {"label": "a"}


@pytest.mark.filterwarnings("ignore:.*refuses a forced tool")
def test_a_refused_tool_choice_is_the_error_of_its_row(emulator):
    """A batch sends nothing a second time, as a direct call would with the choice relaxed."""
    chain = model_on(emulator, model="anthropic/claude-sonnet-5.5").bind_tools([Label], tool_choice="any")  # fmt: skip
    emulator.script(lambda _: Reply("no tool here"))
    (row,) = fetched(submit(chain, ["one"]), chain)
    sent = posts(emulator)[0].body["requests"][0]["body"]

    assert sent["tool_choice"] == "auto"
    assert row.output == "no tool here"
    forced = model_on(emulator, model="anthropic/claude-sonnet-5.5").with_structured_output(Label, method="function_calling")  # fmt: skip
    (row,) = fetched(submit(forced, ["one"]), forced)
    assert row.error_type == "InvalidRequestError"
    assert len(posts(emulator)) == 2


def test_a_tool_that_is_offered_is_offered_once(emulator):
    """A model that takes neither schemas nor forcing, and does not call the tool: a row's error."""
    from langchain_openrouter import _model_refusals

    emulator.script(lambda _: Reply("no tool here"))
    model = model_on(emulator, model="anthropic/claude-sonnet-5.5")
    refusal = errors.InvalidRequestError("response_format is not supported")
    _model_refusals.learn_from_error(refusal, "json_schema", {"model": model.model_name}, base_url=emulator.url, prompt="")  # fmt: skip
    handle = submit(model, ["one"], schema=Label)
    (row,) = fetched(handle, model, schema=Label)

    assert handle.method == "offered_tool"
    assert row.error_type == "OutputParserException"
    assert row.input_tokens > 0
    assert len(posts(emulator)) == 1


def test_the_method_of_the_submission_is_that_of_the_collection(emulator):
    """What the model was found to refuse since then changes nothing."""
    from langchain_openrouter import _model_refusals

    emulator.script(lambda _: Reply('{"label": "a"}'))
    model = model_on(emulator)
    handle = submit(model, ["one"], schema=Label)
    refusal = errors.InvalidRequestError("response_format is not supported")
    _model_refusals.learn_from_error(refusal, "json_schema", {"model": model.model_name}, base_url=emulator.url, prompt="")  # fmt: skip

    assert handle.method == "json_schema"
    assert fetched(handle, model, schema=Label)[0].output == {"label": "a"}


def test_embeddings(emulator):
    """Vectors, with their share of the cost."""
    emulator.script(None)
    model = OpenRouterEmbeddings(model="openai/text-embedding-3-small", api_key=KEY, base_url=emulator.url)  # fmt: skip
    handle = submit(model, ["one", "two"])
    results = fetched(handle, model)

    assert handle.endpoint == "/v1/embeddings"
    assert [len(r.output) for r in results] == [64, 64]
    assert [r.output for r in results] == [r.output for r in run(model, ["one", "two"], progress=False)]  # fmt: skip
    assert all(r.cost > 0 for r in results)


def test_costs_as_sent_are_not_divided(emulator):
    """A service that sends the cost of each row is believed."""
    emulator.batch_row_costs = True
    emulator.script(lambda r: Reply(text_of(r), usage={"cost": 0.25}))
    model = model_on(emulator)
    results = fetched(submit(model, make_rows(3), prompt="{text}"), model)

    assert [r.cost for r in results] == [0.25] * 3


async def test_async_forms(emulator, tmp_path):
    """The same, in an event loop."""
    model = model_on(emulator, api_key=_async_key)
    path = tmp_path / "job.json"
    handle = await asubmit(model, make_rows(3), prompt="{text}", handle_path=path)
    seen = []
    ended = await await_batch(path, model, timeout=10, on_status=seen.append)
    results = [result async for result in acollect(path, model)]

    assert BatchHandle.load(path) == handle
    assert (ended.has_ended, seen[-1]) == (True, ended)
    assert [r.output for r in results] == ["text-0", "text-1", "text-2"]
    assert (await acancel(path, model)).has_ended
    await adelete(path, model)
    assert emulator.batches.ids == []
    await asyncio.sleep(0)
    assert (await astatus(path, model)).total == 3


async def _async_key():
    return KEY


# --- handles ----------------------------------------------------------------------------------


def test_a_handle_is_small_json_without_key_and_prompt(emulator):
    """It goes through JSON, a dict, a file and pickle, and names every batch."""
    model = model_on(emulator)
    handle = submit(model, [{"text": "a secret of mine", "id": "x"}], prompt="Say: {text}")
    text = handle.to_json()

    assert BatchHandle.from_json(text) == BatchHandle.from_dict(handle.to_dict()) == handle
    assert pickle.loads(pickle.dumps(handle)) == handle
    assert KEY not in text
    assert "secret" not in text
    assert "Say" not in text
    assert len(text) < 1000
    assert handle.ids == emulator.batches.ids


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"langchain_openrouter_batch_handle": 2}', "\0"])
def test_what_is_no_handle_is_named(text):
    """A damaged file is an error, not a guess."""
    with pytest.raises(errors.BatchError, match="no handle"):
        BatchHandle.from_json(text)


def test_a_handle_does_not_take_a_key_elsewhere(emulator, emulate):
    """A handle is a file that others may write: its address gets no key of another one."""
    handle = submit(model_on(emulator), ["one"])
    elsewhere = emulate()

    with pytest.raises(ValueError, match="the batches are at"):
        wait(handle, model_on(elsewhere))
    with pytest.raises(ValueError, match="the batches are at"):
        list(collect(handle))  # of the environment
    assert elsewhere.requests == []


def test_keys_of_any_kind_come_back(emulator):
    """Numbers, spaces, unicode, UUIDs and what is longer than an id may be: exactly."""
    keys = [
        "a",
        "b c/..",
        "ключ",
        12,
        "k" * 400,
        "-_-",
        "",
        10**40 - 1,
        str(uuid.uuid4()),
        "\ud800",
    ]
    model = model_on(emulator)
    rows = [{"k": key, "text": "x"} for key in keys]
    results = fetched(submit(model, rows, prompt="{text}", key="k"), model)
    ids = [row["custom_id"] for row in posts(emulator)[0].body["requests"]]

    assert [r.key for r in results] == keys
    assert all(len(i) <= 64 and i.replace("-", "").replace("_", "").isalnum() and i.isascii() for i in ids)  # fmt: skip
    assert len(set(ids)) == len(ids)


def test_a_schema_has_to_be_that_of_the_submission(emulator):
    """Another, or none, is refused by name."""
    model = model_on(emulator)
    handle = submit(model, ["one"], schema=Label)
    wait(handle, model)

    with pytest.raises(errors.BatchChangedError, match="`schema`"):
        list(collect(handle, model))


def test_as_user(emulator):
    """Inside a user's run the batch is that user's."""
    model = model_on(emulator, api_key=current_user)
    with as_user("sk-or-v1-anns-key"):
        handle = submit(model, ["one"])
        results = fetched(handle, model)
    mine = submit(model.for_user("sk-or-v1-bens-key"), ["two"])

    assert results[0].output == "one"
    assert [r.key for r in posts(emulator)] == ["sk-or-v1-anns-key", "sk-or-v1-bens-key"]
    assert mine.key_fingerprint != handle.key_fingerprint
    assert KEY not in {r.key for r in emulator.requests}


@pytest.mark.parametrize("others", ["sk-or-v1-bens-key", "sk-or-v1-unknown"])
def test_another_users_key_collects_nothing(emulator, others):
    """A batch is its account's: with another's key there is an error, and none of its answers."""
    emulator.accounts.add_key("sk-or-v1-anns-key", workspace_id="anns")
    emulator.accounts.add_key("sk-or-v1-bens-key", workspace_id="bens")
    anns = model_on(emulator, api_key="sk-or-v1-anns-key")
    handle = submit(anns, ["one", "two"])
    wait(handle, anns)
    before = len(emulator.requests)

    for read in (lambda m: list(collect(handle, m)), lambda m: wait(handle, m)):
        with pytest.raises(errors.OpenRouterError) as caught:
            read(anns.for_user(others))
        assert isinstance(caught.value, errors.BatchChangedError | errors.AuthenticationError)
        assert "anns-key" not in str(caught.value)
    assert {r.key for r in emulator.requests[before:]} <= {others}
    assert [result.output for result in collect(handle, anns)] == ["one", "two"]


def test_batches_one_by_one(emulator):
    """The resource: create, get, list, delete."""
    batches = OpenRouterBatches(api_key=KEY, base_url=emulator.url)
    handle = submit(model_on(emulator), ["one"])
    page = batches.list_batches(status=["completed", "failed"], limit=5)

    assert [b.id for b in page] == handle.ids
    assert batches.get(handle.ids[0]).cost > 0
    with pytest.raises(errors.ModelUnavailableError):
        batches.get("batch_of/another?x=1#y")
    assert emulator.requests[-1].path.endswith("another%3Fx=1%23y")
    with pytest.raises(ValueError, match="no id"):
        batches.delete("..")
    batches.delete(handle.ids[0])
    assert emulator.batches.ids == []


# --- what does not go well --------------------------------------------------------------------


def test_a_row_that_fails_is_a_row_with_an_error(emulator):
    """By a response that is an error, or by an error of its own; the others are there."""
    replies = {
        "text-1": error("rate_limit"),
        "text-2": Reply(error={"code": 400, "message": "maximum context length"}, form="body"),
        "text-3": Reply(error={"message": "boom", "type": "server_error"}),
        "text-4": Reply(refusal="no", text=""),
    }
    emulator.script(lambda r: replies.get(text_of(r), text_of(r)))
    model = model_on(emulator)
    results = fetched(submit(model, make_rows(6), prompt="{text}"), model)

    assert [r.output for r in results if not r.is_error] == ["text-0", "", "text-5"]
    assert [r.error_type for r in results if r.is_error] == ["RateLimitError", "ContextOverflowError", "UpstreamError"]  # fmt: skip
    assert [r.is_retryable for r in results if r.is_error] == [True, False, True]


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_a_batch_that_ends_early(emulator, end, partial):
    """What was done is there if the service keeps it; all else can be run again."""
    times = emulator.batches.times
    times.running = 2 * DAY
    emulator.batches.keeps_partial_results = partial
    model = model_on(emulator)
    handle = submit(model, make_rows(4), prompt="{text}")
    if end == "cancelled":
        emulator.clock.advance(DAY / 2 + 1)
        emulator.batches.cancel(handle.ids[0])
    emulator.clock.advance(DAY + 1)
    results = fetched(handle, model)

    count = 0 if not partial else (2 if end == "expired" else 1)
    assert [r.output for r in results[:count]] == [f"text-{n}" for n in range(count)]
    assert {(r.error_type, r.is_retryable) for r in results[count:]} == {("BatchRowError", True)}
    assert end.replace("cancelled", "canceled") in results[-1].error


def test_a_batch_that_fails_its_validation(emulator):
    """Every row says why; sending it again as it is would not help."""
    model = model_on(emulator, model_kwargs={"top_k": "many"})
    results = fetched(submit(model, make_rows(3), prompt="{text}"), model)

    assert {(r.error_type, r.is_retryable) for r in results} == {("BatchRowError", False)}
    assert "top_k" in results[0].error


def test_results_that_were_deleted(emulator, monkeypatch):
    """After 30 days, or after `delete`: the rows can be run again."""
    from langchain_openrouter.batch import _waiting

    model = model_on(emulator)
    handle = submit(model, make_rows(2), prompt="{text}")
    wait(handle, model)
    delete(handle, model)
    monkeypatch.setattr(_waiting, "VISIBLE_AFTER", 0)

    assert status(handle, model).has_ended
    assert {r.error_type for r in collect(handle, model)} == {"BatchRowError"}


def test_wait_has_a_timeout_and_batches_run_on(emulator):
    """A batch that runs cannot be collected, deleted or canceled; it says so by name."""
    emulator.batches.times.running = 3600
    model = model_on(emulator)
    handle = submit(model, make_rows(2), prompt="{text}")
    start = time.monotonic()
    with pytest.raises(errors.BatchTimeoutError, match="run on"):
        wait(handle, model, timeout=0.2)
    assert time.monotonic() - start < 30
    with pytest.raises(errors.BatchError, match="`wait` for it"):
        list(collect(handle, model))
    with pytest.raises(errors.BatchError, match="cannot be deleted"):
        delete(handle, model)
    with pytest.raises(errors.BatchError, match=r"no request that cancels.* 2 rows, run on"):
        cancel(handle, model)

    assert not [r for r in emulator.requests if r.method == "DELETE"]
    emulator.clock.advance(3601)
    assert [r.output for r in fetched(handle, model)] == ["text-0", "text-1"]


def test_wait_does_not_mind_a_batch_that_is_not_listed_yet(emulator):
    """An accepted batch may be unknown for some seconds."""
    emulator.batches.times.invisible = 5
    model = model_on(emulator)
    handle = submit(model, ["one"])
    first = status(handle, model)
    emulator.clock.advance(10)

    assert list(first.statuses.values()) == ["validating"]
    assert fetched(handle, model)[0].output == "one"


def test_wait_sits_out_an_outage(serve):
    """Errors that pass do not end a wait of a day; others do."""
    from tests.support.loopback import Reply as Raw

    counts = {"total": 1, "completed": 1, "failed": 0}
    done = {"id": "b", "status": "completed", "request_counts": counts}
    answers = [
        Raw({"error": {"code": 503, "message": "down"}}, 503),
        Raw("<html>bad gateway</html>", 502),
        Raw({"data": [done]}),
        Raw({"error": {"code": 401, "message": "no"}}, 401),
    ]
    server = serve(lambda _: answers.pop(0))
    handle = BatchHandle.from_dict(_handle_on(server.url))
    model = model_on(server)

    assert wait(handle, model).has_ended
    with pytest.raises(errors.AuthenticationError):
        wait(handle, model)


def _handle_on(base_url):
    shard = {"first": 0, "last": 0, "count": 1, "digest": "d", "sent_at": 1.0, "ids": ["b"]}
    return {
        "langchain_openrouter_batch_handle": 2, "run": "0" * 12, "base_url": base_url,
        "endpoint": "/v1/chat/completions", "model": "openai/gpt-4o-mini", "created_at": 1.0,
        "shards": [shard],
    }  # fmt: skip


# --- refused before anything is sent ----------------------------------------------------------


def test_what_costs_too_much_is_not_sent(emulator):
    """The estimate is an upper bound, by `max_tokens` and the batch variant's prices."""
    model = model_on(emulator, max_tokens=100)
    with pytest.raises(errors.BatchError, match="may cost up to"):
        submit(model, make_rows(100), prompt="{text}", max_cost=0.001)
    with pytest.raises(ValueError, match="max_tokens"):
        submit(model_on(emulator), make_rows(2), prompt="{text}", max_cost=1)
    assert posts(emulator) == []

    handle = submit(model, make_rows(100), prompt="{text}", max_cost=1)
    results = fetched(handle, model)
    assert 0 < sum(r.cost for r in results) <= handle.estimate < 0.01


def test_a_cost_ceiling_is_not_bypassed(emulator):
    """A ceiling can neither count nor stop a batch: it is refused inside one."""
    with CostLimit(1), pytest.raises(errors.BatchError, match="ceiling"):
        submit(model_on(emulator), ["one"])
    assert posts(emulator) == []


def test_money_and_keys(emulator):
    """A refusal of the service is the error of its kind, and leaves nothing behind."""
    emulator.accounts.add_key("sk-or-v1-poor-key", credits=0.0)
    with pytest.raises(errors.InsufficientCreditsError) as caught:
        submit(model_on(emulator, api_key="sk-or-v1-poor-key"), ["one"])
    assert not caught.value.handle.ids
    assert caught.value.handle.shards[0].sent_at is None
    assert "0 of 1 batches" in caught.value.__notes__[0]


@pytest.mark.parametrize("inline", [100_000, 0])
def test_a_row_without_an_answer_has_its_own_key(emulator, monkeypatch, tmp_path, inline):
    """Whether the keys are in the handle's file or beside it; also where the file is renamed."""
    from langchain_openrouter.batch import _handles
    from langchain_openrouter.batch._batch_values import RemoteBatch

    monkeypatch.setattr(_handles, "_MAX_INLINE", inline)
    model, path = model_on(emulator), tmp_path / "job.json"
    submit(model, [{"id": n, "t": "x"} for n in (1, 2, 3)], prompt="{t}", key="id", handle_path=path)  # fmt: skip
    wait(path, model)
    read = RemoteBatch.results.fget
    monkeypatch.setattr(RemoteBatch, "results", property(lambda b: [r for r in read(b) if "-1-" not in r["custom_id"]]))  # fmt: skip
    results = list(collect(path.rename(tmp_path / "moved.json"), model))

    assert [(r.key, r.error_type) for r in results] == [(1, None), (2, "BatchRowError"), (3, None)]
    beside = list(tmp_path.glob("*.rows"))
    assert len(beside) == (not inline)
    for file in beside:
        with pytest.raises(errors.BatchError, match="beside it"):
            BatchHandle.from_json((tmp_path / "moved.json").read_bytes())
        file.unlink()
        with pytest.raises(errors.BatchError, match=r"job\.json\..*\.rows"):
            BatchHandle.load(tmp_path / "moved.json")


@pytest.mark.parametrize(
    "rows", ["?", "AAAA", pack_rows([(0, "a")]), pack_rows([(0, 5), (2, True)])]
)
def test_damaged_keys_of_a_handle(emulator, rows):
    """An error, not other keys."""
    model = model_on(emulator)
    handle = submit(model, ["one", "two"])
    damaged = handle.with_shard(0, dataclasses.replace(handle.shards[0], rows=rows))
    with pytest.raises(errors.BatchError, match="damaged"):
        list(collect(damaged, model))
