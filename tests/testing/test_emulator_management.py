"""The emulator's management API as its documentation has it, beyond what `Accounts` checks first."""

from __future__ import annotations

from datetime import timedelta

import httpx2
import pytest

from langchain_openrouter import ChatOpenRouter, OpenRouterEmbeddings, UserKey, errors
from tests.support.accounts import client

pytestmark = pytest.mark.off_spec("the management API has no chat requests")
MODEL = "openai/gpt-4o-mini"


@pytest.fixture
def emulator(emulate):
    """Start an emulator whose clock stands still on a Wednesday, the 15th of July 2026."""
    return emulate(clock=lambda: 1_784_116_800.0)


@pytest.fixture
def accounts(emulator):
    """Make a client of it."""
    return client(emulator)


def chat(emulator, key, model=MODEL, **fields):
    """Use a key for a chat."""
    answer = ChatOpenRouter(model=model, base_url=emulator.url, max_retries=0, **fields)
    return answer.for_user(key).invoke("hi")


def send(emulator, method, path, body=None, key=None, **query):
    """Send a request as it is; return its status, and the message of its error or the body."""
    answer = httpx2.request(
        method,
        f"{emulator.url}{path}",
        json=body,
        params=query,
        headers={"authorization": f"Bearer {key or emulator.management_key}"},
    )
    content = answer.json() if answer.content else None
    if answer.is_error:
        return answer.status_code, content["error"]["message"]
    return answer.status_code, content


@pytest.mark.parametrize(
    ("period", "days"), [("daily", 1), ("weekly", 5), ("monthly", 17), (None, None)]
)
def test_a_limit_bites_until_its_period_ends(emulator, accounts, period, days):
    """At midnight UTC, on Monday, on the first; without a period it never begins anew."""
    key = accounts.keys.create("n", limit=1e-7, limit_reset=period).key
    chat(emulator, key)
    with pytest.raises(errors.InsufficientCreditsError, match=f"{period or 'total'} limit"):
        chat(emulator, key)
    assert accounts.keys.get(key).limit_remaining == 0

    if days is None:
        emulator.clock.advance(400 * 86_400)
        with pytest.raises(errors.InsufficientCreditsError):
            chat(emulator, key)
        return
    emulator.clock.advance(days * 86_400 - 86_400)
    if days > 1:
        with pytest.raises(errors.InsufficientCreditsError):
            chat(emulator, key)
    emulator.clock.advance(86_400)
    assert accounts.keys.get(key).limit_remaining == 1e-7
    assert chat(emulator, key).text


def test_a_higher_limit_is_in_force_at_once(emulator, accounts):
    """As an owner raises it."""
    created = accounts.keys.create("n", limit=1e-7)
    chat(emulator, created.key)
    accounts.keys.update(created, limit=1)

    assert chat(emulator, created.key).text


def test_usage_by_period(emulator, accounts):
    """Of this day, week and month, and in all."""
    created = accounts.keys.create("n")
    chat(emulator, created.key)
    once = accounts.keys.get(created).usage
    emulator.clock.advance(86_400)
    chat(emulator, created.key)
    record = accounts.keys.get(created)

    assert record.usage_daily == pytest.approx(once)
    assert record.usage_weekly == record.usage_monthly == record.usage == pytest.approx(2 * once)
    emulator.clock.advance(30 * 86_400)
    record = accounts.keys.get(created)
    assert (record.usage_daily, record.usage_weekly, record.usage_monthly) == (0, 0, 0)
    assert record.usage == pytest.approx(2 * once)
    assert record.last_used_at == emulator.clock.now() - timedelta(days=30)


@pytest.mark.parametrize("included", [True, False])
def test_own_providers_keys_count_if_they_are_to(emulator, accounts, included):
    """`include_byok_in_limit` says so."""
    accounts.byok.create("openai", "sk-provider-0123456789")
    created = accounts.keys.create("n", limit=1e-7, include_byok_in_limit=included)
    chat(emulator, created.key)

    if included:
        with pytest.raises(errors.InsufficientCreditsError):
            chat(emulator, created.key)
    else:
        assert chat(emulator, created.key).text


def test_a_key_ends_when_it_expires(emulator, accounts):
    """It is refused, listed on request, and its `GET /key` too."""
    expiry = emulator.clock.now() + timedelta(hours=1)
    created = accounts.keys.create("n", expires_at=expiry)
    assert chat(emulator, created.key).text
    emulator.clock.advance(3601)

    with pytest.raises(errors.AuthenticationError, match="expired"):
        chat(emulator, created.key)
    assert len(accounts.keys.list().all()) == 0
    assert len(accounts.keys.list(include_expired=True).all()) == 1


