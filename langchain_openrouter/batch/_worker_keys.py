"""Keys that are read where they are used: what pickles is the place, not the key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from langchain_openrouter.errors import AuthenticationError

__all__ = ["key_from_env", "key_from_file"]


@dataclass(frozen=True, slots=True)
class _EnvironmentVariable:
    """A key in an environment variable."""

    name: str

    def __call__(self) -> SecretStr:
        """Read the key."""
        key = os.environ.get(self.name, "").strip()
        if not key:
            msg = f"no OpenRouter API key: the environment variable {self.name} is not set here"
            raise AuthenticationError(msg)
        return SecretStr(key)


@dataclass(frozen=True, slots=True)
class _File:
    """A key in a file."""

    path: Path

    def __call__(self) -> SecretStr:
        """Read the key."""
        try:
            key = self.path.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            msg = f"no OpenRouter API key: {self.path} cannot be read: {type(error).__name__}"
            raise AuthenticationError(msg) from None

        if not key:
            msg = f"no OpenRouter API key: {self.path} is empty"
            raise AuthenticationError(msg)
        return SecretStr(key)


def key_from_env(name: str) -> _EnvironmentVariable:
    """Return a callable for `api_key=` that reads an environment variable of the process it is in.

    It is read for each request, and pickles as the variable's name.

    Args:
        name: The variable.

    Raises:
        AuthenticationError: In a call: the variable is not set.
    """
    return _EnvironmentVariable(name)


def key_from_file(path: str | os.PathLike[str]) -> _File:
    """Return a callable for `api_key=` that reads a file of the machine it is on.

    It is read for each request, so that a new key is used at once, and pickles as the path. `~` is
    the home of the process that reads it.

    Args:
        path: A file with nothing but the key, such as a mounted secret.

    Raises:
        AuthenticationError: In a call: there is no such file, or it is empty.
    """
    return _File(Path(path))
