"""A model's stream as server-sent events: a visitor who leaves stops the request upstream."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from langchain_openrouter import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from langchain_openrouter.chat_models import ChatOpenRouter


def events_response(model: ChatOpenRouter, messages: Any) -> StreamingResponse:
    """Return a response that streams an answer.

    Events: `reasoning` and `text` with a piece each; `done` with cost, provider and model; or
    `error` with a sentence. When the client goes away, the upstream request is closed.
    """
    return StreamingResponse(
        _events(model, messages),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(model: ChatOpenRouter, messages: Any) -> AsyncIterator[str]:
    told: dict[str, Any] = {}
    try:
        async with aclosing(model.astream(messages)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                said = chunk.response_metadata
                told.update({
                    name: said[name] for name in ("cost", "provider", "model_name") if name in said
                })  # fmt: skip
                if thought := chunk.additional_kwargs.get("reasoning_content"):
                    yield _event("reasoning", thought)
                if chunk.text:
                    yield _event("text", chunk.text)
    except errors.OpenRouterError as error:
        yield _event("error", str(error))
    else:
        yield _event("done", told)


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data, default=str)}\n\n"
