"""A sign-in as a value: verifier -> URL of the page -> code -> the user's key."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from pydantic import SecretStr

from langchain_openrouter._encryption import multi_fernet
from langchain_openrouter._http import oneshot, urls
from langchain_openrouter._http.frames import StrippedTracebacks
from langchain_openrouter._json import get_str
from langchain_openrouter._key_object import KeyObject
from langchain_openrouter.errors import (
    SignInConnectionError,
    SignInError,
    SignInExpiredError,
    SignInSealError,
)
from langchain_openrouter.oauth._callback import code_of, parse_callback
from langchain_openrouter.oauth._exchange_errors import exchange_error
from langchain_openrouter.oauth._granted import compare_granted, requested_of, warn_of_difference
from langchain_openrouter.oauth._user_key import TIMEOUT, UserKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.fernet import MultiFernet

    from langchain_openrouter._encryption import Secret
    from langchain_openrouter.settings import OpenRouterSettings

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_MAX_LABEL_LENGTH = 100  # characters
_COMPARE_TIMEOUT = 10.0  # seconds; the sign-in does not fail if it passes
_PURPOSE = "langchain-openrouter sign-in"
_OTHER_BASE_URL = (
    "the sealed sign-in is for another base URL than this app's: pass `base_url=` to `unseal` as "
    "to `start`, and begin a new one"
)


@dataclass(frozen=True, slots=True)
class PKCELogin(KeyObject):
    """A sign-in in progress: a frozen value, the same for loopback, headless and web.

    Create one with `PKCELogin.start()`, send the user to `url`, and pass what comes back to
    `redeem`. Each sign-in belongs to one user: keep it in that user's own session, sealed, and
    never look up "the latest pending one".

    See https://openrouter.ai/docs/use-cases/oauth-pkce and RFC 7636.
    """

    verifier: SecretStr
    """43 to 128 unreserved characters; a plain string is converted to a `SecretStr`."""
    nonce: str = field(default="", repr=False)
    """The last part of the callback's path, also sent as `state`."""
    callback_url: str | None = None
    """Where the page redirects the browser, without the nonce; None shows the user a code."""
    key_label: str | None = None
    limit: float | None = None
    usage_limit_type: str | None = None
    expires_at: str | None = None
    workspace_id: str | None = None
    base_url: str = urls.BASE_URL
    required_workspace_id: str | None = None

    def __post_init__(self) -> None:
        """Validate what the page would refuse.

        Raises:
            ValueError: A field is not valid. The message does not show its value.
        """
        if isinstance(self.verifier, str):
            object.__setattr__(self, "verifier", SecretStr(self.verifier))

        if not _UNRESERVED.fullmatch(self.verifier.get_secret_value()):
            msg = "a verifier has 43 to 128 characters of A-Z a-z 0-9 - . _ ~ (RFC 7636, 4.1)"
            raise ValueError(msg)
        if self.callback_url is not None:
            _validate_callback_url(self.callback_url, self.nonce)
        if self.limit is not None and not (
            isinstance(self.limit, int | float) and 0 < self.limit < math.inf
        ):
            msg = "limit must be an amount of USD above 0"
            raise ValueError(msg)
        if self.key_label is not None and len(self.key_label) > _MAX_LABEL_LENGTH:
            msg = f"key_label must have at most {_MAX_LABEL_LENGTH} characters"
            raise ValueError(msg)

    @classmethod
    def start(  # noqa: PLR0913 - the parameters of the page, all optional
        cls,
        callback_url: str | None = None,
        key_label: str | None = None,
        limit: float | None = None,
        *,
        usage_limit_type: str | None = None,
        expires_at: datetime | timedelta | str | None = None,
        workspace_id: str | None = None,
        required_workspace_id: str | None = None,
        settings: OpenRouterSettings | None = None,
        base_url: str | None = None,
    ) -> Self:
        """Start a sign-in.

        Args:
            callback_url: https, or http on localhost or 127.0.0.1. The browser is redirected to
                `{callback_url}/{nonce}?code=...`. None: the page shows a code to paste.
            key_label: Name of the key in the user's account, up to 100 characters.
            limit: What the key may spend, in USD.
            usage_limit_type: When the limit resets: "daily", "weekly" or "monthly".
            expires_at: When the key expires; an aware datetime, `YYYY-MM-DDTHH:MM:SSZ`, or the
                time from now.
            workspace_id: The workspace that the page proposes for the key.
            required_workspace_id: The only workspace that the key may be created in: a user who is
                no member gets no key. Wins over `workspace_id`.
            settings: Where the base URL is read from; None reads the environment.
            base_url: The API's base URL, from which those of the page and the exchange follow.

        Raises:
            ValueError: An argument is not valid.
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
            required_workspace_id=required_workspace_id,
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
        """The URL of the page where the user approves or denies. Holds no secret."""
        callback = self.redirect_url
        params = {
            "callback_url": callback,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            "key_label": self.key_label,
            "limit": None if self.limit is None else json.dumps(self.limit),
            "usage_limit_type": self.usage_limit_type,
            "expires_at": self.expires_at,
            "workspace_id": self.workspace_id,
            "required_workspace_id": self.required_workspace_id,
            "state": self.nonce if callback else None,
        }

        present = {name: value for name, value in params.items() if value is not None}
        query = urlencode(present, quote_via=quote, safe="")
        return f"{urls.site_url(self.base_url)}/auth?{query}"

    def redeem(self, code_or_pasted: str, *, timeout: float = TIMEOUT) -> UserKey:
        """Exchange a code for the user's key. Never retried: a code works once.

        Where a limit, an expiry or a workspace was requested, `GET /key` is sent too: a key that
        differs is returned with a warning, and its `granted` says how.

        Args:
            code_or_pasted: The callback's complete URL, which proves which sign-in it belongs to;
                or its query, `code=...`, or the bare code.
            timeout: Seconds without a byte.

        Raises:
            SignInError: The exchange failed. No message holds a code, a verifier or a body.
        """
        request = self._build_exchange(code_or_pasted, timeout)
        del code_or_pasted  # no frame of a traceback may hold the code
        return self._raise_or_return(self._exchange(request))

    async def aredeem(self, code_or_pasted: str, *, timeout: float = TIMEOUT) -> UserKey:  # noqa: ASYNC109 - as in `redeem`
        """Exchange like `redeem`, in the running event loop."""
        request = self._build_exchange(code_or_pasted, timeout)
        del code_or_pasted
        return self._raise_or_return(await self._aexchange(request))

    def _redeem(self, code_or_pasted: str, *, timeout: float = TIMEOUT) -> UserKey | SignInError:
        """Exchange like `redeem`; return the error as a value, to show it on a page."""
        request = self._build_exchange(code_or_pasted, timeout)
        del code_or_pasted
        return self._exchange(request)

    async def _aredeem(
        self,
        code_or_pasted: str,
        *,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - as in `_redeem`
    ) -> UserKey | SignInError:
        """Exchange like `_redeem`, in the running event loop."""
        request = self._build_exchange(code_or_pasted, timeout)
        del code_or_pasted
        return await self._aexchange(request)

    # Former public names.
    settle = _redeem
    asettle = _aredeem

    def seal(self, secret: Secret | Sequence[Secret]) -> str:
        """Encrypt the sign-in, to store it in the user's own cookie or in a queue.

        Args:
            secret: 16 bytes or more, known to your servers only; of several, the first encrypts.

        Returns:
            About 350 letters, digits, `-`, `_` and `=`, which fit a cookie.

        Raises:
            ValueError: The secret is weak.
        """
        fernet = multi_fernet(secret, _PURPOSE)  # may raise: before the verifier is in this frame
        with StrippedTracebacks():
            return fernet.encrypt(self._to_json()).decode()

    def _to_json(self) -> bytes:
        """Return the fields with the verifier in plain text."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values["verifier"] = self.verifier.get_secret_value()
        fields = {name: value for name, value in values.items() if value is not None}
        return json.dumps(fields).encode()

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
        """Return the sign-in of a token.

        Args:
            token: The result of `seal`.
            secret: The secret, or several while one is being replaced.
            max_age: Seconds; the service's codes are valid for ten minutes.
            settings: Where the base URL is read from, as in `start`; None reads the environment.
            base_url: The API's, as in `start`. A sign-in sealed for another one is refused, which
                could otherwise have the code sent to any host.

        Raises:
            SignInExpiredError: The token is older than `max_age`.
            SignInSealError: It was altered, sealed with another secret, or for another base URL.
            ValueError: The secret is weak, or the base URL is not valid.
        """
        fernet = multi_fernet(secret, _PURPOSE)
        del secret
        expected = _base_url(base_url, settings)
        login, age = cls._decrypt(token, fernet)

        if login is None:
            msg = "the sealed sign-in was altered, or sealed with another secret: begin a new one"
            raise SignInSealError(msg)
        if login.base_url != expected:
            raise SignInSealError(_OTHER_BASE_URL)
        if age > max_age:
            msg = f"the sign-in began more than {max_age:g} s ago: begin a new one"
            raise SignInExpiredError(msg)
        return login

    @classmethod
    def _decrypt(cls, token: str | bytes, fernet: MultiFernet) -> tuple[Self | None, float]:
        """Return the sign-in and its age in seconds; None if the token cannot be decrypted."""
        try:
            values = json.loads(fernet.decrypt(token))
            return cls(**values), time.time() - fernet.extract_timestamp(token)
        except Exception:  # noqa: BLE001 - whatever is in it; no frame may hold the verifier
            return None, 0.0

    def _build_exchange(self, pasted: str, timeout: float) -> oneshot.Request | SignInError:
        """Build the request of the exchange, without Authorization; or return the error."""
        code = code_of(parse_callback(pasted), self.nonce if self.callback_url else None)
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
        outcome = self._parse_exchange(oneshot.send(request))
        if isinstance(outcome, SignInError) or not requested_of(self):
            return outcome
        return compare_granted(self, outcome, oneshot.send(self._build_comparison(outcome)))

    async def _aexchange(self, request: oneshot.Request | SignInError) -> UserKey | SignInError:
        if isinstance(request, SignInError):
            return request
        outcome = self._parse_exchange(await oneshot.asend(request))
        if isinstance(outcome, SignInError) or not requested_of(self):
            return outcome
        return compare_granted(self, outcome, await oneshot.asend(self._build_comparison(outcome)))

    def _build_comparison(self, key: UserKey) -> oneshot.Request:
        return oneshot.Request("GET", f"{self.base_url}/key", _COMPARE_TIMEOUT, key=key.secret)

    def _parse_exchange(self, response: oneshot.Response) -> UserKey | SignInError:
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
        return exchange_error(response)

    def _raise_or_return(self, outcome: UserKey | SignInError) -> UserKey:
        if isinstance(outcome, SignInError):
            raise outcome
        warn_of_difference(self, outcome)
        return outcome


def _validate_callback_url(url: str, nonce: str) -> None:
    """Validate a callback URL.

    Raises:
        ValueError: It is neither https nor http on this machine, has a fragment, or there is no
            nonce to tell its sign-in by.
    """
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
    from langchain_openrouter.settings import (  # noqa: PLC0415 - slow to import
        OpenRouterSettings,
    )

    if base_url is not None:
        return urls.validate_base_url(base_url)
    return (settings or OpenRouterSettings()).base_url


def _utc(moment: datetime | timedelta | str | None) -> str | None:
    """Return ISO 8601 with seconds and Z, the only form that the service accepts."""
    if moment is None or isinstance(moment, str):
        return moment
    if isinstance(moment, timedelta):
        moment = datetime.now(UTC) + moment

    if moment.tzinfo is None:
        msg = "expires_at must be an aware datetime: add `tzinfo=UTC`"
        raise ValueError(msg)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
