"""Make the snapshot of model profiles from saved listings of models, or from the live service.

python scripts/profiles.py [listing.json ...]

A listing is a response of `GET /models` (its date is its file's name, `models-YYYY-MM[-DD].json`)
or a partial listing: `{"taken_on", "rows"}`, where a field that is missing is unknown. Later
listings add to earlier ones.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langchain_openrouter import _model_profiles
from langchain_openrouter.catalog import Catalog


def profiles_of_partial(row: dict[str, Any]) -> dict[str, Any]:
    """Return the profile of a row of a partial listing; what is unknown is absent."""
    modalities = row["architecture"].get("input_modalities_known", [])
    reasoning = row.get("reasoning") or {}
    profile = _model_profiles.to_profile({**row, "architecture": {}})
    if row["kind"] == "chat":
        profile |= {
            "text_inputs": "text" in modalities,
            "image_inputs": "image" in modalities,
            "image_url_inputs": "image" in modalities,
            "text_outputs": True,
        }

    if row.get("tools") is True:
        profile["tool_calling"] = True
    if row.get("temperature") is False:
        profile["temperature"] = False
    if reasoning:
        profile["reasoning_output"] = True
    return profile


def add_partial(models: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Add a partial listing to profiles.

    A recorded profile says more: of it only the limits and efforts are replaced. The target of an
    alias may have changed, so what is known of an alias is the newer listing's.
    """
    for row in rows:
        slug = row["id"]
        profile = profiles_of_partial(row)
        if slug in models and not slug.startswith("~"):
            profile.pop("reasoning_mandatory", None)
            profile = {
                **profile,
                **models[slug],
                **{
                    name: value
                    for name, value in profile.items()
                    if name.startswith("max_") or name in {"reasoning_effort_levels", "temperature"}
                },
            }
        models[slug] = _model_profiles.add_documented(slug, profile)


def main() -> None:
    """Write the snapshot."""
    today = datetime.now(UTC).date().isoformat()
    models: dict[str, Any] = {}
    for argument in sys.argv[1:]:
        listing = json.loads(Path(argument).read_text(encoding="utf-8"))
        if "rows" in listing:
            today = listing["taken_on"]
            add_partial(models, listing["rows"])
        else:
            dated = re.search(r"\d{4}-\d{2}(-\d{2})?", Path(argument).name)
            today = dated[0] if dated else today
            models |= _model_profiles.build_profiles(listing)
    if not models:
        rows = [model.data for model in Catalog().models(output_modalities="all")]
        models = _model_profiles.build_profiles({"data": rows})

    target = Path(_model_profiles.__file__).with_name(_model_profiles.FILE)
    snapshot = {"taken_on": today, "models": dict(sorted(models.items()))}
    text = json.dumps(snapshot, ensure_ascii=False, separators=(",", ":")).replace('},"', '},\n"')
    target.write_text(text + "\n", encoding="utf-8")
    print(f"{target}: {len(models)} models, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
