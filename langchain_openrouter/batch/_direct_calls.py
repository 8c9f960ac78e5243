"""Call a chat model without LangChain's run around it, where nobody would see the run.

A run costs as much as half of the request itself. Without callbacks, tracers, a cache or a rate
limiter it changes nothing of the answer. A short cut, also left where a library has patched
LangChain's methods, as one that traces does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManager
from langchain_core.globals import get_llm_cache
from langchain_core.runnables.config import ensure_config

from langchain_openrouter._shortcuts import shortcuts
from langchain_openrouter.batch._prompts import to_messages
from langchain_openrouter.chat_models import ChatOpenRouter
from langchain_openrouter.chat_models._binding import ChatOpenRouterBinding
from langchain_openrouter.chat_models._core_methods import are_known

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def direct_call(model: Any) -> Callable[[Any], Awaitable[Any]] | None:
    """Return a function that calls a model as `ainvoke` does; None where that needs a run.

    Args:
        model: A chat model, also bound.
    """
    kwargs: dict[str, Any] = {}
    if type(model) is ChatOpenRouterBinding and not model.config:
        model, kwargs = model.bound, dict(model.kwargs)
    if type(model) is not ChatOpenRouter or _needs_run(model):
        return None

    async def call(value: Any) -> Any:
        result = await model._agenerate(to_messages(value), **kwargs)  # noqa: SLF001 - ours
        return result.generations[0].message

    return call


def _needs_run(model: ChatOpenRouter) -> bool:
    if not shortcuts.enabled or not are_known(model):
        return True
    has_cache = model.cache is not False and (model.cache or get_llm_cache() is not None)
    if has_cache or model.rate_limiter or model.streaming:
        return True

    manager = AsyncCallbackManager.configure(
        ensure_config().get("callbacks"), model.callbacks, verbose=model.verbose
    )
    return bool(manager.handlers)
