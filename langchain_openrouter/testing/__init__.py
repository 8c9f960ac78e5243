"""Testing without a key and without a network: an emulator, cassettes, a pytest plugin.

Needs the extra `testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_openrouter.testing.emulator import Asked, Call, Emulator, Fault, Reply, error

__all__ = ["Asked", "Call", "Emulator", "Fault", "Reply", "error"]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: the plugin is loaded by every pytest (PEP 562)."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from langchain_openrouter.testing import emulator  # noqa: PLC0415 - brings a web server

    return getattr(emulator, name)
