"""A service that answers anything: junk, endless statuses, ids that are paths, huge results."""

from __future__ import annotations

import json
import warnings

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from langchain_openrouter import errors
from langchain_openrouter.batch import collect, run, submit, wait
from tests.support.batches import KEY, SLUG, hurry, model_on
from tests.support.loopback import CUT, Reply

SECRET = "the prompt that nobody may quote"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    hurry(monkeypatch)


def hostile(serve, batch, **more):
    """Serve a batch to whoever asks, and a list of it."""

    def reply(seen):
        path = seen.path.removeprefix("/api/v1")
        if path.startswith("/models"):
            prices = {"prompt": "0.000001", "completion": "0.000002"}
            return Reply({"data": [{"id": f"{SLUG}:batch", "pricing": prices}]})
        if path.startswith("/batches?"):
            listed = {**batch, "results": None} if isinstance(batch, dict) else batch
            return Reply({"data": [listed], **more})
        made = batch if seen.method == "GET" else {"id": "b", "status": "validating"}
        return made if isinstance(made, Reply) else Reply(json.dumps(made))

    return serve(reply)


JUNK = [
    None, 7, "x", [], [None, 1, "x", {}], {"a": 1},
    [{"custom_id": 5}, {"custom_id": "x" * 10_000}, {"custom_id": "../..", "response": {}}],
]  # fmt: skip


