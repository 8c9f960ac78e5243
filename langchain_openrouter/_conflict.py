"""A warning where LangChain's own `langchain-openrouter` lies in the same folder.

Both distributions install `langchain_openrouter/__init__.py`; the later one wins. Its other modules
are shadowed by this package's folders, so the warning comes whichever `__init__.py` is there.
"""

from __future__ import annotations

import os
import sys
import warnings
from functools import cache

_PACKAGE = "langchain_openrouter"
_HEAL = (
    "run `pip uninstall langchain-openrouter`, then "
    "`pip install --force-reinstall --no-deps langchain-openrouter-oauth`"
)


@cache
def warn_of_conflict() -> None:
    """Warn, once, where another distribution has overwritten or removed files of this one.

    Called by `__init__.py`, and by `chat_models`, which LangChain's `__init__.py` imports.
    """
    message = _conflict()
    if message:
        warnings.warn(f"{message}: {_HEAL}", UserWarning, stacklevel=3)


def _conflict() -> str | None:
    package = sys.modules[_PACKAGE]
    if getattr(package, "__file__", None) is None:  # a namespace package
        return (
            f"{_PACKAGE}/__init__.py is missing: it was removed with another package that has "
            "the same import name"
        )

    version = _other_version(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120 - pathlib is slow to import
    if version is None:
        return None

    effect = (
        "uninstalling or upgrading it will remove files of langchain-openrouter-oauth"
        if hasattr(package, "_HOMES")
        else "it has overwritten files of langchain-openrouter-oauth"
    )
    return (
        f"langchain-openrouter {version} has the same import name, {_PACKAGE}, as "
        f"langchain-openrouter-oauth, and both are installed here; {effect}"
    )


def _other_version(folder: str) -> str | None:
    """Return the version of LangChain's package in a folder; None where it is not there."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - pathlib is slow to import
    except OSError:  # a zip file
        return None
    # A look at the names takes 0.2 ms; importlib.metadata takes 15 to 35 ms to import.
    if not any(name.startswith(f"{_PACKAGE}-") for name in names):
        return None

    from importlib import metadata  # noqa: PLC0415 - slow to import

    for distribution in metadata.distributions(name="langchain-openrouter", path=[folder]):
        files = distribution.files
        # A distribution without the module only satisfies a dependency, and does no harm.
        if files is None or any(str(file) == f"{_PACKAGE}/__init__.py" for file in files):
            return distribution.version
    return None
