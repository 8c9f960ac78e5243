"""Replaces what no recording may hold: keys, codes, verifiers, user ids, cookies.

A value that was seen where secrets travel is replaced wherever else it stands; what merely looks
like a secret is replaced too. Every pattern takes one pass: it begins at the start of a run of
characters, or consumes what it has looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from langchain_openrouter._http.urls import key_hash
from langchain_openrouter.testing.cassettes._encodings import json_values, views_of

# An escape is not part of the word that follows it: `\nsk-...`, `%20sk-...`.
_ESCAPE = r"(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2})"
# `sk-or-v1-...` in any length (also the service's own shortened form), other vendors' keys, JWTs,
# and the ids of users and organizations. The emulator's users do not exist, and stay.
_LOOKS_SECRET = re.compile(
    rf"(?:(?<![A-Za-z0-9])|{_ESCAPE})sk-(?!or-v1-redacted)[A-Za-z0-9_-]{{6,}}[A-Za-z0-9_.-]*"
    r"|sk-or-v1-[0-9a-f]{16,}[A-Za-z0-9_.-]*"
    r"|(?P<before>(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{0,32}?)"
    r"eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]+)?"
    rf"|(?:(?<![A-Za-z0-9_])|{_ESCAPE})(?:user|org)_(?!redacted|emulated|REDACTED)[A-Za-z0-9]{{12,}}"
    r"|__cf_bm=[^;\s\"\\]+"
)
_FIELDS = {
    "key": "key",
    "code": "code",
    "code_verifier": "verifier",
    "code_challenge": "challenge",
    "user_id": "user",
    "creator_user_id": "user",
    "api_key": "key",
    "access_token": "key",
    "subject_token": "key",
}
_ALWAYS_SECRET = {"api_key", "access_token", "subject_token", "user_id", "creator_user_id"}
_WITH_KEYS = ("/auth/", "/byok")  # paths where a field `key` of the request is a secret
_PLACEHOLDERS = {
    "key": "sk-or-v1-redacted-{}",
    "code": "redacted-code-{}",
    "verifier": "redacted-verifier-{}",
    "challenge": "redacted-challenge-{}",
    "user": "user_redacted-{}",
}
_HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_PLACEHOLDER = re.compile(
    r"(?:sk-or-v1-|user_)redacted-\d+|redacted-(?:code|verifier|challenge)-\d+"
)
_NUMBER = re.compile(rb"(redacted-(?:code-|verifier-|challenge-)?)\d+")
_SHORTEST = 6  # characters; a shorter value would be replaced in ordinary words
MOST_SECRETS = 1000  # each is looked for in every later body
_SHOWN = 8  # characters of a secret in a message, and no more than a quarter of it


class Scrubber:
    """Replaces secrets: the same secret by the same placeholder, throughout a recording.

    The hash of a key is replaced by that of its placeholder: what names a key by its hash, as the
    management API does, finds it again in a replay.

    Attributes:
        seen: The placeholder of each secret so far.
        overflowed: Whether there were more secrets than can be remembered; the recording must not
            be written then.
    """

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}
        self._hashes: dict[str, str] = {}
        self.overflowed = False
        self._counts: dict[str, int] = {}

    def note(self, kind: str, secret: Any) -> str:
        """Remember a secret; return its placeholder, or what is too short to be a secret."""
        if not isinstance(secret, str):
            return ""
        if len(secret) < _SHORTEST or _PLACEHOLDER.fullmatch(secret):
            return secret

        if secret not in self.seen:
            if len(self.seen) == MOST_SECRETS:
                self.overflowed = True
                return _PLACEHOLDERS[kind].format(0)
            self._counts[kind] = self._counts.get(kind, 0) + 1
            placeholder = self.seen[secret] = _PLACEHOLDERS[kind].format(self._counts[kind])
            if kind == "key":
                self._hashes[key_hash(secret)] = key_hash(placeholder)
        return self.seen[secret]

    def headers(self, headers: Mapping[str, Any]) -> None:
        """Remember the keys in a request's headers."""
        for name, value in headers.items():
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            if name.lower() in {"authorization", "proxy-authorization", "x-api-key", "api-key"}:
                scheme, _, credentials = text.partition(" ")
                self.note("key", (credentials or scheme).strip())
            elif name.lower() == "x-provider-api-keys":
                for keys in json_values(text):
                    for key in keys.values() if isinstance(keys, Mapping) else ():
                        self.note("key", key)

    def body(self, data: bytes, *, path: str) -> bytes:
        """Return a body without secrets; one that holds none comes back byte for byte."""
        text = data.decode("utf-8", "surrogateescape")
        for value in json_values(text):
            self._note_fields(value, sign_in=any(part in path for part in _WITH_KEYS))
        return self.text(text).encode("utf-8", "surrogateescape")

    def uri(self, uri: str) -> str:
        """Return an address without secrets, also where they are percent-encoded."""
        parts = urlsplit(uri)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        clean = [
            (name, self.note(_FIELDS[name], value) if name in _FIELDS else self.text(value))
            for name, value in pairs
        ]

        if clean != pairs:
            uri = urlunsplit(parts._replace(query=urlencode(clean)))
        return self.text(uri)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in sorted(self.seen, key=len, reverse=True):
            text = text.replace(secret, self.seen[secret])
        if self._hashes:
            text = _HASH.sub(lambda match: self._hashes.get(match[0], match[0]), text)
        return _LOOKS_SECRET.sub(self._replaced, text)

    def _replaced(self, match: re.Match[str]) -> str:
        before = match["before"] or ""
        secret = match[0][len(before) :]
        return before + self.note(_secret_kind(secret), secret)

    def _note_fields(self, value: Any, *, sign_in: bool) -> None:
        """Remember the values of fields that hold secrets; `key` and `code` only in the sign-in."""
        pending = [value]
        while pending:
            value = pending.pop()
            if isinstance(value, list):
                pending += reversed(value)
                continue

            if isinstance(value, Mapping):
                for name, item in value.items():
                    kind = _FIELDS.get(name)
                    if kind and isinstance(item, str) and (sign_in or name in _ALWAYS_SECRET):
                        self.note(kind, item)
                    else:
                        pending.append(item)


