"""Guardrails and their assignments, workspaces, and credentials of providers.

Fields have the names of the API. Those of the wrong type read as absent; `data` of each value holds
all fields as sent. Amounts are USD, moments are in UTC; None means unknown, or none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from langchain_openrouter._json import get_int, get_number, get_str
from langchain_openrouter.accounts._key_types import SHORT_HASH
from langchain_openrouter.accounts._parsing import (
    get_flag,
    get_moment,
    get_strings,
    read_all,
    to_amount,
)
from langchain_openrouter.accounts._rows import row_html

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["ByokKey", "Guardrail", "KeyAssignment", "Workspace", "WorkspaceBudget"]


@dataclass(frozen=True, slots=True)
class Guardrail:
    """Restrictions for the keys that it is assigned to.

    `data` has the rest of its fields, such as `enforce_zdr_anthropic` and `content_filters`.
    See https://openrouter.ai/docs/guides/features/guardrails.
    """

    id: str
    name: str | None = None
    description: str | None = None
    limit_usd: float | None = None
    """What each key may spend in an interval."""
    reset_interval: str | None = None
    """"daily", "weekly" or "monthly"."""
    include_byok_in_budgets: bool = False
    allowed_models: tuple[str, ...] | None = None
    """Canonical slugs; None allows all."""
    ignored_models: tuple[str, ...] | None = None
    allowed_providers: tuple[str, ...] | None = None
    ignored_providers: tuple[str, ...] | None = None
    allowed_data_regions: tuple[str, ...] | None = None
    workspace_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert a row of `GET /guardrails`."""
        texts = ("name", "description", "reset_interval", "workspace_id")
        lists = ("allowed_models", "ignored_models", "allowed_providers", "ignored_providers")

        return cls(
            id=get_str(row, "id") or "",
            limit_usd=get_number(row, "limit_usd"),
            include_byok_in_budgets=get_flag(row, "include_byok_in_budgets"),
            created_at=get_moment(row, "created_at"),
            updated_at=get_moment(row, "updated_at"),
            **read_all(row, get_str, *texts),
            **read_all(row, get_strings, *lists, "allowed_data_regions"),
            data=row,
        )

    @property
    def identity(self) -> str:
        """The id."""
        return self.id

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""
        return {
            "name": self.name,
            "id": self.id,
            "limit": to_amount(self.limit_usd),
            "resets": self.reset_interval,
            "models": self.allowed_models,
            "not models": self.ignored_models,
            "providers": self.allowed_providers,
            "not providers": self.ignored_providers,
        }

    def _repr_html_(self) -> str:
        return row_html(self)


