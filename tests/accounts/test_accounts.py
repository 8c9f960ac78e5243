"""Every operation of `Accounts` over HTTP, sync and async, on the emulator."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest

from langchain_openrouter import ChatOpenRouter, UserKey, as_user, current_user, errors
from langchain_openrouter.accounts import Accounts, CreatedKey, Guardrail, KeyRecord, Rows
from tests.support.accounts import BOTH, call, client
from tests.support.loopback import RESET, Reply

pytestmark = pytest.mark.off_spec("the management API has no chat requests")
MODEL = "openai/gpt-4o-mini"
OWN = "own-key-of-32-characters-or-more-0123456789"


@pytest.fixture
def emulator(emulate):
    """Start an emulator."""
    return emulate()


def chat(emulator, key, model=MODEL, **fields):
    """Use a key for a chat."""
    answer = ChatOpenRouter(model=model, base_url=emulator.url, max_retries=0, **fields)
    return answer.for_user(key).invoke("hi")


# --- keys -------------------------------------------------------------------------------------


@BOTH
def test_a_created_key_works_and_is_known_by_its_hash(emulator, how):
    """The plain text comes once, as a `UserKey` for the service that made it."""
    accounts = client(emulator)
    created = call(
        how,
        accounts.keys,
        "create",
        "Ann's",
        limit=5,
        limit_reset="monthly",
        external_user="ann",
        expires_at=datetime(2099, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
    )

    assert isinstance(created, CreatedKey)
    assert isinstance(created.key, UserKey)
    assert (created.key.user_id, created.key.base_url) == ("ann", emulator.url)
    secret = created.key.secret.get_secret_value()
    assert created.hash == created.record.hash == hashlib.sha256(secret.encode()).hexdigest()
    assert (created.record.limit, created.record.limit_reset) == (5, "monthly")
    assert created.record.expires_at == datetime(2099, 1, 1, tzinfo=UTC)
    assert chat(emulator, created.key).text
    assert call(how, accounts.keys, "get", created).usage > 0
    assert call(how, accounts.keys, "get", created.key).last_used_at is not None
    with pytest.raises(ValueError, match="would be sent to openrouter"):
        ChatOpenRouter(model=MODEL).for_user(created.key)


@BOTH
def test_a_key_of_the_apps_own_making_is_used(emulator, how):
    """The service does not send it back; the client has it all the same."""
    accounts = client(emulator)
    created = call(how, accounts.keys, "create", "own", external_user="ann", external_api_key=OWN)

    assert created.key.secret.get_secret_value() == OWN
    assert chat(emulator, created.key).text
    assert call(how, accounts.keys, "get", created.key).external_user == "ann"


@BOTH
def test_keys_are_listed_page_by_page(emulator, how):
    """All of them, newest first, each once, in as many requests as are needed."""
    for number in range(250):
        emulator.accounts.add_key(name=f"key {number}")
    accounts = client(emulator)
    keys = call(how, accounts.keys, "list")

    assert [key.name for key in keys] == [f"key {number}" for number in range(249, -1, -1)]
    offsets = [request.query.get("offset") for request in emulator.requests]
    assert offsets == [None, "100", "200", "250"]
    assert [key.name for key in call(how, accounts.keys, "list", offset=248)] == ["key 1", "key 0"]


def test_a_listing_reads_no_page_before_it_is_needed(emulator):
    """Nor another than the first, if a row of it is enough; it begins anew each time."""
    for number in range(150):
        emulator.accounts.add_key(name=f"key {number}")
    listing = client(emulator).keys.list()

    assert "listing" in repr(listing)
    assert not emulator.requests
    assert next(iter(listing)).name == "key 149"
    assert len(emulator.requests) == 1
    assert next(iter(listing)).name == "key 149"


@BOTH
def test_filters_of_the_listing_of_keys(emulator, how):
    """Disabled and expired keys on request; other workspaces by id."""
    accounts = client(emulator)
    workspace = accounts.workspaces.create("Team", "team")
    add = emulator.accounts.add_key
    add(name="fine")
    add(name="disabled", disabled=True)
    add(name="expired", expires_at="2020-01-01T00:00:00Z")
    add(name="elsewhere", workspace_id=workspace.id)
    add(name="somebody else's", user_id="user_other")

    def names(**filters):
        return {key.name for key in call(how, accounts.keys, "list", **filters)}

    assert names() == {"fine"}
    assert names(include_disabled=True) == {"fine", "disabled"}
    assert names(include_expired=True, include_disabled=True) == {"fine", "disabled", "expired"}
    assert names(workspace_id=workspace.id) == {"elsewhere"}


@BOTH
def test_a_key_is_changed_disabled_enabled_and_deleted(emulator, how):
    """Each takes effect at once, on requests with the key."""
    accounts = client(emulator)
    created = accounts.keys.create("before", limit=1)

    changed = call(how, accounts.keys, "update", created, name="after", limit=None)
    assert (changed.name, changed.limit) == ("after", None)
    assert emulator.requests[-1].body == {"name": "after", "limit": None}

    assert call(how, accounts.keys, "disable", created.hash).disabled
    with pytest.raises(errors.AuthenticationError, match="disabled"):
        chat(emulator, created.key)
    assert not call(how, accounts.keys, "enable", created.record).disabled
    assert chat(emulator, created.key).text

    assert call(how, accounts.keys, "delete", created) is None
    with pytest.raises(errors.AuthenticationError):
        chat(emulator, created.key)
    with pytest.raises(errors.NotFoundError, match=r"^404 API key not found$"):
        call(how, accounts.keys, "get", created)


@BOTH
@pytest.mark.parametrize("subject", ["keys", "guardrails", "workspaces", "byok"])
def test_an_update_of_nothing_is_not_sent(emulator, how, subject):
    """The service would answer `No update fields provided`."""
    target = "a" * 64
    with pytest.raises(ValueError, match="no update fields provided"):
        call(how, getattr(client(emulator), subject), "update", target)
    assert not emulator.requests


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "`name` must"),
        ({"expires_at": "2026-12-31"}, "a date, a time and an offset"),
        ({"expires_at": datetime(2026, 1, 1)}, "an offset"),  # noqa: DTZ001 - what is refused
        ({"external_user": " ann"}, "1 to 512 characters"),
        ({"external_user": "a" * 513}, "1 to 512 characters"),
        ({"external_user": "\ud800"}, "1 to 512 characters"),
        ({"external_api_key": OWN}, "needs `external_user`"),
        ({"external_api_key": "short", "external_user": "a"}, "32 characters"),
        ({"limits": 3}, "did you mean `limit`"),
    ],
)
def test_invalid_fields_of_a_key_are_not_sent(emulator, fields, message):
    """The message says what is wrong, and quotes no key."""
    with pytest.raises(ValueError, match=message) as caught:
        client(emulator).keys.create(**{"name": "n", **fields})
    assert OWN not in str(caught.value)
    assert not emulator.requests


@pytest.mark.parametrize("text", ["", "sk-or-v1-abc", "../credits", "A" * 64, "a" * 63, None, 3])
def test_a_key_is_named_by_its_hash_alone(emulator, text):
    """The key itself would be in an address, and an empty hash would name all keys."""
    accounts = client(emulator)

    for name in ("get", "disable", "delete"):
        with pytest.raises(ValueError, match="by its hash") as caught:
            getattr(accounts.keys, name)(text)
        assert "sk-or" not in str(caught.value)
    with pytest.raises(ValueError, match="no valid hash"):
        accounts.keys.delete(KeyRecord(hash=""))
    assert not emulator.requests


# --- what creates is not repeated -------------------------------------------------------------


CREATED = {"data": {"hash": "ab" * 32, "name": "n"}, "key": "sk-or-v1-" + "cd" * 32}


@BOTH
@pytest.mark.parametrize(
    "reply",
    [Reply([RESET]), Reply({"error": {"code": 502, "message": "x"}}, 502), Reply(b"<html>", 200)],
    ids=["reset", "502", "no JSON"],
)
def test_a_creation_that_may_have_worked_is_not_repeated(serve, how, reply):
    """A second key would be one that nobody holds."""
    server = serve(reply)
    with pytest.raises(errors.OpenRouterError):
        call(how, client(server, max_retries=3).keys, "create", "n")
    assert len(server.seen) == 1


@BOTH
def test_a_creation_that_was_refused_for_now_is_repeated(serve, how):
    """After a 429 there is no key; the wait is the service's."""
    replies = iter(
        [
            Reply({"error": {"code": 429, "message": "slow"}}, 429, {"retry-after": "0.01"}),
            Reply(CREATED, 201),
        ]
    )
    server = serve(lambda _: next(replies))
    created = call(how, client(server, max_retries=1).keys, "create", "n")

    assert created.hash == "ab" * 32
    assert len(server.seen) == 2
    assert server.seen[0].raw == server.seen[1].raw


