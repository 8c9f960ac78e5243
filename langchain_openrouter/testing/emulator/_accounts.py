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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_openrouter.testing.emulator._keys import Key, budget

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
        self.deleted: set[str] = set()
        """Hashes of the keys that were deleted, which do not work whatever `any_key` says."""

        self.any_key = any_key
        self.clock = clock
        self.wrong_code_status = wrong_code_status
        self.guardrail_budgets: Callable[[Key], list[dict[str, Any]]] = lambda _: []
        """Returns what guardrails let a key spend."""
        self.resolve_token: Callable[[str], str] = lambda secret: secret
        """Returns the key that an access token stands for; any other bearer as it is."""
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
        key = self.keys[secret] = Key(secret, user_id, **{"clock": self.clock, **fields})
        return key

    def add_management_key(
        self, secret: str | None = None, user_id: str = "user_emulated", **fields: Any
    ) -> Key:
        """Make a key of the management API, for the keys of its user's account.

        Args:
            secret: None makes a random one.
            user_id: Whose account it is.
            **fields: Fields of `Key`.
        """
        return self.add_key(secret, user_id, is_management=True, **fields)

    def find_key(self, hash_: str) -> Key | None:
        """Return the key with this hash, if there is one."""
        return next((key for key in list(self.keys.values()) if key.hash == hash_), None)

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
        """Return the key of a request for inference.

        Raises:
            ApiRefusal: There is none, it is unknown, disabled or expired, or a management key.
        """
        key = self.require_any_key(secret)
        if key.is_management:
            raise ApiRefusal(403, "Management keys cannot be used for inference")
        return key

    def require_any_key(self, secret: str) -> Key:
        """Return the key of a request, of either kind.

        Raises:
            ApiRefusal: There is none, or it is unknown, disabled or expired.
        """
        if not secret:
            raise ApiRefusal(401, "No auth credentials found")
        secret = self.resolve_token(secret)
        key = self.keys.get(secret)
        if key is None and self.any_key:
            key = self._adopt(secret)

        if key is None:
            raise ApiRefusal(401, "User not found.")
        if key.disabled:
            raise ApiRefusal(401, "This API key is disabled")
        if key.is_expired:
            raise ApiRefusal(401, "This API key has expired")
        return key

    def _adopt(self, secret: str) -> Key | None:
        """Return a key that was not made here, unless it was deleted."""
        key = Key(secret, "user_emulated", clock=self.clock)
        if key.hash in self.deleted:
            return None
        with self._lock:
            return self.keys.setdefault(secret, key)

    def require_management_key(self, secret: str, *, status: int = 401) -> Key:
        """Return the key of a request to the management API.

        Args:
            secret: The key.
            status: That of the refusal of a key for inference: 401 or 403, which differs by route.

        Raises:
            ApiRefusal: There is none, it is disabled or expired, or one for inference.
        """
        key = self.keys.get(secret)
        if secret and (key is None or not key.is_management):
            message = (
                "Only management keys can perform this operation"
                if status == 403  # noqa: PLR2004 - HTTP
                else "Invalid management key"
            )
            raise ApiRefusal(status, message)

        return self.require_any_key(secret)

    def budgets_of(self, key: Key) -> list[dict[str, Any]]:
        """Return all budgets that a key counts against, those of guardrails first."""
        return [*self.guardrail_budgets(key), *key.all_budgets(self.clock())]

    def charge(self, key: Key, cost: float, byok_cost: float = 0.0) -> None:
        """Take the cost of a response, USD, from a key and its account."""
        with self._lock:
            key.charge(cost, byok_cost)
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
