"""Ceilings under attack: hostile answers, blocked loops, forks, several ceilings, lost answers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.stores import InMemoryByteStore

from langchain_openrouter import ChatOpenRouter, errors, middleware
from langchain_openrouter._cost_meter import CostMeter
from langchain_openrouter._cost_process import LoopProbe, process
from langchain_openrouter._http.metering import Call, meters_in_context
from langchain_openrouter.callbacks import CostLimit, OpenRouterUsage, get_openrouter_callback
from langchain_openrouter.key_store import FileStore
from langchain_openrouter.testing import Reply
from tests.support.loopback import CUT, event, sse, whole
from tests.support.loopback import Reply as Answer

SLUG = "openai/gpt-4o-mini"
KEY = "sentinel-key-of-no-usual-form-0123456789"


def costing(cost, *, delay=0.0, words=2):
    """Return a script whose answers cost this much, or what a function says of the request."""

    def reply(received):
        time.sleep(delay)
        amount = cost(received) if callable(cost) else cost
        return Reply("word " * words, usage={"cost": amount})

    return reply


@pytest.fixture
def model_of(emulate):
    """Return a model on an emulator of its own."""

    def make(script, **fields):
        options = {"api_key": "k", "max_retries": 0, "timeout": 20, **fields}
        return ChatOpenRouter(SLUG, base_url=emulate(script).url, **options)

    return make


def threads(count, call):
    """Call in threads, each with a copy of the context."""

    def guarded():
        try:
            return call()
        except errors.CostLimitError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(copy_context().run, guarded) for _ in range(count)]
        return [future.result(timeout=60) for future in futures]


# --- how far it is exceeded -------------------------------------------------------------------


@pytest.mark.parametrize("first", [0.0001, 0.0])
def test_a_cheap_first_call_lets_no_crowd_of_dear_ones_through(model_of, first):
    """What a call may cost is foreseen by its size; one free call says nothing."""
    script = costing(lambda seen: 0.05 if len(seen.raw) > 2000 else first, delay=0.02)
    model = model_of(script)
    with CostLimit(0.10) as limit:
        model.invoke("short")
        threads(20, lambda: model.invoke("long " * 2000))
    assert limit.spent <= 0.20  # all twenty would be 1.00


def test_a_slow_reader_is_waited_for(serve, model_on):
    """Only one who does not come back at all is not."""
    pieces = [sse([event({"content": "x"})], done=False), 0.05] * 8
    end = sse(
        [event({}, choice={"finish_reason": "stop"}, usage={"cost": 0.05, "prompt_tokens": 1})]
    )
    model = model_on(serve(Answer([*pieces, end], content_type="text/event-stream")), timeout=20)

    def read():
        for _ in model.stream("x"):
            time.sleep(0.06)

    with CostLimit(0.10) as limit:
        threads(8, read)
    assert limit.spent <= 0.15


def test_models_without_costs_are_not_called_one_by_one_for_ever(model_of):
    """After three calls that cost nothing the model counts as free."""
    four = threading.Barrier(4)

    def reply(received):
        if "four" in received.raw.decode():
            four.wait(20)  # an error, unless four calls are on at once
        return Reply("word", usage={"cost": 0.0})

    model = model_of(reply)
    with CostLimit(1) as limit:
        for _ in range(3):
            model.invoke("x")
        threads(8, lambda: model.invoke("four"))
    assert limit.requests == 11


def test_a_service_that_says_no_cost_is_not_called_one_by_one_for_ever(serve, model_on):
    """Its answers have ids, and `GET /generation` knows none."""
    missing = Answer({"error": {"code": 404, "message": "no"}}, status=404)
    running, most = [], [0]

    def reply(seen):
        if "generation" in seen.path:
            return missing
        running.append(1)
        most[0] = max(most[0], len(running))
        time.sleep(0.2)
        running.pop()
        return Answer(whole(usage={}))

    model = model_on(serve(reply))
    with CostLimit(1):
        for _ in range(6):
            model.invoke("x")
        threads(8, lambda: model.invoke("x"))
    assert most[0] > 4


# --- waits that never end ---------------------------------------------------------------------


def test_a_batch_that_blocks_a_loop_does_not_wait_for_the_loops_calls(model_of):
    """Its threads see that the loop does not answer."""
    model = model_of(costing(0.01))

    async def main():
        with CostLimit(1) as limit:
            task = asyncio.create_task(model.ainvoke("a"))
            await asyncio.sleep(0.01)
            model.batch(["b", "c"])
            await task
        return limit.requests

    assert asyncio.run(asyncio.wait_for(main(), 30)) == 3


def test_a_call_on_a_loop_that_does_not_run_is_not_waited_for(model_of):
    """As between two `run_until_complete`."""
    model = model_of(costing(0.01, delay=0.3))
    loop = asyncio.new_event_loop()
    with CostLimit(1):
        task = loop.create_task(model.ainvoke("a"))
        loop.run_until_complete(asyncio.sleep(0.1))
        assert threads(1, lambda: model.invoke("b"))[0].text
        loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_two_objects_of_one_shared_ceiling_know_each_others_readers(model_of):
    """A half-read stream of one does not block the other."""
    model, store = model_of(costing(0.01, words=50)), InMemoryByteStore()
    with CostLimit(1, store=store, name="u"):
        pieces = model.stream("a")
        next(pieces)
    started = time.monotonic()
    with CostLimit(1, store=store, name="u") as other:
        model.invoke("b")
    assert time.monotonic() - started < 10
    list(pieces)
    other.refresh()
    assert other.requests == 2


def test_ceilings_in_either_order_do_not_wait_for_each_other(model_of):
    """Calls reserve at their ceilings in one order."""
    model = model_of(costing(0.001, delay=0.01))
    one, other = CostLimit(1), CostLimit(1)

    def call(first, second):
        with first, second:
            for _ in range(5):
                model.invoke("x")

    with ThreadPoolExecutor(4) as pool:
        orders = [(one, other), (other, one)] * 2
        futures = [pool.submit(copy_context().run, call, *order) for order in orders]
        for future in futures:
            future.result(timeout=60)
    assert one.spent == other.spent == 0.02


FORK = """
import os, sys, threading, time
from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.callbacks import CostLimit
model = ChatOpenRouter("openai/gpt-4o-mini", api_key="k", base_url=sys.argv[1], max_retries=0)
with CostLimit(1) as limit:
    import contextvars
    thread = threading.Thread(target=contextvars.copy_context().run, args=(model.invoke, "a"))
    thread.start()
    sys.stdin.readline()  # the call is in flight
    child = os.fork()
    if child == 0:
        model.invoke("b")
        os._exit(7)
    _, status = os.waitpid(child, 0)
    thread.join()
