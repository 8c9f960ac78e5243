"""A key for each user who has none: made once, limited, renewed, rotated, revoked, forgotten."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from langchain_core.stores import InMemoryByteStore

from langchain_openrouter import ChatOpenRouter, as_user, current_user, errors
from langchain_openrouter.accounts import Accounts, ProvisionedKeys
from langchain_openrouter.accounts._waiting import Waiting
from langchain_openrouter.key_store import FileStore, KeyStore
from langchain_openrouter.testing import Fault, Reply
from tests.support.accounts import BOTH, client
from tests.support.gate import CUT, Gate
from tests.support.provisioning import SECRET, account_keys, creations, do, provisioner

DAY = 86_400


@pytest.fixture
def emulator(emulate):
    """An emulator that knows only the keys that it made."""
    return emulate(any_key=False)


@pytest.fixture
def gate(emulator):
    """A proxy before it."""
    with Gate(emulator) as opened:
        yield opened


# --- the first use ------------------------------------------------------------------------------


@BOTH
def test_a_key_is_made_at_the_first_use_and_has_what_was_requested(emulator, how):
    """Limit, period, expiry, external user, guardrail; and it is the same at the second use."""
    guardrail = client(emulator).guardrails.create("g", allowed_models=["openai/gpt-4o-mini"])
    keys = provisioner(
        emulator,
        limit=3,
        limit_reset="weekly",
        expires_after=timedelta(days=30),
        guardrail=guardrail.id,
        include_byok_in_limit=True,
        name_prefix="shop",
    )

    first, second = do(how, keys, "get", "ann"), do(how, keys, "get", "ann")
    other = do(how, keys, "get", "bob")
    key = account_keys(emulator)[first.fingerprint]

    assert first == second != other
    assert (key.limit, key.limit_reset, key.include_byok_in_limit) == (3, "weekly", True)
    assert key.external_user == "ann"
    assert key.name.startswith("shop/")
    assert key.expires_at is not None
    assert key.hash in emulator.organization.guardrails.assignments
    assert creations(emulator) == 2


def test_the_default_is_five_dollars_a_month_and_none_is_no_limit(emulator):
    """A period without a limit is not sent."""
    limited = provisioner(emulator).get("ann")
    free = provisioner(emulator, limit=None).get("ann")

    keys = account_keys(emulator)
    assert (keys[limited.fingerprint].limit, keys[limited.fingerprint].limit_reset) == (
        5,
        "monthly",
    )
    assert (keys[free.fingerprint].limit, keys[free.fingerprint].limit_reset) == (None, None)


@pytest.mark.parametrize("kind", ["memory", "file"])
@BOTH
def test_fifty_racing_first_uses_make_one_key(emulator, tmp_path, kind, how):
    """In threads, and in tasks."""
    store = InMemoryByteStore() if kind == "memory" else FileStore(tmp_path / "keys")
    keys = provisioner(emulator, store)

    if how == "sync":
        with ThreadPoolExecutor(50) as pool:
            made = list(pool.map(keys.get, ["ann"] * 50))
    else:

        async def race():
            return await asyncio.gather(*(keys.aget("ann") for _ in range(50)))

        made = asyncio.run(race())

    assert len({key.fingerprint for key in made}) == 1
    assert creations(emulator) == len(account_keys(emulator)) == 1


@BOTH
def test_the_calls_of_threads_and_of_loops_race_too(emulator, how):
    """Two objects on one store, as in two places of an app."""
    store = InMemoryByteStore()
    first, second = provisioner(emulator, store), provisioner(emulator, store)

    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda n: do(how, (first, second)[n % 2], "get", "ann"), range(16)))

    assert len({key.fingerprint for key in made}) == 1
    assert creations(emulator) == 1


def test_who_is_canceled_leaves_a_key_for_the_next(emulator, gate):
    """A client that disconnects loses no key."""
    gate.hold()
    keys = provisioner(gate)

    async def run():
        task = asyncio.create_task(keys.aget("ann"))
        await asyncio.to_thread(gate.reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.opened.set()
        return await keys.aget("ann")

    made = asyncio.run(run())
    assert set(account_keys(emulator)) == {made.fingerprint}
    assert creations(emulator) == 1


@BOTH
def test_a_create_whose_response_is_lost_ends_with_one_live_key(emulator, gate, how):
    """The service made a key, and the connection was cut before it said so."""
    gate.once(CUT)
    keys = provisioner(gate)

    made = do(how, keys, "get", "ann")
    assert set(account_keys(emulator)) == {made.fingerprint}
    assert creations(emulator) == 2
    assert not keys.sweep().actions


@BOTH
def test_two_lost_responses_are_an_error_and_the_next_use_cleans_up(emulator, gate, how):
    """The key of the second is deleted by whoever comes next."""
    gate.once(CUT, times=2)
    keys = provisioner(gate)

    with pytest.raises(errors.ConnectionFailedError):
        do(how, keys, "get", "ann")
    made = do(how, keys, "get", "ann")
    assert set(account_keys(emulator)) == {made.fingerprint}


def test_those_who_wait_for_a_refused_creation_raise_its_error(emulator, gate, monkeypatch):
    """They do not send it again, one after the other."""
    gate.hold()
    keys = provisioner(gate, workspace_id="ws_none")
    waiting, wait = set(), Waiting.wait

    def wait_counted(self, record):
        waiting.add(threading.get_ident())
        if len(waiting) == 11:  # all but the one whose request is held
            gate.opened.set()
        return wait(self, record)

    monkeypatch.setattr(Waiting, "wait", wait_counted)

    def get(_):
        with pytest.raises(errors.InvalidRequestError) as caught:
            keys.get("ann")
        return str(caught.value)

    with ThreadPoolExecutor(12) as pool:
        messages = set(pool.map(get, range(12)))
    assert len(messages) == 1
    assert creations(emulator) == 1


WRONG = {
    "another user": lambda data: data.update(external_user="bob"),
    "disabled": lambda data: data.update(disabled=True),
    "no limit": lambda data: data.update(limit=None),
    "another hash": lambda data: data.update(hash="ab" * 32),
}


@pytest.mark.parametrize("wrong", WRONG)
@BOTH
def test_a_key_that_is_not_as_requested_is_never_used(emulator, gate, how, wrong):
    """It is deleted again, by its own hash."""

    def rewrite(response):
        body = json.loads(response.content)
        WRONG[wrong](body["data"])
        return json.dumps(body).encode()

    bystander = emulator.accounts.add_key()
    gate.once(rewrite, times=2)
    keys = provisioner(gate)

    with pytest.raises(errors.UpstreamError, match="deleted again"):
        do(how, keys, "get", "ann")
    assert set(account_keys(emulator)) == {bystander.hash}
    assert do(how, keys, "get", "ann").fingerprint in account_keys(emulator)


@pytest.mark.parametrize(
    "junk", [b"", b"[]", b"<html>", b'{"data": {}}', b'{"key": 5, "data": {}}']
)
def test_an_unreadable_answer_leaves_no_key(emulator, gate, junk):
    """What the service made is found by its name, and deleted."""
    gate.once(junk)
    keys = provisioner(gate)

    made = keys.get("ann")
    assert set(account_keys(emulator)) == {made.fingerprint}


def test_a_guardrail_that_cannot_be_assigned_leaves_no_key(emulator):
    """A key without its guardrail is never used."""
    keys = provisioner(emulator, guardrail="gr_none")

    with pytest.raises(errors.OpenRouterError):
        keys.get("ann")
    assert not account_keys(emulator)


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 503])
@BOTH
def test_a_refusal_is_the_error_of_its_kind(serve, status, how):
    """And nothing is stored but that."""
    from tests.support.loopback import Reply as Scripted

    server = serve(lambda seen: Scripted({"error": {"message": "no", "code": status}}, status))
    keys = provisioner(server)

    with pytest.raises(errors.ResponseError) as caught:
        do(how, keys, "get", "ann")
    assert caught.value.code == status


test_a_refusal_is_the_error_of_its_kind.pytestmark.append(
    pytest.mark.off_spec("the management API has no chat requests")
)


# --- where a key goes -----------------------------------------------------------------------------


@BOTH
def test_key_for_is_a_key_for_models_of_both_kinds(emulator, how, monkeypatch):
    """Sync and async, for_user, api_key and as_user; the operator's key is never sent."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-the-operators")
    keys = provisioner(emulator)
    base = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url)
    own = ChatOpenRouter(
        model="openai/gpt-4o-mini", base_url=emulator.url, api_key=keys.key_for("bob")
    )
    current = ChatOpenRouter(
        model="openai/gpt-4o-mini", base_url=emulator.url, api_key=current_user
    )

    do(how, base.for_user(keys.key_for("ann")), "invoke", "hi")
    do(how, own, "invoke", "hi")
    if how == "sync":
        with as_user(keys.key_for("cat")):
            current.invoke("hi")
    else:

        async def run():
            async with as_user(keys.key_for("cat")):
                await current.ainvoke("hi")

        asyncio.run(run())

    sent = [emulator.accounts.keys[request.key].external_user for request in emulator.chat_requests]
    assert sent == ["ann", "bob", "cat"]
    assert "sk-or-v1-the-operators" not in {request.key for request in emulator.requests}


