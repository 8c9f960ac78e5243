"""What is wrong with a cassette file: no origin, a secret, a header or an address too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from langchain_openrouter.testing._scrub import secrets_in
from langchain_openrouter.testing._written import ORIGIN, Readable

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE = {"authorization", "cookie", "set-cookie", "x-provider-api-keys", "proxy-authorization"}


def problems_of(file: Path) -> list[str]:
    """Return a line for each problem; none of them shows a secret."""
    text = file.read_bytes().decode("utf-8", "replace")
    found = [f"holds a secret: {secret}" for secret in secrets_in(text)]
    if not text.startswith(ORIGIN):
        found.append(f"does not say what it was recorded against: first line {ORIGIN.strip()!r}")
    try:
        interactions = Readable.deserialize(text)["interactions"]
    except (yaml.YAMLError, KeyError, TypeError):
        return [*found, "is no cassette"]
    if not interactions:
        found.append("holds no exchange")
    for number, interaction in enumerate(interactions, start=1):
        found += [f"exchange {number}: {problem}" for problem in _problems(interaction)]
    return found


def _problems(interaction: dict[str, Any]) -> list[str]:
    found = []
    for side in ("request", "response"):
        headers = {name.lower() for name in interaction[side].get("headers") or {}}
        found += [f"{side} header {name}" for name in sorted(headers & _PRIVATE)]
    host = urlsplit(interaction["request"]["uri"]).hostname or ""
    if host != "openrouter.ai" and not host.endswith(".openrouter.ai"):
        found.append(f"is of {host}, not openrouter.ai")
    return found
