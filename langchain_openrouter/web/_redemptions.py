"""One exchange for one pending sign-in, over all workers; a second click finds its result.

A record of it lies on the store under a hash of the sealed sign-in. Only the browser that began
the sign-in has that: a nonce or a state, which stand in access logs, find nothing.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from langchain_openrouter._encryption import multi_fernet
from langchain_openrouter._json import get_number, get_str
from langchain_openrouter.key_store._compare_and_set import acompare_and_set, aput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.stores import BaseStore

    from langchain_openrouter._encryption import Secret

State: TypeAlias = Literal["claimed", "signed_in", "spent", "unreached"]

_PREFIX = "openrouter-redemption-"
_PURPOSE = "langchain-openrouter redemption"
_MAX_EXCHANGES = 3  # of one sign-in, where OpenRouter could not be reached
_CLAIM_AGE = 90.0  # seconds; by then the worker that made the exchange is gone
_SESSION_AGE = 60.0  # seconds in which a second click finds the session
_RECORD_AGE = 660.0  # seconds; longer than a sealed sign-in is good for
_PATIENCE = 45.0  # seconds that a second click waits for the first
_PAUSES = (0.05, 0.1, 0.2)  # seconds; the last one again and again
_MAX_TRACKED = 100_000


class Record(NamedTuple):
    """What became of a sign-in."""

    state: State
    """ "claimed": the exchange is under way; "spent": no second one may follow; "unreached":
    OpenRouter was not reached, or failed, and a reload may try again."""
    exchanges: int = 1
    until: float = 0.0
    session: str | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether another exchange may follow."""
        return self.state == "unreached" and self.exchanges < _MAX_EXCHANGES


class Claim(NamedTuple):
    """The right to make one exchange."""

    name: str
    value: bytes
    exchanges: int


class Redemptions:
    """Who may exchange, and what came of it.

    Args:
        store: Shared by all workers. One with `acompare_and_set` makes sure that a single worker
            exchanges; on another, two workers in the same instant may both do it.
        secret: Of several, the first encrypts.
    """

    def __init__(self, store: BaseStore[str, bytes], secret: Secret | Sequence[Secret]) -> None:
        self._store = store
        self._cipher = multi_fernet(secret, _PURPOSE)
        # Records to delete where the store does not forget by itself, the oldest first.
        self._tracked: deque[tuple[float, str]] = deque(maxlen=_MAX_TRACKED)

    async def claim(self, sealed: str) -> Claim | None:
        """Return the right to exchange; None where another request has it, or had it."""
        await self._delete_old()
        name = _name(sealed)
        value = (await self._store.amget([name]))[0]
        record = self._opened(name, value)
        exchanges = 1

        if record is not None:
            abandoned = record.state == "claimed" and record.until < time.time()
            if not record.may_repeat and not (abandoned and record.exchanges < _MAX_EXCHANGES):
                return None
            exchanges = record.exchanges + 1

        until = time.time() + _CLAIM_AGE
        claimed = self._closed(name, Record("claimed", exchanges, until))
        if not await acompare_and_set(self._store, name, value, claimed, ttl=_RECORD_AGE):
            return None
        self._tracked.append((time.time() + _RECORD_AGE, name))
        return Claim(name, claimed, exchanges)

    async def signed_in(self, claim: Claim, session: str) -> None:
        """Let a second click find the session, for a minute."""
        until = time.time() + _SESSION_AGE
        await self._finish(claim, Record("signed_in", claim.exchanges, until, session))

    async def failed(self, claim: Claim, *, may_repeat: bool) -> None:
        """Say that there is no session."""
        await self._finish(claim, Record("unreached" if may_repeat else "spent", claim.exchanges))

    async def result(self, sealed: str) -> Record:
        """Return what became of a sign-in that another request has claimed, once that is known."""
        name, end = _name(sealed), time.monotonic() + _PATIENCE
        pauses = list(_PAUSES)

        while time.monotonic() < end:
            record = self._opened(name, (await self._store.amget([name]))[0])
            if record is None:
                break
            if record.state == "signed_in" and record.until < time.time():
                break
            if record.state != "claimed" or record.until < time.time():
                return record
            await asyncio.sleep(pauses.pop(0) if len(pauses) > 1 else pauses[0])
        return Record("spent")

    async def _finish(self, claim: Claim, record: Record) -> None:
        value = self._closed(claim.name, record)
        await acompare_and_set(self._store, claim.name, claim.value, value, ttl=_RECORD_AGE)

    async def _delete_old(self) -> None:
        while self._tracked and self._tracked[0][0] < time.time():
            await aput(self._store, self._tracked.popleft()[1], None)

    def _closed(self, name: str, record: Record) -> bytes:
        # With its name: who writes to the store cannot give one browser another's record.
        return self._cipher.encrypt(json.dumps({"name": name, **record._asdict()}).encode())

    def _opened(self, name: str, value: bytes | None) -> Record | None:
        """Return a record; one that cannot be read is spent, None is none."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - only who seals pays

        if value is None:
            return None
        try:
            values = json.loads(self._cipher.decrypt(value))
        except (InvalidToken, ValueError, RecursionError):
            return Record("spent")

        if get_str(values, "name") != name:
            return Record("spent")
        return Record(
            values["state"],
            int(get_number(values, "exchanges") or 0),
            get_number(values, "until") or 0.0,
            get_str(values, "session"),
        )


def _name(sealed: str) -> str:
    # Of the bytes: base64 writes the same ones in more than one way.
    return _PREFIX + hashlib.sha256(base64.urlsafe_b64decode(sealed)).hexdigest()
