"""What a server can do to the process that reads it, and what a key owner would not expect."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    UserKey,
    errors,
)
from langchain_openrouter.catalog import Catalog
from langchain_openrouter.settings import response_limits
from tests.support.loopback import Reply, event, events, sse, whole

pytestmark = pytest.mark.off_spec("a hostile server")

ODD_KEY = "gateway-key-0123456789abcdef0123456"


@pytest.mark.parametrize("how", ["stream", "astream"])
def test_data_lines_without_data_are_bounded(serve, model_on, monkeypatch, how):
    """A line of no bytes still costs memory."""
    monkeypatch.setattr(response_limits, "event", 64_000)
    server = serve(
        lambda _: Reply((b"data:\n" * 512 for _ in range(500)), content_type="text/event-stream")
    )
    model = model_on(server)

    async def astream():
        return [chunk async for chunk in model.astream("x")]

    with pytest.raises(errors.UpstreamError, match=r"response_limits\.event"):
        list(model.stream("x")) if how == "stream" else asyncio.run(astream())


@pytest.mark.parametrize("how", ["stream", "astream"])
def test_a_stream_is_bounded_as_a_whole(serve, model_on, monkeypatch, how):
    """Small events without end, each of which is kept."""
    monkeypatch.setattr(response_limits, "stream", 100_000)
    piece = sse([event({"content": "x" * 50})] * 20, done=False)
    server = serve(lambda _: Reply((piece for _ in range(500)), content_type="text/event-stream"))
    model = model_on(server)

    async def astream():
        return [chunk async for chunk in model.astream("x")]

    with pytest.raises(errors.UpstreamError, match=r"response_limits\.stream") as caught:
        list(model.stream("x")) if how == "stream" else asyncio.run(astream())
    assert caught.value.partial.text.startswith("xxx")


@pytest.mark.parametrize("how", ["stream", "astream"])
@pytest.mark.parametrize("rest", [[60.0], [b": x\n\n", 0.2] * 300], ids=["silent", "dripping"])
def test_a_connection_that_stays_open_after_the_answer_keeps_nobody_waiting(
    serve, model_on, rest, how
):
    """The stream ends at `[DONE]`, whatever the server does then."""
    server = serve(
        lambda _: Reply([sse(events({"content": "Hi"})), *rest], content_type="text/event-stream")
    )
    model = model_on(server, timeout=30)

    async def astream():
        return [chunk async for chunk in model.astream("x")]

    start = time.monotonic()
    chunks = list(model.stream("x")) if how == "stream" else asyncio.run(astream())

    assert "".join(chunk.text for chunk in chunks) == "Hi"
    assert time.monotonic() - start < 25


def test_a_connection_is_used_again_after_a_stream(serve, model_on):
    """What follows the answer is read, so that the next request needs no new connection."""
    server = serve(Reply(sse(events({"content": "Hi"})), content_type="text/event-stream"))
    model = model_on(server)
    for _ in range(3):
        list(model.stream("x"))

    assert len({seen.connection for seen in server.seen}) == 1


@pytest.mark.parametrize("how", ["stream", "astream"])
def test_a_whole_answer_without_a_content_type_is_read(serve, model_on, how):
    """As `invoke` reads it; a second request would be paid twice."""
    server = serve(Reply(json.dumps(whole("fine")), headers={"content-type": ""}, content_type=""))
    model = model_on(server)

    async def astream():
        return [chunk async for chunk in model.astream("x")]

    chunks = list(model.stream("x")) if how == "stream" else asyncio.run(astream())
    assert "".join(chunk.text for chunk in chunks) == "fine"


QUOTES = {
    "short": "no such key {key}",
    "at the cut": "x" * 580 + " {key} is not known",
    "in a page": "<html>" + "y " * 70 + "{key}</html>",
}


@pytest.mark.parametrize("how", ["info", "ainfo", "invoke"])
@pytest.mark.parametrize("name", QUOTES)
def test_no_part_of_the_key_that_was_sent_is_left(serve, model_on, name, how):
    """Of any form, in a message that is cut, in a page, in the details."""
    text = QUOTES[name].format(key=ODD_KEY)
    body = text if name == "in a page" else {
        "error": {"code": 401, "message": text, "metadata": {"raw": text, "provider_name": text}}
    }  # fmt: skip
    server = serve(Reply(body, 401))
    key = UserKey(ODD_KEY, base_url=server.url)
    calls = {
        "info": key.info,
        "ainfo": lambda: asyncio.run(key.ainfo()),
        "invoke": lambda: model_on(server, api_key=ODD_KEY).invoke("x"),
    }

    with pytest.raises(errors.OpenRouterError) as caught:
        calls[how]()

    shown = f"{caught.value} {vars(caught.value)}"
    assert not any(ODD_KEY[:size] in shown for size in range(8, len(ODD_KEY) + 1))


def prompts():
    """Return prompts of each kind, with what a service would quote of them."""
    secret = "Секрет Анны: код 4711 и больше"
    return {
        "escaped": (secret, json.dumps(secret)[1:-1]),
        "image": (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png?signature=0123456789abcdef"}}]}],
            "cannot load https://x/y.png?signature=0123456789abcdef",
        ),
        "tool call": (
            [("user", "x"), {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"pin": "hunter2 hunter2"}'}}]},
             {"role": "tool", "tool_call_id": "c", "content": "ok"}],
            'bad arguments {"pin": "hunter2 hunter2"}',
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", prompts())
def test_no_message_quotes_the_prompt_in_any_form(serve, model_on, name):
    """Escaped as JSON, an address with its signature, arguments of tools."""
    prompt, quote = prompts()[name]
    server = serve(Reply({"error": {"code": 400, "message": f"Bad input: {quote}"}}, 400))

    with pytest.raises(errors.InvalidRequestError) as caught:
        model_on(server).invoke(prompt)

    message = str(caught.value)
    assert "[...]" in message
    for part in ("4711", "Секрет", "signature=0123456789abcdef", "hunter2"):
        assert part not in message


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1" + "0" * 400])
def test_a_vector_of_no_numbers_is_a_typed_error(serve, number):
    """And no good answer."""
    server = serve(Reply(f'{{"data": [{{"embedding": [0.5, {number}]}}]}}'))
    embeddings = OpenRouterEmbeddings(model="a/b", api_key="k", base_url=server.url)

    with pytest.raises(errors.UpstreamError, match="vector"):
        embeddings.embed_query("x")


def test_prices_that_are_no_numbers_are_unknown(serve):
    """The list is still read, and its repr drives no terminal."""
    row = '{"id": "a/b\\u001b[31m", "pricing": {"prompt": 1%s, "completion": "Infinity"}}' % (
        "0" * 400
    )
    server = serve(Reply(f'{{"data": [{row}]}}'))
    models = Catalog(base_url=server.url).models()

    assert models[0].prompt_price is None
    assert models[0].completion_price is None
    assert "\x1b" not in repr(models)


def test_a_catalog_keeps_a_bounded_number_of_lists(serve):
    """However many users and questions it serves."""
    server = serve(Reply({"data": []}))
    catalog = Catalog(base_url=server.url)
    for number in range(200):
        catalog.models(q=str(number))

    assert len(catalog._cache) <= 64
    assert len(server.seen) == 200


@pytest.mark.parametrize("derive", ["copied", "assigned", "environment"])
def test_a_users_key_stays_with_its_service_when_the_address_changes(serve, monkeypatch, derive):
    """After `for_user` as before it."""
    home, other = serve(Reply(whole())), serve(Reply(whole()))
    monkeypatch.setenv("OPENROUTER_BASE_URL", home.url)
    model = ChatOpenRouter(model="a/b").for_user(UserKey("sk-or-v1-ann", base_url=home.url))
    assert model.invoke("x").text == "Hello!"

    if derive == "copied":
        model = model.model_copy(update={"base_url": other.url})
    elif derive == "assigned":
        model.openai_api_base = other.url
    else:
        monkeypatch.setenv("OPENROUTER_BASE_URL", other.url)
    with pytest.raises(errors.AuthenticationError, match="is for"):
        model.invoke("x")
    assert not other.seen
