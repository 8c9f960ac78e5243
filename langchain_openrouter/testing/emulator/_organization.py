"""The emulator's account: users of the app's, workspaces, providers' keys, activity; no HTTP."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_int, get_number, get_str
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._guardrails import Guardrails, default_guardrail_id
from langchain_openrouter.testing.emulator._keys import DEFAULT_WORKSPACE, budget, iso, next_reset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_openrouter.testing.emulator._accounts import Accounts
    from langchain_openrouter.testing.emulator._clock import Clock
    from langchain_openrouter.testing.emulator._keys import Key
    from langchain_openrouter.testing.emulator._routing import Route

__all__ = ["Organization"]

_DAYS_OF_ACTIVITY = 30
_COUNTS = ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")


@dataclass
class _Use:
    """What one request used."""

    date: str
    route: Route
    key_hash: str
    user_id: str
    workspace_id: str
    usage: float
    byok_usage: float
    tokens: dict[str, int] = field(default_factory=dict)


class Organization:
    """What the management API is about, beside keys.

    Attributes:
        guardrails: Restrictions of keys.
        total_credits: What the account has bought, USD; it may be assigned.
    """

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self.guardrails = Guardrails(clock.time)
        self.external_users: dict[str, dict[str, Any]] = {}
        self.workspaces: dict[str, dict[str, Any]] = {}
        self.credentials: dict[str, dict[str, Any]] = {}
        self.total_credits = 100.0

        self._accounts, self._clock = accounts, clock
        self._uses: list[_Use] = []
        self._workspace_budgets: dict[str, dict[str, dict[str, Any]]] = {}
        accounts.guardrail_budgets = self.budgets
        self.add_workspace({"name": "Default", "slug": "default"}, id_=DEFAULT_WORKSPACE)

    # --- users ----------------------------------------------------------------------------

    def register(self, user: Any) -> dict[str, Any]:
        """Register a user of the app's.

        Raises:
            ApiRefusal: The id is not valid, or is registered.
        """
        valid = isinstance(user, str) and 1 <= len(user) <= 512 and user == user.strip()  # noqa: PLR2004 - documented
        if not valid or "\0" in user:
            raise ApiRefusal(400, "user: Invalid input: expected 1 to 512 characters")
        if user in self.external_users:
            raise ApiRefusal(409, "External user is already registered")

        now = iso(self._clock.time())
        row = {"user": user, "is_active": True, "created_at": now, "updated_at": now}
        self.external_users[user] = row
        return row

    def user(self, user: str) -> dict[str, Any]:
        """Return a registered user.

        Raises:
            ApiRefusal: There is none.
        """
        if user not in self.external_users:
            raise ApiRefusal(404, "External user not found")
        return self.external_users[user]

    def set_active(self, user: str, is_active: Any) -> dict[str, Any]:
        """Change whether a user is active; the user's keys work all the same.

        Raises:
            ApiRefusal: There is no such user, or it is no boolean.
        """
        row = self.user(user)
        if not isinstance(is_active, bool):
            raise ApiRefusal(400, "is_active: Invalid input: expected boolean")
        row.update(is_active=is_active, updated_at=iso(self._clock.time()))
        return row

    # --- workspaces -----------------------------------------------------------------------

    def add_workspace(self, fields: Mapping[str, Any], id_: str | None = None) -> dict[str, Any]:
        """Add a workspace.

        Raises:
            ApiRefusal: Name or slug is missing, or the slug is taken.
        """
        for name in ("name", "slug"):
            if not get_str(fields, name):
                message = f"{name}: Invalid input: expected string, received undefined"
                raise ApiRefusal(400, message)
        if any(row["slug"] == fields["slug"] for row in self.workspaces.values()):
            raise ApiRefusal(400, "A workspace with this slug already exists")

        id_ = id_ or str(uuid.uuid4())
        row = {
            "id": id_,
            "created_by": "user_emulated",
            "default_guardrail_id": default_guardrail_id(id_),
            **dict.fromkeys(("description", "default_text_model", "default_image_model")),
            "default_provider_sort": None,
            "disabled_server_tools": None,
            "io_logging_api_key_ids": None,
            "io_logging_sampling_rate": 1,
            "is_data_discount_logging_enabled": False,
            "is_observability_broadcast_enabled": False,
            "is_observability_io_logging_enabled": False,
            "include_byok_in_budgets": False,
            **fields,
            "created_at": iso(self._clock.time()),
            "updated_at": None,
        }
        self.workspaces[id_] = row
        return row

    def workspace(self, id_or_slug: str, *, status: int = 404) -> dict[str, Any]:
        """Return a workspace.

        Args:
            id_or_slug: Either.
            status: That of the refusal.

        Raises:
            ApiRefusal: There is none.
        """
        for row in self.workspaces.values():
            if id_or_slug in {row["id"], row["slug"]}:
                return row
        raise ApiRefusal(status, "Workspace not found")

    def workspace_budgets(self, workspace_id: str) -> dict[str, dict[str, Any]]:
        """Return the budgets of a workspace, by interval; it may be changed."""
        return self._workspace_budgets.setdefault(workspace_id, {})

    def set_budget(self, workspace: dict[str, Any], interval: str, body: Any) -> dict[str, Any]:
        """Set a budget of a workspace.

        Raises:
            ApiRefusal: It is no amount.
        """
        limit = get_number(body, "limit_usd")
        if limit is None or limit <= 0:
            raise ApiRefusal(400, "limit_usd: Too small: expected number to be >0")
        if isinstance(body.get("include_byok_in_budgets"), bool):
            workspace["include_byok_in_budgets"] = body["include_byok_in_budgets"]

        now = iso(self._clock.time())
        row = {
            "id": str(uuid.uuid4()),
            "workspace_id": workspace["id"],
            "reset_interval": None if interval == "lifetime" else interval,
            "created_at": now,
            **self.workspace_budgets(workspace["id"]).get(interval, {}),
            "limit_usd": limit,
            "updated_at": now,
        }
        self.workspace_budgets(workspace["id"])[interval] = row
        return row

    def budgets(self, key: Key) -> list[dict[str, Any]]:
        """Return what guardrails and its workspace let a key spend, in the shape of `GET /key`."""
        workspace = self.workspaces.get(key.workspace_id or "", {})
        with_byok = workspace.get("include_byok_in_budgets", False)
        colleagues = [
            other
            for other in list(self._accounts.keys.values())
            if other.workspace_id == key.workspace_id and other.user_id == key.user_id
        ]

        budgets = self.guardrails.budgets(key)
        for row in self.workspace_budgets(key.workspace_id or "").values():
            interval = row["reset_interval"]
            spent = sum(other.spent(interval, with_byok=with_byok) for other in colleagues)
            budgets.append(
                {
                    **budget("workspace", row["limit_usd"], spent, interval),
                    "resets_at": next_reset(interval, key.clock()),
                    "include_byok": with_byok,
                    "budget_id": row["id"],
                }
            )
        return budgets

    # --- providers' keys ------------------------------------------------------------------

    def add_credential(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Store a provider's key.

        Raises:
            ApiRefusal: Provider or key is missing, or flags contradict each other.
        """
        for name in ("provider", "key"):
            if not get_str(fields, name):
                message = f"{name}: Invalid input: expected string, received undefined"
                raise ApiRefusal(400, message)
        if fields.get("is_fallback") and fields.get("is_byok_only"):
            raise ApiRefusal(400, "is_fallback cannot be combined with is_byok_only")

        row = {
            "id": str(uuid.uuid4()),
            "name": None,
            "workspace_id": DEFAULT_WORKSPACE,
            **dict.fromkeys(("allowed_api_key_hashes", "allowed_models", "allowed_user_ids")),
            **dict.fromkeys(("declared_region", "declared_zdr")),
            **dict.fromkeys(("disabled", "is_byok_only", "is_fallback", "is_required"), False),
            **{name: value for name, value in fields.items() if name != "key"},
            "label": masked(fields["key"]),
            "sort_order": len(self.credentials),
            "created_at": iso(self._clock.time()),
        }
        self.credentials[row["id"]] = row
        return row

    def is_byok(self, key: Key, route: Route) -> bool:
        """Tell whether a request is sent with the provider's key of one's own."""
        provider = str(route.endpoint["tag"]).partition("/")[0]

        return any(
            row["provider"] == provider
            and not row["disabled"]
            and row["workspace_id"] in {None, key.workspace_id}
            and (row["allowed_models"] is None or route.model in row["allowed_models"])
            and (row["allowed_api_key_hashes"] is None or key.hash in row["allowed_api_key_hashes"])
            for row in self.credentials.values()
        )

    # --- what was used --------------------------------------------------------------------

    def record(self, key: Key, route: Route, usage: Mapping[str, Any]) -> None:
        """Keep what a request used, and charge its key.

        Args:
            key: The request's.
            route: Where it was served.
            usage: The response's.
        """
        cost, byok_cost = get_number(usage, "cost") or 0.0, 0.0
        if usage.get("is_byok"):
            byok_cost = (
                get_number(get_dict(usage, "cost_details"), "upstream_inference_cost") or 0.0
            )
        self._accounts.charge(key, cost, byok_cost)

        prompt, completion = (
            get_dict(usage, f"{name}_tokens_details") or {} for name in ("prompt", "completion")
        )
        tokens = {
            "prompt_tokens": get_int(usage, "prompt_tokens") or 0,
            "completion_tokens": get_int(usage, "completion_tokens") or 0,
            "reasoning_tokens": get_int(completion, "reasoning_tokens") or 0,
            "cached_tokens": get_int(prompt, "cached_tokens") or 0,
        }
        workspace_id = key.workspace_id or DEFAULT_WORKSPACE
        date = self._clock.now().date().isoformat()
        self._uses.append(
            _Use(date, route, key.hash, key.user_id, workspace_id, cost, byok_cost, tokens)
        )

    def activity(self, query: Mapping[str, str], account: str) -> list[dict[str, Any]]:
        """Return the rows of `GET /activity`: the last 30 complete UTC days, by endpoint.

        Args:
            query: The request's.
            account: The user id of the account's keys.
        """
        today = self._clock.now().date()
        first = (today - timedelta(days=_DAYS_OF_ACTIVITY)).isoformat()
        by_workspace = query.get("group_by") == "workspace"
        groups: dict[tuple[str, ...], list[_Use]] = defaultdict(list)

        for use in self._uses:
            if use.user_id != account or not first <= use.date < today.isoformat():
                continue
            sieve = {
                "date": use.date,
                "api_key_hash": use.key_hash,
                "user_id": use.user_id,
                "workspace_id": use.workspace_id,
            }
            if all(query.get(name, value) == value for name, value in sieve.items()):
                endpoint = (use.date, use.route.model, use.route.provider)
                groups[(*endpoint, use.workspace_id if by_workspace else "")].append(use)

        return [_activity_row(group, by_workspace=by_workspace) for group in groups.values()]


def _activity_row(uses: list[_Use], *, by_workspace: bool) -> dict[str, Any]:
    first = uses[0]
    route = first.route
    row = {
        "date": first.date,
        "model": route.model,
        "model_permaslug": route.model,
        "endpoint_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{route.provider} {route.model}")),
        "provider_name": route.provider,
        "requests": len(uses),
        "usage": round(sum(use.usage for use in uses), 10),
        "byok_usage_inference": round(sum(use.byok_usage for use in uses), 10),
        **{name: sum(use.tokens[name] for use in uses) for name in _COUNTS},
    }

    return {**row, "workspace_id": first.workspace_id} if by_workspace else row


def masked(secret: str) -> str:
    """Return the form of a key that the service shows."""
    prefix = "sk-or-v1-" if secret.startswith("sk-or-v1-") else ""
    rest = secret.removeprefix(prefix)
    return f"{prefix}{rest[:3]}...{rest[-3:]}"
