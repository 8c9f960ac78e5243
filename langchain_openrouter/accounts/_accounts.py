"""`Accounts`: the management API of OpenRouter."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import Field, SecretStr

from langchain_openrouter._http import transport
from langchain_openrouter._http.api_key import ManagementKey
from langchain_openrouter._http.deadlines import start_deadline
from langchain_openrouter._http.management_key import to_management_key
from langchain_openrouter._http.timeouts import to_httpx_timeout
from langchain_openrouter._json import get_dict
from langchain_openrouter._resource import ServiceClient
from langchain_openrouter.accounts._byok import Byok
from langchain_openrouter.accounts._calls import Call, parse_rows
from langchain_openrouter.accounts._external_users import ExternalUsers
from langchain_openrouter.accounts._guardrails import Guardrails
from langchain_openrouter.accounts._key_types import ActivityRow, Credits
from langchain_openrouter.accounts._keys import KeyReference, Keys, key_hash_of
from langchain_openrouter.accounts._sender import AccountsSender, reveal
from langchain_openrouter.accounts._workspaces import Workspaces
from langchain_openrouter.errors import UpstreamError
from langchain_openrouter.settings import (
    EnvironmentManagementKey,
    environment_management_key,
    shown_management_key,
)

if TYPE_CHECKING:
    from langchain_openrouter.accounts._rows import Rows

__all__ = ["Accounts"]

T = TypeVar("T")


class Accounts(ServiceClient):
    """The keys, users, guardrails, workspaces and credentials of an account, and what they spent.

    Every request is sent with the management key, also inside a user's run; no other key is ever
    sent. `max_retries` says how often a request is repeated; one that creates something is repeated
    only where it cannot have done so.

    Example:
        ```python
        from langchain_openrouter.accounts import Accounts

        accounts = Accounts()  # OPENROUTER_MANAGEMENT_KEY
        created = accounts.keys.create("alice", limit=5, limit_reset="monthly")
        model = model.for_user(created.key)
        ```

    See https://openrouter.ai/docs/guides/overview/auth/management-api-keys.
    """

    management_key: ManagementKey | SecretStr | str | Callable[[], Any] | None = Field(
        default_factory=shown_management_key, repr=False, exclude=True
    )
    """The key: a string, or a sync or async callable that is called for each request.

    Without one, OPENROUTER_MANAGEMENT_KEY is read when a request is sent. A key for inference is
    refused where it is known to be one: a `UserKey`'s secret, or OPENROUTER_API_KEY's.
    """

    _key_name: ClassVar[str] = "management_key"

    @property
    def keys(self) -> Keys:
        """The account's keys."""
        return Keys(self._sender())

    @property
    def external_users(self) -> ExternalUsers:
        """The app's own users, registered with the account."""
        return ExternalUsers(self._sender())

    @property
    def guardrails(self) -> Guardrails:
        """Restrictions, and the keys that they are assigned to."""
        return Guardrails(self._sender())

    @property
    def workspaces(self) -> Workspaces:
        """Parts of the account."""
        return Workspaces(self._sender())

    @property
    def byok(self) -> Byok:
        """Providers' keys of one's own."""
        return Byok(self._sender())

    def credits(self) -> Credits:
        """Return what the account has bought and used."""
        return self._sender().send(_CREDITS)

    async def acredits(self) -> Credits:
        """Return like `credits`."""
        return await self._sender().asend(_CREDITS)

    def activity(
        self,
        *,
        date: dt.date | str | None = None,
        key: KeyReference | None = None,
        user_id: str | None = None,
        group_by: Literal["workspace"] | None = None,
        workspace_id: str | None = None,
    ) -> Rows[ActivityRow]:
        """Return what was used on each of the last 30 complete UTC days, by endpoint.

        Args:
            date: Only this UTC day.
            key: Only what this key used: its hash, or a value that has it.
            user_id: Only what this member of the organization used.
            group_by: "workspace" divides each row by workspace.
            workspace_id: Only what was used in this workspace.

        Raises:
            ValueError: `key` is no hash.
        """
        return self._sender().send(_activity(date, key, user_id, group_by, workspace_id))

    async def aactivity(
        self,
        *,
        date: dt.date | str | None = None,
        key: KeyReference | None = None,
        user_id: str | None = None,
        group_by: Literal["workspace"] | None = None,
        workspace_id: str | None = None,
    ) -> Rows[ActivityRow]:
        """Return like `activity`."""
        return await self._sender().asend(_activity(date, key, user_id, group_by, workspace_id))

    def _sender(self) -> AccountsSender:
        return AccountsSender(self)

    @classmethod
    def _to_key(cls, key: Any) -> Any:
        return to_management_key(key)

    def _key_source(self) -> Any:
        """Return the key, or the callable that returns it when a request is sent."""
        key = self.management_key
        if isinstance(key, EnvironmentManagementKey) or (
            key is None and "management_key" not in self.model_fields_set
        ):
            return environment_management_key
        return key

    def to_request(self, call: Call[Any]) -> transport.Request:
        """Build the request of a call."""
        base_url = self._base_url()
        body = b"" if call.body is None else transport.encode_json(reveal(call.body))

        return transport.Request(
            url=f"{base_url}{call.path}",
            base_url=base_url,
            method=call.method,
            body=body,
            query=_query(call.query),
            headers=self._headers(),
            timeout=to_httpx_timeout(self.timeout),
            deadline=start_deadline(self.deadline),
            max_retries=self.max_retries if call.is_repeatable else 0,
            api_key=self._key_source(),
            is_management=True,
        )


def _parse_credits(body: dict[str, Any]) -> Credits:
    """Read a response of `GET /credits`.

    Raises:
        UpstreamError: It has no amounts.
    """
    balance = Credits.from_api(get_dict(body, "data") or {})
    if balance.total_credits is None and balance.total_usage is None:
        msg = "the service's answer cannot be read: it has no amounts"
        raise UpstreamError(msg, is_retryable=False)
    return balance


_CREDITS = Call("get", "/credits", _parse_credits)


def _activity(
    date: dt.date | str | None,
    key: KeyReference | None,
    user_id: str | None,
    group_by: str | None,
    workspace_id: str | None,
) -> Call[Rows[ActivityRow]]:
    query = {
        "date": date.strftime("%Y-%m-%d") if isinstance(date, dt.date) else date,
        "api_key_hash": None if key is None else key_hash_of(key),
        "user_id": user_id,
        "group_by": group_by,
        "workspace_id": workspace_id,
    }

    return Call("get", "/activity", parse_rows(ActivityRow.from_api), query=query)


def _query(query: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the query of a request; booleans as the API reads them."""
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in (query or {}).items()
        if value is not None
    }
