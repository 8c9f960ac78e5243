"""`accounts.keys`: the account's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import SecretStr

from langchain_openrouter._http.api_key import UserSecret, refuse_management_key, to_secret
from langchain_openrouter.accounts._calls import (
    Call,
    build_body,
    build_changes,
    check_external_user,
    confirm_deleted,
    format_moment,
    is_key_hash,
    parse_row,
)
from langchain_openrouter.accounts._created_key import CreatedKey
from langchain_openrouter.accounts._fields import KeyChanges, KeyFields
from langchain_openrouter.accounts._key_types import KeyRecord
from langchain_openrouter.accounts._listing import AsyncListing, Listing, Pages
from langchain_openrouter.errors import UpstreamError
from langchain_openrouter.oauth._user_key import UserKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from langchain_openrouter.accounts._calls import Sender

__all__ = ["KeyReference", "Keys", "key_hash_of"]

_MIN_OWN_KEY = 32  # characters

KeyReference: TypeAlias = "str | UserKey | CreatedKey | KeyRecord"
"""A key's hash, or what has one. The key itself, as text, is refused: it would be in an address."""


class Keys:
    """Creates, lists, limits, disables and deletes keys. Get it as `Accounts().keys`.

    See https://openrouter.ai/docs/guides/overview/auth/management-api-keys.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def create(self, name: str, **fields: Unpack[KeyFields]) -> CreatedKey:
        """Create a key.

        The request is repeated only where it cannot have created a key: no connection was made, or
        the service refused it for now (429). After an error of another kind (a
        `ConnectionFailedError`, an `UpstreamError`) there may be a key that nobody holds: find it
        by its name or `external_user` in `list()`, and delete it.

        Args:
            name: Its name in the account.
            **fields: See `KeyFields`: `limit`, `limit_reset`, `expires_at`, `external_user`, ...

        Raises:
            AuthenticationError: The key of this client is no management key.
            ValueError: A field is not valid; nothing was sent.
            OpenRouterError: The request failed for another reason.
        """
        return self._sender.send(self._create(name, fields))

    async def acreate(self, name: str, **fields: Unpack[KeyFields]) -> CreatedKey:
        """Create like `create`."""
        return await self._sender.asend(self._create(name, fields))

    def list(
        self,
        *,
        include_disabled: bool | None = None,
        include_expired: bool | None = None,
        workspace_id: str | None = None,
        offset: int = 0,
    ) -> Listing[KeyRecord]:
        """Return the keys of a workspace, the newest first; pages are read as they are needed.

        Args:
            include_disabled: Whether disabled keys are listed too; the service leaves them out.
            include_expired: Whether expired keys are listed too; the service leaves them out.
            workspace_id: None is the default workspace, not all of them.
            offset: How many keys to skip.
        """
        pages = _pages(include_disabled, include_expired, workspace_id, offset)
        return Listing(self._sender, pages)

    def alist(
        self,
        *,
        include_disabled: bool | None = None,
        include_expired: bool | None = None,
        workspace_id: str | None = None,
        offset: int = 0,
    ) -> AsyncListing[KeyRecord]:
        """Return like `list`, for `async for`."""
        pages = _pages(include_disabled, include_expired, workspace_id, offset)
        return AsyncListing(self._sender, pages)

    def get(self, key: KeyReference) -> KeyRecord:
        """Return what the account knows of a key.

        Args:
            key: Its hash, or a value that has it.

        Raises:
            NotFoundError: The account has no such key.
            UpstreamError: The service sent another key.
            ValueError: It is no hash.
        """
        return self._sender.send(_get(key))

    async def aget(self, key: KeyReference) -> KeyRecord:
        """Return like `get`."""
        return await self._sender.asend(_get(key))

    def update(self, key: KeyReference, **fields: Unpack[KeyChanges]) -> KeyRecord:
        """Change a key.

        Args:
            key: Its hash, or a value that has it.
            **fields: See `KeyChanges`: `name`, `disabled`, `limit`, `limit_reset`, ...

        Raises:
            NotFoundError: The account has no such key.
            ValueError: There is nothing to change, or it is no hash.
        """
        return self._sender.send(_update(key, fields))

    async def aupdate(self, key: KeyReference, **fields: Unpack[KeyChanges]) -> KeyRecord:
        """Change like `update`."""
        return await self._sender.asend(_update(key, fields))

    def disable(self, key: KeyReference) -> KeyRecord:
        """Disable a key: requests with it are refused from now on.

        Raises:
            NotFoundError: The account has no such key.
            UpstreamError: The service did not disable it.
        """
        return self._sender.send(_switch(key, disabled=True))

    async def adisable(self, key: KeyReference) -> KeyRecord:
        """Disable like `disable`."""
        return await self._sender.asend(_switch(key, disabled=True))

    def enable(self, key: KeyReference) -> KeyRecord:
        """Enable a key again.

        Raises:
            NotFoundError: The account has no such key.
            UpstreamError: The service did not enable it.
        """
        return self._sender.send(_switch(key, disabled=False))

    async def aenable(self, key: KeyReference) -> KeyRecord:
        """Enable like `enable`."""
        return await self._sender.asend(_switch(key, disabled=False))

    def delete(self, key: KeyReference) -> None:
        """Delete a key for good.

        Raises:
            NotFoundError: The account has no such key; a request that was repeated after a lost
                response finds none either.
            UpstreamError: The service did not confirm it.
        """
        self._sender.send(Call("delete", _path(key), confirm_deleted))

    async def adelete(self, key: KeyReference) -> None:
        """Delete like `delete`."""
        await self._sender.asend(Call("delete", _path(key), confirm_deleted))

    def _create(self, name: str, fields: Any) -> Call[CreatedKey]:
        own = _own_key(fields.pop("external_api_key", None))  # out of the callers' frames
        body = _creation_body(name, fields, own)
        base_url = self._sender.service_url()

        def parse(response: dict[str, Any]) -> CreatedKey:
            return CreatedKey.from_api(response, base_url=base_url, own=own)

        return Call("post", "/keys", parse, body=body, is_repeatable=False)


# --- requests ---------------------------------------------------------------------------------


def key_hash_of(key: KeyReference) -> str:
    """Return the hash of a key.

    Raises:
        ValueError: It is no hash. The text is not in the message: it may be a key.
    """
    if isinstance(key, UserKey):
        return key.fingerprint
    if isinstance(key, CreatedKey | KeyRecord):
        return key.hash
    if isinstance(key, UserSecret):
        return UserKey(key).fingerprint
    if isinstance(key, str) and is_key_hash(key):
        return key

    msg = (
        "a key is named by its hash, 64 hexadecimal digits (`UserKey.fingerprint`, "
        "`KeyRecord.hash`), not by its text"
    )
    raise ValueError(msg)


def _path(key: KeyReference) -> str:
    hash_ = key_hash_of(key)
    if not is_key_hash(hash_):
        msg = "this record has no valid hash"
        raise ValueError(msg)
    return f"/keys/{hash_}"


_parse_record = parse_row(KeyRecord.from_api, "hash")


def _pages(
    include_disabled: bool | None,  # noqa: FBT001 - the caller's own keywords
    include_expired: bool | None,  # noqa: FBT001 - the caller's own keywords
    workspace_id: str | None,
    offset: int,
) -> Pages[KeyRecord]:
    query = {
        "include_disabled": include_disabled,
        "include_expired": include_expired,
        "workspace_id": workspace_id,
    }
    return Pages("/keys", KeyRecord.from_api, query, offset)


def _get(key: KeyReference) -> Call[KeyRecord]:
    """Return the request for a key, which checks that it is the one that comes."""
    hash_ = key_hash_of(key)
    # A recording has no hash of a key of the app's own making, only that of its placeholder.
    is_own = isinstance(key, UserKey | UserSecret)

    def parse(response: dict[str, Any]) -> KeyRecord:
        record = _parse_record(response)
        if record.hash != hash_ and not is_own:
            msg = "the service sent another key than the one requested"
            raise UpstreamError(msg, is_retryable=False)
        return record

    return Call("get", _path(key), parse)


def _update(key: KeyReference, fields: Mapping[str, Any]) -> Call[KeyRecord]:
    return Call("patch", _path(key), _parse_record, body=build_changes(fields, KeyChanges))


def _switch(key: KeyReference, *, disabled: bool) -> Call[KeyRecord]:
    """Return the request that disables or enables a key, and checks that it is so."""

    def parse(response: dict[str, Any]) -> KeyRecord:
        record = _parse_record(response)
        if record.disabled is not disabled:
            state = "disabled" if disabled else "enabled"
            msg = f"the service did not say that the key is {state} now: look it up"
            raise UpstreamError(msg, is_retryable=False)
        return record

    return Call("patch", _path(key), parse, body={"disabled": disabled})


def _own_key(key: Any) -> SecretStr | None:
    """Return a key of the app's own making as a secret.

    Raises:
        ValueError: It is no key, too short, or a management key.
    """
    if key is None:
        return None
    refuse_management_key(key)
    secret = to_secret(key.secret if isinstance(key, UserKey) else key)
    del key

    if not isinstance(secret, SecretStr) or len(secret) < _MIN_OWN_KEY:
        msg = f"`external_api_key` must be a key of {_MIN_OWN_KEY} characters or more"
        raise ValueError(msg)
    return secret


def _creation_body(name: str, fields: Mapping[str, Any], own: SecretStr | None) -> dict[str, Any]:
    """Return the body of `POST /keys`.

    Raises:
        ValueError: The name or a field is not valid.
    """
    if not isinstance(name, str) or not name.strip():
        msg = "`name` must be a string that is not empty"
        raise ValueError(msg)

    body = {"name": name, **build_body(fields, KeyFields)}
    if body.get("expires_at") is not None:
        body["expires_at"] = format_moment(body["expires_at"])
    user = body.pop("external_user", None)
    if user is not None:
        body["external"] = {"user": check_external_user(user)}

    if own is not None:
        if user is None:
            msg = "`external_api_key` needs `external_user`"
            raise ValueError(msg)
        body["external"]["api_key"] = own
    return body
