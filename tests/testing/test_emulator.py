"""The emulator over real HTTP: what it refuses, what it answers, what goes wrong when asked to."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from langchain_openrouter import ChatOpenRouter, errors, testing
from langchain_openrouter.testing import Fault, Reply, error
from langchain_openrouter.testing.emulator import ERRORS
from langchain_openrouter.testing.emulator._accounts import budget
from langchain_openrouter.testing.emulator._schema_examples import example_for
from langchain_openrouter.testing.emulator._validation import validation_errors
from tests.support.browser import Browser

HEADERS = {"authorization": "Bearer k"}
FINE = {"model": "a/b", "messages": [{"role": "user", "content": "x"}]}


def model_on(emulator, **words):
    """Make a model that talks to an emulator."""
    return ChatOpenRouter(**{"model": "a/b", "api_key": "k", "base_url": emulator.url, "max_retries": 0,
                             "timeout": 5, **words})  # fmt: skip


def post(emulator, path, body, headers=HEADERS):
    """Send a request."""
    return httpx2.post(f"{emulator.url}{path}", json=body, headers=headers)


def get(emulator, path, **params):
    """Ask for something."""
    return httpx2.get(f"{emulator.url}{path}", headers=HEADERS, params=params)


# --- what it refuses --------------------------------------------------------------------------

MALFORMED = [
    {},
    {"model": "a/b"},
    {**FINE, "messages": []},
    {**FINE, "messages": "x"},
    {**FINE, "messages": [{"role": "wizard", "content": "x"}]},
    {**FINE, "messages": [{"role": "user", "content": None}]},
    {**FINE, "messages": [{"role": "user", "content": [{"type": "image"}]}]},
    {**FINE, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}]},
    {**FINE, "messages": [{"role": "tool", "content": "x"}]},
    {**FINE, "messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
    {**FINE, "temperature": "hot"},
    {**FINE, "max_tokens": 1.5},
    {**FINE, "stop": ["a", "b", "c", "d", "e"]},
    {**FINE, "provider": {"zrd": True}},
    {**FINE, "tools": [{"type": "function", "function": {}}]},
    {**FINE, "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {**FINE, "models": "a/b"},
    {**FINE, "model": "nonsense"},
    {**FINE, "models": ["a/b", "nonsense"]},
]


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_request_is_refused(emulate, body):
    """With a 400 in the service's own envelope."""
    answer = post(emulate(), "/chat/completions", body)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400
    assert answer.json()["error"]["message"]


def test_a_well_formed_request_is_not(emulate):
    """Nulls are "not set", new fields are let through, a preset is a slug."""
    emulator = emulate()

    for more in ({"temperature": None, "top_p": 1, "brand_new": [1]}, {"model": "@preset/mine"},
                 {"tools": [{"type": "openrouter:web_search"}]}, {"reasoning": {"effort": "brand-new"}}):  # fmt: skip
        assert post(emulator, "/chat/completions", {**FINE, **more}).status_code == 200, more


def test_every_recorded_request_is_well_formed():
    """What the live service took, the emulator takes."""
    from tests.support.traffic import exchanges

    if not exchanges():
        pytest.skip("OPENROUTER_TRAFFIC names no folder of recordings")
    refused = {
        e["id"]: validation_errors(e["request"])
        for e in exchanges()
        if e["status"] == 200 and validation_errors(e["request"])
    }

    assert not refused


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "unknown"}, {"authorization": "Bearer unknown"}]
)
def test_a_key_is_needed(emulate, headers):
    """None, an empty one, and, where only known ones count, an unknown one."""
    answer = post(emulate(any_key=False), "/chat/completions", FINE, headers)

    assert answer.status_code == 401
    assert "user_id" not in answer.json()


def test_keys_run_out_and_are_disabled(emulate):
    """A limit, an account without credit, a disabled and an expired key."""
    emulator = emulate()
    emulator.accounts.add_key("limited", limit=0.00001)
    emulator.accounts.add_key("broke", credits=0.0)
    emulator.accounts.add_key("off", disabled=True)
    emulator.accounts.add_key("old", expires_at="2020-01-01T00:00:00+00:00")
    limited = model_on(emulator).for_user("limited")
    limited.invoke("x " * 100)

    with pytest.raises(errors.InsufficientCreditsError):
        limited.invoke("x")
    for key, kind in (("broke", errors.InsufficientCreditsError), ("off", errors.AuthenticationError),
                      ("old", errors.AuthenticationError)):  # fmt: skip
        with pytest.raises(kind):
            model_on(emulator).for_user(key).invoke("x")
    info = httpx2.get(f"{emulator.url}/key", headers={"authorization": "Bearer limited"}).json()[
        "data"
    ]
    assert info["usage"] > info["limit"]
    assert info["limit_remaining"] == 0


# --- what goes wrong when asked to ------------------------------------------------------------

