"""500 signed-in users streaming at once through two workers and Redis: nothing mixed, nothing left."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from pathlib import Path

import httpx2
import pytest

from langchain_openrouter.testing import Reply
from langchain_openrouter.testing.emulator import _fault_injection
from tests.support.webapp import Visit, as_program, redis_server

USERS = 500
pytestmark = pytest.mark.timeout(300)


def connections_to(port):
    """Return how many established TCP connections of this machine go to a port.

    A connection can be in the file twice: the kernel reads on where others have moved since.
    """
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    wanted = f":{port:04X}"
    return len({row[1] for row in rows if row[2].endswith(wanted) and row[3] == "01"})


@pytest.fixture
def all_are_there(monkeypatch):
    """No response goes on before this is set, however long it takes until all have begun."""
    event, disconnects_within = threading.Event(), _fault_injection._disconnects_within

    async def paused(receive, seconds):
        while not event.is_set():
            if await disconnects_within(receive, 0.1):
                return True
        return await disconnects_within(receive, seconds)

    monkeypatch.setattr(_fault_injection, "_disconnects_within", paused)
    return event


@pytest.fixture
def site(emulate, tmp_path):
    """Two workers on Redis, or one without it."""

    def reply(asked):
        return Reply(f"{asked.body['user']} " * 20, pause=0.3)

    emulator = emulate(reply, any_key=False)
    with redis_server(tmp_path) as redis:
        words = ["--workers", "2", "--redis", redis] if redis else []
        with as_program(*words, OPENROUTER_BASE_URL=emulator.url) as (url, _):
            yield url, emulator


def test_500_users_stream_at_once(site, all_are_there):
    """Each gets own answer on own key; half leave in the middle; then no connection is left."""
    url, emulator = site
    one = Visit(url)
    one.sign_in("user_000")
    one.close()

    async def sign_in(n, room):
        async with room:
            visit = await asyncio.to_thread(Visit, url)
            await asyncio.to_thread(visit.sign_in, f"user_{n:03d}")
            cookies = dict(visit.client.cookies)
            visit.close()
            return cookies

    async def stream(client, n, cookies):
        body = {"messages": [{"role": "user", "content": f"I am {n}"}]}
        headers = {"cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())}
        text = ""
        async with client.stream("POST", f"{url}/api/chat", json=body, headers=headers) as answer:
            async for piece in answer.aiter_text():
                text += piece
                if n % 2 and text.count("event: text") >= 5:
                    break  # leaves in the middle
        said = "".join(re.findall(r'event: text\ndata: "(.*?)"', text)).split()
        return set(said) == {f"user_{n:03d}"} and (bool(n % 2) or "event: done" in text)

    async def everyone():
        room = asyncio.Semaphore(20)
        sessions = await asyncio.gather(*[sign_in(n, room) for n in range(USERS)])
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx2.AsyncClient(timeout=120, trust_env=False, limits=limits) as client:
            streams = [asyncio.create_task(stream(client, n, c)) for n, c in enumerate(sessions)]
            while not all(task.done() for task in streams):
                most.append(connections_to(port))
                if most[-1] == USERS:
                    all_are_there.set()
                await asyncio.sleep(0.1)
            return [task.result() for task in streams]

    port = int(url.rpartition(":")[2])
    most = []
    right = asyncio.run(everyone())
    assert right == [True] * USERS
    assert USERS in most  # at once
    mine = {a.key: a.body["user"] for a in emulator.chats}
    assert len(mine) == USERS
    assert all(emulator.accounts.keys[key].user_id == user for key, user in mine.items())
    end = time.monotonic() + 30
    while connections_to(port) and time.monotonic() < end:
        time.sleep(0.2)
    assert connections_to(port) == 0
    gone = [asked for asked in emulator.chats if asked.gone.is_set()]
    assert len(gone) >= USERS // 2 - 5  # those who left stopped their requests upstream
