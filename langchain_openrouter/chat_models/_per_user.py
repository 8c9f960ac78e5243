"""What keeps users apart: a model on a user's own key, by hand or by sign-in, and its cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_openrouter import _html, oauth
from langchain_openrouter._http import transport
from langchain_openrouter._http.api_key import UserSecret, cache_fingerprint, to_secret
from langchain_openrouter._http.run_key import current_user
from langchain_openrouter.chat_models._arguments import API_KEY_FIELD
from langchain_openrouter.chat_models._private_arguments import PRIVATE_KWARGS, REDACTED, reveal
from langchain_openrouter.oauth._options import with_model_login_signature
from langchain_openrouter.oauth._user_key import UserKey, to_user_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.messages import BaseMessage
    from pydantic import SecretStr

    from langchain_openrouter.chat_models._fields import ChatOpenRouterFields
    from langchain_openrouter.oauth import LoginOptions

    _Model = ChatOpenRouterFields  # the class that the mixin is mixed into
else:
    _Model = object

# Arguments of `login` that are those of the sign-in.
_LOGIN_KEYWORDS = (
    "mode",
    "open_browser",
    "prompt",
    "key_store",
    "user_id",
    "remember",
    "remember_as",
    "key_label",
    "limit",
    "usage_limit_type",
    "expires_at",
    "workspace_id",
    "required_workspace_id",
)
# Those of both the sign-in and the model.
_SHARED_KEYWORDS = ("settings", "base_url")


class PerUserMixin(_Model):
    """Makes models for users, separates the cache by key, and shows a model in a notebook."""

    def for_user(
        self,
        key: UserKey | SecretStr | str | Callable[[], Any],
        *,
        user: str | Literal[True] | None = None,
    ) -> Self:
        """Return this model on another user's key; the two share connections and nothing else.

        Takes microseconds and under 2.5 KiB, so that each request of a web app can make one.

        Args:
            key: The user's. A callable, sync or async, is called before each request.
            user: Sent as the wire's `user`, so that abuse by one user does not block the account
                and a user's prompts are routed to a warm cache; True takes the id that came with
                the `UserKey`. See https://openrouter.ai/docs/use-cases/user-tracking.

        Raises:
            AuthenticationError: There is no key. This model's own key is never used instead.
            ValueError: `user=True` and the key came without an id, or the `UserKey` is for
                another service than this model's `base_url`.
        """
        key = to_secret(key)  # no frame of a traceback has it as text
        secret = to_user_secret(key, self._base_url())
        if user is True:
            user = key.user_id if isinstance(key, UserKey) else None
            if not user:
                msg = "this key came without a user id: pass `user=` yourself"
                raise ValueError(msg)

        update: dict[str, Any] = {API_KEY_FIELD: secret}
        is_of_a_user = isinstance(self.openai_api_key, UserSecret)
        if user is not None or is_of_a_user:  # the id of another user does not go along
            update["user"] = user
        return self.model_copy(update=update)

    def for_current_user(self) -> Self:
        """Return this model on the key of the user whose run it is called in.

        It is called inside `with as_user(...)` or in the run of an agent with a `PerUserModel`;
        outside one it raises, and never uses another key.
        """
        return self.for_user(current_user)

    @classmethod
    @with_model_login_signature
    def login(cls, *, model: str, login_timeout: float | None = 300.0, **kwargs: Any) -> Self:
        """Sign a user in and return the model that runs on the user's own key.

        Args:
            model: Slug.
            login_timeout: Seconds to wait for the user; None waits without a limit.
            **kwargs: Arguments of `oauth.login` (`mode`, `prompt`, `key_store`, `limit`, ...) and
                of the model. `timeout` is the model's.

        Raises:
            SignInError: The sign-in ended without a key.
            pydantic.ValidationError: An argument of the model is not valid; raised before the
                sign-in.
        """
        options, keyless_model = cls._split_login_kwargs(model, login_timeout, kwargs)
        return keyless_model.for_user(oauth.login(**options))

    @classmethod
    @with_model_login_signature
    async def alogin(
        cls, *, model: str, login_timeout: float | None = 300.0, **kwargs: Any
    ) -> Self:
        """Sign a user in like `login`, without blocking the event loop.

        Args:
            model: Slug.
            login_timeout: Seconds to wait for the user; None waits without a limit.
            **kwargs: As of `login`.

        Raises:
            SignInError: The sign-in ended without a key.
            pydantic.ValidationError: An argument of the model is not valid; raised before the
                sign-in.
        """
        options, keyless_model = cls._split_login_kwargs(model, login_timeout, kwargs)
        return keyless_model.for_user(await oauth.alogin(**options))

    @classmethod
    def _split_login_kwargs(
        cls, model: str, timeout: float | None, kwargs: dict[str, Any]
    ) -> tuple[LoginOptions, Self]:
        """Return the options of the sign-in, and the model without a key.

        The model is made first, so that a wrong argument is reported before the user signs in.
        """
        if "api_key" in kwargs:
            msg = "`login` gets the key by itself: leave `api_key=` out"
            raise ValueError(msg)

        options: Any = {name: kwargs.pop(name) for name in _LOGIN_KEYWORDS if name in kwargs}
        options.update({name: kwargs[name] for name in _SHARED_KEYWORDS if name in kwargs})
        keyless_model = cls(model=model, **kwargs)
        options.update(timeout=timeout, base_url=keyless_model.openai_api_base)
        return options, keyless_model

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Return the key of LangChain's cache, which differs for each API key.

        A cached response is returned only to the user who paid for it. Headers and extra bodies
        count too; they and the API key are in the cache only as a hash.
        """
        private = [reveal(kwargs.pop(name, None)) for name in PRIVATE_KWARGS]

        fingerprint = cache_fingerprint(
            self._key_source(),
            private,
            self.default_headers,
            self.extra_body,
            self.default_query,
            self.model_kwargs,
        )
        return f"{super()._get_llm_string(stop=stop, **kwargs)}---{fingerprint}"

    def _generate_with_cache(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        """Resolve a callable key first, since the cache key depends on the API key."""
        if not callable(self._key_source()) or self.cache is False:
            return super()._generate_with_cache(messages, *args, **kwargs)

        api_key = transport.resolve_key(self._key_source(), self._base_url())
        keyed = self.model_copy(update={API_KEY_FIELD: api_key})
        return keyed._generate_with_cache(messages, *args, **kwargs)  # noqa: SLF001 - same class

    async def _agenerate_with_cache(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Any:
        """Resolve a callable key first, like `_generate_with_cache`."""
        if not callable(self._key_source()) or self.cache is False:
            return await super()._agenerate_with_cache(messages, *args, **kwargs)

        api_key = await transport.aresolve_key(self._key_source(), self._base_url())
        keyed = self.model_copy(update={API_KEY_FIELD: api_key})
        return await keyed._agenerate_with_cache(  # noqa: SLF001 - same class
            messages, *args, **kwargs
        )

    def _repr_html_(self) -> str:
        """Show a notebook the model, its base URL and its parameters, without the key."""
        rows = {
            "model": self.model_name,
            "at": self.openai_api_base,
            "key": "**********" if self._key_source() else "none",
        }

        for name, value in self._default_params.items():
            if name != "model" and value not in (None, False):
                rows[name] = REDACTED if name in self.model_kwargs else str(value)
        return _html.facts(rows.items())
