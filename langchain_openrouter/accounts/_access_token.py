"""An access token: how long it lives, and how it is read off the response of an exchange."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from langchain_openrouter._http.api_key import UserSecret, is_header_value
from langchain_openrouter._json import get_number, get_str
from langchain_openrouter.accounts._token_exchange import to_error
from langchain_openrouter.errors import OpenRouterError, UpstreamError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from langchain_openrouter._http import oneshot

__all__ = ["AccessToken", "Moment", "parse_token"]

_MAX_LIFE = 900.0  # seconds; the service's own maximum
_DEFAULT_LIFE = 60.0  # where the response does not say
_RENEWAL_SHARE = 0.2  # of a token's life that is left when it is renewed
_MAX_RENEWAL = 60.0
_CLOSE_TO_EXPIRY = 5.0  # seconds that a token must live for to be sent
_OK = 200


class AccessToken(NamedTuple):
    """An access token and when it was requested; both clocks, since one stops in a sleep."""

    secret: UserSecret
    life: float
    """Seconds."""
    monotonic: float
    wall: float

    @property
    def left(self) -> float:
        """Seconds that it lives on."""
        age = max(time.monotonic() - self.monotonic, time.time() - self.wall)
        return self.life - age

    @property
    def is_valid(self) -> bool:
        """Whether it can be sent."""
        return self.left > min(_CLOSE_TO_EXPIRY, self.life / 2)

    @property
    def is_fresh(self) -> bool:
        """Whether it need not be renewed yet."""
        return self.left > min(_MAX_RENEWAL, self.life * _RENEWAL_SHARE)


class Moment:
    """When something was sent, on both clocks."""

    def __init__(self) -> None:
        self.monotonic, self.wall = time.monotonic(), time.time()


def parse_token(
    response: oneshot.Response, jwt: SecretStr, sent: Moment, base_url: str
) -> AccessToken | OpenRouterError:
    """Return the access token of a response, or the error that it stands for."""
    if response.failure is not None or response.status != _OK:
        return to_error(response, jwt)
    text, kind = get_str(response.data, "access_token"), get_str(response.data, "token_type")
    secret = UserSecret((text or "").strip(), base_url)
    del text
    if not secret.get_secret_value() or not is_header_value(secret):
        msg = "the service's answer to the token exchange holds no access token"
        return UpstreamError(msg, is_retryable=False)
    if kind is not None and kind.lower() != "bearer":
        msg = "the service's access token is not one that is sent as a bearer"
        return UpstreamError(msg, is_retryable=False)

    life = get_number(response.data, "expires_in")
    life = _DEFAULT_LIFE if life is None else min(max(life, 0.0), _MAX_LIFE)
    return AccessToken(secret, life, sent.monotonic, sent.wall)
