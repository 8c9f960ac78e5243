"""What an error of November 2026 says: whose limit, how long to wait, which model was meant."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.exceptions import ContextOverflowError

from langchain_openrouter import errors
from langchain_openrouter.settings import retry_limits
from tests.support.loopback import Reply, event, sse, stream, whole

MODES = ["invoke", "ainvoke", "stream", "astream"]
FORMS = ["status", "body", "event"]
IN_FLIGHT = {
    "code": 402,
    "message": "Requests in flight hold the budget of this account",
    "metadata": {
        "reason": "in_flight_budget_exhausted",
        "limit_source": "openrouter_in_flight_budget",
        "remedy_hint": "retry",
    },
}
ABOVE_BUDGET = {
    "code": 402,
    "message": "This request requires more credits, or fewer max_tokens. You requested up to "
    "16384 tokens, but can only afford 3324.",
    "metadata": {"reason": "weight_exceeds_budget", "limit_source": "openrouter_credits"},
}
BALANCE = {
    "code": 402,
    "message": "Insufficient credits",
    "metadata": {"limit_source": "openrouter_credits"},
}
KEY_LIMIT = {
    "code": 402,
    "message": "This key has reached its limit",
    "metadata": {"limit_source": "openrouter_key_limit", "error_type": "payment_required"},
}


def in_form(error, form, **headers):
    """Return a reply that is the error: by its status, in a 200, or after a part of a stream."""
    if form == "status":
        return Reply({"error": error}, status=error["code"], headers=headers)
    if form == "body":
        return Reply({"error": error})
    broken = event({}, choice={"finish_reason": "error"}, error=error)
    return Reply(sse([event({"content": "Hel"}), broken]), content_type="text/event-stream")


def call(model, mode):
    """Call a model in one of four ways."""

    async def consume():
        return [chunk async for chunk in model.astream("What?")]

    calls = {
        "invoke": lambda: model.invoke("What?"),
        "ainvoke": lambda: asyncio.run(model.ainvoke("What?")),
        "stream": lambda: list(model.stream("What?")),
        "astream": lambda: asyncio.run(consume()),
    }
    return calls[mode]()


def fail(model, mode):
    """Return the error of a call."""
    with pytest.raises(errors.OpenRouterError) as caught:
        call(model, mode)
    return caught.value


def each_form():
    """Return each mode with each form it can meet."""
    return [
        (mode, form)
        for mode in MODES
        for form in FORMS
        if form != "event" or mode in {"stream", "astream"}
    ]


@pytest.mark.parametrize(("mode", "form"), each_form())
@pytest.mark.parametrize(
    ("error", "kind", "retryable", "tokens", "remedy"),
    [
        (IN_FLIGHT, errors.InFlightBudgetError, True, None, "wait and try again"),
        (
            ABOVE_BUDGET,
            errors.InsufficientCreditsError,
            False,
            3324,
            "`max_tokens` to 3324 or less",
        ),
        (BALANCE, errors.InsufficientCreditsError, False, None, "- add credits at https://"),
        (
            KEY_LIMIT,
            errors.InsufficientCreditsError,
            False,
            None,
            "- raise the key's limit at http",
        ),
    ],
)
def test_a_402_says_whose_limit_it_met(
    mode, form, error, kind, retryable, tokens, remedy, serve, model_on
):
    """The source of the limit, the tokens that can be paid for, and the remedy of that kind."""
    raised = fail(model_on(serve(in_form(error, form))), mode)

    assert type(raised) is kind
    assert isinstance(raised, errors.InsufficientCreditsError)
    assert raised.is_retryable is retryable
    assert raised.limit_source == error["metadata"]["limit_source"]
    assert raised.reason == error["metadata"].get("reason")
    assert raised.remedy_hint == error["metadata"].get("remedy_hint")
    assert raised.affordable_tokens == tokens
    assert remedy in str(raised)
    assert ("add credits" in str(raised)) is (raised.limit_source == "openrouter_credits")
    assert raised.status_code == raised.code == 402


@pytest.mark.parametrize("mode", MODES)
def test_a_budget_in_flight_is_waited_for(mode, serve, model_on):
    """The request is repeated after the wait of the header, and succeeds."""

    def reply(_seen):
        if len(server.seen) == 1:
            return in_form(IN_FLIGHT, "status", **{"Retry-After": "0.3"})
        return Reply(whole()) if "invoke" in mode else stream("Hello!")

    server = serve(reply)
    started = time.monotonic()
    call(model_on(server, max_retries=1), mode)

    assert time.monotonic() - started >= 0.3
    assert len(server.seen) == 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("error", "wait"), [(IN_FLIGHT, "121"), (BALANCE, "1"), (KEY_LIMIT, "1")])
def test_other_402s_and_a_longer_wait_are_raised_at_once(mode, error, wait, serve, model_on):
    """Only the transient one is repeated, and not where the service asks for over two minutes."""
    server = serve(in_form(error, "status", **{"Retry-After": wait}))
    raised = fail(model_on(server, max_retries=2), mode)

    assert raised.retry_after == float(wait)
    assert len(server.seen) == 1
    if error is IN_FLIGHT:
        assert "wait 121 s and try again" in str(raised)


@pytest.mark.parametrize("mode", ["invoke", "ainvoke"])
@pytest.mark.parametrize(
    ("error", "name"),
    [(IN_FLIGHT, "in_flight_budget"), ({"code": 429, "message": "slow"}, "default")],
)
def test_the_longest_wait_is_configurable(mode, error, name, serve, model_on, monkeypatch):
    """A lowered limit hands a short wait to the caller; at the limit it is obeyed."""
    server = serve(in_form(error, "status", **{"Retry-After": "0.2"}))
    monkeypatch.setattr(retry_limits, name, 0.1)
    fail(model_on(server, max_retries=1), mode)
    assert len(server.seen) == 1

    monkeypatch.setattr(retry_limits, name, 0.2)
    fail(model_on(server, max_retries=1), mode)
    assert len(server.seen) == 3


@pytest.mark.parametrize("name", ["sync_client", "async_client"])
def test_a_wait_above_the_bound_of_the_sdk_is_obeyed(name, monkeypatch):
    """The seconds that a client sleeps are those of the response, up to our own limit."""
    from openai._models import FinalRequestOptions

    from langchain_openrouter._http import pools

    monkeypatch.setattr(retry_limits, "in_flight_budget", 600.0)
    client = getattr(pools, name)()
    client = asyncio.run(client) if asyncio.iscoroutine(client) else client
    view = client.for_request(None)
    view.body = json.dumps({"error": IN_FLIGHT}).encode()
    response = pools.httpx2.Response(402, headers={"retry-after": "500"})

    assert view._should_retry(response)
    options = FinalRequestOptions.construct(method="post", url="/x", max_retries=2)
    assert view._calculate_retry_timeout(2, options, response.headers) == 500


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
@pytest.mark.parametrize(("error", "requests"), [(IN_FLIGHT, 2), (ABOVE_BUDGET, 1), (KEY_LIMIT, 1)])
def test_an_agent_repeats_only_the_transient_402(how, error, requests, serve, model_on):
    """`ModelRetryMiddleware` with its defaults follows `is_retryable`."""

    def reply(_seen):
        return in_form(error, "status") if len(server.seen) == 1 else Reply(whole("fine"))

    server = serve(reply)
    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="error")
    agent = create_agent(model_on(server), [], middleware=[retry])
    question = {"messages": [("human", "x")]}

    def run():
        return agent.invoke(question) if how == "invoke" else asyncio.run(agent.ainvoke(question))

    if requests == 1:
        with pytest.raises(errors.InsufficientCreditsError):
            run()
    else:
        assert run()["messages"][-1].text == "fine"
    assert len(server.seen) == requests


@pytest.mark.parametrize(("mode", "form"), each_form())
def test_a_429_brings_its_wait_in_the_body(mode, form, serve, model_on):
    """Where the header is missing, `retry_after_seconds` is read; the pool is named."""
    metadata = {
        "limit_source": "upstream_provider_shared_pool",
        "provider_error_code": "rate_limit_exceeded",
        "retry_after_seconds": 61,
    }
    error = {"code": 429, "message": "Provider returned error", "metadata": metadata}
    raised = fail(model_on(serve(in_form(error, form)), max_retries=1), mode)

    assert type(raised) is errors.RateLimitError
    assert raised.limit_source == "upstream_provider_shared_pool"
    assert raised.retry_after == 61
    assert "wait 61 s and try again" in str(raised)


@pytest.mark.parametrize(("mode", "form"), each_form())
@pytest.mark.parametrize("code", [400, 403])
def test_a_blocked_request_is_a_refusal(mode, form, code, serve, model_on):
    """The type decides, whatever the status: LangChain's refusal handling sees it."""
    metadata = {"error_type": "refusal", "provider_name": "OpenAI"}
    error = {"code": code, "message": "Blocked by policy", "metadata": metadata}
    raised = fail(model_on(serve(in_form(error, form))), mode)

    assert type(raised) is errors.RefusalError
    assert raised.code == code
    assert not raised.is_retryable


