"""`make jupyter` in a process of its own, and a notebook in its page, driven as a person would."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "jupyter.py"
SHOTS = Path(os.environ.get("SCREENSHOTS") or ".pytest_cache/screenshots")
_CELLS = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    const context = panel?.sessionContext, kernel = context?.session?.kernel;
    const cells = panel?.content?.model?.toJSON().cells ?? [];
    return {cells: cells, status: context?.isReady ? kernel?.status : "starting"};
}"""


def command(port, folder):
    """Return what `make jupyter` runs, for a page that asks for no token."""
    return [
        sys.executable, str(SCRIPT), "--no-browser", f"--port={port}", "--ServerApp.port_retries=0",
        "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--expose-app-in-browser",
    ]  # fmt: skip


def environment(home):
    """Return a person's environment, with a home of its own."""
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    jupyter = {f"JUPYTER_{name}": str(home / name.lower()) for name in names}
    home_variables = {"HOME": str(home), "IPYTHONDIR": str(home / "ipython"), **jupyter}
    return {
        name: value for name, value in os.environ.items() if not name.startswith("OPENROUTER_")
    } | home_variables


def wait_for(url, seconds=180):
    """Wait until a server answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(url).close()  # noqa: S310 - our own server
            return
        time.sleep(0.2)
    msg = f"{url} did not answer"
    raise AssertionError(msg)


class NotebookPage:
    """A notebook in JupyterLab."""

    def __init__(self, page, url, name):
        self.page, self.name = page, name
        page.goto(f"{url}/lab/tree/{name}.ipynb?reset")
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
        end = time.monotonic() + 60
        while self._state()[1] != "idle" or not self._state()[0]:
            assert time.monotonic() < end, "the kernel has not started"
            time.sleep(0.2)

    def run_all(self, during=None, seconds=120):
        """Choose Run All from the menu; return the code cells once the last one has run.

        Args:
            during: Called once the cells run: what a person does meanwhile.
            seconds: How long it may take.
        """
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_text("Run All Cells", exact=True).click()
        if during is not None:
            during()

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            cells, status = self._state()
            has_run = all(cell["execution_count"] for cell in cells)
            if status == "idle" and (has_run or errors_in(cells)):
                return cells
            time.sleep(0.2)
        self.page.screenshot(path=SHOTS / f"{self.name}-not-ended.png")
        msg = f"{self.name} has not ended: {self._state()}"
        raise AssertionError(msg)

    def shoot(self, name):
        """Take pictures of the complete notebook, light and dark."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        for theme in ("Light", "Dark"):
            self.page.evaluate(
                "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
                f"JupyterLab {theme}",
            )
            self.page.wait_for_timeout(800)
            self.page.screenshot(path=SHOTS / f"{name}-{theme.lower()}.png")

    def _state(self):
        state = self.page.evaluate(_CELLS)
        return [cell for cell in state["cells"] if cell["cell_type"] == "code"], state["status"]


def errors_in(cells):
    """Return the errors that cells have shown."""
    outputs = [output for cell in cells for output in cell["outputs"]]
    return [
        f"{output['ename']}: {output['evalue']}"
        for output in outputs
        if output["output_type"] == "error"
    ]


def printed_in(cells):
    """Return what cells have printed."""
    return [
        "".join(output["text"])
        for cell in cells
        for output in cell["outputs"]
        if output["output_type"] == "stream"
    ]
