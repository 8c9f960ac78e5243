"""What a broken or hostile service sends the client of accounts, and what of it is shown."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
import warnings
from dataclasses import asdict
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_openrouter import errors
from langchain_openrouter.accounts import (
    ActivityRow,
    ByokKey,
    CreatedKey,
    Credits,
    ExternalUser,
    Guardrail,
    KeyAssignment,
    KeyRecord,
    Workspace,
    WorkspaceBudget,
    _listing,
)
from langchain_openrouter.settings import response_limits
from tests.support.accounts import BOTH, call, client
from tests.support.loopback import CUT, RESET, Reply
from tests.support.package_files import PACKAGE

pytestmark = pytest.mark.off_spec("the management API has no chat requests")
HASH = "ab" * 32
ROW = {"hash": HASH, "name": "n"}
MANAGEMENT, CREATED = "sk-or-v1-sentinelmanagement", "sk-or-v1-sentinelcreated" + "0" * 40
OWN = "sentinelown-key-of-32-characters-or-more"
MARKS = ("sentinelmanagement", "sentinelcreated", "sentinelown")
KINDS = [
    ActivityRow,
    ByokKey,
    Credits,
    ExternalUser,
    Guardrail,
    KeyAssignment,
    KeyRecord,
    Workspace,
    WorkspaceBudget,
]

JUNK = {
    "nothing": Reply(b""),
    "HTML": Reply("<html>Sign in</html>", content_type="text/html"),
    "a list": Reply("[]"),
    "null": Reply("null"),
    "no data": Reply({}),
    "data of another kind": Reply({"data": "x"}),
    "a list for a row": Reply({"data": [[], 3, None]}),
    "an id of another kind": Reply({"data": {"hash": 3, "id": [], "user": {}}}),
    "an error in a 200": Reply({"error": {"code": 500, "message": "x"}}),
    "deep": Reply(b"[" * 100_000),
    "a cut": Reply([b'{"data": ', CUT]),
    "a reset": Reply([RESET]),
    "a redirect": Reply(b"", 302, {"location": "http://127.0.0.1:9/elsewhere"}),
    "204 where a body belongs": Reply(b"", 204, {"transfer-encoding": "", "content-length": "0"}),
}
READS = {
    "get a key": ("keys", "get", HASH),
    "disable a key": ("keys", "disable", HASH),
    "delete a key": ("keys", "delete", HASH),
    "create a key": ("keys", "create", "n"),
    "get a user": ("external_users", "get", "u"),
    "get a guardrail": ("guardrails", "get", "g"),
    "delete a guardrail": ("guardrails", "delete", "g"),
    "assign": ("guardrails", "assign_keys", "g", [HASH]),
    "get a workspace": ("workspaces", "get", "w"),
    "budgets": ("workspaces", "budgets", "w"),
    "set a budget": ("workspaces", "set_budget", "w", 1, "daily"),
    "get a credential": ("byok", "get", "b"),
    "list keys": ("keys", "list"),
    "list users": ("external_users", "list"),
    "credits": (None, "credits"),
    "activity": (None, "activity"),
}
HARMLESS = {("a list for a row", "list keys"), ("a list for a row", "list users"),
            ("a list for a row", "activity"), ("a list for a row", "budgets")}  # fmt: skip


@BOTH
@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_an_error_of_ours(serve, how, junk):
    """No read returns an empty value for it, and no deletion counts as done."""
    server = serve(JUNK[junk])
    accounts = client(server)
    for name, (subject, method, *arguments) in READS.items():
        owner = accounts if subject is None else getattr(accounts, subject)
        if (junk, name) in HARMLESS:
            assert len(call(how, owner, method, *arguments)) == 0
            continue
        with pytest.raises(errors.OpenRouterError):
            call(how, owner, method, *arguments)


@BOTH
def test_a_key_that_was_not_disabled_is_an_error(serve, how):
    """An app that revokes a key must be able to rely on it."""
    accounts = client(serve(Reply({"data": {**ROW, "disabled": False}})))
    with pytest.raises(errors.UpstreamError, match="did not say that the key is disabled"):
        call(how, accounts.keys, "disable", HASH)
    with pytest.raises(errors.UpstreamError, match="did not confirm"):
        call(how, accounts.keys, "delete", HASH)


@BOTH
def test_a_creation_without_a_key_names_what_to_delete(serve, how):
    """There is a key that nobody can use."""
    accounts = client(serve(Reply({"data": ROW}, 201)))
    with pytest.raises(errors.UpstreamError, match=f"delete {HASH}"):
        call(how, accounts.keys, "create", "n")


# --- listings that do not end -----------------------------------------------------------------


def page(start, count, **fields):
    """Return a page of keys."""
    rows = [{"hash": f"{number:064x}", "name": "n"} for number in range(start, start + count)]
    return Reply({"data": rows, **fields})


@BOTH
@pytest.mark.parametrize(
    "total", [{}, {"total_count": 10**9}, {"total_count": -1}, {"total_count": "x"}]
)
def test_a_repeated_page_ends_a_listing(serve, how, total):
    """Each row comes once, whatever number the service says there are."""
    server = serve(lambda _: page(0, 100, **total))
    keys = call(how, client(server).keys, "list")

    assert len(keys) == 100
    assert len(server.seen) == (1 if total.get("total_count") == -1 else 2)


@BOTH
def test_pages_that_overlap_give_each_row_once(serve, how):
    """A key that is created meanwhile moves the others to the next page."""
    pages = iter([page(0, 100), page(99, 50), page(149, 0)])
    keys = call(how, client(serve(lambda _: next(pages))).keys, "list")

    assert [int(key.hash, 16) for key in keys] == list(range(149))


@BOTH
def test_an_endless_listing_is_an_error(serve, how, monkeypatch):
    """After ten thousand pages, of which none repeats another."""
    monkeypatch.setattr(_listing, "_MAX_PAGES", 5)
    server = serve(lambda seen: page(int("0" + seen.path.partition("offset=")[2]), 100))
    with pytest.raises(errors.UpstreamError, match="does not end: 5 pages"):
        call(how, client(server).keys, "list")
    assert len(server.seen) == 5


@BOTH
def test_rows_without_a_hash_are_left_out(serve, how):
    """They name no key; a page of them ends the listing."""
    rows = [{"name": "x"}, {"hash": 3}, {"hash": ""}, "text", None, ROW]
    server = serve(Reply({"data": rows}))

    assert [key.hash for key in call(how, client(server).keys, "list")] == [HASH]


@BOTH
def test_a_huge_page_is_refused(serve, how, monkeypatch):
    """A body is bounded, as that of every response."""
    monkeypatch.setattr(response_limits, "body", 10_000)
    with pytest.raises(errors.UpstreamError, match="body"):
        call(how, client(serve(page(0, 1000))).keys, "list")


@BOTH
def test_a_redirect_takes_no_key_along(serve, how):
    """It is an error; nothing is sent to where it points."""
    elsewhere = serve(Reply({"data": ROW}))
    server = serve(Reply(b"", 307, {"location": f"{elsewhere.url}/keys/{HASH}"}))
    with pytest.raises(errors.UpstreamError):
        call(how, client(server).keys, "get", HASH)
    assert not elsewhere.seen


# --- values -----------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_fields_of_any_type_are_read(kind, data):
    """As absent, where the type is wrong; the value shows itself all the same."""
    names = [name for name in kind.__dataclass_fields__ if name != "data"]
    row = data.draw(st.dictionaries(st.sampled_from(names), JSON))
    value = kind.from_api(row)

    assert value.data is row
    assert isinstance(value._repr_html_(), str)
    assert isinstance(repr(value), str)
    assert isinstance(value.identity, str)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-01-01", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9" * 99],
)
def test_moments_that_are_none_read_as_absent(text):
    """Others come in UTC."""
    assert KeyRecord.from_api({"expires_at": text}).expires_at is None
    record = KeyRecord.from_api({"expires_at": "2026-01-01T01:00:00+01:00"})
    assert record.expires_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert record.is_expired()
    assert not record.is_expired(datetime(2025, 1, 1, tzinfo=UTC))


def test_escapes_of_the_service_reach_no_terminal_or_page():
    """Names are text of others."""
    record = KeyRecord.from_api(
        {"hash": HASH, "name": "\x1b[31m<script>", "external_user": "\u202e"}
    )

    assert "\x1b" not in repr(record) + record._repr_html_()
    assert "<script>" not in record._repr_html_()


# --- secrets ----------------------------------------------------------------------------------


def all_of(error):
    """Return everything that can be printed of an exception, and the locals of our frames."""
    texts = []
    while error is not None:
        texts += [repr(error), str(error), repr(vars(error))]
        texts += traceback.TracebackException.from_exception(error).format()
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename.startswith(PACKAGE):
                texts += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
        texts.append(repr(pickle.dumps(error)))
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


QUOTES = {
    "fine": Reply({"data": {**ROW, "label": CREATED, "name": f"x {CREATED}"}, "key": CREATED}, 201),
    "no key": Reply({"data": {"name": f"x {OWN}"}}, 201),
    "refused": Reply({"error": {"code": 400, "message": f"no {OWN} {MANAGEMENT} {CREATED}"}}, 400),
    "unauthorized": Reply({"error": {"code": 401, "message": f"wrong: {MANAGEMENT}"}}, 401),
    "cut": Reply([json.dumps({"key": CREATED, "data": ROW}).encode()[:-9], CUT]),
    "no JSON": Reply(f"{CREATED} {MANAGEMENT} {OWN}"),
    "HTML": Reply(f"<html>{CREATED} {MANAGEMENT} {OWN}</html>", 502),
    "reset": Reply([RESET]),
}


@BOTH
@pytest.mark.parametrize("quote", QUOTES)
def test_nothing_secret_is_shown(serve, caplog, capsys, how, quote):
    """Not in values, exceptions, their frames and pickles, nor in logs, whatever is quoted."""
    caplog.set_level(logging.DEBUG)
    server = serve(QUOTES[quote])
    accounts = client(server, management_key=MANAGEMENT)
    texts = [repr(accounts), str(accounts), repr(accounts.keys), repr(accounts.model_dump())]
    texts.append(accounts.model_dump_json())
    for method, fields in (("create", {"external_user": "u", "external_api_key": OWN}),):
        try:
            created = call(how, accounts.keys, method, "n", **fields)
        except errors.OpenRouterError as error:
            texts.append(all_of(error))
        else:
            assert created.key.secret.get_secret_value() in {CREATED, OWN}
            texts += [repr(created), created._repr_html_(), repr(created.record.data)]
            texts += [repr(created.record), repr(asdict(created))]
    try:
        call(how, accounts.byok, "create", "openai", OWN)
    except errors.OpenRouterError as error:
        texts.append(all_of(error))
    output = capsys.readouterr()
    texts += [caplog.text, output.out, output.err]

    assert server.seen[0].key == MANAGEMENT
    assert server.seen[0].body["external"]["api_key"] == OWN
    assert not [(mark, text[:300]) for mark in MARKS for text in texts if mark in text]


def test_a_created_key_in_a_graphs_state_is_warned_of(monkeypatch):
    """LangGraph writes it into checkpoints in plain text."""
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    from langchain_openrouter import _key_object

    monkeypatch.setattr(_key_object, "_warned", False)
    created = CreatedKey.from_api(
        {"data": ROW, "key": CREATED}, base_url="https://openrouter.ai/api/v1", own=None
    )
    with pytest.warns(UserWarning, match="CreatedKey is in the state of a graph"):
        JsonPlusSerializer().dumps_typed(created)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pickle.loads(pickle.dumps(created)) == created
