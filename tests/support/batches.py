"""What the tests of the Batch API share: models, rows, and polls that do not wait."""

from __future__ import annotations

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.batch import _openrouter_engine, _orphans, _waiting

KEY = "sk-or-v1-sentinel-key-of-the-tests"
SLUG = "openai/gpt-4o-mini"
DAY = 86_400


def hurry(monkeypatch, visible_after=0.3):
    """Poll at once, and wait a moment for a batch that was not answered."""
    monkeypatch.setattr(_waiting, "FIRST_POLL", 0.02)
    monkeypatch.setattr(_waiting, "LONGEST_POLL", 0.05)
    monkeypatch.setattr(_orphans, "VISIBLE_AFTER", visible_after)
    monkeypatch.setattr(_orphans, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(_openrouter_engine, "_POLL_SECONDS", 0.02)


def model_on(emulator, **fields):
    """Make a model that talks to an emulator."""
    defaults = {"model": SLUG, "api_key": KEY, "max_retries": 0, "timeout": 10}
    return ChatOpenRouter(**{**defaults, "base_url": emulator.url, **fields})


def make_rows(count):
    """Make rows with a key and a text."""
    return [{"id": f"row {n}", "text": f"text-{n}"} for n in range(count)]


def text_of(received):
    """Return the last message's text of a request that an emulator received."""
    return received.body["messages"][-1]["content"]


def posts(emulator):
    """Return the requests that created batches."""
    return [r for r in emulator.requests if (r.method, r.path) == ("POST", "/batches")]


def run_at_once(emulator):
    """Let batches complete without waiting."""
    times = emulator.batches.times
    times.validating = times.running = times.finalizing = times.cancelling = 0.0
