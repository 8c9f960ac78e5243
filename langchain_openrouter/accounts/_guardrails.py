"""`accounts.guardrails`: restrictions, and the keys that they are assigned to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_int
from langchain_openrouter.accounts._calls import (
    Call,
    build_body,
    build_changes,
    confirm_deleted,
    parse_row,
    path_segment,
)
from langchain_openrouter.accounts._fields import GuardrailChanges, GuardrailFields
from langchain_openrouter.accounts._keys import key_hash_of
from langchain_openrouter.accounts._listing import AsyncListing, Listing, Pages
from langchain_openrouter.accounts._policy_types import Guardrail, KeyAssignment
from langchain_openrouter.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Unpack

    from langchain_openrouter.accounts._calls import Sender
    from langchain_openrouter.accounts._keys import KeyReference

__all__ = ["Guardrails"]

_PAGE_SIZE = 100


class Guardrails:
    """Creates guardrails, and assigns them to keys. Get it as `Accounts().guardrails`.

    A new guardrail restricts nothing until it is assigned. One guardrail can be assigned to a key;
    the workspace's default guardrail (`Workspace.default_guardrail_id`) applies to all its keys.

    See https://openrouter.ai/docs/guides/features/guardrails.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def create(self, name: str, **fields: Unpack[GuardrailFields]) -> Guardrail:
        """Create a guardrail; the request is repeated only as that of `keys.create` is.

        Args:
            name: Its name in the account.
            **fields: See `GuardrailFields`: `limit_usd` with `reset_interval`, `allowed_models`,
                `allowed_providers`, ...

        Raises:
            ValueError: A field is not valid; nothing was sent.
        """
        return self._sender.send(_create(name, fields))

    async def acreate(self, name: str, **fields: Unpack[GuardrailFields]) -> Guardrail:
        """Create like `create`."""
        return await self._sender.asend(_create(name, fields))

    def list(
        self, *, workspace_id: str | None = None, offset: int = 0, page_size: int = _PAGE_SIZE
    ) -> Listing[Guardrail]:
        """Return the guardrails of a workspace; pages are read as they are needed.

        Args:
            workspace_id: None is the default workspace.
            offset: How many guardrails to skip.
            page_size: Guardrails in one response, 1 to 100.
        """
        return Listing(self._sender, _pages(workspace_id, offset, page_size))

    def alist(
        self, *, workspace_id: str | None = None, offset: int = 0, page_size: int = _PAGE_SIZE
    ) -> AsyncListing[Guardrail]:
        """Return like `list`, for `async for`."""
        return AsyncListing(self._sender, _pages(workspace_id, offset, page_size))

    def get(self, guardrail: str | Guardrail) -> Guardrail:
        """Return a guardrail.

        Raises:
            NotFoundError: There is none of this id.
        """
        return self._sender.send(Call("get", _path(guardrail), _parse_guardrail))

    async def aget(self, guardrail: str | Guardrail) -> Guardrail:
        """Return like `get`."""
        return await self._sender.asend(Call("get", _path(guardrail), _parse_guardrail))

    def update(self, guardrail: str | Guardrail, **fields: Unpack[GuardrailChanges]) -> Guardrail:
        """Change a guardrail, for all keys that it is assigned to.

        Args:
            guardrail: It, or its id.
            **fields: See `GuardrailChanges`; None clears a field.

        Raises:
            NotFoundError: There is none of this id.
            ValueError: There is nothing to change, or a field is not valid.
        """
        return self._sender.send(_update(guardrail, fields))

    async def aupdate(
        self, guardrail: str | Guardrail, **fields: Unpack[GuardrailChanges]
    ) -> Guardrail:
        """Change like `update`."""
        return await self._sender.asend(_update(guardrail, fields))

    def delete(self, guardrail: str | Guardrail) -> None:
        """Delete a guardrail: the keys that it was assigned to are no longer restricted by it.

        Raises:
            NotFoundError: There is none of this id.
            UpstreamError: The service did not confirm it.
        """
        self._sender.send(Call("delete", _path(guardrail), confirm_deleted))

    async def adelete(self, guardrail: str | Guardrail) -> None:
        """Delete like `delete`."""
        await self._sender.asend(Call("delete", _path(guardrail), confirm_deleted))

    # --- keys -----------------------------------------------------------------------------

    def assign_keys(self, guardrail: str | Guardrail, keys: Iterable[KeyReference]) -> int:
        """Assign a guardrail to keys.

        Args:
            guardrail: It, or its id.
            keys: Their hashes, or values that have them.

        Returns:
            To how many keys it was assigned.

        Raises:
            NotFoundError: There is none of this id.
            UpstreamError: The service did not say to how many.
        """
        return self._sender.send(_assign(guardrail, keys))

    async def aassign_keys(self, guardrail: str | Guardrail, keys: Iterable[KeyReference]) -> int:
        """Assign like `assign_keys`."""
        return await self._sender.asend(_assign(guardrail, keys))

    def remove_keys(self, guardrail: str | Guardrail, keys: Iterable[KeyReference]) -> int:
        """Take a guardrail from keys, which it no longer restricts.

        Returns:
            From how many keys it was taken.
        """
        return self._sender.send(_remove(guardrail, keys))

    async def aremove_keys(self, guardrail: str | Guardrail, keys: Iterable[KeyReference]) -> int:
        """Take a guardrail from keys like `remove_keys`."""
        return await self._sender.asend(_remove(guardrail, keys))

    def key_assignments(
        self,
        guardrail: str | Guardrail | None = None,
        *,
        offset: int = 0,
        page_size: int = _PAGE_SIZE,
    ) -> Listing[KeyAssignment]:
        """Return which keys have a guardrail; pages are read as they are needed.

        Args:
            guardrail: It, or its id; None is all of them.
            offset: How many assignments to skip.
            page_size: Assignments in one response, 1 to 100.
        """
        return Listing(self._sender, _assignments(guardrail, offset, page_size))

    def akey_assignments(
        self,
        guardrail: str | Guardrail | None = None,
        *,
        offset: int = 0,
        page_size: int = _PAGE_SIZE,
    ) -> AsyncListing[KeyAssignment]:
        """Return like `key_assignments`, for `async for`."""
        return AsyncListing(self._sender, _assignments(guardrail, offset, page_size))


