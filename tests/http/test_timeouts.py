"""`timeout=` is in seconds, in every form that users know."""

from __future__ import annotations

import asyncio
import time
import warnings

import httpx
import httpx2
import pytest

from langchain_openrouter import ChatOpenRouter, OpenRouterEmbeddings, errors
from langchain_openrouter.catalog import Catalog
from tests.support.loopback import Reply, whole

MAKERS = {
    "chat": lambda **fields: ChatOpenRouter(model="a/b", api_key="k", **fields),
    "embeddings": lambda **fields: OpenRouterEmbeddings(model="a/b", api_key="k", **fields),
    "catalog": lambda **fields: Catalog(api_key="k", **fields),
}


@pytest.mark.parametrize("name", MAKERS)
def test_milliseconds_are_warned_of(name):
    """LangChain's own package takes milliseconds; here they would be hours."""
    with pytest.warns(UserWarning, match="over an hour.*seconds"):
        MAKERS[name](timeout=30_000)


def test_the_warning_comes_once():
    """Python shows one warning a place; a program that makes a model a request is not flooded."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            MAKERS["chat"](timeout=30_000)

    assert len([each for each in caught if "over an hour" in str(each.message)]) == 1


@pytest.mark.parametrize(
    "timeout", [0, -1, 0.0, float("nan"), float("inf"), True, "30", (1, 2, 3), (0, 5)]
)
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_no_timeout_is_refused(name, timeout):
    """With advice, before anything is sent."""
    with pytest.raises(ValueError, match="timeout must be"):
        MAKERS[name](timeout=timeout)


def test_a_calls_timeout_is_checked_too():
    """And an assigned one."""
    model = MAKERS["chat"]()
    with pytest.raises(ValueError, match="more than 0 seconds"):
        model.invoke("x", timeout=0)
    with pytest.raises(ValueError, match="more than 0 seconds"):
        model.request_timeout = 0


@pytest.mark.off_spec("a server that never answers")
@pytest.mark.parametrize("how", ["constructor", "call"])
@pytest.mark.parametrize("timeout", [
    0.3, (5, 0.3), httpx.Timeout(0.3), httpx2.Timeout(0.3), httpx.Timeout(5, read=0.3),
])  # fmt: skip
def test_every_form_ends_a_silent_call(serve, model_on, timeout, how):
    """Timeouts of either httpx mean the same."""
    server = serve(Reply([60.0]))
    model = model_on(server, **({"timeout": timeout} if how == "constructor" else {}))
    start = time.monotonic()

    with pytest.raises(errors.ConnectionTimeoutError, match=r"127\.0\.0\.1"):
        model.invoke("x", **({"timeout": timeout} if how == "call" else {}))
    assert time.monotonic() - start < 20


def test_none_waits_without_end(serve, model_on):
    """As documented."""
    server = serve(Reply(whole("late")))
    model = model_on(server, timeout=None)

    assert model.request_timeout is None
    assert asyncio.run(model.ainvoke("x")).content == "late"
