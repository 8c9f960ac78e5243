"""One model per user: the same model on another key, and a model from a sign-in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_openrouter import _html, oauth
from langchain_openrouter._http.run_key import user_id
from langchain_openrouter.chat_models._fields import Arguments
from langchain_openrouter.chat_models._private_arguments import REDACTED
from langchain_openrouter.oauth._user_key import UserKey, to_user_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

    from langchain_openrouter.oauth import LoginOptions

_PAGE = ("mode", "open_browser", "prompt", "remember", "remember_as", "key_label", "limit",
         "usage_limit_type", "expires_at", "workspace_id")  # fmt: skip
_SHARED = ("settings", "base_url")


class PerUser(Arguments):
    """What a model knows of users."""

    def for_user(
        self,
        key: UserKey | SecretStr | str | Callable[[], Any],
        *,
        user: str | Literal[True] | None = None,
    ) -> Self:
        """Return this model on another user's key; connections are shared, nothing else is.

        Takes microseconds and under 2.5 KiB, so that each request of a web app can make one.

        Args:
            key: The user's. A callable, sync or async, is asked before each request.
            user: Sent as the wire's `user`, which keeps one user's abuse from blocking an account
                and routes a user's prompts to a warm cache; True takes the id that came with the
                `UserKey`. See https://openrouter.ai/docs/use-cases/user-tracking.

        Raises:
            AuthenticationError: There is no key: this model's own is never taken instead.
            ValueError: `user=True` and the key came without an id, or the `UserKey` is for
                another service than this model's `base_url`.
        """
        secret = to_user_secret(key, self._base_url())
        if user is True:
            user = key.user_id if isinstance(key, UserKey) else None
            if not user:
                msg = "this key came without a user id: pass `user=` yourself"
                raise ValueError(msg)
        update = {self._SECRET: secret} if user is None else {self._SECRET: secret, "user": user}
        return self.model_copy(update=update)

    def _params_of_run(self) -> dict[str, Any]:
        """Return the fields of the body, with the id of the user whose run this is.

        Apart from `_default_params`, which traces and caches show too.
        """
        user = user_id()
        return {"user": user, **self._default_params} if user else self._default_params

    def _repr_html_(self) -> str:
        """Show a notebook which model this is and where it runs; nothing of the key."""
        rows = {
            "model": self.model_name,
            "at": self.openai_api_base,
            "key": "**********" if self._key_source() else "none",
        }
        for name, value in self._default_params.items():
            if name != "model" and value not in (None, False):
                rows[name] = REDACTED if name in self.model_kwargs else str(value)
        return _html.facts(rows.items())

    @classmethod
    def login(cls, *, model: str, login_timeout: float | None = 300.0, **kwargs: Any) -> Self:
        """Sign a user in and return the model that runs on the user's own key.

        Args:
            model: Slug.
            login_timeout: Seconds until nobody's answer is an error; None waits for ever.
            **kwargs: The words of `oauth.login` (`mode`, `prompt`, `remember`, `limit`, ...) and
                arguments of the model, whose `timeout` is seconds without a byte of an answer.

        Raises:
            SignInError: The sign-in ended without a key.
            pydantic.ValidationError: An argument of the model does not fit; before the sign-in.
        """
        words, unsigned = cls._split(model, login_timeout, kwargs)
        return unsigned.for_user(oauth.login(**words))

    @classmethod
    async def alogin(
        cls, *, model: str, login_timeout: float | None = 300.0, **kwargs: Any
    ) -> Self:
        """Sign a user in like `login`, while the event loop runs on."""
        words, unsigned = cls._split(model, login_timeout, kwargs)
        return unsigned.for_user(await oauth.alogin(**words))

    @classmethod
    def _split(
        cls, model: str, timeout: float | None, kwargs: dict[str, Any]
    ) -> tuple[LoginOptions, Self]:
        """Return the words of the sign-in, and the model, made first so that errors come early."""
        if "api_key" in kwargs:
            msg = "`login` gets the key by itself: leave `api_key=` out"
            raise ValueError(msg)
        words: Any = {name: kwargs.pop(name) for name in _PAGE if name in kwargs}
        words.update({name: kwargs[name] for name in _SHARED if name in kwargs}, timeout=timeout)
        unsigned = cls(model=model, **kwargs)
        words["base_url"] = unsigned.openai_api_base
        return words, unsigned
