"""Sign in with OpenRouter: `PKCELogin` -> `UserKey`, and `login()`, which adds the browser.

Needs neither the model nor the OpenAI SDK. Keys are kept in memory only, unless `key_store=` is
passed. See https://openrouter.ai/docs/use-cases/oauth-pkce.
"""

from __future__ import annotations

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
