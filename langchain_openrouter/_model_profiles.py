"""Model profiles by slug: a snapshot of `GET /models`, or the newer copy that a refresh wrote.

Loaded when a profile is first used. `make profiles` writes the snapshot, `_profiles.json`, from
saved responses or from the live service; `Catalog.refresh_profiles` writes the copy.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from langchain_openrouter import _profile_cache
from langchain_openrouter._json import get_dict, get_dicts, get_int, get_list, get_str
from langchain_openrouter.settings import environment_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "_profiles.json"
_ROUTERS = "openrouter/"
_VARIANT = re.compile(r":(?:nitro|floor|exacto|online|free|extended|thinking|batch)\b")
_INPUTS = {
    "image": "image_inputs",
    "audio": "audio_inputs",
    "video": "video_inputs",
    "file": "pdf_inputs",
}
_OUTPUTS = {
    "image": "image_outputs",
    "audio": "audio_outputs",
    "video": "video_outputs",
}
OWN_KEYS = frozenset(["reasoning_mandatory", "forced_tool_choice", "refused_parameters"])
"""Keys of a profile that LangChain's `ModelProfile` does not have."""

# What OpenRouter documents and no row of `GET /models` says. See
# https://openrouter.ai/docs/cookbook/evaluate-and-optimize/model-migrations/claude-5-5.
_CLAUDE_5_5 = {
    "tool_calling": True,
    "structured_output": True,
    "temperature": False,
    "refused_parameters": ["temperature", "top_p", "top_k", "reasoning.max_tokens"],
}
_NOT_FORCED = {"forced_tool_choice": False}
_ALWAYS_THINKS = {"reasoning_output": True, "reasoning_mandatory": True}
_DOCUMENTED: dict[str, dict[str, Any]] = {
    "anthropic/claude-opus-5.5": {**_CLAUDE_5_5, **_NOT_FORCED, **_ALWAYS_THINKS},
    "anthropic/claude-sonnet-5.5": {**_CLAUDE_5_5, **_NOT_FORCED, **_ALWAYS_THINKS},
    "~anthropic/claude-opus-latest": {**_CLAUDE_5_5, **_NOT_FORCED, **_ALWAYS_THINKS},
    "~anthropic/claude-sonnet-latest": {**_CLAUDE_5_5, **_NOT_FORCED, **_ALWAYS_THINKS},
    "anthropic/claude-haiku-5.5": _CLAUDE_5_5,
    "anthropic/claude-fable-5.1": _NOT_FORCED,
    "anthropic/claude-fable-5.2": _NOT_FORCED,
    "~anthropic/claude-fable-latest": _NOT_FORCED,
}


@cache
def _snapshot() -> dict[str, Any]:
    """Return the date and the profiles: those of the snapshot, or of a newer copy on disk."""
    text = files("langchain_openrouter").joinpath(FILE).read_text(encoding="utf-8")
    bundled: dict[str, Any] = json.loads(text)

    copy = _profile_cache.read(base_url=environment_settings().base_url)
    bundled_date = _profile_cache.parse_date(bundled["taken_on"])
    if copy is None or bundled_date is None or copy[0] <= bundled_date:
        return bundled
    models = {slug: _valid_profile(profile) for slug, profile in copy[1].items()}
    # A listing has no withdrawn models, and a call of one still needs what was known of it.
    return {
        "taken_on": copy[0].date().isoformat(),
        "models": {**bundled["models"], **models},
    }


def forget() -> None:
    """Load the profiles anew at their next use."""
    _snapshot.cache_clear()


def taken_on() -> str:
    """Return the date of the profiles."""
    return str(_snapshot()["taken_on"])


def profile_or_empty(slug: str) -> Mapping[str, Any]:
    """Return the profile of a slug, not to be changed; empty if it is unknown."""
    return _find(slug) or {}