print(os.waitstatus_to_exitcode(status), limit.requests)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_process_does_not_wait_for_its_parents_calls(emulate):
    """They end in the parent."""
    reached, released = threading.Event(), threading.Event()

    def reply(received):
        if received.body["messages"][0]["content"] == "a":  # the parent's ends after the child's
            reached.set()
            released.wait(60)
        released.set()
        return Reply("x", usage={"cost": 0.01})

    command = [sys.executable, "-W", "ignore", "-c", FORK, emulate(reply).url]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as program:
        try:
            assert reached.wait(60)
            told, log = program.communicate("go\n", timeout=60)
        finally:
            program.kill()
    assert told.split() == ["7", "1"], log


def test_calls_that_begin_and_end_while_others_are_looked_at(model_of):
    """A collection of garbage amid the look lets other threads begin and end calls."""
    calls = {f"call-{n}": Call("chat", "a/b", {}, ()) for n in range(100)}

    def others_run(*_):
        process.running[f"more-{len(process.running)}"] = calls["call-0"]

    before, threshold = process.running, gc.get_threshold()
    process.running = calls
    gc.callbacks.append(others_run)
    try:
        gc.set_threshold(1)
        assert CostMeter._ignored(calls["call-0"], LoopProbe()) == frozenset()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(others_run)
        process.running = before
    assert len(calls) > 100


def test_a_wait_ends_at_the_calls_deadline(model_of):
    """Before anything is sent."""
    released = threading.Event()

    def slow(received):
        if "slow" in received.raw.decode():
            released.wait(60)
        return Reply("ok", usage={"cost": 0.01})

    model = model_of(slow, timeout=90)

    async def amain():
        await model.ainvoke("b", deadline=0.4)

    with CostLimit(1) as limit, ThreadPoolExecutor(1) as pool:
        first = pool.submit(copy_context().run, model.invoke, "slow")
        time.sleep(0.3)
        started = time.monotonic()
        with pytest.raises(errors.DeadlineError):
            model.invoke("b", deadline=0.4)
        with pytest.raises(errors.DeadlineError):
            asyncio.run(amain())
        assert time.monotonic() - started < 30
        released.set()
        first.result(timeout=10)
    assert limit.requests == 1


# --- shared stores ----------------------------------------------------------------------------

WORKER = """
import asyncio, sys
from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.callbacks import CostLimit
from langchain_openrouter.key_store import FileStore
model = ChatOpenRouter("openai/gpt-4o-mini", api_key="k", base_url=sys.argv[1], max_retries=0)
limit = CostLimit(100, store=FileStore(sys.argv[2]), name="n")
model.invoke("x", config={"callbacks": [limit]})
model.batch(["x"] * 10, config={"callbacks": [limit], "max_concurrency": 5})
async def main():
    await asyncio.gather(*(model.ainvoke("x", config={"callbacks": [limit]}) for _ in range(10)))
asyncio.run(main())
"""


