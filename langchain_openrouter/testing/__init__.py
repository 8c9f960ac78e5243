"""Testing without a key and without a network: an emulator, cassettes, a pytest plugin.

Needs the extra `testing`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_openrouter.testing.assertions import (
        assert_no_secrets,
        assert_prefix_stable,
        assert_reasoning_returned,
    )
    from langchain_openrouter.testing.cassettes import CassetteError, LeakError, use_cassette
    from langchain_openrouter.testing.emulator import (
        Asked,
        Call,
        Emulator,
        Fault,
        ReceivedRequest,
        Reply,
        error,
        error_reply,
    )

__all__ = [
    "Asked",
    "Call",
    "CassetteError",
    "Emulator",
    "Fault",
    "LeakError",
    "ReceivedRequest",
    "Reply",
    "assert_no_secrets",
    "assert_prefix_stable",
    "assert_reasoning_returned",
    "error",
    "error_reply",
    "use_cassette",
]

_CASSETTES = {"CassetteError", "LeakError", "use_cassette"}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: every pytest run loads this package (PEP 562)."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)

    if name.startswith("assert_"):
        home = "assertions"
    else:
        home = "cassettes" if name in _CASSETTES else "emulator"
    return getattr(import_module(f"langchain_openrouter.testing.{home}"), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