@dataclass(frozen=True, slots=True)
class KeyAssignment:
    """A guardrail that is assigned to a key."""

    id: str
    guardrail_id: str | None = None
    key_hash: str | None = None
    key_name: str | None = None
    key_label: str | None = None
    assigned_by: str | None = None
    created_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert a row of `GET /guardrails/{id}/assignments/keys`."""
        texts = ("guardrail_id", "key_hash", "key_name", "key_label", "assigned_by")

        return cls(
            id=get_str(row, "id") or "",
            created_at=get_moment(row, "created_at"),
            **read_all(row, get_str, *texts),
            data=row,
        )

    @property
    def identity(self) -> str:
        """The id."""
        return self.id

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""
        return {
            "guardrail": self.guardrail_id,
            "key": self.key_name,
            "hash": (self.key_hash or "")[:SHORT_HASH],
            "since": self.created_at,
        }

    def _repr_html_(self) -> str:
        return row_html(self)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A part of the account with keys, guardrails and settings of its own.

    `data` has the rest of its fields. See https://openrouter.ai/docs/guides/features/workspaces.
    """

    id: str
    name: str | None = None
    slug: str | None = None
    description: str | None = None
    default_guardrail_id: str | None = None
    """The guardrail of all requests of the workspace; it exists once it is first updated."""
    default_text_model: str | None = None
    default_image_model: str | None = None
    default_provider_sort: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert a row of `GET /workspaces`."""
        texts = (
            *("name", "slug", "description", "default_guardrail_id", "created_by"),
            *("default_text_model", "default_image_model", "default_provider_sort"),
        )

        return cls(
            id=get_str(row, "id") or "",
            created_at=get_moment(row, "created_at"),
            updated_at=get_moment(row, "updated_at"),
            **read_all(row, get_str, *texts),
            data=row,
        )

    @property
    def identity(self) -> str:
        """The id."""
        return self.id

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""
        return {
            "name": self.name,
            "slug": self.slug,
            "id": self.id,
            "description": self.description,
            "created": self.created_at,
        }

    def _repr_html_(self) -> str:
        return row_html(self)


@dataclass(frozen=True, slots=True)
class WorkspaceBudget:
    """What the keys of a workspace may spend together in an interval.

    See https://openrouter.ai/docs/guides/features/workspaces/workspace-budgets.
    """

    id: str
    limit_usd: float | None = None
    reset_interval: str | None = None
    """"daily", "weekly" or "monthly"; None never resets."""
    workspace_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert a row of `GET /workspaces/{id}/budgets`."""
        return cls(
            id=get_str(row, "id") or "",
            limit_usd=get_number(row, "limit_usd"),
            **read_all(row, get_str, "reset_interval", "workspace_id"),
            **read_all(row, get_moment, "created_at", "updated_at"),
            data=row,
        )

    @property
    def identity(self) -> str:
        """The id."""
        return self.id

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""
        return {
            "limit": to_amount(self.limit_usd),
            "resets": self.reset_interval or "never",
            "workspace": self.workspace_id,
            "changed": self.updated_at,
        }

    def _repr_html_(self) -> str:
        return row_html(self)


@dataclass(frozen=True, slots=True)
class ByokKey:
    """A provider's key of one's own, as the account knows it; the key itself is never returned.

    See https://openrouter.ai/docs/guides/overview/auth/byok.
    """

    id: str
    provider: str | None = None
    name: str | None = None
    label: str | None = None
    """The service's masked form of the key."""
    disabled: bool = False
    is_byok_only: bool = False
    is_fallback: bool = False
    is_required: bool = False
    sort_order: int | None = None
    """Credentials of a provider are tried in this order."""
    allowed_models: tuple[str, ...] | None = None
    """None allows all."""
    allowed_api_key_hashes: tuple[str, ...] | None = None
    allowed_user_ids: tuple[str, ...] | None = None
    declared_region: str | None = None
    declared_zdr: bool | None = None
    workspace_id: str | None = None
    created_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, row: Mapping[str, Any]) -> Self:
        """Convert a row of `GET /byok`."""
        texts = ("provider", "name", "label", "declared_region", "workspace_id")
        lists = ("allowed_models", "allowed_api_key_hashes", "allowed_user_ids")
        flags = ("disabled", "is_byok_only", "is_fallback", "is_required")
        zdr = row.get("declared_zdr")

        return cls(
            id=get_str(row, "id") or "",
            sort_order=get_int(row, "sort_order"),
            declared_zdr=zdr if isinstance(zdr, bool) else None,
            created_at=get_moment(row, "created_at"),
            **read_all(row, get_str, *texts),
            **read_all(row, get_strings, *lists),
            **read_all(row, get_flag, *flags),
            data=row,
        )

    @property
    def identity(self) -> str:
        """The id."""
        return self.id

    def cells(self) -> dict[str, Any]:
        """Return what a table shows, by heading."""
        return {
            "provider": self.provider,
            "name": self.name,
            "label": self.label,
            "id": self.id,
            "disabled": self.disabled,
            "models": self.allowed_models,
        }

    def _repr_html_(self) -> str:
        return row_html(self)