# --- requests ---------------------------------------------------------------------------------


_parse_guardrail = parse_row(Guardrail.from_api, "id")


def _path(guardrail: str | Guardrail) -> str:
    id_ = guardrail.id if isinstance(guardrail, Guardrail) else guardrail
    return f"/guardrails/{path_segment(id_, 'the id of a guardrail')}"


def _create(name: str, fields: Mapping[str, Any]) -> Call[Guardrail]:
    body = {"name": name, **build_body(fields, GuardrailFields)}
    if ("limit_usd" in body) != ("reset_interval" in body):
        msg = "`limit_usd` and `reset_interval` are set together"
        raise ValueError(msg)
    return Call("post", "/guardrails", _parse_guardrail, body=body, is_repeatable=False)


def _update(guardrail: str | Guardrail, fields: Mapping[str, Any]) -> Call[Guardrail]:
    body = build_changes(fields, GuardrailChanges)
    return Call("patch", _path(guardrail), _parse_guardrail, body=body)


def _pages(workspace_id: str | None, offset: int, page_size: int) -> Pages[Guardrail]:
    query = {"workspace_id": workspace_id}
    return Pages("/guardrails", Guardrail.from_api, query, offset, page_size)


def _assignments(
    guardrail: str | Guardrail | None, offset: int, page_size: int
) -> Pages[KeyAssignment]:
    path = "/guardrails" if guardrail is None else _path(guardrail)
    return Pages(f"{path}/assignments/keys", KeyAssignment.from_api, {}, offset, page_size)


def _assign(guardrail: str | Guardrail, keys: Iterable[KeyReference]) -> Call[int]:
    path, body = f"{_path(guardrail)}/assignments/keys", _key_hashes(keys)
    return Call("post", path, lambda response: _count(response, "assigned_count"), body=body)


def _remove(guardrail: str | Guardrail, keys: Iterable[KeyReference]) -> Call[int]:
    path, body = f"{_path(guardrail)}/assignments/keys/remove", _key_hashes(keys)
    return Call("post", path, lambda response: _count(response, "unassigned_count"), body=body)


def _key_hashes(keys: Iterable[KeyReference]) -> dict[str, Any]:
    """Return the body that names keys.

    Raises:
        ValueError: There is none, or one is no hash.
    """
    if isinstance(keys, str):
        msg = "pass a list of keys"
        raise ValueError(msg)  # noqa: TRY004 - as every wrong argument

    hashes = [key_hash_of(key) for key in keys]
    if not hashes:
        msg = "pass at least one key"
        raise ValueError(msg)
    return {"key_hashes": hashes}


def _count(body: dict[str, Any], name: str) -> int:
    """Return how many keys a request changed.

    Raises:
        UpstreamError: The service does not say.
    """
    count = get_int(body, name)
    if count is None:
        msg = f"the service's answer cannot be read: it has no `{name}`"
        raise UpstreamError(msg, is_retryable=False)
    return count