def profile_of(slug: str) -> dict[str, Any] | None:
    """Return the profile of a slug; None if it is unknown.

    A variant has the profile of its own row if there is one, else that of the model. Presets and
    routers have none: a preset may change anything, and a router chooses the model.
    """
    profile = _find(slug)
    return None if profile is None else dict(profile)


def _find(slug: str) -> dict[str, Any] | None:
    if "@preset/" in slug or slug.startswith(_ROUTERS):
        return None

    models: dict[str, dict[str, Any]] = _snapshot()["models"]
    while slug not in models:
        shorter = _VARIANT.sub("", slug, count=1)
        if shorter == slug:
            return None
        slug = shorter
    return models[slug]


def to_profile(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a row of `GET /models` to LangChain's profile; an absent field stays absent."""
    architecture = get_dict(row, "architecture") or {}
    inputs = get_list(architecture, "input_modalities")
    outputs = get_list(architecture, "output_modalities")
    parameters = get_list(row, "supported_parameters")

    profile: dict[str, Any] = {
        "name": get_str(row, "name"),
        "max_input_tokens": get_int(row, "context_length"),
        "max_output_tokens": get_int(get_dict(row, "top_provider"), "max_completion_tokens"),
    }

    if inputs is not None:
        profile["text_inputs"] = "text" in inputs
        profile.update({name: kind in inputs for kind, name in _INPUTS.items()})
        profile["image_url_inputs"] = "image" in inputs
    if outputs is not None:
        profile["text_outputs"] = "text" in outputs
        profile.update({name: kind in outputs for kind, name in _OUTPUTS.items()})
    if parameters is not None:
        profile["tool_calling"] = "tools" in parameters
        profile["tool_choice"] = "tool_choice" in parameters
        profile["structured_output"] = "structured_outputs" in parameters
        profile["temperature"] = "temperature" in parameters
        profile["reasoning_output"] = "reasoning" in parameters

    reasoning = get_dict(row, "reasoning") or {}
    efforts = get_list(reasoning, "supported_efforts")
    if efforts:
        profile["reasoning_effort_levels"] = [str(effort) for effort in efforts]
        profile["reasoning_effort_default"] = get_str(reasoning, "default_effort")
    if isinstance(reasoning.get("mandatory"), bool):
        profile["reasoning_mandatory"] = reasoning["mandatory"]

    return {name: value for name, value in profile.items() if value is not None}


def build_profiles(response: Any) -> dict[str, dict[str, Any]]:
    """Build the profiles by slug from a response of `GET /models`.

    An alias has its target's profile, and what OpenRouter documents of a model is added.
    """
    rows = {row["id"]: row for row in get_dicts(response, "data") if get_str(row, "id")}
    models: dict[str, dict[str, Any]] = {}

    for slug, row in rows.items():
        target = get_str(get_dict(row, "alias_target"), "slug") or ""
        source = rows.get(target, row)
        models[slug] = add_documented(source["id"], to_profile(source))
        canonical = get_str(row, "canonical_slug")
        if canonical and canonical not in rows:
            models.setdefault(canonical, models[slug])
    return dict(sorted(models.items()))


def build_snapshot(response: Any, taken_on: str) -> dict[str, Any]:
    """Build the snapshot from a response of `GET /models`."""
    return {"taken_on": taken_on, "models": build_profiles(response)}


def add_documented(slug: str, profile: dict[str, Any]) -> dict[str, Any]:
    """Return a profile with what OpenRouter documents of the model and does not list."""
    return {**profile, **_DOCUMENTED.get(_VARIANT.sub("", slug), {})}


def _valid_profile(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a profile from disk that have the type of their name."""
    return {name: value for name, value in profile.items() if _has_its_type(name, value)}


def _has_its_type(name: str, value: Any) -> bool:
    if name in {"reasoning_effort_levels", "refused_parameters"}:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if name in {"name", "reasoning_effort_default"}:
        return isinstance(value, str)
    return type(value) is (int if name.startswith("max_") else bool)
