"""`make jupyter`, then Run All by hand in JupyterLab: what a newcomer does, with nothing in between."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import nbformat
import psutil
import pytest

from tests.support import jupyter, notebooks
from tests.support.ports import free_port
from tests.support.terminal import Terminal

NAMES = [path.stem for path in notebooks.NOTEBOOKS]
# What a second run says otherwise: the service's cache has what the first one wrote; IPython.
DIFFERS = ("tokens written", "extension is already loaded")
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start `make jupyter` on a copy of the notebooks; return its address and the folder."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(notebooks.ROOT / "notebooks", folder)
    port = free_port()
    process = subprocess.Popen(
        jupyter.command(port, folder), env=jupyter.environment(home), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    jupyter.wait_for(f"{url}/api")
    yield url, folder
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) in {0, 143}


@pytest.fixture
def page(browser):
    """Return a page that is as tall as a notebook."""
    context = browser.new_context(viewport={"width": 1100, "height": 3200})
    yield context.new_page()
    context.close()


def approve(notebook):
    """Be a person: click the link, approve, copy the code, paste it into the box."""
    link = notebook.page.locator(".jp-OutputArea-output a", has_text="OpenRouter").first
    prompt = notebook.page.locator("input.jp-Stdin-input")
    prompt.wait_for(timeout=60_000)
    with notebook.page.context.expect_page() as opened:
        link.click()
    consent = opened.value
    consent.get_by_role("button", name="Approve").click()
    code = consent.locator("#code").inner_text()
    consent.close()
    prompt.fill(code)
    prompt.press("Enter")


@pytest.mark.parametrize("name", NAMES)
def test_run_all_by_hand(lab, page, name):
    """Without an error, twice in one kernel with the same words; no file is left behind."""
    url, folder = lab
    files = sorted(folder.iterdir())
    notebook = jupyter.NotebookPage(page, url, name)
    during = (lambda: approve(notebook)) if name.startswith("04") else None

    first = notebook.run_all(during)
    notebook.shoot(name)
    assert page.locator(".Toastify__toast, .jp-Dialog").count() == 0, "it asks about Jupyter's news"
    assert jupyter.errors_in(first) == []
    second = notebook.run_all(during)
    assert jupyter.errors_in(second) == []
    if not name.startswith(("04", "07")):  # 04: another key; 07: how long it took
        first, second = (
            [text for text in jupyter.printed_in(cells) if not any(map(text.__contains__, DIFFERS))]
            for cells in (first, second)
        )
        assert first == second
    left = [path.name for path in sorted(folder.iterdir()) if path not in files]
    assert left in ([], [".ipynb_checkpoints"])


MATH = r"""
It costs $5 and not $6. So $x_1^2$ and \(a * b * c\).

\[ \begin{aligned} a &= b \\ c &= d \end{aligned} \]

$\href{https://evil.example}{here}$
"""


def test_math_in_an_answer_is_typeset(lab, page):
    """What is math, and nothing else: no price, and no command that leads elsewhere."""
    url, folder = lab
    source = (
        "%load_ext langchain_openrouter\nfrom langchain_core.messages import AIMessage\n"
        f"AIMessage({MATH!r})"
    )
    path = folder / "math.ipynb"
    cells = [nbformat.v4.new_code_cell(source, id="answer")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=notebooks.METADATA), path)

    notebook = jupyter.NotebookPage(page, url, path.stem)
    notebook.run_all(seconds=60)
    answer = page.locator(".jp-OutputArea-output").last
    answer.locator("mjx-container").nth(2).wait_for(timeout=30_000, state="attached")
    notebook.shoot(path.stem)
    path.unlink()
    assert answer.locator("mjx-container").count() == 3
    assert answer.locator("mjx-itable").count() == 1
    assert "It costs $5 and not $6." in answer.inner_text()
    assert answer.locator("a").count() == 0


def test_a_sign_in_that_nobody_answers_ends(lab, page):
    """With an error that says so, and the kernel is free for the next cell."""
    url, folder = lab
    path = folder / "impatient.ipynb"
    source = (folder / "04_sign_in_for_your_users.ipynb").read_text()
    assert "timeout=120" in source
    path.write_text(source.replace("timeout=120", "timeout=1.5"))

    notebook = jupyter.NotebookPage(page, url, path.stem)
    cells = notebook.run_all(seconds=30)
    notebook.shoot(path.stem)
    path.unlink()
    assert jupyter.errors_in(cells) == [
        "SignInTimeoutError: nobody signed in within 1.5 s - begin anew, or raise `timeout=`"
    ]


def test_ctrl_c_in_the_terminal(tmp_path):
    """The first one asks, and JupyterLab goes on at "n"; two stop it, and leave no process."""
    port = free_port()
    run = jupyter.command(port, tmp_path)
    environment = jupyter.environment(tmp_path)
    terminal = Terminal(f"import os, sys; os.execve(sys.executable, {run!r}, {environment!r})")
    try:
        terminal.until("No OPENROUTER_API_KEY: the notebooks run on the emulator")
        terminal.until(r"http://127\.0\.0\.1:\d+/lab|http://localhost:\d+/lab", seconds=60)
        jupyter.wait_for(f"http://127.0.0.1:{port}/api")
        family = psutil.Process(terminal.pid).children(recursive=True)
        assert family

        os.write(terminal.fd, b"\x03")
        terminal.until(r"Shut down this Jupyter server \(y/\[n\]\)\?")
        terminal.type("n")
        terminal.until("resuming operation")
        jupyter.wait_for(f"http://127.0.0.1:{port}/api", seconds=5)
        time.sleep(0.5)  # until JupyterLab has restored its handler

        terminal.said = ""
        os.write(terminal.fd, b"\x03")
        terminal.until(r"Shut down this Jupyter server")
        os.write(terminal.fd, b"\x03")
        terminal.until("Shutting down|stopping", seconds=30)
        _gone, alive = psutil.wait_procs([psutil.Process(terminal.pid), *family], timeout=30)
        assert not alive, terminal.said
        assert "Traceback" not in terminal.said
    finally:
        with suppress(ChildProcessError):  # psutil has waited for it
            terminal.close()


def test_without_jupyterlab_it_says_what_to_install(tmp_path):
    """Not a traceback: the command, and the package that brings it."""
    (tmp_path / "python").symlink_to(sys.executable)
    code = f"import sys; sys.executable = {str(tmp_path / 'python')!r}; sys.argv = ['jupyter.py']; import runpy; runpy.run_path({str(jupyter.SCRIPT)!r}, run_name='__main__')"
    environment = {**jupyter.environment(tmp_path), "PATH": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 127
    assert done.stderr.startswith("jupyter-lab was not found")
    assert done.stderr.endswith("pip install jupyterlab\n")


def test_a_key_of_the_person_is_used_live(tmp_path):
    """Then there is no emulator, and the service is OpenRouter's."""
    program = tmp_path / "jupyter-lab"
    program.write_text('#!/bin/sh\necho "at ${OPENROUTER_BASE_URL-the service}, $PWD"\n')
    program.chmod(0o755)
    code = f"import sys; sys.executable = {str(tmp_path / 'python')!r}; sys.argv = ['jupyter.py']; import runpy; runpy.run_path({str(jupyter.SCRIPT)!r}, run_name='__main__')"
    environment = {**jupyter.environment(tmp_path), "OPENROUTER_API_KEY": "sk-or-v1-mine"}

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "run live" in done.stdout
    assert "at the service" in done.stdout
    assert "sk-or-v1-mine" not in done.stdout + done.stderr
