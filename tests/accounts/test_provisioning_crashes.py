"""Crashes, races and wrong clocks: whatever happens, a sweep leaves each user at most one live key."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from langchain_core.stores import InMemoryByteStore

from langchain_openrouter import errors
from langchain_openrouter.accounts import _steps
from langchain_openrouter.key_store import FileStore, KeyStore
from tests.support.accounts import BOTH, client
from tests.support.gate import CUT, Gate
from tests.support.provisioning import SECRET, account_keys, creations, do, provisioner
from tests.support.webapp import redis_server

pytestmark = pytest.mark.timeout(120)
LEASE = 60.0

# Each of two processes: `how` is get or rotate; half of the calls are sync, half async.
RACE = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from langchain_openrouter.accounts import Accounts, ProvisionedKeys
from langchain_openrouter.key_store import FileStore, KeyStore, RedisStore

where, url, management_key, secret, how = sys.argv[1:]
store = RedisStore(where) if where.startswith("redis") else FileStore(where)
accounts = Accounts(management_key=management_key, base_url=url, max_retries=0)
keys = ProvisionedKeys(accounts, store=KeyStore(store, secret), lease=60)

async def race():
    return await asyncio.gather(*(getattr(keys, "a" + how)("ann") for _ in range(25)))

print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(26) as pool:
    others = pool.submit(asyncio.run, race())
    made = list(pool.map(getattr(keys, how), ["ann"] * 25)) + others.result()
print(*{key.fingerprint for key in made}, flush=True)
"""

# Makes a key, and dies where its parent kills it.
LONELY = """
import sys
from langchain_openrouter.accounts import Accounts, ProvisionedKeys
from langchain_openrouter.key_store import FileStore, KeyStore

folder, url, management_key, secret, how, lease = sys.argv[1:]
accounts = Accounts(management_key=management_key, base_url=url, max_retries=0)
store = KeyStore(FileStore(folder), secret)
keys = ProvisionedKeys(accounts, store=store, lease=float(lease), grace=0)
getattr(keys, how)("ann")
print("done", flush=True)
"""


@pytest.fixture
def emulator(emulate):
    """An emulator that knows only the keys that it made."""
    return emulate(any_key=False)


@pytest.fixture
def gate(emulator):
    """A proxy before it."""
    with Gate(emulator) as opened:
        yield opened


def start(program, *arguments):
    """Start a program of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ.copy(),
    )  # fmt: skip


def consistent(emulator, keys, users=("ann",)):
    """Tell whether the account has exactly the keys that the store has, of these users."""
    stored = [_steps.run(keys._maker.records.load(user), keys._resources).record for user in users]
    return set(account_keys(emulator)) == {hash_ for record in stored for hash_ in record.hashes}


# --- processes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "how"), [("redis", "get"), ("redis", "rotate"), ("file", "get")])
def test_two_processes_make_one_key(emulator, tmp_path, kind, how):
    """Fifty calls in each, sync and async, on one Redis or in one folder."""

    def race(where):
        arguments = (where, emulator.url, emulator.management_key, SECRET, how)
        both = [start(RACE, *arguments) for _ in range(2)]
        for process in both:
            assert process.stdout.readline() == "ready\n"
        for process in both:
            process.stdin.write("go\n")
            process.stdin.flush()
        return [set(process.communicate(timeout=100)[0].split()) for process in both]

    if kind == "file":
        first, second = race(tmp_path / "keys")
    else:
        with redis_server(tmp_path) as url:
            if url is None:
                pytest.skip("no redis-server")
            first, second = race(url)

    if how == "get":
        assert first == second == set(account_keys(emulator))
        assert creations(emulator) == 1
    else:  # a rotation that begins after another has ended is one of its own
        assert first | second <= set(account_keys(emulator))
        assert creations(emulator) == len(account_keys(emulator)) < 20


@pytest.mark.parametrize("how", ["get", "rotate"])
@pytest.mark.parametrize("healer", ["sweep", "next creation"])
def test_a_process_killed_between_create_and_store_leaves_nothing(
    emulator, gate, tmp_path, healer, how
):
    """Kill -9: the account has a key that nobody holds, until a sweep or the next creation."""
    lease = 60
    now, store = [time.time()], FileStore(tmp_path / "keys")
    keys = provisioner(emulator, store, lease=lease, clock=lambda: now[0])
    stored = {keys.get("ann").fingerprint} if how == "rotate" else set()
    gate.hold()
    arguments = (tmp_path / "keys", gate.url, gate.management_key, SECRET, how, lease)
    process = start(LONELY, *arguments)
    assert gate.reached.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    orphans = set(account_keys(emulator)) - stored
    assert len(orphans) == 1
    assert [action.kind for action in keys.sweep().actions] == ["in_progress"]

    now[0] = time.time() + lease + 1
    if healer == "sweep":
        report = keys.sweep(dry_run=True)
        assert {action.hash for action in report.actions if action.kind == "orphan"} == orphans
        assert set(account_keys(emulator)) == orphans | stored
        keys.sweep()
        assert set(account_keys(emulator)) == stored
    made = getattr(keys, how)("ann")
    assert not set(account_keys(emulator)) & orphans
    assert set(account_keys(emulator)) == {made.fingerprint} | stored
    keys.finish_rotation("ann")
    assert not keys.sweep().actions
    process.stdin.close()
    process.stdout.close()


# --- a crash at any step --------------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone: nothing runs afterwards."""