KINDS = {
    "bad_request": errors.InvalidRequestError, "unknown_model": errors.InvalidRequestError,
    "context_length": errors.ContextOverflowError, "authentication": errors.AuthenticationError,
    "payment_required": errors.InsufficientCreditsError, "unaffordable": errors.InsufficientCreditsError,
    "in_flight_budget": errors.InsufficientCreditsError, "key_limit_402": errors.InsufficientCreditsError,
    "forced_tool": errors.InvalidRequestError, "mandatory_reasoning": errors.InvalidRequestError,
    "key_limit": errors.InsufficientCreditsError,
    "permission": errors.PermissionDeniedError, "moderation": errors.ModerationError,
    "no_endpoints": errors.ModelUnavailableError, "timeout": errors.RequestTimeoutError,
    "conflict": errors.InvalidRequestError, "precondition": errors.InvalidRequestError,
    "too_large": errors.InvalidRequestError, "unprocessable": errors.InvalidRequestError,
    "rate_limit": errors.RateLimitError, "server": errors.UpstreamError, "provider": errors.UpstreamError,
    "overloaded": errors.UpstreamError, "gateway_timeout": errors.RequestTimeoutError,
    "edge_timeout": errors.RequestTimeoutError,
}  # fmt: skip


SUBTYPES = {"in_flight_budget"}  # a type under it says that it passes


@pytest.mark.parametrize("form", ["status", "body", "choice", "event"])
@pytest.mark.parametrize("name", ERRORS)
def test_every_documented_error_in_every_form(emulate, name, form):
    """Whole and streamed, each ends in its own type, with what came before."""
    emulator = emulate(lambda _: error(name, form, text="So far"))

    for ask in (lambda m: m.invoke("x"), lambda m: list(m.stream("x"))):
        with pytest.raises(KINDS[name]) as caught:
            ask(model_on(emulator))
        assert type(caught.value) is KINDS[name] or name in SUBTYPES
        if form in {"choice", "event"}:
            assert caught.value.partial.text == "So far"


def test_an_unknown_error_is_named():
    """With the names there are."""
    with pytest.raises(ValueError, match="rate_limit"):
        error("ratelimit")


