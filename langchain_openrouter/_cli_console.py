"""What all commands share: consoles that print no terminal escapes of others, and the key store."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rich.console import Console

from langchain_openrouter._redaction import printable

if TYPE_CHECKING:
    from rich.text import Text

    from langchain_openrouter.key_store import KeyStore

__all__ = ["PRINTED", "Remember", "err", "open_store", "out"]

PRINTED = "\n\t\u200c\u200d"  # line ends, tabs, and the joiners of emoji and several scripts


class Remember(StrEnum):
    """Where a key is stored."""

    KEYRING = "keyring"
    FILE = "file"


class _PlainConsole(Console):
    """Prints text without terminal escapes.

    Text of models and names of the service are printed here, in tables too. `render_str` is
    overridden because rich calls it for every string.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text, keep=PRINTED), **options)


def out() -> Console:
    """Return the console of standard output."""
    return _PlainConsole(highlight=False, soft_wrap=True, markup=False, emoji=False)


def err() -> Console:
    """Return the console of standard error."""
    return _PlainConsole(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def open_store(where: Remember) -> KeyStore:
    """Open the key store of this machine.

    Raises:
        KeyStoreError: There is none.
    """
    from langchain_openrouter.key_store import KeyStore  # noqa: PLC0415 - slow to import

    return KeyStore.keyring() if where is Remember.KEYRING else KeyStore.file()