class Down(Exception):  # noqa: N818 - the store's, or the network's
    """A step fails, and the process goes on."""


def disturbed(flow, at, kind, *, acts):
    """Yield a flow's steps; the step of this number crashes or fails, after it acted or before."""
    result = error = None
    number = 0
    while True:
        try:
            step = flow.send(result) if error is None else flow.throw(error)
        except StopIteration as end:
            return end.value
        number += 1
        result = error = None
        if number == at and acts:
            yield step
        if number == at and kind is Crash:
            raise Crash
        if number == at:
            error = Down()
            continue
        try:
            result = yield step
        except _steps.INTERRUPTIONS as failure:
            error = failure


FLOWS = {
    "get": lambda keys: keys._maker.obtain("new"),
    "rotate": lambda keys: keys._lifecycle.rotate("ann", 0),
    "renew": lambda keys: keys._maker.obtain("old"),
    "revoke": lambda keys: keys._lifecycle.revoke("ann"),
    "restore": lambda keys: keys._lifecycle.restore("out"),
    "forget": lambda keys: keys._lifecycle.forget("ann"),
    "finish": lambda keys: keys._lifecycle.delete_old("two", due_only=False),
    "sweep": lambda keys: keys._sweep(dry_run=False, other_stores=False),
}
USERS = {
    "get": ("new",),
    "rotate": ("ann",),
    "renew": ("old",),
    "revoke": ("ann",),
    "restore": ("out",),
    "forget": ("ann",),
    "finish": ("two",),
    "sweep": ("old", "out", "two"),
}


def prepared(emulator, users, options):
    """Return provisioned keys of users in several states, in a fresh account and store."""
    emulator.accounts.keys = {
        secret: key for secret, key in emulator.accounts.keys.items() if key.is_management
    }
    store = InMemoryByteStore()
    lasting = provisioner(emulator, store, **options)
    keys = provisioner(emulator, store, expires_after=1000, **options)

    for user in users:
        if user != "new":
            (keys if user == "old" else lasting).get(user)
    if "two" in users:
        lasting.rotate("two")
    if "out" in users:
        lasting.revoke("out")
    emulator.clock.advance(950)
    return keys


def check_users(emulator, keys, users, name):
    """Check that each user has a key that works, or is revoked."""
    for user in users:
        try:
            hash_ = keys.get(user).fingerprint
        except errors.KeyRevokedError:
            assert (user, name) in {("ann", "revoke"), ("out", "restore"), ("out", "sweep")}
            mine = [k for k in account_keys(emulator).values() if k.external_user == user]
            assert all(key.disabled for key in mine)
            continue
        assert not account_keys(emulator)[hash_].disabled


