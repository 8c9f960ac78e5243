"""Which callback handlers a request of a run has, also where LangChain does not pass them on.

LangChain's `stream`, and `invoke` inside a LangGraph that streams messages, call `_stream` without
the run's manager. Meters among the handlers must know of the request all the same.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack, aclosing, closing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager

from langchain_openrouter._http import metering, run_key
from langchain_openrouter.chat_models._unobserved import (
    CallPlan,
    ChunkJoiner,
    has_handlers,
    without_format,
)
from langchain_openrouter.chat_models._usage import without_costs_of_cached

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
    from langchain_core.runnables import RunnableConfig

    from langchain_openrouter.chat_models._fields import ChatOpenRouterFields
    from langchain_openrouter.chat_models._message_chunk import OpenRouterMessageChunk

    class _Model(ChatOpenRouterFields):
        """The class that the mixin is mixed into."""

        def _message_chunks(
            self, messages: Any, stop: Any, run_manager: Any, kwargs: dict[str, Any]
        ) -> Generator[OpenRouterMessageChunk]: ...

        def _amessage_chunks(
            self, messages: Any, stop: Any, run_manager: Any, kwargs: dict[str, Any]
        ) -> AsyncGenerator[OpenRouterMessageChunk]: ...

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
    hands. Where no handler is attached, LangChain's run is left out; see `_unobserved`.
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
        return self._pieces((input, config, stop, kwargs), _Creation())

    def _pieces(self, call: tuple[Any, ...], creation: _Creation) -> Iterator[AIMessageChunk]:
        value, config, stop, kwargs = call
        with ExitStack() as stack:
            with creation.restored():
                plan = CallPlan(self, value, config, kwargs, CallbackManager, is_stream=True)
                pieces: Any
                if plan.messages is not None:
                    pieces = self._unobserved_pieces(plan, stop, without_format(kwargs))
                else:
                    pieces = super().stream(value, config, stop=stop, **kwargs)
                stack.enter_context(closing(pieces))
                with _known(plan.handlers):
                    first = next(pieces, None)

            if first is not None:
                yield first
                yield from pieces

    def _unobserved_pieces(
        self, plan: CallPlan, stop: list[str] | None, kwargs: dict[str, Any]
    ) -> Iterator[AIMessageChunk]:
        run, chunk = plan.start(), None
        chunks: Any = self._message_chunks(plan.messages, stop, None, kwargs)

        with closing(chunks):
            for chunk in chunks:
                if chunk.chunk_position or chunk.id is None:
                    run.complete(chunk)
                yield chunk
        if end := run.end_of(chunk):
            yield end

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Yield like `stream`."""
        return self._apieces((input, config, stop, kwargs), _Creation())

    async def _apieces(
        self, call: tuple[Any, ...], creation: _Creation
    ) -> AsyncIterator[AIMessageChunk]:
        value, config, stop, kwargs = call
        async with AsyncExitStack() as stack:
            with creation.restored():
                plan = CallPlan(self, value, config, kwargs, AsyncCallbackManager, is_stream=True)
                pieces: Any
                if plan.messages is None:
                    run, pieces = None, super().astream(value, config, stop=stop, **kwargs)
                else:
                    run, rest = await plan.astart(), without_format(kwargs)
                    pieces = self._amessage_chunks(plan.messages, stop, None, rest)
                await stack.enter_async_context(aclosing(pieces))
                with _known(plan.handlers):
                    first = await anext(pieces, None)

            if run is None:
                if first is not None:
                    yield first
                    async for piece in pieces:
                        yield piece
                return

            # In this generator and not in one of its own, which each piece would pass through.
            chunk = first
            if chunk is not None:
                run.complete(chunk)
                yield chunk
            async for chunk in pieces:
                if chunk.chunk_position or chunk.id is None:
                    run.complete(chunk)
                yield chunk
            if end := run.end_of(chunk):
                yield end

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Return the answer; see LangChain's `Runnable.invoke`."""
        plan = None
        if not has_handlers(self, config):
            plan = CallPlan(self, input, config, kwargs, CallbackManager, is_stream=False)
        if plan is None or plan.messages is None:
            return super().invoke(input, config, stop=stop, **kwargs)

        run, kwargs = plan.start(), without_format(kwargs)
        with _known([]):
            if not self._should_stream(async_api=False, run_manager=run.manager, **kwargs):
                return run.message(
                    self._generate(plan.messages, stop=stop, run_manager=run.manager, **kwargs)
                )
            joiner = ChunkJoiner(run)
            for chunk in self._message_chunks(plan.messages, stop, None, kwargs):
                joiner.add(chunk)
        return run.message(joiner.result())

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Return like `invoke`."""
        plan = None
        if not has_handlers(self, config):
            plan = CallPlan(self, input, config, kwargs, AsyncCallbackManager, is_stream=False)
        if plan is None or plan.messages is None:
            return await super().ainvoke(input, config, stop=stop, **kwargs)

        run, kwargs = await plan.astart(), without_format(kwargs)
        with _known([]):
            if not self._should_stream(async_api=True, run_manager=run.manager, **kwargs):
                return run.message(
                    await self._agenerate(
                        plan.messages, stop=stop, run_manager=run.manager, **kwargs
                    )
                )
            joiner = ChunkJoiner(run)
            chunks: Any = self._amessage_chunks(plan.messages, stop, None, kwargs)
            async with aclosing(chunks):
                async for chunk in chunks:
                    joiner.add(chunk)
        return run.message(joiner.result())

    def _generate_with_cache(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        with _known(handlers_of_run(kwargs.get("run_manager"))):
            return without_costs_of_cached(super()._generate_with_cache(messages, *args, **kwargs))

    async def _agenerate_with_cache(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Any:
        with _known(handlers_of_run(kwargs.get("run_manager"))):
            result = await super()._agenerate_with_cache(messages, *args, **kwargs)
            return without_costs_of_cached(result)
