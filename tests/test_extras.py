"""A missing extra is named, wherever it is first needed: in processes where it cannot be imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

IN_CHAT = "from langchain_openrouter import ChatOpenRouter; m = ChatOpenRouter(model='a/b', api_key='k'); "
# The extra, the libraries that are missing, what is run.
CASES = [
    ("agents", "langchain langgraph", "from langchain_openrouter.middleware import PerUserModel"),
    ("agents", "langchain langgraph", "import langchain_openrouter.middleware._cost_limit"),
    ("agents", "langgraph", "from langchain_openrouter.middleware import CostLimit"),
    ("batch", "pyarrow", IN_CHAT + "from langchain_openrouter.batch import run; run(m, 'rows.parquet')"),
    ("batch", "rich", IN_CHAT + "from langchain_openrouter.batch import run; run(m, ['x'], progress=True)"),
    ("batch", "rich", "from langchain_openrouter import OpenRouterEmbeddings as E; E(model='a/b', api_key='k').embed(['x'], progress=True)"),
    ("ray", "ray", IN_CHAT + "from langchain_openrouter.batch import run; run(m, ['x'], engine='ray', progress=False)"),
    ("ray", "ray", IN_CHAT + "from langchain_openrouter.batch import map_batches; map_batches(m, prompt='{x}')"),
    ("keyring", "keyring", "from langchain_openrouter.key_store import KeyStore; KeyStore.keyring()"),
    ("web", "redis", "from langchain_openrouter.key_store import RedisStore; RedisStore('redis://127.0.0.1:1')"),
    ("web", "starlette", "from langchain_openrouter.web import SignIn"),
    ("web", "starlette", "import langchain_openrouter.web.sign_in"),
    ("web", "uvicorn", "from langchain_openrouter.web.__main__ import main; main(['--port', '0'])"),
    ("testing", "starlette", "from langchain_openrouter.testing import Emulator"),
    ("testing", "uvicorn", "from langchain_openrouter.testing import Reply"),
    ("testing", "vcr", "from langchain_openrouter.testing import use_cassette"),
    ("testing", "yaml", "from langchain_openrouter.testing.cassettes import Recording"),
    ("testing", "vcr", "from langchain_openrouter.testing.__main__ import main; main(['lint', '.'])"),
    ("cli", "typer", "import sys; sys.argv = ['x', 'whoami']; from langchain_openrouter.__main__ import main; main()"),
    ("cli", "rich", "import sys; sys.argv = ['x', 'demo']; from langchain_openrouter.__main__ import main; main()"),
]  # fmt: skip


@pytest.mark.parametrize(("extra", "missing", "code"), CASES)
def test_a_missing_extra_is_named(extra, missing, code, tmp_path):
    """With the command that installs it."""
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    block = f"import sys; sys.modules.update(dict.fromkeys({missing.split()}))\n"
    done = subprocess.run(
        [sys.executable, "-c", block + code],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 1, done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert f"pip install 'langchain-openrouter-oauth[{extra}]'" in last


def test_the_emulator_runs_beside_a_command_without_vcr():
    """The extra `web` has all that `run` and `serve` need."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['vcr', 'yaml', 'pytest']))\n"
        "from langchain_openrouter.testing.__main__ import main\n"
        "sys.exit(main(['run', sys.executable, '-c', 'import os; os.environ[\"OPENROUTER_BASE_URL\"]']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_fault_of_the_package_is_no_missing_extra():
    """A module of the package itself that is missing says so."""
    code = "import sys; sys.modules['langchain_openrouter.web._pages'] = None; import langchain_openrouter.web"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "langchain_openrouter.web._pages" in done.stderr
    assert "pip install" not in done.stderr