@pytest.mark.parametrize(
    ("kind", "acts"),
    [(Crash, False), (Down, False), (Down, True)],
    ids=["crash", "failure", "lost answer"],
)
@pytest.mark.parametrize("name", FLOWS)
def test_a_crash_at_any_step_is_healed_by_a_sweep(emulator, monkeypatch, name, kind, acts):
    """Whichever step of whichever operation crashes or fails: store and account agree afterwards."""
    monkeypatch.setattr("langchain_openrouter.accounts._key_maker._RETRY_PAUSE", 0.0)
    users, guardrail = USERS[name], client(emulator).guardrails.create("g").id
    options = {"clock": emulator.clock.time, "guardrail": guardrail, "grace": 10, "lease": LEASE}

    for at in range(1, 40):
        keys, steps = prepared(emulator, users, options), []
        flow = disturbed(FLOWS[name](keys), at, kind, acts=acts)
        with contextlib.suppress(Crash, Down, errors.KeyStoreError):
            _steps.run(_counted(flow, steps), keys._resources)

        emulator.clock.advance(LEASE * 3)
        report = keys.sweep()
        assert not report.errors, (at, report)
        assert not keys.sweep().actions, at
        assert consistent(emulator, keys, users), at
        check_users(emulator, keys, users, name)
        for row in account_keys(emulator).values():
            assert row.hash in emulator.organization.guardrails.assignments
        if len(steps) < at - (not acts):  # the operation has fewer steps
            return
    pytest.fail("the operation has more steps than were tried")


def _counted(flow, steps):
    """Count the steps that are done."""
    result = error = None
    while True:
        try:
            step = flow.send(result) if error is None else flow.throw(error)
        except StopIteration as end:
            return end.value
        steps.append(step)
        result = error = None
        try:
            result = yield step
        except _steps.INTERRUPTIONS as failure:
            error = failure


# --- races of operations --------------------------------------------------------------------------


@BOTH
def test_a_sweep_leaves_a_key_that_is_just_being_stored(emulator, gate, how):
    """It is listed before it is stored; the claim says so."""
    store = InMemoryByteStore()
    gate.hold()
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(do, how, provisioner(gate, store), "get", "ann")
        assert gate.reached.wait(10)
        report = do(how, provisioner(emulator, store), "sweep")
        gate.opened.set()

        assert [(action.kind, action.done) for action in report.actions] == [("in_progress", False)]
        key = made.result(20)
    assert set(account_keys(emulator)) == {key.fingerprint}


@BOTH
def test_a_slow_creator_whose_key_was_swept_makes_another(emulator, gate, how):
    """Its claim had ended, so the sweep took it away before it deleted the key."""
    store = InMemoryByteStore()
    gate.hold()
    keys = provisioner(gate, store, clock=emulator.clock.time)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(do, how, keys, "get", "ann")
        assert gate.reached.wait(10)
        emulator.clock.advance(LEASE * 2)
        report = do(how, provisioner(emulator, store, clock=emulator.clock.time), "sweep")
        gate.opened.set()

        assert [action.kind for action in report.actions] == ["stale_claim", "orphan"]
        key = made.result(20)
    assert set(account_keys(emulator)) == {key.fingerprint}
    assert creations(emulator) == 2
    assert not keys.sweep().actions


@pytest.mark.parametrize("skew", [-10_000, 10_000])
@BOTH
def test_clocks_that_differ_cost_no_key(emulator, gate, how, skew):
    """A process whose clock is hours ahead takes a claim over; one behind waits for it."""
    store = InMemoryByteStore()
    gate.hold()
    keys = provisioner(gate, store)
    other = provisioner(emulator, store, clock=lambda: time.time() + skew)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(do, how, keys, "get", "ann")
        assert gate.reached.wait(10)
        second = pool.submit(do, how, other, "get", "ann")
        if skew > 0:
            second.result(20)
        else:
            time.sleep(0.3)
            assert not second.done()
        gate.opened.set()

        assert first.result(20) == second.result(20)
        assert set(account_keys(emulator)) == {first.result().fingerprint}