def test_rate_limits_have_their_headers(emulate):
    """On OpenRouter's own 429 and nowhere else."""
    emulator = emulate([error("rate_limit", retry_after=3), "fine"])
    limited, fine = (post(emulator, "/chat/completions", FINE) for _ in range(2))

    assert limited.headers["retry-after"] == "3"
    assert limited.headers["x-ratelimit-remaining"] == "0"
    assert not [name for name in fine.headers if name.startswith("x-ratelimit")]
    assert fine.headers["x-generation-id"] == fine.json()["id"]
    assert "__cf_bm" in fine.headers["set-cookie"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_connections_end(emulate, kind, streamed):
    """At once, and in the middle."""
    emulator = emulate(
        [Reply("some words", fault=Fault(kind, after=after)) for after in (0, 3 if streamed else 1)]
    )
    for _ in range(2):
        with pytest.raises(errors.ConnectionFailedError):
            list(model_on(emulator).stream("x")) if streamed else model_on(emulator).invoke("x")


def test_a_stall_is_a_timeout_and_the_server_learns_who_left(emulate):
    """The idle time is the client's; the emulator sets `gone`."""
    emulator = emulate([Reply("some words", fault=Fault("stall", after=3, seconds=30))])

    with pytest.raises(errors.ConnectionTimeoutError):
        list(model_on(emulator, timeout=0.3).stream("x"))
    assert emulator.chats[0].gone.wait(5)


def test_drips_doubles_and_nonsense_are_read(emulate):
    """Byte by byte; each event twice; an event that is no JSON; no body; a page."""
    emulator = emulate([
        Reply("slow", fault=Fault("drip", seconds=0.0001)), Reply("twice", fault=Fault("duplicate")),
        Reply("broken", fault=Fault("malformed", after=2)), Reply("", fault=Fault("empty")),
        Reply("", fault=Fault("html")),
    ])  # fmt: skip
    model = model_on(emulator)

    assert "".join(c.text for c in model.stream("x")) == "slow"
    assert "".join(c.text for c in model.stream("x")) == "twicetwice"
    for _ in range(3):
        with pytest.raises(errors.OpenRouterError):
            list(model.stream("x"))


def test_a_script_that_is_over_says_so(emulate):
    """Instead of improvising."""
    emulator = emulate(["one"])
    model_on(emulator).invoke("x")

    with pytest.raises(errors.UpstreamError, match="no reply left"):
        model_on(emulator).invoke("x")


# --- what models refuse ----------------------------------------------------------------------

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
FORCED = ["required", {"type": "function", "function": {"name": "f"}}]
AUTO_ONLY = [
    "anthropic/claude-opus-5.5",
    "anthropic/claude-sonnet-5.5",
    "~anthropic/claude-opus-latest",
    "~anthropic/claude-sonnet-latest",
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", FORCED)
@pytest.mark.parametrize("slug", AUTO_ONLY)
def test_a_forced_tool_is_refused_by_models_that_take_none(emulate, slug, choice, stream):
    """With the vendor's words in `metadata.raw`; `auto` and `none` are taken."""
    emulator = emulate()
    body = {**FINE, "model": slug, "tools": [TOOL], "tool_choice": choice, "stream": stream}
    refused = post(emulator, "/chat/completions", body)

    assert refused.status_code == 400
    raw = refused.json()["error"]["metadata"]["raw"]
    message = json.loads(raw)["error"]["message"]
    assert message == 'tool_choice: type "tool" and "any" are not supported for this model.'
    for other in ("auto", "none"):
        taken = post(emulator, "/chat/completions", {**body, "tool_choice": other})
        assert taken.status_code == 200


@pytest.mark.parametrize("choice", FORCED)
def test_a_forced_tool_is_called_by_models_that_take_it(emulate, choice):
    """Haiku of the same family does; so does the fallback of a model that does not."""
    emulator = emulate()
    body = {**FINE, "tools": [TOOL], "tool_choice": choice}
    haiku = post(emulator, "/chat/completions", {**body, "model": "anthropic/claude-haiku-5.5"})
    fallback = post(
        emulator,
        "/chat/completions",
        {**body, "model": AUTO_ONLY[0], "models": ["openai/gpt-4o-mini"]},
    )

    for answer in (haiku, fallback):
        assert answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "f"
    assert fallback.json()["model"] == "openai/gpt-4o-mini"


def test_more_effort_is_longer_reasoning_that_costs_more(emulate):
    """In steps, so that a plot of effort against cost shows something; none is the least."""
    emulator = emulate()
    usage = [
        post(
            emulator,
            "/chat/completions",
            {**FINE, "model": "anthropic/claude-sonnet-4.6", "reasoning": {"effort": effort}},
        ).json()["usage"]
        for effort in ("none", "low", "medium", "high", "xhigh", "max")
    ]
    tokens = [one["completion_tokens_details"]["reasoning_tokens"] for one in usage]
    costs = [one["cost"] for one in usage]

    assert tokens == sorted(set(tokens))
    assert tokens[0] == 0
    assert costs == sorted(set(costs))


@pytest.mark.parametrize(
    "off",
    [
        {"reasoning": {"enabled": False}},
        {"reasoning": {"effort": "none"}},
        {"reasoning_effort": "none"},
    ],
)
def test_mandatory_reasoning_cannot_be_turned_off(emulate, off):
    """It is shown without being requested; an alias turns it on again; Haiku may go without."""
    emulator = emulate()
    refused = post(emulator, "/chat/completions", {**FINE, "model": AUTO_ONLY[0], **off})
    shown = post(emulator, "/chat/completions", {**FINE, "model": AUTO_ONLY[0]})
    alias = post(emulator, "/chat/completions", {**FINE, "model": AUTO_ONLY[2], **off})
    haiku = post(
        emulator, "/chat/completions", {**FINE, "model": "anthropic/claude-haiku-5.5", **off}
    )

    assert refused.status_code == 400
    assert "Reasoning is mandatory for this endpoint" in refused.json()["error"]["message"]
    for answer in (shown, alias):
        assert answer.json()["choices"][0]["message"]["reasoning"].startswith("The user asks")
        assert answer.json()["model"] == AUTO_ONLY[0]
    assert haiku.json()["choices"][0]["message"]["reasoning"] is None


def test_a_prefill_and_a_fifth_breakpoint_are_refused(emulate):
    """As Anthropic does."""
    emulator = emulate()
    part = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    crowded = {"messages": [{"role": "user", "content": [part] * 5}]}
    prefilled = {"messages": [*FINE["messages"], {"role": "assistant", "content": "So"}]}

    for more in (crowded, prefilled):
        body = {"model": AUTO_ONLY[0], **more}
        assert post(emulator, "/chat/completions", body).status_code == 400
        assert post(emulator, "/chat/completions", {**body, "model": "a/b"}).status_code == 200


def test_slugs_are_checked_where_that_is_switched_on(emulate):
    """Those of the catalog and of the profiles, aliases, variants, routers and presets pass."""
    emulator = emulate(strict_models=True)
    for slug in (
        "openai/gpt-4o-mini", "openai/gpt-4o-mini:nitro", "~anthropic/claude-opus-latest",
        "openrouter/auto", "@preset/mine", "openai/gpt-4o",
    ):  # fmt: skip
        assert post(emulator, "/chat/completions", {**FINE, "model": slug}).status_code == 200, slug
    unknown = post(emulator, "/chat/completions", {**FINE, "model": "openai/gpt-4o-mimi"})
    embedded = post(emulator, "/embeddings", {"model": "openai/text-embeding", "input": "x"})

    assert unknown.status_code == embedded.status_code == 400
    message = unknown.json()["error"]["message"]
    assert message.startswith("openai/gpt-4o-mimi is not a valid model ID. Did you mean ")
    assert "openai/gpt-4o-mini" in message


# --- the kinds of 402 -------------------------------------------------------------------------


def streaming(emulator, text="some words here"):
    """Start a stream that holds its budget until it is closed."""
    emulator.script(lambda _: Reply(text, pause=0.05))
    body = {**FINE, "stream": True, "max_tokens": 1000}
    return httpx2.stream("POST", f"{emulator.url}/chat/completions", json=body, headers=HEADERS)


def test_running_requests_hold_the_budget_until_they_end(emulate):
    """402 with Retry-After while another runs; taken when that has ended, or its client has left."""
    emulator = emulate()
    emulator.accounts.add_key("k", in_flight_budget=0.001)
    emulator.payments.retry_after = 3
    body = {**FINE, "max_tokens": 1000}

    for leave in (False, True):
        with streaming(emulator) as running:
            lines = running.iter_lines()
            next(lines)
            refused = post(emulator, "/chat/completions", body)
            if not leave:
                assert "data: [DONE]" in list(lines)
        deadline = time.monotonic() + 5
        while emulator.accounts.keys["k"].held and time.monotonic() < deadline:
            time.sleep(0.01)
        taken = post(emulator, "/chat/completions", body)

        assert (refused.status_code, taken.status_code) == (402, 200)
        metadata = refused.json()["error"]["metadata"]
        assert metadata["limit_source"] == "openrouter_in_flight_budget"
        assert metadata["reason"] == "in_flight_budget_exhausted"
        assert refused.headers["retry-after"] == "3"
    assert emulator.accounts.keys["k"].held == 0


def test_a_client_that_waits_gets_through_on_a_busy_budget(emulate):
    """Twenty at once on a budget for two: nobody is refused for good, and nothing stays held."""
    emulator = emulate(lambda _: Reply("x", pause=0.01))
    emulator.accounts.add_key("k", in_flight_budget=0.0013)
    emulator.payments.retry_after = 0.05
    statuses = []

    def insist(_):
        for _ in range(200):
            answer = post(emulator, "/chat/completions", {**FINE, "max_tokens": 1000})
            statuses.append(answer.status_code)
            if answer.status_code == 200:
                return True
            time.sleep(float(answer.headers["retry-after"]))
        return False

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(insist, range(20)))
    assert emulator.accounts.keys["k"].held == 0


def test_a_request_that_the_budget_never_covers_is_told_what_it_affords(emulate):
    """By its `max_tokens`, or by a fixed number without; a smaller one is taken."""
    emulator = emulate()
    emulator.accounts.add_key("k", credits=0.002)
    refused = post(emulator, "/chat/completions", FINE)
    error_ = refused.json()["error"]
    affordable = int(re.search(r"can only afford (\d+)", error_["message"])[1])

    assert refused.status_code == 402
    assert "You requested up to 16384 tokens" in error_["message"]
    assert error_["metadata"]["limit_source"] == "openrouter_credits"
    assert error_["metadata"]["reason"] == "weight_exceeds_budget"
    assert "retry-after" not in refused.headers
    fits = post(emulator, "/chat/completions", {**FINE, "max_tokens": affordable})
    over = post(emulator, "/chat/completions", {**FINE, "max_tokens": affordable + 5})
    assert (fits.status_code, over.status_code) == (200, 402)


def test_a_spent_key_limit_and_a_spent_balance_say_which(emulate):
    """Both are 402; a budget of the workspace is a 403."""
    emulator = emulate()
    emulator.accounts.add_key("limited", limit=1, usage=1.5, limit_reset="daily")
    emulator.accounts.add_key("broke", credits=0.0)
    emulator.accounts.add_key("team", budgets=[budget("workspace", 2.0, 2.0, "monthly")])
    answers = {
        key: post(emulator, "/chat/completions", FINE, {"authorization": f"Bearer {key}"})
        for key in ("limited", "broke", "team")
    }
    sources = {
        key: (a.status_code, a.json()["error"].get("metadata", {}).get("limit_source"))
        for key, a in answers.items()
    }

    assert sources == {
        "limited": (402, "openrouter_key_limit"),
        "broke": (402, "openrouter_credits"),
        "team": (403, None),
    }
    assert answers["limited"].json()["error"]["metadata"]["limit_reset"] == "daily"


def test_a_key_tells_its_budgets(emulate):
    """All of them, the tightest as the effective one, with the time of its reset; and quotas."""
    moment = 1_764_072_000.0  # Tuesday 2025-11-25, 12:00 UTC
    emulator = emulate(clock=lambda: moment)
    emulator.accounts.add_key(
        "k", limit=5.0, limit_reset="weekly", budgets=[budget("workspace", 100.0)]
    )
    post(emulator, "/chat/completions", FINE)
    data = get(emulator, "/key").json()["data"]

    assert [entry["scope"] for entry in data["budgets"]] == ["workspace", "key_limit"]
    assert data["budgets"][0]["spend_usd"] == data["usage"] > 0
    assert data["effective_budget"] == data["budgets"][1]
    assert data["effective_budget"]["resets_at"] == "2025-12-01T00:00:00+00:00"
    assert data["free_model_daily_requests"] == {"limit": 1000, "used": 0, "remaining": 1000}
    assert data["workspace_id"] == "ws_emulated"


# --- providers, prompt caching ----------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("preferences", "provider"),
    [
        ({}, "Anthropic"),
        ({"order": ["amazon-bedrock", "anthropic"]}, "Amazon Bedrock"),
        ({"order": ["nobody"]}, "Anthropic"),
        ({"only": ["Google"]}, "Google"),
        (
            {"only": ["google-vertex", "amazon-bedrock"], "order": ["amazon-bedrock"]},
            "Amazon Bedrock",
        ),
        ({"ignore": ["anthropic"]}, "Amazon Bedrock"),
        ({"sort": "latency"}, "Amazon Bedrock"),
        ({"sort": {"by": "throughput", "partition": "model"}}, "Google"),
        ({"sort": "price"}, "Anthropic"),
    ],
)
def test_the_provider_that_is_preferred_is_reported(emulate, preferences, provider, stream):
    """In the response, and in `GET /generation`."""
    emulator = emulate()
    body = {
        **FINE,
        "model": "anthropic/claude-sonnet-4.6",
        "provider": preferences,
        "stream": stream,
    }
    answer = post(emulator, "/chat/completions", body)
    first = answer.text.partition("data: ")[2].partition("\n")[0] if stream else answer.text
    payload = json.loads(first)

    assert payload["provider"] == provider
    about = get(emulator, "/generation", id=payload["id"]).json()["data"]
    assert about["provider_name"] == provider


