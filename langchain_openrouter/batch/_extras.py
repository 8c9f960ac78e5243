"""Import what an extra brings, or say which one is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any


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
        library = module.partition(".")[0]
        msg = f"{purpose} needs {library}: pip install 'langchain-openrouter-oauth[{extra}]'"
        raise ImportError(msg) from error