@pytest.mark.parametrize("how_made", ["get", "rotate"])
@BOTH
def test_a_revocation_during_a_creation_has_the_last_word(emulator, gate, how, how_made):
    """The key that comes afterwards is deleted, and the old one is disabled."""
    store = InMemoryByteStore()
    keys = provisioner(gate, store)
    old = {keys.get("ann").fingerprint} if how_made == "rotate" else set()
    gate.hold()
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(do, how, keys, how_made, "ann")
        assert gate.reached.wait(10)
        do(how, provisioner(emulator, store), "revoke", "ann")
        gate.opened.set()

        with pytest.raises(errors.KeyRevokedError):
            made.result(20)
    assert set(account_keys(emulator)) == old
    assert not account_keys(emulator, enabled=True)
    assert not keys.sweep().actions


@BOTH
def test_to_forget_during_a_rotation_leaves_no_key(emulator, gate, how):
    """The rotation ends with a key of its own only if it began anew."""
    store = InMemoryByteStore()
    keys = provisioner(gate, store)
    keys.get("ann")
    gate.hold()
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(do, how, keys, "rotate", "ann")
        assert gate.reached.wait(10)
        do(how, provisioner(emulator, store), "forget", "ann")
        gate.opened.set()
        made.result(20)

    assert consistent(emulator, keys)
    assert len(account_keys(emulator)) == 1


def test_a_restore_that_a_revocation_overtakes_leaves_the_key_disabled(emulator, gate):
    """Whoever revokes last is obeyed."""
    store = InMemoryByteStore()
    keys, other = provisioner(gate, store), provisioner(emulator, store)
    hash_ = keys.get("ann").fingerprint
    keys.revoke("ann")
    overtaken = []

    def overtake(method, path, _response):
        if method == "PATCH" and not overtaken:  # the key is enabled, the store not written yet
            overtaken.append(path)
            other.revoke("ann")

    gate.hook = overtake
    keys.restore("ann")  # it tries again, and is the last to write
    assert overtaken
    assert not account_keys(emulator)[hash_].disabled

    keys.revoke("ann")

    def always(method, path, _response):
        if method == "PATCH":
            other.revoke("ann")

    gate.hook = always
    with pytest.raises(errors.KeyStoreError):
        keys.restore("ann")
    assert account_keys(emulator)[hash_].disabled
    with pytest.raises(errors.KeyRevokedError):
        keys.get("ann")


def test_everything_at_once(emulator):
    """Uses, rotations, revocations, sweeps and deletions of three users, from many threads."""
    store = InMemoryByteStore()
    objects = [provisioner(emulator, store, grace=0) for _ in range(3)]
    users = ("ann", "bob", "cat")
    methods = ("get", "rotate", "revoke", "restore", "forget", "sweep", "finish_rotation", "get")

    def work(number):
        keys, method = objects[number % 3], methods[number * 7 % len(methods)]
        arguments = () if method == "sweep" else (users[number % len(users)],)
        options = {"force": True} if method == "sweep" else {}
        with contextlib.suppress(errors.KeyRevokedError):
            do(("sync", "async")[number % 2], keys, method, *arguments, **options)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(160)))

    keys = objects[0]
    keys.sweep(force=True)  # no user may have a key left, which looks like another account
    assert not keys.sweep(force=True).actions
    assert consistent(emulator, keys, users)
    for user in users:
        keys.restore(user)
        hash_ = keys.get(user).fingerprint
        assert not account_keys(emulator)[hash_].disabled


# --- one operation amid another -------------------------------------------------------------------


def interrupted(flow, at, action):
    """Yield a flow's steps; before the step of this number another operation runs to its end."""
    result = error = None
    number = 0
    while True:
        try:
            step = flow.send(result) if error is None else flow.throw(error)
        except StopIteration as end:
            return end.value, number
        number += 1
        if number == at:
            action()
        result = error = None
        try:
            result = yield step
        except _steps.INTERRUPTIONS as failure:
            error = failure


