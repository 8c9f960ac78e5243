"""Asking for a code at the terminal, unseen, in a way that can be called off.

`getpass` cannot be: where the browser wins the race, it would leave the terminal without echo.
"""

from __future__ import annotations

import contextvars
import getpass
import os
import select
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXT = "Paste the code, or the whole address, here: "


def prompt_in_notebook(prompt: Callable[[str], str] | None) -> str:
    """Ask in this thread: a notebook's kernel can ask in no other. Its answer is not shown."""
    return (prompt or getpass.getpass)(_TEXT)


class Asking:
    """Asks in a thread, so that a browser may win and a deadline may pass.

    Args:
        prompt: The user's own; None asks at the terminal.
        answered: Called in the thread with what was typed, None where nothing can be; says
            whether to ask again.
        failed: Called with what the user's own prompt raised.
    """

    def __init__(
        self,
        prompt: Callable[[str], str] | None,
        answered: Callable[[str | None], bool],
        failed: Callable[[Exception], None],
    ) -> None:
        self._prompt = prompt
        self._answered = answered
        self._failed = failed
        self._wake, self._waker = os.pipe()
        run = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=run, args=(self._run,), daemon=True, name="openrouter-sign-in-prompt"
        )
        self._thread.start()

    def cancel(self) -> None:
        """Stop asking and leave the terminal as it was. A prompt of the user's own goes on."""
        with suppress(OSError):
            os.close(self._waker)
        if self._prompt is None:
            self._thread.join(timeout=2)

    def _run(self) -> None:
        try:
            while self._answered(self._ask()):
                pass
        except EOFError:
            self._answered(None)
        except Exception as error:  # noqa: BLE001 - handed to who waits
            self._failed(error)

    def _ask(self) -> str | None:
        if self._prompt is not None:
            return self._prompt(_TEXT)
        terminal = _terminal()
        if terminal is None:
            return sys.stdin.readline() or None if sys.stdin else None
        if os.name != "posix":
            return getpass.getpass(_TEXT)
        with open(terminal, "rb+", buffering=0) as opened:  # noqa: PTH123 - a terminal is no path
            return _hidden_line(opened.fileno(), self._wake)


def has_terminal() -> bool:
    """Tell whether there is a terminal to ask at."""
    return _terminal() is not None


def _terminal() -> str | None:
    """Return the controlling terminal's name; None without one."""
    if os.name != "posix":
        return "" if sys.stdin is not None and sys.stdin.isatty() else None
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return None
    return "/dev/tty"


def _hidden_line(terminal: int, wake: int) -> str | None:
    """Read a line without showing it; None when `wake` is closed at its other end."""
    import termios  # noqa: PLC0415 - POSIX only

    before = termios.tcgetattr(terminal)
    unseen = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    line = b""
    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, unseen)
        os.write(terminal, _TEXT.encode())
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([terminal, wake], [], [])
            if wake in ready:
                return None
            typed = os.read(terminal, 4096)
            if not typed:
                raise EOFError
            line += typed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        os.write(terminal, b"\n")
    return line.decode("utf-8", "replace")