def test_an_async_management_key_serves_async_models(emulator):
    """The event loop is never blocked: async requests look the key up async, in users' runs too."""

    async def management_key():
        await asyncio.sleep(0)
        return emulator.management_key

    keys = provisioner(emulator, accounts={"management_key": management_key})
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url)

    async def run():
        async with as_user(keys.key_for("ann")):
            await model.for_user(keys.key_for("ann")).ainvoke("hi")
        return [chunk async for chunk in model.for_user(keys.key_for("bob")).astream("hi")]

    assert asyncio.run(run())
    with pytest.raises(errors.AuthenticationError, match="async"):
        keys.get("cat")


@BOTH
def test_inside_a_users_run_a_key_source_is_compared(emulator, how):
    """Another user's is an error, as any foreign key is."""
    keys = provisioner(emulator)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url)

    async def arun(name):
        async with as_user(keys.key_for("ann")):
            return await model.for_user(keys.key_for(name)).ainvoke("hi")

    def run(name):
        if how == "async":
            return asyncio.run(arun(name))
        with as_user(keys.key_for("ann")):
            return model.for_user(keys.key_for(name)).invoke("hi")

    assert run("ann").text
    with pytest.raises(errors.AuthenticationError, match="another"):
        run("bob")


@BOTH
def test_an_agent_for_many_users(emulator, how):
    """`PerUserModel(provisioned)` makes a key for each user whom a run names."""
    from langchain.agents import create_agent

    from langchain_openrouter.middleware import PerUserModel

    keys = provisioner(emulator)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url)
    agent = create_agent(model, [], middleware=[PerUserModel(keys)], context_schema=dict)

    for name in ("ann", "bob", "ann"):
        question = {"messages": [("user", "hi")]}
        do(how, agent, "invoke", question, context={"user_id": name})

    sent = [emulator.accounts.keys[request.key].external_user for request in emulator.chat_requests]
    assert sent == ["ann", "bob", "ann"]
    assert creations(emulator) == 2


