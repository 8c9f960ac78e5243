"""Two worker processes on a real Redis: what one is doing, the other knows."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.support.webapp import Visit, as_program, redis_server

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def site(emulate, tmp_path):
    """The example in two processes."""
    emulator = emulate(any_key=False)
    redeem = emulator.accounts.redeem

    def slow(body):
        time.sleep(1)
        return redeem(body)

    emulator.accounts.redeem = slow
    with redis_server(tmp_path) as redis:
        if redis is None:
            pytest.skip("no redis-server")
        options = ["--workers", "2", "--redis", redis]
        with as_program(*options, OPENROUTER_BASE_URL=emulator.url) as (url, _):
            yield url, emulator


def at_once(visit, paths):
    """Load addresses at the same time, each on a connection of its own: any worker may answer."""
    cookie = "; ".join(f"{name}={value}" for name, value in dict(visit.client.cookies).items())

    def get(path):
        headers = {"cookie": cookie, "connection": "close"}
        return httpx2.get(path, headers=headers, trust_env=False, timeout=60)

    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(get, paths))


def test_two_workers_make_one_exchange(site):
    """Of twelve clicks at once, whichever process each reaches: all end in one session."""
    url, emulator = site
    ann = Visit(url)
    answers = at_once(ann, [ann.decide(ann.to_consent("/there"))] * 12)
    ann.close()

    assert [answer.status_code for answer in answers] == [303] * 12
    assert len({re.search(r"openrouter-session=([^;]+)", str(a.headers))[1] for a in answers}) == 1
    assert len([request for request in emulator.asked if request.path == "/auth/keys"]) == 1


def test_bad_codes_on_two_workers_make_one_exchange(site):
    """Forty attempts on one pending sign-in, at once and afterwards."""
    url, emulator = site
    ann = Visit(url)
    state = parse_qs(urlsplit(ann.to_consent()).query)["state"][0]
    paths = [f"{url}/auth/callback/{state}?state={state}&code=bad-{n}" for n in range(20)]
    answers = at_once(ann, paths) + at_once(ann, paths)
    ann.close()

    assert {answer.status_code for answer in answers} <= {400, 502}
    assert len([request for request in emulator.asked if request.path == "/auth/keys"]) == 1


def test_the_example_takes_its_own_hosts_alone(site):
    """As it listens on this machine, no other name is right."""
    url, _ = site
    answer = httpx2.get(f"{url}/auth/sign-in", headers={"host": "evil.example"}, trust_env=False)

    assert answer.status_code == 400
