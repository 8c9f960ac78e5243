"""What the tests of accounts share: a client, and calling it sync or async."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from langchain_openrouter.accounts import Accounts, Listing

BOTH = pytest.mark.parametrize("how", ["sync", "async"])


def client(server, **options):
    """Make a client of an emulator or of a scripted server."""
    key = getattr(server, "management_key", "sk-or-v1-management")
    defaults = {"management_key": key, "base_url": server.url, "max_retries": 0, "timeout": 5}
    return Accounts(**{**defaults, **options})


def call(how, subject, method, /, *args, **kwargs):
    """Call a method, or its async form; a listing comes as a list."""
    if how == "sync":
        result = getattr(subject, method)(*args, **kwargs)
        return list(result.all()) if isinstance(result, Listing) else result

    async def run():
        result = getattr(subject, f"a{method}")(*args, **kwargs)
        if hasattr(result, "__aiter__"):
            return [row async for row in result]
        return await result if inspect.isawaitable(result) else result

    return asyncio.run(run())