def test_no_call_is_lost_in_a_shared_store(emulate, tmp_path):
    """From threads and tasks of two processes that end at once, without a `with`."""
    emulator = emulate(costing(0.001))
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, emulator.url, str(tmp_path)])
        for _ in range(2)
    ]
    assert [worker.wait(timeout=90) for worker in workers] == [0, 0]
    limit = CostLimit(100, store=FileStore(tmp_path), name="n")
    limit.refresh()
    assert limit.requests == len(emulator.requests) == 42
    assert limit.spent == 0.042


# --- hostile answers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [KEY, f"a {KEY} b", "sk-or-v1-" + "0" * 64, "what the prompt said", "\x1b[31m", "x" * 5000, 5],
)
def test_a_servers_model_name_brings_nothing_into_an_error(serve, model_on, name):
    """No key, no prompt, no escape: the requested slug is shown instead."""
    model = model_on(serve(Answer(whole(model=name))), api_key=KEY)
    with CostLimit(0.001) as limit, get_openrouter_callback() as used:
        model.invoke("what the prompt said")
        with pytest.raises(errors.CostLimitError) as caught:
            model.invoke("x")
    shown = str(caught.value) + repr(caught.value.by_model) + limit._repr_html_()
    assert set(limit.by_model) == {SLUG}
    for secret in (KEY, "0" * 64, "prompt", "\x1b", "xxxx"):
        assert secret not in shown
    assert KEY not in repr(used.totals_by_key) + used._repr_html_() or name == KEY


@pytest.mark.parametrize("cost", [-10, float("inf"), "free", True, None, [1]])
def test_what_is_no_cost_lowers_nothing(serve, model_on, cost):
    """It is looked up instead, and what the look-up says is checked too."""
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost": cost}
    body = whole(usage={} if cost == float("inf") else usage)
    record = Answer({"data": {"total_cost": -5}})
    server = serve(lambda seen: record if "generation" in seen.path else Answer(body))
    with CostLimit(1) as limit:
        model_on(server).invoke("x")
    assert limit.spent == 0
    assert limit.unsettled == ("gen-1-abc",)


def test_an_answer_that_was_charged_and_cut_is_looked_up(serve, model_on):
    """Cut in the body, without usage, canceled after the headers: each by the id that came."""
    head = {"x-generation-id": "gen-1-abc"}
    body = b'{"id": "gen-1-abc", "choices": [{"message": {"content": "Hel'
    cases = {
        "cut body": Answer([body, CUT], headers=head),
        "no usage": Answer(sse([event({"content": "x"}), event({}, choice={"finish_reason": "stop"})], done=False),
                           content_type="text/event-stream"),
        "deadline": Answer([body, 5], headers=head),
    }  # fmt: skip
    for name, answer in cases.items():
        record = Answer({"data": {"total_cost": 0.25}})
        server = serve(
            lambda seen, answer=answer, record=record: (
                record if "generation" in seen.path else answer
            )
        )
        model = model_on(server, deadline=0.7 if name == "deadline" else None)
        with CostLimit(1) as limit, get_openrouter_callback() as used:
            try:
                if name == "no usage":
                    list(model.stream("x"))
                else:
                    model.invoke("x")
            except errors.OpenRouterError:
                pass
        assert limit.unsettled == used.unsettled == ("gen-1-abc",), name
        limit.settle()
        used.settle()
        assert limit.spent == used.cost == 0.25, name


def test_a_cancelled_whole_answer_is_looked_up(serve, model_on):
    """Its headers had come."""
    answer = Answer([b"{", 5], headers={"x-generation-id": "gen-9"})
    record = Answer({"data": {"total_cost": 0.25}})
    model = model_on(serve(lambda seen: record if "generation" in seen.path else answer))

    async def main():
        with CostLimit(1) as limit:
            task = asyncio.create_task(model.ainvoke("x"))
            await asyncio.sleep(0.4)
            task.cancel()
            await asyncio.wait([task])
            await limit.asettle()
        return limit.spent

    assert asyncio.run(main()) == 0.25


def test_a_service_without_generations_slows_nothing_for_long(serve, model_on):
    """It is asked a few times, then left alone."""
    missing = Answer({"error": {"code": 404, "message": "no"}}, status=404)
    server = serve(lambda seen: missing if "generation" in seen.path else Answer(whole(usage={})))
    model = model_on(server)
    with CostLimit(1):
        for _ in range(20):
            model.invoke("x")
    assert sum("generation" in seen.path for seen in server.seen) < 30


# --- numbers ----------------------------------------------------------------------------------


