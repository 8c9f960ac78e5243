"""Runs first in the kernel of a notebook under test: the cassette comes in, the network goes out.

IPython runs it because IPYTHONDIR says so; nothing is added to the notebook.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import itertools
import os
import secrets
from types import SimpleNamespace

_tape = os.environ.get("NOTEBOOK_CASSETTE")
_recording = os.environ.get("NOTEBOOK_RECORD") == "1"
_open = contextlib.ExitStack()
_numbers = itertools.count()
_nonces = itertools.count()
_code = "redacted-code-1"


def _token(_size: int = 32) -> str:
    """Make tokens that are the same each time, so that addresses are."""
    return hashlib.sha256(str(next(_numbers)).encode()).hexdigest()


def _paste(_text: str = "") -> str:
    """Be the user who says yes on the page and pastes the code."""
    if not _recording:
        return _code
    from urllib.parse import parse_qsl, urlsplit

    wanted = dict(parse_qsl(urlsplit(_started[-1].url).query))
    return _emulator.accounts.issue_code("user_emulated", wanted)


if _tape:
    from langchain_openrouter.accounts import _key_names, _provision_store
    from langchain_openrouter.oauth import _pkce
    from langchain_openrouter.testing._network import loopback_only
    from langchain_openrouter.testing.cassettes import use_cassette
    from langchain_openrouter.testing.emulator import Emulator

    _started: list[_pkce.PKCELogin] = []
    _begin = _pkce.PKCELogin.start.__func__  # type: ignore[attr-defined]

    def _start(cls, *arguments, **words):
        """Remember the sign-in that waits for its code."""
        _started.append(_begin(cls, *arguments, **words))
        return _started[-1]

    # Of this package alone: the emulator's own tokens must not count while it is recorded.
    _key_names.secrets = _provision_store.secrets = SimpleNamespace(  # type: ignore[assignment]
        token_hex=lambda size: hashlib.sha256(str(next(_nonces)).encode()).hexdigest()[: 2 * size]
    )
    _pkce.PKCELogin.start = classmethod(_start)  # type: ignore[method-assign, assignment]
    secrets.token_urlsafe = _token
    # The kernel puts its own prompt in place for each cell.
    get_ipython().events.register(  # type: ignore[name-defined] # noqa: F821 - IPython has it
        "pre_run_cell", lambda _: setattr(getpass, "getpass", _paste)
    )
    if _recording:
        _emulator = _open.enter_context(Emulator())
        os.environ["OPENROUTER_BASE_URL"] = _emulator.url
        os.environ["OPENROUTER_MANAGEMENT_KEY"] = _emulator.management_key
    _open.enter_context(loopback_only())
    _open.enter_context(use_cassette(_tape, record="all" if _recording else "none"))


def _finish() -> None:
    """See that everything was played."""
    _open.close()
    print("all played")
