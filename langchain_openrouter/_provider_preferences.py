"""Provider preferences from several places -> those of one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PRIVACY = {"zdr": True, "enforce_distillable_text": True, "data_collection": "deny"}


def merge_provider(base: Any, update: Any) -> Any:
    """Return provider preferences merged key by key; privacy is never weakened.

    `zdr` and `enforce_distillable_text` stay true and `data_collection` stays "deny" once any of
    the places that set preferences has set them so, and `ignore` is the union of all. For every
    other key the later value wins, as `only`, `order` and `sort` choose among the endpoints that
    privacy permits.

    See https://openrouter.ai/docs/features/provider-routing.

    Args:
        base: The earlier preferences, or None.
        update: The later ones; None removes all but those of privacy and `ignore`.
    """
    base = base if isinstance(base, Mapping) else {}
    lasting = {name: base[name] for name, strict in _PRIVACY.items() if base.get(name) == strict}
    if base.get("ignore"):
        lasting["ignore"] = list(base["ignore"])
    if update is None:
        return lasting or None
    if not isinstance(update, Mapping):
        return update

    merged = {**base, **update, **lasting}
    if base.get("ignore"):
        merged["ignore"] = list(dict.fromkeys([*base["ignore"], *(update.get("ignore") or ())]))
    return merged
