"""`ProvisionedKeys`: a key of their own for users who have no account at OpenRouter.

How one user gets one key, and no key is lost.

`POST /keys` is not idempotent: sent twice, it makes two keys, and a key whose response is lost
works while nobody holds it. So a key is made under a claim, in four steps, each of which may be the
last:

1. Claim. The user's record in the store gets a nonce and an end, by compare-and-set: one of many
   processes wins. The others wait for the record to change.
2. Create. The key's name has the id of the store, a digest that stands for the user, and the nonce.
3. Store. The record gets the key, by compare-and-set over the claim: a creator whose claim is not
   in the record any more deletes the key that it made, and starts over.
4. Return.

- The creator dies (after 1 or 2): its claim ends after `lease` seconds. Who claims next deletes the
  user's keys of other nonces that are in no record, and makes a new one; if nobody comes, a `sweep`
  deletes them. Their plain text is lost: they are of no use to anybody.
- The response is lost: the creator gives its claim up, claims anew, deletes, and creates again.
- The creator is slow, and its claim has ended: its key cannot be stored any more, see 3.
- The store fails at 3: whether it took the key is not known, so nothing is deleted. The next
  creator or sweep compares.
- Clocks differ: a claim may seem to end early or late. Early is the case of the slow creator.

A rotation is the same with a key in the record, which is used until the new one is stored; then it
is one of the record's old keys, and is deleted after a grace, by `finish_rotation` or a sweep. A
revocation is first written to the record, which no creator's key gets past, then disables the keys;
a sweep disables those that a crash has left enabled. To forget is to revoke, delete the keys, then
delete the record.

A key that somebody disables in the account counts as revoked: its user gets no new one. A key that
somebody deletes there is made anew, at the next sweep or `rotate`.
"""

from __future__ import annotations

import asyncio
import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar

from langchain_openrouter._http.api_key import KeySource
from langchain_openrouter.accounts._calls import check_external_user
from langchain_openrouter.accounts._key_lifecycle import KeyLifecycle
from langchain_openrouter.accounts._key_maker import KeyMaker, KeyPlan, check_grace
from langchain_openrouter.accounts._key_names import check_prefix
from langchain_openrouter.accounts._provision_store import ProvisionStore
from langchain_openrouter.accounts._steps import Resources, arun, run
from langchain_openrouter.accounts._sweep import Sweep
from langchain_openrouter.accounts._user_usage import user_usage
from langchain_openrouter.oauth._user_key import to_user_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

    from langchain_openrouter.accounts._accounts import Accounts
    from langchain_openrouter.accounts._fields import Reset
    from langchain_openrouter.accounts._rows import Rows
    from langchain_openrouter.accounts._steps import Flow
    from langchain_openrouter.accounts._sweep_report import SweepReport
    from langchain_openrouter.accounts._user_usage import UserUsage
    from langchain_openrouter.key_store import KeyStore
    from langchain_openrouter.oauth import UserKey

__all__ = ["ProvisionedKeys"]

T = TypeVar("T")
_LIMIT = 5.0  # USD
_LEASE = 60.0
_GRACE = 3600.0
_MIN_LIFE = 60.0  # seconds