PAIRS = [
    *(("get", inner) for inner in ("get", "rotate", "revoke", "forget", "sweep")),
    *(("rotate", inner) for inner in ("get", "rotate", "revoke", "forget", "sweep")),
    *(("restore", inner) for inner in ("revoke", "forget", "sweep")),
    *(("revoke", inner) for inner in ("restore", "forget", "rotate")),
    *(("forget", inner) for inner in ("get", "revoke", "sweep")),
    *(("sweep", inner) for inner in ("rotate", "revoke", "restore", "forget", "sweep")),
    *(("finish", inner) for inner in ("rotate", "revoke")),
]


def at_this_point(emulator, outer, inner, at):
    """Run one operation with another before its step of this number.

    Returns:
        The first one's provisioned keys, and how many steps it had; 0 if it was refused.
    """
    emulator.accounts.keys = {
        secret: key for secret, key in emulator.accounts.keys.items() if key.is_management
    }
    store = InMemoryByteStore()
    keys = provisioner(emulator, store)
    # Its clock is ahead: it does not wait for the claim of the other, which cannot go on meanwhile.
    other = provisioner(emulator, store, clock=lambda: time.time() + 600)
    if outer != "get":
        keys.get("ann")
    if outer == "finish":
        keys.rotate("ann")
    if "restore" in {outer, inner}:
        keys.revoke("ann")
    flows = {
        **FLOWS,
        "get": lambda keys: keys._maker.obtain("ann"),
        "restore": lambda keys: keys._lifecycle.restore("ann"),
        "finish": lambda keys: keys._lifecycle.delete_old("ann", due_only=False),
    }

    def act():
        with contextlib.suppress(errors.KeyRevokedError):
            getattr(other, inner)(*(() if inner == "sweep" else ("ann",)))

    steps = 0
    with contextlib.suppress(errors.KeyRevokedError):
        _, steps = _steps.run(interrupted(flows[outer](keys), at, act), keys._resources)
    return keys, steps


@pytest.mark.parametrize(
    ("outer", "inner"), PAIRS, ids=[f"{inner} amid {outer}" for outer, inner in PAIRS]
)
def test_one_operation_at_any_point_of_another(emulator, outer, inner):
    """Of one user: the store and the account agree, and a revocation that came last holds."""
    for at in range(1, 25):
        keys, steps = at_this_point(emulator, outer, inner, at)
        if 0 < steps < at:
            return

        if inner == "revoke" and outer != "restore":
            assert not account_keys(emulator, enabled=True), at
        if (outer, inner) == ("restore", "sweep"):
            assert account_keys(emulator, enabled=True), at
        keys.sweep()
        assert not keys.sweep().actions, at
        assert consistent(emulator, keys), at
        record = _steps.run(keys._maker.records.load("ann"), keys._resources).record
        enabled = account_keys(emulator, enabled=True)
        assert record.revoked is not bool(record.hash and record.hash in enabled) or not record.hash


# --- the sweep ------------------------------------------------------------------------------------


@BOTH
def test_a_sweep_touches_no_key_of_others(emulator, how):
    """Not those of the app's owner, of other prefixes, nor of another store without being told."""
    emulator.accounts.add_key(label="the owner's")
    emulator.accounts.add_key(name="langchain-openrouter/not/like/these")
    elsewhere = provisioner(emulator).get("ann")
    shop = provisioner(emulator, name_prefix="shop").get("ann")
    keys = provisioner(emulator)
    mine = keys.get("ann")
    before = set(account_keys(emulator))

    report = do(how, keys, "sweep")
    assert [(a.kind, a.hash, a.done) for a in report.actions] == [
        ("other_store", elsewhere.fingerprint, False)
    ]
    assert set(account_keys(emulator)) == before
    assert (report.users, report.keys) == (1, 2)

    do(how, keys, "sweep", other_stores=True)
    assert set(account_keys(emulator)) == before - {elsewhere.fingerprint}
    assert {mine.fingerprint, shop.fingerprint} < set(account_keys(emulator))


@BOTH
def test_a_store_that_lost_its_id_keeps_its_keys(emulator, how):
    """They are in its records, whatever their names say."""
    store = InMemoryByteStore()
    made = provisioner(emulator, store).get("ann")
    store.mdelete(["openrouter-key-provisioner"])
    keys = provisioner(emulator, store)

    assert not do(how, keys, "sweep", other_stores=True).actions
    assert keys.get("ann") == made


