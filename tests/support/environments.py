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
    tool, python = uv.find_uv_bin(), folder / "bin" / "python"
    pip = [tool, "pip", "install", "--quiet", "--python", python]
    commands = [[*pip, *requirements]]
    if not python.exists():
        commands.insert(0, [tool, "venv", "--quiet", "--python", sys.executable, folder])

    for command in commands:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=timeout)

    return python
