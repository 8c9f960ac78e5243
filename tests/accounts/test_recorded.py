"""Accounts on a cassette: recorded against the emulator, replayed with no network."""

from __future__ import annotations

import pytest

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.accounts import Accounts
from tests.support.accounts import BOTH, call

pytestmark = pytest.mark.openrouter


@BOTH
def test_a_key_from_its_creation_to_its_end(how):
    """Found by its hash in a replay too, where the key itself is a placeholder."""
    accounts = Accounts()
    created = call(how, accounts.keys, "create", "Ann's", limit=5, external_user="ann")
    model = ChatOpenRouter(model="openai/gpt-4o-mini").for_user(created.key)
    answer = model.invoke("Hello")
    record = call(how, accounts.keys, "get", created.key)

    assert answer.text.startswith("Hello!")
    assert record.hash == created.hash == created.key.fingerprint
    assert record.usage > 0
    assert [key.hash for key in call(how, accounts.keys, "list")] == [created.hash]
    assert call(how, accounts.keys, "disable", created.key).disabled
    call(how, accounts.keys, "delete", created.key)


@BOTH
def test_keys_of_ones_own_are_not_recorded(how):
    """Those of the app's own making, and a provider's."""
    accounts = Accounts()
    own = "own-sentinel-key-of-32-characters-or-more"
    created = call(how, accounts.keys, "create", "n", external_user="ann", external_api_key=own)
    stored = call(how, accounts.byok, "create", "openai", "provider-sentinel-key")
    changed = call(how, accounts.byok, "update", stored, key="other-sentinel-key")

    assert created.key.secret.get_secret_value() == own
    assert changed.id == stored.id
    assert call(how, accounts.keys, "get", created.key).external_user == "ann"