@pytest.mark.parametrize(
    "preferences",
    [
        {"only": ["groq"]},
        {"ignore": ["anthropic", "amazon-bedrock", "google-vertex"]},
        {"order": ["groq"], "allow_fallbacks": False},
    ],
)
def test_preferences_that_leave_no_provider_are_a_404(emulate, preferences):
    """A model that is not listed is served by any provider that the emulator knows."""
    emulator = emulate()
    listed = {**FINE, "model": "anthropic/claude-sonnet-4.6", "provider": preferences}

    assert post(emulator, "/chat/completions", listed).status_code == 404
    other = post(emulator, "/chat/completions", {**FINE, "provider": {"only": ["groq"]}})
    assert other.json()["provider"] == "Groq"


@pytest.mark.parametrize(("variant", "provider"), [("nitro", "Google"), ("floor", "Anthropic")])
def test_variants_sort_providers(emulate, variant, provider):
    """`:nitro` by throughput, `:floor` by price."""
    body = {**FINE, "model": f"anthropic/claude-sonnet-4.6:{variant}"}

    assert post(emulate(), "/chat/completions", body).json()["provider"] == provider


LONG = "All work and no play makes Jack a dull boy. " * 200
MARK = {"type": "ephemeral"}


def usage_of(emulator, slug, messages, **more):
    """Return the usage of a chat request."""
    body = {"model": slug, "messages": messages, **more}
    return post(emulator, "/chat/completions", body).json()["usage"]


