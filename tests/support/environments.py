"""Environments apart from the tests' own: for clients and frameworks that are tested against."""

from __future__ import annotations

import subprocess
import sys

import uv


def install(folder, *requirements, timeout=500):
    """Make an environment where there is none, and install into it; return its Python.

    With uv, which takes seconds where pip takes a minute. Raises
    `subprocess.CalledProcessError`, whose `stderr` says why an installation failed.
    """
    python = folder / "bin" / "python"
    run = {"check": True, "capture_output": True, "text": True, "timeout": timeout}
    tool = uv.find_uv_bin()
    if not python.exists():
        subprocess.run([tool, "venv", "--quiet", "--python", sys.executable, folder], **run)
    subprocess.run([tool, "pip", "install", "--quiet", "--python", python, *requirements], **run)
    return python