def test_a_key_is_not_sent_to_another_service(emulator, emulate):
    """A provisioned key belongs to the service that made it."""
    other = emulate()
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=other.url)

    with pytest.raises(errors.AuthenticationError, match="would be sent to"):
        model.for_user(provisioner(emulator).key_for("ann")).invoke("hi")
    assert not other.requests


# --- rotation -------------------------------------------------------------------------------------


@BOTH
def test_a_rotation_switches_and_deletes_after_its_grace(emulator, how):
    """The old key works until then; the sweep deletes it."""
    keys = provisioner(emulator, clock=emulator.clock.time, grace=100)
    old = do(how, keys, "get", "ann")
    new = do(how, keys, "rotate", "ann")

    assert new != old
    assert do(how, keys, "get", "ann") == new
    assert set(account_keys(emulator)) == {old.fingerprint, new.fingerprint}
    assert do(how, keys, "finish_rotation", "ann", due_only=True) == 0
    assert not do(how, keys, "sweep").actions

    emulator.clock.advance(101)
    report = do(how, keys, "sweep")
    assert [action.kind for action in report.actions] == ["old_key"]
    assert set(account_keys(emulator)) == {new.fingerprint}
    assert do(how, keys, "finish_rotation", "ann") == 0


@BOTH
def test_a_rotation_deletes_what_the_one_before_replaced(emulator, how):
    """Once its grace is over; so that none lives on where nobody sweeps. Without one, at once."""
    keys = provisioner(emulator, clock=emulator.clock.time, grace=100)
    do(how, keys, "get", "ann")
    second = do(how, keys, "rotate", "ann")
    assert len(account_keys(emulator)) == 2

    emulator.clock.advance(200)
    third = do(how, keys, "rotate", "ann")
    assert set(account_keys(emulator)) == {second.fingerprint, third.fingerprint}
    emulator.clock.advance(200)
    last = do(how, keys, "rotate", "ann", grace=0)
    assert set(account_keys(emulator)) == {last.fingerprint}


