"""Sign in with OpenRouter: `PKCELogin` -> `UserKey`, and `login()`, which adds the browser.

Needs neither the model nor the OpenAI SDK. Keys are kept in memory only, unless `key_store=` is
passed. See https://openrouter.ai/docs/use-cases/oauth-pkce.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_openrouter.oauth._key_info import FreeModelRequests, KeyBudget, KeyInfo
    from langchain_openrouter.oauth._login import alogin, login, logout
    from langchain_openrouter.oauth._options import KeyStoreProtocol, LoginOptions
    from langchain_openrouter.oauth._pkce import PKCELogin
    from langchain_openrouter.oauth._user_key import UserKey

    KeyKeeper = KeyStoreProtocol
    """The former name of `KeyStoreProtocol`."""

__all__ = [
    "FreeModelRequests",
    "KeyBudget",
    "KeyInfo",
    "KeyKeeper",
    "KeyStoreProtocol",
    "LoginOptions",
    "PKCELogin",
    "UserKey",
    "alogin",
    "login",
    "logout",
]

_MODULES = {
    "_key_info": ("FreeModelRequests", "KeyBudget", "KeyInfo"),
    "_login": ("alogin", "login", "logout"),
    "_options": ("KeyStoreProtocol", "LoginOptions"),
    "_pkce": ("PKCELogin",),
    "_user_key": ("UserKey",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the model needs `UserKey`, and no listener."""
    target = "KeyStoreProtocol" if name == "KeyKeeper" else name
    if target not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)

    value = getattr(import_module(f"{__name__}.{_HOMES[target]}"), target)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
