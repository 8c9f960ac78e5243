"""A command in the foreground: it gets the signals, and its exit code is this process's own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["run_command"]

_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")  # not all of them are on Windows
_FROM_KEYS = ("SIGINT", "SIGQUIT")  # Ctrl-C, Ctrl-\
_NOT_EXECUTABLE, _NOT_FOUND, _SIGNALED = 126, 127, 128  # exit codes of a shell
_GRACE = 10.0  # seconds that the command has to end in, if this process fails
_PACKAGES = {"jupyter": "jupyterlab", "jupyter-lab": "jupyterlab"}  # what brings a command


def run_command(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command, wait until it ends, and return its exit code.

    The programs beside this Python are found too, as if its environment were active. SIGTERM and
    SIGHUP are forwarded. Ctrl-C is the command's own business, which has received it from the
    terminal: this process waits until it ends. A SIGINT that comes without a terminal is forwarded.

    Args:
        command: The program and its arguments.
        environment: Variables for it beside those of this process.

    Returns:
        The command's exit code; 128 + n if signal n ended it, 127 if there is no such program, 126
        if it cannot be run: a line on stderr says which.
    """
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    program = shutil.which(command[0], path=path)
    if program is None:
        return _fail(_missing_message(command[0]), _NOT_FOUND)

    variables = {**os.environ, "PATH": path, **(environment or {})}
    child: list[subprocess.Popen[bytes]] = []
    with _forwarded_to(child):
        try:
            child.append(subprocess.Popen([program, *command[1:]], env=variables))  # noqa: S603 - the user's own command
        except OSError as error:
            return _fail(f"{command[0]} cannot be run: {error.strerror}", _NOT_EXECUTABLE)
        try:
            code = child[0].wait()
        finally:
            _end(child[0])
    return code if code >= 0 else _SIGNALED - code


@contextmanager
def _forwarded_to(child: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Hand the signals of this process on to its child, once it has one."""

    def forward(number: int, _frame: Any) -> None:
        is_key = signal.Signals(number).name in _FROM_KEYS
        if child and not (is_key and _in_foreground()):
            child[0].send_signal(number)

    numbers = [getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # only the main thread may
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # as nohup, or a shell's `&`, wants it
                signal.signal(number, forward)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Tell whether the terminal sends Ctrl-C to this process, and so to its child as well."""
    if os.name != "posix":
        return True  # the console sends it to every process that is attached
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False

    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs."""
    if process.poll() is not None:
        return

    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _missing_message(program: str) -> str:
    package = _PACKAGES.get(program)
    advice = f"pip install {package}" if package else "install it, or check its name"
    return f"{program} was not found, neither on the PATH nor beside {sys.executable}: {advice}"


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)  # noqa: T201 - a command line
    return code