@BOTH
def test_a_rotation_of_nobody_makes_a_key(emulator, how):
    """As the first use does."""
    keys = provisioner(emulator)

    assert do(how, keys, "rotate", "ann") == do(how, keys, "get", "ann")
    assert creations(emulator) == 1


def test_a_rotation_under_a_hundred_running_streams_loses_none(emulate):
    """Each ends whole, on the key that it began with; the next go out on the new one."""
    started = threading.Barrier(101)

    def slowly(_request):
        return Reply(" ".join(f"w{n}" for n in range(12)), pause=0.05)

    emulator = emulate(slowly, any_key=False)
    keys = provisioner(emulator)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url, timeout=30)
    model = model.for_user(keys.key_for("ann"))
    old = keys.get("ann")

    def stream(_):
        chunks = model.stream("go")
        text = next(chunks).text
        started.wait(30)
        return text + "".join(chunk.text for chunk in chunks)

    with ThreadPoolExecutor(100) as pool:
        texts = pool.map(stream, range(100))
        started.wait(30)
        new = keys.rotate("ann")
        assert keys.finish_rotation("ann") == 1
        assert model.invoke("hi").text
        texts = list(texts)

    assert texts == [" ".join(f"w{n}" for n in range(12))] * 100
    sent = [request.key for request in emulator.chat_requests]
    assert sent[:100] == [old.secret.get_secret_value()] * 100
    assert sent[100] == new.secret.get_secret_value()
    assert set(account_keys(emulator)) == {new.fingerprint}


def test_a_hundred_async_streams_end_under_a_rotation_too(emulate):
    """In one event loop."""
    emulator = emulate(lambda _: Reply(" ".join("abcdefgh"), pause=0.03), any_key=False)
    keys = provisioner(emulator)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url, timeout=30)
    model = model.for_user(keys.key_for("ann"))

    async def stream(started):
        text = ""
        async for chunk in model.astream("go"):
            started.set()
            text += chunk.text
        return text

    async def run():
        events = [asyncio.Event() for _ in range(100)]
        tasks = [asyncio.create_task(stream(event)) for event in events]
        await asyncio.gather(*(event.wait() for event in events))
        await keys.arotate("ann", grace=0)
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [" ".join("abcdefgh")] * 100
    assert len(account_keys(emulator)) == 1


