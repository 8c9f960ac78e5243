"""Where the cassette of a test is, which tests share a file, and how a test is recorded anew.

    tests/unit/test_chat.py::TestTools::test_call[a/b]
    cassettes/tests/unit/test_chat/TestTools.test_call-a-b-5c2ea31b.yaml

The folders mirror the test file's path from pytest's rootdir. A name that had to be changed ends
in a hash of the original, so that no two names become the same.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import unicodedata
from pathlib import Path

import pytest

from langchain_openrouter.testing.cassettes._origin import origin_of

MARKER = "openrouter"
_LONGEST = 120  # characters of a file's name; file systems end at 255 bytes, some at 143
_RESERVED = re.compile(r"(?i)(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")  # by Windows
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
_CLAIMS = pytest.StashKey[dict[str, list[str]]]()
_MOVES = pytest.StashKey[dict[str, str]]()


def new_path(item: pytest.Item) -> Path:
    """Return the cassette's path; see the module."""
    parts = _relative_to_root(item).with_suffix("").parts
    folders = [_portable(part, part) for part in parts]
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    test = ".".join([*classes, item.name])
    # The first bracket begins the parameters: no name of a function has a bracket or a hyphen.
    readable = re.sub(r"\[(.*)\]\Z", r"-\1", test, count=1, flags=re.DOTALL)
    return _folder(item.config).joinpath(*folders, f"{_portable(readable, test)}.yaml")


def old_path(item: pytest.Item) -> Path:
    """Return the path of releases that named the folder after the test's module alone."""
    owner = getattr(item, "cls", None)
    test = ".".join([*([owner.__name__] if owner else []), item.name])
    test = re.sub(r"[^\w.-]+", "-", test).strip("-")
    return _folder(item.config) / item.path.stem / f"{test}.yaml"


def path_of(item: pytest.Item) -> Path:
    """Return the cassette's path: the old one where only that has a recording to replay."""
    new, old = new_path(item), old_path(item)
    anew = item.config.getoption("--openrouter-record") == "all"
    return old if not anew and not _is_recording(new) and _is_recording(old) else new


def is_marked(item: pytest.Item) -> bool:
    """Tell whether a test has the marker, and the marker means this plugin.

    It does where the project has set `openrouter_cassettes`, where `--openrouter-record` is on
    the command line, and where the test has a recording. Elsewhere the marker may mean
    something else.
    """
    if item.get_closest_marker(MARKER) is None:
        return False
    config = item.config
    if config.getini("openrouter_cassettes") or config.getoption("--openrouter-record"):
        return True
    return _is_recording(new_path(item)) or _is_recording(old_path(item))


def is_recorded_test(item: pytest.Item) -> bool:
    """Tell whether a test uses a cassette: by its marker, or by the fixture `openrouter`."""
    return is_marked(item) or MARKER in getattr(item, "fixturenames", ())


def _relative_to_root(item: pytest.Item) -> Path:
    try:
        return Path(os.path.relpath(item.path, item.config.rootpath))
    except ValueError:  # another drive of Windows
        return Path(*item.path.parts[1:])


def _folder(config: pytest.Config) -> Path:
    return Path(config.rootpath, config.getini("openrouter_cassettes") or "cassettes")


def _portable(readable: str, original: str) -> str:
    """Return a file's name for every system, with a hash where `readable` could not stay."""
    name = _UNSAFE.sub("-", readable)[:_LONGEST].strip("-. ")
    if name == readable and not _RESERVED.fullmatch(name):
        return name
    digest = hashlib.sha256(unicodedata.normalize("NFC", original).encode("utf-8", "replace"))
    return f"{name}-{digest.hexdigest()[:8]}".lstrip("-")


def _is_recording(path: Path) -> bool:
    """Tell whether a file is there, and is this plugin's rather than another program's."""
    return bool(origin_of(path))


# --- one file, one test -----------------------------------------------------------------------


def claim(item: pytest.Item, path: Path) -> list[str]:
    """Enter a test as the owner of a file; return all its owners, of which there should be one."""
    claims = item.config.stash.setdefault(_CLAIMS, {})
    # macOS and Windows have one file for names that differ in case.
    owners = claims.setdefault(unicodedata.normalize("NFC", str(path)).casefold(), [])
    if item.nodeid not in owners:
        owners.append(item.nodeid)
    return owners


def remember_move(item: pytest.Item, path: Path) -> None:
    """Remember that a cassette at its old path was used."""
    new = new_path(item)
    if path != new:
        root = item.config.rootpath
        moves = moves_of(item.config)
        moves[os.path.relpath(path, root)] = os.path.relpath(new, root)


def moves_of(config: pytest.Config) -> dict[str, str]:
    """Return the cassettes that were used at their old path, and where they belong."""
    return config.stash.setdefault(_MOVES, {})


def move_commands(moves: dict[str, str]) -> list[str]:
    """Return the lines that move cassettes to their new paths."""
    folders = sorted({str(Path(new).parent) for new in moves.values()})
    return [
        *(_quoted(["mkdir", "-p", folder]) for folder in folders),
        *(_quoted(["git", "mv", old, new]) for old, new in sorted(moves.items())),
    ]


def record_command(item: pytest.Item, record: str) -> str:
    """Return the command that records a test anew, for the shell in the folder it was run in."""
    config = item.config
    here = config.invocation_params.dir
    try:
        file = os.path.relpath(item.path, here)
    except ValueError:  # another drive of Windows
        file = str(item.path)

    test = "::".join([file, *item.nodeid.split("::")[1:]])
    options = []
    if root := config.getoption("rootdir", None):
        options += ["--rootdir", str(root)]
    if inifile := config.getoption("inifilename", None):
        options += ["-c", str(inifile)]
    for setting in config.getoption("override_ini", None) or []:
        options += ["-o", setting]
    return _quoted(["pytest", test, *options, f"--openrouter-record={record}"])


def _quoted(arguments: list[str]) -> str:
    """Return a line for the shell."""
    return subprocess.list2cmdline(arguments) if os.name == "nt" else shlex.join(arguments)
