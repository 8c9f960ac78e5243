"""The chat model; `base` shows what it is, its fields and its verbs."""

from __future__ import annotations

from langchain_openrouter._conflict import warn_of_conflict

warn_of_conflict()  # before the imports that fail where files were overwritten

from langchain_openrouter.chat_models.base import ChatOpenRouter  # noqa: E402 - see above

__all__ = ["ChatOpenRouter"]
