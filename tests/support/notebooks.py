"""Run a notebook in a kernel of its own, on its cassette; `python -m tests.support.notebooks` renews all.

Renewing records against the emulator, then replays, and keeps the outputs of the replay.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STARTUP = Path(__file__).with_name("kernel_startup.py")
WITHOUT = {"05_testing_offline", "07_many_prompts"}  # bring an emulator of their own
TIMED = "timed"  # the tag of cells that say how long something took
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # LangChain draws ids by lot
_ZERO = "00000000-0000-0000-0000-000000000000"
_KEY = "sk-or-v1-redacted-0"
_MANAGEMENT_KEY = "sk-or-v1-redacted-management"

METADATA = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def cassette_of(path):
    """Return where a notebook's cassette is; None for one that has none."""
    return None if path.stem in WITHOUT else ROOT / "cassettes" / "notebooks" / f"{path.stem}.yaml"


def run(path, *, record=False, change=lambda source: source):
    """Execute a notebook; return it as executed. All that was recorded must be played."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = change(cell.source)
    finish = nbformat.v4.new_code_cell("_finish()")
    notebook.cells.append(finish)
    with tempfile.TemporaryDirectory() as folder:
        startup = Path(folder, "profile_default", "startup")
        startup.mkdir(parents=True)
        (startup / "00-openrouter.py").write_text(STARTUP.read_text())
        work = Path(folder, "work")
        work.mkdir()
        for picture in path.parent.glob("*.png"):
            shutil.copy(picture, work)
        before = sorted(work.iterdir())
        environment = {
            "IPYTHONDIR": folder, "MPLCONFIGDIR": folder, "NOTEBOOK_CASSETTE": str(cassette_of(path) or ""),
            "NOTEBOOK_RECORD": "1" if record else "0", "OPENROUTER_API_KEY": _KEY, "OPENROUTER_MANAGEMENT_KEY": _MANAGEMENT_KEY, "XDG_DATA_HOME": folder,
            "PYTHONHASHSEED": "0", "PYDEVD_DISABLE_FILE_VALIDATION": "1", "LANGSMITH_TRACING": "false",
        }  # fmt: skip
        with mock.patch.dict(os.environ, environment):
            os.environ.pop("OPENROUTER_BASE_URL", None)
            client = NotebookClient(
                notebook, timeout=120, kernel_name="python3", record_timing=False, coalesce_streams=True,
                resources={"metadata": {"path": str(work)}},
            )  # fmt: skip
            client.execute()
        assert sorted(work.iterdir()) == before, "the notebook has left files behind"
    told = notebook.cells.pop().outputs
    assert told[0]["text"] == "all played\n", told
    for output in (one for cell in notebook.cells for one in cell.get("outputs", ())):
        if "data" in output and "text/plain" in output.data:
            output.data["text/plain"] = _UUID.sub(_ZERO, output.data["text/plain"])
    notebook.metadata = METADATA
    return notebook


def outputs_of(notebook, *, everywhere=False):
    """Return the outputs of each cell, as plain values; none of a cell that tells time.

    Args:
        notebook: As executed.
        everywhere: Only what is the same with any release of the dependencies: no pictures, and
            of what has a rich form only that.
    """
    found = json.loads(
        json.dumps(
            [
                [] if TIMED in cell.metadata.get("tags", ()) else cell.get("outputs", [])
                for cell in notebook.cells
            ]
        )
    )
    for data in (one.get("data", {}) for outputs in found for one in outputs if everywhere):
        if data.keys() & {"text/html", "image/png"}:
            data.pop("text/plain", None)
        data.pop("image/png", None)
    return found


if __name__ == "__main__":
    for path in NOTEBOOKS:
        run(path, record=cassette_of(path) is not None)
        nbformat.write(run(path), path)
        print(path.name)
