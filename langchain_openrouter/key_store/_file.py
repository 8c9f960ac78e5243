"""A store of bytes in files that only the current user can read and write."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from langchain_core.stores import BaseStore

from langchain_openrouter.errors import KeyStoreError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LOCK = ".lock"
_TEMPORARY = (".openrouter-", ".tmp")  # the prefix and suffix of an unfinished file's name
_ABANDONED = 3600  # seconds after which an unfinished file is deleted
# The errors of file systems without locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class FileStore(BaseStore[str, bytes]):
    """Bytes in files of mode 0600, in a folder of mode 0700, each replaced in one step.

    Unfinished files of an earlier process, older than an hour, are removed.

    Args:
        folder: Created if it does not exist. None: `langchain-openrouter` where this system keeps
            users' data.

    Raises:
        KeyStoreError: The folder cannot be created, is a symbolic link, belongs to another user, or
            others can read it.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        if folder is None:
            from platformdirs import user_data_path  # noqa: PLC0415 - needed for the default only

            folder = user_data_path("langchain-openrouter", appauthor=False)
        self._folder = Path(folder)

        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            problem = _problem_of(self._folder)
            if problem is None:
                self._sweep()
        except OSError as error:
            problem = f"{self._folder} cannot be used: {error.strerror}"
        if problem is not None:
            raise KeyStoreError(problem)

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, None for each missing key."""
        return [self._read(key) for key in keys]

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Write the values, each atomically."""
        for key, value in key_value_pairs:
            with self._temporary_file(value) as file, self._locked():
                file.replace(self._path(key))

    def mdelete(self, keys: Sequence[str]) -> None:
        """Delete the entries; missing keys are ignored."""
        with self._locked():
            for key in keys:
                self._path(key).unlink(missing_ok=True)

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the names that begin with `prefix`."""
        for path in sorted(self._folder.iterdir()):
            name = unquote(path.name)
            if not path.name.startswith(".") and name.startswith(prefix or ""):
                yield name

    def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
    ) -> bool:
        """Write a value if the one there is the expected one; return whether it was.

        Args:
            key: The entry's name.
            expected: The value that must be there; None: there must be no entry.
            value: None deletes the entry.
            ttl: Ignored: files do not expire.
        """
        del ttl

        with self._temporary_file(value or b"") as file, self._locked():
            if self._read(key) != expected:
                return False
            if value is None:
                self._path(key).unlink(missing_ok=True)
            else:
                file.replace(self._path(key))
            return True

    def once(self, key: str, value: bytes) -> bytes:
        """Write a value unless the entry exists; return the stored value."""
        self.compare_and_set(key, None, value)
        return self._read(key) or value

    def _path(self, key: str) -> Path:
        if not key:
            msg = "the name of an entry must not be empty"
            raise ValueError(msg)
        name = quote(key, safe="")
        # "." and ".." are folders; names that begin with a dot belong to this store.
        return self._folder / (f"%2E{name[1:]}" if name.startswith(".") else name)

    def _read(self, key: str) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    @contextmanager
    def _temporary_file(self, value: bytes) -> Iterator[Path]:
        """Write a file that only this user can read; delete it afterwards unless it was moved."""
        prefix, suffix = _TEMPORARY
        handle, name = tempfile.mkstemp(suffix, prefix, self._folder)

        try:
            with os.fdopen(handle, "wb") as file:
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclude other writers, in this and in other processes."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(self._folder / _LOCK, flags, 0o600)
        try:
            _lock(handle)
            yield
        finally:
            os.close(handle)  # releases the lock

    def _sweep(self) -> None:
        """Delete unfinished files of processes that died while writing."""
        prefix, suffix = _TEMPORARY
        oldest = time.time() - _ABANDONED

        for path in self._folder.iterdir():
            if path.name.startswith(prefix) and path.name.endswith(suffix):
                with suppress(FileNotFoundError):  # another process sweeps too
                    if path.lstat().st_mtime < oldest:
                        path.unlink()


def _problem_of(folder: Path) -> str | None:
    """Return why a folder is not safe for secrets, None if it is."""
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"{folder} is a symbolic link: pass the folder that it points to"
    if os.name != "posix":
        return None

    if status.st_uid != os.geteuid():
        return f"{folder} belongs to another user: choose a folder of your own"
    if status.st_mode & 0o077:
        return f"others can read {folder}: `chmod 700` it, or choose another folder"
    return None


if sys.platform == "win32":

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_LOCK, 1)

else:

    def _lock(handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