@BOTH
def test_a_creation_that_reached_nobody_is_repeated(how, monkeypatch):
    """No connection was made, so there is no key."""
    monkeypatch.setattr("langchain_openrouter.accounts._sender._FIRST_PAUSE", 0.01)
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)

    async def sleep(seconds):
        pauses.append(seconds)

    monkeypatch.setattr("langchain_openrouter.accounts._sender.asyncio.sleep", sleep)
    accounts = Accounts(management_key="k", base_url="http://127.0.0.1:9", max_retries=2)
    with pytest.raises(errors.ConnectionFailedError):
        call(how, accounts.keys, "create", "n")
    assert len(pauses) == 2


@BOTH
def test_other_requests_are_repeated(serve, how):
    """A read, an update or a deletion has no further effect the second time."""
    replies = iter([Reply([RESET]), Reply({"data": {"hash": "ab" * 32}})])
    server = serve(lambda _: next(replies))

    assert call(how, client(server, max_retries=1).keys, "get", "ab" * 32).hash == "ab" * 32


# --- users, guardrails, workspaces, credentials -----------------------------------------------


@BOTH
@pytest.mark.parametrize("user", ["ann", "team/ann@example.com", "ä ö?#%", "a" * 512])
def test_users_are_registered_under_the_apps_own_ids(emulator, how, user):
    """Whatever characters they have; an inactive one is listed on request, and its keys work."""
    users = client(emulator).external_users

    assert call(how, users, "create", user).user == user
    assert call(how, users, "get", user).is_active
    assert [row.user for row in call(how, users, "list")] == [user]
    assert not call(how, users, "update", user, is_active=False).is_active
    assert call(how, users, "list") == []
    assert [row.user for row in call(how, users, "list", include_inactive=True)] == [user]
    assert call(how, users, "update", user, is_active=True).is_active
    assert call(how, users, "delete", user) is None
    assert not call(how, users, "get", user).is_active

    with pytest.raises(errors.InvalidRequestError, match="409"):
        call(how, users, "create", user)
    with pytest.raises(errors.NotFoundError):
        call(how, users, "get", "nobody")


