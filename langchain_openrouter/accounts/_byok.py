"""`accounts.byok`: providers' keys of one's own, which requests are routed through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from langchain_openrouter._http.api_key import to_secret
from langchain_openrouter.accounts._calls import (
    Call,
    build_body,
    build_changes,
    confirm_deleted,
    parse_row,
    path_segment,
)
from langchain_openrouter.accounts._fields import ByokChanges, ByokFields
from langchain_openrouter.accounts._listing import AsyncListing, Listing, Pages
from langchain_openrouter.accounts._policy_types import ByokKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from langchain_openrouter.accounts._calls import Sender

__all__ = ["Byok"]

_PAGE_SIZE = 100


class Byok:
    """Stores and changes credentials of providers. Get it as `Accounts().byok`.

    See https://openrouter.ai/docs/guides/overview/auth/byok.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def create(
        self,
        provider: str,
        key: SecretStr | str,
        **fields: Unpack[ByokFields],
    ) -> ByokKey:
        """Store a provider's key; the request is repeated only as that of `keys.create` is.

        Args:
            provider: The provider's slug, such as "openai".
            key: The provider's own key. The service never returns it.
            **fields: See `ByokFields`.

        Raises:
            ValueError: A field is not valid; nothing was sent.
        """
        key = to_secret(key)  # no frame of a traceback has it as text
        return self._sender.send(_create(provider, key, fields))

    async def acreate(
        self,
        provider: str,
        key: SecretStr | str,
        **fields: Unpack[ByokFields],
    ) -> ByokKey:
        """Store like `create`."""
        key = to_secret(key)  # no frame of a traceback has it as text
        return await self._sender.asend(_create(provider, key, fields))

    def list(
        self,
        *,
        provider: str | None = None,
        workspace_id: str | None = None,
        offset: int = 0,
        page_size: int = _PAGE_SIZE,
    ) -> Listing[ByokKey]:
        """Return the credentials of a workspace; pages are read as they are needed.

        Args:
            provider: Only those of this provider.
            workspace_id: None is the default workspace.
            offset: How many credentials to skip.
            page_size: Credentials in one response, 1 to 100.
        """
        query = {"provider": provider, "workspace_id": workspace_id}
        return Listing(self._sender, _pages(query, offset, page_size))

    def alist(
        self,
        *,
        provider: str | None = None,
        workspace_id: str | None = None,
        offset: int = 0,
        page_size: int = _PAGE_SIZE,
    ) -> AsyncListing[ByokKey]:
        """Return like `list`, for `async for`."""
        query = {"provider": provider, "workspace_id": workspace_id}
        return AsyncListing(self._sender, _pages(query, offset, page_size))

    def get(self, credential: str | ByokKey) -> ByokKey:
        """Return a credential.

        Raises:
            NotFoundError: There is none of this id.
        """
        return self._sender.send(Call("get", _path(credential), _parse_credential))

    async def aget(self, credential: str | ByokKey) -> ByokKey:
        """Return like `get`."""
        return await self._sender.asend(Call("get", _path(credential), _parse_credential))

    def update(self, credential: str | ByokKey, **fields: Unpack[ByokChanges]) -> ByokKey:
        """Change a credential, or replace its key.

        Args:
            credential: It, or its id.
            **fields: See `ByokChanges`; None clears a field.

        Raises:
            NotFoundError: There is none of this id.
            ValueError: There is nothing to change, or a field is not valid.
        """
        return self._sender.send(_update(credential, fields))

    async def aupdate(self, credential: str | ByokKey, **fields: Unpack[ByokChanges]) -> ByokKey:
        """Change like `update`."""
        return await self._sender.asend(_update(credential, fields))

    def delete(self, credential: str | ByokKey) -> None:
        """Delete a credential.

        Raises:
            NotFoundError: There is none of this id.
            UpstreamError: The service did not confirm it.
        """
        self._sender.send(Call("delete", _path(credential), confirm_deleted))

    async def adelete(self, credential: str | ByokKey) -> None:
        """Delete like `delete`."""
        await self._sender.asend(Call("delete", _path(credential), confirm_deleted))


_parse_credential = parse_row(ByokKey.from_api, "id")


def _path(credential: str | ByokKey) -> str:
    id_ = credential.id if isinstance(credential, ByokKey) else credential
    return f"/byok/{path_segment(id_, 'the id of a credential')}"


def _create(provider: str, key: Any, fields: Mapping[str, Any]) -> Call[ByokKey]:
    _check_key(key)
    body = {"provider": provider, "key": key, **build_body(fields, ByokFields)}
    return Call("post", "/byok", _parse_credential, body=body, is_repeatable=False)


def _update(credential: str | ByokKey, fields: Any) -> Call[ByokKey]:
    if "key" in fields:
        fields["key"] = to_secret(fields["key"])  # in the callers' frames too
        _check_key(fields["key"])
    body = build_changes(fields, ByokChanges)
    return Call("patch", _path(credential), _parse_credential, body=body)


def _check_key(key: Any) -> None:
    """Check a provider's key.

    Raises:
        ValueError: There is none.
    """
    if not isinstance(key, SecretStr) or not key.get_secret_value().strip():
        msg = "`key` must be the provider's key"
        raise ValueError(msg)


def _pages(query: Mapping[str, Any], offset: int, page_size: int) -> Pages[ByokKey]:
    return Pages("/byok", ByokKey.from_api, query, offset, page_size)
