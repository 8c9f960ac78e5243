"""The emulator's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from langchain_openrouter.testing import Emulator
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._clock import Clock


def test_clock_advances_its_source():
    """A clock shows its source's time and what it was advanced by."""
    clock = Clock(lambda: 1_000_000.0)

    clock.advance(60)
    clock.advance(0.5)

    assert clock.time() == 1_000_060.5
    assert clock.now() == datetime.fromtimestamp(1_000_000, UTC) + timedelta(seconds=60.5)


def test_emulators_clock_ends_a_key():
    """A key whose expiry the emulator's clock has passed is refused."""
    with Emulator() as emulator:
        expiry = emulator.clock.now() + timedelta(hours=1)
        key = emulator.accounts.add_key(expires_at=expiry.isoformat())
        assert emulator.accounts.require_key(key.secret) is key

        emulator.clock.advance(3601)
        with pytest.raises(ApiRefusal, match="expired"):
            emulator.accounts.require_key(key.secret)