def normalize_placeholders(data: bytes) -> bytes:
    """Return a body for comparison, whatever the order in which its secrets were seen."""
    return _NUMBER.sub(rb"\1", data)


def secrets_in(data: str | bytes, known: Mapping[str, str] | None = None) -> list[str]:
    """Return what looks secret in a text or a body, shortened so that it can be shown.

    Args:
        data: Searched as it is, and in each form that `views_of` undoes.
        known: Secrets whatever they look like.
    """
    matches: set[str] = set()
    for view in views_of(data):
        for match in _LOOKS_SECRET.finditer(view):
            matches.add(match[0][len(match["before"] or "") :])
        matches.update(secret for secret in known or () if secret in view)
    return sorted(_shortened(secret) for secret in matches)


def secrets_in_all(
    value: Any, known: Mapping[str, str] | None = None, *, limit: int = 20
) -> list[str]:
    """Return what looks secret in any text of nested lists and mappings, up to a limit.

    Args:
        value: Parsed YAML or JSON; a value that stands at several places is searched once.
        known: Secrets whatever they look like.
        limit: How many to return.
    """
    secrets: set[str] = set()
    visited: set[int] = set()  # ids of the lists and mappings: aliases of YAML are one object
    pending = [value]

    while pending and len(secrets) < limit:
        item = pending.pop()
        if isinstance(item, (str, bytes)):
            secrets.update(secrets_in(item, known))
        elif isinstance(item, (Mapping, list, tuple)) and id(item) not in visited:
            visited.add(id(item))
            pending += [*item, *item.values()] if isinstance(item, Mapping) else item

    return sorted(secrets)[:limit]


def _shortened(secret: str) -> str:
    return f"{secret[: min(_SHOWN, len(secret) // 4)]}… ({len(secret)} characters)"


def _secret_kind(text: str) -> str:
    return "user" if text.startswith(("user_", "org_")) else "key"
