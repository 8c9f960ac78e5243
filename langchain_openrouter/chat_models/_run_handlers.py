"""Which callback handlers a request of a run has, also where LangChain does not pass them on.

LangChain's `stream`, and `invoke` inside a LangGraph that streams messages, call `_stream` without
the run's manager. Meters among the handlers must know of the request all the same.
"""

from __future__ import annotations

from contextlib import ExitStack, aclosing, closing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManager
from langchain_core.runnables.config import ensure_config

from langchain_openrouter._http import metering, run_key
from langchain_openrouter.chat_models._usage import without_costs_of_cached

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

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


class _Creation:
    """Whose run a generator was created in, and under which ceilings; it starts in them."""

    __slots__ = ("_meters", "_user")

    def __init__(self) -> None:
        self._user, self._meters = run_key.user_at_creation(), metering.meters_at_creation()

    @contextmanager
    def restored(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self._user is not None:
                stack.enter_context(run_key.as_at_creation(self._user))
            if self._meters is not None:
                stack.enter_context(metering.as_at_creation(self._meters))
            yield


class RunHandlersMixin(_Model):
    """Overrides the methods that call `_stream` without the run's manager.

    A stream's request is sent when its first piece is asked for: in the user's run, and under the
    ceilings, in which the stream was created. They are not current while pieces are in the reader's
    hands.
    """

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Yield the pieces of an answer as they arrive; see LangChain's `Runnable.stream`.

        A stream that was created inside `as_user`, or under a ceiling, may be read outside.
        """
        pieces: Any = super().stream(input, config, stop=stop, **kwargs)
        return self._pieces(pieces, config, _Creation())

    def _pieces(
        self, pieces: Generator[AIMessageChunk], config: RunnableConfig | None, creation: _Creation
    ) -> Iterator[AIMessageChunk]:
        with closing(pieces):
            with creation.restored(), _known(self._handlers_of(config)):
                first = next(pieces, None)
            if first is not None:
                yield first
                yield from pieces

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Yield like `stream`."""
        pieces: Any = super().astream(input, config, stop=stop, **kwargs)
        return self._apieces(pieces, config, _Creation())

    async def _apieces(
        self,
        pieces: AsyncGenerator[AIMessageChunk],
        config: RunnableConfig | None,
        creation: _Creation,
    ) -> AsyncIterator[AIMessageChunk]:
        async with aclosing(pieces):
            with creation.restored(), _known(self._handlers_of(config)):
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
            return without_costs_of_cached(super()._generate_with_cache(messages, *args, **kwargs))

    async def _agenerate_with_cache(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Any:
        with _known(handlers_of_run(kwargs.get("run_manager"))):
            result = await super()._agenerate_with_cache(messages, *args, **kwargs)
            return without_costs_of_cached(result)
