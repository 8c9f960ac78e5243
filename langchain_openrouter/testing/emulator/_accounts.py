"""The emulator's users: authorization codes, keys, what they may spend; no HTTP.

Codes are bound to their challenge, live ten minutes and work once, as
https://openrouter.ai/docs/use-cases/oauth-pkce documents.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CODE_LIFETIME", "Accounts", "ApiRefusal", "Key", "budget"]

CODE_LIFETIME = 600.0  # seconds
_MAX_LABEL_LENGTH = 100  # characters
_METHODS = {None, "S256", "plain"}


class ApiRefusal(Exception):  # noqa: N818 - a response, not a fault of the emulator
    """The service refuses a request.

    Attributes:
        status: HTTP status.
        message: The message of the service's error.
        metadata: The error's.
        headers: Of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.metadata, self.headers = dict(metadata or {}), dict(headers or {})


@dataclass
class Key:
    """A key and its account."""

    secret: str = field(repr=False)
    user_id: str
    label: str = "key"
    limit: float | None = None
    """What the key may spend in all, USD; None is no limit."""
    limit_reset: str | None = None
    usage: float = 0.0
    """What the key has spent, USD."""
    disabled: bool = False
    credits: float | None = None
    """What the account has left, USD; None is plenty."""
    expires_at: str | None = None
    """ISO 8601 with an offset."""
    in_flight_budget: float | None = None
    """What requests that run at the same time may cost at most, USD; None is no limit."""
    held: float = 0.0
    """What the running requests may cost at most, USD."""
    budgets: list[dict[str, Any]] = field(default_factory=list)
    """Budgets beside the key's limit, in the shape of `GET /key`; `budget` makes one."""
    workspace_id: str | None = "ws_emulated"
    organization_id: str | None = None

    @property
    def hash(self) -> str:
        """The sha256 of the key, as in OpenRouter's own addresses."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    @property
    def remaining(self) -> float | None:
        """What the key may still spend, USD."""
        return None if self.limit is None else max(0.0, self.limit - self.usage)

    def all_budgets(self, now: float) -> list[dict[str, Any]]:
        """Return every budget that is checked, the key's own limit last.

        Args:
            now: Unix time in seconds.
        """
        budgets = list(self.budgets)
        if self.limit is not None:
            limit = budget("key_limit", self.limit, self.usage, self.limit_reset)
            budgets.append({**limit, "resets_at": _next_reset(self.limit_reset, now)})
        return budgets

    def info(self, now: float | None = None) -> dict[str, Any]:
        """Return the body of `GET /key`.

        Args:
            now: Unix time in seconds; None is now.
        """
        usage = {f"usage{period}": self.usage for period in ("", "_daily", "_weekly", "_monthly")}
        budgets = self.all_budgets(time.time() if now is None else now)
        data = {
            "label": self.label,
            "limit": self.limit,
            "limit_remaining": self.remaining,
            "limit_reset": self.limit_reset,
            "include_byok_in_limit": False,
            **usage,
            **{f"byok_{name}": 0 for name in usage},
            "is_free_tier": False,
            "is_management_key": False,
            "is_provisioning_key": False,
            "creator_user_id": self.user_id,
            "expires_at": self.expires_at,
            "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
            "budgets": budgets,
            "effective_budget": min(budgets, key=lambda b: b["remaining_usd"], default=None),
            "free_model_daily_requests": {"limit": 1000, "used": 0, "remaining": 1000},
            "workspace_id": self.workspace_id,
            "organization_id": self.organization_id,
            "allowed_data_regions": ["global"],
        }

        return {"data": data}


def budget(
    scope: str, limit: float, spend: float = 0.0, reset_interval: str | None = None
) -> dict[str, Any]:
    """Return a budget in the shape of `GET /key`.

    Args:
        scope: Such as "workspace" or "member".
        limit: USD.
        spend: USD, since the budget was last reset.
        reset_interval: "daily", "weekly" or "monthly"; None is never.
    """
    return {
        "scope": scope,
        "limit_usd": limit,
        "spend_usd": spend,
        "remaining_usd": max(0.0, limit - spend),
        "reset_interval": reset_interval,
        "resets_at": None,
        "include_byok": False,
        "budget_id": None if scope == "key_limit" else f"budget_{scope}",
        "guardrail_id": None,
    }


def _next_reset(interval: str | None, now: float) -> str | None:
    """Return when a budget begins anew, ISO 8601: at midnight UTC, on Monday, on the first."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match interval:
        case "daily":
            reset = today + timedelta(days=1)
        case "weekly":
            reset = today + timedelta(days=7 - today.weekday())
        case "monthly":
            reset = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
        case _:
            return None

    return reset.isoformat()


@dataclass
class _Code:
    user_id: str
    challenge: str | None
    method: str | None
    issued: float
    parameters: Mapping[str, str]
    used: bool = False


