"""A user's own key, as the sign-in returns it, and its limits at OpenRouter."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from langchain_openrouter import _html
from langchain_openrouter._http import oneshot, urls
from langchain_openrouter._http.api_key import UserSecret, refuse_management_key, to_secret
from langchain_openrouter._key_object import KeyObject
from langchain_openrouter.errors import AuthenticationError
from langchain_openrouter.oauth._key_info import KeyInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_openrouter.errors import OpenRouterError

TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True, slots=True, repr=False)
class UserKey(KeyObject):
    """A user's own API key: permanent, without refresh or scope, until its owner deletes it.

    Args:
        secret: The key. A plain string is converted to a `SecretStr`.
        user_id: OpenRouter's id of the user; the service may send none.
        base_url: The API that the key is for.
        granted: What the key has where it differs from what the sign-in requested, by argument:
            `{"limit": None}` is a key without the limit. Empty if it is as requested; None if that
            is not known: nothing was requested, or `GET /key` was not answered. Is not stored.
    """

    secret: SecretStr
    user_id: str | None = None
    base_url: str = urls.BASE_URL
    granted: Mapping[str, Any] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Make the secret one that is known to be for inference."""
        refuse_management_key(self.secret)
        secret = to_secret(self.secret)
        if isinstance(secret, SecretStr) and not isinstance(secret, UserSecret):
            secret = UserSecret(secret.get_secret_value())
        object.__setattr__(self, "secret", secret)

    @property
    def fingerprint(self) -> str:
        """The sha256 of the key: distinguishes keys in logs and links without revealing them."""
        return urls.key_hash(self.secret.get_secret_value())

    @property
    def settings_url(self) -> str:
        """The page where the user changes the key's limit or deletes the key."""
        return urls.settings_url(urls.site_url(self.base_url), self.fingerprint)

    @property
    def logs_url(self) -> str:
        """The page where the user sees what the key was used for."""
        return urls.logs_url(urls.site_url(self.base_url), self.fingerprint)

    def info(self, *, timeout: float = TIMEOUT) -> KeyInfo:
        """Request the facts of the key, such as its limit and what remains of it.

        Args:
            timeout: Seconds without a byte.

        Raises:
            AuthenticationError: The key is wrong, deleted, disabled or expired.
            OpenRouterError: The request failed for another reason.
        """
        return _to_key_info(oneshot.send(self._build_request(timeout)))

    async def ainfo(self, *, timeout: float = TIMEOUT) -> KeyInfo:  # noqa: ASYNC109 - as in `info`
        """Request like `info`, in the running event loop."""
        return _to_key_info(await oneshot.asend(self._build_request(timeout)))

    def _build_request(self, timeout: float) -> oneshot.Request:
        return oneshot.Request("GET", f"{self.base_url}/key", timeout, key=self.secret)

    def __repr__(self) -> str:
        """Show the user and the fingerprint; the key is hidden."""
        mark = self.fingerprint[:8]
        return f"UserKey('**********', user_id={self.user_id!r}, fingerprint='{mark}…')"

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the links; the key is hidden."""
        user = escape(self.user_id or "unnamed user")
        limits = _html.link(self.settings_url, "limit and deletion")
        links = f"{limits} · {_html.link(self.logs_url, 'logs')}"
        return f"<b>OpenRouter key</b> of {user} · <code>**********</code> · {links}"


def to_user_secret(
    key: UserKey | SecretStr | str | Callable[[], Any], base_url: str | None = None
) -> Any:
    """Convert a user's key to a `SecretStr`; a callable is returned as it is.

    Args:
        key: The user's key.
        base_url: The API that it is going to be sent to.

    Raises:
        AuthenticationError: There is no key; no other one is used instead.
        ValueError: A `UserKey` is for another service than `base_url`, or it is a management key.
    """
    secret: Any = to_secret(key.secret if isinstance(key, UserKey) else key)
    refuse_management_key(secret)
    key_url = key.base_url if isinstance(key, UserKey) else None
    del key
    if isinstance(secret, SecretStr):
        if not secret.get_secret_value().strip():
            secret = None
        elif key_url or not isinstance(secret, UserSecret):
            secret = UserSecret(secret.get_secret_value(), key_url)
    if secret is None or not (isinstance(secret, SecretStr) or callable(secret)):
        msg = "no OpenRouter API key for this user: sign the user in first"
        raise AuthenticationError(msg)

    if key_url and base_url:
        foreign = urls.service_mismatch(key_url, base_url)
        if foreign:
            raise ValueError(foreign)
    return secret


def _to_key_info(response: oneshot.Response) -> KeyInfo:
    error: OpenRouterError | None = response.error()
    if error is not None:
        raise error
    return KeyInfo.from_api(response.data)