@pytest.mark.parametrize(("mode", "form"), each_form())
@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        (400, "openai/gpt-4o-mni is not a valid model ID", "did you mean `openai/gpt-4o-mini`"),
        (400, "gpt-4o is not a valid model ID", "did you mean `openai/gpt-4o`"),
        (
            404,
            "No endpoints found for anthropic/claude-sonet-4.6.",
            "`anthropic/claude-sonnet-4.6`",
        ),
    ],
)
def test_near_slugs_are_suggested(mode, form, code, message, hint, serve, model_on):
    """A model that does not exist brings the nearest that do."""
    raised = fail(model_on(serve(in_form({"code": code, "message": message}, form))), mode)

    assert hint in str(raised)
    assert str(raised).endswith("?")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (400, "nobody/nothing-like-any-model is not a valid model ID"),
        (400, "temperature: expected a number"),
        (404, "No endpoints found for openai/gpt-4o-mini matching your data policy"),
        (404, "No endpoints found that support tool use"),
        (400, f"{'x' * 5000} is not a valid model ID"),
    ],
)
def test_no_slug_is_suggested_for_another_cause(code, message, serve, model_on):
    """Not for a model that exists, one like none, or an error of something else."""
    raised = fail(model_on(serve(in_form({"code": code, "message": message}, "status"))), "invoke")

    assert "did you mean" not in str(raised)


