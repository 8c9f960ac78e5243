"""The fields that may be sent for a key, a guardrail, a workspace or a provider's credential.

Names and meanings are those of the API. A field that is not passed is not sent; None clears it
where the API takes null. See https://openrouter.ai/docs/api/api-reference/api-keys/create-a-new-api-key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pydantic import SecretStr

    from langchain_openrouter.oauth import UserKey

__all__ = [
    "ByokChanges",
    "ByokFields",
    "GuardrailChanges",
    "GuardrailFields",
    "KeyChanges",
    "KeyFields",
    "Reset",
    "WorkspaceChanges",
    "WorkspaceFields",
]

Reset: TypeAlias = Literal["daily", "weekly", "monthly"]
"""At midnight UTC; weeks begin on Monday."""


class KeyChanges(TypedDict, total=False):
    """What may be changed of a key."""

    name: str
    disabled: bool
    """Requests with a disabled key are refused at once."""
    limit: float | None
    """USD; None is no limit."""
    limit_reset: Reset | None
    """None never resets the limit."""
    include_byok_in_limit: bool
    """Whether what is spent with a provider's key of one's own counts too."""
    workspace_id: str
    """Moves the key; guardrails that are assigned to it go along."""


class KeyFields(TypedDict, total=False):
    """What a new key may have beside its name."""

    limit: float | None
    """USD; None is no limit."""
    limit_reset: Reset | None
    """None never resets the limit."""
    expires_at: datetime | str | None
    """A moment with an offset; sent in UTC, in whole seconds."""
    include_byok_in_limit: bool
    """Whether what is spent with a provider's key of one's own counts too."""
    workspace_id: str
    """None is the account's default workspace."""
    creator_user_id: str | None
    """In an organization: the member who makes the key."""
    external_user: str
    """The app's own id of the user that the key is for: 1 to 512 characters."""
    external_api_key: UserKey | SecretStr | str
    """A key of the app's own making, of 32 characters or more; needs `external_user`."""


class Restrictions(TypedDict, total=False):
    """What a guardrail may restrict; a field that is not set restricts nothing."""

    description: str | None
    limit_usd: float | None
    """For each key, and each member, that it is assigned to; needs `reset_interval`."""
    reset_interval: Reset | None
    include_byok_in_budgets: bool
    allowed_models: Sequence[str] | None
    """Slugs. Several guardrails of one key allow what all of them allow."""
    ignored_models: Sequence[str] | None
    allowed_providers: Sequence[str] | None
    """Slugs of providers."""
    ignored_providers: Sequence[str] | None
    allowed_data_regions: Sequence[str] | None
    """"global", "europe", "us": the hosts that requests may come through."""
    enforce_zdr: bool | None
    """Zero data retention, for all models; deprecated in favor of the fields below."""
    enforce_zdr_anthropic: bool | None
    enforce_zdr_google: bool | None
    enforce_zdr_openai: bool | None
    enforce_zdr_xai: bool | None
    enforce_zdr_other: bool | None
    allow_safety_retention_google: bool | None
    allow_safety_retention_other: bool | None
    enable_free_model_publication: bool | None
    enable_free_model_training: bool | None
    enable_paid_model_training: bool | None
    content_filters: Sequence[Mapping[str, Any]] | None
    """`{"action": "block" or "redact", "pattern": a regular expression, "label": ...}`."""
    content_filter_builtins: Sequence[Mapping[str, Any]] | None


class GuardrailFields(Restrictions, total=False):
    """What a new guardrail may have beside its name."""

    workspace_id: str
    """None is the account's default workspace."""


class GuardrailChanges(Restrictions, total=False):
    """What may be changed of a guardrail."""

    name: str


class WorkspaceFields(TypedDict, total=False):
    """What a new workspace may have beside its name and slug."""

    description: str | None
    default_text_model: str | None
    default_image_model: str | None
    default_provider_sort: str | None
    disabled_server_tools: Sequence[str] | None
    io_logging_api_key_ids: Sequence[int] | None
    io_logging_sampling_rate: float
    is_data_discount_logging_enabled: bool
    is_observability_broadcast_enabled: bool
    is_observability_io_logging_enabled: bool


class WorkspaceChanges(WorkspaceFields, total=False):
    """What may be changed of a workspace."""

    name: str
    slug: str
    """Lower case, words joined by single hyphens."""


class CredentialOptions(TypedDict, total=False):
    """What a provider's credential may have."""

    name: str | None
    allowed_api_key_hashes: Sequence[str] | None
    """OpenRouter keys that may use it, by hash; None is all."""
    allowed_models: Sequence[str] | None
    allowed_user_ids: Sequence[str] | None
    declared_region: str | None
    declared_zdr: bool | None
    disabled: bool
    is_byok_only: bool
    is_fallback: bool
    is_required: bool


class ByokFields(CredentialOptions, total=False):
    """What a new credential may have beside its key."""

    workspace_id: str
    """None is the account's default workspace."""


class ByokChanges(CredentialOptions, total=False):
    """What may be changed of a credential."""

    key: SecretStr | str
    """The provider's own key, which replaces the old one. The service never returns it."""
