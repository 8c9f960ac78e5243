"""Calls where nobody is looking: no callback handler, tracer, cache or rate limiter.

LangChain's run around a call keeps every chunk of a stream until its end, to show handlers their
sum: 135 MiB for 100,000 pieces, and a full collection of garbage over all of them. Where no handler
is attached nobody sees that sum, and each piece goes to the caller alone. What the caller gets is
equal: pieces, ids, metadata, errors and ends.

Whether a handler is attached, `CallbackManager.configure` says: of callbacks, `verbose`,
`set_debug`, tracing by environment or context, and what others have registered. Every doubt is
decided for LangChain's own methods; see `_core_methods`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.caches import BaseCache
from langchain_core.callbacks import AsyncCallbackManager
from langchain_core.globals import get_llm_cache
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks
from langchain_core.runnables.config import ensure_config
from langchain_core.utils.utils import LC_ID_PREFIX

from langchain_openrouter._shortcuts import shortcuts
from langchain_openrouter.chat_models._chunk_template import (
    generation_info,
    to_generation_chunk,
)
from langchain_openrouter.chat_models._core_methods import are_known
from langchain_openrouter.settings import environment_api_key

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
    from langchain_core.runnables import RunnableConfig

    from langchain_openrouter.chat_models._message_chunk import OpenRouterMessageChunk

__all__ = ["CallPlan", "ChunkJoiner", "UnobservedRun", "has_handlers", "without_format"]

_FORMATS = ("ls_structured_output_format", "structured_output_format")
_OF_THE_RUN = frozenset(
    ("callbacks", "tags", "metadata", "run_name", "run_id", "prompts", "messages", "run_manager")
)
_PLAIN_BLOCKS = {"text", "image_url"}
_CHUNKS_AT_ONCE = 1024


class UnobservedRun:
    """What core's run adds to an answer: an id where the service gave none, and its metadata.

    Args:
        run_manager: Core's, without handlers.
    """

    __slots__ = ("manager", "message_id")

    def __init__(self, run_manager: Any) -> None:
        self.manager = run_manager
        self.message_id = f"{LC_ID_PREFIX}-{run_manager.run_id}"

    def complete(self, chunk: OpenRouterMessageChunk) -> None:
        """Give a chunk the id of the run if it has none, and the metadata of its generation."""
        if chunk.id is None:
            chunk.id = self.message_id
        if info := generation_info(chunk):
            chunk.response_metadata = {**info, **chunk.response_metadata}

    def end_of(self, chunk: OpenRouterMessageChunk | None) -> AIMessageChunk | None:
        """Return the piece that core adds after the last chunk, if that does not say it is last.

        Raises:
            ValueError: There was no chunk.
        """
        if chunk is None:
            msg = "No generation chunks were returned"
            raise ValueError(msg)
        if chunk.chunk_position:
            return None

        content: Any = "" if isinstance(chunk.content, str) else []
        return AIMessageChunk(content=content, chunk_position="last", id=self.message_id)

    def message(self, result: ChatResult) -> AIMessage:
        """Return the message of a result, as `invoke` does."""
        generation = result.generations[0]
        message: Any = generation.message
        if message.id is None:
            message.id = f"{self.message_id}-0"

        metadata = _metadata(generation)
        if len(result.generations) == 1 and result.llm_output is not None:
            metadata = {**result.llm_output, **metadata}
        message.response_metadata = metadata
        return message  # type: ignore[no-any-return]


class ChunkJoiner:
    """The chunks of a stream, joined by the thousand, for an `invoke` that streams.

    Content that is a list stays apart: LangChain's sum of lists depends on their grouping.
    """

    def __init__(self, run: UnobservedRun) -> None:
        self._run = run
        self._joined: list[ChatGenerationChunk] = []
        self._recent: list[ChatGenerationChunk] = []

    def add(self, chunk: OpenRouterMessageChunk) -> None:
        """Add the next chunk."""
        self._run.complete(chunk)
        self._recent.append(to_generation_chunk(chunk))
        if len(self._recent) == _CHUNKS_AT_ONCE:
            self._join()

    def _join(self) -> None:
        recent, self._recent = self._recent, []
        if not all(isinstance(chunk.message.content, str) for chunk in recent):
            self._joined += recent
        elif joined := merge_chat_generation_chunks(recent):
            self._joined.append(joined)

    def result(self) -> ChatResult:
        """Return the result of all chunks.

        Raises:
            ValueError: There was none.
        """
        return generate_from_stream(iter([*self._joined, *self._recent]))


def _metadata(generation: ChatGeneration) -> dict[str, Any]:
    return {**(generation.generation_info or {}), **generation.message.response_metadata}


def may_skip_run(model: Any, kwargs: dict[str, Any], *, is_async: bool, is_stream: bool) -> bool:
    """Tell whether a run does nothing for a call but tell handlers of it.

    Args:
        model: The `ChatOpenRouter`.
        kwargs: The arguments of the call; the format that traces show is taken out.
        is_async: Whether the call is.
        is_stream: Whether it is `stream` or `astream`.
    """
    if not shortcuts.enabled or model.rate_limiter or model.output_version == "v1":
        return False
    if not are_known(model) or not all(_is_format(kwargs.get(name)) for name in _FORMATS):
        return False

    if is_stream:
        stream: bool = model._should_stream(  # noqa: SLF001 - ours
            async_api=is_async, **{**kwargs, "stream": True}
        )
        return stream
    return _OF_THE_RUN.isdisjoint(kwargs) and not _needs_cache(model)


def without_format(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call without the format of structured output that traces show."""
    rest = dict(kwargs)
    if not rest.pop(_FORMATS[0], None):
        rest.pop(_FORMATS[1], None)
    return rest