def user(text, **more):
    """Return a user message of one part."""
    return {"role": "user", "content": [{"type": "text", "text": text, **more}]}


@pytest.mark.parametrize("how", ["top", "part"])
def test_a_prompt_is_written_to_the_cache_and_then_read(emulate, how):
    """A write costs more than the prompt, a read a tenth; a conversation reads what came before."""
    emulator = emulate()
    slug = "anthropic/claude-sonnet-4.6"
    messages = [user(LONG, **({"cache_control": MARK} if how == "part" else {}))]
    more = {"cache_control": MARK} if how == "top" else {}
    plain = usage_of(emulator, slug, [user("B" + LONG)])
    first = usage_of(emulator, slug, messages, **more)
    again = usage_of(emulator, slug, messages, **more)
    longer = usage_of(
        emulator, slug, [*messages, {"role": "assistant", "content": "So"}, user("Go on")], **more
    )
    written, cached = (
        [u["prompt_tokens_details"][name] for u in (plain, first, again, longer)]
        for name in ("cache_write_tokens", "cached_tokens")
    )

    assert written[0] == cached[0] == cached[1] == written[2] == 0
    assert written[1] == cached[2] == cached[3] > 2000
    assert (written[3] > 0) == (how == "top")
    assert first["cost"] > plain["cost"] > 3 * again["cost"]


