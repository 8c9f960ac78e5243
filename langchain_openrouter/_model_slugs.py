"""Suggest models for a slug that does not exist, from the snapshot of `GET /models`."""

from __future__ import annotations

import difflib
import json
from functools import cache
from importlib.resources import files

_FILE = "_profiles.json"
_SUGGESTIONS = 3
_MAX_LENGTH = 100  # characters; no slug is longer
_CUTOFF = 0.7


def suggest_slugs(unknown: str | None) -> str | None:
    """Return a question that names the nearest slugs.

    Args:
        unknown: What was sent as the model; a variant such as `:free` is ignored.

    Returns:
        None if the snapshot knows the model, or nothing that is near.
    """
    slug = (unknown or "").partition(":")[0].lower()
    if not slug or len(slug) > _MAX_LENGTH or slug in _slugs():
        return None

    near = _nearest(slug)
    return f"did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else None


def known_slugs() -> list[str]:
    """Return the snapshot's slugs without variants, sorted."""
    return list(_slugs())


def _nearest(slug: str) -> list[str]:
    """Return up to three slugs, nearest first; a name without an author is compared to names."""
    if "/" in slug:
        return difflib.get_close_matches(slug, _slugs(), _SUGGESTIONS, _CUTOFF)

    by_name: dict[str, str] = {}
    for known in _slugs():
        by_name.setdefault(known.rpartition("/")[2], known)
    names = difflib.get_close_matches(slug, by_name, _SUGGESTIONS, _CUTOFF)
    return [by_name[name] for name in names]


@cache
def _slugs() -> dict[str, None]:
    """Return the snapshot's slugs without variants, sorted."""
    text = files("langchain_openrouter").joinpath(_FILE).read_text(encoding="utf-8")
    return dict.fromkeys(sorted(slug for slug in json.loads(text)["models"] if ":" not in slug))
