"""What is built and installed: wheel, sdist, and LangChain's own package in the same folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OFFICIAL = "langchain-openrouter==0.2.9"  # has the same import name
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("OPENROUTER_", "PYTEST_", "PYTHON", "COV_"))
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command, code=0, **more):
    """Run a command; return what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        **{"env": ENVIRONMENT, **more},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Build the sdist, and the wheel from it; return their folder."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="session")
def wheels(built, tmp_path_factory):
    """Return the wheel, and LangChain's."""
    folder = tmp_path_factory.mktemp("official")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "download", "--no-deps", "--dest", folder, OFFICIAL)
    return next(built.glob("*.whl")), next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def unpacked(built, tmp_path_factory):
    """Unpack the sdist; return its folder."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.iterdir())


class Installation:
    """An environment without pip; what the package needs is lent by the one that runs the tests."""

    def __init__(self, folder):
        """Make it."""
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        self.bin = folder / "bin"
        self.site = next((folder / "lib").glob("python*")) / "site-packages"

    def pip(self, *arguments):
        """Run pip for this environment."""
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        run(*pip, "--python", self.bin / "python", *arguments)

    def install(self, wheel):
        """Install a wheel alone."""
        self.pip("install", "--no-deps", "--no-index", wheel)

    def python(self, script, **more):
        """Run a script, all warnings shown, away from the checkout; return what was printed."""
        lend = f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})\n"
        return run(self.bin / "python", "-P", "-W", "always", "-c", lend + script, **more)


@pytest.fixture
def environment(tmp_path):
    """Return a fresh environment."""
    return Installation(tmp_path / "environment")


USE = """
from langchain_openrouter import ChatOpenRouter
print(ChatOpenRouter.__module__, ChatOpenRouter(model="a/b", api_key="k").for_user("u").model_name)
"""
OWN = "langchain_openrouter.chat_models.base a/b"


def test_alone_nothing_is_warned_of(environment, wheels):
    """Nor beside a distribution of LangChain's name that has no module."""
    environment.install(wheels[0])
    assert environment.python(USE).strip() == OWN

    placeholder = environment.site / "langchain_openrouter-9.dist-info"
    placeholder.mkdir()
    (placeholder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: langchain-openrouter\nVersion: 9\n"
    )
    (placeholder / "RECORD").write_text("langchain_openrouter-9.dist-info/METADATA,,\n")
    assert environment.python(USE).strip() == OWN


@pytest.mark.parametrize("last", ["this package", "LangChain's"])
def test_beside_langchains_package_the_import_warns_once_and_the_advice_heals(
    environment, wheels, last
):
    """Whichever was installed last, `ChatOpenRouter` is this package's."""
    for wheel in wheels if last == "LangChain's" else reversed(wheels):
        environment.install(wheel)

    printed = environment.python(
        f"{USE}\nimport langchain_openrouter.oauth, langchain_openrouter.catalog"
    )
    assert OWN in printed
    assert printed.count("UserWarning") == 1
    assert "langchain-openrouter 0.2.9 has the same import name" in printed
    assert ("has overwritten files" in printed) is (last == "LangChain's")
    assert ("will remove files" in printed) is (last == "this package")

    commands = re.findall(r"`pip ([^`]+)`", printed)
    assert [command.split()[0] for command in commands] == ["uninstall", "install"]
    environment.pip(*commands[0].split(), "--yes")
    environment.pip(*commands[1].split(), "--no-index", "--find-links", wheels[0].parent)
    assert environment.python(USE).strip() == OWN
    assert "nothing" not in environment.python("from langchain_openrouter import login, as_user")


def test_force_reinstall_alone_brings_the_overwritten_names_back(environment, wheels):
    """Where something needs LangChain's distribution to stay: the warning stays as well."""
    for wheel in wheels:
        environment.install(wheel)
    broken = environment.python("from langchain_openrouter import login", code=1)
    assert "has overwritten files" in broken
    assert "cannot import name 'login'" in broken

    environment.pip("install", "--force-reinstall", "--no-deps", "--no-index", wheels[0])
    healed = environment.python("from langchain_openrouter import login")
    assert "will remove files" in healed


def test_an_uninstall_of_langchains_package_that_took_files_along_is_warned_of(environment, wheels):
    """The modules and the command say what is missing, and how to bring it back."""
    for wheel in reversed(wheels):
        environment.install(wheel)
    environment.pip("uninstall", "--yes", "langchain-openrouter")

    printed = environment.python("from langchain_openrouter.chat_models import ChatOpenRouter")
    assert "__init__.py is missing" in printed
    assert "--force-reinstall --no-deps langchain-openrouter-oauth" in printed
    code = "sys.argv = ['x', '--help']; from langchain_openrouter.__main__ import main; main()"
    assert "__init__.py is missing" in environment.python(code)


