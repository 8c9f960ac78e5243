"""What LangSmith and OpenTelemetry are told: tokens, and what OpenRouter charged."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client

from langchain_openrouter import as_user, current_user
from langchain_openrouter.testing import Reply
from tests.support.loopback import Reply as Answer
from tests.support.loopback import Server

USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 4,
    "total_tokens": 14,
    "cost": 0.003,
    "is_byok": False,
    "cost_details": {
        "upstream_inference_prompt_cost": 0.001,
        "upstream_inference_completions_cost": 0.002,
    },
}
KEY = "sk-or-v1-sentinel-of-the-traced-user"


def runs_at(server):
    """Return the runs that LangSmith was sent, each with its latest state."""
    runs = {}
    for seen in server.seen:
        if seen.method in {"POST", "PATCH"} and "/runs" in seen.path:
            body = seen.body
            name = body.get("id") or seen.path.rsplit("/", 1)[-1]
            runs.setdefault(name, {}).update({k: v for k, v in body.items() if v is not None})
    return list(runs.values())


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke"])
def test_langsmith_is_told_the_charged_cost(emulate, model_on, how):
    """Its own client sends `usage_metadata` with `total_cost`, where its pages read it."""
    emulator = emulate(lambda _: Reply("ok", usage=USAGE))
    model = model_on(None, base_url=emulator.url, api_key=current_user)

    with Server(Answer({})) as langsmith:
        client = Client(
            api_url=f"http://127.0.0.1:{langsmith.port}", api_key="ls", auto_batch_tracing=False
        )
        tracer = LangChainTracer(client=client, project_name="p")
        config = {"callbacks": [tracer]}
        with as_user(KEY, user="ann"):
            if how == "invoke":
                model.invoke("x", config=config)
            elif how == "stream":
                list(model.stream("x", config=config))
            else:
                asyncio.run(model.ainvoke("x", config=config))
        tracer.wait_for_futures()
        client.flush()
        (run,) = runs_at(langsmith)
        sent = b"".join(seen.raw for seen in langsmith.seen)

    usage = run["extra"]["metadata"]["usage_metadata"]
    assert usage["total_cost"] == 0.003
    assert (usage["input_cost"], usage["output_cost"]) == (0.001, 0.002)
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (10, 4, 14)
    assert run["extra"]["metadata"]["ls_provider"] == "openrouter"
    assert KEY.encode() not in sent


@pytest.mark.parametrize(
    ("usage", "costs"),
    [
        ({**USAGE, "is_byok": True, "cost": 0.0}, {"total_cost": 0.0}),
        ({**USAGE, "cost": 0.0}, {"total_cost": 0.0}),  # free: the provider's own price is no cost
        ({**USAGE, "cost_details": {}}, {"total_cost": 0.003}),
        (
            {**USAGE, "cost": 0.013},
            {"total_cost": 0.013, "input_cost": 0.001, "output_cost": 0.002},
        ),
    ],
)
def test_only_what_openrouter_charged_is_a_cost(emulate, model_on, usage, costs):
    """Not what a provider charges a key of the user's own; a search costs more than its tokens."""
    model = model_on(None, base_url=emulate(lambda _: Reply("ok", usage=usage)).url)
    for message in (model.invoke("x"), *list(model.stream("x"))[-1:]):
        found = {k: v for k, v in (message.usage_metadata or {}).items() if k.endswith("_cost")}
        assert found == costs or message.usage_metadata is None


def test_streams_add_up_with_their_costs(emulate, model_on):
    """Core's sum of chunks adds integers only; ours adds costs too."""
    model = model_on(None, base_url=emulate(lambda _: Reply("one two", usage=USAGE)).url)
    chunks = [*model.stream("x"), *model.stream("x")]
    one_by_one = chunks[0]
    for chunk in chunks[1:]:
        one_by_one += chunk
    at_once = chunks[0] + chunks[1:]
    for total in (one_by_one, at_once):
        assert total.usage_metadata["total_cost"] == 0.006
        assert total.usage_metadata["total_tokens"] == 28


def test_langchains_own_usage_callback_still_counts(emulate, model_on):
    """It adds integers only: while it listens, the costs are in `response_metadata` alone."""
    from langchain_core.callbacks import get_usage_metadata_callback

    model = model_on(None, base_url=emulate(lambda _: Reply("ok", usage=USAGE)).url)
    with get_usage_metadata_callback() as seen:
        model.batch(["a", "b"])
        messages = [model.invoke("c"), list(model.stream("d"))[-1]]
    (usage,) = seen.usage_metadata.values()
    assert usage["total_tokens"] == 4 * 14
    assert all("total_cost" not in (m.usage_metadata or {}) for m in messages)
    assert messages[0].response_metadata["cost"] == 0.003


OTEL = """
import json, os, sys
os.environ |= {"LANGSMITH_TRACING": "true", "LANGSMITH_OTEL_ENABLED": "true",
               "LANGSMITH_OTEL_ONLY": "true", "LANGSMITH_API_KEY": "ls"}
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)

from langchain_core.tracers.langchain import wait_for_all_tracers
from langchain_openrouter import ChatOpenRouter
model = ChatOpenRouter("openai/gpt-4o-mini", api_key="sk-or-v1-secret", base_url=sys.argv[1])
model.invoke("Why is the sky blue?")
wait_for_all_tracers()
from langsmith.run_trees import get_cached_client
get_cached_client().flush()
provider.force_flush()
print(json.dumps([dict(span.attributes) for span in spans.get_finished_spans()], default=str))
"""


def test_opentelemetry_by_the_genai_conventions(emulate):
    """LangChain's tracing exports them by itself: three variables, and a tracer provider."""
    pytest.importorskip("opentelemetry.sdk")
    emulator = emulate(lambda _: Reply("ok", usage=USAGE))
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OTEL, emulator.url],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    (attributes,) = json.loads(process.stdout.strip().splitlines()[-1])

    assert attributes["gen_ai.request.model"] == "openai/gpt-4o-mini"
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.usage.input_tokens"] == 10
    assert attributes["gen_ai.usage.output_tokens"] == 4
    assert "secret" not in process.stdout
