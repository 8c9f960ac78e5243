"""The SDK's aiohttp client as `http_async_client=`, and uvloop: as with the client of this package."""

from __future__ import annotations

import asyncio
import socket
import sys
import traceback

import httpx2
import pytest
from aiohttp import ClientSession
from langchain_core.messages import AIMessageChunk
from openai import DefaultAioHttpClient

from langchain_openrouter import ChatOpenRouter, errors
from langchain_openrouter.testing import Call, Fault, error
from langchain_openrouter.testing import Reply as Answer
from tests.support.loopback import Reply, whole

A, B = "sk-or-v1-" + "a" * 64, "sk-or-v1-" + "b" * 64


@pytest.fixture
async def client():
    """An aiohttp client of the SDK."""
    async with DefaultAioHttpClient() as made:
        yield made


def model(emulator, client, **words):
    """Make a model that sends through the client."""
    options = {"model": "openai/gpt-4o-mini", "api_key": A, "max_retries": 0, **words}
    return ChatOpenRouter(base_url=emulator.url, http_async_client=client, **options)


async def streamed(model, question="x", **words):
    """Return the message that a stream adds up to."""
    total = AIMessageChunk(content="")
    async for chunk in model.astream(question, **words):
        total += chunk
    return total


def without_ids(message):
    """Return what a message has beside its content, without the random ids of its calls."""
    kwargs = dict(message.additional_kwargs)
    return {**kwargs, "tool_call_arguments": list(kwargs["tool_call_arguments"].values())}


async def test_streams_and_answers_arrive_as_with_the_shared_client(emulate, client):
    """Text, reasoning, tool calls and usage are the same, streamed and whole."""
    reply = Answer("Hello. " * 50, reasoning="Well.", tool_calls=[Call("f", {"a": 1})])
    emulator = emulate(lambda _: reply)
    fast, usual = model(emulator, client), model(emulator, None)

    for ask in (streamed, lambda model: model.ainvoke("x")):
        got, expected = await ask(fast), await ask(usual)
        assert got.content == expected.content
        assert [call["args"] for call in got.tool_calls] == [{"a": 1}]
        assert without_ids(got) == without_ids(expected)
        assert got.usage_metadata == expected.usage_metadata


async def test_each_call_goes_with_its_own_key(emulate, client):
    """Of forty at once, on few connections, each gets the answer to its own key."""
    emulator = emulate(lambda asked: asked.key)
    shared = model(emulator, client)
    users = [shared.for_user(f"sk-or-v1-user{n:04d}") for n in range(40)]

    said = await asyncio.gather(*[streamed(user) for user in users])
    said += await asyncio.gather(*[user.ainvoke("x") for user in users])
    assert [message.text for message in said] == [f"sk-or-v1-user{n:04d}" for n in range(40)] * 2


@pytest.mark.off_spec("a host's name, for aiohttp keeps no cookies of addresses")
@pytest.mark.parametrize("make", [DefaultAioHttpClient, httpx2.AsyncClient])
async def test_no_cookie_of_one_user_goes_out_with_anothers_key(serve, make):
    """Neither aiohttp's jar nor httpx2's keeps one; the app's own cookie is sent."""
    server = serve(Reply(whole(), headers={"set-cookie": "user=a; Path=/"}))
    url = server.url.replace("127.0.0.1", "localhost")
    async with make() as client:
        client.cookies.set("gateway", "g")
        shared = ChatOpenRouter(model="a/b", api_key=A, base_url=url, http_async_client=client)
        await shared.ainvoke("x")
        await shared.for_user(B).ainvoke("x")

    assert [seen.headers["cookie"] for seen in server.seen] == ["gateway=g"] * 2


def test_nor_with_a_sync_client(serve):
    """Of the app's own."""
    server = serve(Reply(whole(), headers={"set-cookie": "user=a; Path=/"}))
    with httpx2.Client() as client:
        shared = ChatOpenRouter(model="a/b", api_key=A, base_url=server.url, http_client=client)
        shared.invoke("x")
        shared.for_user(B).invoke("x")

    assert not [seen for seen in server.seen if "cookie" in seen.headers]


async def test_a_redirect_is_not_followed(serve, client):
    """The SDK's clients follow them by themselves; a prompt goes nowhere but where it was sent."""
    elsewhere = serve(Reply(whole()))
    reply = Reply("", status=307, headers={"location": f"{elsewhere.url}/chat/completions"})

    with pytest.raises(errors.UpstreamError):
        await model(serve(reply), client).ainvoke("x")
    assert not elsewhere.seen


