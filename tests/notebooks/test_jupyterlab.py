"""The login cell in a real JupyterLab, driven by headless Chromium: link, code, answer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

import nbformat
import pytest

SHOTS = Path(os.environ.get("SCREENSHOTS") or ".pytest_cache/screenshots")


@pytest.fixture
def lab(tmp_path):
    """Start JupyterLab in a folder of its own; return its address and the folder."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    folder = tmp_path / "work"
    folder.mkdir()
    home = {"HOME": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_DATA_DIR": str(tmp_path / "data"),
            "IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}  # fmt: skip
    words = ["lab", "--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=", "--ServerApp.ip=127.0.0.1",
             f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
             "--expose-app-in-browser"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter", *words], env={**os.environ, **home}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"{url}/api").close()  # noqa: S310 - our own server
            break
        time.sleep(0.2)
    yield url, folder
    process.terminate()
    process.wait(20)


@pytest.mark.timeout(180)
def test_the_login_cell_in_jupyterlab(emulate, browser, lab):
    """The link appears, the page says yes, the code is pasted unseen, the model answers."""
    emulator = emulate(any_key=False)
    url, folder = lab
    source = (
        "from langchain_openrouter import ChatOpenRouter\n"
        f"model = ChatOpenRouter.login(model='openai/gpt-4o-mini', base_url={emulator.url!r})\n"
        "print(model.invoke('Hello').text)\nmodel"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
    }
    nbformat.write(notebook, folder / "login.ipynb")
    SHOTS.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport={"width": 1200, "height": 700})
    page = context.new_page()
    page.goto(f"{url}/lab/tree/login.ipynb")
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click(timeout=60_000)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for(
        timeout=60_000, state="attached"
    )
    page.keyboard.press("Shift+Enter")
    link = page.locator(".jp-OutputArea-output a", has_text="OpenRouter")
    link.wait_for(timeout=60_000)
    prompt = page.locator("input.jp-Stdin-input")
    prompt.wait_for()
    page.screenshot(path=SHOTS / "jupyterlab-link.png")
    with context.expect_page() as opened:
        link.click()
    consent = opened.value
    consent.get_by_role("button", name="Approve").click()
    code = consent.locator("#code").inner_text()
    consent.screenshot(path=SHOTS / "consent-code.png")
    consent.close()

    assert prompt.get_attribute("type") == "password"
    prompt.fill(code)
    prompt.press("Enter")
    page.get_by_text("Hello! I am the emulator of OpenRouter").wait_for(timeout=30_000)
    page.locator(".jp-OutputArea-output table").wait_for()
    page.screenshot(path=SHOTS / "jupyterlab-answer.png")
    page.locator("[data-command='docmanager:save']").first.click()
    end = time.monotonic() + 20
    while (
        "I am the emulator" not in (folder / "login.ipynb").read_text() and time.monotonic() < end
    ):
        time.sleep(0.2)
    saved = (folder / "login.ipynb").read_text()
    key = next(iter(emulator.accounts.keys))

    assert "I am the emulator" in saved
    assert code not in saved
    assert key not in saved
    assert json.loads(saved)["cells"][0]["outputs"]
    assert emulator.chats[0].key == key