def test_an_inactive_users_key_works_on(emulator):
    """As the service documents: the key must be disabled."""
    accounts = client(emulator)
    accounts.external_users.create("ann")
    created = accounts.keys.create("n", external_user="ann")
    accounts.external_users.delete("ann")

    assert chat(emulator, created.key).text


@pytest.mark.parametrize("user", [".", "..", ""])
def test_users_that_no_path_can_name_are_not_sent(emulator, user):
    """They would be other paths."""
    with pytest.raises(ValueError, match=r"cannot be addressed|not empty"):
        client(emulator).external_users.get(user)
    assert not emulator.requests


@BOTH
def test_pages_of_users(emulator, how):
    """Pages have the size that was asked for; their number ends the listing."""
    for number in range(7):
        emulator.organization.register(f"user {number}")
    users = call(how, client(emulator).external_users, "list", page_size=3)

    assert [row.user for row in users] == [f"user {number}" for number in range(7)]
    queries = [(r.query.get("offset"), r.query["limit"]) for r in emulator.requests]
    assert queries == [(None, "3"), ("3", "3"), ("6", "3")]
    for size in (0, 101):
        with pytest.raises(ValueError, match="1 to 100"):
            client(emulator).external_users.list(page_size=size)
    with pytest.raises(ValueError, match="negative"):
        client(emulator).external_users.list(offset=-1)


