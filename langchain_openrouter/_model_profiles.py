"""Model profiles by slug: a snapshot of `GET /models`, loaded when it is first used.

`make profiles` writes `_profiles.json` from a saved response, or from the live service.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_dicts, get_int, get_list, get_str

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


@cache
def _snapshot() -> dict[str, Any]:
    text = files("langchain_openrouter").joinpath(FILE).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def taken_on() -> str:
    """Return the date of the snapshot."""
    return str(_snapshot()["taken_on"])


def profile_of(slug: str) -> dict[str, Any] | None:
    """Return the profile of a slug; None if it is unknown.

    A variant has the profile of its own row if there is one, else that of the model. Presets and
    routers have none: a preset may change anything, and a router chooses the model.
    """
    if "@preset/" in slug or slug.startswith(_ROUTERS):
        return None

    models = _snapshot()["models"]
    while slug not in models:
        shorter = _VARIANT.sub("", slug, count=1)
        if shorter == slug:
            return None
        slug = shorter
    return dict(models[slug])


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

    efforts = get_list(get_dict(row, "reasoning"), "supported_efforts")
    if efforts:
        profile["reasoning_effort_levels"] = [str(effort) for effort in efforts]
        profile["reasoning_effort_default"] = get_str(get_dict(row, "reasoning"), "default_effort")

    return {name: value for name, value in profile.items() if value is not None}


def build_snapshot(response: Any, taken_on: str) -> dict[str, Any]:
    """Build the snapshot from a response of `GET /models`; an alias has its target's profile."""
    rows = {row["id"]: row for row in get_dicts(response, "data") if get_str(row, "id")}
    models = {}

    for slug, row in rows.items():
        target = get_str(get_dict(row, "alias_target"), "slug")
        models[slug] = to_profile(rows.get(target or "", row))
        canonical = get_str(row, "canonical_slug")
        if canonical and canonical not in rows:
            models.setdefault(canonical, models[slug])

    return {"taken_on": taken_on, "models": dict(sorted(models.items()))}
