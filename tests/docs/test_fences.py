"""Each fence of the README and of the documentation runs, page by page, against the emulator."""

from __future__ import annotations

import re
import secrets
import tomllib

import pytest

from langchain_openrouter import ChatOpenRouter, errors
from langchain_openrouter.testing import Reply
from langchain_openrouter.wire import REQUEST_FIELDS
from tests.support.documents import DOCS, PAGES, README, ROOT, fences, read

# What a page prints, or asks for, when its fences run.
PRINTED = {
    "README.md": ["Blue. 0.0025 OpenAI", "Red."],
    "docs/tutorial.md": ["Blue.", "0.0025 OpenAI", "Red.", "city='Paris'"],
    "docs/guides/users.md": ["not revoked"],
    "docs/guides/agents.md": ["Blue."],
    "docs/guides/reasoning.md": ["Well."],
    "docs/guides/migrating.md": ["Blue.", "0.0025"],
}
REQUESTED = {
    "docs/guides/embeddings.md": {"/embeddings", "/rerank"},
    "docs/guides/catalog.md": {"/generation", "/models"},
    "docs/guides/responses.md": {"/responses"},
    "docs/guides/accounts.md": {"/keys", "/guardrails"},
}
RAY = "docs/guides/ray.md"
LABELS = {"README.md": "My script", "docs/guides/users.md": "My app"}


def reply(asked):
    """Answer whatever a page asks."""
    if asked.body.get("stream"):
        return "Red."
    if "response_format" in asked.body or "tools" in asked.body:
        return None
    return Reply("Blue.", reasoning="Well.", usage={"cost": 0.0025})


@pytest.fixture
def emulator(emulate, browse, monkeypatch, tmp_path):
    """Start the emulator that a page's code reaches by the environment alone."""
    started = emulate(reply)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("OPENROUTER_API_KEY", "the-operators")
    monkeypatch.setenv("OPENROUTER_MANAGEMENT_KEY", started.management_key)
    monkeypatch.setenv("OPENROUTER_BASE_URL", started.url)
    monkeypatch.setenv("OPENROUTER_WEB_SECRET", secrets.token_urlsafe(32))
    monkeypatch.setattr("langchain_openrouter.oauth._headless.why_headless", lambda **_: None)
    monkeypatch.setattr("langchain_openrouter.oauth._login.has_terminal", lambda: False)
    monkeypatch.setattr("webbrowser.open", browse())
    return started


PYTHON = [page for page in PAGES if fences(page, "python") and page != RAY]


@pytest.mark.parametrize("page", PYTHON)
def test_every_python_fence_of_a_page_runs(page, emulator, browse, capsys):
    """In order and from the page's own imports, the sign-ins through a real page included."""
    names = {}
    for fence in fences(page, "python"):
        if "callback_address" in fence:
            names["callback_address"] = browse(follow=False).decide(names["redirect_to"])
        exec(compile(fence, page, "exec", dont_inherit=True), names)  # noqa: S102 - the page is ours

    printed = capsys.readouterr().out
    assert all(text in printed for text in PRINTED.get(page, []))
    assert REQUESTED.get(page, set()) <= {asked.path for asked in emulator.asked}
    keys = [asked.key for asked in emulator.chats if asked.key in emulator.accounts.keys]
    labels = {emulator.accounts.keys[key].label for key in keys}
    assert page not in LABELS or LABELS[page] in labels


@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("default")  # of Ray's own modules
def test_the_page_on_ray_runs(emulator, monkeypatch, capsys):
    """On a cluster of one node, whose workers read the key from their environment."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "180")  # a busy machine
    monkeypatch.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
    ray.init(
        num_cpus=2, object_store_memory=80 * 2**20, include_dashboard=False, log_to_driver=False
    )
    try:
        names = {}
        for fence in fences(RAY, "python"):
            exec(compile(fence, RAY, "exec", dont_inherit=True), names)  # noqa: S102 - the page is ours
    finally:
        ray.shutdown()

    assert "2 0" in capsys.readouterr().out
    assert len(emulator.chats) == 4


def test_every_fence_says_its_language():
    """And it is one whose fences are run or read by a test; `js` by those of the web."""
    for page in PAGES:
        languages = re.findall(r"^```(\S*).*?\n.*?^```$", read(page), re.MULTILINE | re.DOTALL)
        assert {x for x in languages if x[:1] != "{"} <= {"python", "sh", "toml", "js"}, page


@pytest.mark.parametrize("page", [page for page in PAGES if fences(page, "toml")], ids=str)
def test_every_toml_fence_is_read(page):
    """As a part of a `pyproject.toml`."""
    assert all(tomllib.loads(fence) for fence in fences(page, "toml"))


def test_the_readme_is_short():
    """Install, use and the note on the other package come before anything else."""
    lines = read(README).splitlines()
    screen = "\n".join(lines[:36])

    assert len(lines) < 150
    assert "pip install langchain-openrouter-oauth" in screen
    assert "pip uninstall langchain-openrouter" in screen
    assert "**seconds**" in screen


def test_every_error_is_in_the_table():
    """With the page on the sign-in, whose kinds are there."""
    table = set(re.findall(r"`(\w+Error)`", read("docs/reference/errors.md")))
    table |= set(re.findall(r"`(\w+Error)`", read("docs/guides/users.md")))
    ours = {
        kind.__name__
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.OpenRouterError)
    }

    assert ours - {"ResponseError", "OpenRouterError", "SignInError"} <= table
    assert {name for name in table if name.startswith(("SignIn", "Batch", "Key"))} <= ours


def test_every_field_is_an_argument():
    """As the page on routing says."""
    words = {*ChatOpenRouter.model_fields, "provider", "metadata", "model"}

    assert set(REQUEST_FIELDS) - {"messages", "prompt", "stream"} <= words


def test_every_page_is_in_the_table_of_contents():
    """Of the index."""
    index = read("docs/index.md")
    for path in DOCS.rglob("*.md"):
        name = path.relative_to(DOCS).with_suffix("").as_posix()
        if not name.startswith(("_", "reference/api/")) and name != "index":
            assert f"\n{name}\n" in index, name
    assert (ROOT / "docs" / "conf.py").exists()
