"""Which model and provider serve a chat request, and what the models refuse.

See https://openrouter.ai/docs/features/provider-routing and
https://openrouter.ai/docs/features/model-routing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str
from langchain_openrouter.testing.emulator import _catalog
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._guardrails import Restrictions
from langchain_openrouter.testing.emulator._prompt_cache import count_marks

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Route", "choose_route"]

_DEFAULT_MODEL = "openai/gpt-4o-mini"
_NO_ENDPOINTS = (
    "No endpoints available matching your guardrail restrictions and data policy. Configure: "
    "https://openrouter.ai/settings/privacy"
)
_MAX_MARKS = 4  # Anthropic's own limit of cache breakpoints
_SORT_OF_VARIANT = {"nitro": "throughput", "floor": "price"}


@dataclass(frozen=True, slots=True)
class Route:
    """The model that serves a request, at a provider."""

    model: str
    """Its slug, without alias and variant."""
    endpoint: Mapping[str, Any] = field(repr=False)
    """As in `GET /models/{author}/{slug}/endpoints`."""

    @property
    def provider(self) -> str:
        """The provider's display name."""
        return str(self.endpoint["provider_name"])


_UNRESTRICTED = Restrictions()


def choose_route(body: Mapping[str, Any], restrictions: Restrictions = _UNRESTRICTED) -> Route:
    """Return the first of a request's models that takes it, at the provider it prefers.

    Args:
        body: The request's.
        restrictions: What the guardrails of its key leave.

    Raises:
        ApiRefusal: No model takes it: the refusal of the last.
    """
    slugs = [slug for slug in (body.get("model"), *(get_list(body, "models") or ())) if slug]
    refusal: ApiRefusal | None = None
    for slug in slugs or [_DEFAULT_MODEL]:
        try:
            return _route_of(str(slug), body, restrictions)
        except ApiRefusal as error:
            refusal = error

    assert refusal is not None  # noqa: S101 - there is a slug
    raise refusal


def _route_of(slug: str, body: Mapping[str, Any], restrictions: Restrictions) -> Route:
    model = _catalog.base_slug(slug) or _DEFAULT_MODEL
    restrictions.check_model(model)
    endpoint = _choose_endpoint(slug, model, get_dict(body, "provider") or {}, restrictions)
    _refuse_without_reasoning(slug, model, body)

    if reason := _vendor_refusal(model, body):
        raw = {"type": "error", "error": {"type": "invalid_request_error", "message": reason}}
        provider = {"provider_name": endpoint["provider_name"], "is_byok": False}
        raise ApiRefusal(
            400, "Provider returned error", metadata={"raw": json.dumps(raw), **provider}
        )
    return Route(model, endpoint)


# --- providers --------------------------------------------------------------------------------


def _choose_endpoint(
    slug: str, model: str, preferences: Mapping[str, Any], restrictions: Restrictions
) -> dict[str, Any]:
    """Return the endpoint that guardrails, `only`, `ignore`, `order` and `sort` leave first.

    Raises:
        ApiRefusal: They leave none.
    """
    only, ignore, order = (
        [str(name).lower() for name in get_list(preferences, key) or ()]
        for key in ("only", "ignore", "order")
    )
    endpoints = _catalog.endpoints_of(model, (*only, *order))
    endpoints = _unrestricted(endpoints, restrictions)
    allowed = [e for e in endpoints if not _is_named(e, ignore)]
    if not allowed:
        raise ApiRefusal(404, "All providers have been ignored.")
    if only:
        allowed = [e for e in allowed if _is_named(e, only)]

    ordered = [e for name in order for e in allowed if _is_named(e, [name])]
    if order and preferences.get("allow_fallbacks") is False:
        allowed = ordered
    if not allowed:
        tags = [e["tag"] for e in endpoints]
        raise ApiRefusal(
            404,
            "No allowed providers are available for the selected model.",
            metadata={"available_providers": tags, "requested_providers": only or order},
        )
    return ordered[0] if ordered else _sorted(allowed, _sort_of(slug, preferences))[0]


def _unrestricted(
    endpoints: list[dict[str, Any]], restrictions: Restrictions
) -> list[dict[str, Any]]:
    """Return the endpoints that guardrails leave.

    Raises:
        ApiRefusal: There is none.
    """
    allowed, ignored = restrictions.allowed_providers, sorted(restrictions.ignored_providers)
    left = [
        endpoint
        for endpoint in endpoints
        if not _is_named(endpoint, ignored)
        and (allowed is None or _is_named(endpoint, sorted(allowed)))
    ]

    if not left:
        raise ApiRefusal(404, _NO_ENDPOINTS)
    return left


def _is_named(endpoint: Mapping[str, Any], names: list[str]) -> bool:
    """Tell whether an endpoint has one of the names: a display name, a tag, or its first part."""
    tag = endpoint["tag"]
    return not {tag, tag.partition("/")[0], endpoint["provider_name"].lower()}.isdisjoint(names)


def _sort_of(slug: str, preferences: Mapping[str, Any]) -> str | None:
    sort = preferences.get("sort")
    by = get_str(sort, "by") if isinstance(sort, dict) else sort
    return by or _SORT_OF_VARIANT.get(slug.rpartition(":")[2])


def _sorted(endpoints: list[dict[str, Any]], sort: str | None) -> list[dict[str, Any]]:
    match sort:
        case "price":
            return sorted(endpoints, key=lambda e: _catalog.price_of(e, "prompt"))
        case "latency":
            return sorted(endpoints, key=lambda e: e["latency_last_30m"]["p50"])
        case "throughput":
            return sorted(endpoints, key=lambda e: -e["throughput_last_30m"]["p50"])

    return endpoints


# --- what models refuse -----------------------------------------------------------------------


def _refuse_without_reasoning(slug: str, model: str, body: Mapping[str, Any]) -> None:
    """Refuse to turn off reasoning that is mandatory; an alias turns it on again instead.

    Raises:
        ApiRefusal: It is.
    """
    reasoning = get_dict(body, "reasoning") or {}
    is_off = (
        reasoning.get("enabled") is False
        or "none" in {reasoning.get("effort"), body.get("reasoning_effort")}
        or reasoning.get("max_tokens") == 0
    )

    if is_off and not slug.startswith("~") and _catalog.is_mandatory_reasoning(model):
        raise ApiRefusal(400, "Reasoning is mandatory for this endpoint and cannot be disabled.")


def _vendor_refusal(model: str, body: Mapping[str, Any]) -> str | None:
    """Return what a model's vendor answers to a request that it does not take."""
    choice = body.get("tool_choice")
    is_forced = choice in {"required", "any"} if isinstance(choice, str) else bool(choice)
    last = (get_dicts(body, "messages") or [{}])[-1]

    if not _catalog.takes_forced_tools(model):
        if is_forced:
            return 'tool_choice: type "tool" and "any" are not supported for this model.'
        if last.get("role") == "assistant":
            return "This model does not support assistant message prefill."
    if model.startswith("anthropic/") and (marks := count_marks(body)) > _MAX_MARKS:
        return f"A maximum of 4 blocks with cache_control may be provided. Found {marks}."
    return None
