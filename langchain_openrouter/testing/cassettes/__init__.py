"""Recorded exchanges with OpenRouter: vcrpy, set up for this API."""

from __future__ import annotations

from langchain_openrouter._extras import naming_extra

with naming_extra("a cassette", "testing"):
    from langchain_openrouter.testing.cassettes._recorder import (
        EMULATOR,
        LIVE,
        CassetteError,
        Exchange,
        LeakError,
        Recording,
        use_cassette,
    )

__all__ = [
    "EMULATOR",
    "LIVE",
    "CassetteError",
    "Exchange",
    "LeakError",
    "Recording",
    "use_cassette",
]
