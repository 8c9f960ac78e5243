"""A new key against what its sign-in requested, and what `GET /key` tells of a key."""

from __future__ import annotations

import asyncio
import warnings
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from langchain_core.stores import InMemoryByteStore
from starlette.applications import Starlette
from starlette.routing import Mount

from langchain_openrouter import ChatOpenRouter, errors
from langchain_openrouter.key_store import KeyStore
from langchain_openrouter.oauth import KeyInfo, PKCELogin, UserKey, alogin, login
from langchain_openrouter.web import SignIn
from tests.support.loopback import Reply
from tests.support.webapp import Visit, in_thread

pytestmark = pytest.mark.off_spec("no chat request")
BOTH = pytest.mark.parametrize("how", ["sync", "async"])
SECRET = "a secret of sixteen bytes and more"
EXPIRES = "2027-01-31T12:00:00Z"
REQUESTED = {
    "limit": 5.0,
    "usage_limit_type": "weekly",
    "expires_at": EXPIRES,
    "workspace_id": "ws-proposed",
    "required_workspace_id": "ws-required",
}
AS_REQUESTED = {
    "limit": 5,
    "limit_reset": "weekly",
    "expires_at": "2027-01-31T12:00:00.000+00:00",
    "workspace_id": "ws-required",
}


def api(data, status=200):
    """Return what answers an exchange, and `GET /key` with these facts."""

    def reply(seen):
        if seen.path.endswith("/auth/keys"):
            return Reply({"key": "sk-or-v1-new", "user_id": "user_ann"})
        if status != 200:
            return Reply({"error": {"code": status, "message": "x"}}, status)
        return Reply({"data": data})

    return reply


def redeem(server, how, **requested):
    """Return the key of a sign-in by hand."""
    pending = PKCELogin.start(base_url=server.url, **requested)
    return pending.redeem("code") if how == "sync" else asyncio.run(pending.aredeem("code"))


def sign_in(server, how, **options):
    """Return the key of `login` or `alogin`."""
    options = {"mode": "headless", "prompt": lambda _: "code", "open_browser": False,
               "base_url": server.url, **options}  # fmt: skip
    return login(**options) if how == "sync" else asyncio.run(alogin(**options))


@BOTH
@pytest.mark.parametrize("begin", [redeem, sign_in])
@pytest.mark.parametrize(
    ("changed", "granted", "text"),
    [
        ({"limit": None}, {"limit": None}, "limit is None instead of 5.0"),
        ({"limit": 3}, {"limit": 3}, "limit is 3 instead of 5.0"),
        ({"limit_reset": None}, {"usage_limit_type": None}, "instead of 'weekly'"),
        ({"expires_at": None}, {"expires_at": None}, f"instead of '{EXPIRES}'"),
        ({"workspace_id": "ws-other"}, {"workspace_id": "ws-other"}, "instead of 'ws-required'"),
    ],
)
def test_a_key_that_differs_from_the_request_warns(begin, how, changed, granted, text, serve):
    """The difference is in the warning and in `granted`; the key is returned all the same."""
    server = serve(api({**AS_REQUESTED, **changed}))
    with pytest.warns(UserWarning, match="not as requested") as caught:
        key = begin(server, how, **REQUESTED)

    assert key.granted == granted
    assert key == UserKey("sk-or-v1-new", "user_ann", server.url)
    assert text in str(caught[0].message)
    assert key.settings_url in str(caught[0].message)
    assert "sk-or-v1-new" not in str(caught[0].message) + repr(key)


@BOTH
@pytest.mark.parametrize("begin", [redeem, sign_in])
def test_a_key_as_requested_does_not_warn(begin, how, serve):
    """Dates and amounts are compared as such; what the service leaves out is not compared."""
    for data in (AS_REQUESTED, {"label": "older service"}):
        server = serve(api(data))
        key = begin(server, how, **REQUESTED)

        assert key.granted == {}
        assert [seen.path.rpartition("/")[2] for seen in server.seen] == ["keys", "key"]


@BOTH
def test_nothing_is_compared_where_nothing_was_requested(how, serve):
    """The exchange by hand is one request; `granted` is None."""
    server = serve(api(AS_REQUESTED))

    assert redeem(server, how, key_label="My app").granted is None
    assert len(server.seen) == 1