class Accounts:
    """Users' codes and keys; safe to use from any thread.

    Args:
        any_key: Whether a key that was not made here works too, as one without a limit.
        clock: Returns the time in seconds; a test may move it.
        wrong_code_status: The status of a wrong or used code: 400, which the live service was seen
            to send, or 403, which its documentation has.
    """

    def __init__(
        self,
        *,
        any_key: bool = True,
        clock: Callable[[], float] = time.time,
        wrong_code_status: int = 400,
    ) -> None:
        self.keys: dict[str, Key] = {}
        """By secret."""
        self.any_key = any_key
        self.clock = clock
        self.wrong_code_status = wrong_code_status
        self._codes: dict[str, _Code] = {}
        self._lock = threading.Lock()

    def add_key(
        self, secret: str | None = None, user_id: str = "user_emulated", **fields: Any
    ) -> Key:
        """Make a key, as a user would in the dashboard.

        Args:
            secret: None makes a random one.
            user_id: Whose key it is.
            **fields: Fields of `Key`.
        """
        secret = secret or "sk-or-v1-" + secrets.token_hex(32)
        key = self.keys[secret] = Key(secret, user_id, **fields)
        return key

    def issue_code(self, user_id: str, parameters: Mapping[str, str]) -> str:
        """Return an authorization code, as if the user had approved.

        Args:
            user_id: Who approves.
            parameters: The query of the sign-in URL.

        Raises:
            ApiRefusal: The service would refuse these parameters.
        """
        challenge = parameters.get("code_challenge")
        method = parameters.get("code_challenge_method")
        if method not in _METHODS:
            raise ApiRefusal(400, "Invalid code_challenge_method")
        if not parameters.get("callback_url") and not challenge:
            raise ApiRefusal(400, "code_challenge is required without a callback_url")
        if len(parameters.get("key_label", "")) > _MAX_LABEL_LENGTH:
            raise ApiRefusal(400, "key_label must have at most 100 characters")

        code = secrets.token_urlsafe(24)
        with self._lock:
            self._codes[code] = _Code(user_id, challenge, method, self.clock(), parameters)
        return code

    def redeem(self, body: Any) -> Key:
        """Exchange a code for a new key.

        Args:
            body: The JSON of `POST /auth/keys`.

        Raises:
            ApiRefusal: The code is wrong, used, expired, or of another verifier.
        """
        values = body if isinstance(body, dict) else {}
        code, method = values.get("code"), values.get("code_challenge_method")
        if not isinstance(code, str) or not code:
            raise ApiRefusal(400, "code: Invalid input: expected string, received undefined")
        if method not in _METHODS:
            raise ApiRefusal(400, "Invalid code_challenge_method")

        issued = self._use_code(code)
        if issued.challenge is not None:
            if method is not None and method != (issued.method or "plain"):
                raise ApiRefusal(400, "Invalid code_challenge_method")
            if _challenge(values.get("code_verifier"), issued.method) != issued.challenge:
                raise self._wrong_code()

        limit = issued.parameters.get("limit")
        return self.add_key(
            user_id=issued.user_id,
            label=issued.parameters.get("key_label") or "localhost",
            limit=float(limit) if limit else None,
            limit_reset=issued.parameters.get("usage_limit_type"),
            expires_at=issued.parameters.get("expires_at"),
            workspace_id=issued.parameters.get("required_workspace_id")
            or issued.parameters.get("workspace_id")
            or "ws_emulated",
        )

    def _wrong_code(self) -> ApiRefusal:
        if self.wrong_code_status == 400:  # noqa: PLR2004 - HTTP
            return ApiRefusal(400, "Invalid code")
        return ApiRefusal(self.wrong_code_status, "Invalid code or code_verifier")

    def _use_code(self, code: str) -> _Code:
        """Return what is known of a code; it cannot be used again, whatever follows."""
        with self._lock:
            issued = self._codes.get(code)
            if issued is None or issued.used:
                raise self._wrong_code()
            issued.used = True

        if self.clock() - issued.issued > CODE_LIFETIME:
            raise ApiRefusal(403, "Authorization code expired")
        return issued

    def require_key(self, secret: str) -> Key:
        """Return the key of a request.

        Raises:
            ApiRefusal: There is none, or it is unknown, disabled or expired.
        """
        if not secret:
            raise ApiRefusal(401, "No auth credentials found")
        key = self.keys.get(secret)
        if key is None and self.any_key:
            with self._lock:
                key = self.keys.setdefault(secret, Key(secret, "user_emulated"))
        if key is None:
            raise ApiRefusal(401, "User not found.")
        if key.disabled:
            raise ApiRefusal(401, "This API key is disabled")

        now = datetime.fromtimestamp(self.clock(), UTC)
        if key.expires_at and datetime.fromisoformat(key.expires_at) < now:
            raise ApiRefusal(401, "This API key has expired")
        return key

    def charge(self, key: Key, cost: float) -> None:
        """Take the cost of a response, USD, from a key and its account."""
        with self._lock:
            key.usage = round(key.usage + cost, 10)
            if key.credits is not None:
                key.credits = round(key.credits - cost, 10)
            for entry in key.budgets:
                entry["spend_usd"] = round(entry["spend_usd"] + cost, 10)
                entry["remaining_usd"] = max(0.0, entry["limit_usd"] - entry["spend_usd"])


def _challenge(verifier: Any, method: str | None) -> str | None:
    """Return the challenge of a verifier (RFC 7636, 4.6)."""
    if not isinstance(verifier, str):
        return None
    if method != "S256":
        return verifier
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