@pytest.mark.off_spec("batches are not in the specification of chat")
@pytest.mark.parametrize("junk", JUNK)
def test_results_that_are_junk(serve, junk):
    """Every row ends in a typed error; nothing else is raised."""
    batch = {"id": "b", "status": "completed", "results": junk, "usage": junk, "provider": junk, "error": junk, "request_counts": junk, "created_at": "x"}  # fmt: skip
    server = hostile(serve, batch)
    model = model_on(server)
    handle = submit(model, ["one", "two"])
    wait(handle, model, timeout=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = list(collect(handle, model))

    assert [r.key for r in results] == [0, 1]
    assert {r.error_type for r in results} == {"BatchRowError"}


def results_for(server, make):
    """Submit two rows, and answer them with what `make` makes of their ids."""
    ids = [r["custom_id"] for r in json.loads(server.seen[-1].raw)["requests"]]
    return make(*ids)


@pytest.mark.off_spec("batches are not in the specification of chat")
@pytest.mark.parametrize(
    ("response", "error_type"),
    [
        ({}, "UpstreamError"),
        ({"status_code": "200", "body": 5}, "UpstreamError"),
        ({"status_code": 200, "body": {"choices": []}}, "UpstreamError"),
        ({"status_code": 200, "body": None}, "UpstreamError"),
        ({"status_code": 0, "body": {}}, "UpstreamError"),
        ({"status_code": 401, "body": {"error": {"message": "no", "code": 401}}}, "AuthenticationError"),
        ({"status_code": 402, "body": {"error": {"message": "no", "code": 402}}}, "InsufficientCreditsError"),
        ({"status_code": 200, "body": {"error": {"message": "\x1b[31m sk-or-v1-abcdefghijkl", "code": 429}}}, "RateLimitError"),
        ({"status_code": 10**30, "body": {"usage": {"cost": "1e999", "prompt_tokens": -5}}}, "UpstreamError"),
    ],
)  # fmt: skip
def test_responses_that_are_junk(serve, response, error_type):
    """A row of them is an error of its kind; the other row is there, whatever the order."""
    fine = {"choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}  # fmt: skip
    batch = {"id": "b", "status": "completed", "usage": {"cost": 0.5}, "provider": "P"}
    server = hostile(serve, batch)
    model = model_on(server)
    handle = submit(model, ["one", "two"])
    ids = [r["custom_id"] for r in json.loads(_sent(server))["requests"]]
    good = {"custom_id": ids[0], "response": {"status_code": 200, "body": fine}, "error": None}
    other = {**good, "custom_id": "0" * 12 + "-0-" + "0" * 12}
    batch["results"] = [{"custom_id": ids[1], "response": response}, other, good, good]
    with pytest.warns(UserWarning, match="1 results of unknown rows and 1 duplicates"):
        first, second = collect(handle, model)

    assert (first.output, first.provider) == ("ok", "P")
    assert first.cost == pytest.approx(0.5)
    assert second.error_type == error_type
    assert "sk-or" not in second.error
    assert "\x1b" not in second.error


def _sent(server):
    return next(seen.raw for seen in server.seen if seen.method == "POST")


@pytest.mark.off_spec("batches are not in the specification of chat")
@pytest.mark.parametrize("status", ["in_progress", "", "banana", None, 7])
def test_statuses_without_end(serve, status):
    """A status that nobody knows is not the end; the timeout is."""
    server = hostile(serve, {"id": "b", "status": status}, has_more=True, last_id="b")
    model = model_on(server)
    handle = submit(model, ["one"])
    with pytest.raises((errors.BatchTimeoutError, errors.UpstreamError)):
        wait(handle, model, timeout=0.3)


@pytest.mark.off_spec("batches are not in the specification of chat")
def test_an_id_does_not_lead_elsewhere(serve):
    """An id of the service is quoted where it becomes a path."""
    server = hostile(serve, {"id": "../../keys?x=1#a b", "status": "completed"})
    handle = submit(model_on(server), ["one"])
    evil = handle.with_shard(0, handle.shards[0].__class__(0, 0, 1, "d", 1.0, ("../../keys?x=1#a b",)))  # fmt: skip
    list(collect(evil, model_on(server)))

    assert server.seen[-1].path == "/api/v1/batches/..%2F..%2Fkeys%3Fx%3D1%23a%20b"


@pytest.mark.off_spec("batches are not in the specification of chat")
def test_results_without_end(serve, monkeypatch):
    """A body is read up to the bound of the package, and no further."""
    from langchain_openrouter.settings import response_limits

    monkeypatch.setattr(response_limits, "body", 1_000_000)
    endless = Reply([b'{"id": "b", "results": ["'] + [b"x" * 100_000] * 200)
    server = hostile(serve, endless)
    model = model_on(server)
    handle = submit(model, ["one"])
    with pytest.raises(errors.UpstreamError, match="body"):
        list(collect(handle, model))


@pytest.mark.off_spec("batches are not in the specification of chat")
def test_an_error_quotes_no_prompt(serve):
    """Of the run, where the rows are known."""
    batch = {"id": "b", "status": "completed"}
    server = hostile(serve, batch)

    def answer(seen):
        if seen.method == "POST":
            ids = [r["custom_id"] for r in json.loads(seen.raw)["requests"]]
            error = {"message": f"cannot read '{SECRET}'", "type": "invalid_request_error"}
            batch["results"] = [{"custom_id": i, "response": None, "error": error} for i in ids]
        return inner(seen)

    inner, server.reply = server.reply, answer
    result = run(model_on(server), [[SystemMessage("be brief"), HumanMessage(SECRET)]], engine="openrouter", progress=False)  # fmt: skip
    (row,) = result

    assert row.error_type == "InvalidRequestError"
    assert SECRET not in row.error


@pytest.mark.off_spec("batches are not in the specification of chat")
def test_a_creation_that_breaks_off(serve, tmp_path):
    """No answer, and nothing in the list: the error is the connection's, and a later call sends."""
    path = tmp_path / "job.json"

    def reply(seen):
        if seen.method == "POST":
            return Reply([CUT])
        if seen.path.startswith("/api/v1/batches"):
            return Reply({"data": []})
        return Reply({"data": [{"id": f"{SLUG}:batch", "pricing": {}}]})

    server = serve(reply)
    with pytest.raises(errors.ConnectionFailedError) as caught:
        submit(model_on(server), ["one"], handle_path=path)
    with pytest.raises(errors.ConnectionFailedError):
        submit(model_on(server), ["one"], handle_path=path)

    assert caught.value.handle.shards[0].sent_at is not None
    assert sum(seen.method == "POST" for seen in server.seen) == 2
    assert KEY not in path.read_text()
