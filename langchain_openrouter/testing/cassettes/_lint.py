"""Checks cassette files: their origin, secrets, private headers, and addresses of other hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_openrouter.testing.cassettes._origin import ORIGIN
from langchain_openrouter.testing.cassettes._scrubbing import secrets_in, secrets_in_all
from langchain_openrouter.testing.cassettes._serializer import UnreadableError, YamlSerializer

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE = {"authorization", "cookie", "set-cookie", "x-provider-api-keys", "proxy-authorization"}


def lint_file(file: Path) -> list[str]:
    """Return a line for each problem of a cassette file; no line shows a secret."""
    data = file.read_bytes()
    text = data.decode("utf-8", "replace")
    secrets = set(secrets_in(data))
    problems = []
    if not text.startswith(ORIGIN):
        problems.append(f"does not say what it was recorded against: first line {ORIGIN.strip()!r}")

    try:
        cassette = YamlSerializer.deserialize(text)
    except UnreadableError as error:
        problems.append(f"is not a cassette: {error}")
    else:
        secrets.update(secrets_in_all(cassette))
        if not cassette["interactions"]:
            problems.append("holds no exchange")
        for number, interaction in enumerate(cassette["interactions"], start=1):
            problems += [f"exchange {number}: {problem}" for problem in _problems(interaction)]

    return [*(f"holds a secret: {secret}" for secret in sorted(secrets)), *problems]


def _problems(interaction: dict[str, Any]) -> list[str]:
    problems = []
    for side in ("request", "response"):
        headers = {name.lower() for name in interaction[side]["headers"]}
        problems += [f"{side} header {name}" for name in sorted(headers & _PRIVATE)]

    try:
        host = urlsplit(interaction["request"]["uri"]).hostname or ""
    except ValueError:  # brackets that hold no IPv6 address
        host = "no host"
    if host != "openrouter.ai" and not host.endswith(".openrouter.ai"):
        problems.append(f"is of {host}, not openrouter.ai")
    return problems
