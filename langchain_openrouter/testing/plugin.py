"""The pytest plugin: `@pytest.mark.openrouter` replays the cassette of a test.

The marker is this plugin's where the project sets `openrouter_cassettes`, where
`--openrouter-record` is on the command line, and on a test that has a recording; the fixtures
`openrouter` and `openrouter_emulator` work everywhere. Without any of them the plugin is inert:
nothing else of the package is imported, and a marker of that name may mean something else.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from langchain_openrouter.oauth import PKCELogin
    from langchain_openrouter.testing.cassettes import Exchange, Recording
    from langchain_openrouter.testing.emulator import Emulator

__all__ = ["OpenRouter"]

_KEY = "sk-or-v1-redacted-0"
_UNSET = ("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE", "OPENROUTER_SESSION_ID")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")  # on loopback it would forward elsewhere
_TRACING = {
    f"{product}_{name}": "false"
    for product in ("LANGSMITH", "LANGCHAIN")
    for name in ("TRACING", "TRACING_V2")
}
_KEYWORDS = ("script", "pieces", "emulator")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the setting."""
    group = parser.getgroup("openrouter")

    group.addoption(
        "--openrouter-record",
        choices=("none", "once", "all"),
        default=None,
        help="record cassettes: where there are none, or all anew; against the emulator, or, "
        "with OPENROUTER_API_KEY set, the live service",
    )
    parser.addini(
        "openrouter_cassettes",
        "the folder of the cassettes (cassettes); setting it gives the marker `openrouter` its "
        "meaning in this project",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "openrouter(script=None, pieces=None, emulator=None): replay this test's cassette; no key "
        "is needed and no network is reached. `script` and `emulator` (keywords of `Emulator`) are "
        "for recording. Only where `openrouter_cassettes` is set.",
    )


# --- reports ----------------------------------------------------------------------------------


class _Guarded:
    """A test whose requests are guarded: each refused request is reported once.

    Attributes:
        failed: A message for each refused request.
        passed: Whether the test itself passed: if not, unplayed exchanges are not reported.
    """

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.passed = False
        self._reported = 0

    def unreported(self) -> str:
        """Return what was not reported yet, as a text; empty where there is nothing."""
        new = list(dict.fromkeys(self.failed[self._reported :]))
        self._reported = len(self.failed)
        many = f"the first of {len(new)} failures: " if new[1:] else ""
        return f"{many}{new[0]}" if new else ""


_GUARDED = pytest.StashKey[_Guarded]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Enter which tests use which cassette, before any is deselected or sent to a worker."""
    for item in items:
        if item.get_closest_marker("openrouter") or "openrouter" in _fixture_names(item):
            from langchain_openrouter.testing.cassettes import _paths  # noqa: PLC0415 - inert until used

            if _paths.is_recorded_test(item):
                _paths.claim(item, _paths.path_of(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a refused request by its own message, even if the code under test hid the error."""
    guarded = item.stash.get(_GUARDED, None)
    if guarded is not None and call.when != "teardown" and (message := guarded.unreported()):
        call.excinfo = _failure(message, item, call.excinfo)
    report = yield
    if guarded is not None and call.when == "call":
        guarded.passed = report.passed
    return report


def _failure(
    message: str, item: pytest.Item, before: pytest.ExceptionInfo[BaseException] | None
) -> pytest.ExceptionInfo[BaseException]:
    """Return a failure that is shown as its message, with the line of the test that caused it."""
    lines = [e.lineno + 1 for e in before.traceback if e.path == item.path] if before else []
    where = f"{item.path.name}:{lines[-1]}: " if lines else ""
    failure = pytest.fail.Exception(f"{where}{message}", pytrace=False)
    try:
        raise failure.with_traceback(before.tb if before else None)
    except pytest.fail.Exception as error:
        return pytest.ExceptionInfo.from_exception(error)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the moved cassettes of a worker of pytest-xdist."""
    moves = getattr(node, "workeroutput", {}).get("openrouter_moves")
    if moves:
        from langchain_openrouter.testing.cassettes import _paths  # noqa: PLC0415 - inert until used

        _paths.moves_of(node.config).update(moves)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the moved cassettes to the main process, in a worker of pytest-xdist."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        from langchain_openrouter.testing.cassettes import _paths  # noqa: PLC0415 - inert until used

        output["openrouter_moves"] = _paths.moves_of(session.config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print once how cassettes move from their old paths."""
    config = terminalreporter.config
    # Absent where no test used the plugin, which then does not import it either.
    paths = sys.modules.get("langchain_openrouter.testing.cassettes._paths")

    if paths is not None and (moves := paths.moves_of(config)):
        terminalreporter.section("OpenRouter cassettes")
        terminalreporter.line(
            f"{len(moves)} cassettes were read from where earlier releases wrote them. "
            f"To move them, in {config.rootpath}:"
        )
        for command in paths.move_commands(moves):
            terminalreporter.line(f"  {command}")


