"""What the constructor accepts under which name, and what it refuses with a hint."""

from __future__ import annotations

import json
import pickle
from typing import get_args

import pytest
from langchain_core.messages import HumanMessage
from pydantic import SecretStr, ValidationError

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    OpenRouterRerank,
    OpenRouterSettings,
    errors,
    wire,
)
from tests.support.loopback import Reply, event, sse, stream, whole


def test_the_slug_may_come_by_position(serve):
    """As published examples of other packages write it, and by either of its names."""
    server = serve(Reply(whole()))
    for model in (
        ChatOpenRouter("a/b", api_key="k", base_url=server.url),
        ChatOpenRouter(model="a/b", api_key="k", base_url=server.url),
        ChatOpenRouter(model_name="a/b", api_key="k", base_url=server.url),
    ):
        pickle.loads(pickle.dumps(model)).invoke("x")

    assert [seen.body["model"] for seen in server.seen] == ["a/b"] * 3


@pytest.mark.parametrize("name", ["model", "model_name"])
def test_two_slugs_are_refused(name):
    """One by position and one by name say nothing about which is meant."""
    with pytest.raises(TypeError, match="by position and by name"):
        ChatOpenRouter("a/b", **{name: "c/d"})


def test_what_a_type_checker_accepts_as_an_attribute_exists():
    """The further names of arguments are attributes too."""
    settings = OpenRouterSettings(api_key="k", app_title="A", timeout=7, session_id="s")
    model = ChatOpenRouter("a/b", settings=settings, provider={"zdr": True}, stop_sequences=["x"])

    assert model.model == model.model_name == "a/b"
    assert model.provider == {"zdr": True}
    assert model.stop_sequences == ["x"]
    assert model.openrouter_api_base == "https://openrouter.ai/api/v1"
    assert model.openrouter_api_key == SecretStr("k")
    assert model.settings == settings
    assert ChatOpenRouter("a/b", api_key=lambda: "k").settings.api_key is None
    assert "k'" not in repr(model.settings)


@pytest.mark.parametrize("make", [OpenRouterEmbeddings, OpenRouterRerank])
def test_settings_of_embeddings_and_rerank_can_be_read_and_passed_on(make):
    """An object made from another's settings is configured alike."""
    first = make(model="a/b", settings=OpenRouterSettings(api_key="k", app_title="A", timeout=7))
    second = make(model="a/b", settings=first.settings)

    assert second.settings == first.settings
    assert second.openrouter_api_key == SecretStr("k")
    assert (second.app_title, second.timeout) == ("A", 7)


@pytest.mark.parametrize(
    ("argument", "hint"),
    [("openrouter_reasoning", "reasoning"), ("openrouter_route", "route"), ("openrouter_plugins", "plugins"),
     ("prompt_cachin", "prompt_caching"), ("openrouter_providers", "openrouter_provider")],
)  # fmt: skip
def test_an_unknown_argument_names_the_right_one(argument, hint):
    """Of the model and of a call, names with the prefix of LangChain's own package among them."""
    with pytest.raises(ValidationError, match=f"did you mean `{hint}`"):
        ChatOpenRouter("a/b", api_key="k", **{argument: {}})
    with pytest.raises(ValueError, match=f"did you mean `{hint}`"):
        ChatOpenRouter("a/b", api_key="k").invoke("x", **{argument: {}})


MISSPELLED = [
    ("reasoning", {"efort": "high"}, 'did you mean "effort"'),
    ("reasoning", {"effort": "hight"}, 'did you mean "high"'),
    ("reasoning", {"effort": "High"}, 'did you mean "high"'),
    ("reasoning", {"summary": "detailled"}, 'did you mean "detailed"'),
    ("reasoning", {"max_token": 5}, 'did you mean "max_tokens"'),
    ("reasoning_effort", "meduim", 'did you mean "medium"'),
    ("provider", {"ordr": ["a"]}, 'did you mean "order"'),
    ("provider", {"allow_fallback": False}, 'did you mean "allow_fallbacks"'),
    ("provider", {"data_collection": "denny"}, 'did you mean "deny"'),
    ("provider", {"sort": "throughtput"}, 'did you mean "throughput"'),
]


@pytest.mark.parametrize(("field", "value", "hint"), MISSPELLED)
def test_a_misspelled_preference_is_refused_with_a_hint(serve, model_on, field, value, hint):
    """OpenRouter would ignore it without an error, a preference of privacy too."""
    server = serve(Reply(whole()))
    with pytest.raises(ValidationError, match=hint):
        model_on(server, **{field: value})
    with pytest.raises(ValueError, match=hint):
        model_on(server).invoke("x", **{field: value})
    with pytest.raises(ValueError, match=hint):
        model_on(server).bind(**{field: value}).invoke("x")

    assert server.seen == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("reasoning", {"effort": "ultra"}), ("reasoning", {"effort": None}), ("reasoning", {"budget": 5}),
     ("reasoning_effort", "adaptive"), ("provider", {"region": "eu"}),
     ("provider", {"sort": {"by": "price", "partition": "none"}})],
)  # fmt: skip
@pytest.mark.off_spec("fields of the future")
def test_what_openrouter_may_add_is_sent(serve, model_on, field, value):
    """Only what is nearly a known word is refused: the vocabularies are open."""
    server = serve(Reply(whole()))
    model_on(server, **{field: value}).invoke("x")
    model_on(server, extra_body={"reasoning": {"efort": "high"}}).invoke("x")

    assert server.seen[0].body[field] == value
    assert server.seen[1].body["reasoning"] == {"efort": "high"}


