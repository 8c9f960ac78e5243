"""The emulator's management API: requests with a management key, and the routes of keys.

See https://openrouter.ai/docs/guides/overview/auth/management-api-keys.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.responses import Response
from starlette.routing import Route

from langchain_openrouter._json import get_dict, get_str
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._keys import DEFAULT_WORKSPACE, PERIODS
from langchain_openrouter.testing.emulator._organization import masked
from langchain_openrouter.testing.emulator._responses import to_json, to_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from langchain_openrouter.testing.emulator._accounts import Accounts
    from langchain_openrouter.testing.emulator._keys import Key
    from langchain_openrouter.testing.emulator._organization import Organization
    from langchain_openrouter.testing.emulator._script import ReceivedRequest

__all__ = ["Handler", "KeyRoutes", "ManagementApi", "page_of"]

_PAGE_SIZE = 100
_MIN_OWN_KEY = 32  # characters
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_KEY_FIELDS = (
    *("name", "disabled", "limit", "limit_reset", "include_byok_in_limit", "workspace_id"),
)

Handler: TypeAlias = "Callable[[ReceivedRequest, Key, Mapping[str, str]], Any]"
"""Takes the request, its management key and the parameters of its path; returns the body."""


class ManagementApi:
    """Makes routes that need a management key.

    Args:
        accounts: Whose keys.
        record: Records a request, and returns it.
    """

    def __init__(
        self, accounts: Accounts, record: Callable[[Request], Awaitable[ReceivedRequest]]
    ) -> None:
        self._accounts, self._record = accounts, record

    def route(
        self, method: str, path: str, handler: Handler, *, status: int = 200, refusal: int = 401
    ) -> Route:
        """Return a route.

        Args:
            method: Of HTTP.
            path: With parameters.
            handler: Returns the body; None is no content.
            status: That of a success.
            refusal: That of a key for inference.
        """

        async def respond(request: Request) -> Response:
            received = await self._record(request)
            try:
                key = self._accounts.require_management_key(received.key, status=refusal)
                _check_body(method, received.body)
                body = handler(received, key, request.path_params)
            except ApiRefusal as refused:
                return to_response(refused)

            if body is None:
                return Response(status_code=204)
            response = to_json(body)
            response.status_code = status
            return response

        return Route(path, respond, methods=[method])


def _check_body(method: str, body: Any) -> None:
    """Check that a request that changes something has a JSON object.

    Raises:
        ApiRefusal: It has none.
    """
    if method in {"POST", "PATCH", "PUT"} and not isinstance(body, dict):
        raise ApiRefusal(400, "Invalid input: expected object")


def page_of(rows: list[Any], query: Mapping[str, str], *, sized: bool = True) -> list[Any]:
    """Return the page of a listing that a query asks for.

    Args:
        rows: All of them.
        query: `offset`, and `limit` where there is one.
        sized: Whether there is.

    Raises:
        ApiRefusal: One is no number, or out of range.
    """
    offset = _number(query, "offset", 0, lowest=0)
    size = _number(query, "limit", _PAGE_SIZE, lowest=1, highest=100) if sized else _PAGE_SIZE
    return rows[offset : offset + size]


def _number(
    query: Mapping[str, str], name: str, default: int, *, lowest: int, highest: int | None = None
) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < lowest or (highest and int(text) > highest):
        raise ApiRefusal(400, f"{name}: Invalid input")
    return int(text)


class KeyRoutes:
    """The routes of keys, of what was used, and of credits.

    Args:
        accounts: Whose keys.
        organization: Their workspaces and activity.
        api: Makes the routes.
    """

    def __init__(self, accounts: Accounts, organization: Organization, api: ManagementApi) -> None:
        self._accounts, self._organization, self._api = accounts, organization, api

    def routes(self, prefix: str) -> list[Route]:
        """Return the routes.

        Args:
            prefix: The path of the API.
        """
        route, keys = self._api.route, f"{prefix}/keys"

        return [
            route("GET", keys, self._list),
            route("POST", keys, self._create, status=201),
            route("GET", f"{keys}/{{hash}}", self._get),
            route("PATCH", f"{keys}/{{hash}}", self._update),
            route("DELETE", f"{keys}/{{hash}}", self._delete),
            route("GET", f"{prefix}/activity", self._activity, refusal=403),
            route("GET", f"{prefix}/credits", self._credits, refusal=403),
        ]

    def _list(self, received: ReceivedRequest, caller: Key, _: object) -> dict[str, Any]:
        query = received.query
        workspace_id = query.get("workspace_id", DEFAULT_WORKSPACE)
        keys = [
            key
            for key in self._account_keys(caller)
            if (key.workspace_id or DEFAULT_WORKSPACE) == workspace_id
            and (not key.disabled or query.get("include_disabled") == "true")
            and (not key.is_expired or query.get("include_expired") == "true")
        ]

        newest = sorted(keys, key=lambda key: key.created_at or 0.0)[::-1]
        return {"data": [key.row() for key in page_of(newest, query, sized=False)]}

    def _create(self, received: ReceivedRequest, caller: Key, _: object) -> dict[str, Any]:
        body = received.body
        if not get_str(body, "name"):
            raise ApiRefusal(400, "name: Invalid input: expected string, received undefined")
        self._check_fields(body)
        expires_at = _expiry(body.get("expires_at"), self._accounts.clock())
        user, own = _external(body)
        if own is not None and own in self._accounts.keys:
            raise ApiRefusal(400, "external.api_key: This key exists already")

        fields = {name: body[name] for name in _KEY_FIELDS if name in body}
        workspace = self._organization.workspace(
            fields.pop("workspace_id", DEFAULT_WORKSPACE), status=400
        )
        key = self._accounts.add_key(
            own,
            body.get("creator_user_id") or caller.user_id,
            expires_at=expires_at,
            external_user=user,
            workspace_id=workspace["id"],
            **fields,
        )
        key.label = masked(key.secret)
        return {"data": key.row(), **({} if own else {"key": key.secret})}

    def _get(self, _: object, caller: Key, path: Mapping[str, str]) -> dict[str, Any]:
        return {"data": self._find(caller, path).row()}

    def _update(
        self, received: ReceivedRequest, caller: Key, path: Mapping[str, str]
    ) -> dict[str, Any]:
        key = self._find(caller, path)
        fields = {name: received.body[name] for name in _KEY_FIELDS if name in received.body}
        if not fields:
            raise ApiRefusal(400, "No update fields provided")
        self._check_fields(fields)

        if "workspace_id" in fields:
            fields["workspace_id"] = self._organization.workspace(fields["workspace_id"])["id"]
        for name, value in fields.items():
            setattr(key, name, value)
        key.updated_at = self._accounts.clock()
        return {"data": key.row()}

    def _delete(self, _: object, caller: Key, path: Mapping[str, str]) -> dict[str, Any]:
        key = self._find(caller, path)
        self._accounts.keys.pop(key.secret, None)
        self._accounts.deleted.add(key.hash)
        self._organization.guardrails.assignments.pop(key.hash, None)
        return {"deleted": True}

    def _activity(self, received: ReceivedRequest, caller: Key, _: object) -> dict[str, Any]:
        return {"data": self._organization.activity(received.query, caller.user_id)}

    def _credits(self, _: object, caller: Key, __: object) -> dict[str, Any]:
        used = sum(key.usage for key in self._account_keys(caller))
        return {
            "data": {
                "total_credits": self._organization.total_credits,
                "total_usage": round(used, 10),
            }
        }

    def _account_keys(self, caller: Key) -> list[Key]:
        """Return the keys for inference of an account."""
        keys = list(self._accounts.keys.values())
        return [key for key in keys if key.user_id == caller.user_id and not key.is_management]

    def _find(self, caller: Key, path: Mapping[str, str]) -> Key:
        for key in self._account_keys(caller):
            if key.hash == path["hash"]:
                return key
        raise ApiRefusal(404, "API key not found")

    def _check_fields(self, fields: Mapping[str, Any]) -> None:
        """Check the fields that a key is made of or changed by.

        Raises:
            ApiRefusal: One is not valid.
        """
        limit = fields.get("limit")
        if limit is not None and not (
            isinstance(limit, int | float) and not isinstance(limit, bool) and limit >= 0
        ):
            raise ApiRefusal(400, "limit: Invalid input: expected number >=0")
        if fields.get("limit_reset") not in {None, *PERIODS}:
            raise ApiRefusal(400, "limit_reset: Invalid option")

        for name in ("disabled", "include_byok_in_limit"):
            if name in fields and not isinstance(fields[name], bool):
                raise ApiRefusal(400, f"{name}: Invalid input: expected boolean")
        if "name" in fields and not get_str(fields, "name"):
            raise ApiRefusal(400, "name: Invalid input: expected string")


def _expiry(text: Any, now: float) -> str | None:
    """Return when a new key expires.

    Raises:
        ApiRefusal: It is not in the form of the API, or past.
    """
    if text is None:
        return None
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        raise ApiRefusal(400, "expires_at: Invalid ISO datetime")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ApiRefusal(400, "expires_at: Invalid ISO datetime") from None

    if moment.timestamp() <= now:
        raise ApiRefusal(400, "expires_at: must be in the future")
    return text


def _external(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the external user of a new key, and the key of the app's own making.

    Raises:
        ApiRefusal: One is not valid.
    """
    if body.get("external") is None:
        return None, None
    external = get_dict(body, "external")
    user = get_str(external, "user")
    if external is None or user is None:
        raise ApiRefusal(400, "external.user: Invalid input: expected string")

    own = external.get("api_key")
    if own is not None and (not isinstance(own, str) or len(own) < _MIN_OWN_KEY):
        raise ApiRefusal(
            400, "external.api_key: Too small: expected string to have >=32 characters"
        )
    if own is not None and len(set(own)) < 8:  # noqa: PLR2004 - "sufficient entropy"
        raise ApiRefusal(400, "external.api_key: not enough entropy")
    return user, own
