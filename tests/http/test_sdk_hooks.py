"""A changed OpenAI SDK fails when the package is imported, by the name of what changed."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHANGES = {
    "BaseClient._should_retry": "del base.BaseClient._should_retry",
    "BaseClient._build_headers": "base.BaseClient._build_headers = lambda self, request: None",
    "SyncAPIClient._send_request": "del base.SyncAPIClient._send_request",
    "AsyncAPIClient._send_request": "base.AsyncAPIClient._send_request = lambda self: None",
    "AsyncAPIClient.request": "base.AsyncAPIClient.request = lambda self, options: None",
    "BaseClient.custom_auth": "del base.BaseClient.custom_auth",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_hook_that_is_gone_or_changed_is_named_at_import(name):
    """Not in the middle of a user's request, and not by ignoring what OpenRouter asked for."""
    code = f"import openai._base_client as base\n{CHANGES[name]}\nimport langchain_openrouter.chat_models"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: openai ")
    assert name in last
    assert "install an earlier" in last


def test_a_new_event_loop_reads_no_certificates(serve, model_on, monkeypatch):
    """They are read once for each proxy environment: that takes longer than a call."""
    import asyncio

    import httpx2

    from langchain_openrouter._http import pools
    from tests.support.loopback import Reply, whole

    reads = []
    create = httpx2.create_ssl_context
    pools._ssl_context.cache_clear()
    monkeypatch.setattr(
        httpx2, "create_ssl_context", lambda *args: reads.append(1) or create(*args)
    )
    model = model_on(serve(Reply(whole())))
    for _ in range(3):
        asyncio.run(model.ainvoke("x"))
    assert len(reads) == 1
