"""LangChain chat model, embeddings, reranking and sign-in for OpenRouter."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_openrouter._conflict import warn_of_conflict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_openrouter._current_user import as_user, current_user
    from langchain_openrouter.chat_models import ChatOpenRouter
    from langchain_openrouter.embeddings import OpenRouterEmbeddings
    from langchain_openrouter.errors import OpenRouterError
    from langchain_openrouter.oauth import PKCELogin, UserKey, alogin, login
    from langchain_openrouter.rerank import OpenRouterRerank
    from langchain_openrouter.settings import OpenRouterSettings

__all__ = [
    "ChatOpenRouter",
    "OpenRouterEmbeddings",
    "OpenRouterError",
    "OpenRouterRerank",
    "OpenRouterSettings",
    "PKCELogin",
    "UserKey",
    "__version__",
    "alogin",
    "as_user",
    "current_user",
    "login",
]

_HOMES = {
    "ChatOpenRouter": "langchain_openrouter.chat_models",
    "OpenRouterEmbeddings": "langchain_openrouter.embeddings",
    "OpenRouterError": "langchain_openrouter.errors",
    "OpenRouterRerank": "langchain_openrouter.rerank",
    "OpenRouterSettings": "langchain_openrouter.settings",
    "PKCELogin": "langchain_openrouter.oauth",
    "UserKey": "langchain_openrouter.oauth",
    "alogin": "langchain_openrouter.oauth",
    "as_user": "langchain_openrouter._current_user",
    "current_user": "langchain_openrouter._current_user",
    "login": "langchain_openrouter.oauth",
}

warn_of_conflict()


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector, as it was afterwards: an import makes much and drops little.

    Some 150,000 objects of LangChain, the SDK and pydantic are made, and the collector would look
    at those made so far again and again: a tenth of the time. An app that has it off keeps it off.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - read only when asked for

        return version("langchain-openrouter-oauth")
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)

    with _collector_paused():
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """Show messages, tables and short errors in a notebook: `%load_ext langchain_openrouter`."""
    from langchain_openrouter._notebook._extension import load  # noqa: PLC0415 - in notebooks alone

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Show everything as before: `%unload_ext langchain_openrouter`."""
    from langchain_openrouter._notebook._extension import unload  # noqa: PLC0415 - as above

    unload(shell)