# --- model_kwargs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"temperature": 1, "model_kwargs": {"temperature": 0}}, "`temperature` is set twice"),
        ({"model_kwargs": {"model": "c/d"}}, "`model_name` is set twice"),
        ({"request_metadata": {"a": "b"}, "model_kwargs": {"metadata": {}}}, "`request_metadata` is set twice"),
        ({"stop_sequences": ["x"], "model_kwargs": {"stop": ["y"]}}, "`stop` is set twice"),
        ({"model_kwargs": {"messages": []}}, "part of each call"),
        ({"model_kwargs": {"stream": True}}, "part of each call"),
        ({"model_kwargs": {"openrouter_provider": {}}}, "pass `openrouter_provider=`"),
        ({"model_kwargs": {"api_key": "secret-key"}}, "pass `api_key=`"),
        ({"model_kwargs": {"timeout": 5}}, "pass `timeout=`"),
        ({"model_kwargs": {"prompt_caching": True}}, "pass `prompt_caching=`"),
    ],
)  # fmt: skip
def test_model_kwargs_that_repeat_an_argument_are_refused(kwargs, message):
    """Nothing is set twice, and no argument of ours goes out as a field that the API ignores."""
    with pytest.raises(ValidationError, match=message) as caught:
        ChatOpenRouter(**{"model": "a/b", "api_key": "k", **kwargs})

    assert "secret-key" not in str(caught.value)


def test_a_field_may_be_in_model_kwargs_alone(serve, model_on):
    """It is sent as if it were the argument, and settings from the environment do not count."""
    server = serve(Reply(whole()))
    settings = OpenRouterSettings(session_id="of-the-settings", base_url=server.url, api_key="k")
    ChatOpenRouter("a/b", settings=settings, model_kwargs={"seed": 3, "session_id": "mine"}).invoke(
        "x"
    )

    assert server.seen[0].body["seed"] == 3
    assert server.seen[0].body["session_id"] == "mine"


# --- what LangChain reads ---------------------------------------------------------------------


@pytest.mark.parametrize("as_stream", [False, True])
async def test_llm_output_has_model_and_id(serve, model_on, as_stream):
    """Beside the usage, sync and async, and where a stream came although none was requested."""
    server = serve(stream("Hi.") if as_stream else Reply(whole()))
    model = model_on(server)
    results = [model.generate([[HumanMessage("x")]]), await model.agenerate([[HumanMessage("x")]])]
    inner = model._generate([HumanMessage("x")])

    assert inner.llm_output["model_name"] == "openai/gpt-4o-mini"
    assert inner.llm_output["id"] == "gen-1-abc"
    assert inner.llm_output["token_usage"]["cost"] == 0.0025
    assert all(result.llm_output["token_usage"]["cost"] == 0.0025 for result in results)


@pytest.mark.parametrize("stop", ["x", ["x"]])
def test_traces_have_the_stop_words_as_a_list(model_on, stop):
    """Of the model and of a call, as LangSmith's parameters are declared."""
    assert model_on(None, stop=stop)._get_ls_params()["ls_stop"] == ["x"]
    assert model_on(None)._get_ls_params(stop=stop)["ls_stop"] == ["x"]


async def test_the_name_of_a_message_arrives(serve, model_on):
    """The name of an answer's author is the message's, whole and streamed, and is sent back."""
    message = {"message": {"name": "ann"}}
    parts = sse(
        [
            event({"name": "ann", "content": "Hi"}),
            event({"content": "."}, choice={"finish_reason": "stop"}),
        ]
    )
    replies = [Reply(whole(**message)), Reply(parts, content_type="text/event-stream")]
    server = serve(lambda seen: replies[bool(seen.body.get("stream"))])
    model = model_on(server)

    answers = [model.invoke("x"), await model.ainvoke("x")]
    summed = None
    for chunk in model.stream("x"):
        summed = chunk if summed is None else summed + chunk
    chunks = [chunk async for chunk in model.astream("x")]
    answers += [summed, chunks[0] + chunks[1:]]
    assert [answer.name for answer in answers] == ["ann"] * 4
    assert all("name" not in answer.additional_kwargs for answer in answers)

    model.invoke([HumanMessage("x", name="bob"), answers[2]])
    assert [m["name"] for m in json.loads(server.seen[-1].raw)["messages"]] == ["bob", "ann"]


async def call(model, how):
    """Call a model in one of four ways."""
    match how:
        case "invoke":
            model.invoke("x")
        case "ainvoke":
            await model.ainvoke("x")
        case "stream":
            list(model.stream("x"))
        case _:
            _ = [chunk async for chunk in model.astream("x")]


DEFERRED_CODES = get_args(wire.DeferredToolsCode)


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("code", DEFERRED_CODES)
async def test_an_error_of_deferred_tools_has_its_code(serve, model_on, how, code):
    """It says what the history lacks, in `metadata`, and asking again does not help."""
    body = {
        "error": {
            "code": 400,
            "message": "Deferred tools: see the code.",
            "metadata": {"code": code},
        }
    }
    server = serve(Reply(body, status=400))
    deferred = {
        "protocol": "v1",
        "profile": "portable",
        "validation": "runtime",
        "search": {"type": "bm25"},
    }
    model = model_on(server, deferred_tools=deferred)

    with pytest.raises(errors.InvalidRequestError) as caught:
        await call(model, how)

    assert caught.value.metadata["code"] == code
    assert not caught.value.is_retryable
    assert server.seen[0].body["deferred_tools"] == deferred
