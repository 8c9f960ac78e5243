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

from tests.support.warm_pytest import WarmPytest

ROOT = Path(__file__).parents[2]
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
    from langchain_openrouter.testing.cassettes import _scrubbing


    @pytest.mark.openrouter
    def test_leak(monkeypatch):
        """A value that no pattern knows: a key that travels in a field of its own."""
        monkeypatch.setattr(_scrubbing.Scrubber, "text", lambda _, text: text)
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


@pytest.fixture(scope="module")
def warm_pytest(python, tmp_path_factory):
    """A pytest of that environment which has imported already."""
    warm = WarmPytest(python, tmp_path_factory.mktemp("warm"))
    yield warm
    warm.close()


@pytest.fixture
def project(tmp_path, python, warm_pytest):
    """Make a project; return a function that runs its tests: `cold` in a process that starts anew."""
    (tmp_path / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\nfilterwarnings = ['error']\nopenrouter_cassettes = 'cassettes'\n"
        "asyncio_default_fixture_loop_scope = 'function'\n"
    )
    (tmp_path / "test_mine.py").write_text(TESTS)
    environment = {
        n: v for n, v in os.environ.items() if n in {"PATH", "HOME", "LANG", "VIRTUAL_ENV"}
    }

    def run(*arguments, fine=True, cold=False, cwd=tmp_path, **more):
        arguments, env = ["-q", "-p", "no:cacheprovider", *arguments], {**environment, **more}
        if cold:
            done = subprocess.run(
                [str(python), "-m", "pytest", *arguments],
                cwd=cwd,
                env=env,
                capture_output=True,
                text=True,
                timeout=100,
                check=False,
            )
        else:
            done = warm_pytest.run(arguments, cwd=cwd, env=env)
        assert fine is None or (done.returncode == 0) is fine, done.stdout + done.stderr
        return done.stdout

    def shell(command, cwd=tmp_path):
        subprocess.run(
            ["/bin/sh", "-e", "-c", command],
            cwd=cwd,
            env=environment,
            check=True,
            capture_output=True,
        )

    run.path = tmp_path
    run.shell = shell
    return run


def test_a_users_project_records_and_replays(project):
    """Without a cassette it is told how; then recorded; then replayed with no key and no network."""
    told = project(fine=False)
    assert "--openrouter-record=once" in told
    assert "4 passed" in project("--openrouter-record=once", cold=True)
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
    assert "4 passed" in project(**dead, cold=True)
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

    assert "not requested" in told
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
        "    assert ours <= {'langchain_openrouter', 'langchain_openrouter._conflict',"
        " 'langchain_openrouter.testing', 'langchain_openrouter.testing.plugin',"
        " 'langchain_openrouter._conflict'}\n"
        "    assert 'vcr' not in sys.modules and 'starlette' not in sys.modules\n"
    )

    assert "1 passed" in project(cold=True)


def test_the_network_is_blocked_while_replaying(project):
    """Whatever else a test reaches for."""
    (project.path / "test_mine.py").write_text(
        TESTS + "\n\n@pytest.mark.openrouter\ndef test_away():\n    import socket\n\n"
        '    ChatOpenRouter(model="a/b").invoke("x")\n'
        '    socket.create_connection(("192.0.2.1", 80), timeout=1)\n'
    )
    told = project("--openrouter-record=once", fine=False)

    assert "the network is blocked: 192.0.2.1:80" in told


# --- where a cassette is ----------------------------------------------------------------------

ONE = textwrap.dedent("""
    import pytest

    from langchain_openrouter import ChatOpenRouter


    @pytest.mark.openrouter
    @pytest.mark.parametrize("x", PARAMETERS)
    def test_x(x, openrouter):
        assert ChatOpenRouter(model="a/b").invoke(f"{__file__} {x}").text
        assert len(openrouter.exchanges) == 1
""")


def cassettes_of(project):
    """Return the paths of a project's cassettes."""
    folder = project.path / "cassettes"
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*.yaml"))


def test_tests_of_one_name_in_two_folders_have_two_cassettes(project):
    """Recorded and replayed, with a hash only where a name had to be changed."""
    for folder in ("tests/unit", "tests/integration"):
        (project.path / folder).mkdir(parents=True)
        (project.path / folder / "test_chat.py").write_text(
            ONE.replace("PARAMETERS", '["a/b", "a-b", "a b", "é", "nul", "x" * 300, "", "a\\nb"]')
        )
    importlib = "--import-mode=importlib"

    assert "16 passed" in project("--openrouter-record=once", importlib, "tests")
    assert "16 passed" in project(importlib, "tests")
    files = cassettes_of(project)
    assert len(files) == 16
    assert "tests/unit/test_chat/test_x-a-b.yaml" in files
    assert sum(f.startswith("tests/integration/test_chat/test_x-a-b-") for f in files) == 2
    assert all(len(part.encode()) < 140 and part.isascii() for f in files for part in f.split("/"))