class ProvisionedKeys:
    """A key for each of the app's users, made when it is first needed.

    It is usable where a `KeyStore` is: `PerUserModel(provisioned)`, and `key_for` where a key is.

    Example:
        ```python
        provisioned = ProvisionedKeys(Accounts(), store=KeyStore(RedisStore(url), secret), limit=5)
        model.for_user(provisioned.get("ann")).invoke("Hello")
        ```

    Args:
        accounts: The account that pays.
        store: Shared by all processes. Where it loses entries, or two processes write to one that
            has no compare-and-set, keys are left that only a `sweep` finds.
        limit: What each user may spend, USD; None is no limit. A key has the limit that it was made
            with: `accounts.keys.update` changes it, or `rotate`. A key that replaces another gets
            what remains of this period's limit, and the whole limit at the first use of the next.
            Two exceptions: while a replaced key's grace lasts, each of the two may spend what
            remained; and after a `forget`, or a deletion in the dashboard, a user begins anew.
        limit_reset: When that starts anew: "daily", "weekly" or "monthly"; None is never.
        expires_after: How long a key lives: a `timedelta`, or seconds, 60 or more. It is replaced
            before it ends. None: for ever.
        guardrail: The id of a guardrail that every key is assigned to before it is used.
        workspace_id: The workspace of the keys; None is the account's default.
        name_prefix: How the keys' names begin. Users of another prefix have other keys.
        include_byok_in_limit: Whether what is spent with providers' keys of one's own counts.
        external_id: Maps a user's id to the one that the account shows, of 1 to 512 characters: a
            digest, where ids are addresses of persons. None: the id itself.
        lease: Seconds after which a process that makes a key is assumed dead.
        grace: Seconds that a key which was replaced works on.
        clock: Returns Unix time in seconds.

    Raises:
        ValueError: A value is not valid.
    """

    def __init__(  # noqa: PLR0913 - what a key may have, nearly all optional
        self,
        accounts: Accounts,
        *,
        store: KeyStore,
        limit: float | None = _LIMIT,
        limit_reset: Reset | None = "monthly",
        expires_after: timedelta | float | None = None,
        guardrail: str | None = None,
        workspace_id: str | None = None,
        name_prefix: str = "langchain-openrouter",
        include_byok_in_limit: bool | None = None,
        external_id: Callable[[str], str] | None = None,
        lease: float = _LEASE,
        grace: float = _GRACE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        fields: dict[str, Any] = {
            "limit": _check_limit(limit),
            "limit_reset": None if limit is None else limit_reset,
            "workspace_id": workspace_id,
            "include_byok_in_limit": include_byok_in_limit,
        }
        plan = KeyPlan(
            name_prefix=check_prefix(name_prefix),
            fields={name: value for name, value in fields.items() if value is not None},
            expires_after=_to_seconds(expires_after),
            guardrail=guardrail,
            workspace_id=workspace_id,
            external_id=lambda user: check_external_user(
                external_id(user) if external_id else user
            ),
            lease=_check_positive(lease, "lease"),
            grace=check_grace(grace),
            clock=clock,
        )

        self._maker = KeyMaker(plan, ProvisionStore(store, plan.name_prefix))
        self._lifecycle = KeyLifecycle(self._maker)
        self._resources = Resources(accounts, store._store)  # noqa: SLF001 - of the same package
        self._tasks: set[asyncio.Task[Any]] = set()

    def __copy__(self) -> Self:
        """Return the object itself."""
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        """Return the object itself."""
        return self

    def __reduce__(self) -> Any:
        """Refuse to be pickled.

        Raises:
            TypeError: Always.
        """
        msg = (
            "ProvisionedKeys are not pickled, since they hold the management key: make them in "
            "each process, on a store that all share"
        )
        raise TypeError(msg)

    def __repr__(self) -> str:
        """Show how the keys' names begin."""
        return f"ProvisionedKeys(name_prefix={self._maker.plan.name_prefix!r})"

    # --- a user's key ---------------------------------------------------------------------

    def get(self, user_id: str) -> UserKey:
        """Return the user's key; make one if there is none.

        Raises:
            KeyRevokedError: The user's key was revoked.
            KeyStoreError: The record cannot be read, or another process takes too long.
            OpenRouterError: The account refused a new key, or was not reached.
            ValueError: The id is not valid.
        """
        return self._run(self._maker.obtain(user_id))

    async def aget(self, user_id: str) -> UserKey:
        """Return like `get`. Who is canceled meanwhile leaves the making of the key running."""
        stored = await arun(self._maker.records.load(user_id), self._resources)
        key = self._maker.usable(stored.record)
        if key is not None:
            return key
        return await self._shielded(self._maker.obtain(user_id))

    def key_for(self, user_id: str) -> KeySource:
        """Return a callable that returns the user's key, for a model's `api_key=` or `for_user`.

        It is called before each request, sync or async: a key that was rotated is followed, one
        that was revoked is refused.
        """
        return _KeyOfUser(self, user_id)

    # --- afterwards -----------------------------------------------------------------------

    def rotate(self, user_id: str, *, grace: float | None = None) -> UserKey:
        """Replace the user's key, and return the new one.

        The old one works on for `grace` seconds, so that streams end; `finish_rotation`, the next
        rotation or a sweep deletes it then. Several rotations at once make one key.

        Args:
            user_id: The user's.
            grace: Seconds; None is that of this object. 0 deletes the old key at once.

        Raises:
            KeyRevokedError: The user's key was revoked, or disabled in the account.
            OpenRouterError: The account refused a new key, or was not reached; the old one is used.
            ValueError: `grace` is no number of seconds.
        """
        return self._run(self._lifecycle.rotate(user_id, grace))

    async def arotate(self, user_id: str, *, grace: float | None = None) -> UserKey:
        """Replace like `rotate`."""
        return await self._shielded(self._lifecycle.rotate(user_id, grace))

    def finish_rotation(self, user_id: str, *, due_only: bool = False) -> int:
        """Delete the keys that rotations replaced; return their number.

        Args:
            user_id: The user's.
            due_only: Only those whose grace is over.
        """
        return self._run(self._lifecycle.delete_old(user_id, due_only=due_only))

    async def afinish_rotation(self, user_id: str, *, due_only: bool = False) -> int:
        """Delete like `finish_rotation`."""
        return await self._shielded(self._lifecycle.delete_old(user_id, due_only=due_only))

    def revoke(self, user_id: str) -> None:
        """Disable the user's keys at once, and refuse new ones until `restore`.

        A `forget` that has not ended is given up: the record stays, to refuse the user. The other
        way round, a `forget` after it lets the user in again.

        Raises:
            OpenRouterError: The account was not reached: the store refuses the user all the same.
                Revoke again, or sweep, to disable the keys.
        """
        self._run(self._lifecycle.revoke(user_id))

    async def arevoke(self, user_id: str) -> None:
        """Revoke like `revoke`."""
        await self._shielded(self._lifecycle.revoke(user_id))

    def restore(self, user_id: str) -> None:
        """Enable the key of a revoked user again.

        Raises:
            KeyRevokedError: The user is being forgotten.
            OpenRouterError: The account was not reached: the user stays revoked.
        """
        self._run(self._lifecycle.restore(user_id))

    async def arestore(self, user_id: str) -> None:
        """Restore like `restore`."""
        await self._shielded(self._lifecycle.restore(user_id))

    def forget(self, user_id: str) -> None:
        """Delete the user's keys in the account, and the record in the store.

        The next use makes a new key, with the whole limit, also of a user who was revoked before:
        to keep the user out, `revoke` and leave it so. The account still knows the user's external
        id, as one that had keys.

        Raises:
            OpenRouterError: The account was not reached: the user is refused until another
                `forget`, or a sweep, has deleted the rest.
        """
        self._run(self._lifecycle.forget(user_id))

    async def aforget(self, user_id: str) -> None:
        """Delete like `forget`."""
        await self._shielded(self._lifecycle.forget(user_id))

    def knows(self, user_id: str) -> bool:
        """Tell whether the store has a record of the user, with a key or without."""
        return self._run(self._maker.records.load(user_id)).value is not None

    async def aknows(self, user_id: str) -> bool:
        """Tell like `knows`."""
        stored = await arun(self._maker.records.load(user_id), self._resources)
        return stored.value is not None

    # --- all users ------------------------------------------------------------------------

    def usage(self, user_id: str | None = None) -> Rows[UserUsage]:
        """Return what users used on the last thirty complete UTC days, who spent most first.

        It is one request for each key.

        Args:
            user_id: Only this one; None is all users of the store.
        """
        return self._run(user_usage(self._maker, user_id))

    async def ausage(self, user_id: str | None = None) -> Rows[UserUsage]:
        """Return like `usage`."""
        return await arun(user_usage(self._maker, user_id), self._resources)

    def sweep(
        self, *, dry_run: bool = False, other_stores: bool = False, force: bool = False
    ) -> SweepReport:
        """Compare the store and the account, and mend what differs; see `SweepReport`.

        It may run at any time, in several processes: a key that is being made is left. Never sweep
        a copy of a store with the same account: it has the original's id, and the keys that the
        original got after it was copied are deleted as nobody's.

        Args:
            dry_run: Report only.
            other_stores: Delete keys of this prefix that were made for another store too: do so
                after a store was lost, and only if no other app has this prefix.
            force: Sweep even if the account has the key of none of several users.

        Raises:
            KeyStoreError: The store cannot list its entries, as a keyring cannot; or the account
                has the key of none of several users, as another account has.
            OpenRouterError: The account's keys could not be listed.
        """
        return self._run(self._sweep(dry_run=dry_run, other_stores=other_stores, force=force))

    async def asweep(
        self, *, dry_run: bool = False, other_stores: bool = False, force: bool = False
    ) -> SweepReport:
        """Compare like `sweep`."""
        flow = self._sweep(dry_run=dry_run, other_stores=other_stores, force=force)
        return await arun(flow, self._resources)

    def _sweep(
        self, *, dry_run: bool, other_stores: bool, force: bool = False
    ) -> Flow[SweepReport]:
        options = {"dry_run": dry_run, "other_stores": other_stores, "force": force}
        return Sweep(self._maker, self._lifecycle, **options).run()

    # --- flows ----------------------------------------------------------------------------

    def _run(self, flow: Flow[T]) -> T:
        return run(flow, self._resources)

    async def _shielded(self, flow: Flow[T]) -> T:
        """Drive a flow to its end, whether or not its caller is canceled."""
        task = asyncio.ensure_future(arun(flow, self._resources))
        self._tasks.add(task)
        task.add_done_callback(self._forget_task)
        return await asyncio.shield(task)

    def _forget_task(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # is retrieved: its caller may be gone


class _KeyOfUser(KeySource):
    """The key of one user, looked up for each request."""

    def __init__(self, keys: ProvisionedKeys, user_id: str) -> None:
        self._keys, self._user_id = keys, user_id

    def __call__(self) -> SecretStr:
        """Return the key."""
        return _with_service(self._keys.get(self._user_id))

    async def aget(self) -> SecretStr:
        """Return the key."""
        return _with_service(await self._keys.aget(self._user_id))

    def __repr__(self) -> str:
        """Show nothing of the user or the key."""
        return "<key of a user>"


def _with_service(key: UserKey) -> SecretStr:
    """Return a key that is sent to no other service than the one that made it."""
    secret: SecretStr = to_user_secret(key)
    return secret


def _check_limit(limit: float | None) -> float | None:
    """Return a limit.

    Raises:
        ValueError: It is no amount.
    """
    if limit is not None and not (math.isfinite(limit) and limit >= 0):
        msg = "`limit` is an amount in USD; None is no limit"
        raise ValueError(msg)
    return limit


def _to_seconds(value: timedelta | float | None) -> float | None:
    """Return a time in seconds.

    Raises:
        ValueError: It is less than a minute.
    """
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not _MIN_LIFE <= seconds < math.inf:
        msg = "`expires_after` must be a minute or more"
        raise ValueError(msg)
    return seconds


def _check_positive(value: float, name: str) -> float:
    """Return a number of seconds.

    Raises:
        ValueError: It is none.
    """
    if not 0 < value < math.inf:
        msg = f"`{name}` must be a number of seconds above 0"
        raise ValueError(msg)
    return value
