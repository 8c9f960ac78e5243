"""Detect whether a browser could reach a listener of this process."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_REMOTE_ENVIRONMENTS = {
    "SSH_CONNECTION": "an SSH session",
    "SSH_CLIENT": "an SSH session",
    "SSH_TTY": "an SSH session",
    "CODESPACES": "GitHub Codespaces",
    "GITPOD_WORKSPACE_ID": "Gitpod",
    "CLOUD_SHELL": "a cloud shell",
    "REMOTE_CONTAINERS": "a development container",
    "KUBERNETES_SERVICE_HOST": "a container",
    "COLAB_RELEASE_TAG": "Colab",
    "COLAB_BACKEND_VERSION": "Colab",
    "container": "a container",
}
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
_SHELL = "ZMQInteractiveShell"


def in_jupyter() -> bool:
    """Tell whether this process is a Jupyter kernel (JupyterLab, VS Code, Colab)."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and (
        any(kind.__name__ == _SHELL for kind in type(shell).__mro__)
        or type(shell).__module__.startswith("google.colab")
    )


def detect(
    environ: Mapping[str, str], *, kernel: bool, container: bool, browser: bool
) -> str | None:
    """Return why a browser could not reach a listener, None if it could; reads nothing itself.

    Args:
        environ: The environment.
        kernel: Whether this is a Jupyter kernel, whose browser may be on another machine.
        container: Whether there is a file that marks a container.
        browser: Whether a browser can be opened.
    """
    if kernel:
        return "a Jupyter kernel"

    for name, description in _REMOTE_ENVIRONMENTS.items():
        if environ.get(name):
            return description

    if container:
        return "a container"
    return None if browser else "a machine without a browser"


def why_headless(*, browser: bool | None = None) -> str | None:
    """Return why a browser could not reach a listener of this process, None if it could.

    Args:
        browser: Whether there is a browser; None looks for one.
    """
    return detect(
        os.environ,
        kernel=in_jupyter(),
        container=any(Path(path).exists() for path in _CONTAINER_FILES),
        browser=_has_browser(os.environ) if browser is None else browser,
    )


def _has_browser(environ: Mapping[str, str]) -> bool:
    """Tell whether there is a graphical browser: a text browser would occupy the terminal."""
    if sys.platform.startswith("linux") and not (
        environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY") or environ.get("BROWSER")
    ):
        return False

    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