def test_two_tests_that_claim_one_file_fail(project):
    """Whichever of them is run, by name; also names that differ in case alone."""
    (project.path / "test_mine.py").write_text(ONE.replace("PARAMETERS", '["A", "a"]'))
    output = project("--openrouter-record=once", "-k", "test_x[A]", fine=False)

    assert "tests claim one cassette" in output
    assert "test_mine.py::test_x[A]\n" in output
    assert "test_mine.py::test_x[a]\n" in output
    assert not cassettes_of(project)


def test_a_class_within_a_class_has_a_cassette_of_its_own(project):
    """The names of all the classes are part of the file's."""
    inner = "    class TestIn:\n        @pytest.mark.openrouter\n        def test_x(self):\n            ChatOpenRouter(model='a/b').invoke('x')\n\n\n"
    (project.path / "test_mine.py").write_text(
        "import pytest\nfrom langchain_openrouter import ChatOpenRouter\n\n\n"
        f"class TestOne:\n{inner}class TestTwo:\n{inner}"
    )

    assert "2 passed" in project("--openrouter-record=once")
    assert cassettes_of(project) == [
        "test_mine/TestOne.TestIn.test_x.yaml",
        "test_mine/TestTwo.TestIn.test_x.yaml",
    ]


def test_a_test_outside_the_root_has_a_cassette_inside_the_folder(project):
    """No path leads out of the folder of the cassettes."""
    root = project.path / "root"
    root.mkdir()
    (root / "pytest.ini").write_text("[pytest]\nopenrouter_cassettes = cassettes\n")
    (project.path / "test_mine.py").write_text(ONE.replace("PARAMETERS", '["a"]'))
    arguments = ["-c", str(root / "pytest.ini"), "--rootdir", str(root), "test_mine.py"]

    assert "1 passed" in project("--openrouter-record=once", *arguments)
    assert "1 passed" in project(*arguments)
    (file,) = project.path.rglob("*.yaml")
    assert re.fullmatch(
        r"[0-9a-f]{8}/test_mine/test_x-a\.yaml", str(file.relative_to(root / "cassettes"))
    )


