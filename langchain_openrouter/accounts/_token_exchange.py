"""The request of a token exchange (RFC 8693) and its errors, which have the form of RFC 6749."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter._http import oneshot
from langchain_openrouter._http.error_mapping import error_from_response, redact_error
from langchain_openrouter._json import get_str
from langchain_openrouter._redaction import redact
from langchain_openrouter.errors import AuthenticationError, OpenRouterError

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["build_request", "to_error"]

_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_NOT_ACCEPTED = {"invalid_grant", "invalid_client", "unauthorized_client", "access_denied"}
_MAX_NAME = 100  # characters
_MAX_MESSAGE = 400


def build_request(
    base_url: str, jwt: SecretStr, policy_id: str, scope: str | None, timeout: float
) -> oneshot.Request:
    """Build the request of an exchange."""
    form: dict[str, Any] = {
        "grant_type": _GRANT,
        "subject_token_type": _JWT,
        "subject_token": jwt,
        "federation_policy_id": policy_id,
    }
    if scope is not None:
        form["scope"] = scope

    return oneshot.Request("POST", f"{base_url}/oauth/token", timeout, form=form)


def to_error(response: oneshot.Response, jwt: SecretStr) -> OpenRouterError:
    """Return the error of a response that is none of a success; the JWT is in no message."""
    code = get_str(response.data, "error")
    description = get_str(response.data, "error_description")
    reason = ": ".join(filter(None, (code, description)))

    if response.failure is None and code in _NOT_ACCEPTED:
        msg = (
            f"{response.status} the workload's JWT was not accepted "
            f"({redact(reason, key=jwt, limit=_MAX_MESSAGE)}) - check that it is signed by the "
            "policy's issuer, has its subject and audience, and has not expired"
        )
        return AuthenticationError(msg, code=response.status, error_type=code, is_retryable=False)

    body = response.data if code is None else {"error": {"message": reason}}
    error = error_from_response(
        body, status=response.status, headers=response.headers, failure=response.failure
    )
    redact_error(error, key=jwt)
    if code is not None:
        error.error_type = redact(code, key=jwt, limit=_MAX_NAME)
    return error