@BOTH
def test_a_guardrail_restricts_the_keys_that_it_is_assigned_to(emulator, how):
    """Others are not restricted, nor is the key once it is taken away."""
    accounts = client(emulator)
    ann, ben = (accounts.keys.create(name).key for name in ("ann", "ben"))
    guardrail = call(how, accounts.guardrails, "create", "mini", allowed_models=["openai/gpt-4o"])

    assert isinstance(guardrail, Guardrail)
    assert chat(emulator, ann).text
    assert call(how, accounts.guardrails, "assign_keys", guardrail, [ann]) == 1
    with pytest.raises(errors.PermissionDeniedError, match="guardrails"):
        chat(emulator, ann)
    assert chat(emulator, ann, "openai/gpt-4o").text
    assert chat(emulator, ben).text
    assignments = call(how, accounts.guardrails, "key_assignments", guardrail)
    assert [row.key_hash for row in assignments] == [ann.fingerprint]
    assert len(call(how, accounts.guardrails, "key_assignments")) == 1

    changed = call(how, accounts.guardrails, "update", guardrail.id, allowed_models=None)
    assert changed.allowed_models is None
    assert chat(emulator, ann).text
    assert call(how, accounts.guardrails, "remove_keys", guardrail, [ann, ben]) == 1
    assert [row.name for row in call(how, accounts.guardrails, "list")] == ["mini"]
    assert call(how, accounts.guardrails, "get", guardrail).name == "mini"
    assert call(how, accounts.guardrails, "delete", guardrail) is None
    with pytest.raises(errors.NotFoundError):
        call(how, accounts.guardrails, "get", guardrail)


def test_what_no_guardrail_can_have_is_not_sent(emulator):
    """A limit without an interval; keys that are none."""
    guardrails = client(emulator).guardrails

    with pytest.raises(ValueError, match="set together"):
        guardrails.create("g", limit_usd=1)
    with pytest.raises(ValueError, match="at least one key"):
        guardrails.assign_keys("g", [])
    with pytest.raises(ValueError, match="a list of keys"):
        guardrails.assign_keys("g", "a" * 64)
    with pytest.raises(ValueError, match="did you mean `allowed_models`"):
        guardrails.create("g", allow_models=[])
    assert not emulator.requests


@BOTH
def test_workspaces(emulator, how):
    """By id or slug; the default one is deleted only if that is confirmed."""
    workspaces = client(emulator).workspaces
    made = call(how, workspaces, "create", "Team", "team", description="d")

    assert call(how, workspaces, "get", "team") == made
    assert [row.slug for row in call(how, workspaces, "list")] == ["default", "team"]
    assert call(how, workspaces, "update", made, name="Tea").name == "Tea"
    assert call(how, workspaces, "delete", made) is None
    with pytest.raises(errors.InvalidRequestError, match="confirmed"):
        call(how, workspaces, "delete", "default")
    assert call(how, workspaces, "delete", "default", confirm_default=True) is None


