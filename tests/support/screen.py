"""A terminal that is looked at: a pseudo-terminal whose screen an emulator of terminals draws."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

import pyte

from tests.support import commands


class ScreenTerminal:
    """A command at a pseudo-terminal of some width and height, and what is on its screen."""

    def __init__(self, *words, columns=80, rows=24, env=None, program=None):
        self.raw = b""
        self._screen = pyte.HistoryScreen(columns, rows, history=5000, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)
        plain = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS", "LINES"}}
        environment = {**plain, "TERM": "xterm-256color", **(env or {})}
        self._process = None
        if program is None:
            self.fd, terminal = pty.openpty()
            self.resize(columns, rows, first=True)
            self._process = commands.start(words, [terminal] * 3, env=environment, terminal=True)
            self.pid = self._process.pid
            os.close(terminal)
            return
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.execvpe(program[0], program, environment)  # noqa: S606 - our own command
        self.resize(columns, rows, first=True)

    def resize(self, columns, rows=24, *, first=False):
        """Change the window's size, as a person does with the mouse."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if not first:
            self._screen.resize(rows, columns)

    def read(self, seconds=0.1):
        """Read what has come; False at the end."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN | select.POLLHUP)
        if not poll.poll(1000 * seconds):
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        if not data:
            return False
        if b"\x1b[6n" in data:  # prompt_toolkit asks where the cursor is
            row, column = self._screen.cursor.y + 1, self._screen.cursor.x + 1
            os.write(self.fd, f"\x1b[{row};{column}R".encode())
        self.raw += data
        self._stream.feed(data)
        return True

    @property
    def lines(self):
        """The lines of the scrollback and of the screen, without spaces at their ends."""
        width = self._screen.columns
        above = [
            "".join(line[x].data for x in range(width)).rstrip()
            for line in self._screen.history.top
        ]
        return [*above, *(line.rstrip() for line in self._screen.display)]

    @property
    def text(self):
        """Those lines as a text."""
        return "\n".join(self.lines)

    def until(self, text, seconds=30, count=1):
        """Read until a text is on the screen, so many times."""
        end = time.monotonic() + seconds
        while self.text.count(text) < count:
            is_open = self.read()
            assert (is_open and time.monotonic() < end) or self.text.count(text) >= count, self.text
        return self.text

    def until_prompt(self, prompt=">", seconds=30):
        """Read until the last line on the screen is an empty prompt."""
        end = time.monotonic() + seconds
        while self._last_line() != prompt:
            assert self.read(), self.text
            assert time.monotonic() < end, self.text
        return self.text

    def _last_line(self):
        return next((line for line in reversed(self.lines) if line), "")

    def type(self, text, enter=True):
        """Type, and press Enter."""
        os.write(self.fd, text.encode() + (b"\r" if enter else b""))

    def press(self, keys):
        """Press keys, as bytes."""
        os.write(self.fd, keys)

    def wait(self, seconds=20):
        """Wait for the end; return the exit code."""
        end = time.monotonic() + seconds
        while self.read() and time.monotonic() < end:
            pass
        if self._process is not None:
            return self._process.wait()
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def modes(self):
        """The terminal's flags: whether it echoes what is typed, and reads by lines."""
        return termios.tcgetattr(self.fd)[3] & (termios.ECHO | termios.ICANON)

    def close(self):
        """End what still runs."""
        if self._process is not None:
            self._process.kill()
        elif self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
