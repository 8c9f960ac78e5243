"""What embeddings, rerank, the catalog and the accounts share: arguments, key, requests, errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from langchain_openrouter._http import transport
from langchain_openrouter._http.api_key import refuse_management_key, to_secret
from langchain_openrouter._http.deadlines import start_deadline, validate_deadline
from langchain_openrouter._http.error_context import error_context
from langchain_openrouter._http.error_mapping import contains_error, error_from_response
from langchain_openrouter._http.headers import request_headers
from langchain_openrouter._http.metering import facts_from_body
from langchain_openrouter._http.run_key import current_user
from langchain_openrouter._http.timeouts import to_httpx_timeout, validate_timeout
from langchain_openrouter._http.urls import validate_base_url
from langchain_openrouter._json import parse_json_or_text
from langchain_openrouter._langgraph import MAX_SESSION_ID, resolve_session_id
from langchain_openrouter._vocabulary import validate_vocabulary
from langchain_openrouter.oauth._user_key import UserKey, to_user_secret
from langchain_openrouter.settings import (
    MAX_RETRIES,
    TIMEOUT,
    EnvironmentKey,
    EnvironmentUrl,
    OpenRouterSettings,
    environment_api_key,
    environment_base_url,
    resolve_settings,
    shown_api_key,
    shown_base_url,
    unknown_argument_message,
)

if TYPE_CHECKING:
    from langchain_openrouter import wire
    from langchain_openrouter._http.metering import Call

    Provider = wire.ProviderPreferences
else:  # pydantic would drop the keys that a TypedDict does not name
    Provider = dict[str, Any]

_NAMES = tuple(OpenRouterSettings.model_fields)


class ServiceClient(BaseModel):
    """The arguments and requests that all clients of the API have in common, but for the key."""

    model_config = ConfigDict(
        hide_input_in_errors=True, protected_namespaces=(), arbitrary_types_allowed=True
    )

    base_url: str = Field(default_factory=shown_base_url)
    """https, or http on loopback. Without one, OPENROUTER_BASE_URL is read for each request."""
    timeout: float | Any | None = TIMEOUT
    """Seconds without a byte after which a request fails; None waits without limit."""
    deadline: float | None = None
    """Seconds that a request may take in all, its retries included; None sets no limit."""
    max_retries: int = Field(default=MAX_RETRIES, ge=0)
    """How often a request is repeated after 408, 429, 5xx and connection errors."""
    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    app_url: str | None = None
    app_title: str | None = None
    app_categories: list[str] | None = None
    http_client: Any = Field(default=None, exclude=True, repr=False)
    """An `httpx2.Client` that is used instead of the shared one."""
    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """An `httpx2.AsyncClient` that is used instead of the shared one."""

    _key_name: ClassVar[str]
    """The field that holds the key."""
    _key_synonyms: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:  # a further argument of the constructor
        settings: OpenRouterSettings | None = None
    else:

        @property
        def settings(self) -> OpenRouterSettings:
            """The settings of this object; the key only if it is no callable."""
            values = {name: getattr(self, name) for name in _NAMES if hasattr(self, name)}
            if callable(values[self._key_name]):
                values[self._key_name] = None
            return OpenRouterSettings.model_construct(**values)

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        """Refuse unknown arguments and fill in missing ones from the settings."""
        if not isinstance(values, dict):
            return values

        known = {*cls.model_fields, "settings", *cls._key_synonyms}
        for name in values:
            if name not in known:
                raise ValueError(unknown_argument_message(name, known))

        fields = dict(values)
        for synonym in cls._key_synonyms:
            if synonym in fields:
                fields[cls._key_name] = fields.pop(synonym)
        for name in (cls._key_name, "base_url"):
            if fields.get(name) is None:
                fields.pop(name, None)
        if cls._key_name in fields:
            fields[cls._key_name] = cls._to_key(fields[cls._key_name])
        return resolve_settings(fields, {name: name for name in _NAMES if name in cls.model_fields})

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return validate_base_url(value)

    @field_validator("timeout")
    @classmethod
    def _check_timeout(cls, value: Any) -> Any:
        return validate_timeout(value)

    @field_validator("deadline", mode="before")
    @classmethod
    def _check_deadline(cls, value: Any) -> Any:
        return validate_deadline(value)

    @model_validator(mode="after")
    def _check_headers(self) -> Self:
        self._headers()
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign; a key becomes a secret, a base URL and a timeout are validated."""
        super().__setattr__(name, self._checked_field(name, value))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; the values of `update` are validated as in the constructor."""
        fields = {
            (field := self._key_name if name in self._key_synonyms else name): (
                self._checked_field(field, value)
            )
            for name, value in (update or {}).items()
        }
        return super().model_copy(update=fields, deep=deep)

    @classmethod
    def _checked_field(cls, name: str, value: Any) -> Any:
        """Return the value of a field, validated and converted as in the constructor."""
        if name == cls._key_name:
            return cls._to_key(value)
        if name == "base_url" and isinstance(value, str) and type(value) is not EnvironmentUrl:
            return validate_base_url(value)
        if name == "timeout":
            return validate_timeout(value)

        if name == "deadline":
            return validate_deadline(value)
        return value

    @classmethod
    def _to_key(cls, key: Any) -> Any:
        """Return a key as a secret; a callable as it is.

        Raises:
            ValueError: It is a key for something else.
        """
        raise NotImplementedError

    def _headers(self) -> dict[str, str]:
        return request_headers(
            self.app_url,
            self.app_title,
            self.app_categories,
            self._own_headers(),
            self.default_headers,
        )

    def _own_headers(self) -> dict[str, str]:
        """Return further headers of this resource; those of the user replace them."""
        return {}

    def _base_url(self) -> str:
        """Return the base URL of a request that is sent now."""
        url = self.base_url
        return environment_base_url() if isinstance(url, EnvironmentUrl) else url

    def _send(
        self,
        request: transport.Request,
        *,
        sensitive: Any = None,
        is_error: Callable[[Any], bool] = contains_error,
    ) -> dict[str, Any]:
        """Send a request and return the JSON object of the response.

        Args:
            request: Sent with `http_client` if there is one.
            sensitive: Text of the user in the request, which no error message may quote.
            is_error: Tells whether the body of a 200 is an error.

        Raises:
            OpenRouterError: The request failed; see `errors`.
        """
        response = transport.send(request._replace(client=self.http_client))
        with error_context(response, prompt=sensitive):
            return _parse_response(response, is_error, is_management=request.is_management)

    async def _asend(
        self,
        request: transport.Request,
        *,
        sensitive: Any = None,
        is_error: Callable[[Any], bool] = contains_error,
    ) -> dict[str, Any]:
        """Send like `_send`."""
        response = await transport.asend(request._replace(client=self.http_async_client))
        with error_context(response, prompt=sensitive):
            return _parse_response(response, is_error, is_management=request.is_management)


class APIResource(ServiceClient):
    """The arguments and requests of a resource of the API, resolved as in `ChatOpenRouter`."""

    api_key: SecretStr | str | Callable[[], Any] | None = Field(
        default_factory=shown_api_key, repr=False
    )
    """The key: a string, or a sync or async callable that is called for each request.

    Without one, OPENROUTER_API_KEY is read when a request is sent.
    """

    _key_name: ClassVar[str] = "api_key"
    _key_synonyms: ClassVar[tuple[str, ...]] = ("openrouter_api_key",)

    if TYPE_CHECKING:  # a further argument of the constructor
        openrouter_api_key: SecretStr | str | Callable[[], Any] | None = None
    else:

        @property
        def openrouter_api_key(self) -> SecretStr | Callable[[], Any] | None:
            """The key, under the name it has in LangChain's own OpenRouter package."""
            return self.api_key

    def for_user(self, key: UserKey | SecretStr | str | Callable[[], Any]) -> Self:
        """Return a copy that uses another user's key; connections are shared.

        Args:
            key: The user's key, or a sync or async callable that is called for each request.

        Raises:
            AuthenticationError: There is no key; this object's own is not used instead.
            ValueError: The `UserKey` is for another service than `base_url`, or it is a management
                key.
        """
        return self.model_copy(update={"api_key": to_user_secret(key, self.base_url)})

    def for_current_user(self) -> Self:
        """Return a copy on the key of the user whose run it is called in; outside one it raises."""
        return self.for_user(current_user)

    @classmethod
    def _to_key(cls, key: Any) -> Any:
        refuse_management_key(key)
        return to_secret(key)

    def _key_source(self) -> Any:
        """Return the key, or the callable that returns it when a request is sent."""
        key = self.api_key
        if isinstance(key, EnvironmentKey) or (
            key is None and "api_key" not in self.model_fields_set
        ):
            return environment_api_key
        return key

    def _build_request(
        self,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        needs_key: bool = True,
        call: Call | None = None,
    ) -> transport.Request:
        """Build a request; one without a body is a GET."""
        base_url = self._base_url()

        return transport.Request(
            url=f"{base_url}{path}",
            base_url=base_url,
            method="get" if body is None else "post",
            body=b"" if body is None else transport.encode_json(body),
            query=query,
            headers=self._headers(),
            timeout=to_httpx_timeout(self.timeout),
            deadline=start_deadline(self.deadline),
            max_retries=self.max_retries,
            api_key=self._key_source(),
            needs_key=needs_key,
            call=call,
        )


