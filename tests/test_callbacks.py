"""Usage and cost added up: chains, threads, tasks, streams, failures."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from langchain.agents import create_agent

from langchain_openrouter import ChatOpenRouter, UserKey, errors
from langchain_openrouter.callbacks import UsageKey, get_openrouter_callback
from langchain_openrouter.catalog import Model
from langchain_openrouter.testing import Reply, error


def reply(asked):
    """Answer with a cost of one cent, ten tokens in and four out, three of them cached."""
    return Reply("ok", usage={"cost": 0.01, "prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14,
                              "prompt_tokens_details": {"cached_tokens": 3}})  # fmt: skip


@pytest.fixture
def model(emulate):
    """A model whose answers cost a cent each."""
    return ChatOpenRouter(
        model="openai/gpt-4o-mini", api_key="k", base_url=emulate(reply).url, max_retries=0
    )


def test_everything_inside_is_added_up(model):
    """Whole, streamed, batched, async; what is outside is not."""
    model.invoke("before")
    with get_openrouter_callback() as used:
        model.invoke("x")
        list(model.stream("x"))
        model.batch(["x", "y", "z"])
        asyncio.run(model.ainvoke("x"))
    model.invoke("after")

    assert used.total.requests == 6
    assert used.cost == pytest.approx(0.06)
    assert (used.total.input_tokens, used.total.output_tokens, used.total.cached_tokens) == (
        60,
        24,
        18,
    )
    assert used.total.total_tokens == 84
    assert "6 requests" in repr(used)


CACHED = {"cost": 0.01, "prompt_tokens": 1000, "completion_tokens": 4, "total_tokens": 1004}
ROW = {
    "id": "anthropic/claude-sonnet-4.6",
    "canonical_slug": "anthropic/claude-4.6-sonnet-20260217",
    "pricing": {"prompt": "0.000003", "completion": "0.000015", "input_cache_read": "0.0000003",
                "input_cache_write": "0.00000375"},
}  # fmt: skip


def usage_of(read, write):
    """Return a usage that read and wrote so many tokens."""
    return {**CACHED, "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": write}}


@pytest.mark.parametrize("slug", [ROW["id"], f"{ROW['id']}:nitro", ROW["canonical_slug"]])
async def test_what_prompt_caching_saved_is_shown(emulate, slug):
    """Reads below the input price less what writes cost above it, whole and streamed, in USD."""
    usages = iter([usage_of(0, 800), usage_of(800, 100), usage_of(900, 0), usage_of(900, 0)])
    emulator = emulate(lambda _: Reply("ok", usage=next(usages), model=slug))
    model = ChatOpenRouter(slug, api_key="k", base_url=emulator.url)
    with get_openrouter_callback([Model.from_api(ROW)]) as used:
        model.invoke("x")
        assert used.saved == pytest.approx(-800 * 0.75e-6)
        list(model.stream("x"))
        await model.ainvoke("x")
        assert [chunk async for chunk in model.astream("x")]

    assert (used.total.cached_tokens, used.total.cache_write_tokens) == (2600, 900)
    assert used.total.cache_hit_rate == pytest.approx(0.65)
    assert used.saved == pytest.approx(2600 * 2.7e-6 - 900 * 0.75e-6)
    assert "2600 cached, 900 written to the cache, $0.040000, $0.006345 saved by caching" in repr(
        used
    )
    assert "Caching saved 0.006345 USD" in used._repr_html_()


def test_savings_are_unknown_without_prices(model):
    """No list of models, or one without the model's cache prices, is not a saving of zero."""
    with (
        get_openrouter_callback() as without,
        get_openrouter_callback([Model.from_api(ROW)]) as other,
    ):
        model.invoke("x")
    with get_openrouter_callback([Model.from_api(ROW)]) as idle:
        pass

    assert without.saved is None
    assert other.saved is None
    assert idle.saved == 0
    assert "saved" not in repr(without)


def test_by_model_provider_and_user(model):
    """Each apart; the sums agree."""
    other = model.model_copy(update={"model_name": "anthropic/claude-sonnet-4.6"})
    with get_openrouter_callback() as used:
        model.for_user(UserKey("a", "ann", model.openai_api_base), user=True).invoke("x")
        model.for_user("b", user="bob").invoke("x")
        other.for_user("b", user="bob").invoke("x")

    assert {name: sums.requests for name, sums in used.by_user().items()} == {"ann": 1, "bob": 2}
    assert {name: sums.requests for name, sums in used.by_provider().items()} == {
        "OpenAI": 2,
        "Anthropic": 1,
    }
    assert used.by_model()["openai/gpt-4o-mini"].cost == pytest.approx(0.02)
    assert UsageKey("openai/gpt-4o-mini", "OpenAI", "ann") in used.totals_by_key
    table = used._repr_html_()
    assert "<td>bob</td>" in table
    assert "<td>0.030000</td>" in table


def test_tasks_and_threads_do_not_mix(model):
    """Each context has its own; one handed to threads counts them all."""

    async def one(n):
        with get_openrouter_callback() as used:
            for _ in range(n):
                await model.ainvoke("x")
        return used.total.requests

    async def many():
        return await asyncio.gather(*[one(n) for n in range(1, 6)])

    assert asyncio.run(many()) == [1, 2, 3, 4, 5]
    with get_openrouter_callback() as used, ThreadPoolExecutor(8) as pool:
        contexts = [copy_context() for _ in range(40)]
        list(pool.map(lambda context: context.run(model.invoke, "x"), contexts))
    assert used.total.requests == 40
    assert used.cost == pytest.approx(0.4)


def test_agents_are_counted_and_nested_blocks_too(model):
    """The inner block's calls are the inner block's."""
    with get_openrouter_callback() as outer:
        create_agent(model, []).invoke({"messages": "x"})
        with get_openrouter_callback() as inner:
            model.invoke("x")

    assert (outer.total.requests, inner.total.requests) == (1, 1)


def test_failures_are_counted(emulate):
    """What they cost is not known."""
    model = ChatOpenRouter(
        model="a/b", api_key="k", base_url=emulate(lambda _: error("server")).url, max_retries=0
    )
    with get_openrouter_callback() as used, pytest.raises(errors.UpstreamError):
        model.invoke("x")

    assert (used.total.failed, used.total.requests, used.cost) == (1, 0, 0.0)


def test_a_model_in_a_notebook_shows_no_key(model):
    """Its slug, its address, what is set."""
    shown = model.model_copy(update={"temperature": 0.5, "api_key": "sk-or-sentinel"})._repr_html_()

    assert "openai/gpt-4o-mini" in shown
    assert "0.5" in shown
    assert "sentinel" not in shown
