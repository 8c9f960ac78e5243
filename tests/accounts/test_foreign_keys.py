"""A response that holds another key than the one requested: neither used nor deleted."""

from __future__ import annotations

import json

import pytest

from langchain_openrouter import errors
from tests.support.accounts import BOTH
from tests.support.gate import Gate
from tests.support.provisioning import account_keys, do, provisioner


@pytest.fixture
def emulator(emulate):
    """An emulator that knows only the keys that it made."""
    return emulate(any_key=False)


@pytest.fixture
def gate(emulator):
    """A proxy before it."""
    with Gate(emulator) as opened:
        yield opened


@pytest.mark.parametrize("key_only", [False, True])
@pytest.mark.parametrize("users", [("ann", "bob"), ("ann", "ann")])
@BOTH
def test_a_replayed_response_neither_gives_nor_deletes_anothers_key(
    emulator, gate, how, users, key_only
):
    """Whether all of it is replayed, or the key alone."""
    first = []

    def replay(response):
        if not first:
            first.append(response.content)
            return None
        body = json.loads(first[0])
        if key_only:
            body["data"] = json.loads(response.content)["data"]
        return json.dumps(body).encode()

    gate.once(replay, times=3)
    keys = provisioner(gate)
    owner, other = users
    key = do(how, keys, "get", owner)

    method, options = ("rotate", {"grace": 0}) if owner == other else ("get", {})
    with pytest.raises(errors.UpstreamError, match="not used"):
        do(how, keys, method, other, **options)
    assert key.fingerprint in account_keys(emulator, enabled=True)
    assert do(how, keys, "get", owner) == key

    gate.hook = None
    new = do(how, keys, "rotate", other, grace=0)
    keys.sweep()
    assert set(account_keys(emulator)) == {new.fingerprint} | (
        set() if owner == other else {key.fingerprint}
    )


@pytest.mark.parametrize(("limit", "works"), [(3.33, True), (3.34, False), (None, False)])
@BOTH
def test_a_limit_may_be_rounded_to_a_cent(emulator, gate, how, limit, works):
    """Nothing else may become of it."""

    def rewrite(response):
        body = json.loads(response.content)
        body["data"]["limit"] = limit
        return json.dumps(body).encode()

    gate.once(rewrite, times=2)
    keys = provisioner(gate, limit=10 / 3)
    if works:
        assert do(how, keys, "get", "ann").fingerprint in account_keys(emulator)
        return
    with pytest.raises(errors.UpstreamError, match="limit"):
        do(how, keys, "get", "ann")
    assert not account_keys(emulator)
