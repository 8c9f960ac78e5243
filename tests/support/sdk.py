"""OpenRouter's own SDK, the newest one, in an environment of its own."""

from __future__ import annotations

import subprocess
import time
import venv
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / ".bench" / "openrouter-sdk"
RENEWED_AFTER = 7 * 86_400  # seconds


def sdk_python():
    """Return the Python that has the SDK; skip where it cannot be installed.

    The environment is made once; a week later the SDK is upgraded, if the index can be reached.
    """
    executable, installed = FOLDER / "bin" / "python", FOLDER / "installed"
    if installed.exists() and time.time() - installed.stat().st_mtime < RENEWED_AFTER:
        return executable
    if not executable.exists():
        venv.create(FOLDER, with_pip=True)

    pip = [executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--upgrade", "openrouter"], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode == 0:
        installed.touch()
    elif not installed.exists():
        pytest.skip(f"OpenRouter's SDK cannot be installed here: {done.stderr[-200:]}")
    return executable