@BOTH
def test_rotations_at_once_make_one_key(emulator, how):
    """The others wait for it, and return it."""
    store = InMemoryByteStore()
    objects = [provisioner(emulator, store) for _ in range(2)]
    old = objects[0].get("ann")

    with ThreadPoolExecutor(10) as pool:
        made = set(
            pool.map(lambda n: do(how, objects[n % 2], "rotate", "ann").fingerprint, range(10))
        )

    assert old.fingerprint not in made
    # one that began after another had ended rotates again
    assert creations(emulator) == 1 + len(made)
    assert len(account_keys(emulator)) == 1 + len(made)


@BOTH
def test_a_rotation_that_fails_leaves_the_old_key(emulator, gate, how):
    """It is used on."""
    keys = provisioner(gate)
    old = keys.get("ann")
    gate.once(CUT, times=2)

    with pytest.raises(errors.ConnectionFailedError):
        do(how, keys, "rotate", "ann")
    assert do(how, keys, "get", "ann") == old
    new = do(how, keys, "rotate", "ann")
    assert set(account_keys(emulator)) == {old.fingerprint, new.fingerprint}


# --- expiry ---------------------------------------------------------------------------------------


@BOTH
def test_a_key_is_renewed_before_it_expires(emulator, how):
    """In the last tenth of its life; the old one is deleted by a sweep."""
    keys = provisioner(emulator, expires_after=10 * DAY, clock=emulator.clock.time)
    old = do(how, keys, "get", "ann")

    emulator.clock.advance(8 * DAY)
    assert do(how, keys, "get", "ann") == old
    emulator.clock.advance(1.1 * DAY)
    new = do(how, keys, "get", "ann")
    assert new != old
    assert do(how, keys, "get", "ann") == new

    emulator.clock.advance(DAY)
    assert [action.kind for action in do(how, keys, "sweep").actions] == ["old_key"]
    assert set(account_keys(emulator)) == {new.fingerprint}


@BOTH
def test_a_renewal_that_fails_leaves_the_key_until_it_expires(emulator, gate, how):
    """And is not tried again at each request."""
    keys = provisioner(gate, expires_after=10 * DAY, clock=emulator.clock.time)
    old = keys.get("ann")
    emulator.clock.advance(9.5 * DAY)
    gate.once(CUT, times=99)

    for _ in range(5):
        assert do(how, keys, "get", "ann") == old
    assert creations(emulator) <= 3
    emulator.clock.advance(DAY)
    with pytest.raises(errors.ConnectionFailedError):
        do(how, keys, "get", "ann")

    gate.hook = None
    new = do(how, keys, "get", "ann")
    assert {h for h, key in account_keys(emulator).items() if not key.is_expired} == {
        new.fingerprint
    }


@BOTH
def test_an_expired_key_is_deleted_by_a_sweep(emulator, how):
    """Of a user who does not come back."""
    keys = provisioner(emulator, expires_after=60, clock=emulator.clock.time)
    do(how, keys, "get", "ann")
    emulator.clock.advance(DAY)

    assert [action.kind for action in do(how, keys, "sweep").actions] == ["expired"]
    assert not account_keys(emulator)
    assert do(how, keys, "get", "ann").fingerprint in account_keys(emulator)


# --- revocation -----------------------------------------------------------------------------------


@BOTH
def test_a_revoked_users_requests_fail_at_once(emulator, how):
    """At the service, and in every process that shares the store, until they are restored."""
    store = InMemoryByteStore()
    keys, elsewhere = provisioner(emulator, store), provisioner(emulator, store)
    base = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url, max_retries=0)
    key = do(how, keys, "get", "ann")
    do(how, keys, "rotate", "ann")
    do(how, keys, "revoke", "ann")

    for refused in (keys, elsewhere):
        for method in ("get", "rotate"):
            with pytest.raises(errors.KeyRevokedError):
                do(how, refused, method, "ann")
    with pytest.raises(errors.AuthenticationError, match="disabled"):
        do(how, base.for_user(key), "invoke", "hi")
    assert all(k.disabled for k in account_keys(emulator).values())
    assert not emulator.organization.activity({}, "user_emulated")
    assert creations(emulator) == 2

    do(how, keys, "restore", "ann")
    assert do(how, base.for_user(elsewhere.key_for("ann")), "invoke", "hi").text
    do(how, keys, "restore", "ann")