def test_a_cassette_at_its_old_path_replays_and_the_way_to_move_it_is_shown(project):
    """Once, at the end; the commands work as they are; a project with such a file needs no setting."""
    (project.path / "tests").mkdir()
    (project.path / "test_mine.py").rename(project.path / "tests" / "test_mine.py")
    (project.path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    project("--openrouter-record=once", "tests")
    old = project.path / "cassettes" / "test_mine"
    (project.path / "cassettes" / "tests" / "test_mine").rename(old)
    (project.path / "cassettes" / "tests").rmdir()
    project.shell("git init -q . && git add .")

    output = project("tests")
    assert "4 passed" in output
    assert output.count("git mv") == 4
    commands = re.findall(r"^  ((?:mkdir|git mv) .*)$", output, re.MULTILINE)
    project.shell("\n".join(commands))
    assert "git mv" not in project("tests")
    assert len(cassettes_of(project)) == 4
    assert not any(old.iterdir())


def test_an_old_cassette_of_two_tests_belongs_to_neither(project):
    """Both fail until they are recorded anew."""
    (project.path / "test_mine.py").write_text(ONE.replace("PARAMETERS", '["a b"]'))
    project("--openrouter-record=once")
    (file,) = (project.path / "cassettes").rglob("*.yaml")
    file.rename(file.with_name("test_x-a-b.yaml"))
    for folder in ("unit", "integration"):
        (project.path / folder).mkdir()
        (project.path / folder / "test_mine.py").write_text(
            ONE.replace("PARAMETERS", '["a b", "a/b"]')
        )
    (project.path / "test_mine.py").unlink()
    importlib = "--import-mode=importlib"

    output = project(importlib, fine=False)
    assert "4 failed" in output or "4 errors" in output
    assert "unit/test_mine.py::test_x[a b]" in output
    assert "--openrouter-record=all" in output
    assert "4 passed" in project(importlib, "--openrouter-record=all")
    assert "4 passed" in project(importlib)


def test_workers_see_the_same_claims(project):
    """Two tests that claim one file fail in different processes too."""
    pytest.importorskip("xdist")
    (project.path / "test_mine.py").write_text(ONE.replace("PARAMETERS", '["A", "a", "b"]'))
    output = project("--openrouter-record=once", "-n", "2", fine=False)

    assert output.count("tests claim one cassette") >= 2
    assert cassettes_of(project) == ["test_mine/test_x-b.yaml"]


# --- a mismatch -------------------------------------------------------------------------------

ASYNC = textwrap.dedent("""
    import asyncio

    import pytest
    from langchain_core.messages import HumanMessage

    from langchain_openrouter import ChatOpenRouter

    WORD = "Hello"


    def model():
        return ChatOpenRouter(model="a/b")


    async def ainvoke():
        await model().ainvoke(WORD)


    async def abatch():
        await model().abatch([WORD, f"{WORD} 2", f"{WORD} 3"])


    async def agenerate():
        await model().agenerate([[HumanMessage(WORD)], [HumanMessage(f"{WORD} 2")]])


    async def astream():
        async for _ in model().astream(WORD):
            pass


    async def gather():
        await asyncio.gather(model().ainvoke(WORD), model().ainvoke(f"{WORD} 2"))


    async def gathered_errors():
        await asyncio.gather(model().ainvoke(WORD), return_exceptions=True)


    async def group():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(model().ainvoke(WORD))
            tasks.create_task(model().ainvoke(f"{WORD} 2"))


    @pytest.mark.openrouter
    @pytest.mark.parametrize(
        "way", [ainvoke, abatch, agenerate, astream, gather, gathered_errors, group], ids=lambda f: f"a/{f.__name__}"
    )
    def test_y(way):
        asyncio.run(way())
""")


def test_a_mismatch_of_an_async_test_is_told_once_with_the_command_that_records_anew(
    project, python
):
    """Through LangChain's `gather` and the test's own; the command is run as it stands."""
    (project.path / "test_mine.py").write_text(ASYNC)
    project("--openrouter-record=once")
    (project.path / "test_mine.py").write_text(ASYNC.replace('"Hello"', '"Hallo"'))
    output = project("--tb=short", fine=False)
    sections = re.split(
        r"^_+ test_y\[.*\] _+$", output.partition("short test summary")[0], flags=re.MULTILINE
    )[1:]

    assert "7 failed in" in output  # and no error beside them
    assert len(sections) == 7
    for section in sections:
        assert section.count("is not in the cassette") == 1
        assert "AttributeError" not in section
        assert "Traceback" not in section
        assert len(section) < 1200
    commands = [
        section.strip().splitlines()[-1].partition("record it anew: ")[2]
        for section in sections[:-1]
    ]
    assert commands[0] == "pytest 'test_mine.py::test_y[a/ainvoke]' --openrouter-record=all"
    command = commands[0].replace("pytest ", f"{python} -m pytest ", 1)
    project.shell(command)
    assert "6 failed, 1 passed" in project(fine=False)


def test_the_command_fits_the_folder_that_pytest_was_started_in(project, python):
    """With the options that decide which project it is."""
    folder = project.path / "tests" / "my unit"
    folder.mkdir(parents=True)
    (folder / "test_m.py").write_text(ONE.replace("PARAMETERS", '["it\'s"]'))
    options = ["-c", str(project.path / "pyproject.toml"), "--rootdir", str(project.path)]
    output = project(*options, "my unit/test_m.py", fine=False, cwd=project.path / "tests")
    command = output.partition("record it anew: ")[2].splitlines()[0]

    command = command.replace("pytest ", f"{python} -m pytest -p no:cacheprovider ", 1)
    project.shell(command, cwd=project.path / "tests")
    assert len(cassettes_of(project)) == 1
    assert "1 passed" in project(*options, "my unit/test_m.py", cwd=project.path / "tests")


def test_a_test_that_failed_or_was_skipped_is_not_blamed_for_what_it_left(project):
    """Its own outcome is the news; what it caught is."""
    project("--openrouter-record=once")
    (project.path / "test_mine.py").write_text(
        TESTS.replace(
            '\n    assert ChatOpenRouter(model="openai/gpt-4o-mini")',
            '\n    pytest.skip()\n    assert ChatOpenRouter(model="openai/gpt-4o-mini")',
        ).replace("    async def chunks", "    assert 1 == 2\n\n    async def chunks")
    )
    output = project(fine=False)

    assert "1 failed, 2 passed, 1 skipped in" in output
    assert "not requested" not in output


# --- another's marker -------------------------------------------------------------------------

STRANGER = textwrap.dedent("""
    import os
    import socket

    import pytest


    @pytest.fixture
    def openrouter():
        return "another's"


    @pytest.mark.openrouter("needs a live key", tier=2)
    def test_live():
        assert os.environ["OPENROUTER_API_KEY"] == "sk-own"
        assert "_network" not in repr(socket.socket.connect)
        assert "guarded" not in repr(socket.socket.connect)


    @pytest.mark.openrouter(script="mine")
    def test_fixture(openrouter):
        assert openrouter == "another's"
        assert os.environ["OPENROUTER_API_KEY"] == "sk-own"
""")


# without a fixture of the same name
PLAIN = STRANGER[STRANGER.index("@pytest.mark") : STRANGER.index("@pytest.mark.openrouter(script")]
PLAIN = "import os\nimport socket\n\nimport pytest\n\n\n" + PLAIN


@pytest.mark.parametrize(("tests", "number"), [(STRANGER, 2), (PLAIN, 1)])
def test_another_projects_marker_is_left_alone(project, tests, number):
    """Its arguments, its fixture of the same name and its cassettes are its own business."""
    (project.path / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\nfilterwarnings = ['error']\n"
        "asyncio_default_fixture_loop_scope = 'function'\n"
        "addopts = ['--strict-markers', '--strict-config']\nmarkers = ['openrouter: needs a live key']\n"
    )
    (project.path / "test_mine.py").write_text(tests)
    folder = project.path / "cassettes" / "test_mine"
    folder.mkdir(parents=True)
    (folder / "test_live.yaml").write_text("interactions: []\nversion: 1\n")

    assert f"{number} passed" in project(OPENROUTER_API_KEY="sk-own")


def test_where_the_plugin_is_asked_for_a_strange_marker_is_an_error(project):
    """It names what the marker takes; by the setting, and by the option."""
    (project.path / "test_mine.py").write_text(PLAIN)
    output = project(fine=False, OPENROUTER_API_KEY="sk-own")
    (project.path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")

    for text in (
        output,
        project("--openrouter-record=none", fine=False, OPENROUTER_API_KEY="sk-own"),
    ):
        assert "takes the keywords script, pieces, emulator; not 'needs a live key', 'tier'" in text


# --- nothing leaves ---------------------------------------------------------------------------

AWAY = textwrap.dedent("""
    import asyncio
    import socket
    import urllib.request

    import httpx2
    import pytest

    HOST = "192.0.2.1"


    def sock(**words):
        return socket.socket(socket.AF_INET, **words)


    def connect(host):
        with sock() as s:
            s.connect((host, 80))


    def connect_ex(host):
        with sock() as s:
            assert s.connect_ex((host, 80))


    def datagram(host):
        with sock(type=socket.SOCK_DGRAM) as s:
            s.sendto(b"x", (host, 53))


    def message(host):
        with sock(type=socket.SOCK_DGRAM) as s:
            s.sendmsg([b"x"], [], 0, (host, 53))


    def lookup(host):
        socket.getaddrinfo("example.com", 443)


    def old_lookup(host):
        socket.gethostbyname("example.com")


    def url(host):
        urllib.request.urlopen(f"http://{host}/", timeout=1)


    def client(host):
        httpx2.get(f"http://{host}/v1/x", timeout=1)


    def coroutine(function):
        def run(host):
            asyncio.run(asyncio.wait_for(function(host), 2))
        run.__name__ = function.__name__
        return run


    @coroutine
    async def create_connection(host):
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, 80)


    @coroutine
    async def sock_connect(host):
        with sock() as s:
            s.setblocking(False)
            await asyncio.get_running_loop().sock_connect(s, (host, 80))


    @coroutine
    async def datagram_endpoint(host):
        await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(host, 80))


    @coroutine
    async def aclient(host):
        async with httpx2.AsyncClient(timeout=1) as http:
            await http.get(f"http://{host}/v1/x")


    @coroutine
    async def swallowed(host):
        await asyncio.gather(asyncio.open_connection(host, 80), return_exceptions=True)


    WAYS = [connect, connect_ex, datagram, message, lookup, old_lookup, url, client, create_connection,
            sock_connect, datagram_endpoint, aclient, swallowed]


    @pytest.mark.parametrize("way", WAYS)
    def test_cassette(way, openrouter):
        way(HOST)


    @pytest.mark.parametrize("way", WAYS)
    def test_emulator(way, openrouter_emulator):
        way(HOST)
""")


def test_nothing_leaves_while_a_cassette_or_an_emulator_is_in_use(project):
    """By sockets, datagrams, look-ups, event loops or clients; each attempt fails its test, once."""
    (project.path / "test_mine.py").write_text(AWAY)
    output = project("--openrouter-record=none", fine=False)

    assert "26 failed in" in output
    for section in re.split(
        r"^_+ test_\w+\[.*\] _+$", output.partition("short test summary")[0], flags=re.MULTILINE
    )[1:]:
        refused = section.count("the network is blocked") + section.count("not OpenRouter")
        assert refused == 1, section


def test_another_event_loop_cannot_leave_either(project):
    """Uvloop opens its connections itself."""
    pytest.importorskip("uvloop")
    (project.path / "test_mine.py").write_text(
        AWAY.replace("asyncio.run(", "uvloop.run(").replace(
            "import httpx2", "import httpx2\nimport uvloop"
        )
    )

    assert "26 failed in" in project(fine=False)


def test_a_proxy_on_loopback_is_no_way_out(project):
    """While recording against the emulator it is not asked; it could lead anywhere."""
    dead = {"HTTP_PROXY": "http://127.0.0.1:9", "all_proxy": "http://127.0.0.1:9"}

    assert "4 passed" in project("--openrouter-record=once", **dead)


def test_a_request_to_another_host_says_why_it_is_refused(project):
    """A base URL in code, while the emulator is recorded and while a cassette replays."""
    (project.path / "test_mine.py").write_text(
        textwrap.dedent("""
        import pytest
        from langchain_openrouter import ChatOpenRouter

        @pytest.mark.openrouter
        @pytest.mark.parametrize("host", ["openrouter.ai", "evilopenrouter.ai", "gateway.example.com"])
        def test_host(host):
            ChatOpenRouter(model="a/b", api_key="sk-real", base_url=f"https://{host}/api/v1").invoke("x")
    """)
    )
    recording = project("--openrouter-record=once", fine=False)
    replaying = project(fine=False)

    assert "leave `base_url` to OPENROUTER_BASE_URL" in recording
    for output in (recording, replaying):
        assert (
            "https://evilopenrouter.ai/api/v1/chat/completions, which is not OpenRouter" in output
        )
        assert (
            "https://gateway.example.com/api/v1/chat/completions, which is not OpenRouter" in output
        )
    assert "3 failed" in recording
    assert not cassettes_of(project)


EARLY = textwrap.dedent("""
    import pytest
    from langchain_openrouter import ChatOpenRouter

    MODEL = ChatOpenRouter(model="a/b", max_retries=0)


    @pytest.fixture(scope="module")
    def model():
        return ChatOpenRouter(model="a/b", max_retries=0)


    @pytest.mark.openrouter
    def test_import():
        assert MODEL.invoke("Hello").text.startswith("Hello")


    @pytest.mark.openrouter
    def test_module(model):
        assert model.invoke("Hello").text.startswith("Hello")


    def test_emulator(openrouter_emulator, model):
        assert model.invoke("Hello").text.startswith("Hello")
        assert MODEL.invoke("Hello").text.startswith("Hello")
        assert len(openrouter_emulator.chats) == 2
        assert {chat.key for chat in openrouter_emulator.chats} == {"sk-or-v1-redacted-0"}
""")


def test_a_model_that_was_made_earlier_is_recorded_and_replayed(project):
    """At import time or in a module's fixture, before the environment leads to the emulator."""
    (project.path / "test_mine.py").write_text(EARLY)

    assert "3 passed" in project("--openrouter-record=once")
    assert "3 passed" in project()
    assert "3 passed" in project(
        OPENROUTER_API_KEY="sk-or-v1-real", OPENROUTER_BASE_URL="https://192.0.2.1/api/v1"
    )


def test_a_model_that_was_made_earlier_never_sends_its_key_past_the_guard(project):
    """Whatever it read when it was made: it works, or it fails with the reason."""
    (project.path / "test_mine.py").write_text(EARLY)
    real = {"OPENROUTER_BASE_URL": "https://192.0.2.1/api/v1", "HTTPS_PROXY": "http://127.0.0.1:9"}
    output = project(fine=None, **real, OPENROUTER_API_KEY="sk-or-v1-real")

    assert "ConnectionFailedError" not in output
    assert "sk-or-v1-real" not in output
