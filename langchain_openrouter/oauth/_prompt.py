"""Prompt for a code at the terminal, without echo, in a way that can be canceled.

`getpass` cannot be canceled: if the browser is first, it would leave the terminal without echo.
"""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import getpass
import os
import select
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXT = "Paste the code, or the whole address, here: "


def prompt_in_notebook(prompt: Callable[[str], str] | None, timeout: float | None) -> str:
    """Prompt in this thread, without echo: a kernel cannot prompt in another one.

    Args:
        prompt: The user's own function; None prompts in the notebook.
        timeout: Seconds to wait, where this is the main thread; None waits without limit.

    Raises:
        TimeoutError: Nothing was typed in that time.
        KeyboardInterrupt: The user interrupts the kernel.
        CancelledError: The user interrupts a cell that awaits.
    """
    ask = prompt or getpass.getpass
    if threading.current_thread() is not threading.main_thread():
        return ask(_TEXT)

    # While a cell awaits, a kernel's handler only cancels its task, which would not end the prompt.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    deadline = _InterruptAfter(timeout)
    try:
        with deadline:
            return ask(_TEXT)
    except KeyboardInterrupt:
        if deadline.has_passed:
            raise TimeoutError from None
        if handler is signal.default_int_handler:
            raise
        raise asyncio.CancelledError from None  # what else would end the kernel's event loop
    finally:
        signal.signal(signal.SIGINT, handler)


class _InterruptAfter:
    """Interrupts the main thread, like Ctrl-C, if a block takes longer; a context manager.

    Args:
        seconds: Until then; None never interrupts.
    """

    def __init__(self, seconds: float | None) -> None:
        self.has_passed = False
        self._is_over = False
        self._lock = threading.Lock()
        self._timer = None if seconds is None else threading.Timer(seconds, self._interrupt)

    def __enter__(self) -> None:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _interrupt(self) -> None:
        with self._lock:
            if not self._is_over:
                self.has_passed = True
                _thread.interrupt_main()


class CancellablePrompt:
    """Prompts in a thread, so that the caller can wait for a browser and a timeout as well.

    Args:
        prompt: The user's own function; None prompts at the terminal.
        on_paste: Called in the thread with what was typed, None if nothing can be; returns
            whether to prompt again.
        on_error: Called with the exception of the user's own function.
    """

    def __init__(
        self,
        prompt: Callable[[str], str] | None,
        on_paste: Callable[[str | None], bool],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._prompt = prompt
        self._on_paste = on_paste
        self._on_error = on_error
        self._cancel_r, self._cancel_w = os.pipe()
        self._has_ended = threading.Event()

    def start(self) -> None:
        """Prompt. An interrupt may come before this returns: `cancel` is called then as well."""
        run = contextvars.copy_context().run
        threading.Thread(
            target=run, args=(self._run,), daemon=True, name="openrouter-sign-in-prompt"
        ).start()

    def cancel(self) -> None:
        """Stop the prompt and restore the terminal. A function of the user's own continues."""
        with suppress(OSError):
            os.close(self._cancel_w)
        if self._prompt is None:
            self._has_ended.wait(timeout=2)

    def _run(self) -> None:
        try:
            self._prompt_until_done()
        finally:
            self._has_ended.set()

    def _prompt_until_done(self) -> None:
        try:
            while self._on_paste(self._read()):
                pass
        except EOFError:
            self._on_paste(None)
        except Exception as error:  # noqa: BLE001 - raised where the result is awaited
            self._on_error(error)

    def _read(self) -> str | None:
        if self._prompt is not None:
            return self._prompt(_TEXT)

        terminal = _terminal()
        if terminal is None:
            return sys.stdin.readline() or None if sys.stdin else None
        if os.name != "posix":
            return getpass.getpass(_TEXT)
        with open(terminal, "rb+", buffering=0) as opened:  # noqa: PTH123 - a device, not a path
            return _hidden_line(opened.fileno(), self._cancel_r)


def has_terminal() -> bool:
    """Tell whether there is a terminal to prompt at."""
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


def _wait_for_input(*descriptors: int) -> list[int]:
    """Return the descriptors that can be read, or are closed at their other end."""
    if sys.platform == "darwin":  # poll(2) does not take terminals there
        return select.select(descriptors, [], [])[0]
    poll = select.poll()  # select(2) takes no descriptor above 1023
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
    return [descriptor for descriptor, _ in poll.poll()]


def _hidden_line(terminal: int, cancel: int) -> str | None:
    """Read a line without echo; None when the other end of the pipe `cancel` is closed."""
    import termios  # noqa: PLC0415 - POSIX only

    before = termios.tcgetattr(terminal)
    without_echo = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    line = b""

    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, without_echo)
        os.write(terminal, _TEXT.encode())
        while not line.endswith(b"\n"):
            if cancel in _wait_for_input(terminal, cancel):
                return None
            typed = os.read(terminal, 4096)
            if not typed:
                raise EOFError
            line += typed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        os.write(terminal, b"\n")
    return line.decode("utf-8", "replace")
