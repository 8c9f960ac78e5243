"""The emulator's workload identities: policies, and the exchange of a JWT for an access token.

Claims and times are checked, signatures are not: the emulator has no issuer's keys. See
https://openrouter.ai/docs/guides/overview/auth/workload-identity-federation.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from langchain_openrouter._json import get_number, get_str, parse_json
from langchain_openrouter.testing.emulator._accounts import ApiRefusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from langchain_openrouter.testing.emulator._accounts import Accounts
    from langchain_openrouter.testing.emulator._clock import Clock
    from langchain_openrouter.testing.emulator._keys import Key
    from langchain_openrouter.testing.emulator._script import ReceivedRequest

__all__ = ["Federation", "OAuthRefusal", "Policy"]

_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
_LIFETIME = 900.0  # seconds
_MAX_BODY = 32 * 1024  # bytes
_MAX_JWT = 16 * 1024
_JWT_PARTS = 3
_NOT_ACCEPTED = "The subject token was not accepted"


@dataclass
class Policy:
    """Which JWTs may be exchanged, and which key the access tokens act as."""

    id: str
    key: Key = field(repr=False)
    audience: str
    subject: str | None = None
    issuer: str | None = None
    enabled: bool = True


class OAuthRefusal(Exception):  # noqa: N818 - a response, not a fault of the emulator
    """An exchange is refused, in the form of RFC 6749, 5.2."""

    def __init__(
        self,
        status: int,
        error: str,
        description: str,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(description)
        self.error, self.status, self.headers = error, status, dict(headers or {})


class Federation:
    """Policies and access tokens.

    Args:
        accounts: Whose keys they act as.
        clock: What time it is.

    Attributes:
        policies: By id; a test may pause or remove one.
        refusals: What the next exchanges are refused with, in order, whatever they send.
        lifetime: Seconds that an access token lives at most.
    """

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts, self._clock = accounts, clock
        self.policies: dict[str, Policy] = {}
        self.refusals: list[OAuthRefusal] = []
        self.lifetime = _LIFETIME
        self._tokens: dict[str, tuple[Key, float]] = {}
        accounts.resolve_token = self._resolve

    def add_policy(
        self,
        key: Key | None = None,
        *,
        policy_id: str | None = None,
        audience: str = "https://openrouter.ai",
        subject: str | None = None,
        issuer: str | None = None,
    ) -> Policy:
        """Make a policy.

        Args:
            key: What its tokens act as; None makes a key.
            policy_id: None makes one.
            audience: One of the JWT's.
            subject: The JWT's; None is any.
            issuer: The JWT's; None is any.
        """
        id_ = policy_id or f"fedp_{secrets.token_hex(8)}"
        key = key or self._accounts.add_key(label="workload")
        policy = self.policies[id_] = Policy(id_, key, audience, subject, issuer)
        return policy

    def make_jwt(self, *, lifetime: float = 3600.0, **claims: Any) -> str:
        """Return a JWT that the emulator accepts, if its claims fit the policy.

        Args:
            lifetime: Seconds until it expires.
            **claims: Further claims, or others: `sub`, `aud`, `iss`.
        """
        payload = {
            "iss": "https://issuer.example",
            "sub": "workload",
            "aud": "https://openrouter.ai",
            "exp": int(self._clock.time() + lifetime),
            "jti": secrets.token_hex(8),
            **claims,
        }

        return ".".join((_encode({"alg": "ES256", "typ": "JWT"}), _encode(payload), "emulated"))

    def route(self, prefix: str, record: Callable[[Request], Awaitable[ReceivedRequest]]) -> Route:
        """Return the route of the exchange.

        Args:
            prefix: The path of the API.
            record: Records a request, and returns it.
        """

        async def respond(request: Request) -> Response:
            received = await record(request)
            try:
                body = self.exchange(received.raw)
            except OAuthRefusal as refusal:
                error = {"error": refusal.error, "error_description": str(refusal)}
                return JSONResponse(error, refusal.status, refusal.headers)
            return JSONResponse(body, headers={"cache-control": "no-store"})

        return Route(f"{prefix}/oauth/token", respond, methods=["POST"])

    def exchange(self, body: bytes) -> dict[str, Any]:
        """Exchange a JWT.

        Args:
            body: The form.

        Raises:
            OAuthRefusal: The request or the JWT is not accepted.
        """
        if self.refusals:
            raise self.refusals.pop(0)
        form = _parse_form(body)
        policy = self.policies.get(form["federation_policy_id"])
        claims, now = _claims(form["subject_token"]), self._clock.time()
        if policy is None or not _is_accepted(policy, claims, now):
            raise OAuthRefusal(400, "invalid_grant", _NOT_ACCEPTED)

        expires = min(now + self.lifetime, get_number(claims, "exp") or 0.0)
        payload = {"sub": get_str(claims, "sub"), "exp": int(expires), "jti": secrets.token_hex(8)}
        token = ".".join((_encode({"alg": "ES256", "typ": "at+jwt"}), _encode(payload), "emulated"))
        self._tokens[token] = (policy.key, expires)
        return {
            "access_token": token,
            "issued_token_type": _ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": int(expires - now),
            "scope": "inference",
        }

    def _resolve(self, secret: str) -> str:
        """Return the key that a bearer stands for: an access token's, else itself.

        Raises:
            ApiRefusal: The access token has expired.
        """
        if secret not in self._tokens:
            return secret
        key, expires = self._tokens[secret]
        if expires <= self._clock.time():
            raise ApiRefusal(401, "The access token has expired")
        return key.secret


def _parse_form(body: bytes) -> dict[str, str]:
    """Return the fields of an exchange.

    Raises:
        OAuthRefusal: One is missing or wrong.
    """
    if len(body) > _MAX_BODY:
        raise OAuthRefusal(413, "invalid_request", "The request body is too large")
    form = dict(parse_qsl(body.decode("utf-8", "replace")))
    if form.get("grant_type") != _GRANT:
        raise OAuthRefusal(400, "unsupported_grant_type", "Only token exchange is supported")

    token = form.get("subject_token", "")
    if form.get("subject_token_type") != _JWT or not form.get("federation_policy_id"):
        raise OAuthRefusal(400, "invalid_request", "A required field is missing")
    if len(token) > _MAX_JWT or _claims(token) is None:
        raise OAuthRefusal(400, "invalid_request", "subject_token is not a JWT")
    if form.get("scope", "inference") != "inference":
        raise OAuthRefusal(400, "invalid_scope", "Only the scope `inference` can be requested")
    return form


def _is_accepted(policy: Policy, claims: Mapping[str, Any] | None, now: float) -> bool:
    audience = (claims or {}).get("aud")
    audiences = audience if isinstance(audience, list) else [audience]

    return (
        policy.enabled
        and policy.audience in audiences
        and policy.subject in {None, get_str(claims, "sub")}
        and policy.issuer in {None, get_str(claims, "iss")}
        and (get_number(claims, "exp") or 0.0) > now
    )


def _claims(jwt: str) -> dict[str, Any] | None:
    """Return the claims of a JWT; None if it is none."""
    parts = jwt.split(".")
    if len(parts) != _JWT_PARTS:
        return None

    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = parse_json(payload)
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def _encode(part: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
