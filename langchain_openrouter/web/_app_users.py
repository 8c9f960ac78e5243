"""The app's own users, who have no account at OpenRouter: who they are, and their keys."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import HTTPConnection

    from langchain_openrouter.accounts import ProvisionedKeys
    from langchain_openrouter.oauth import UserKey

    AppUser: TypeAlias = Callable[[Any], str | Awaitable[str | None] | None]

__all__ = ["AppUsers", "app_users"]


@dataclass(frozen=True, slots=True)
class AppUsers:
    """Looks up the key of whom the app has signed in."""

    app_user: AppUser
    provisioned: ProvisionedKeys

    async def key(self, connection: HTTPConnection) -> UserKey | None:
        """Return the key of the app's user, None if the app has signed nobody in.

        Raises:
            KeyRevokedError: The user's key was revoked.
            OpenRouterError: None could be provisioned.
        """
        user_id = await self.user_id(connection)
        return None if user_id is None else await self.provisioned.aget(user_id)

    async def user_id(self, connection: HTTPConnection) -> str | None:
        """Return whom the app has signed in, None if nobody."""
        user_id = self.app_user(connection)
        if inspect.isawaitable(user_id):
            user_id = await user_id
        return user_id or None


def app_users(app_user: AppUser | None, provisioned: ProvisionedKeys | None) -> AppUsers | None:
    """Return the app's users; None if it has none.

    Raises:
        ValueError: Only one of both was passed.
    """
    if app_user is None and provisioned is None:
        return None
    if app_user is None or provisioned is None:
        msg = "`app_user` and `provisioned` go together: whose key, and who makes it"
        raise ValueError(msg)
    return AppUsers(app_user, provisioned)
