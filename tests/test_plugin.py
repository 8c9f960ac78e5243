"""The plugin as a user has it: a project of its own that records, replays, and sees a leak fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = textwrap.dedent('''
    """Three tests of a project that uses the package."""
    import asyncio

    import pytest

    from langchain_openrouter import ChatOpenRouter


    @pytest.mark.openrouter
    def test_chat():
        assert ChatOpenRouter(model="openai/gpt-4o-mini").invoke("Hello").text.startswith("Hello")


    def test_stream(openrouter):
        async def chunks():
            return [c.text async for c in ChatOpenRouter(model="a/b").astream("Hello")]

        assert "".join(asyncio.run(chunks())).startswith("Hello")
        assert len(openrouter.exchanges) == 1


    @pytest.mark.openrouter(script=["one", "two"])
    class TestMany:
        @pytest.mark.parametrize("n", [1, 2])
        def test_batch(self, n):
            answers = ChatOpenRouter(model="a/b").batch(["x", "y"], config={"max_concurrency": 1})
            assert [a.text for a in answers] == ["one", "two"]
''')  # fmt: skip
LEAK = textwrap.dedent('''
    import pytest

    from langchain_openrouter import ChatOpenRouter
    from langchain_openrouter.testing import _scrub


    @pytest.mark.openrouter
    def test_leak(monkeypatch):
        """A value that no pattern knows: a key that travels in a field of its own."""
        monkeypatch.setattr(_scrub.Scrubber, "text", lambda _, text: text)
        ChatOpenRouter(model="a/b").invoke("mine is sk-or-v1-" + "0123456789abcdef" * 4)
''')  # fmt: skip


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """Install the package as a wheel where nothing of this folder is; the rest is lent by our own.

    Returns the interpreter of that environment.
    """
    root = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(root), str(ROOT)], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")], check=True)
    site = next((root / "venv" / "lib").glob("python*")) / "site-packages"
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))
    wheel = next(root.glob("*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    return root / "venv" / "bin" / "python"


@pytest.fixture
def project(tmp_path, python):
    """Make a project; return a function that runs its tests."""
    (tmp_path / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\nfilterwarnings = ['error']\nopenrouter_cassettes = 'cassettes'\n"
        "asyncio_default_fixture_loop_scope = 'function'\n"
    )
    (tmp_path / "test_mine.py").write_text(TESTS)
    environment = {
        n: v for n, v in os.environ.items() if n in {"PATH", "HOME", "LANG", "VIRTUAL_ENV"}
    }

    def run(*arguments, fine=True, **more):
        done = subprocess.run(
            [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
            cwd=tmp_path, env={**environment, **more}, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) is fine, done.stdout + done.stderr
        return done.stdout

    run.path = tmp_path
    return run


def test_a_users_project_records_and_replays(project):
    """Without a cassette it is told how; then recorded; then replayed with no key and no network."""
    told = project(fine=False)
    assert "--openrouter-record=once" in told
    assert "4 passed" in project("--openrouter-record=once")
    files = sorted(str(f.relative_to(project.path)) for f in project.path.rglob("*.yaml"))
    assert files == [
        "cassettes/test_mine/TestMany.test_batch-1.yaml",
        "cassettes/test_mine/TestMany.test_batch-2.yaml",
        "cassettes/test_mine/test_chat.yaml",
        "cassettes/test_mine/test_stream.yaml",
    ]
    before = {f: (project.path / f).read_bytes() for f in files}
    # a proxy that nobody serves: whatever left the process would fail
    dead = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    assert "4 passed" in project(**dead)
    assert "4 passed" in project("--openrouter-record=once")
    assert {f: (project.path / f).read_bytes() for f in files} == before


def test_a_changed_prompt_fails_with_the_difference(project):
    """In the user's own terms."""
    project("--openrouter-record=once")
    changed = TESTS.replace('.invoke("Hello")', '.invoke("Hallo")')
    (project.path / "test_mine.py").write_text(changed)
    told = project(fine=False)

    assert re.search(r'-\s+"content": "Hello"', told)
    assert re.search(r'\+\s+"content": "Hallo"', told)
    assert "1 failed" in told


def test_an_exchange_that_nobody_asked_for_fails(project):
    """And the tests after it run."""
    project("--openrouter-record=once")
    shorter = TESTS.replace('batch(["x", "y"], config', 'batch(["x"], config').replace(
        '["one", "two"]\n', '["one"]\n'
    )
    (project.path / "test_mine.py").write_text(shorter)
    told = project(fine=False)

    assert "nobody asked for it" in told
    assert "2 errors" in told
    assert "4 passed" in told


def test_a_leaked_key_fails_and_leaves_no_file(project):
    """The recording is deleted, and the secret is not shown."""
    (project.path / "test_mine.py").write_text(LEAK)
    told = project("--openrouter-record=once", fine=False)

    assert "LeakError" in told
    assert not list(project.path.rglob("*.yaml"))
    assert "0123456789abcdef0123456789abcdef" not in told.partition("LeakError")[2]


def test_the_plugin_is_inert_until_it_is_used(project):
    """A project without the marker imports nothing of ours, and reaches what it likes."""
    (project.path / "test_mine.py").write_text(
        "import sys\n\n\ndef test_nothing():\n"
        "    ours = {m for m in sys.modules if m.startswith('langchain_openrouter')}\n"
        "    assert ours <= {'langchain_openrouter', 'langchain_openrouter.testing',"
        " 'langchain_openrouter.testing.plugin'}\n"
        "    assert 'vcr' not in sys.modules and 'starlette' not in sys.modules\n"
    )

    assert "1 passed" in project()


def test_the_network_is_blocked_while_replaying(project):
    """Whatever else a test reaches for."""
    (project.path / "test_mine.py").write_text(
        TESTS + "\n\n@pytest.mark.openrouter\ndef test_away():\n    import socket\n\n"
        '    ChatOpenRouter(model="a/b").invoke("x")\n'
        '    socket.create_connection(("192.0.2.1", 80), timeout=1)\n'
    )
    told = project("--openrouter-record=once", fine=False)

    assert "the network is blocked: 192.0.2.1:80" in told
