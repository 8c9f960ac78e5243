"""The example app on an emulator, as its visitors meet it."""

from __future__ import annotations

import pytest
from langchain_core.stores import InMemoryByteStore

from langchain_openrouter.web.example.app import create_app
from tests.support.webapp import SECRET, Visit, in_thread


@pytest.fixture
def site(emulate):
    """The example app on an emulator; makes visitors."""
    emulator = emulate(any_key=False)
    store = InMemoryByteStore()
    visits = []
    with in_thread(create_app(secret=SECRET, store=store, base_url=emulator.url)) as url:

        def visit(**headers):
            visits.append(Visit(url, **headers))
            return visits[-1]

        visit.emulator, visit.store, visit.url = emulator, store, url
        yield visit
        for visitor in visits:
            visitor.close()
