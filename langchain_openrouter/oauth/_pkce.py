"""One sign-in as a value: verifier -> address of the page -> code -> the user's key."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from pydantic import SecretStr

from langchain_openrouter._encryption import multi_fernet
from langchain_openrouter._http import oneshot, urls
from langchain_openrouter._json import get_str
from langchain_openrouter._key_object import KeyObject
from langchain_openrouter.errors import (
    ChallengeMethodError,
    InvalidCodeError,
    InvalidSealError,
    SignInConnectionError,
    SignInError,
    SignInExpiredError,
    SignInRefusedError,
)
from langchain_openrouter.oauth._callback import callback_of, code_of
from langchain_openrouter.oauth._user_key import TIMEOUT, UserKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.fernet import MultiFernet

    from langchain_openrouter._encryption import Secret
    from langchain_openrouter.settings import OpenRouterSettings

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_LABEL = 100  # characters
_PURPOSE = "langchain-openrouter sign-in"


@dataclass(frozen=True, slots=True)
class PKCELogin(KeyObject):
    """A sign-in that has begun: a frozen value, the same for loopback, headless and web.

    Make one with `PKCELogin.start()`, send the user to `url`, and give what comes back to
    `redeem`. Each sign-in is of one user: keep it in that user's own session, sealed, and never
    look for "the one that waits".

    See https://openrouter.ai/docs/use-cases/oauth-pkce and RFC 7636.
    """

    verifier: SecretStr
    """43 to 128 unreserved characters; a plain string is made a `SecretStr`."""
    nonce: str = field(default="", repr=False)
    """Stands at the end of the callback's path, and is sent as `state`."""
    callback_url: str | None = None
    """Where the page sends the browser, without the nonce; None shows the user a code."""
    key_label: str | None = None
    limit: float | None = None
    usage_limit_type: str | None = None
    expires_at: str | None = None
    workspace_id: str | None = None
    base_url: str = urls.BASE_URL

    def __post_init__(self) -> None:
        """Refuse what the page would refuse, without showing a value.

        Raises:
            ValueError: The verifier, the callback or the label does not fit.
        """
        if isinstance(self.verifier, str):
            object.__setattr__(self, "verifier", SecretStr(self.verifier))
        if not _UNRESERVED.fullmatch(self.verifier.get_secret_value()):
            msg = "a verifier has 43 to 128 characters of A-Z a-z 0-9 - . _ ~ (RFC 7636, 4.1)"
            raise ValueError(msg)
        if self.callback_url is not None:
            _check_callback(self.callback_url, self.nonce)
        if self.limit is not None and not 0 < self.limit < math.inf:
            msg = "limit must be an amount of USD above 0"
            raise ValueError(msg)
        if self.key_label is not None and len(self.key_label) > _LABEL:
            msg = f"key_label must have at most {_LABEL} characters"
            raise ValueError(msg)

    @classmethod
    def start(  # noqa: PLR0913 - what the page may be told, all optional
        cls,
        callback_url: str | None = None,
        key_label: str | None = None,
        limit: float | None = None,
        *,
        usage_limit_type: str | None = None,
        expires_at: datetime | str | None = None,
        workspace_id: str | None = None,
        settings: OpenRouterSettings | None = None,
        base_url: str | None = None,
    ) -> Self:
        """Begin a sign-in.

        Args:
            callback_url: https, or http on localhost or 127.0.0.1. The browser comes back to
                `{callback_url}/{nonce}?code=...`. None: the page shows a code to paste.
            key_label: Name of the key in the user's account, up to 100 characters.
            limit: What the key may spend, USD.
            usage_limit_type: When the limit starts anew: "daily", "weekly" or "monthly".
            expires_at: When the key ends; an aware datetime, or `YYYY-MM-DDTHH:MM:SSZ`.
            workspace_id: The workspace the key is made in.
            settings: Where the base URL is taken from; else the environment.
            base_url: The API's; the page and the exchange are found from it.

        Raises:
            ValueError: An argument does not fit.
        """
        return cls(
            verifier=SecretStr(secrets.token_urlsafe(32)),
            nonce=secrets.token_urlsafe(16),
            callback_url=callback_url,
            key_label=key_label,
            limit=limit,
            usage_limit_type=usage_limit_type,
            expires_at=_utc(expires_at),
            workspace_id=workspace_id,
            base_url=_base_url(base_url, settings),
        )

    @property
    def challenge(self) -> str:
        """The sha256 of the verifier, base64url without padding (RFC 7636, 4.2)."""
        digest = hashlib.sha256(self.verifier.get_secret_value().encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    @property
    def redirect_url(self) -> str | None:
        """The callback with the nonce at the end of its path."""
        if self.callback_url is None:
            return None
        parts = urlsplit(self.callback_url)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{self.nonce}"))

    @property
    def url(self) -> str:
        """The page where the user says yes or no. Holds no secret."""
        callback = self.redirect_url
        wanted = {
            "callback_url": callback,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            "key_label": self.key_label,
            "limit": None if self.limit is None else json.dumps(self.limit),
            "usage_limit_type": self.usage_limit_type,
            "expires_at": self.expires_at,
            "workspace_id": self.workspace_id,
            "state": self.nonce if callback else None,
        }
        given = {name: value for name, value in wanted.items() if value is not None}
        return f"{urls.site_url(self.base_url)}/auth?{urlencode(given, quote_via=quote, safe='')}"

    def redeem(self, code_or_pasted: str, *, timeout: float = TIMEOUT) -> UserKey:
        """Exchange what came back for the user's key. Never repeated: a code works once.

        Args:
            code_or_pasted: The callback's whole URL, which proves whose sign-in it is; or its
                query, `code=...`, or the bare code.
            timeout: Seconds without a byte.

        Raises:
            SignInError: One of its kinds. No message holds a code, a verifier or a body.
        """
        request = self._build_exchange(code_or_pasted, timeout)
        del code_or_pasted  # no frame of a traceback knows the code
        return _raise_or_return(self._exchange(request))

    async def aredeem(self, code_or_pasted: str, *, timeout: float = TIMEOUT) -> UserKey:  # noqa: ASYNC109 - as in `redeem`
        """Exchange like `redeem`, in the running event loop."""
        request = self._build_exchange(code_or_pasted, timeout)
        del code_or_pasted
        return _raise_or_return(await self._aexchange(request))

    def settle(self, code_or_pasted: str, *, timeout: float = TIMEOUT) -> UserKey | SignInError:
        """Exchange like `redeem`; return the error as a value, for who shows it on a page."""
        request = self._build_exchange(code_or_pasted, timeout)
        del code_or_pasted
        return self._exchange(request)

    async def asettle(
        self,
        code_or_pasted: str,
        *,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - as in `settle`
    ) -> UserKey | SignInError:
        """Settle like `settle`, in the running event loop."""
        request = self._build_exchange(code_or_pasted, timeout)
        del code_or_pasted
        return await self._aexchange(request)

    def seal(self, secret: Secret | Sequence[Secret]) -> str:
        """Encrypt the sign-in, to be carried in the user's own cookie or through a queue.

        Args:
            secret: 16 bytes or more, known to your servers alone; of several, the first seals.

        Returns:
            Letters, digits, `-`, `_` and `=`: some 350, fit for a cookie.
        """
        fernet = multi_fernet(
            secret, _PURPOSE
        )  # before the verifier is in this frame: it may raise
        values = {name: getattr(self, name) for name in self.__slots__}
        values["verifier"] = self.verifier.get_secret_value()
        fields = {name: value for name, value in values.items() if value is not None}
        return fernet.encrypt(json.dumps(fields).encode()).decode()

    @classmethod
    def unseal(
        cls,
        token: str | bytes,
        secret: Secret | Sequence[Secret],
        max_age: float = 600,
        *,
        settings: OpenRouterSettings | None = None,
        base_url: str | None = None,
    ) -> Self:
        """Return the sign-in that was sealed.

        Args:
            token: What `seal` returned.
            secret: The secret, or several where one is being replaced.
            max_age: Seconds; the service's codes live ten minutes.
            settings: Where the base URL is taken from, as in `start`; else the environment.
            base_url: The API's, as in `start`. A sign-in sealed for another one is refused: who
                knows the secret could otherwise have the code sent to a host of their own.

        Raises:
            SignInExpiredError: It was sealed longer ago.
            InvalidSealError: It was altered, sealed with another secret, or for another base URL.
            ValueError: The secret is weak, or the base URL is none.
        """
        fernet = multi_fernet(secret, _PURPOSE)
        del secret
        expected = _base_url(base_url, settings)
        login, age = cls._opened(token, fernet)

        if login is None:
            msg = "the sealed sign-in was altered, or sealed with another secret: begin a new one"
            raise InvalidSealError(msg)
        if login.base_url != expected:
            msg = (
                "the sealed sign-in is for another base URL than this app's: pass `base_url=` to "
                "`unseal` as to `start`, and begin a new one"
            )
            raise InvalidSealError(msg)
        if age > max_age:
            msg = f"the sign-in began more than {max_age:g} s ago: begin a new one"
            raise SignInExpiredError(msg)
        return login

    @classmethod
    def _opened(cls, token: str | bytes, fernet: MultiFernet) -> tuple[Self | None, float]:
        """Return the sign-in and its age in seconds; None where the token is not one of ours."""
        try:
            values = json.loads(fernet.decrypt(token))
            return cls(**values), time.time() - fernet.extract_timestamp(token)
        except Exception:  # noqa: BLE001 - whatever is in it: the caller's frame knows no verifier
            return None, 0.0

    def _build_exchange(self, pasted: str, timeout: float) -> oneshot.Request | SignInError:
        """Return the request that spends the code: it carries no Authorization."""
        code = code_of(callback_of(pasted), self.nonce if self.callback_url else None)
        del pasted
        if isinstance(code, SignInError):
            return code
        body = {
            "code": SecretStr(code),
            "code_verifier": self.verifier,
            "code_challenge_method": "S256",
        }
        return oneshot.Request("POST", f"{self.base_url}/auth/keys", timeout, json=body)

    def _exchange(self, request: oneshot.Request | SignInError) -> UserKey | SignInError:
        if isinstance(request, SignInError):
            return request
        return self._to_user_key(oneshot.send(request))

    async def _aexchange(self, request: oneshot.Request | SignInError) -> UserKey | SignInError:
        if isinstance(request, SignInError):
            return request
        return self._to_user_key(await oneshot.asend(request))

    def _to_user_key(self, response: oneshot.Response) -> UserKey | SignInError:
        if response.failure is not None:
            error = SignInConnectionError(
                f"the exchange failed: {response.failure.reason} - check the network and begin a "
                "new sign-in"
            )
            error.__cause__ = response.failure.error
            return error
        key = get_str(response.data, "key")
        if response.status == 200 and key:  # noqa: PLR2004 - HTTP
            return UserKey(SecretStr(key), get_str(response.data, "user_id"), self.base_url)
        return _refusal(response)


def _raise_or_return(outcome: UserKey | SignInError) -> UserKey:
    if isinstance(outcome, SignInError):
        raise outcome
    return outcome


def _refusal(answer: oneshot.Response) -> SignInError:
    """Return the error of an answer that holds no key, in words of our own."""
    status = answer.status
    told = answer.error()
    said = str(told or "").lower()
    kind: type[SignInError] = SignInRefusedError
    what = f"OpenRouter refused the exchange with status {status}"
    if status == 403:  # noqa: PLR2004 - HTTP
        kind, what = InvalidCodeError, "the code is wrong, or was used before"
        if "expired" in said:
            kind, what = SignInExpiredError, "the code has expired: it lives ten minutes"
    elif status == 400 and "method" in said:  # noqa: PLR2004 - HTTP
        kind, what = ChallengeMethodError, "OpenRouter does not take the challenge method S256"
    elif status == 200:  # noqa: PLR2004 - HTTP
        what = "OpenRouter's answer holds no key"
    wait = told.retry_after if told else None
    advice = "begin a new sign-in" if wait is None else f"wait {wait:g} s and begin a new sign-in"
    return kind(f"{what} - {advice}", code=status, retry_after=wait)


def _check_callback(url: str, nonce: str) -> None:
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1"}
    if not parts.hostname or not (parts.scheme == "https" or local):
        msg = "callback_url must be https, or http on localhost or 127.0.0.1"
        raise ValueError(msg)
    if parts.fragment:
        msg = "callback_url must not hold a fragment: the code would follow it"
        raise ValueError(msg)
    if not nonce:
        msg = "a sign-in with a callback needs a nonce: use `PKCELogin.start()`"
        raise ValueError(msg)


def _base_url(base_url: str | None, settings: OpenRouterSettings | None) -> str:
    """Return the API's URL: keyword, settings, environment, default."""
    from langchain_openrouter.settings import (  # noqa: PLC0415 - slow to import, and rarely first
        OpenRouterSettings,
    )

    if base_url is not None:
        return urls.validate_base_url(base_url)
    return (settings or OpenRouterSettings()).base_url


def _utc(moment: datetime | str | None) -> str | None:
    """Return ISO 8601 with seconds and Z, the one form the service takes."""
    if moment is None or isinstance(moment, str):
        return moment
    if moment.tzinfo is None:
        msg = "expires_at must be an aware datetime: add `tzinfo=UTC`"
        raise ValueError(msg)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
