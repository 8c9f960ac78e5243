"""Import what an extra brings, or say which one is missing."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["import_extra", "naming_extra"]

_PACKAGE = "langchain_openrouter"


def import_extra(module: str, purpose: str, extra: str = "batch") -> Any:
    """Return a module that an extra brings.

    Args:
        module: Its name.
        purpose: What needs it, as the message names it.
        extra: The extra of this package.

    Raises:
        ImportError: It is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise _missing(module, purpose, extra) from error


@contextmanager
def naming_extra(purpose: str, extra: str) -> Iterator[None]:
    """Name the extra in the error of an import inside the `with`.

    Args:
        purpose: What needs it, as the message names it.
        extra: The extra of this package.

    Raises:
        ImportError: A library is not installed; the message says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = error.name or ""
        if not library or library.partition(".")[0] == _PACKAGE:
            raise  # a fault of this package, which no extra mends
        raise _missing(library, purpose, extra) from error


def _missing(module: str, purpose: str, extra: str) -> ImportError:
    library = module.partition(".")[0]
    text = f"{purpose} needs {library}: pip install 'langchain-openrouter-oauth[{extra}]'"
    return ImportError(text, name=module)
