"""The emulator's guardrails: what they restrict, the keys that they are assigned to; no HTTP."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dicts, get_list, get_str
from langchain_openrouter.testing.emulator import _catalog
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._keys import budget, iso, next_reset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_openrouter.testing.emulator._keys import Key

__all__ = ["Guardrails", "Restrictions", "default_guardrail_id"]

_LISTS = (
    *("allowed_models", "ignored_models", "allowed_providers", "ignored_providers"),
    *("allowed_data_regions", "content_filters", "content_filter_builtins"),
)
_ZDR = tuple(f"enforce_zdr_{scope}" for scope in ("anthropic", "google", "openai", "xai", "other"))
_OTHERS = (
    *("description", "limit_usd", "reset_interval", "enforce_zdr", *_ZDR),
    *("allow_safety_retention_google", "allow_safety_retention_other"),
    *("enable_free_model_publication", "enable_free_model_training", "enable_paid_model_training"),
)
FIELDS = {"name", "include_byok_in_budgets", *_LISTS, *_OTHERS}
_BLOCKED_MODEL = "{} is not allowed by the guardrails of this API key"


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What the guardrails of a key leave: sets of slugs; None leaves all."""

    allowed_models: frozenset[str] | None = None
    ignored_models: frozenset[str] = frozenset()
    allowed_providers: frozenset[str] | None = None
    ignored_providers: frozenset[str] = frozenset()

    def check_model(self, model: str) -> None:
        """Check a model.

        Args:
            model: Its slug, without alias and variant.

        Raises:
            ApiRefusal: It is not allowed.
        """
        allowed = self.allowed_models
        if model in self.ignored_models or (allowed is not None and model not in allowed):
            raise ApiRefusal(403, _BLOCKED_MODEL.format(model))


@dataclass
class _Assignment:
    guardrail_id: str
    key_hash: str
    created_at: float
    assigned_by: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Guardrails:
    """Guardrails and their assignments.

    Args:
        clock: Returns Unix time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        """By id, as the API shows them."""
        self.assignments: dict[str, _Assignment] = {}
        """By hash of the key, which has at most one."""
        self._clock = clock

    def create(
        self, fields: Mapping[str, Any], workspace_id: str, id_: str | None = None
    ) -> dict[str, Any]:
        """Create a guardrail.

        Args:
            fields: The request's.
            workspace_id: Where.
            id_: None makes one.

        Raises:
            ApiRefusal: A field is not valid.
        """
        if not get_str(fields, "name"):
            raise ApiRefusal(400, "name: Invalid input: expected string, received undefined")
        _check_fields(fields)
        if ("limit_usd" in fields) != ("reset_interval" in fields):
            raise ApiRefusal(400, "limit_usd and reset_interval must be provided together")

        row: dict[str, Any] = {
            "id": id_ or str(uuid.uuid4()),
            "workspace_id": workspace_id,
            "include_byok_in_budgets": False,
            **dict.fromkeys((*_OTHERS, *_LISTS)),
            **{name: value for name, value in fields.items() if name in FIELDS},
            "created_at": iso(self._clock()),
            "updated_at": None,
        }
        self.rows[row["id"]] = row
        return row

    def update(self, id_: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Change a guardrail.

        Raises:
            ApiRefusal: There is none, or a field is not valid.
        """
        row = self.get(id_)
        changes = {name: value for name, value in fields.items() if name in FIELDS}
        if not changes:
            raise ApiRefusal(400, "No update fields provided")
        _check_fields(changes)

        merged = {**row, **changes}
        if (merged["limit_usd"] is None) != (merged["reset_interval"] is None):
            raise ApiRefusal(400, "limit_usd and reset_interval must be provided together")
        row.update(changes, updated_at=iso(self._clock()))
        return row

    def get(self, id_: str) -> dict[str, Any]:
        """Return a guardrail.

        Raises:
            ApiRefusal: There is none.
        """
        if id_ not in self.rows:
            raise ApiRefusal(404, "Guardrail not found")
        return self.rows[id_]

    def delete(self, id_: str) -> None:
        """Delete a guardrail and its assignments.

        Raises:
            ApiRefusal: There is none.
        """
        self.get(id_)
        del self.rows[id_]
        for hash_, assignment in list(self.assignments.items()):
            if assignment.guardrail_id == id_:
                del self.assignments[hash_]

    def assign(self, id_: str, hashes: list[str], by: str) -> int:
        """Assign a guardrail to keys, in place of the one that they have.

        Returns:
            To how many keys that did not have it.
        """
        self.get(id_)
        count = 0

        for hash_ in hashes:
            present = self.assignments.get(hash_)
            if present is None or present.guardrail_id != id_:
                self.assignments[hash_] = _Assignment(id_, hash_, self._clock(), by)
                count += 1
        return count

    def remove(self, id_: str, hashes: list[str]) -> int:
        """Take a guardrail from keys; return from how many."""
        self.get(id_)
        count = 0

        for hash_ in hashes:
            present = self.assignments.get(hash_)
            if present is not None and present.guardrail_id == id_:
                del self.assignments[hash_]
                count += 1
        return count

    # --- requests for inference -----------------------------------------------------------

    def of_key(self, key: Key) -> list[dict[str, Any]]:
        """Return the guardrails of a key: the one that it was assigned, and its workspace's."""
        assignment = self.assignments.get(key.hash)
        ids = [
            *([assignment.guardrail_id] if assignment else []),
            default_guardrail_id(key.workspace_id or ""),
        ]
        return [self.rows[id_] for id_ in ids if id_ in self.rows]

    def budgets(self, key: Key) -> list[dict[str, Any]]:
        """Return what guardrails let a key spend, in the shape of `GET /key`."""
        budgets = []

        for row in self.of_key(key):
            if row["limit_usd"] is None:
                continue
            interval, with_byok = row["reset_interval"], row["include_byok_in_budgets"]
            is_default = row["id"] == default_guardrail_id(key.workspace_id or "")
            scope = "workspace_default_key" if is_default else "api_key"
            spent = key.spent(interval, with_byok=with_byok)
            budgets.append(
                {
                    **budget(scope, row["limit_usd"], spent, interval),
                    "resets_at": next_reset(interval, key.clock()),
                    "include_byok": with_byok,
                    "budget_id": None,
                    "guardrail_id": row["id"],
                }
            )
        return budgets

    def restrictions(self, key: Key) -> Restrictions:
        """Return what all guardrails of a key together leave."""
        rows = self.of_key(key)
        return Restrictions(
            _intersection(rows, "allowed_models", _base_slug),
            _union(rows, "ignored_models", _base_slug),
            _intersection(rows, "allowed_providers", str.lower),
            _union(rows, "ignored_providers", str.lower),
        )

    def check_request(self, key: Key, body: Mapping[str, Any]) -> None:
        """Check what a request is about, and where it came in.

        Raises:
            ApiRefusal: A content filter blocks it, or its data must stay in another region.
        """
        for row in self.of_key(key):
            regions = get_list(row, "allowed_data_regions")
            if regions is not None and "global" not in regions:
                raise ApiRefusal(
                    403,
                    "This API key must be used in region: " + ", ".join(map(str, regions)),
                    metadata={"error_type": "region_restricted"},
                )

            text = "\n".join(_texts(body))
            for entry in get_dicts(row, "content_filters"):
                pattern = get_str(entry, "pattern") or ""
                if entry.get("action") == "block" and (match := re.search(pattern, text)):
                    message = "Request blocked: content filter matched"
                    raise ApiRefusal(403, message, metadata={"patterns": [match[0]]})