# --- the fixtures -----------------------------------------------------------------------------


class OpenRouter:
    """The value of the fixture `openrouter`: the cassette in use.

    Attributes:
        recording: The cassette.
        emulator: What is recorded against; None while replaying, or recording the live service.
    """

    def __init__(self, recording: Recording, emulator: Emulator | None) -> None:
        self.recording = recording
        self.emulator = emulator

    @property
    def replaying(self) -> bool:
        """Whether the responses are from the cassette."""
        return self.recording.replaying

    @property
    def exchanges(self) -> list[Exchange]:
        """The exchanges so far, in order."""
        return self.recording.exchanges

    def approve(self, login: PKCELogin, user_id: str = "user_emulated") -> str:
        """Return the code of a sign-in, as if the user had approved it on the page.

        Args:
            login: The sign-in.
            user_id: Who approves.

        Raises:
            RuntimeError: The live service is recorded: only a person can approve there.
        """
        from urllib.parse import parse_qsl, urlsplit  # noqa: PLC0415 - inert until used

        if self.replaying:
            return "redacted-code-1"
        if self.emulator is None:
            msg = "only a person can approve a sign-in at the live service: use `login()`"
            raise RuntimeError(msg)
        parameters = dict(parse_qsl(urlsplit(login.url).query))
        return self.emulator.accounts.issue_code(user_id, parameters)


@pytest.fixture(autouse=True)
def _openrouter_marked(request: pytest.FixtureRequest) -> None:
    """Use the cassette of a test that has the marker."""
    if request.node.get_closest_marker("openrouter"):
        from langchain_openrouter.testing.cassettes import _paths  # noqa: PLC0415 - inert until used

        if _paths.is_marked(request.node):
            request.getfixturevalue("openrouter")


@pytest.fixture
def openrouter_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """Run an emulator for this test: a server of its own, with nothing recorded.

    OPENROUTER_BASE_URL and OPENROUTER_API_KEY lead to it, and the network is blocked, unless the
    test has a cassette too, which then decides both.
    """
    from langchain_openrouter.testing.cassettes import _paths  # noqa: PLC0415 - inert until used

    with _emulated({}) as emulator:
        if _paths.is_recorded_test(request.node):
            yield emulator
            return
        guarded = request.node.stash.setdefault(_GUARDED, _Guarded())
        with _surroundings(_KEY, emulator, guarded):
            yield emulator
        if message := guarded.unreported():
            pytest.fail(message, pytrace=False)


@pytest.fixture
def openrouter(request: pytest.FixtureRequest) -> Iterator[OpenRouter]:
    """Replay, or record, the cassette of this test."""
    from langchain_openrouter.testing.cassettes import _paths  # noqa: PLC0415 - inert until used

    item = request.node
    keywords = _keywords(item)
    path = _paths.path_of(item)
    _own(item, path)
    record = request.config.getoption("--openrouter-record") or "none"
    recording = record == "all" or (record == "once" and not path.is_file())
    live = os.environ.get("OPENROUTER_API_KEY") if recording else None
    with ExitStack() as stack:
        emulator = stack.enter_context(_emulated(keywords)) if recording and not live else None
        yield from _used(item, path, keywords, emulator, live if recording else None)