@BOTH
def test_a_workspaces_budget_is_for_all_its_keys_together(emulator, how):
    """It is refused with 403 when they have spent it, and begins anew."""
    accounts = client(emulator)
    team = accounts.workspaces.create("Team", "team")
    ann, ben = (accounts.keys.create(name, workspace_id=team.id).key for name in ("ann", "ben"))
    other = accounts.keys.create("other").key
    set_ = call(how, accounts.workspaces, "set_budget", team, 1e-7, "daily", include_byok=True)

    assert (set_.limit_usd, set_.reset_interval, set_.workspace_id) == (1e-7, "daily", team.id)
    assert list(call(how, accounts.workspaces, "budgets", "team")) == [set_]
    assert chat(emulator, ann).text
    with pytest.raises(errors.InsufficientCreditsError, match="403"):
        chat(emulator, ben)
    assert chat(emulator, other).text
    assert ben.info().effective_budget.budget_id == set_.id
    emulator.clock.advance(86_400)
    assert chat(emulator, ben).text

    assert call(how, accounts.workspaces, "set_budget", team, 5, "daily").id == set_.id
    assert call(how, accounts.workspaces, "set_budget", team, 9, "lifetime").reset_interval is None
    assert call(how, accounts.workspaces, "delete_budget", team, "daily") is None
    assert len(call(how, accounts.workspaces, "budgets", team)) == 1
    for limit, interval in ((0, "daily"), (1, "yearly")):
        with pytest.raises(ValueError, match="must be"):
            call(how, accounts.workspaces, "set_budget", team, limit, interval)


@BOTH
def test_providers_keys(emulator, how):
    """What is spent with one is counted apart."""
    accounts = client(emulator)
    stored = call(how, accounts.byok, "create", "openai", "sk-provider-0123456789", name="ours")

    assert (stored.provider, stored.name, stored.disabled) == ("openai", "ours", False)
    assert emulator.requests[-1].body["key"] == "sk-provider-0123456789"
    created = accounts.keys.create("n")
    assert chat(emulator, created.key).response_metadata["cost"] == 0
    record = accounts.keys.get(created)
    assert record.usage == 0
    assert record.byok_usage == record.byok_usage_daily > 0

    assert call(how, accounts.byok, "update", stored, disabled=True, key="new-key-1").disabled
    assert chat(emulator, created.key).response_metadata["cost"] > 0
    assert [row.id for row in call(how, accounts.byok, "list", provider="openai")] == [stored.id]
    assert call(how, accounts.byok, "list", provider="anthropic") == []
    assert call(how, accounts.byok, "get", stored.id).disabled
    assert call(how, accounts.byok, "delete", stored) is None
    for key in ("", " "):
        with pytest.raises(ValueError, match="provider's key"):
            call(how, accounts.byok, "create", "openai", key)


# --- what was used ----------------------------------------------------------------------------


@BOTH
def test_activity_is_of_complete_days_by_key(emulator, how):
    """A day's use is there when the day is over, and for thirty days."""
    accounts = client(emulator)
    ann, ben = (accounts.keys.create(name) for name in ("ann", "ben"))
    for key in (ann, ann, ben):
        chat(emulator, key.key)
    day = emulator.clock.now().date()

    assert len(call(how, accounts, "activity")) == 0
    emulator.clock.advance(86_400)
    rows = call(how, accounts, "activity")
    assert isinstance(rows, Rows)
    assert [(row.date, row.model, row.requests) for row in rows] == [(str(day), MODEL, 3)]
    assert rows[0].usage == pytest.approx(sum(key.usage for key in accounts.keys.list()))
    assert call(how, accounts, "activity", key=ann, date=day)[0].requests == 2
    assert call(how, accounts, "activity", key=ben.hash)[0].requests == 1
    by_workspace = call(how, accounts, "activity", group_by="workspace")
    assert by_workspace[0].workspace_id == "ws_emulated"
    assert len(call(how, accounts, "activity", date="2020-01-01")) == 0
    emulator.clock.advance(31 * 86_400)
    assert len(call(how, accounts, "activity")) == 0


@BOTH
def test_credits(emulator, how):
    """What was bought, used and is left."""
    accounts = client(emulator)
    emulator.organization.total_credits = 10.0
    created = accounts.keys.create("n")
    chat(emulator, created.key)
    balance = call(how, accounts, "credits")

    assert balance.total_credits == 10.0
    assert balance.total_usage == pytest.approx(accounts.keys.get(created).usage)
    assert balance.remaining == pytest.approx(10.0 - balance.total_usage)


