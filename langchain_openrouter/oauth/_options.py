"""The keywords of `login` and `alogin`."""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from langchain_openrouter.oauth._user_key import UserKey
    from langchain_openrouter.settings import OpenRouterSettings

F = TypeVar("F", bound="Callable[..., Any]")
Mode: TypeAlias = Literal["auto", "loopback", "headless"]

USER_ID = "default"
"""The id in the key store, unless `user_id` names another."""

_FORMER_NAMES = {"remember": "key_store", "remember_as": "user_id"}


class KeyStoreProtocol(Protocol):
    """The type of `key_store=`: `key_store.KeyStore` implements it."""

    def get(self, user_id: str) -> UserKey | None:
        """Return the key that is stored under this id, None if there is none."""

    def set(self, user_id: str, key: UserKey) -> None:
        """Store a key."""

    def delete(self, user_id: str) -> None:
        """Delete a key."""

    async def aget(self, user_id: str) -> UserKey | None:
        """Return like `get`."""

    async def aset(self, user_id: str, key: UserKey) -> None:
        """Store like `set`."""

    async def adelete(self, user_id: str) -> None:
        """Delete like `delete`."""


class LoginOptions(TypedDict, total=False):
    """The keywords of `login` and `alogin`."""

    mode: Mode
    """"loopback" listens on 127.0.0.1 for the browser; "headless" shows a code to paste; "auto"
    chooses headless over SSH, in containers, Codespaces, Colab, any Jupyter kernel, and where there
    is no browser."""
    open_browser: bool | Callable[[str], object]
    """True opens the system's browser; False only prints the URL; a callable is called with it."""
    prompt: Callable[[str], str] | None
    """Called with a text, returns the code; None reads it without echo at the terminal or in the
    notebook."""
    timeout: float | None
    """Seconds to wait for the user; 300 by default, None waits without limit."""
    key_store: KeyStoreProtocol | None
    """Where the key is stored, and read from while OpenRouter accepts it; None keeps it in memory
    only."""
    user_id: str
    """The id in the key store; "default" by default."""
    remember: KeyStoreProtocol | None
    """The former name of `key_store`."""
    remember_as: str
    """The former name of `user_id`."""
    key_label: str | None
    limit: float | None
    usage_limit_type: str | None
    expires_at: datetime | timedelta | str | None
    workspace_id: str | None
    required_workspace_id: str | None
    settings: OpenRouterSettings | None
    base_url: str | None


def store_and_id(options: Mapping[str, Any]) -> tuple[KeyStoreProtocol | None, str]:
    """Return the key store of the options, under either name, and the user's id in it.

    Raises:
        ValueError: An option is passed under both of its names.
    """
    passed = {name: value for name, value in options.items() if value is not None}
    current = rename_former_options(passed)
    return current.get("key_store"), current.get("user_id", USER_ID)


def rename_former_options(options: Mapping[str, Any]) -> LoginOptions:
    """Return the options under their current names.

    Raises:
        ValueError: An option is passed under both of its names.
    """
    renamed: Any = dict(options)

    for former, name in _FORMER_NAMES.items():
        if former not in renamed:
            continue
        if name in renamed:
            msg = f"`{former}=` is the former name of `{name}=`: pass `{name}=` only"
            raise ValueError(msg)
        renamed[name] = renamed.pop(former)
    return renamed  # type: ignore[no-any-return]


_DEFAULTS = {"mode": "auto", "open_browser": True, "timeout": 300.0, "user_id": USER_ID}


def login_parameters() -> list[Parameter]:
    """Return the keywords of `login` as parameters, for completion and `help`."""
    return [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=_DEFAULTS.get(name),
            annotation=getattr(annotation, "__forward_arg__", annotation),
        )
        for name, annotation in LoginOptions.__annotations__.items()
    ]


def with_login_signature(function: F) -> F:
    """Give a function that takes `**options` the signature that spells them out."""
    function.__signature__ = Signature(  # type: ignore[attr-defined]
        login_parameters(), return_annotation="UserKey"
    )
    return function


def with_model_login_signature(function: F) -> F:
    """Give `login` of a model class the keywords of the sign-in, beside those of the model."""
    parameters = Signature.from_callable(function).parameters
    named = [item for item in parameters.values() if item.kind is not Parameter.VAR_KEYWORD]
    rest = [item for item in parameters.values() if item.kind is Parameter.VAR_KEYWORD]
    taken = {"timeout", "settings", "base_url"}  # the model's
    options = [item for item in login_parameters() if item.name not in taken]

    signature = Signature([*named, *options, *rest], return_annotation="Self")
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function
