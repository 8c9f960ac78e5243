"""A user's limit is the user's: a renewal or a rotation gives no new one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.stores import InMemoryByteStore

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.testing import Reply
from tests.support.accounts import BOTH, client
from tests.support.provisioning import account_keys, do, provisioner

DAY = 86_400


@pytest.fixture
def emulator(emulate):
    """An emulator that knows only the keys that it made; a call costs two dollars."""
    emulator = emulate(lambda _: Reply("Hi.", usage={"cost": 2.0}), any_key=False)
    emulator.clock.advance(5 * DAY)
    return emulator


def spend(emulator, key):
    """Spend two dollars."""
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url, max_retries=0)
    model.for_user(key).invoke("hi")


@BOTH
def test_a_rotation_carries_over_what_was_spent_and_the_next_period_is_whole(emulator, how):
    """Over two rotations; the limit is raised at the first use."""
    keys = provisioner(emulator, limit=7, limit_reset="daily", clock=emulator.clock.time)
    spend(emulator, do(how, keys, "get", "ann"))
    second = do(how, keys, "rotate", "ann", grace=0)
    assert account_keys(emulator)[second.fingerprint].limit == 5
    spend(emulator, second)
    third = do(how, keys, "rotate", "ann", grace=0)
    assert account_keys(emulator)[third.fingerprint].limit == 3

    emulator.clock.advance(DAY + 120)
    assert do(how, keys, "get", "ann") == third
    assert account_keys(emulator)[third.fingerprint].limit == 7
    spend(emulator, third)
    fourth = do(how, keys, "rotate", "ann", grace=0)
    assert account_keys(emulator)[fourth.fingerprint].limit == 5


@BOTH
def test_a_limit_that_never_resets_is_spent_once(emulator, how):
    """To nothing, whatever number of keys."""
    keys = provisioner(emulator, limit=3, limit_reset=None, clock=emulator.clock.time)
    for left in (1, 0, 0):
        if left == 1:
            spend(emulator, do(how, keys, "get", "ann"))
        else:
            account_keys(emulator)[key.fingerprint].charge(1.0)  # noqa: F821 - of the first turn
        key = do(how, keys, "rotate", "ann", grace=0)
        assert account_keys(emulator)[key.fingerprint].limit == left

    emulator.clock.advance(400 * DAY)
    assert account_keys(emulator)[do(how, keys, "get", "ann").fingerprint].limit == 0


@pytest.mark.parametrize("swept", [False, True])
@BOTH
def test_a_key_that_expired_leaves_what_remained(emulator, how, swept):
    """Whether or not a sweep has deleted it meanwhile."""
    keys = provisioner(emulator, limit=7, expires_after=3600, clock=emulator.clock.time)
    spend(emulator, do(how, keys, "get", "ann"))
    emulator.clock.advance(7200)
    if swept:
        assert [action.kind for action in do(how, keys, "sweep").actions] == ["expired"]

    key = do(how, keys, "get", "ann")
    assert account_keys(emulator)[key.fingerprint].limit == 5


@BOTH
def test_a_limit_that_somebody_changed_is_not_raised(emulator, how):
    """It is the one in the dashboard that counts."""
    keys = provisioner(emulator, limit=7, limit_reset="daily", clock=emulator.clock.time)
    spend(emulator, do(how, keys, "get", "ann"))
    key = do(how, keys, "rotate", "ann", grace=0)
    client(emulator).keys.update(key, limit=1)

    emulator.clock.advance(DAY + 120)
    assert do(how, keys, "get", "ann") == key
    assert account_keys(emulator)[key.fingerprint].limit == 1


@BOTH
def test_of_many_uses_at_once_one_raises_the_limit(emulator, how):
    """And a raise that fails leaves the key usable, until a later use raises it."""
    store = InMemoryByteStore()
    options = {"limit": 7, "limit_reset": "daily", "clock": emulator.clock.time}
    keys = provisioner(emulator, store, **options)
    spend(emulator, do(how, keys, "get", "ann"))
    key = do(how, keys, "rotate", "ann", grace=0)
    emulator.clock.advance(DAY + 120)

    away = provisioner(emulator, store, accounts={"management_key": "sk-or-v1-wrong"}, **options)
    assert do(how, away, "get", "ann") == key
    assert account_keys(emulator)[key.fingerprint].limit == 5
    emulator.clock.advance(120)
    with ThreadPoolExecutor(8) as pool:
        used = list(pool.map(lambda _: do(how, keys, "get", "ann"), range(8)))
    assert used == [key] * 8
    assert account_keys(emulator)[key.fingerprint].limit == 7
    assert sum(request.method == "PATCH" for request in emulator.requests) == 1