@pytest.mark.parametrize(
    "head", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: %b\r\n\r\n" % (b"a" * 9000)]
)
async def test_what_is_no_response_is_an_error_without_the_key(client, head):
    """The error of aiohttp has the request's headers, and the library lets it through."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
    odd = ChatOpenRouter(
        model="a/b", api_key=A, base_url=url, http_async_client=client, max_retries=0
    )
    for ask in (odd.ainvoke, lambda text: streamed(odd, text)):
        with pytest.raises(errors.ConnectionFailedError) as caught:
            await ask("x")
        assert A not in "".join(traceback.format_exception(caught.value))
    server.close()


async def test_a_session_of_the_apps_own_is_used_as_it_is(emulate):
    """Its jar, its connector, its tracing: whoever makes a session has a reason."""
    client = DefaultAioHttpClient()
    async with ClientSession() as session:
        client._transport.client = session
        jar = session.cookie_jar
        await model(emulate(lambda _: "Hello."), client).ainvoke("x")

        assert client._transport.client is session
        assert session.cookie_jar is jar


async def test_errors_are_the_same(emulate, client):
    """A refusal of the service has its class, its wait and its retries."""
    replies = iter([error("rate_limit", retry_after=0), "Hello.", error("authentication")])
    emulator = emulate(lambda _: next(replies))

    assert (await model(emulator, client, max_retries=1).ainvoke("x")).text == "Hello."
    with pytest.raises(errors.AuthenticationError):
        await model(emulator, client).ainvoke("x")


async def test_a_stream_that_is_cut_has_its_partial_answer(emulate, client):
    """What came is in the error, and the key is not."""
    emulator = emulate(lambda _: Answer("word " * 50, fault=Fault("cut", after=5)))

    with pytest.raises(errors.ConnectionFailedError) as caught:
        await streamed(model(emulator, client))
    assert caught.value.partial.text
    assert A not in str(caught.value)


async def test_a_refused_connection_is_no_timeout(client):
    """The library's own table calls it one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/api/v1"
    dead = ChatOpenRouter(
        model="a/b", api_key=A, base_url=url, http_async_client=client, max_retries=0
    )

    with pytest.raises(errors.ConnectionFailedError, match="ConnectError") as caught:
        await dead.ainvoke("x")
    assert not isinstance(caught.value, errors.ConnectionTimeoutError)


async def test_a_proxy_that_refuses_is_no_timeout():
    """Nor a connection that was lost after it was made."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{probe.getsockname()[1]}"
    async with DefaultAioHttpClient(proxy=proxy) as behind:
        dead = ChatOpenRouter(
            model="a/b", api_key=A, base_url="http://127.0.0.1:9/v1", http_async_client=behind,
            max_retries=0,
        )  # fmt: skip
        with pytest.raises(errors.ConnectionFailedError, match="ConnectError"):
            await dead.ainvoke("x")


async def test_a_server_that_hangs_up_is_no_timeout(client):
    """Neither is a connection that was lost before an answer."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
    lost = ChatOpenRouter(
        model="a/b", api_key=A, base_url=url, http_async_client=client, max_retries=0
    )

    with pytest.raises(errors.ConnectionFailedError) as caught:
        await lost.ainvoke("x")
    assert not isinstance(caught.value, errors.ConnectionTimeoutError)
    server.close()


@pytest.mark.parametrize("limit", ["timeout", "deadline"])
async def test_waiting_ends(emulate, client, limit):
    """A stream that stalls ends with `timeout=`, a byte's, and with `deadline=`, the call's."""
    emulator = emulate(lambda _: Answer("word " * 50, fault=Fault("stall", after=5, seconds=30)))
    kind = errors.ConnectionTimeoutError if limit == "timeout" else errors.DeadlineError

    with pytest.raises(kind) as caught:
        await asyncio.wait_for(streamed(model(emulator, client), **{limit: 0.5}), 10)
    assert caught.value.partial.text


async def test_a_stream_that_is_left_is_canceled_upstream(emulate, client):
    """The service stops working for a reader who has gone."""
    emulator = emulate(lambda _: Answer("word " * 500, fault=Fault("stall", after=5, seconds=30)))
    stream = model(emulator, client).astream("x")
    await anext(stream)
    await stream.aclose()

    assert await asyncio.to_thread(emulator.chats[0].gone.wait, 10)


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_uvloop_streams_and_closes_its_connections(emulate):
    """Also call after call, each in a loop of its own."""
    import uvloop

    emulator = emulate(lambda _: "Hello. " * 20)
    for http in (None, DefaultAioHttpClient):

        async def ask(http=http):
            client = http() if http else None
            said = (await streamed(model(emulator, client))).text
            said += (await model(emulator, client).ainvoke("x")).text
            if client:
                await client.aclose()
            return said

        for _ in range(2):
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                assert runner.run(ask()) == "Hello. " * 40