@BOTH
def test_a_user_without_a_key_can_be_revoked(emulator, how):
    """No key is made until they are restored."""
    keys = provisioner(emulator)
    do(how, keys, "revoke", "ann")

    with pytest.raises(errors.KeyRevokedError):
        do(how, keys, "get", "ann")
    do(how, keys, "restore", "ann")
    assert do(how, keys, "get", "ann")


@BOTH
def test_to_forget_deletes_at_both(emulator, how):
    """Old keys too; the next use makes a new one."""
    store = InMemoryByteStore()
    keys = provisioner(emulator, store)
    do(how, keys, "get", "ann")
    do(how, keys, "rotate", "ann")
    other = do(how, keys, "get", "bob")
    do(how, keys, "forget", "ann")
    do(how, keys, "forget", "nobody")

    assert set(account_keys(emulator)) == {other.fingerprint}
    assert len(list(store.yield_keys(prefix="openrouter-key-provisioned-"))) == 1
    assert do(how, keys, "get", "ann")


@BOTH
def test_a_key_disabled_in_the_account_stops_its_user(emulator, how):
    """No rotation gives them a new one; a sweep writes it to the store."""
    keys = provisioner(emulator)
    hash_ = do(how, keys, "get", "ann").fingerprint
    account_keys(emulator)[hash_].disabled = True

    with pytest.raises(errors.KeyRevokedError, match="disabled in the account"):
        do(how, keys, "rotate", "ann")
    hash_ = do(how, keys, "get", "bob").fingerprint
    account_keys(emulator)[hash_].disabled = True
    assert [action.kind for action in do(how, keys, "sweep").actions] == ["disabled"]
    for name in ("ann", "bob"):
        with pytest.raises(errors.KeyRevokedError):
            do(how, keys, "get", name)
    assert creations(emulator) == 2


@BOTH
def test_a_key_deleted_in_the_account_is_made_anew_after_a_sweep(emulator, how):
    """It is found missing."""
    keys = provisioner(emulator)
    old = do(how, keys, "get", "ann")
    client(emulator).keys.delete(old)

    dry = do(how, keys, "sweep", dry_run=True)
    assert [(action.kind, action.done) for action in dry.actions] == [("missing", False)]
    assert do(how, keys, "get", "ann") == old
    assert do(how, keys, "sweep").actions[0].done
    assert do(how, keys, "get", "ann") != old


# --- usage ----------------------------------------------------------------------------------------


@BOTH
def test_usage_by_user_counts_replaced_keys(emulator, how):
    """Of the last days from the account's activity, and of today."""
    emulator.script(lambda _: Reply("Hi.", usage={"cost": 0.5}))
    keys = provisioner(emulator, limit=20)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url)
    for name in ("ann", "bob", "ann"):
        model.for_user(keys.key_for(name)).invoke("hi")
    keys.rotate("ann", grace=0)
    model.for_user(keys.key_for("ann")).invoke("hi")
    emulator.clock.advance(DAY)
    model.for_user(keys.key_for("ann")).invoke("hi")

    ann, bob = do(how, keys, "usage")
    assert (ann.user_id, ann.requests, ann.usage, ann.usage_today, ann.keys) == (
        *("ann", 3, 1.5, 0.5),
        2,
    )
    assert (bob.user_id, bob.requests, bob.usage) == ("bob", 1, 0.5)
    assert bob.limit_remaining == 19.5
    assert [row.user_id for row in do(how, keys, "usage", "bob")] == ["bob"]
    assert not list(do(how, keys, "usage", "nobody"))
    assert "ann" in ann._repr_html_()


# --- what is stored -------------------------------------------------------------------------------