def test_a_deleted_key_does_not_work_whatever_else_does(emulator, accounts):
    """Also where the emulator takes keys that it did not issue."""
    created = accounts.keys.create("n")
    accounts.keys.delete(created)

    with pytest.raises(errors.AuthenticationError):
        chat(emulator, created.key)
    assert chat(emulator, UserKey("any-other", base_url=emulator.url)).text


def test_a_management_key_pays_for_nothing(emulator):
    """No chat; `GET /key` says what it is."""
    secret = emulator.management_key
    with pytest.raises(errors.PermissionDeniedError, match="cannot be used for inference"):
        ChatOpenRouter(model=MODEL, api_key=secret, base_url=emulator.url).invoke("hi")

    assert send(emulator, "GET", "/key")[1]["data"]["is_management_key"] is True
    assert send(emulator, "GET", "/key", key="any")[1]["data"]["is_management_key"] is False


def test_accounts_are_apart(emulator, accounts):
    """A management key manages the keys of its own account."""
    other = emulator.accounts.add_management_key(user_id="user_other").secret
    created = accounts.keys.create("n")
    theirs = client(emulator, management_key=other)

    assert len(theirs.keys.list().all()) == 0
    with pytest.raises(errors.NotFoundError):
        theirs.keys.get(created)
    assert theirs.keys.create("m").record.creator_user_id == "user_other"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/keys", {}, 400, "name"),
        ("POST", "/keys", [], 400, "expected object"),
        ("POST", "/keys", {"name": "n", "limit": -1}, 400, "limit"),
        ("POST", "/keys", {"name": "n", "limit": True}, 400, "limit"),
        ("POST", "/keys", {"name": "n", "limit_reset": "yearly"}, 400, "limit_reset"),
        ("POST", "/keys", {"name": "n", "expires_at": "2099-01-01T00:00Z"}, 400, "ISO datetime"),
        ("POST", "/keys", {"name": "n", "expires_at": "2020-01-01T00:00:00Z"}, 400, "in the future"),
        ("POST", "/keys", {"name": "n", "external": {}}, 400, "external.user"),
        ("POST", "/keys", {"name": "n", "external": {"user": "u", "api_key": "short"}}, 400, "api_key"),
        ("POST", "/keys", {"name": "n", "external": {"user": "u", "api_key": "a" * 40}}, 400, "entropy"),
        ("POST", "/keys", {"name": "n", "workspace_id": "no"}, 400, "Workspace not found"),
        ("GET", f"/keys/{'0' * 64}", None, 404, "API key not found"),
        ("PATCH", f"/keys/{'0' * 64}", {"name": "x"}, 404, "API key not found"),
        ("DELETE", f"/keys/{'0' * 64}", None, 404, "API key not found"),
        ("POST", "/external-users", {"user": " u"}, 400, "user"),
        ("PATCH", "/external-users/u", {"is_active": 3}, 404, "not found"),
        ("POST", "/guardrails", {"name": "g", "limit_usd": 1}, 400, "together"),
        ("POST", "/guardrails", {"name": "g", "allowed_models": "x"}, 400, "allowed_models"),
        ("POST", "/guardrails", {"name": "g", "content_filters": [{"action": "block", "pattern": "("}]},
         400, "invalid_regex_pattern"),
        ("POST", "/guardrails/no/assignments/keys", {"key_hashes": []}, 400, "key_hashes"),
        ("POST", "/workspaces", {"name": "W"}, 400, "slug"),
        ("POST", "/workspaces", {"name": "W", "slug": "default"}, 400, "slug"),
        ("POST", "/byok", {"provider": "openai"}, 400, "key"),
        ("POST", "/byok", {"provider": "openai", "key": "k", "is_fallback": True, "is_byok_only": True},
         400, "is_byok_only"),
        ("GET", "/byok/no", None, 404, "not found"),
    ],
)  # fmt: skip
def test_what_is_refused(emulator, method, path, body, status, message):
    """With the status and a message that says why."""
    got, text = send(emulator, method, path, body)

    assert got == status
    assert message in text


@pytest.mark.parametrize(
    "query", [{"offset": "x"}, {"offset": "-1"}, {"limit": "0"}, {"limit": "101"}]
)
def test_a_page_out_of_range_is_refused(emulator, query):
    """As numbers beyond 1 to 100 are."""
    assert send(emulator, "GET", "/external-users", **query)[0] == 400


def test_an_update_of_nothing_is_refused(emulator, accounts):
    """In the service's words."""
    created = accounts.keys.create("n")
    path = f"/keys/{created.hash}"

    assert send(emulator, "PATCH", path, {}) == (400, "No update fields provided")
    assert send(emulator, "PATCH", path, {"unknown": 1}) == (400, "No update fields provided")


