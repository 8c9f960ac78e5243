"""The pytest plugin: `@pytest.mark.openrouter` replays `cassettes/<module>/<test>.yaml`.

Inert until the marker or the fixture `openrouter` is used: nothing else of the package is
imported before.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_openrouter.oauth import PKCELogin
    from langchain_openrouter.testing.cassettes import Exchange, Recording
    from langchain_openrouter.testing.emulator import Emulator

_KEY = "sk-or-v1-redacted-0"
_UNSET = ("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE", "OPENROUTER_SESSION_ID")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the setting."""
    group = parser.getgroup("openrouter")
    group.addoption(
        "--openrouter-record",
        choices=("none", "once", "all"),
        default="none",
        help="record cassettes: where there are none, or all anew; against the emulator, or, "
        "with OPENROUTER_API_KEY set, the live service",
    )
    parser.addini("openrouter_cassettes", "the folder of the cassettes", default="cassettes")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "openrouter(script=None, pieces=None, emulator=None): replay this test's cassette; no key "
        "is needed and no network is reached. `script` and `emulator` (keywords of `Emulator`) are "
        "for recording.",
    )


class OpenRouter:
    """What the fixture `openrouter` is: the cassette in use, and what it is recorded against."""

    def __init__(self, recording: Recording, emulator: Emulator | None) -> None:
        self.recording = recording
        self.emulator = emulator
        """None while replaying, and while recording the live service."""

    @property
    def replaying(self) -> bool:
        """Whether nothing but the cassette answers."""
        return self.recording.replaying

    @property
    def exchanges(self) -> list[Exchange]:
        """What was asked and answered so far."""
        return self.recording.exchanges

    def approve(self, login: PKCELogin, user_id: str = "user_emulated") -> str:
        """Return the code of a sign-in, as if the user had said yes on the page.

        Raises:
            RuntimeError: The live service is recorded: only a person can say yes there.
        """
        from urllib.parse import parse_qsl, urlsplit  # noqa: PLC0415 - inert until used

        if self.replaying:
            return "redacted-code-1"
        if self.emulator is None:
            msg = "a person must say yes to the live service: use `login()`"
            raise RuntimeError(msg)
        wanted = dict(parse_qsl(urlsplit(login.url).query))
        return self.emulator.accounts.issue_code(user_id, wanted)


@pytest.fixture(autouse=True)
def _openrouter_marked(request: pytest.FixtureRequest) -> None:
    """Use the cassette where the marker says so."""
    if request.node.get_closest_marker("openrouter"):
        request.getfixturevalue("openrouter")


@pytest.fixture
def openrouter_emulator() -> Iterator[Emulator]:
    """Run an emulator for this test: a server of its own, with nothing recorded."""
    with _emulated({}) as emulator:
        yield emulator


@pytest.fixture
def openrouter(request: pytest.FixtureRequest) -> Iterator[OpenRouter]:
    """Replay, or record, the cassette of this test."""
    marker = request.node.get_closest_marker("openrouter")
    words = dict(marker.kwargs) if marker else {}
    path = cassette_path(request)
    record = request.config.getoption("--openrouter-record")
    recording = record == "all" or (record == "once" and not path.is_file())
    live = os.environ.get("OPENROUTER_API_KEY") if recording else None
    with _emulated(words) if recording and not live else _nothing() as emulator:
        yield from _used(path, record if recording else "none", words, emulator, live)


def _used(
    path: Path, record: Any, words: dict[str, Any], emulator: Emulator | None, live: str | None
) -> Iterator[OpenRouter]:
    from langchain_openrouter.testing.cassettes import (  # noqa: PLC0415 - inert until used
        EMULATOR,
        LIVE,
        CassetteError,
        use_cassette,
    )

    environment = {"OPENROUTER_API_KEY": live or _KEY, "LANGSMITH_TRACING": "false"}
    if emulator is not None:
        environment["OPENROUTER_BASE_URL"] = emulator.url
    more = {"pieces": words["pieces"]} if words.get("pieces") else {}
    with mock.patch.dict(os.environ):
        for name in _UNSET:
            os.environ.pop(name, None)
        os.environ.update(environment)
        origin = LIVE if live else EMULATOR
        cassette = use_cassette(path, record=record, origin=origin, **more)
        try:
            with _loopback_only(blocked=not live), cassette as recording:
                yield OpenRouter(recording, emulator)
        except CassetteError as error:
            pytest.fail(str(error), pytrace=False)


def cassette_path(request: pytest.FixtureRequest) -> Path:
    """Return `cassettes/<module>/<test>.yaml`; a test of a class is `<Class>.<test>`."""
    folder = Path(request.config.rootpath, request.config.getini("openrouter_cassettes"))
    names = [request.cls.__name__] if request.cls else []
    test = re.sub(r"[^\w.-]+", "-", ".".join([*names, request.node.name])).strip("-")
    return folder / request.path.stem / f"{test}.yaml"


@contextmanager
def _emulated(words: dict[str, Any]) -> Iterator[Emulator]:
    from langchain_openrouter.testing.emulator import Emulator  # noqa: PLC0415 - inert until used

    with Emulator(words.get("script"), **(words.get("emulator") or {})) as emulator:
        yield emulator


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


@contextmanager
def _loopback_only(*, blocked: bool) -> Iterator[None]:
    """Let nothing leave the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        away = self.family in {socket.AF_INET, socket.AF_INET6} and address[0] not in {
            "127.0.0.1", "::1", "localhost",
        }  # fmt: skip
        if away and blocked:
            pytest.fail(f"the network is blocked: {address[0]}:{address[1]}")
        connect(self, address)

    with mock.patch.object(socket.socket, "connect", guarded):
        yield
