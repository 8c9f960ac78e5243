"""What no recording may hold: keys, codes, verifiers, user ids, cookies; pure, but for a memory.

A value that was seen where secrets travel is replaced wherever else it stands; what merely looks
like one is replaced too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# `sk-or-v1-...` in any length (also the service's own shortened form), other vendors' keys, JWTs,
# and the ids of users and organisations. The emulator's own made-up users are nobody.
_LOOKS_SECRET = re.compile(
    r"(?<![A-Za-z0-9])sk-(?!or-v1-redacted)[A-Za-z0-9_-]{6,}[A-Za-z0-9_.-]*"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)?"
    r"|\b(?:user|org)_(?!redacted|emulated|REDACTED)[A-Za-z0-9]{12,}"
    r"|__cf_bm=[^;\s\"]+"
)
_FIELDS = {
    "key": "key",
    "code": "code",
    "code_verifier": "verifier",
    "code_challenge": "challenge",
    "user_id": "user",
    "creator_user_id": "user",
    "access_token": "key",
    "subject_token": "key",
}
_PLACEHOLDERS = {
    "key": "sk-or-v1-redacted-{}",
    "code": "redacted-code-{}",
    "verifier": "redacted-verifier-{}",
    "challenge": "redacted-challenge-{}",
    "user": "user_redacted-{}",
}
_PLACEHOLDER = re.compile(
    r"(?:sk-or-v1-|user_)redacted-\d+|redacted-(?:code|verifier|challenge)-\d+"
)
_NUMBER = re.compile(rb"(redacted-(?:code-|verifier-|challenge-)?)\d+")
_SHORTEST = 6  # characters; a shorter value would be replaced in ordinary words


class Scrubber:
    """Replaces secrets, the same one by the same placeholder; knows what it has seen."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def note(self, kind: str, secret: Any) -> str:
        """Remember a secret; return what stands for it."""
        if not isinstance(secret, str) or len(secret) < _SHORTEST or _PLACEHOLDER.fullmatch(secret):
            return secret if isinstance(secret, str) else ""
        if secret not in self.seen:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self.seen[secret] = _PLACEHOLDERS[kind].format(self._counts[kind])
        return self.seen[secret]

    def authorization(self, header: str) -> None:
        """Remember the key of a request."""
        self.note("key", header.removeprefix("Bearer ").strip())

    def body(self, data: bytes, *, path: str) -> bytes:
        """Return a body without secrets; one that holds none comes back byte for byte."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return data
        for value in _json_values(text):
            self._note_fields(value, sign_in="/auth/" in path)
        return self.text(text).encode()

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in sorted(self.seen, key=len, reverse=True):
            text = text.replace(secret, self.seen[secret])
        return _LOOKS_SECRET.sub(lambda match: self.note(_kind_of(match[0]), match[0]), text)

    def _note_fields(self, value: Any, *, sign_in: bool) -> None:
        """Remember the values of fields that hold secrets; `key` and `code` only in the sign-in."""
        if isinstance(value, list):
            for item in value:
                self._note_fields(item, sign_in=sign_in)
        elif isinstance(value, Mapping):
            for name, item in value.items():
                kind = _FIELDS.get(name)
                if kind and isinstance(item, str) and (sign_in or name.endswith("user_id")):
                    self.note(kind, item)
                else:
                    self._note_fields(item, sign_in=sign_in)


def unnumbered(data: bytes) -> bytes:
    """Return a body for comparison: which secret was seen first is no matter."""
    return _NUMBER.sub(rb"\1", data)


def secrets_in(text: str, known: Mapping[str, str] | None = None) -> list[str]:
    """Return what looks secret in a text, shortened so that it can be shown."""
    found = {match[0] for match in _LOOKS_SECRET.finditer(text)}
    found |= {secret for secret in known or () if secret in text}
    return sorted(f"{secret[:8]}… ({len(secret)} characters)" for secret in found)


def _kind_of(text: str) -> str:
    return "user" if text.startswith(("user_", "org_")) else "key"


def _json_values(text: str) -> list[Any]:
    """Return the JSON of a body, or of each event of a stream."""
    stripped = text.strip()
    candidates = [stripped] if stripped[:1] in {"{", "["} else [
        line[5:] for line in text.splitlines() if line.startswith("data:")
    ]  # fmt: skip
    values = []
    for candidate in candidates:
        try:
            values.append(json.loads(candidate))
        except ValueError:
            continue
    return values
