"""Send a model's stream as server-sent events; a disconnect cancels the upstream request."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from langchain_openrouter import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from langchain_openrouter.chat_models import ChatOpenRouter

__all__ = ["events_response", "sse_response"]

_METADATA = ("cost", "provider", "model_name")


def sse_response(model: ChatOpenRouter, messages: Any) -> StreamingResponse:
    """Return a response that streams an answer as server-sent events.

    Events: `reasoning` and `text` with a piece each; at the end `done` with cost (USD), provider
    and model name, or `error` with a message. If the client disconnects, the upstream request is
    canceled.

    Args:
        model: The visitor's own model.
        messages: The input of the model.
    """
    return StreamingResponse(
        _events(model, messages),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


events_response = sse_response  # former name


async def _events(model: ChatOpenRouter, messages: Any) -> AsyncIterator[str]:
    metadata: dict[str, Any] = {}

    try:
        async with aclosing(model.astream(messages)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                received = chunk.response_metadata
                metadata |= {name: received[name] for name in _METADATA if name in received}
                if reasoning := chunk.additional_kwargs.get("reasoning_content"):
                    yield _event("reasoning", reasoning)
                if chunk.text:
                    yield _event("text", chunk.text)
    except errors.OpenRouterError as error:
        yield _event("error", str(error))
    else:
        yield _event("done", metadata)


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data, default=str)}\n\n"
