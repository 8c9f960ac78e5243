"""What embeddings, rerank and the catalogue share: settings, key, pool, errors, `for_user`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from langchain_openrouter import _transport, errors
from langchain_openrouter._keys import akey_of, key_of
from langchain_openrouter._links import BASE_URL
from langchain_openrouter._read import json_or_text
from langchain_openrouter._user_key import UserKey, users_secret
from langchain_openrouter.settings import (
    MAX_RETRIES,
    TIMEOUT,
    checked_base_url,
    request_headers,
    settled,
    unknown_argument,
)

if TYPE_CHECKING:
    import httpx2

_NAMES = ("api_key", "base_url", "timeout", "max_retries", "app_url", "app_title", "app_categories")


class Endpoint(BaseModel):
    """Arguments that every endpoint takes, resolved as `ChatOpenRouter` resolves them."""

    model_config = ConfigDict(
        hide_input_in_errors=True, protected_namespaces=(), arbitrary_types_allowed=True
    )

    api_key: SecretStr | str | Callable[[], Any] | None = Field(default=None, repr=False)
    """The key: a string, or a sync or async callable that is asked before each request."""
    base_url: str = BASE_URL
    """https, or http on loopback."""
    timeout: float | Any | None = TIMEOUT
    """Seconds without a byte; None waits for ever."""
    max_retries: int = Field(default=MAX_RETRIES, ge=0)
    """Repeats after 408, 429, 5xx and connection errors."""
    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    app_url: str | None = None
    app_title: str | None = None
    app_categories: list[str] | None = None
    http_client: Any = Field(default=None, exclude=True, repr=False)
    """An `httpx2.Client` of your own, in place of the shared one."""
    http_async_client: Any = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        """Refuse unknown arguments and fill in what the settings say."""
        if not isinstance(values, dict):
            return values
        known = {*cls.model_fields, "settings", "openrouter_api_key"}
        for name in values:
            if name not in known:
                raise ValueError(unknown_argument(name, known))
        given = dict(values)
        if "openrouter_api_key" in given:
            given["api_key"] = given.pop("openrouter_api_key")
        if isinstance(given.get("api_key"), str):
            given["api_key"] = SecretStr(given["api_key"])
        return settled(given, dict(zip(_NAMES, _NAMES, strict=True)))

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return checked_base_url(value)

    @model_validator(mode="after")
    def _check_headers(self) -> Self:
        self._headers()
        return self

    def for_user(self, key: UserKey | SecretStr | str | Callable[[], Any]) -> Self:
        """Return the same on another user's key; connections are shared.

        Raises:
            AuthenticationError: There is no key: this one's own is never taken instead.
        """
        return self.model_copy(update={"api_key": users_secret(key)})

    def _headers(self) -> dict[str, str]:
        return request_headers(
            self.app_url, self.app_title, self.app_categories, self.default_headers
        )

    def _asked(self, path: str, body: dict[str, Any], client: Any) -> _transport.Request:
        return _transport.Request(
            url=f"{self.base_url}{path}",
            base_url=self.base_url,
            body=_transport.encode(body),
            headers=self._headers(),
            timeout=self.timeout,
            max_retries=self.max_retries,
            client=client,
        )

    def _post(self, path: str, body: dict[str, Any], *, said: str) -> dict[str, Any]:
        """Send a body, return the answer's.

        Args:
            path: After the base URL.
            body: The request.
            said: The user's own words in it, which no message quotes.

        Raises:
            OpenRouterError: As with chat.
        """
        request = self._asked(path, body, self.http_client)
        return answer_of(_transport.post(request, key_of(self.api_key)), said)

    async def _apost(self, path: str, body: dict[str, Any], *, said: str) -> dict[str, Any]:
        """Send like `_post`."""
        request = self._asked(path, body, self.http_async_client)
        return answer_of(await _transport.apost(request, await akey_of(self.api_key)), said)


def answer_of(got: httpx2.Response | _transport.Failure, said: str = "") -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        OpenRouterError: The answer is an error, in whatever form, or no JSON object.
    """
    error: errors.OpenRouterError
    if isinstance(got, _transport.Failure):
        if got.failure is not None:
            error = errors.from_body(failure=got.failure, timed_out=got.timed_out)
        else:
            error = errors.from_body(
                json_or_text(got.body), status=got.status, headers=got.headers, prompt=said
            )
    else:
        headers = _transport.headers_of(got)
        body = json_or_text(_transport.body_of(got))
        if isinstance(body, dict) and not errors.has_error(body):
            generation_id = headers.get("x-generation-id")
            return {"id": generation_id, **body} if generation_id else body
        error = errors.from_body(body, headers=headers, prompt=said)
    if isinstance(error, errors.InsufficientCreditsError):
        error.settings_url = _transport.settings_url_of(got) or error.settings_url
    raise error
