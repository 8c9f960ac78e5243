"""The emulator's Batch API: statuses by the clock, prices, what it refuses."""

from __future__ import annotations

import json

import httpx2
import pytest

from langchain_openrouter.testing import Reply

KEY = {"authorization": "Bearer k"}


def request(number, **fields):
    """Return one request of a batch."""
    body = {"messages": [{"role": "user", "content": f"text-{number}"}], **fields}
    return {"custom_id": f"id-{number}", "body": body}


def batch(count=4, **fields):
    """Return the body that creates a batch."""
    body = {"endpoint": "/v1/chat/completions", "model": "openai/gpt-4o-mini", **fields}
    return {**body, "requests": body.pop("requests", [request(n) for n in range(count)])}


def create(emulator, body, **headers):
    """Create a batch."""
    return httpx2.post(f"{emulator.url}/batches", json=body, headers={**KEY, **headers})


def read(emulator, batch_id, **headers):
    """Read a batch."""
    return httpx2.get(f"{emulator.url}/batches/{batch_id}", headers={**KEY, **headers})


@pytest.fixture
def slow(emulate):
    """An emulator whose batches take hours of its clock."""

    def start(*args, **kwargs):
        emulator = emulate(*args, **kwargs)
        times = emulator.batches.times
        times.validating, times.running, times.finalizing = 60, 3600, 60
        return emulator

    return start


def test_a_batch_follows_the_clock_and_costs_half(slow):
    """Validating, in progress, finalizing, completed; the key pays as rows are answered."""
    emulator = slow()
    made = create(emulator, batch())
    seen = [made.json()["status"]]
    for seconds in (61, 1800, 1800, 60):
        emulator.clock.advance(seconds)
        seen.append(read(emulator, made.json()["id"]).json()["status"])
    done = read(emulator, made.json()["id"]).json()

    assert made.status_code == 202
    assert seen == ["validating", "in_progress", "in_progress", "finalizing", "completed"]
    assert done["request_counts"] == {"total": 4, "completed": 4, "failed": 0}
    assert [r["custom_id"] for r in done["results"]] == ["id-3", "id-2", "id-1", "id-0"]
    assert "cost" not in done["results"][0]["response"]["body"]["usage"]
    body = {"model": "openai/gpt-4o-mini", **request(0)["body"]}
    direct = httpx2.post(f"{emulator.url}/chat/completions", json=body, headers=KEY).json()
    assert done["usage"]["cost"] == pytest.approx(4 * direct["usage"]["cost"] / 2, rel=0.2)
    assert emulator.accounts.keys["k"].usage == pytest.approx(
        done["usage"]["cost"] + direct["usage"]["cost"]
    )


def test_what_is_not_done_in_a_day_expires(slow):
    """By the documentation without results; as a switch says, with those that were done."""
    emulator = slow()
    emulator.batches.times.running = 172_800
    made = create(emulator, batch()).json()
    emulator.clock.advance(86_401)
    without = read(emulator, made["id"]).json()
    emulator.batches.keeps_partial_results = True
    partial = read(emulator, made["id"]).json()

    assert (without["status"], without["results"]) == ("expired", None)
    assert without["usage"]["cost"] > 0
    assert [r["custom_id"] for r in partial["results"]] == ["id-0"]


def test_a_canceled_batch_stops_where_it_is(slow):
    """As its provider may cancel it; the service has no request for that."""
    emulator = slow()
    emulator.batches.times.cancelling = 30
    emulator.batches.keeps_partial_results = True
    made = create(emulator, batch()).json()
    emulator.clock.advance(60 + 1801)
    emulator.batches.cancel(made["id"])
    first = read(emulator, made["id"]).json()["status"]
    emulator.clock.advance(4000)
    last = read(emulator, made["id"]).json()

    assert (first, last["status"], len(last["results"])) == ("cancelling", "cancelled", 2)


def test_a_row_can_fail_alone(slow):
    """With an error of its own, or with a response that is an error."""
    script = [
        Reply("fine"),
        Reply(error={"message": "no", "metadata": {"error_type": "rate_limit_exceeded"}}),
        Reply(error={"code": 400, "message": "too long"}, form="body"),
    ]
    emulator = slow(script)
    made = create(emulator, batch(3)).json()
    emulator.clock.advance(9999)
    done = read(emulator, made["id"]).json()
    rows = {r["custom_id"]: r for r in done["results"]}

    assert done["status"] == "completed"
    assert done["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    assert rows["id-1"]["response"] is None
    assert rows["id-1"]["error"]["error_type"] == "rate_limit_exceeded"
    assert rows["id-2"]["response"]["status_code"] == 400


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"requests": [request(0)], "endpoint": "/v1/chat/completions", "model": "openai/gpt-4o-mini"}, 400, "requests"),
        (batch(endpoint="/v1/completions"), 400, "endpoint"),
        (batch(model="google/gemini-2.5-flash"), 404, "gemini"),
        (batch(completion_window="1h"), 400, "24h"),
        (batch(callback_url="http://example.com"), 400, "https"),
        (batch(provider={"zdr": True, "only": ["openai"]}), 400, '"zdr"'),
        (batch(metadata={}), 400, "metadata"),
        (batch(0), 400, "non-empty"),
        (batch(requests=[request(1), request(1)]), 400, "not unique"),
        (batch(requests=[{"custom_id": "a"}]), 400, "body"),
        (batch(5001), 400, "at most 5000"),
    ],
)  # fmt: skip
def test_refused_at_once(slow, body, status, says):
    """What the service checks before it accepts a batch."""
    response = create(slow(), body)

    assert response.status_code == status
    assert says in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"deferred_tools": {"tools": []}}, "deferred_tools"),
        ({"stream": True}, "stream"),
        ({"modalities": ["image"]}, "modalities"),
        ({"model": "openai/gpt-4o"}, "match"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]}, "text"),
        ({"temperature": "hot"}, "temperature"),
    ],
)  # fmt: skip
def test_refused_when_it_is_validated(slow, fields, says):
    """A batch that was accepted fails, and says which request is to blame."""
    emulator = slow()
    made = create(emulator, batch(requests=[request(0), request(1, **fields)]))
    emulator.clock.advance(61)
    done = read(emulator, made.json()["id"]).json()

    assert made.status_code == 202
    assert (done["status"], done["results"]) == ("failed", None)
    assert done["error"]["message"].startswith("id-1: ")
    assert says in done["error"]["message"]