WORDINGS = [
    "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300012.",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Input is too long for requested model.",
    "This model's maximum prompt length is 131072 but the request contains 150000 tokens.",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
]


@pytest.mark.parametrize(("mode", "form"), each_form())
@pytest.mark.parametrize(
    "error",
    [
        *({"message": text} for text in WORDINGS),
        *(
            {"message": "Provider returned error", "metadata": {"raw": raw}}
            for raw in (
                json.dumps({"error": {"code": "context_length_exceeded", "message": "too much"}}),
                {"error": {"code": "context_length_exceeded"}},
                json.dumps({"error": {"type": "context_length_exceeded", "code": 400}}),
                json.dumps({"message": WORDINGS[2]}),
                WORDINGS[3],
            )
        ),
        {"message": "Bad request to the provider", "metadata": {
            "raw": json.dumps({"error": {"message": WORDINGS[1]}}),
            "error_type": "invalid_request"}},
        {"message": "x", "metadata": {"provider_error_code": "context_length_exceeded"}},
    ],
)  # fmt: skip
def test_a_conversation_that_is_too_long_is_recognized(mode, form, error, serve, model_on):
    """By the code inside `metadata.raw` or the provider's wording, as LangChain's own error."""
    raised = fail(model_on(serve(in_form({"code": 400, **error}, form))), mode)

    assert type(raised) is errors.ContextOverflowError
    assert isinstance(raised, ContextOverflowError)
    assert raised.status_code == 400
    assert "shorten the conversation" in str(raised)


@pytest.mark.parametrize(
    "error",
    [
        {"code": 429, "message": "x", "metadata": {"raw": WORDINGS[0]}},
        {"code": 400, "message": "The name of the tool is too long"},
        {"code": 400, "message": WORDINGS[2], "metadata": {"error_type": "invalid_image"}},
    ],
)
def test_other_errors_are_no_overflow(error, serve, model_on):
    """An error of another status or a specific type keeps its class."""
    raised = fail(model_on(serve(in_form(error, "status"))), "invoke")

    assert not isinstance(raised, ContextOverflowError)