def test_the_store_shows_neither_users_nor_keys(emulator):
    """Names are digests, values are encrypted; the account sees what `external_id` lets it."""
    store = InMemoryByteStore()
    keys = provisioner(emulator, store, external_id=lambda user: f"u-{len(user)}")
    key = keys.get("ann@example.org")
    keys.revoke("ann@example.org")

    written = b"".join(name.encode() + value for name, value in store.store.items())
    assert b"ann" not in written
    assert key.secret.get_secret_value().encode() not in written
    made = account_keys(emulator)[key.fingerprint]
    assert made.external_user == "u-15"
    assert "ann" not in f"{made.name}{made.label}"
    assert all("ann@" not in request.raw.decode() for request in emulator.requests)
    assert "ann" not in repr(keys) + repr(keys.key_for("ann@example.org"))


def test_key_store_rotate_encrypts_records_anew(emulator):
    """With the secrets of the app's KeyStore; another secret reads nothing."""
    store = InMemoryByteStore()
    new = "another secret of sixteen bytes and more"
    key = provisioner(emulator, store).get("ann")
    KeyStore(store, [new, SECRET]).rotate()

    assert provisioner(emulator, KeyStore(store, new)).get("ann") == key
    for method in ("get", "rotate", "revoke", "forget"):
        with pytest.raises(errors.KeyStoreError):
            getattr(provisioner(emulator, store), method)("ann")
    assert set(account_keys(emulator)) == {key.fingerprint}


def test_a_record_is_nobody_elses(emulator):
    """Who can write to the store still cannot give one user another's key."""
    store = InMemoryByteStore()
    keys = provisioner(emulator, store)
    keys.get("ann")
    (entry,) = store.yield_keys(prefix="openrouter-key-provisioned-")
    store.mset([(keys._maker.records.entry("bob"), store.mget([entry])[0])])

    with pytest.raises(errors.KeyStoreError):
        keys.get("bob")
    KeyStore(store, SECRET).set("cat", "sk-or-v1-cats")
    name = KeyStore(store, SECRET)._name("cat")
    store.mset([(keys._maker.records.entry("cat"), store.mget([name])[0])])
    with pytest.raises(errors.KeyStoreError):
        keys.get("cat")


def test_no_frame_of_a_failure_holds_a_key(emulator):
    """Nor its text, with the values of all frames."""

    class Failing(InMemoryByteStore):
        def mset(self, pairs):
            if count.append(1) or len(count) > 2:
                msg = "down"
                raise RuntimeError(msg)
            super().mset(pairs)

    count = []
    keys = provisioner(emulator, Failing())
    with pytest.raises(RuntimeError) as caught:
        keys.get("ann")

    (made,) = account_keys(emulator).values()
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert made.secret not in "".join(report.format())
    assert SECRET not in "".join(report.format())


@BOTH
def test_no_frame_holds_a_key_of_a_store_that_encrypts_by_itself(emulator, how):
    """Its entries are plain text here: of a refusal, a rotation that fails, and a failing store."""

    class Encrypting(InMemoryByteStore):
        encrypts_at_rest = True
        is_down = False

        def mset(self, pairs):
            if self.is_down:
                msg = "down"
                raise RuntimeError(msg)
            super().mset(pairs)

    store = Encrypting()
    keys = provisioner(emulator, KeyStore(store))
    key = do(how, keys, "get", "ann")
    assert key.secret.get_secret_value() in str(store.store)

    def check(kind, method):
        with pytest.raises(kind) as caught:
            do(how, keys, method, "ann")
        report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert key.secret.get_secret_value() not in "".join(report.format())

    store.is_down = True
    check(RuntimeError, "revoke")
    check(RuntimeError, "rotate")
    store.is_down = False
    account_keys(emulator)[key.fingerprint].disabled = True
    check(errors.KeyRevokedError, "rotate")
    check(errors.KeyRevokedError, "get")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"limit": -1}, "limit"),
        ({"limit": float("nan")}, "limit"),
        ({"expires_after": 5}, "expires_after"),
        ({"name_prefix": ""}, "name_prefix"),
        ({"name_prefix": "a/b"}, "name_prefix"),
        ({"lease": 0}, "lease"),
        ({"grace": float("nan")}, "grace"),
        ({"grace": -1}, "grace"),
    ],
)
def test_wrong_arguments_are_refused_at_once(emulator, options, why):
    """With the argument's name."""
    with pytest.raises(ValueError, match=why):
        provisioner(emulator, **options)