def test_size_and_money(slow):
    """A batch has a size, and its key has to be able to pay."""
    emulator = slow()
    emulator.batches.max_bytes = 100
    emulator.accounts.add_key("poor", credits=0.0)

    assert create(emulator, batch()).status_code == 413
    assert create(emulator, batch(), authorization="Bearer poor").status_code == 402


def test_lists_are_paged_and_belong_to_a_workspace(slow):
    """The newest first; by status and time; no results; other workspaces see nothing."""
    emulator = slow()
    emulator.accounts.add_key("other", workspace_id="ws_other")
    ids = []
    for _ in range(3):
        ids.append(create(emulator, batch()).json()["id"])
        emulator.clock.advance(100)
    url = f"{emulator.url}/batches"
    first = httpx2.get(url, headers=KEY, params={"limit": 2}).json()
    rest = httpx2.get(url, headers=KEY, params={"after": first["last_id"]}).json()
    new = httpx2.get(url, headers=KEY, params={"created_after": int(emulator.clock.time()) - 150})
    running = httpx2.get(url, headers=KEY, params={"status": ["completed", "in_progress"]}).json()

    assert [row["id"] for row in first["data"]] == ids[:0:-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [row["id"] for row in rest["data"]] == ids[:1]
    assert [row["id"] for row in new.json()["data"]] == ids[2:]
    assert len(running["data"]) == 3
    assert all(row["results"] is None for row in first["data"])
    assert read(emulator, ids[0], authorization="Bearer other").status_code == 404
    assert httpx2.get(url, headers=KEY, params={"limit": 101}).status_code == 400


def test_a_batch_is_deleted_after_its_end_alone(slow):
    """Deletion cancels nothing: while it runs, it is refused."""
    emulator = slow()
    batch_id = create(emulator, batch()).json()["id"]
    url = f"{emulator.url}/batches/{batch_id}"
    early = httpx2.delete(url, headers=KEY)
    emulator.clock.advance(9999)
    late = httpx2.delete(url, headers=KEY)

    assert early.status_code == 409
    assert late.json()["deletion"]["openrouter"] == "deleted"
    assert read(emulator, batch_id).status_code == 404
    assert create(emulator, batch()).json()["id"] != batch_id


def test_a_new_batch_may_be_unknown_for_a_while(slow):
    """As the live service was seen to do."""
    emulator = slow()
    emulator.batches.times.invisible = 30
    batch_id = create(emulator, batch()).json()["id"]
    before = read(emulator, batch_id).status_code
    emulator.clock.advance(31)

    assert (before, read(emulator, batch_id).status_code) == (404, 200)


def test_a_batch_variant_is_listed_and_not_for_chat(slow):
    """`:batch` rows have half the price; a chat request for one is refused."""
    emulator = slow()
    rows = {r["id"]: r for r in httpx2.get(f"{emulator.url}/models").json()["data"]}
    body = {"model": "openai/gpt-4o-mini:batch", **request(0)["body"]}
    refused = httpx2.post(f"{emulator.url}/chat/completions", json=body, headers=KEY)

    for price in ("prompt", "completion"):
        whole, half = (
            float(rows[f"openai/gpt-4o-mini{v}"]["pricing"][price]) for v in ("", ":batch")
        )
        assert half == pytest.approx(whole / 2)
    assert refused.status_code == 404
    assert "Batch API" in json.dumps(refused.json())


def test_embeddings_in_a_batch(slow):
    """One result for each request, with its vectors."""
    emulator = slow()
    emulator.batch_row_costs = True
    requests = [{"custom_id": "a", "body": {"input": ["one", "two"]}}]
    made = create(
        emulator,
        batch(endpoint="/v1/embeddings", model="openai/text-embedding-3-small", requests=requests),
    ).json()
    emulator.clock.advance(9999)
    (row,) = read(emulator, made["id"]).json()["results"]

    assert len(row["response"]["body"]["data"]) == 2
    assert row["response"]["body"]["usage"]["cost"] > 0
    assert emulator.batches.ids == [made["id"]]
