"""Send a run as server-sent events; a disconnect cancels the upstream request."""

from __future__ import annotations

import json
import logging
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any, get_args

from starlette.responses import StreamingResponse

from langchain_openrouter import errors
from langchain_openrouter._current_user import as_user
from langchain_openrouter.web._run_events import EventName, RunEvents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping
    from contextlib import AbstractAsyncContextManager

    from langchain_core.runnables import Runnable

    from langchain_openrouter.web.sign_in import Visitor

__all__ = ["events_response", "sse_response"]

_logger = logging.getLogger(__name__)


def sse_response(
    runnable: Runnable[Any, Any],
    inputs: Any,
    *,
    visitor: Visitor | None = None,
    include: Collection[EventName] | None = None,
    **kwargs: Any,
) -> StreamingResponse:
    """Return a response that streams a run as server-sent events.

    Each event has a name and data, which is JSON in one line:

    - `text`, `reasoning`: a piece of what a model writes, a string.
    - `tool_call`: `{id, name, args}`, when the model has written it to its end. A call that cannot
      be run, such as one that the token limit cut, has its text as `args`, and an `error`.
    - `tool_result`: `{id, name, status, content}`. `id` is that of the call, `status` is "success"
      or "error", `content` a string or JSON; of a tool that raised, the name of the exception.
    - `step`: `{name, path}`, when a node of a graph begins, or a chain or function that is a part
      of the chain. `path` leads to it from outside, with the names of the nodes that it is in.
    - `interrupt`: `{id, value}`: a graph waits for a person (`interrupt`). Go on with a response
      whose input is `Command(resume=...)`, on the same thread.
    - `custom`: `{name, data}`, from `adispatch_custom_event`.
    - `result`: what a chain returned, as JSON, if it is no text or message; an agent's
      `structured_response`. The state of a graph is not sent.
    - `done`, the last event: `{cost, provider, model_name, finish_reason, input_tokens,
      output_tokens}`. Cost (USD, None if unknown) and tokens are sums over all calls of chat
      models; the others are the last call's, each if known.
    - `error`, the last event instead: `{type, message, cost}`, and of an error of this package
      `is_retryable`, `partial` (the text of the message that was cut, or "") and, where money is
      missing, `settings_url`, the page where the visitor raises the key's limit. Other
      exceptions are not quoted: `message` has the name only, and the logger
      `langchain_openrouter.web.streams` the rest.

    What a tool's own models and agents write is not sent, nor what has LangGraph's tag `nostream`
    or is written in a hook of an agent's middleware, such as a summary. Their cost is counted.
    If the client disconnects, the run is canceled, upstream too.

    Args:
        runnable: The visitor's own model; or a chain, an agent, a graph, of any `Runnable`.
        inputs: Its input.
        visitor: Run it on this visitor's key, as in `as_user`: models, embeddings and rerank with
            `api_key=current_user` use it, and a call on any other key is an error. Not needed
            where the models are the visitor's own, or the agent has `PerUserModel`.
        include: The names of the events to send; None: all. `done` and `error` are always sent.
        **kwargs: Further arguments of `astream`: `config=`, and of a graph `context=`.

    Raises:
        ValueError: There is no event of a name in `include`.
    """
    if unknown := set(include or ()) - set(get_args(EventName)):
        msg = f"no such event: {', '.join(sorted(unknown))}"
        raise ValueError(msg)

    return StreamingResponse(
        _events(runnable, inputs, kwargs, visitor=visitor, include=include),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


events_response = sse_response  # former name


async def _events(
    runnable: Runnable[Any, Any],
    inputs: Any,
    kwargs: Mapping[str, Any],
    *,
    visitor: Visitor | None,
    include: Collection[EventName] | None,
) -> AsyncIterator[str]:
    # The server reads a response to its end in one task, so that the user is set for this one only.
    scope: AbstractAsyncContextManager[Any] = nullcontext()
    if visitor is not None:
        scope = as_user(visitor.key, user=visitor.user_id)
    run = RunEvents()

    try:
        async with scope, aclosing(run.read(runnable, inputs, kwargs)) as events:
            async for name, data in events:
                if include is None or name in include:
                    yield _event(name, data)
    except Exception as error:
        if not isinstance(error, errors.OpenRouterError):
            _logger.exception("a run that was streamed to a browser failed")
        yield _event("error", run.error(error))
    else:
        yield _event("done", run.done())


def _event(name: EventName, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data, default=str)}\n\n"
