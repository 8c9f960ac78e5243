"""The chat model; `base` shows what it is, its fields and its verbs."""

from __future__ import annotations

from langchain_openrouter.chat_models.base import ChatOpenRouter

__all__ = ["ChatOpenRouter"]