def test_several_choices_cost_once(serve, model_on):
    """`usage` is the sum of all choices."""
    choice = whole()["choices"][0]
    model = model_on(
        serve(Answer(whole(choices=[choice, {**choice, "index": 1}, {**choice, "index": 2}])))
    )
    with CostLimit(1) as limit, get_openrouter_callback() as used:
        model.invoke("x", n=3)
    assert limit.spent == used.cost == 0.0025
    assert (used.total.requests, used.total.total_tokens) == (1, 14)


def test_a_cached_answer_has_no_costs_and_langchains_callback_counts_on(model_of):
    """Its tokens add up with those of calls."""
    from langchain_core.callbacks import get_usage_metadata_callback

    details = {
        "upstream_inference_prompt_cost": 0.001,
        "upstream_inference_completions_cost": 0.002,
    }
    usage = {"cost": 0.003, "prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14, "is_byok": False, "cost_details": details}  # fmt: skip
    model = model_of(lambda _: Reply("ok", usage=usage))
    set_llm_cache(InMemoryCache())
    try:
        model.invoke("x")
        with get_usage_metadata_callback() as seen:
            cached = model.invoke("x")
            model.invoke("y")
            model.invoke("z")
    finally:
        set_llm_cache(None)
    costs = {name: value for name, value in cached.usage_metadata.items() if name.endswith("_cost")}
    assert costs == {"total_cost": 0}
    (counted,) = seen.usage_metadata.values()
    assert counted["total_tokens"] == 42


def test_errors_of_other_packages_are_not_counted():
    """The callback is of this package's calls."""
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel

    used = OpenRouterUsage()
    with pytest.raises(StopIteration):
        GenericFakeChatModel(messages=iter(())).invoke("x", config={"callbacks": [used]})
    assert used.total.failed == 0


# --- what stays behind ------------------------------------------------------------------------


def test_no_meter_stays_behind_with_the_middleware_imported(model_of):
    """A run inside a `with` leaves nothing in the context."""
    assert middleware
    model = model_of(costing(0.01))
    for _ in range(3):
        with get_openrouter_callback() as used, CostLimit(1):
            model.invoke("x")
    assert meters_in_context() == ()
    model.invoke("outside")
    assert used.total.requests == 1


def test_an_outer_ceiling_that_ends_first_leaves_the_inner_one(model_of):
    """A generator's `with` may end inside its consumer's."""
    model = model_of(costing(0.01))

    def generator():
        with CostLimit(1):
            yield

    steps = generator()
    next(steps)
    with CostLimit(0.005) as limit:
        next(steps, None)
        model.invoke("x")
        with pytest.raises(errors.CostLimitError):
            model.invoke("x")
    assert limit.spent == 0.01
    assert meters_in_context() == ()


def test_a_stream_that_was_created_under_a_ceiling_counts_wherever_it_is_read(model_of):
    """Its request is sent when it is first read."""
    model = model_of(costing(0.01))
    with CostLimit(1) as limit:
        pieces = model.stream("x")
    list(pieces)
    assert limit.spent == 0.01


# --- estimates --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "kwargs"),
    [
        ("data: " + "word " * 80_000, {"max_tokens": 1}),
        ("x", {"max_tokens": 10, "models": ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4.6"]}),
        ("x", {"max_tokens": 1, "tools": [{"type": "function", "function": {"name": "f", "parameters": {
            "type": "object", "properties": {f"name_{n}_" + "x" * 100: {} for n in range(3000)}}}}]}),
    ],
)  # fmt: skip
def test_an_estimate_counts_all_that_is_sent(model_of, prompt, kwargs):
    """Text that looks like a data URL, dearer fallbacks, names of a schema's properties."""
    model = model_of(costing(0.0001))
    ceiling = 0.000_05 if "models" in kwargs else 0.01
    with CostLimit(ceiling, before="estimate"), pytest.raises(errors.CostLimitError):
        model.invoke(prompt, **kwargs)


def test_a_negative_limit_makes_no_room(model_of):
    """It is no estimate below nothing."""
    model = model_of(costing(0.0001))
    limit = CostLimit(0.01, before="estimate")
    with limit, contextlib.suppress(errors.OpenRouterError):
        model.invoke("word " * 400_000, max_tokens=-(10**8))
    assert limit.spent == 0


def test_prices_are_read_once_and_a_failure_is_remembered(serve, model_on):
    """By twenty calls at once."""
    down = Answer({"error": {"code": 500, "message": "down"}}, status=500)
    server = serve(lambda seen: down if "/models" in seen.path else Answer(whole()))
    model = model_on(server)

    async def main():
        with CostLimit(10, before="estimate"):
            await asyncio.gather(*(model.ainvoke("x") for _ in range(10)))

    asyncio.run(main())
    with CostLimit(10, before="estimate"):
        threads(5, lambda: model.invoke("x"))
    assert sum("/models" in seen.path for seen in server.seen) == 1