def test_keys_of_both_kinds_on_the_wrong_side(emulator):
    """401 for the routes of keys, 403 for those of what was used; 401 without a key."""
    for path, status in (
        ("/keys", 401),
        ("/guardrails", 401),
        ("/credits", 403),
        ("/activity", 403),
    ):
        assert send(emulator, "GET", path, key="sk-or-v1-inference")[0] == status
    assert httpx2.get(f"{emulator.url}/keys").status_code == 401


# --- guardrails -------------------------------------------------------------------------------


def guard(accounts, key, **fields):
    """Restrict a key."""
    guardrail = accounts.guardrails.create("g", **fields)
    accounts.guardrails.assign_keys(guardrail, [key])
    return guardrail


def test_models_of_a_guardrail(emulator, accounts):
    """An allowlist and an ignored model; a fallback that is allowed serves."""
    key = accounts.keys.create("n").key
    guard(accounts, key, allowed_models=["openai/gpt-4o", MODEL], ignored_models=[MODEL])

    assert chat(emulator, key, "openai/gpt-4o:nitro").text
    with pytest.raises(errors.PermissionDeniedError, match="403"):
        chat(emulator, key)
    served = chat(emulator, key, models=["openai/gpt-4o"])
    assert served.response_metadata["model_name"] == "openai/gpt-4o"


def test_providers_of_a_guardrail(emulator, accounts):
    """No endpoint is left: 404, in the live service's words."""
    key = accounts.keys.create("n").key
    guard(accounts, key, ignored_providers=["openai", "azure"])

    with pytest.raises(errors.ModelUnavailableError, match="guardrail restrictions"):
        chat(emulator, key)
    other = accounts.keys.create("m").key
    guard(accounts, other, allowed_providers=["azure"])
    assert chat(emulator, other).response_metadata["provider"] == "Azure"


def test_embeddings_are_restricted_too(emulator, accounts):
    """The guardrail is the key's, not chat's."""
    key = accounts.keys.create("n").key
    guard(accounts, key, allowed_models=[MODEL])
    embeddings = OpenRouterEmbeddings(model="openai/text-embedding-3-small", base_url=emulator.url)

    with pytest.raises(errors.PermissionDeniedError):
        embeddings.for_user(key).embed_query("a")


def test_the_budget_of_a_guardrail_is_each_keys_own(emulator, accounts):
    """It is refused with 403, shows in `GET /key`, and begins anew."""
    ann, ben = (accounts.keys.create(name).key for name in ("ann", "ben"))
    guardrail = accounts.guardrails.create("g", limit_usd=1e-7, reset_interval="daily")
    accounts.guardrails.assign_keys(guardrail, [ann, ben])
    chat(emulator, ann)

    with pytest.raises(errors.InsufficientCreditsError, match="403"):
        chat(emulator, ann)
    assert chat(emulator, ben).text
    budget = ann.info().effective_budget
    assert (budget.scope, budget.guardrail_id, budget.remaining_usd) == ("api_key", guardrail.id, 0)
    emulator.clock.advance(86_400)
    assert chat(emulator, ann).text


def test_a_workspaces_default_guardrail_needs_no_assignment(emulator, accounts):
    """It exists once it is written, and is combined with the key's own."""
    workspace = accounts.workspaces.get("default")
    with pytest.raises(errors.NotFoundError):
        accounts.guardrails.get(workspace.default_guardrail_id)
    accounts.guardrails.update(workspace.default_guardrail_id, allowed_models=[MODEL, "a/b"])
    key = accounts.keys.create("n").key

    with pytest.raises(errors.PermissionDeniedError):
        chat(emulator, key, "openai/gpt-4o")
    assert chat(emulator, key).text
    guard(accounts, key, allowed_models=["openai/gpt-4o"])
    for model in (MODEL, "openai/gpt-4o"):
        with pytest.raises(errors.PermissionDeniedError):
            chat(emulator, key, model)


def test_one_guardrail_can_be_assigned_to_a_key(emulator, accounts):
    """Another one takes its place; deleting it leaves none."""
    key = accounts.keys.create("n").key
    guard(accounts, key, allowed_models=["a/b"])
    second = guard(accounts, key, allowed_models=[MODEL])

    assert chat(emulator, key).text
    assert [row.guardrail_id for row in accounts.guardrails.key_assignments()] == [second.id]
    accounts.guardrails.delete(second)
    assert chat(emulator, key, "openai/gpt-4o").text


def test_content_and_region_of_a_guardrail(emulator, accounts):
    """A pattern in what the user says, or another host than the request's: 403."""
    ann, ben = (accounts.keys.create(name).key for name in ("ann", "ben"))
    guard(accounts, ann, content_filters=[{"action": "block", "pattern": r"h\w"}])
    guard(accounts, ben, allowed_data_regions=["europe"])

    with pytest.raises(errors.PermissionDeniedError, match="Request blocked"):
        chat(emulator, ann)
    with pytest.raises(errors.PermissionDeniedError, match="europe"):
        chat(emulator, ben)