def _is_format(value: Any) -> bool:
    return not value or (isinstance(value, dict) and "schema" in value)


def _needs_cache(model: Any) -> bool:
    """Tell whether a call may be answered by a cache, or needs its key before it is sent."""
    if model.cache is False:
        return False
    if isinstance(model.cache, BaseCache) or model.cache or get_llm_cache() is not None:
        return True
    key = model._key_source()  # noqa: SLF001 - ours
    return callable(key) and key is not environment_api_key


class CallPlan:
    """How a call is to be made.

    Args:
        model: The `ChatOpenRouter`.
        value: The input.
        config: As given.
        kwargs: The arguments of the call.
        manager_class: `CallbackManager`, or `AsyncCallbackManager` of an async call.
        is_stream: Whether it is `stream` or `astream`.

    Raises:
        ValueError: The input is none of a chat model; raised only where nobody is looking.
    """

    __slots__ = ("_manager", "_run_id", "handlers", "messages")

    def __init__(  # noqa: PLR0913 - what a call is made of
        self,
        model: Any,
        value: Any,
        config: RunnableConfig | None,
        kwargs: dict[str, Any],
        manager_class: Any,
        *,
        is_stream: bool,
    ) -> None:
        complete = ensure_config(config)
        # Of the arguments that core passes here, only the metadata for traces is left out, since
        # building it costs as much as the request's body and no handler depends on it.
        self._manager = manager_class.configure(
            complete.get("callbacks"),
            model.callbacks,
            model.verbose,
            complete.get("tags"),
            model.tags,
            complete.get("metadata"),
            model.metadata,
        )
        self._run_id = complete.get("run_id")
        self.handlers: list[Any] = self._manager.handlers
        self.messages: list[BaseMessage] | None = None  # None where core's run is needed

        is_async = manager_class is AsyncCallbackManager
        if not self.handlers and may_skip_run(
            model, kwargs, is_async=is_async, is_stream=is_stream
        ):
            self.messages = to_messages(model, value)

    def start(self) -> UnobservedRun:
        """Return core's run of the call, which has no handlers."""
        (run_manager,) = self._manager.on_chat_model_start({}, [self.messages], run_id=self._run_id)
        return UnobservedRun(run_manager)

    async def astart(self) -> UnobservedRun:
        """Return like `start`."""
        (run_manager,) = await self._manager.on_chat_model_start(
            {}, [self.messages], run_id=self._run_id
        )
        return UnobservedRun(run_manager)


def has_handlers(model: Any, config: RunnableConfig | None) -> bool:
    """Tell whether a call is observed by what it was given; without asking core."""
    callbacks = (config or {}).get("callbacks")
    return bool(getattr(callbacks, "handlers", callbacks) or model.callbacks or model.verbose)


def to_messages(model: Any, value: Any) -> list[BaseMessage] | None:
    """Return the messages of an input; None if core would change them, or might refuse them.

    Raises:
        ValueError: It is no input of a chat model.
    """
    messages: list[BaseMessage] = model._convert_input(value).to_messages()  # noqa: SLF001 - ours
    return list(messages) if all(map(_is_plain, messages)) else None


def _is_plain(message: BaseMessage) -> bool:
    content = message.content
    return isinstance(content, str) or all(
        isinstance(block, str) or block.get("type") in _PLAIN_BLOCKS for block in content
    )
