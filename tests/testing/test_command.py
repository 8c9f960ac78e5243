"""`python -m langchain_openrouter.testing run`: signals, exit codes and names of commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from langchain_openrouter.testing.__main__ import main
from tests.support.terminal import Terminal

# Survives the first SIGINT, as JupyterLab does, and ends at the second.
STUBBORN = """
import os, signal, sys
count = []
def interrupted(number, frame):
    count.append(number)
    os.write(1, b"interrupted %d\\n" % len(count))  # print may not be entered twice
    if len(count) == 2:
        sys.exit(7)
signal.signal(signal.SIGINT, interrupted)
print("child", os.getpid(), flush=True)
while True:
    signal.pause()
"""
RUN = [sys.executable, "-m", "langchain_openrouter.testing", "run"]


def gone(pid, seconds=10):
    """Tell whether a process ends in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            time.sleep(0.02)
            continue
        return True
    return False


@pytest.fixture
def terminal():
    """Start commands in pseudo-terminals, whose processes end with the test."""
    opened = []

    def start(script):
        opened.append(Terminal(script))
        return opened[-1]

    yield start
    for one in opened:
        with suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        with suppress(ChildProcessError, OSError):
            one.close()


def test_a_first_ctrl_c_is_the_commands_own_business(terminal):
    """The command receives it once, and the emulator beside it goes on; the second one ends both."""
    command = [*RUN, sys.executable, "-c", STUBBORN]
    runner = terminal(f"import os, sys; os.execv(sys.executable, {command!r})")
    child = int(runner.until(r"child (\d+)")[1])

    os.write(runner.fd, b"\x03")
    runner.until("interrupted 1")
    time.sleep(0.3)
    assert "interrupted 2" not in runner.said
    assert os.waitpid(runner.pid, os.WNOHANG) == (0, 0)

    os.write(runner.fd, b"\x03")
    runner.until("interrupted 2")
    _, status = os.waitpid(runner.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert gone(child)
    assert "Traceback" not in runner.said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 7), (signal.SIGTERM, 143)])
def test_a_signal_without_a_terminal_is_forwarded(number, code):
    """To a command in a service, for example, whose own exit code comes back."""
    command = [*RUN, sys.executable, "-c", STUBBORN]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        child = int(process.stdout.readline().split()[1])

        for _ in range(2 if number == signal.SIGINT else 1):
            process.send_signal(number)
            if number == signal.SIGINT:
                assert process.stdout.readline().startswith("interrupted")
        assert process.wait(20) == code
    assert gone(child)


def test_a_missing_command_is_named_with_what_installs_it(capfd):
    """Not a traceback; with the exit codes of a shell."""
    assert main(["run", "jupyter-lab-of-nobody"]) == 127
    assert capfd.readouterr().err.startswith("jupyter-lab-of-nobody was not found")
    assert main(["run"]) == 2
    assert "which command?" in capfd.readouterr().err


def test_a_command_of_a_package_that_is_not_installed(capfd, monkeypatch, tmp_path):
    """Is named with the package."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    assert main(["run", "jupyter", "lab"]) == 127
    assert capfd.readouterr().err.endswith(": pip install jupyterlab\n")


def test_a_file_that_cannot_be_run(capfd, monkeypatch, tmp_path):
    """Neither a traceback nor an emulator is left."""
    script = tmp_path / "broken"
    script.write_text("#!/nobody/has/this\n")
    script.chmod(0o755)

    assert main(["run", str(script)]) == 126
    assert "cannot be run" in capfd.readouterr().err


def test_the_environment_and_the_exit_code(capfd):
    """The command has an emulator, and the programs beside this Python."""
    code = "import os, shutil, sys; print(os.environ['OPENROUTER_BASE_URL'], shutil.which('pytest')); sys.exit(3)"

    assert main(["run", "python", "-c", code]) == 3
    said = capfd.readouterr().out
    assert "http://127.0.0.1:" in said
    assert "pytest" in said