@BOTH
@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_comparison_that_fails_keeps_the_key(how, status, serve):
    """The code is spent: an error of `GET /key` must not lose the key that came for it."""
    key = redeem(serve(api({}, status)), how, limit=5)

    assert key.secret.get_secret_value() == "sk-or-v1-new"
    assert key.granted is None


@BOTH
def test_a_rejected_key_ends_a_sign_in_with_a_limit(how, serve):
    """As one without: `login` returns no key that OpenRouter does not accept."""
    with pytest.raises(errors.SignInRefusedError, match="does not accept"):
        sign_in(serve(api({}, 401)), how, limit=5)


@BOTH
def test_a_key_that_differs_is_stored_before_the_warning(how, serve):
    """Where warnings are errors there is none, stored or not: it would lose the key."""
    server, keys = serve(api({"limit": None})), KeyStore()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sign_in(server, how, limit=5, key_store=keys)
        unstored = sign_in(serve(api({"limit": None})), how, limit=5)

    assert keys.get("default").secret.get_secret_value() == "sk-or-v1-new"
    assert unstored.granted == {"limit": None}


@BOTH
@pytest.mark.parametrize("limit", [int("1" * 400), "sk-or-v1-new", ["sk-or-v1-new"], {}])
def test_an_odd_response_loses_no_key_and_shows_none(limit, how, serve):
    """Numbers without end, other types, the key itself."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        key = sign_in(serve(api({"limit": limit})), how, limit=5)

    assert key.secret.get_secret_value() == "sk-or-v1-new"
    assert "sk-or-v1-new" not in f"{key.granted}{[str(warning.message) for warning in caught]}"


def parameters(url):
    """Return the query of the page."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@BOTH
@pytest.mark.parametrize("door", ["login", "model"])
def test_the_page_receives_the_workspace_and_the_expiry(door, how, serve, capsys):
    """`login` and `ChatOpenRouter.login` send the same arguments as `PKCELogin.start`."""
    server = serve(api(AS_REQUESTED))
    if door == "login":
        sign_in(server, how, **REQUESTED)
    else:
        options = {"mode": "headless", "prompt": lambda _: "code", "open_browser": False,
                   "base_url": server.url, "model": "a/b", **REQUESTED}  # fmt: skip
        start = ChatOpenRouter.login if how == "sync" else ChatOpenRouter.alogin
        model = start(**options) if how == "sync" else asyncio.run(start(**options))
        assert model.openai_api_base == server.url

    url = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("http"))
    sent = parameters(url)
    assert sent["workspace_id"] == "ws-proposed"
    assert sent["required_workspace_id"] == "ws-required"
    assert sent["expires_at"] == EXPIRES


def test_an_expiry_can_be_a_time_from_now():
    """So that an app that runs for months need not name a moment."""
    pending = PKCELogin.start(expires_at=timedelta(days=30))
    moment = datetime.fromisoformat(parameters(pending.url)["expires_at"])

    assert abs(moment - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)


def test_a_sealed_sign_in_keeps_the_required_workspace():
    """It is the same sign-in after it was a cookie."""
    pending = PKCELogin.start("https://app.example.org/cb", required_workspace_id="ws-required")

    assert PKCELogin.unseal(pending.seal(SECRET), SECRET) == pending


def test_a_web_app_requests_and_compares(serve):
    """`SignIn` sends the arguments; its event says what the key has instead; the visitor is in."""
    events = []
    server = serve(api({**AS_REQUESTED, "limit": None}))
    routes = SignIn(
        secret=SECRET, store=InMemoryByteStore(), base_url=server.url, limit=5,
        usage_limit_type="weekly", expires_at=timedelta(days=30), workspace_id="ws-proposed",
        required_workspace_id="ws-required", on_event=events.append,
    ).router  # fmt: skip
    with in_thread(Starlette(routes=[Mount("/auth", routes)])) as url:
        ann = Visit(url)
        sent = parameters(ann.to_consent())
        answer = ann.client.get(
            str(httpx2.URL(sent["callback_url"]).copy_merge_params(
                {"code": "c", "state": sent["state"]}))
        )  # fmt: skip
        signed_in = ann.get("/auth/me").json()["signed_in"]
        ann.close()

    assert sent["workspace_id"] == "ws-proposed"
    assert sent["required_workspace_id"] == "ws-required"
    assert sent["expires_at"].endswith("Z")
    assert answer.status_code == 303
    assert signed_in
    event = next(event for event in events if event.kind == "signed_in")
    assert event.granted.keys() == {"limit", "expires_at"}


