"""Fixtures: a clean environment, no network but loopback, a server, a model that talks to it."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loopback import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts what is in the background so, and its children inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_OF_THE_TESTS = {"OPENROUTER_TRAFFIC", "OPENROUTER_SHORTCUTS"}
_PREFIXES = ("OPENROUTER_", "OPENAI_", "LANGSMITH_", "LANGCHAIN_", "LC_")
_numbers = itertools.count()
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Take away what the library and its parents read; on a cassette the plugin did it."""
    if request.node.get_closest_marker("openrouter"):
        return
    for name in list(os.environ):
        if (name.startswith(_PREFIXES) and name not in _OF_THE_TESTS) or (name.upper() in _PROXIES):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def _certificates_read_once() -> Iterator[None]:
    """Share what each `httpx2.get` of a test would read anew: 20 ms of CPU time for TLS, unused.

    The package makes its own contexts, with the function's public name.
    """
    from httpx2._transports import default

    read, read_once = default.create_ssl_context, functools.cache(default.create_ssl_context)

    def shared(verify: Any = True, cert: Any = None, *, trust_env: bool = True) -> Any:
        if (
            verify is not True
            or cert is not None
            or {"SSL_CERT_FILE", "SSL_CERT_DIR"} & {*os.environ}
        ):
            return read(verify=verify, cert=cert, trust_env=trust_env)
        return read_once(trust_env=trust_env)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "create_ssl_context", shared)
        yield


@pytest.fixture(autouse=True)
def _no_profiles_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keep the developer's own copy of the model profiles, and other tests', out of each test."""
    folder = tmp_path_factory.getbasetemp() / f"cache-{next(_numbers)}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


@pytest.fixture(autouse=True)
def _nothing_learned() -> None:
    """Forget what other tests' models refused and were warned about."""
    from langchain_openrouter import _model_refusals

    _model_refusals.forget()


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing leave the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and address[0] not in {
            "127.0.0.1", "::1", "localhost",
        }:  # fmt: skip
            msg = f"a test must not connect to {address[0]}"
            raise AssertionError(msg)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


# The files that take half a minute and more, the longest first: a file that is begun last, and ends
# long after all others, leaves a core idle.
_LONGEST = (
    "test_benchmarks.py",
    "notebooks/test_run_all.py",
    "notebooks/test_notebooks.py",
    "web/test_web_examples.py",
    "web/test_web_load.py",
    "test_packaging.py",
    "testing/test_plugin.py",
    "web/test_web_browser.py",
    "web/test_web_workers.py",
    "notebooks/test_jupyterlab.py",
    "accounts/test_provisioning_crashes.py",
    "chat_models/test_faults.py",
    "testing/test_emulator_clients.py",
    "test_extras.py",
    "test_cli.py",
    "chat_models/test_isolation.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    folder = Path(__file__).parent
    order = {folder / name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked `both_endpoints` at each of them."""
    is_marked = metafunc.definition.get_closest_marker("both_endpoints")
    if is_marked and "endpoint" in metafunc.fixturenames:
        metafunc.parametrize("endpoint", ["chat", "responses"], indirect=True)


@pytest.fixture
def endpoint(request):
    """Which endpoint models talk to, "chat" or "responses": see the mark `both_endpoints`."""
    return getattr(request, "param", "chat")


@pytest.fixture
def serve(request, endpoint):
    """Start servers: `serve(reply)`; what they were asked must fit OpenRouter's specification."""
    from tests.support.contract import problems
    from tests.support.loopback import Server
    from tests.support.responses import ResponsesSeen, translated

    servers: list[Server] = []

    def start(reply: Any) -> Server:
        if endpoint == "responses":
            servers.append(Server(translated(reply), seen_class=ResponsesSeen))
        else:
            servers.append(Server(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__()
    if not request.node.get_closest_marker("off_spec"):
        for server in servers:
            for seen in server.seen:
                assert not problems(seen.raw, seen.path)


@pytest.fixture
def model_on(endpoint):
    """Make a model that talks to a server: `model_on(server, ...)`."""
    from langchain_openrouter import ChatOpenRouter

    def make(server: Any, **kwargs: Any) -> ChatOpenRouter:
        if endpoint == "responses":
            kwargs = {"use_responses_api": True, **kwargs}
        defaults = {"model": "openai/gpt-4o-mini", "api_key": KEY, "max_retries": 0, "timeout": 5}
        if server is not None:
            defaults["base_url"] = server.url
        return ChatOpenRouter(**{**defaults, **kwargs})

    return make


@pytest.fixture
def responses_on(model_on):
    """Make a model that talks to a server by `POST /responses`."""

    def make(server: Any, **kwargs: Any) -> Any:
        return model_on(server, **{"use_responses_api": True, **kwargs})

    return make


@pytest.fixture
def emulate():
    """Start emulators: `emulate(script, ...)`."""
    from langchain_openrouter.testing import Emulator

    started: list[Emulator] = []

    def start(*args: Any, **kwargs: Any) -> Emulator:
        started.append(Emulator(*args, **kwargs))
        started[-1].start()
        return started[-1]

    yield start
    for emulator in started:
        emulator.stop()


@pytest.fixture
def browse():
    """Make browsers, and close their connections."""
    from tests.support.browser import Browser

    made = []

    def make(*args, **kwargs):
        made.append(Browser(*args, **kwargs))
        return made[-1]

    yield make
    for browser in made:
        browser.close()


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# as root, without a GPU, and with no reason to reach for the network
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    """Start Chromium; skip where there is none, but not in CI."""
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()
