"""A lock on an output, so that one process writes it: held by the system, gone with the process."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from langchain_openrouter.errors import BatchInUseError

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_HELD = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}
"""What `flock` and `msvcrt.locking` say where somebody else has the lock."""
_LOCKED_AT = 1 << 30  # a byte past the end: on Windows a locked byte cannot be read by others


class OutputLock:
    """Held from `acquire` to `release`, or to the end of the process, however it ends.

    Args:
        path: The lock file. It holds the id of the process, and is removed at the release.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            BatchInUseError: Another process has it, or another run of this one.
            OSError: The file system has no locks, or no room for the file.
        """
        while True:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _lock(handle)
            except OSError as error:
                owner = os.pread(handle, 20, 0) if hasattr(os, "pread") else b""
                os.close(handle)
                if error.errno not in _HELD:  # a file system without locks
                    raise
                who = f"process {owner.decode(errors='replace')}" if owner else "another process"
                msg = f"{who} is writing {self._path.with_suffix('').name}: wait until it ends"
                raise BatchInUseError(msg) from None
            if _is_same_file(handle, self._path):
                break
            os.close(handle)  # the owner before removed it between our opening and locking it

        self._handle = handle
        try:
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
        except OSError:  # a full disk
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back."""
        if self._handle is None:
            return
        if sys.platform != "win32":  # which removes no open file
            self._path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = None


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        os.lseek(handle, _LOCKED_AT, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.sameopenfile(handle, handle) and os.path.samestat(
            os.fstat(handle), path.stat()
        )
    except FileNotFoundError:
        return False
