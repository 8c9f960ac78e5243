"""The emulator's users: authorization codes, keys, what they may spend; no HTTP.

Codes are bound to their challenge, live ten minutes and work once, as
https://openrouter.ai/docs/use-cases/oauth-pkce says.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CODE_LIFE = 600.0  # seconds
_LABEL = 100  # characters


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The account service says no.

    Attributes:
        status: HTTP status.
        message: What the service says.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class Key:
    """A key and its account."""

    secret: str = field(repr=False)
    user_id: str
    label: str = "key"
    limit: float | None = None
    limit_reset: str | None = None
    usage: float = 0.0
    disabled: bool = False
    credits: float | None = None
    """What the account has left, USD; None is plenty."""
    expires_at: str | None = None

    @property
    def hash(self) -> str:
        """The sha256 of the key, as in OpenRouter's own addresses."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    @property
    def remaining(self) -> float | None:
        """What the key may still spend."""
        return None if self.limit is None else max(0.0, self.limit - self.usage)

    def info(self) -> dict[str, Any]:
        """Return what `GET /key` says."""
        data = {
            "label": self.label,
            "limit": self.limit,
            "limit_remaining": self.remaining,
            "limit_reset": self.limit_reset,
            "include_byok_in_limit": False,
            "usage": self.usage,
            "usage_daily": self.usage,
            "usage_weekly": self.usage,
            "usage_monthly": self.usage,
            "byok_usage": 0,
            "byok_usage_daily": 0,
            "byok_usage_weekly": 0,
            "byok_usage_monthly": 0,
            "is_free_tier": False,
            "is_management_key": False,
            "is_provisioning_key": False,
            "creator_user_id": self.user_id,
            "expires_at": self.expires_at,
            "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
        }
        return {"data": data}


@dataclass
class _Code:
    user_id: str
    challenge: str | None
    method: str | None
    issued: float
    wanted: Mapping[str, str]
    used: bool = False


class Accounts:
    """Users' codes and keys; any thread may ask.

    Args:
        any_key: Whether a key that nobody made here works too, as one with plenty of credit.
        clock: Returns the time in seconds; a test may move it.
    """

    def __init__(self, *, any_key: bool = True, clock: Callable[[], float] = time.time) -> None:
        self.keys: dict[str, Key] = {}
        self.any_key = any_key
        self.clock = clock
        self._codes: dict[str, _Code] = {}
        self._lock = threading.Lock()

    def add_key(
        self, secret: str | None = None, user_id: str = "user_emulated", **fields: Any
    ) -> Key:
        """Make a key, as a user would in the dashboard."""
        secret = secret or "sk-or-v1-" + secrets.token_hex(32)
        key = self.keys[secret] = Key(secret, user_id, **fields)
        return key

    def issue_code(self, user_id: str, wanted: Mapping[str, str]) -> str:
        """Return a code for what a sign-in page was asked for.

        Raises:
            Refused: The page would not have been shown.
        """
        challenge, method = wanted.get("code_challenge"), wanted.get("code_challenge_method")
        if method not in {None, "S256", "plain"}:
            raise Refused(400, "Invalid code_challenge_method")
        if not wanted.get("callback_url") and not challenge:
            raise Refused(400, "code_challenge is required without a callback_url")
        if len(wanted.get("key_label", "")) > _LABEL:
            raise Refused(400, "key_label must have at most 100 characters")
        code = secrets.token_urlsafe(24)
        with self._lock:
            self._codes[code] = _Code(user_id, challenge, method, self.clock(), wanted)
        return code

    def redeem(self, body: Any) -> Key:
        """Exchange a code for a new key.

        Raises:
            Refused: The code is wrong, used, expired, or of another verifier.
        """
        values = body if isinstance(body, dict) else {}
        code, verifier = values.get("code"), values.get("code_verifier")
        method = values.get("code_challenge_method")
        if not isinstance(code, str) or not code:
            raise Refused(400, "code: Invalid input: expected string, received undefined")
        if method not in {None, "S256", "plain"}:
            raise Refused(400, "Invalid code_challenge_method")
        with self._lock:
            known = self._codes.get(code)
            fresh = known is not None and not known.used
            if known is not None:
                known.used = True
        if known is None or not fresh:
            raise Refused(403, "Invalid code or code_verifier")
        if self.clock() - known.issued > CODE_LIFE:
            raise Refused(403, "Authorization code expired")
        if known.challenge is not None:
            if method is not None and method != (known.method or "plain"):
                raise Refused(400, "Invalid code_challenge_method")
            if _challenge(verifier, known.method) != known.challenge:
                raise Refused(403, "Invalid code or code_verifier")
        limit = known.wanted.get("limit")
        return self.add_key(
            user_id=known.user_id,
            label=known.wanted.get("key_label") or "localhost",
            limit=float(limit) if limit else None,
            limit_reset=known.wanted.get("usage_limit_type"),
            expires_at=known.wanted.get("expires_at"),
        )

    def key_of(self, secret: str) -> Key:
        """Return the key of a request, before it may cost anything.

        Raises:
            Refused: There is none, or it may not be used.
        """
        if not secret:
            raise Refused(401, "No auth credentials found")
        key = self.keys.get(secret)
        if key is None and self.any_key:
            with self._lock:
                key = self.keys.setdefault(secret, Key(secret, "user_emulated"))
        if key is None:
            raise Refused(401, "User not found.")
        if key.disabled:
            raise Refused(401, "This API key is disabled")
        if key.expires_at and datetime.fromisoformat(key.expires_at) < datetime.fromtimestamp(
            self.clock(), UTC
        ):
            raise Refused(401, "This API key has expired")
        return key

    @staticmethod
    def affordable(key: Key) -> None:
        """See that there is money for a paid request.

        Raises:
            Refused: There is none.
        """
        if key.credits is not None and key.credits <= 0:
            raise Refused(
                402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits"
            )
        if key.limit is not None and key.usage >= key.limit:
            raise Refused(403, "Key limit exceeded (total limit). Manage it in your settings")

    def charge(self, key: Key, cost: float) -> None:
        """Take the cost of an answer."""
        with self._lock:
            key.usage = round(key.usage + cost, 10)
            if key.credits is not None:
                key.credits = round(key.credits - cost, 10)


def _challenge(verifier: Any, method: str | None) -> str | None:
    """Return the challenge of a verifier (RFC 7636, 4.6)."""
    if not isinstance(verifier, str):
        return None
    if method != "S256":
        return verifier
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