@BOTH
def test_records_that_cannot_be_read_are_left_with_their_keys(emulator, how):
    """And said."""
    store = InMemoryByteStore()
    keys = provisioner(emulator, store)
    keys.get("ann")
    keys.get("bob")
    entry = keys._maker.records.entry("ann")
    store.mset([(entry, b"altered")])

    report = do(how, keys, "sweep")
    assert [action.kind for action in report.actions] == ["unreadable"]
    assert len(account_keys(emulator)) == 2


@BOTH
def test_a_sweep_goes_on_after_what_fails(emulator, gate, how):
    """And the next one tries again."""
    keys = provisioner(gate)
    for user in ("ann", "bob"):
        keys.get(user)
        keys._run(keys._maker.replace(user, 0))
    failed = []

    def refuse(method, _path, _response):
        if method == "DELETE" and not failed:
            failed.append(1)
            return b"<html>"
        return None

    gate.hook = refuse
    report = do(how, keys, "sweep")
    assert [action.done for action in report.actions] == [False, True]
    assert len(report.errors) == 1
    assert "old_key" in report.data["actions"][0]["kind"]
    assert "old key" in report._repr_html_()
    do(how, keys, "sweep")
    assert len(account_keys(emulator)) == 2


def test_a_revocation_that_did_not_reach_the_account_is_swept(emulator, gate):
    """The store refuses at once; the key is disabled by the sweep."""
    keys = provisioner(gate)
    hash_ = keys.get("ann").fingerprint
    gate.once(CUT, method="PATCH", path=f"/api/v1/keys/{hash_}")
    account_keys(emulator)[hash_].disabled = False
    with pytest.raises(errors.ConnectionFailedError):
        keys.revoke("ann")
    account_keys(emulator)[hash_].disabled = False

    with pytest.raises(errors.KeyRevokedError):
        keys.get("ann")
    assert [action.kind for action in keys.sweep().actions] == ["revoked"]
    assert account_keys(emulator)[hash_].disabled


def test_a_lost_answer_of_the_store_is_not_a_lost_key(emulator):
    """A compare-and-set that wrote and says that it did not."""

    class Forgetful(InMemoryByteStore):
        def compare_and_set(self, key, expected, value, *, ttl=None):
            with lock:
                if self.mget([key])[0] != expected:
                    return False
                self.mdelete([key]) if value is None else self.mset([(key, value)])
            return False

    lock = threading.Lock()
    keys = provisioner(emulator, Forgetful())
    made = keys.get("ann")

    assert set(account_keys(emulator)) == {made.fingerprint}
    assert keys.get("ann") == made


def test_a_plain_store_without_compare_and_set_serves_tasks_of_one_loop(emulator):
    """Any LangChain store of bytes."""
    from langchain_core.stores import BaseStore

    class Plain(BaseStore):
        def __init__(self):
            self.values = {}

        def mget(self, keys):
            return [self.values.get(key) for key in keys]

        def mset(self, pairs):
            self.values.update(pairs)

        def mdelete(self, keys):
            for key in keys:
                self.values.pop(key, None)

        def yield_keys(self, *, prefix=None):
            yield from [key for key in self.values if key.startswith(prefix or "")]

    keys = provisioner(emulator, KeyStore(Plain(), SECRET))

    async def race():
        return await asyncio.gather(*(keys.aget("ann") for _ in range(50)))

    assert len({key.fingerprint for key in asyncio.run(race())}) == 1
    assert creations(emulator) == 1
    assert not keys.sweep().actions


def test_records_survive_a_round_trip(emulator):
    """What is written is what is read."""
    keys = provisioner(emulator)
    keys.get("ann")
    keys.rotate("ann")
    record = _steps.run(keys._maker.records.load("ann"), keys._resources).record

    assert type(record).from_json(record.to_json()) == record
    assert "sk-or" not in repr(record)
    assert replace(record, revoked=True) != record
