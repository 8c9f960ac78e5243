"""The emulator's routes of users, guardrails, workspaces and providers' keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_list
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._guardrails import default_guardrail_id
from langchain_openrouter.testing.emulator._keys import DEFAULT_WORKSPACE, PERIODS, iso
from langchain_openrouter.testing.emulator._management import page_of
from langchain_openrouter.testing.emulator._organization import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.routing import Route

    from langchain_openrouter.testing.emulator._accounts import Accounts
    from langchain_openrouter.testing.emulator._keys import Key
    from langchain_openrouter.testing.emulator._management import ManagementApi
    from langchain_openrouter.testing.emulator._organization import Organization
    from langchain_openrouter.testing.emulator._script import ReceivedRequest

__all__ = ["OrganizationRoutes"]


class OrganizationRoutes:
    """The routes of what an account has beside keys.

    Args:
        accounts: The keys that guardrails are assigned to.
        organization: What the routes show and change.
        api: Makes the routes.
    """

    def __init__(self, accounts: Accounts, organization: Organization, api: ManagementApi) -> None:
        self._accounts, self._organization, self._api = accounts, organization, api

    def routes(self, prefix: str) -> list[Route]:
        """Return the routes.

        Args:
            prefix: The path of the API.
        """
        return [
            *self._user_routes(f"{prefix}/external-users"),
            *self._guardrail_routes(f"{prefix}/guardrails"),
            *self._workspace_routes(f"{prefix}/workspaces"),
            *self._budget_routes(f"{prefix}/workspaces/{{id}}/budgets"),
            *self._credential_routes(f"{prefix}/byok"),
        ]

    # --- users ----------------------------------------------------------------------------

    def _user_routes(self, path: str) -> list[Route]:
        route, organization = self._api.route, self._organization

        def show(received: ReceivedRequest, _: Key, __: object) -> dict[str, Any]:
            rows = [
                row
                for row in organization.external_users.values()
                if (row["is_active"] or received.query.get("include_inactive") == "true")
                and received.query.get("user", row["user"]) == row["user"]
            ]
            return {"data": page_of(rows, received.query), "total_count": len(rows)}

        def register(received: ReceivedRequest, _: Key, __: object) -> dict[str, Any]:
            return {"data": organization.register(received.body.get("user"))}

        def get(_: object, __: Key, params: Mapping[str, str]) -> dict[str, Any]:
            return {"data": organization.user(params["user"])}

        def update(received: ReceivedRequest, _: Key, params: Mapping[str, str]) -> dict[str, Any]:
            is_active = received.body.get("is_active")
            return {"data": organization.set_active(params["user"], is_active)}

        def delete(_: object, __: Key, params: Mapping[str, str]) -> None:
            organization.set_active(params["user"], is_active=False)

        item = f"{path}/{{user:path}}"
        return [
            route("GET", path, show),
            route("POST", path, register, status=201),
            route("GET", item, get),
            route("PATCH", item, update),
            route("DELETE", item, delete),
        ]

    # --- guardrails -----------------------------------------------------------------------

    def _guardrail_routes(self, path: str) -> list[Route]:
        route, guardrails = self._api.route, self._organization.guardrails

        def show(received: ReceivedRequest, _: Key, __: object) -> dict[str, Any]:
            workspace_id = received.query.get("workspace_id", DEFAULT_WORKSPACE)
            rows = [row for row in guardrails.rows.values() if row["workspace_id"] == workspace_id]
            return {"data": page_of(rows, received.query), "total_count": len(rows)}

        def create(received: ReceivedRequest, _: Key, __: object) -> dict[str, Any]:
            workspace_id = received.body.get("workspace_id", DEFAULT_WORKSPACE)
            workspace = self._organization.workspace(workspace_id, status=400)
            return {"data": guardrails.create(received.body, workspace["id"])}

        def get(_: object, __: Key, params: Mapping[str, str]) -> dict[str, Any]:
            self._materialize(params["id"], {})
            return {"data": guardrails.get(params["id"])}

        def update(received: ReceivedRequest, _: Key, params: Mapping[str, str]) -> dict[str, Any]:
            self._materialize(params["id"], received.body)
            return {"data": guardrails.update(params["id"], received.body)}

        def delete(_: object, __: Key, params: Mapping[str, str]) -> dict[str, Any]:
            guardrails.delete(params["id"])
            return {"deleted": True}

        item = f"{path}/{{id}}"
        return [
            route("GET", path, show),
            route("POST", path, create, status=201),
            *self._assignment_routes(path),
            route("GET", item, get),
            route("PATCH", item, update),
            route("DELETE", item, delete),
        ]

    def _assignment_routes(self, path: str) -> list[Route]:
        route, guardrails = self._api.route, self._organization.guardrails

        def show(
            received: ReceivedRequest, caller: Key, params: Mapping[str, str]
        ) -> dict[str, Any]:
            if "id" in params:
                guardrails.get(params["id"])
            rows = self._assignment_rows(caller, params.get("id"))
            return {"data": page_of(rows, received.query), "total_count": len(rows)}

        def assign(
            received: ReceivedRequest, caller: Key, params: Mapping[str, str]
        ) -> dict[str, Any]:
            hashes = self._hashes(received.body, caller)
            return {"assigned_count": guardrails.assign(params["id"], hashes, caller.user_id)}

        def remove(
            received: ReceivedRequest, caller: Key, params: Mapping[str, str]
        ) -> dict[str, Any]:
            hashes = self._hashes(received.body, caller)
            return {"unassigned_count": guardrails.remove(params["id"], hashes)}

        return [
            route("GET", f"{path}/assignments/keys", show),
            route("GET", f"{path}/{{id}}/assignments/keys", show),
            route("POST", f"{path}/{{id}}/assignments/keys", assign),
            route("POST", f"{path}/{{id}}/assignments/keys/remove", remove),
        ]

    def _materialize(self, id_: str, changes: Mapping[str, Any]) -> None:
        """Make a workspace's default guardrail, when it is first written."""
        guardrails = self._organization.guardrails
        for workspace_id in self._organization.workspaces if changes else ():
            if id_ == default_guardrail_id(workspace_id) and id_ not in guardrails.rows:
                name = {"name": f"Workspace {workspace_id} Default"}
                guardrails.create(name, workspace_id, id_)

    def _hashes(self, body: Mapping[str, Any], caller: Key) -> list[str]:
        """Return the keys that a request names.

        Raises:
            ApiRefusal: It names none, or one that the account does not have.
        """
        hashes = get_list(body, "key_hashes")
        if not hashes or not all(isinstance(hash_, str) for hash_ in hashes):
            raise ApiRefusal(400, "key_hashes: Invalid input: expected array of strings")

        for hash_ in hashes:
            key = self._accounts.find_key(hash_)
            if key is None or key.user_id != caller.user_id:
                raise ApiRefusal(404, "API key not found")
        return hashes

    def _assignment_rows(self, caller: Key, guardrail_id: str | None) -> list[dict[str, Any]]:
        rows = []

        for assignment in self._organization.guardrails.assignments.values():
            key = self._accounts.find_key(assignment.key_hash)
            is_listed = guardrail_id in {None, assignment.guardrail_id}
            if key is None or key.user_id != caller.user_id or not is_listed:
                continue
            rows.append(
                {
                    "id": assignment.id,
                    "guardrail_id": assignment.guardrail_id,
                    "key_hash": key.hash,
                    "key_name": key.name or key.label,
                    "key_label": key.label,
                    "assigned_by": assignment.assigned_by,
                    "created_at": iso(assignment.created_at),
                }
            )
        return rows

    # --- workspaces -----------------------------------------------------------------------

    def _workspace_routes(self, path: str) -> list[Route]:
        route, organization = self._api.route, self._organization

        def show(received: ReceivedRequest, _: Key, __: object) -> dict[str, Any]:
            rows = list(organization.workspaces.values())
            return {"data": page_of(rows, received.query), "total_count": len(rows)}

        def create(received: ReceivedRequest, _: Key, __: object) -> dict[str, Any]:
            return {"data": organization.add_workspace(received.body)}

        def get(_: object, __: Key, params: Mapping[str, str]) -> dict[str, Any]:
            return {"data": organization.workspace(params["id"])}

        def update(received: ReceivedRequest, _: Key, params: Mapping[str, str]) -> dict[str, Any]:
            row = organization.workspace(params["id"])
            row.update(_changes(received.body, row), updated_at=iso(self._accounts.clock()))
            return {"data": row}

        def delete(received: ReceivedRequest, _: Key, params: Mapping[str, str]) -> dict[str, Any]:
            row = organization.workspace(params["id"])
            confirmed = received.query.get("confirm_default_workspace_deletion") == "true"
            if row["id"] == DEFAULT_WORKSPACE and not confirmed:
                raise ApiRefusal(400, "Deleting the default workspace must be confirmed")

            self._leave_workspace(row["id"])
            del organization.workspaces[row["id"]]
            return {"deleted": True}

        item = f"{path}/{{id}}"
        return [
            route("GET", path, show),
            route("POST", path, create, status=201),
            route("GET", item, get),
            route("PATCH", item, update),
            route("DELETE", item, delete),
        ]

    def _budget_routes(self, path: str) -> list[Route]:
        route, organization = self._api.route, self._organization

        def show(_: object, __: Key, params: Mapping[str, str]) -> dict[str, Any]:
            workspace = organization.workspace(params["id"])
            rows = list(organization.workspace_budgets(workspace["id"]).values())
            included = workspace["include_byok_in_budgets"]
            return {"data": rows, "include_byok_in_budgets": included}

        def put(received: ReceivedRequest, _: Key, params: Mapping[str, str]) -> dict[str, Any]:
            workspace = organization.workspace(params["id"])
            row = organization.set_budget(workspace, _interval(params), received.body)
            return {"data": row}

        def delete(_: object, __: Key, params: Mapping[str, str]) -> dict[str, Any]:
            workspace = organization.workspace(params["id"])
            organization.workspace_budgets(workspace["id"]).pop(_interval(params), None)
            return {"deleted": True}

        return [
            route("GET", path, show),
            route("PUT", f"{path}/{{interval}}", put),
            route("DELETE", f"{path}/{{interval}}", delete),
        ]

    def _leave_workspace(self, workspace_id: str) -> None:
        """Disable the keys of the default workspace; another must have none.

        Raises:
            ApiRefusal: It has.
        """
        for key in self._accounts.keys.values():
            if key.workspace_id != workspace_id or key.is_management:
                continue
            if workspace_id != DEFAULT_WORKSPACE:
                raise ApiRefusal(400, "The workspace has API keys")
            key.disabled = True

    # --- providers' keys ------------------------------------------------------------------

    def _credential_routes(self, path: str) -> list[Route]:
        route, organization = self._api.route, self._organization

        def show(received: ReceivedRequest, _: Key, __: object) -> dict[str, Any]:
            query = received.query
            workspace_id = query.get("workspace_id", DEFAULT_WORKSPACE)
            rows = [
                row
                for row in organization.credentials.values()
                if row["workspace_id"] in {None, workspace_id}
                and query.get("provider", row["provider"]) == row["provider"]
            ]

            return {"data": page_of(rows, query), "total_count": len(rows)}

        def create(received: ReceivedRequest, _: Key, __: object) -> dict[str, Any]:
            workspace_id = received.body.get("workspace_id", DEFAULT_WORKSPACE)
            organization.workspace(workspace_id, status=400)
            return {"data": organization.add_credential(received.body)}

        def get(_: object, __: Key, params: Mapping[str, str]) -> dict[str, Any]:
            return {"data": self._credential(params["id"])}

        def update(received: ReceivedRequest, _: Key, params: Mapping[str, str]) -> dict[str, Any]:
            row = self._credential(params["id"])
            body = dict(received.body)
            secret = body.pop("key", None)
            row.update(_changes(body, row) if body or secret is None else {})
            if secret is not None:
                row["label"] = masked(secret)
            return {"data": row}

        def delete(_: object, __: Key, params: Mapping[str, str]) -> dict[str, Any]:
            del organization.credentials[self._credential(params["id"])["id"]]
            return {"deleted": True}

        item = f"{path}/{{id}}"
        return [
            route("GET", path, show),
            route("POST", path, create, status=201),
            route("GET", item, get),
            route("PATCH", item, update),
            route("DELETE", item, delete),
        ]

    def _credential(self, id_: str) -> dict[str, Any]:
        if id_ not in self._organization.credentials:
            raise ApiRefusal(404, "BYOK credential not found")
        return self._organization.credentials[id_]


def _changes(body: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an update changes.

    Raises:
        ApiRefusal: Nothing.
    """
    changes = {name: value for name, value in body.items() if name in row and name != "id"}
    if not changes:
        raise ApiRefusal(400, "No update fields provided")
    return changes


def _interval(params: Mapping[str, str]) -> str:
    """Return the interval that a path names.

    Raises:
        ApiRefusal: There is no such interval.
    """
    if params["interval"] not in {*PERIODS, "lifetime"}:
        raise ApiRefusal(400, "interval: Invalid option")
    return params["interval"]
