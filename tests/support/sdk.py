"""OpenRouter's own SDK, the newest one, in an environment of its own."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.support.environments import install

FOLDER = Path(__file__).parents[2] / ".bench" / "openrouter-sdk"
RENEWED_AFTER = 7 * 86_400  # seconds


def sdk_python():
    """Return the Python that has the SDK; skip where it cannot be installed.

    The environment is made once; a week later the SDK is upgraded, if the index can be reached.
    """
    python, installed = FOLDER / "bin" / "python", FOLDER / "installed"
    if installed.exists() and time.time() - installed.stat().st_mtime < RENEWED_AFTER:
        return python

    try:
        install(FOLDER, "--upgrade", "openrouter", timeout=300)
        installed.touch()
    except subprocess.SubprocessError as error:
        if not installed.exists():
            pytest.skip(f"OpenRouter's SDK cannot be installed here: {error}")
    return python
