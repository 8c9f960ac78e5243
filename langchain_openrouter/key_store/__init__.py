"""Store users' keys encrypted, on any LangChain store of bytes: memory, files, Redis, ..."""

from __future__ import annotations

from langchain_openrouter.key_store._file import FileStore
from langchain_openrouter.key_store._key_store import KeyStore
from langchain_openrouter.key_store._keyring import KeyringStore
from langchain_openrouter.key_store._redis import RedisStore

__all__ = ["FileStore", "KeyStore", "KeyringStore", "RedisStore"]
