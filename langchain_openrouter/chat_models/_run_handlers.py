"""Which callback handlers a request of a run has, also where LangChain does not pass them on.

LangChain's `stream`, and `invoke` inside a LangGraph that streams messages, call `_stream` without
the run's manager. Meters among the handlers must know of the request all the same.
"""

from __future__ import annotations

from contextlib import aclosing, closing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManager
from langchain_core.runnables.config import ensure_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessageChunk, BaseMessage
    from langchain_core.runnables import RunnableConfig

    from langchain_openrouter.chat_models._fields import ChatOpenRouterFields

    _Model = ChatOpenRouterFields  # the class that the mixin is mixed into
else:
    _Model = object

__all__ = ["RunHandlersMixin", "handlers_of_run"]

_handlers: ContextVar[list[Any] | None] = ContextVar("openrouter_run_handlers", default=None)


def handlers_of_run(run_manager: Any) -> list[Any]:
    """Return the handlers of the run that a request is part of."""
    if run_manager is not None:
        return run_manager.handlers  # type: ignore[no-any-return]
    return _handlers.get() or []


@contextmanager
def _known(handlers: list[Any]) -> Iterator[None]:
    token = _handlers.set(handlers)
    try:
        yield
    finally:
        _handlers.reset(token)


class RunHandlersMixin(_Model):
    """Overrides the methods that call `_stream` without the run's manager.

    A request is sent when the first piece is asked for, so that the handlers need not be known
    while pieces are in the reader's hands.
    """

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Yield the pieces of an answer as they arrive; see LangChain's `Runnable.stream`."""
        with closing(super().stream(input, config, stop=stop, **kwargs)) as pieces:  # type: ignore[type-var]
            with _known(self._handlers_of(config)):
                first = next(pieces, None)
            if first is not None:
                yield first
                yield from pieces

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Yield like `stream`."""
        async with aclosing(super().astream(input, config, stop=stop, **kwargs)) as pieces:  # type: ignore[type-var]
            with _known(self._handlers_of(config)):
                first = await anext(pieces, None)
            if first is not None:
                yield first
                async for piece in pieces:
                    yield piece

    def _handlers_of(self, config: RunnableConfig | None) -> list[Any]:
        callbacks = ensure_config(config).get("callbacks")
        return CallbackManager.configure(callbacks, self.callbacks).handlers

    def _generate_with_cache(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        with _known(handlers_of_run(kwargs.get("run_manager"))):
            return super()._generate_with_cache(messages, *args, **kwargs)

    async def _agenerate_with_cache(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Any:
        with _known(handlers_of_run(kwargs.get("run_manager"))):
            return await super()._agenerate_with_cache(messages, *args, **kwargs)