@BOTH
@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Invalid code"}, errors.SignInCodeError),
        ({"message": "Invalid code or code_verifier"}, errors.SignInCodeError),
        ({"name": "ZodError", "message": '[{"code": "invalid_format", "path": ["code"]}]'},
         errors.SignInCodeError),
        ({"message": "Authorization code expired"}, errors.SignInExpiredError),
    ],
)  # fmt: skip
def test_a_wrong_code_is_one_error_whatever_its_status(how, status, error, kind, serve):
    """The live service answers 400 where the documentation says 403."""
    server = serve(Reply({"success": False, "error": error}, status))
    with pytest.raises(errors.SignInError) as caught:
        redeem(server, how)

    assert type(caught.value) is kind
    assert caught.value.code == status
    assert len(server.seen) == 1


BUDGET = {
    "scope": "workspace", "limit_usd": 10, "spend_usd": 10.5, "remaining_usd": -0.5,
    "reset_interval": "monthly", "resets_at": "2026-12-01T00:00:00Z", "include_byok": False,
    "budget_id": "b-1", "guardrail_id": None,
}  # fmt: skip
OWN_LIMIT = {**BUDGET, "scope": "key_limit", "limit_usd": 5, "spend_usd": 1, "remaining_usd": 4}


@BOTH
def test_the_facts_of_a_key_are_typed(how, serve):
    """Budgets, free-model requests, workspace and organization, over HTTP."""
    data = {
        "label": "x", "limit": 5, "limit_remaining": 4, "usage": 1, "usage_daily": 0.5,
        "usage_weekly": 0.75, "usage_monthly": 1, "workspace_id": "ws", "organization_id": "org",
        "budgets": [BUDGET, OWN_LIMIT, "odd"], "effective_budget": BUDGET,
        "free_model_daily_requests": {"limit": 50, "used": 20, "remaining": 30},
    }  # fmt: skip
    key = UserKey("sk-or-v1-ann", base_url=serve(Reply({"data": data})).url)
    info = key.info() if how == "sync" else asyncio.run(key.ainfo())

    assert [budget.scope for budget in info.budgets] == ["workspace", "key_limit"]
    assert info.effective_budget == info.budgets[0]
    assert info.effective_budget.remaining_usd == -0.5
    assert info.effective_budget.is_spent
    assert info.free_model_daily_requests.remaining == 30
    assert (info.workspace_id, info.organization_id) == ("ws", "org")
    assert (info.usage_daily, info.usage_weekly, info.usage_monthly) == (0.5, 0.75, 1)
    assert info.blocked_by == (
        "the workspace's budget of $10.00 is spent until 2026-12-01T00:00:00Z"
    )
    assert "workspace&#x27;s budget" in info._repr_html_()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, None),
        ({"limit": 5, "limit_remaining": 5}, None),
        ({"limit": 5, "limit_remaining": 0}, "the key's own limit of $5.00 is spent"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "the key expired on 2020-01-01T00:00:00Z"),
        ({"expires_at": "2099-01-01T00:00:00Z"}, None),
        ({"expires_at": "soon", "budgets": "none", "effective_budget": []}, None),
        ({"budgets": [{"scope": "new", "remaining_usd": 0}]}, "a budget is spent"),
        ({"is_free_tier": True, "free_model_daily_requests": {"limit": 50, "remaining": 0}},
         "all 50 requests to free models of this UTC day are used"),
        ({"is_free_tier": False, "free_model_daily_requests": {"limit": 50, "remaining": 0}}, None),
    ],
)  # fmt: skip
def test_what_blocks_a_key_is_said_in_words(data, text):
    """None where nothing is known to block it."""
    assert KeyInfo.from_api({"data": data}).blocked_by == text