def test_a_cached_prompt_is_forgotten_in_time_and_private(emulate):
    """After five minutes, or an hour where that is requested; another key never reads it."""
    now = [1_764_072_000.0]
    emulator = emulate(clock=lambda: now[0])

    def cached(mark, text, key="k"):
        body = {
            "model": "anthropic/claude-sonnet-4.6",
            "messages": [user(text, cache_control=mark)],
        }
        answer = post(emulator, "/chat/completions", body, {"authorization": f"Bearer {key}"})
        return answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"] > 0

    hour = {**MARK, "ttl": "1h"}
    assert not cached(MARK, LONG)
    assert not cached(hour, "B" + LONG)
    assert not cached(MARK, LONG, "other")
    now[0] += 301
    assert not cached(MARK, LONG)
    assert cached(hour, "B" + LONG)


@pytest.mark.parametrize(
    ("slug", "more", "writes", "reads"),
    [
        ("openai/gpt-4o-mini", {}, False, True),
        ("openai/gpt-5.6-luna", {}, True, True),
        ("openai/gpt-5.6-luna", {"prompt_cache_options": {"mode": "explicit"}}, False, False),
        ("anthropic/claude-sonnet-4.6", {}, False, False),
        ("a/b", {}, False, False),
    ],
)
def test_vendors_cache_in_their_own_way(emulate, slug, more, writes, reads):
    """OpenAI by itself, from GPT-5.6 on at a price, which the explicit mode avoids."""
    emulator = emulate()
    first, second = (usage_of(emulator, slug, [user(LONG)], **more) for _ in range(2))

    assert (first["prompt_tokens_details"]["cache_write_tokens"] > 0) == writes
    assert (second["prompt_tokens_details"]["cached_tokens"] > 0) == reads
    short = [usage_of(emulator, slug, [user("Short")], **more) for _ in range(2)]
    assert short[1]["prompt_tokens_details"]["cached_tokens"] == 0


# --- what it improvises -----------------------------------------------------------------------


def test_citations_images_audio_and_files(emulate):
    """Each where the request asks for it."""
    emulator = emulate()
    searched = model_on(emulator).bind_tools([{"type": "openrouter:web_search"}]).invoke("news?")
    heard = list(
        model_on(
            emulator, modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}
        ).stream("x")
    )
    painted = model_on(emulator, modalities=["image", "text"]).invoke("a cat")

    assert (
        searched.additional_kwargs["annotations"][0]["url_citation"]["url"]
        == "https://example.org/"
    )
    assert searched.response_metadata["server_tool_use"]["web_search_requests"] == 1
    assert any("audio" in chunk.additional_kwargs for chunk in heard)
    url = painted.additional_kwargs["images"][0]["image_url"]["url"]
    assert url.startswith("data:image/png")
    png = base64.b64decode(url.partition(",")[2])
    assert int.from_bytes(png[16:20], "big") == 256  # the width: a picture that one can see


@pytest.mark.parametrize(
    ("name", "question", "called"),
    [
        ("get_weather", "What is the weather in Oslo?", True),
        ("GetWeather", "What is the weather in Oslo?", True),
        ("HTTPFetch", "Fetch this page", True),
        ("magic_function", "What is magicFunction(3)?", True),
        ("get_weather", "Get me a sentence on what this tool is described to do", False),
        ("getWeather", "whether it rains", False),
        ("multiply", "6 multiplied by 7", True),
        ("list_cities", "Which city is the largest?", True),
    ],
)
def test_a_tool_is_called_when_a_word_of_its_name_is_in_the_message(
    emulate, name, question, called
):
    """Its description counts for nothing, and neither does `get`."""
    tool = {
        "type": "function",
        "function": {
            "name": name,
            "description": "Described to do this: a sentence on whether it rains",
            "parameters": {"type": "object", "properties": {}},
        },
    }
    answer = model_on(emulate()).bind_tools([tool]).invoke(question)

    assert [call["name"] for call in answer.tool_calls] == [name] * called


def test_names_fill_a_schema_in_order_and_sentence_beginnings_last():
    """Quoted parts first; the capital of a sentence's first word is no better than a fallback."""
    schema = {"type": "object", "properties": {key: {"type": "string"} for key in "abc"}}
    made = example_for(schema, "Where is Paris? In the 'far north'.")

    assert made == {"a": "far north", "b": "Paris", "c": "Where"}


SCHEMAS = [
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 5}, "s": {"enum": ["a", "b"]}}, "required": ["n", "s"]},
    {"type": "object", "properties": {"p": {"$ref": "#/$defs/P"}}, "required": ["p"],
     "$defs": {"P": {"type": "object", "properties": {"d": {"type": "string", "format": "date"}}, "required": ["d"]}}},
    {"type": "object", "properties": {"x": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "boolean"}, "minItems": 2}]}}},
    {"type": "object", "properties": {"a": {"type": "string", "minLength": 9, "maxLength": 9}, "f": {"type": "number", "exclusiveMinimum": 10, "multipleOf": 5}}},
    {"allOf": [{"type": "object", "properties": {"c": {"const": "k"}}}]},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_structured_output_conforms(schema):
    """By a validator of JSON Schema that is not ours."""
    import jsonschema

    jsonschema.validate(example_for(schema, "Take 4 of Paris"), schema)


