"""A store of bytes in the operating system's keyring (extra `keyring`)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from langchain_core.stores import BaseStore

from langchain_openrouter.errors import KeyStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SERVICE = "langchain-openrouter"


class KeyringStore(BaseStore[str, bytes]):
    """Bytes in the operating system's keyring (extra `keyring`), which encrypts them.

    Args:
        service: The name of the service in the keyring.

    Raises:
        KeyStoreError: The extra is not installed, or this system has no keyring.
    """

    encrypts_at_rest = True

    def __init__(self, service: str = SERVICE) -> None:
        try:
            import keyring  # noqa: PLC0415 - an extra
        except ImportError:
            msg = "no keyring: `pip install 'langchain-openrouter-oauth[keyring]'`"
            raise KeyStoreError(msg) from None

        backend = keyring.get_keyring()
        if backend.priority <= 0 or not getattr(backend, "backends", True):
            msg = "there is no keyring on this system: use `KeyStore.file()`, or keep no key"
            raise KeyStoreError(msg)

        self._backend: Any = backend
        self._service = service

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, None for each missing key."""
        values = [self._call("get_password", key) for key in keys]
        return [None if value is None else base64.b64decode(value) for value in values]

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Write the values."""
        for key, value in key_value_pairs:
            self._call("set_password", key, base64.b64encode(value).decode())

    def mdelete(self, keys: Sequence[str]) -> None:
        """Delete the entries; missing keys are ignored."""
        for key in keys:
            if self._call("get_password", key) is not None:
                self._call("delete_password", key)

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Raise: a keyring cannot list its entries.

        Raises:
            KeyStoreError: Always.
        """
        del prefix
        msg = "a keyring cannot list its entries"
        raise KeyStoreError(msg)

    def _call(self, method: str, *arguments: str) -> Any:
        from keyring.errors import KeyringError  # noqa: PLC0415 - an extra

        try:
            return getattr(self._backend, method)(self._service, *arguments)
        except KeyringError as error:
            failed = type(error).__name__
        msg = f"the keyring refused ({failed}): unlock it and try again"
        del arguments
        raise KeyStoreError(msg)