def _keywords(item: pytest.Item) -> dict[str, Any]:
    """Return the keywords of the marker."""
    marker = item.get_closest_marker("openrouter")
    if marker is None:
        return {}

    unknown = [*marker.args, *(name for name in marker.kwargs if name not in _KEYWORDS)]
    if unknown:
        pytest.fail(
            f"the marker `openrouter` takes the keywords {', '.join(_KEYWORDS)}; not "
            f"{', '.join(map(repr, unknown))}. A marker that means something else needs another "
            "name where this plugin's cassettes are used.",
            pytrace=False,
        )
    return dict(marker.kwargs)


def _own(item: pytest.Item, path: Path) -> None:
    """Fail if another test has the same cassette; else remember how it may be moved."""
    from langchain_openrouter.testing.cassettes import _paths  # noqa: PLC0415 - inert until used

    owners = _paths.claim(item, path)
    if owners[1:]:
        advice = (
            "Names that differ in case alone are one file on macOS and Windows: rename one."
            if path == _paths.new_path(item)
            else f"Record each anew: {_paths.record_command(item, 'all')}"
        )
        listed = "\n".join(f"  {nodeid}" for nodeid in owners)
        pytest.fail(f"tests claim one cassette, {path}:\n{listed}\n{advice}", pytrace=False)
    _paths.remember_move(item, path)


def _used(
    item: pytest.Item,
    path: Path,
    keywords: dict[str, Any],
    emulator: Emulator | None,
    live: str | None,
) -> Iterator[OpenRouter]:
    from langchain_openrouter.testing import cassettes  # noqa: PLC0415 - inert until used
    from langchain_openrouter.testing.cassettes import _paths  # noqa: PLC0415 - inert until used
    from langchain_openrouter.testing.cassettes._origin import origin_of  # noqa: PLC0415 - inert until used

    guarded = item.stash.setdefault(_GUARDED, _Guarded())
    pieces = {"pieces": keywords["pieces"]} if keywords.get("pieces") else {}
    command = _paths.record_command(item, "all" if path.is_file() else "once")
    key = ", with OPENROUTER_API_KEY set" if origin_of(path) == cassettes.LIVE else ""
    cassette = cassettes.use_cassette(
        path,
        record="all" if emulator or live else "none",
        origin=cassettes.LIVE if live else cassettes.EMULATOR,
        remedy=f"record it anew{key}: {command}",
        **pieces,
    )
    try:
        with _surroundings(live or _KEY, emulator, guarded, live=live), cassette as recording:
            recording.failed = guarded.failed
            yield OpenRouter(recording, emulator)
    except cassettes.CassetteError as error:
        message = guarded.unreported() if guarded.failed else str(error) * guarded.passed
        if message:
            pytest.fail(message, pytrace=False)


@contextmanager
def _surroundings(
    key: str, emulator: Emulator | None, guarded: _Guarded, *, live: str | None = None
) -> Iterator[None]:
    """Set the environment, and block the network unless the live service is recorded."""
    from langchain_openrouter.testing._network import loopback_only  # noqa: PLC0415 - inert

    environment = {"OPENROUTER_API_KEY": key, **_TRACING}
    if emulator is not None:
        environment["OPENROUTER_BASE_URL"] = emulator.url
        environment["OPENROUTER_MANAGEMENT_KEY"] = emulator.management_key
    elif not live:
        environment["OPENROUTER_MANAGEMENT_KEY"] = _KEY
    unset = _UNSET if live else (*_UNSET, *_PROXIES, *map(str.lower, _PROXIES))
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ))
        for name in unset:
            os.environ.pop(name, None)
        os.environ.update(environment)
        if not live:
            stack.enter_context(loopback_only(guarded.failed))
        yield


@contextmanager
def _emulated(keywords: dict[str, Any]) -> Iterator[Emulator]:
    from langchain_openrouter.testing.emulator import Emulator  # noqa: PLC0415 - inert until used

    script, more = keywords.get("script"), keywords.get("emulator") or {}
    with Emulator(script, **more) as emulator:
        yield emulator


def _fixture_names(item: pytest.Item) -> tuple[str, ...]:
    """Return the fixtures that a test uses; not every kind of test has any."""
    return tuple(getattr(item, "fixturenames", ()))