# --- beside chat ------------------------------------------------------------------------------


def test_models_and_endpoints(emulate):
    """Listed, filtered, one, its endpoints, its providers."""
    emulator = emulate()
    slugs = [row["id"] for row in get(emulator, "/models").json()["data"]]

    assert "openai/gpt-4o-mini" in slugs
    assert "openai/text-embedding-3-small" not in slugs
    assert [
        r["id"] for r in get(emulator, "/models", output_modalities="embeddings").json()["data"]
    ] == ["openai/text-embedding-3-small", "openai/text-embedding-3-small:batch"]
    assert len(get(emulator, "/models", limit=2).json()["data"]) == 2
    assert get(emulator, "/models/user").json()["data"]
    assert get(emulator, "/model/openai/gpt-4o-mini").json()["data"]["context_length"] == 128_000
    assert get(emulator, "/model/openai/none").status_code == 404
    ends = get(emulator, "/models/openai/gpt-4o-mini/endpoints").json()["data"]["endpoints"]
    assert [e["provider_name"] for e in ends] == ["OpenAI", "Azure"]
    claude = get(emulator, "/models/anthropic/claude-opus-5.5/endpoints").json()["data"]
    assert ends[0]["supports_tool_choice"]["required"]
    assert claude["endpoints"][0]["supports_tool_choice"] == {
        "auto": True, "none": True, "required": False, "function": False,
    }  # fmt: skip
    alias = get(emulator, "/model/~anthropic/claude-opus-latest").json()["data"]
    assert alias["alias_target"]["slug"] == "anthropic/claude-opus-5.5"
    assert alias["reasoning"]["mandatory"]
    assert get(emulator, "/providers").json()["data"][0]["slug"] == "openai"
    assert get(emulator, "/nothing").status_code == 404


def test_embeddings_and_rerank(emulate):
    """Texts that share words are near; documents are ranked; both cost."""
    emulator = emulate()
    body = {
        "model": "openai/text-embedding-3-small",
        "input": ["a red cat", "the red cat", "blue dogs run"],
        "dimensions": 32,
    }
    answer = post(emulator, "/embeddings", body).json()
    one, two, three = (row["embedding"] for row in answer["data"])
    ranked = post(
        emulator,
        "/rerank",
        {
            "model": "cohere/rerank-v3.5",
            "query": "France",
            "documents": ["Athens", "Paris, France"],
            "top_n": 1,
        },
    ).json()

    assert len(one) == 32
    assert sum(map(float.__mul__, one, two)) > sum(map(float.__mul__, one, three))
    assert answer["usage"]["cost"] > 0
    assert [(r["index"], r["document"]["text"]) for r in ranked["results"]] == [
        (1, "Paris, France")
    ]
    assert post(emulator, "/embeddings", {"model": "openai/x"}).status_code == 400


def test_a_generation_is_known_a_moment_later(emulate):
    """404 first, then its cost; credits need another key."""
    emulator = emulate(generation_delay=3600)
    answer = model_on(emulator).invoke("x")

    assert get(emulator, "/generation", id=answer.id).status_code == 404
    emulator.generation_delay = 0.05
    time.sleep(0.06)
    data = get(emulator, "/generation", id=answer.id).json()["data"]
    assert data["total_cost"] == answer.response_metadata["cost"]
    assert get(emulator, "/credits").status_code == 403


# --- the sign-in ------------------------------------------------------------------------------


def test_the_page_waits_until_someone_decides(emulate):
    """A wait decides nothing; a request without callback and challenge is refused."""
    from langchain_openrouter import PKCELogin

    emulator = emulate()
    login = PKCELogin.start(base_url=emulator.url, key_label="<b>Mine</b>", limit=2)
    page = httpx2.get(login.url).text
    waiting = Browser("wait")
    waiting.decide(login.url)
    approving = Browser()
    approving.decide(login.url)

    assert "&lt;b&gt;Mine" in page
    assert "Take your time" in waiting.seen[0].text
    assert login.redeem(approving.code()).info().limit == 2
    assert httpx2.get(f"{emulator.site}/auth").status_code == 400


