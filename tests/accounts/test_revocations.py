"""A revocation wins: over expiry, over a `forget` that did not end, over what failed."""

from __future__ import annotations

import pytest
from langchain_core.stores import InMemoryByteStore

from langchain_openrouter import errors
from tests.support.accounts import BOTH, client
from tests.support.gate import CUT, Gate
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


@BOTH
def test_a_key_disabled_in_the_dashboard_stops_its_user_after_its_expiry_too(emulator, how):
    """The sweep does not delete it as one that has expired."""
    keys = provisioner(emulator, expires_after=3600, clock=emulator.clock.time)
    client(emulator).keys.disable(do(how, keys, "get", "ann"))
    emulator.clock.advance(7200)

    assert [action.kind for action in do(how, keys, "sweep").actions] == ["disabled"]
    assert not do(how, keys, "sweep").actions
    with pytest.raises(errors.KeyRevokedError):
        do(how, keys, "get", "ann")


@BOTH
def test_a_revocation_after_a_forget_that_failed_stays(emulator, gate, how):
    """Whoever sweeps next lets nobody in."""
    keys = provisioner(gate)
    hash_ = do(how, keys, "get", "ann").fingerprint
    gate.once(b"<html>", method="DELETE", path=f"/api/v1/keys/{hash_}")
    with pytest.raises(errors.OpenRouterError):
        do(how, keys, "forget", "ann")
    do(how, keys, "revoke", "ann")
    do(how, keys, "sweep")

    with pytest.raises(errors.KeyRevokedError):
        do(how, keys, "get", "ann")
    do(how, keys, "restore", "ann")
    assert do(how, keys, "get", "ann")


@BOTH
def test_a_revocation_amid_a_forget_stays(emulator, gate, how):
    """Both return; the user is refused."""
    store = InMemoryByteStore()
    keys, other = provisioner(gate, store), provisioner(emulator, store)
    do(how, keys, "get", "ann")

    def revoke(method, path, _response):
        if (method, path) == ("GET", "/api/v1/keys"):
            gate.hook = None
            other.revoke("ann")

    gate.hook = revoke
    do(how, keys, "forget", "ann")
    assert gate.hook is None
    assert not account_keys(emulator)
    with pytest.raises(errors.KeyRevokedError):
        do(how, keys, "get", "ann")


@BOTH
def test_a_sweep_disables_the_replaced_key_of_a_revoked_user(emulator, gate, how):
    """Whose disabling failed."""
    keys = provisioner(gate)
    old = do(how, keys, "get", "ann").fingerprint
    do(how, keys, "rotate", "ann")
    gate.hook = lambda method, path, _: (
        account_keys(emulator)[old].__setattr__("disabled", False) or CUT
        if (method, path) == ("PATCH", f"/api/v1/keys/{old}")
        else None
    )
    with pytest.raises(errors.ConnectionFailedError):
        do(how, keys, "revoke", "ann")
    gate.hook = None
    assert set(account_keys(emulator, enabled=True)) == {old}

    assert [(a.kind, a.hash) for a in do(how, keys, "sweep").actions] == [("revoked", old)]
    assert not account_keys(emulator, enabled=True)
    assert not do(how, keys, "sweep").actions
