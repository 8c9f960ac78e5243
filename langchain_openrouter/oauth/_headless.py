"""Where this process runs: whether a browser here could reach a listener here; pure."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_REMOTE = {
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
    """Tell whether a Jupyter kernel runs this (JupyterLab, VS Code, Colab)."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and (
        any(kind.__name__ == _SHELL for kind in type(shell).__mro__)
        or type(shell).__module__.startswith("google.colab")
    )


def headless_reason(
    environ: Mapping[str, str], *, kernel: bool, container: bool, browser: bool
) -> str | None:
    """Return why a loopback listener would not be reached, None if it would.

    Args:
        environ: The environment.
        kernel: Whether a Jupyter kernel runs this; its browser may be on another machine.
        container: Whether a container's own file is there.
        browser: Whether a browser can be opened here.
    """
    if kernel:
        return "a Jupyter kernel"
    for name, place in _REMOTE.items():
        if environ.get(name):
            return place
    if container:
        return "a container"
    return None if browser else "a machine without a browser"


def reason(*, browser: bool | None = None) -> str | None:
    """Return why a loopback listener would not be reached from here.

    Args:
        browser: What is known of a browser; None looks for one.
    """
    return headless_reason(
        os.environ,
        kernel=in_jupyter(),
        container=any(Path(path).exists() for path in _CONTAINER_FILES),
        browser=_has_browser(os.environ) if browser is None else browser,
    )


def _has_browser(environ: Mapping[str, str]) -> bool:
    """Look for a browser with a window: a text browser would take the terminal away."""
    if sys.platform.startswith("linux") and not (
        environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY") or environ.get("BROWSER")
    ):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