def default_guardrail_id(workspace_id: str) -> str:
    """Return the id of a workspace's default guardrail, which exists once it is updated."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"guardrail of {workspace_id}"))


def _check_fields(fields: Mapping[str, Any]) -> None:
    """Check the types of a guardrail's fields.

    Raises:
        ApiRefusal: One is wrong.
    """
    for name in _LISTS:
        if fields.get(name) is not None and not isinstance(fields[name], list):
            raise ApiRefusal(400, f"{name}: Invalid input: expected array")
    if fields.get("reset_interval") not in {None, "daily", "weekly", "monthly"}:
        raise ApiRefusal(400, "reset_interval: Invalid option")
    limit = fields.get("limit_usd")
    if limit is not None and not (isinstance(limit, int | float) and limit > 0):
        raise ApiRefusal(400, "limit_usd: Too small: expected number to be >0")

    for entry in get_dicts(fields, "content_filters"):
        try:
            re.compile(str(entry.get("pattern")))
        except re.error:
            message = "content_filters: invalid_regex_pattern"
            raise ApiRefusal(400, message) from None


def _intersection(
    rows: list[dict[str, Any]], name: str, normalize: Callable[[str], str]
) -> frozenset[str] | None:
    lists = [row[name] for row in rows if row[name]]  # an empty list restricts nothing
    if not lists:
        return None
    return frozenset.intersection(*(frozenset(map(normalize, values)) for values in lists))


def _union(
    rows: list[dict[str, Any]], name: str, normalize: Callable[[str], str]
) -> frozenset[str]:
    return frozenset(normalize(value) for row in rows for value in row[name] or ())


def _base_slug(slug: str) -> str:
    return _catalog.base_slug(slug) or slug


def _texts(body: Mapping[str, Any]) -> list[str]:
    """Return the texts of the user's messages."""
    texts = []
    for message in get_dicts(body, "messages"):
        if message.get("role") == "user":
            content = message.get("content")
            parts = content if isinstance(content, list) else [{"text": content}]
            texts += [str(part.get("text") or "") for part in parts if isinstance(part, dict)]
    return texts