def test_the_two_packages_have_only_two_files_in_common(wheels):
    """So that either order of installation leaves this package's modules as they are."""
    names = [set(zipfile.ZipFile(wheel).namelist()) for wheel in wheels]

    assert names[0] & names[1] == {
        "langchain_openrouter/__init__.py",
        "langchain_openrouter/py.typed",
    }


def test_the_import_stays_cheap_beside_a_thousand_packages(environment, wheels):
    """The look for LangChain's package imports nothing slow."""
    environment.install(wheels[0])
    for number in range(1000):
        (environment.site / f"package_{number}-1.dist-info").mkdir()
    code = (
        "import time; before = time.process_time(); import langchain_openrouter; "
        "taken = time.process_time() - before; "
        "print('importlib.metadata' in sys.modules, *([taken] if taken > 0.05 else []))"
    )

    assert environment.python(code).strip() == "False"


def test_the_commands_of_the_wheel_run(environment, wheels):
    """`langchain-openrouter` and `python -m` alike."""
    environment.install(wheels[0])
    lent = {**ENVIRONMENT, "PYTHONPATH": sysconfig.get_path("purelib")}

    assert "login" in run(environment.bin / "langchain-openrouter", "--help", env=lent)


def test_what_was_built_is_fit_for_an_index(built):
    """Its links lead somewhere, its files are those of the repository."""
    scripts = Path(sysconfig.get_path("scripts"))
    assert not run(sys.executable, ROOT / "scripts" / "check_dist.py", built)
    assert "FAILED" not in run(scripts / "twine", "check", "--strict", *built.iterdir())
    run(
        scripts / "check-wheel-contents",
        "--package",
        ROOT / "langchain_openrouter",
        *built.glob("*.whl"),
    )


@pytest.mark.parametrize(
    ("link", "finding"),
    [
        ("[x](tests/benchmarks/soak.md)", "links to tests/benchmarks/soak.md"),
        ("![x](picture.png)", "links to picture.png"),
        ("<a href='docs'>x</a>", "links to docs"),
        ("[x](#nowhere)", "links to #"),
        ("[x](https://openrouter.ai)", None),
        ("[x](#sign-a-user-in)", None),
        ("`[x](y)`", None),
    ],
)
def test_a_link_that_leads_nowhere_on_an_index_is_a_finding(built, tmp_path, link, finding):
    """Whether it is Markdown or HTML, of a link or of an image; code is none."""
    folder = Path(shutil.copytree(built, tmp_path / "dist"))
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            end = f"\n\n{link}\n".encode() if name.endswith(".dist-info/METADATA") else b""
            archive.writestr(name, data + end)

    printed = run(
        sys.executable, ROOT / "scripts" / "check_dist.py", folder, code=1 if finding else 0
    )
    assert printed.count("links to") == bool(finding)
    assert (finding or "") in printed


def test_files_at_the_wrong_places_are_findings(built, tmp_path):
    """A wheel with a module of LangChain's package, an sdist without a file of the repository."""
    folder = Path(shutil.copytree(built, tmp_path / "dist"))
    with zipfile.ZipFile(next(folder.glob("*.whl")), "a") as archive:
        archive.writestr("langchain_openrouter/_version.py", "")
    sdist = next(folder.glob("*.tar.gz"))
    with tarfile.open(sdist, "w:gz"):
        pass

    printed = run(sys.executable, ROOT / "scripts" / "check_dist.py", folder, code=1)
    assert "langchain-openrouter has langchain_openrouter/_version.py, too" in printed
    if (ROOT / ".git").exists():
        assert "the sdist lacks SECURITY.md" in printed


def test_an_unpacked_sdist_passes_its_tests(unpacked):
    """All are collected, and those that look at files and folders pass, whatever its folder's name."""
    environment = {**ENVIRONMENT, "PYTHONPATH": str(unpacked)}
    files = "test_fences.py or test_current_user.py or test_secrets.py or test_keys.py"
    selected = f"({files}) and (shows or frame or fence or table)"
    options = ["-q", "-p", "no:cacheprovider", "--assert=plain", "-k", selected]
    printed = run(sys.executable, "-m", "pytest", *options, cwd=unpacked, env=environment)

    last = printed.splitlines()[-1]
    assert "error" not in last
    passed, deselected = (int(re.search(rf"(\d+) {w}", last)[1]) for w in ("passed", "deselected"))
    assert passed > 20
    assert deselected > 5000