@pytest.mark.parametrize("user", ["", None, 5, "x" * 513, " ann"])
def test_an_id_that_is_none_is_refused(emulator, user):
    """Before anything is sent or stored; a long one can be mapped."""
    store = InMemoryByteStore()
    with pytest.raises(ValueError, match=r"user"):
        provisioner(emulator, store).get(user)
    assert not creations(emulator)
    assert not list(store.yield_keys(prefix="openrouter-key-provisioned-"))


@BOTH
def test_a_grace_that_is_none_is_refused(emulator, how):
    """And the key stays."""
    keys = provisioner(emulator)
    key = do(how, keys, "get", "ann")
    with pytest.raises(ValueError, match="grace"):
        do(how, keys, "rotate", "ann", grace=float("nan"))
    assert do(how, keys, "get", "ann") == key


@BOTH
def test_another_accounts_management_key_sweeps_nothing(emulator, emulate, how):
    """Unless it is forced; the users keep their keys."""
    store = InMemoryByteStore()
    keys = provisioner(emulator, store)
    made = [do(how, keys, "get", user) for user in ("ann", "bob")]
    other = provisioner(emulate(any_key=False), store)

    with pytest.raises(errors.KeyStoreError, match="none of the store's 2 users"):
        do(how, other, "sweep")
    assert other.sweep(dry_run=True).count("missing") == 2
    assert [do(how, keys, "get", user) for user in ("ann", "bob")] == made
    assert do(how, other, "sweep", force=True).count("missing") == 2
    assert not do(how, keys, "knows", "cat")
    assert do(how, keys, "knows", "ann")


@BOTH
def test_the_row_of_another_key_is_refused(emulator, gate, how):
    """What is said of a key is said of that key."""
    keys = client(gate).keys
    first, second = keys.create("one"), keys.create("two")
    gate.once(
        json.dumps({"data": {"hash": second.hash, "name": "two"}}).encode(),
        method="GET",
        path=f"/api/v1/keys/{first.hash}",
    )
    with pytest.raises(errors.UpstreamError, match="another key"):
        do(how, keys, "get", first)
    assert do(how, keys, "get", first).name == "one"


def test_a_management_key_stays_in_the_account(emulator, monkeypatch):
    """Requests of users never carry it, nor do keys reach the management API."""
    monkeypatch.setenv("OPENROUTER_MANAGEMENT_KEY", emulator.management_key)
    keys = ProvisionedKeys(Accounts(base_url=emulator.url), store=KeyStore())
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url)
    with as_user(keys.key_for("ann")):
        model.for_user(keys.key_for("ann")).invoke("hi")
        keys.rotate("ann")

    for request in emulator.requests:
        is_management = request.key == emulator.management_key
        assert is_management is (request.path != "/chat/completions")
    with pytest.raises(TypeError, match="in each process"):
        pickle.dumps(keys)
    assert copy.deepcopy(keys) is keys


def test_a_stream_is_cut_by_no_revocation_of_another(emulate):
    """Only the revoked user is stopped."""
    emulator = emulate(
        lambda _: Reply("a b c d", fault=Fault("drip", seconds=0.001)), any_key=False
    )
    keys = provisioner(emulator)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url)
    chunks = model.for_user(keys.key_for("ann")).stream("go")
    text = next(chunks).text
    keys.get("bob")
    keys.revoke("bob")

    assert text + "".join(chunk.text for chunk in chunks) == "a b c d"
