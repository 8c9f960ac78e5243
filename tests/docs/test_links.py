"""Links of the documents lead to files and headings that exist; commands in them exist."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import pytest

from tests.support.documents import PAGES, ROOT, fences, read

DOCUMENTS = [
    *PAGES,
    *(f"{n}.md" for n in ("ARCHITECTURE", "CHANGELOG", "CONTRIBUTING", "SECURITY")),
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = set(
    re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
)


def prose(page):
    """Return a page without its fences and its code in a line."""
    text = re.sub(r"^ *```.*?^ *```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)(?:(?!\1).)+\1", "", text)


def anchors(page):
    """Return the anchors of a page's headings, as GitHub and MyST name them."""
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def finding(page, target):
    """Return what is wrong with the target of a link on a page; None if it leads somewhere."""
    parts = urlsplit(target)
    if parts.scheme:
        return None if parts.scheme in {"https", "http"} and parts.hostname else "no address"

    path = (ROOT / PurePosixPath(page).parent / parts.path).resolve() if parts.path else ROOT / page
    if not path.is_file():
        return "no such file"
    is_there = not parts.fragment or parts.fragment in anchors(path.relative_to(ROOT).as_posix())
    return None if is_there else "no such heading"


@pytest.mark.parametrize("page", DOCUMENTS)
def test_each_link_leads_somewhere(page):
    """To a file of the repository and a heading in it, or to an address, which is not called."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))

    assert not [(target, why) for target in targets if (why := finding(page, target))]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nowhere.md", "no such file"),
        ("users.md#nowhere", "no such heading"),
        ("#nowhere", "no such heading"),
        ("https:/openrouter.ai", "no address"),
        ("users.md", None),
        ("reasoning.md#threads-that-began-with-another-model", None),
        ("../../README.md#sign-a-user-in", None),
    ],
)
def test_a_link_that_leads_nowhere_is_found(target, why):
    """So that the check above means something."""
    assert finding("docs/guides/money.md", target) == why


def commands():
    """Yield each command of a shell fence with its page, comments and the left of pipes aside."""
    for page in DOCUMENTS:
        for fence in fences(page, "sh"):
            for line in fence.replace("\\\n", " ").splitlines():
                for part in line.split(" | "):
                    words = shlex.split(part, comments=True)
                    if words:
                        yield page, words


def parse(words):
    """Let the command line read the words of a command without running it."""
    from typer.main import get_command

    from langchain_openrouter._cli import app

    command, context = get_command(app), None
    while True:
        context = command.make_context(words[0], words[1:], parent=context)
        rest = [*context._protected_args, *context.args]
        if not hasattr(command, "commands") or not rest:
            return
        _, command, arguments = command.resolve_command(context, rest)
        words = [rest[0], *arguments]


def test_each_command_of_ours_is_one(monkeypatch, tmp_path):
    """Its name, options and values are known to the command line; extras and targets exist."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("{}\n")
    seen = set()
    for page, words in commands():
        seen.add(words[0])
        if words[0] == "langchain-openrouter":
            parse(words)
        elif words[0] == "make":
            assert set(words[1:]) <= TARGETS, page
        elif words[:2] == ["pip", "install"]:
            for extras in re.findall(r"\[(.*?)\]", " ".join(words)):
                assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), page
        elif words[:2] == ["python", "-m"]:
            path = ROOT.joinpath(*words[2].split("."))
            is_ours = path.with_suffix(".py").exists() or (path / "__main__.py").exists()
            assert is_ours or words[2] in sys.stdlib_module_names, page

    assert {"langchain-openrouter", "pip", "python"} <= seen


def test_each_command_named_in_a_line_is_one():
    """`make docs`, and others that stand in the text."""
    for page in DOCUMENTS:
        for target in re.findall(r"`make ([a-z-]+)", read(page)):
            assert target in TARGETS, (page, target)


GUIDES = [page for page in PAGES if page.startswith("docs/guides/") and "terminal" not in page]
UNITS = r"USD|seconds|tokens|\bms\b|\d s\b"


@pytest.mark.parametrize("page", GUIDES)
def test_each_guide_says_what_is_raised_units_and_where_to_read_on(page):
    """By its text alone: a newcomer comes from anywhere, and leaves knowing where to go."""
    text = read(page)
    targets = [urlsplit(target).path for target in re.findall(r"\]\(([^)\s]+)\)", prose(page))]

    assert "reference/errors.md" in text or "#what-goes-wrong" in text
    assert re.search(UNITS, text) or not re.search(r"cost|limit=|timeout=", text)
    assert any(target.endswith(".md") for target in targets)
