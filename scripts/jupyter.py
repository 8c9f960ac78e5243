"""Open the notebooks in JupyterLab with everything set: environment, folder, an emulator or a key.

With OPENROUTER_API_KEY set they run live, on that key; without, on an emulator that ends with
JupyterLab. Arguments are JupyterLab's own. Run by `make jupyter`.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

from langchain_openrouter.testing import Emulator
from langchain_openrouter.testing._command import run_command

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
DEFAULTS = Path(__file__).parent / "jupyter_config"  # no question about Jupyter's news, no requests
LIVE = "The notebooks run live, and OPENROUTER_API_KEY pays for them: a few cents."
EMULATED = (
    "No OPENROUTER_API_KEY: the notebooks run on the emulator of OpenRouter, which is no model, "
    "costs nothing and needs no network."
)
STOP = "Ctrl-C twice stops JupyterLab, and the emulator with it."
KERNEL = {
    "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel before a user's of the same name
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the debugger writes a warning into the terminal
}


def main(arguments: list[str]) -> int:
    """Run JupyterLab; return its exit code, 127 where it is not installed."""
    command = ["jupyter-lab", *arguments]
    if not any(argument.startswith("--ServerApp.root_dir") for argument in arguments):
        command.append(f"--ServerApp.root_dir={NOTEBOOKS}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container everybody is root; it listens on loopback

    config_path = filter(None, (str(DEFAULTS), os.environ.get("JUPYTER_CONFIG_PATH")))
    environment = {**KERNEL, "JUPYTER_CONFIG_PATH": os.pathsep.join(config_path)}
    with ExitStack() as stack:
        if os.environ.get("OPENROUTER_API_KEY"):
            say(LIVE)
        else:
            emulator = stack.enter_context(Emulator())
            environment |= {
                "OPENROUTER_BASE_URL": emulator.url,
                "OPENROUTER_API_KEY": "emulated",
                "OPENROUTER_MANAGEMENT_KEY": emulator.management_key,
            }
            say(EMULATED)
        say(STOP)
        return run_command(command, environment)


def say(text: str) -> None:
    """Print a line before what JupyterLab prints."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
