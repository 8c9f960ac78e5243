"""`accounts.external_users`: the app's own users, registered with the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter.accounts._calls import Call, check_external_user, parse_row, path_segment
from langchain_openrouter.accounts._key_types import ExternalUser
from langchain_openrouter.accounts._listing import AsyncListing, Listing, Pages

if TYPE_CHECKING:
    from langchain_openrouter.accounts._calls import Sender

__all__ = ["ExternalUsers"]

_PAGE_SIZE = 100


class ExternalUsers:
    """Registers users under the app's own ids. Get it as `Accounts().external_users`.

    A registration gives no key and takes none away: a key is made for a user with
    `keys.create(..., external_user=...)`, and an inactive user's keys work until they are disabled.

    See `ExternalUser` of https://pypi.org/project/openrouter/.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def create(self, user: str) -> ExternalUser:
        """Register a user; the request is repeated only as that of `keys.create` is.

        Args:
            user: The app's own id: 1 to 512 characters.

        Raises:
            InvalidRequestError: The user is registered already (409).
            ValueError: The id is not valid; nothing was sent.
        """
        return self._sender.send(_create(user))

    async def acreate(self, user: str) -> ExternalUser:
        """Register like `create`."""
        return await self._sender.asend(_create(user))

    def list(
        self,
        *,
        user: str | None = None,
        include_inactive: bool | None = None,
        offset: int = 0,
        page_size: int = _PAGE_SIZE,
    ) -> Listing[ExternalUser]:
        """Return the users; pages are read as they are needed.

        Args:
            user: Only this one.
            include_inactive: Whether inactive users are listed too; the service leaves them out.
            offset: How many users to skip.
            page_size: Users in one response, 1 to 100.
        """
        query = {"user": user, "include_inactive": include_inactive}
        return Listing(self._sender, _pages(query, offset, page_size))

    def alist(
        self,
        *,
        user: str | None = None,
        include_inactive: bool | None = None,
        offset: int = 0,
        page_size: int = _PAGE_SIZE,
    ) -> AsyncListing[ExternalUser]:
        """Return like `list`, for `async for`."""
        query = {"user": user, "include_inactive": include_inactive}
        return AsyncListing(self._sender, _pages(query, offset, page_size))

    def get(self, user: str) -> ExternalUser:
        """Return a user, active or not.

        Raises:
            NotFoundError: There is none of this id.
        """
        return self._sender.send(Call("get", _path(user), _parse_user))

    async def aget(self, user: str) -> ExternalUser:
        """Return like `get`."""
        return await self._sender.asend(Call("get", _path(user), _parse_user))

    def update(self, user: str, *, is_active: bool) -> ExternalUser:
        """Change whether a user is active. It does not stop the user's keys: disable them.

        Raises:
            NotFoundError: There is none of this id.
        """
        return self._sender.send(_update(user, is_active=is_active))

    async def aupdate(self, user: str, *, is_active: bool) -> ExternalUser:
        """Change like `update`."""
        return await self._sender.asend(_update(user, is_active=is_active))

    def delete(self, user: str) -> None:
        """Make a user inactive; the id stays registered, and the user's keys work on.

        Raises:
            NotFoundError: There is none of this id.
        """
        self._sender.send(Call("delete", _path(user), _ignore))

    async def adelete(self, user: str) -> None:
        """Make a user inactive like `delete`."""
        await self._sender.asend(Call("delete", _path(user), _ignore))


_parse_user = parse_row(ExternalUser.from_api, "user")


def _path(user: str) -> str:
    return f"/external-users/{path_segment(user, 'user')}"


def _create(user: str) -> Call[ExternalUser]:
    body = {"user": check_external_user(user)}
    return Call("post", "/external-users", _parse_user, body=body, is_repeatable=False)


def _update(user: str, *, is_active: bool) -> Call[ExternalUser]:
    return Call("patch", _path(user), _parse_user, body={"is_active": is_active})


def _pages(query: dict[str, Any], offset: int, page_size: int) -> Pages[ExternalUser]:
    return Pages("/external-users", ExternalUser.from_api, query, offset, page_size)


def _ignore(body: dict[str, Any]) -> None:
    """Read nothing: the service answers 204."""
    del body