def test_a_code_can_be_made_by_the_api(emulate):
    """POST /auth/keys/code, with a key."""
    from langchain_openrouter import PKCELogin

    emulator = emulate()
    login = PKCELogin.start(base_url=emulator.url)
    body = {
        "callback_url": "https://a.org",
        "code_challenge": login.challenge,
        "code_challenge_method": "S256",
    }
    code = post(emulator, "/auth/keys/code", body).json()["data"]["id"]

    assert login.redeem(code).secret.get_secret_value() in emulator.accounts.keys
    assert httpx2.get(f"{emulator.url}/auth/keys").status_code == 405


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ({}, 400, "Invalid code"),
        ({"wrong_code_status": 403}, 403, "Invalid code or code_verifier"),
    ],
)
def test_a_wrong_code_is_refused_in_either_of_the_ways_seen(emulate, words, status, message):
    """The live service was seen to answer 400; its documentation has 403."""
    answer = post(emulate(**words), "/auth/keys", {"code": "wrong"})

    assert answer.status_code == status
    assert answer.json()["error"]["message"] == message


# --- as a program, as a fixture ---------------------------------------------------------------


def test_it_runs_as_a_program():
    """On a port, saying how to use it; an interrupt ends it cleanly."""
    import signal

    command = [sys.executable, "-m", "langchain_openrouter.testing", "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        url = re.search(r"OPENROUTER_BASE_URL=(\S+)", process.stdout.readline())[1]
        assert (
            ChatOpenRouter(model="a/b", api_key="k", base_url=url)
            .invoke("Hello")
            .text.startswith("Hello")
        )
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=15)

    assert process.returncode == 0
    assert "Traceback" not in told


def test_it_serves_every_address_where_it_is_named():
    """For containers: on 0.0.0.0 it answers at another address of this machine too."""
    command = [sys.executable, "-m", "langchain_openrouter.testing", "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--host", "0.0.0.0"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            url = re.search(r"OPENROUTER_BASE_URL=(\S+)", process.stdout.readline())[1]
            elsewhere = url.replace("127.0.0.1", "127.0.0.2")
            reached = [
                subprocess.run([sys.executable, "-c", FETCH, u], check=False)
                for u in (url, elsewhere)
            ]
        finally:
            process.terminate()

    assert [done.returncode for done in reached] == [0, 0]


FETCH = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + '/models').read()"


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_http_is_taken_to_a_host_that_the_user_names(emulate, monkeypatch, how):
    """By the variable, exactly; without it, or with another name in it, the key stays here."""
    emulator = emulate(host="0.0.0.0")
    host = socket.gethostname()
    monkeypatch.setattr(socket, "getaddrinfo", resolving(host))
    url = f"http://{host}:{emulator.port}/api/v1"
    arguments = {"model": "a/b", "api_key": "k", "base_url": url, "max_retries": 0}
    for names in ("", f"not-{host}", f"{host}.example"):
        monkeypatch.setenv("OPENROUTER_ALLOW_HTTP_HOSTS", names)
        with pytest.raises(ValueError, match="OPENROUTER_ALLOW_HTTP_HOSTS"):
            ChatOpenRouter(**arguments)
    monkeypatch.setenv("OPENROUTER_ALLOW_HTTP_HOSTS", f"10.0.0.5, {host.upper()}")

    assert await text_by(ChatOpenRouter(**arguments), how) == (
        await text_by(model_on(emulator), how)
    )
    assert emulator.chats[0].headers["host"].startswith(host)


def resolving(host):
    """Return a resolver that knows one host more: this machine."""
    resolve = socket.getaddrinfo

    def getaddrinfo(name, *more, **words):
        known = name.decode() if isinstance(name, bytes) else name
        return resolve("127.0.0.1" if known == host else name, *more, **words)

    return getaddrinfo


async def text_by(model, how):
    """Return the text of a reply."""
    match how:
        case "invoke":
            return model.invoke("Hello").text
        case "ainvoke":
            return (await model.ainvoke("Hello")).text
        case "stream":
            return "".join(chunk.text for chunk in model.stream("Hello"))
    return "".join([chunk.text async for chunk in model.astream("Hello")])


def test_it_is_a_fixture(openrouter_emulator):
    """Of the plugin."""
    openrouter_emulator.script(["Scripted."])

    assert model_on(openrouter_emulator).invoke("x").text == "Scripted."
    assert openrouter_emulator.chats[0].body["messages"][0]["content"] == "x"
    assert openrouter_emulator.chats[0].key == "k"
    assert "Bearer" not in repr(openrouter_emulator.chats[0])


def test_the_names_of_the_first_release_still_work(emulate):
    """`error`, `Asked`, `asked` and `chats` are the same objects as under their new names."""
    emulator = emulate()
    model_on(emulator).invoke("x")
    get(emulator, "/models")

    assert testing.error is testing.error_reply
    assert testing.Asked is testing.ReceivedRequest
    assert emulator.asked is emulator.requests
    assert [request.path for request in emulator.asked] == ["/chat/completions", "/models"]
    assert emulator.chats == emulator.chat_requests == emulator.requests[:1]
    assert isinstance(emulator.requests[0], testing.ReceivedRequest)