class ModelResource(APIResource):
    """A resource that calls a model: what chat has as fields of the body too."""

    model: str
    """The model's slug."""
    openrouter_provider: Provider | None = None
    """Provider preferences, as in `ChatOpenRouter`."""
    session_id: str | None = Field(default=None, max_length=MAX_SESSION_ID)
    """Groups requests with those of chat, as the header `x-session-id`.

    `"thread"` stands for the `thread_id` of the LangGraph run.
    """
    model_kwargs: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)
    """Further fields of the request's body."""

    @field_validator("openrouter_provider")
    @classmethod
    def _check_provider(cls, value: Any) -> Any:
        return validate_vocabulary("provider", value)

    def _own_headers(self) -> dict[str, str]:
        session_id = resolve_session_id(self.session_id)
        return {"x-session-id": session_id} if session_id else {}


def _parse_response(
    response: transport.ApiResponse,
    is_error: Callable[[Any], bool],
    *,
    is_management: bool = False,
) -> dict[str, Any]:
    """Return the JSON object of a response; an empty one if it has no content.

    Raises:
        OpenRouterError: The response is an error in any form, or not a JSON object.
    """
    if response.status == HTTPStatus.NO_CONTENT and response.failure is None:
        return {}

    body = parse_json_or_text(response.body)
    if response.call is not None:
        response.call.facts = partial(facts_from_body, body)
    if not response.is_error and isinstance(body, dict) and not is_error(body):
        generation_id = response.headers.get("x-generation-id")
        return {"id": generation_id, **body} if generation_id else body

    raise error_from_response(
        body,
        status=response.status if response.is_error else None,
        headers=response.headers,
        failure=response.failure,
        is_management=is_management,
    )