# --- settings, users' runs --------------------------------------------------------------------


def test_the_key_of_the_environment_is_read_for_each_request(emulator, monkeypatch):
    """As that of a model is; it is not the key for inference."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-inference")
    monkeypatch.setenv("OPENROUTER_BASE_URL", emulator.url)
    accounts = Accounts()
    with pytest.raises(errors.AuthenticationError, match="no management key"):
        accounts.credits()

    monkeypatch.setenv("OPENROUTER_MANAGEMENT_KEY", emulator.management_key)
    assert accounts.credits().total_credits == 100.0
    assert emulator.requests[-1].key == emulator.management_key
    assert "redacted" not in repr(Accounts()) + repr(Accounts().settings)


@BOTH
def test_a_callable_is_called_for_each_request(emulator, how):
    """Sync, or async for the async methods."""
    calls = []

    def key():
        calls.append(1)
        return emulator.management_key

    async def async_key():
        return key()

    accounts = client(emulator, management_key=key if how == "sync" else async_key)
    for _ in range(2):
        call(how, accounts, "credits")
    assert len(calls) == 2
    with pytest.raises(errors.AuthenticationError, match="async callable"):
        client(emulator, management_key=async_key).credits()


@BOTH
@pytest.mark.parametrize("strict", [True, False])
def test_a_users_run_changes_nothing(emulator, how, strict):
    """The app manages keys inside a user's run, on the app's own management key."""
    accounts = client(emulator)
    user = UserKey("sk-or-v1-somebodys-key", "u", emulator.url)

    if how == "sync":
        with as_user(user, strict=strict):
            accounts.credits()
    else:

        async def run():
            async with as_user(user, strict=strict):
                await accounts.acredits()

        asyncio.run(run())
    assert {request.key for request in emulator.requests} == {emulator.management_key}


@BOTH
def test_the_current_users_key_is_never_sent(emulator, how):
    """Not even where somebody passes it as the management key."""
    accounts = client(emulator, management_key=current_user)
    with (
        as_user(UserKey("sk-or-v1-somebodys-key", "u", emulator.url)),
        pytest.raises(errors.AuthenticationError, match="a key for inference"),
    ):
        call(how, accounts, "credits")
    assert not emulator.requests


@BOTH
@pytest.mark.parametrize("name", ["credits", "activity", "list"])
def test_a_key_for_inference_is_refused_with_advice(emulator, how, name):
    """401 or 403: both say that a management key is needed."""
    accounts = client(emulator, management_key="sk-or-v1-inference")
    subject = accounts.keys if name == "list" else accounts
    kind = errors.AuthenticationError if name == "list" else errors.PermissionDeniedError
    with pytest.raises(kind, match="settings/management-keys"):
        call(how, subject, name)


def test_tables_for_a_notebook(emulator):
    """Listings and values show as tables; text of the service is escaped."""
    accounts = client(emulator)
    created = accounts.keys.create("<b>n</b>", limit=5, limit_reset="daily")
    accounts.guardrails.create("g", allowed_models=["a/b", "c/d"])
    table = accounts.keys.list().all()._repr_html_()

    assert "<td>&lt;b&gt;n&lt;/b&gt;</td>" in table
    assert "<th>resets</th>" in table
    assert "<td>$5.00</td>" in created.record._repr_html_()
    assert "a/b, c/d" in accounts.guardrails.list().all()._repr_html_()
    assert accounts.external_users.list().all()._repr_html_() == "<p>none</p>"
    assert "$100.00" in accounts.credits()._repr_html_()
    rows = Rows(KeyRecord(hash=str(number)) for number in range(205))
    assert "and 5 more" in rows._repr_html_()
    assert repr(rows) == "<205 rows: 0, 1, 2, 3, 4, …>"
    assert len(rows[:3]) == 3
