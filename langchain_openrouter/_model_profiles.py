"""What a model can do, by slug: a snapshot of `GET /models`, loaded when it is first asked for.

`make profiles` makes `_profiles.json` from a saved answer, or from the live service.
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
_INPUTS = {"image": "image_inputs", "audio": "audio_inputs", "video": "video_inputs",
           "file": "pdf_inputs"}  # fmt: skip
_OUTPUTS = {"image": "image_outputs", "audio": "audio_outputs", "video": "video_outputs"}


@cache
def _snapshot() -> dict[str, Any]:
    text = files("langchain_openrouter").joinpath(FILE).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def taken_on() -> str:
    """Return the date of the snapshot."""
    return str(_snapshot()["taken_on"])


def profile_of(slug: str) -> dict[str, Any] | None:
    """Return what is known of a slug; None where nothing is, which claims nothing.

    A variant has the profile of its own row where there is one, else that of the model. A preset
    may change anything, a router chooses by itself: both are unknown.
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


def profile(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return LangChain's profile of a row of `GET /models`: what the row says, and no more."""
    architecture = get_dict(row, "architecture") or {}
    inputs = get_list(architecture, "input_modalities")
    outputs = get_list(architecture, "output_modalities")
    parameters = get_list(row, "supported_parameters")
    found: dict[str, Any] = {
        "name": get_str(row, "name"),
        "max_input_tokens": get_int(row, "context_length"),
        "max_output_tokens": get_int(get_dict(row, "top_provider"), "max_completion_tokens"),
    }
    if inputs is not None:
        found["text_inputs"] = "text" in inputs
        found.update({name: kind in inputs for kind, name in _INPUTS.items()})
        found["image_url_inputs"] = "image" in inputs
    if outputs is not None:
        found["text_outputs"] = "text" in outputs
        found.update({name: kind in outputs for kind, name in _OUTPUTS.items()})
    if parameters is not None:
        found["tool_calling"] = "tools" in parameters
        found["tool_choice"] = "tool_choice" in parameters
        found["structured_output"] = "structured_outputs" in parameters
        found["temperature"] = "temperature" in parameters
        found["reasoning_output"] = "reasoning" in parameters
    efforts = get_list(get_dict(row, "reasoning"), "supported_efforts")
    if efforts:
        found["reasoning_effort_levels"] = [str(effort) for effort in efforts]
        found["reasoning_effort_default"] = get_str(get_dict(row, "reasoning"), "default_effort")
    return {name: value for name, value in found.items() if value is not None}


def snapshot_of(answer: Any, taken_on: str) -> dict[str, Any]:
    """Return the snapshot of an answer of `GET /models`: aliases have their target's profile."""
    rows = {row["id"]: row for row in get_dicts(answer, "data") if get_str(row, "id")}
    models = {}
    for slug, row in rows.items():
        target = get_str(get_dict(row, "alias_target"), "slug")
        models[slug] = profile(rows.get(target or "", row))
        canonical = get_str(row, "canonical_slug")
        if canonical and canonical not in rows:
            models.setdefault(canonical, models[slug])
    return {"taken_on": taken_on, "models": dict(sorted(models.items()))}
