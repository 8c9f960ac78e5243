"""A user's own key, as the sign-in gives it, and what OpenRouter tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from langchain_openrouter import _html
from langchain_openrouter._http import oneshot, urls
from langchain_openrouter._http.api_key import UserSecret, to_secret
from langchain_openrouter._json import get_dict, get_number, get_str
from langchain_openrouter._key_object import KeyObject
from langchain_openrouter.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_openrouter.errors import OpenRouterError

TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What `GET /key` says of a key. Amounts are USD; None is "no limit", or "not said".

    See https://openrouter.ai/docs/api-reference/limits.
    """

    label: str | None = None
    """The key's name; where the user gave none, the service's own masked form of the key."""
    limit: float | None = None
    remaining: float | None = None
    reset: str | None = None
    """When the limit starts anew: daily, weekly, monthly; None is never."""
    usage: float = 0.0
    """Spent with this key so far."""
    is_free_tier: bool = False
    """Whether the account has never bought credits."""
    expires_at: str | None = None
    """ISO 8601, UTC."""
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """All fields, as sent."""

    @classmethod
    def of(cls, body: Any) -> Self:
        """Read an answer of `GET /key`; what is not there stays unsaid."""
        data = get_dict(body, "data") or {}
        return cls(
            label=get_str(data, "label"),
            limit=get_number(data, "limit"),
            remaining=get_number(data, "limit_remaining"),
            reset=get_str(data, "limit_reset"),
            usage=get_number(data, "usage") or 0.0,
            is_free_tier=data.get("is_free_tier") is True,
            expires_at=get_str(data, "expires_at"),
            data=data,
        )

    def _repr_html_(self) -> str:
        """Show a notebook the amounts, and a bar where there is a limit."""
        rows = {
            "key": self.label,
            "used": _usd(self.usage),
            "limit": _usd(self.limit),
            "left": _usd(self.remaining),
            "resets": self.reset,
            "expires": self.expires_at,
        }
        bar = ""
        if self.limit and self.remaining is not None:
            left = min(1.0, max(0.0, self.remaining / self.limit))
            bar = f'<meter min="0" max="1" low="0.2" value="{left:.3f}"></meter>'
        return _html.facts((n, str(v)) for n, v in rows.items() if v is not None) + bar


@dataclass(frozen=True, slots=True, repr=False)
class UserKey(KeyObject):
    """A user's own API key: permanent, with no refresh and no scope, until its owner deletes it.

    Args:
        secret: The key. A `SecretStr`; a plain string is made one.
        user_id: OpenRouter's id of the user; the service may give none.
        base_url: The API it is for.
    """

    secret: SecretStr
    user_id: str | None = None
    base_url: str = urls.BASE_URL

    def __post_init__(self) -> None:
        """Wrap a plain string."""
        if isinstance(self.secret, str):
            object.__setattr__(self, "secret", SecretStr(self.secret))

    @property
    def fingerprint(self) -> str:
        """The sha256 of the key: tells keys apart in logs and links, and gives none away."""
        return urls.key_hash(self.secret.get_secret_value())

    @property
    def settings_url(self) -> str:
        """The page where the user raises the key's limit, and deletes the key."""
        return urls.settings_url(urls.site_url(self.base_url), self.fingerprint)

    @property
    def logs_url(self) -> str:
        """The page where the user sees what the key was used for."""
        return urls.logs_url(urls.site_url(self.base_url), self.fingerprint)

    def info(self, *, timeout: float = TIMEOUT) -> KeyInfo:
        """Ask what the key may still spend.

        Args:
            timeout: Seconds without a byte.

        Raises:
            AuthenticationError: The key is wrong, deleted, disabled or expired.
            OpenRouterError: Another answer, or none.
        """
        return _info_of(oneshot.send(self._ask(timeout)))

    async def ainfo(self, *, timeout: float = TIMEOUT) -> KeyInfo:  # noqa: ASYNC109 - as in `info`
        """Ask like `info`, in the running event loop."""
        return _info_of(await oneshot.asend(self._ask(timeout)))

    def _ask(self, timeout: float) -> oneshot.Request:
        return oneshot.Request("GET", f"{self.base_url}/key", timeout, key=self.secret)

    def __repr__(self) -> str:
        """Show whose key it is, and nothing of the key."""
        mark = self.fingerprint[:8]
        return f"UserKey('**********', user_id={self.user_id!r}, fingerprint='{mark}…')"

    def _repr_html_(self) -> str:
        """Show a notebook the links, and nothing of the key."""
        user = escape(self.user_id or "unnamed user")
        limits = _html.link(self.settings_url, "limit and deletion")
        links = f"{limits} · {_html.link(self.logs_url, 'logs')}"
        return f"<b>OpenRouter key</b> of {user} · <code>**********</code> · {links}"


def to_user_secret(
    key: UserKey | SecretStr | str | Callable[[], Any], base_url: str | None = None
) -> Any:
    """Return what a user's object keeps: a `SecretStr`, or the callable that is asked.

    Args:
        key: The user's.
        base_url: Where the object sends it.

    Raises:
        AuthenticationError: There is no key; nobody else's is taken instead.
        ValueError: A `UserKey` is for another service than `base_url`.
    """
    secret: Any = to_secret(key.secret if isinstance(key, UserKey) else key)
    key_url = key.base_url if isinstance(key, UserKey) else None
    del key
    if isinstance(secret, SecretStr):
        if not secret.get_secret_value().strip():
            secret = None
        elif not isinstance(secret, UserSecret):
            secret = UserSecret(secret.get_secret_value(), key_url)
    if secret is None or not (isinstance(secret, SecretStr) or callable(secret)):
        msg = "no OpenRouter API key for this user: sign the user in first"
        raise AuthenticationError(msg)

    if key_url and base_url:
        foreign = urls.foreign_service(key_url, base_url)
        if foreign:
            raise ValueError(foreign)
    return secret


def _info_of(answer: oneshot.Response) -> KeyInfo:
    error: OpenRouterError | None = answer.error()
    if error is not None:
        raise error
    return KeyInfo.of(answer.data)


def _usd(amount: float | None) -> str | None:
    return None if amount is None else f"${amount:,.4f}"
