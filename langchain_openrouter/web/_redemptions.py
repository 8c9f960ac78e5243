"""One exchange for one pending sign-in, over all workers; a second click gets its result.

The record is stored under a hash of the sealed sign-in, which only the browser that started the
sign-in has: a nonce or a state, which access logs contain, are not enough to look it up.
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
_MAX_EXCHANGES = 3  # of one sign-in, if OpenRouter cannot be reached
_CLAIM_AGE = 90.0  # seconds; a worker that takes longer is assumed dead
_SESSION_AGE = 60.0  # seconds in which a second click gets the session
_RECORD_AGE = 660.0  # seconds; longer than a sealed sign-in is valid
_MAX_WAIT = 45.0  # seconds that a second click waits for the first
_PAUSES = (0.05, 0.1, 0.2)  # seconds; the last one is repeated
_MAX_TRACKED = 100_000


class Record(NamedTuple):
    """The state of a sign-in's exchange."""

    state: State
    """ "claimed": the exchange is in progress; "spent": no other one may follow; "unreached":
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
    """Claims on exchanges, and their results.

    Args:
        store: Shared by all workers. With `acompare_and_set` only one worker exchanges; without,
            two workers in the same instant may both do so.
        secret: Of several, the first encrypts.
    """

    def __init__(self, store: BaseStore[str, bytes], secret: Secret | Sequence[Secret]) -> None:
        self._store = store
        self._cipher = multi_fernet(secret, _PURPOSE)
        # Records to delete from a store without expiry, the oldest first.
        self._tracked: deque[tuple[float, str]] = deque(maxlen=_MAX_TRACKED)

    async def claim(self, sealed: str) -> Claim | None:
        """Claim the exchange; return None if another request has claimed it."""
        await self._delete_old()
        name = _name(sealed)
        value = (await self._store.amget([name]))[0]
        record = self._decrypt(name, value)
        exchanges = 1

        if record is not None:
            abandoned = record.state == "claimed" and record.until < time.time()
            if not record.may_repeat and not (abandoned and record.exchanges < _MAX_EXCHANGES):
                return None
            exchanges = record.exchanges + 1

        until = time.time() + _CLAIM_AGE
        claimed = self._encrypt(name, Record("claimed", exchanges, until))
        if not await acompare_and_set(self._store, name, value, claimed, ttl=_RECORD_AGE):
            return None
        self._tracked.append((time.time() + _RECORD_AGE, name))
        return Claim(name, claimed, exchanges)

    async def signed_in(self, claim: Claim, session: str) -> None:
        """Store the session for a second click, for a minute."""
        until = time.time() + _SESSION_AGE
        await self._finish(claim, Record("signed_in", claim.exchanges, until, session))

    async def failed(self, claim: Claim, *, may_repeat: bool) -> None:
        """Store that there is no session."""
        await self._finish(claim, Record("unreached" if may_repeat else "spent", claim.exchanges))

    async def result(self, sealed: str) -> Record:
        """Return the result of an exchange that another request has claimed, waiting for it."""
        name, end = _name(sealed), time.monotonic() + _MAX_WAIT
        pauses = list(_PAUSES)

        while time.monotonic() < end:
            record = self._decrypt(name, (await self._store.amget([name]))[0])
            if record is None:
                break
            if record.state == "signed_in" and record.until < time.time():
                break
            if record.state != "claimed" or record.until < time.time():
                return record
            await asyncio.sleep(pauses.pop(0) if len(pauses) > 1 else pauses[0])
        return Record("spent")

    async def _finish(self, claim: Claim, record: Record) -> None:
        value = self._encrypt(claim.name, record)
        await acompare_and_set(self._store, claim.name, claim.value, value, ttl=_RECORD_AGE)

    async def _delete_old(self) -> None:
        while self._tracked and self._tracked[0][0] < time.time():
            await aput(self._store, self._tracked.popleft()[1], None)

    def _encrypt(self, name: str, record: Record) -> bytes:
        # With its name, so that nobody who can write to the store gives a browser another's record.
        return self._cipher.encrypt(json.dumps({"name": name, **record._asdict()}).encode())

    def _decrypt(self, name: str, value: bytes | None) -> Record | None:
        """Return a record, None if there is none; one that cannot be decrypted counts as spent."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - an extra

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
    # Of the decoded bytes: base64 has several spellings of the same bytes.
    return _PREFIX + hashlib.sha256(base64.urlsafe_b64decode(sealed)).hexdigest()
