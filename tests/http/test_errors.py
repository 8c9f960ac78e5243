"""The one door: what an error says, what it hides, what class it is."""

from __future__ import annotations

import copy
import pickle

import pytest
from langchain_core.messages import AIMessage

from langchain_openrouter import errors
from langchain_openrouter._http.error_mapping import error_from_response, redact_error

PROMPT = "My secret plan is to paint the moon green before breakfast."


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": 403, "message": "flagged", "metadata": {
            "reasons": ["violence"], "flagged_input": PROMPT[:50], "provider_name": "X"}}},
         errors.ModerationError),
        ({"error": {"code": 403, "message": "Key limit exceeded (daily limit)"}},
         errors.InsufficientCreditsError),
        ({"error": {"code": 403, "message": "budget for this workspace is exhausted"}},
         errors.InsufficientCreditsError),
        ({"error": {"code": 403, "message": "Only management keys can perform this operation"}},
         errors.PermissionDeniedError),
        ({"error": {"code": 402, "message": "Insufficient credits"}},
         errors.InsufficientCreditsError),
        ({"error": {"code": 400, "message": "This endpoint's maximum context length is 8192"}},
         errors.ContextOverflowError),
        ({"error": {"code": 400, "message": "x", "availability": {"code": "model_not_found",
                                                                 "retryable": False}}},
         errors.ModelUnavailableError),
        ({"error": {"code": 429, "message": "x", "availability": {"code": "capacity_exhausted",
                                                                 "retryable": True}}},
         errors.RateLimitError),
        ({"error": {"code": "server_error", "message": "x"}}, errors.UpstreamError),
        ({"error": {"code": "429", "message": "x"}}, errors.RateLimitError),
        ({"error": "plain text"}, errors.UpstreamError),
        ({"message": "unwrap_nested_body", "code": 401}, errors.AuthenticationError),
        ({"error": {"message": {"nested": 1}, "code": 499}}, errors.InvalidRequestError),
        ({"error": {"code": True, "message": None}}, errors.UpstreamError),
        ({"error": {"code": -5, "message": []}}, errors.UpstreamError),
        ("not json", errors.UpstreamError), (None, errors.UpstreamError), ([], errors.UpstreamError),
    ],
)  # fmt: skip
def test_kinds(body, kind):
    """Each documented and each odd body is the right class, with a message."""
    error = error_from_response(body)

    assert type(error) is kind
    assert len(str(error)) >= 5


def test_moderation_says_why_and_not_what():
    """The reasons and the flagged text are attributes; the message holds no prompt."""
    metadata = {"reasons": ["violence"], "flagged_input": PROMPT[:40]}
    error = error_from_response(
        {"error": {"code": 403, "message": "flagged", "metadata": metadata}}
    )

    assert error.reasons == ["violence"]
    assert error.flagged_input == PROMPT[:40]
    assert PROMPT[:20] not in str(error) + repr(error)


@pytest.mark.parametrize("quote", [PROMPT, PROMPT[10:40], f"...{PROMPT[20:]}"])
@pytest.mark.parametrize("place", ["message", "raw", "raw json", "text"])
def test_no_message_quotes_the_prompt(quote, place):
    """Wherever the service quotes it from, whole or in part."""
    raw = {"raw": quote, "raw json": {"error": {"message": f"bad input: {quote}"}}}
    body = {"error": {"code": 400, "message": "Provider returned error",
                      "metadata": {"raw": raw.get(place), "provider_name": "X"}}}  # fmt: skip
    if place == "message":
        body["error"]["message"] = f"I cannot answer {quote!r}"
    error = error_from_response(quote if place == "text" else body, status=400)
    redact_error(error, prompt=PROMPT)

    assert not any(PROMPT[i : i + 16] in str(error) for i in range(len(PROMPT) - 15))
    assert "[...]" in str(error)


@pytest.mark.parametrize("prompt", ["PIN 1234", "Hi!\nPIN 1234\nBye."])
def test_no_message_quotes_a_short_prompt(prompt):
    """A prompt of a few words is hidden too."""
    error = error_from_response({"error": {"code": 400, "message": "bad: 'PIN 1234'"}})
    redact_error(error, prompt=prompt)

    assert str(error) == "400 bad: '[...]'"


@pytest.mark.parametrize(
    "key", ["sk-or-v1-0123456789abcdef", "sk-proj-0123456789abcdef", "eyJh0123456789.eyJz.sig",
            "Bearer opaque0123456789"],
)  # fmt: skip
def test_no_message_quotes_a_key(key):
    """A key in the service's own words is taken out, whatever kind of key it is."""
    error = error_from_response({"error": {"code": 401, "message": f"no user for {key} here"}})

    assert "0123456789" not in str(error)
    assert str(error).startswith("401 no user for")
    assert " here" in str(error)


def test_the_providers_own_words_are_told():
    """Where OpenRouter's message says nothing, the provider's does."""
    raw = '{"error": {"message": "Invalid schema", "type": "x"}}'
    body = {"error": {"code": 400, "message": "Provider returned error",
                      "metadata": {"raw": raw, "provider_name": "Azure"}}}  # fmt: skip

    assert str(error_from_response(body)) == "400 Provider returned error: Invalid schema (Azure)"


@pytest.mark.parametrize(
    ("headers", "error", "seconds"),
    [({"retry-after": "7"}, {}, 7), ({"retry-after": "0.5"}, {}, 0.5), ({"retry-after": "x"}, {}, None),
     ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, {}, 0), ({"retry-after": "nan"}, {}, None),
     ({}, {"availability": {"retry_after": 3}}, 3), ({}, {"metadata": {"retry_after": 4}}, 4),
     ({"retry-after": "-1"}, {}, 0)],
)  # fmt: skip
def test_retry_after(headers, error, seconds):
    """From the header, as a number or a date, or from the body."""
    found = error_from_response({"error": {"code": 429, "message": "x", **error}}, headers=headers)

    assert found.retry_after == seconds


def test_errors_survive_pickling_and_copying():
    """With everything they carry, and nothing of a request."""
    error = error_from_response(
        {"error": {"code": 429, "message": "slow", "metadata": {"a": 1}}},
        headers={"retry-after": "3", "x-generation-id": "gen-1"},
        partial=AIMessage("so far"),
    )
    for other in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(other) is errors.RateLimitError
        assert str(other) == str(error)
        assert other.__dict__ == error.__dict__
        assert other.partial.text == "so far"
        assert other.is_retryable
