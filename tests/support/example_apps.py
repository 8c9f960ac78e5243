"""The apps of `examples/web`, each in a process and an environment of its own."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.environments import install
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "web"


def environment(framework):
    """Return the Python of an environment with a framework and this package; skip without one."""
    try:
        return install(ROOT / ".bench" / framework, "--editable", f"{ROOT}[web]", framework)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"{framework} cannot be installed here: {getattr(error, 'stderr', error)}")


@contextmanager
def example_app(python, name, emulator, folder):
    """Serve an example with uvicorn, as its docstring says; yield its address."""
    port = free_port()
    log = folder / f"{name}.log"
    variables = {
        **{n: v for n, v in os.environ.items() if not n.startswith(("OPENROUTER_", "PYTEST_"))},
        "OPENROUTER_BASE_URL": emulator.url, "OPENROUTER_API_KEY": "the-operators",
        "OPENROUTER_WEB_SECRET": secrets.token_urlsafe(32), "GRADIO_ANALYTICS_ENABLED": "False",
        "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false", "CHAINLIT_APP_ROOT": str(folder),
    }  # fmt: skip
    command = [python, "-m", "uvicorn", f"{name}:app", "--app-dir", EXAMPLES, "--port", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=variables, cwd=folder, stdout=output, stderr=output)
    url = f"http://localhost:{port}"
    end = time.monotonic() + 90
    try:
        while "Uvicorn running" not in log.read_text() or not _answers(url):
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"{name} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
    assert "the-operators" not in log.read_text()


def _answers(url):
    try:
        return httpx2.get(url, trust_env=False, timeout=20).status_code < 500
    except httpx2.TransportError:
        return False
