"""What the tests of provisioned keys share: making them, and what the account has."""

from __future__ import annotations

import asyncio

from langchain_core.stores import InMemoryByteStore

from langchain_openrouter.accounts import ProvisionedKeys
from langchain_openrouter.key_store import KeyStore
from tests.support.accounts import client

SECRET = "a secret of sixteen bytes and more"


def provisioner(server, store=None, *, accounts=None, **options):
    """Make provisioned keys of an emulator, or of a gate before one."""
    key_store = (
        store if isinstance(store, KeyStore) else KeyStore(store or InMemoryByteStore(), SECRET)
    )
    return ProvisionedKeys(client(server, **(accounts or {})), store=key_store, **options)


def do(how, subject, method, /, *args, **kwargs):
    """Call a method, or its async form."""
    if how == "sync":
        return getattr(subject, method)(*args, **kwargs)
    return asyncio.run(getattr(subject, f"a{method}")(*args, **kwargs))


def account_keys(emulator, *, enabled=False):
    """Return the account's keys for inference, by hash."""
    return {
        key.hash: key
        for key in emulator.accounts.keys.values()
        if not key.is_management and not (enabled and key.disabled)
    }


def creations(emulator):
    """Return how many keys were requested."""
    return sum(r.method == "POST" and r.path == "/keys" for r in emulator.requests)
