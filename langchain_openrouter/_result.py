"""The body of a whole answer -> LangChain's result, or the error that it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from langchain_openrouter import errors
from langchain_openrouter._answer import message_of, said_in, unwrapped
from langchain_openrouter._read import (
    dict_of,
    dicts_of,
    json_of,
    json_or_text,
    partial_json_of,
    str_of,
)
from langchain_openrouter._redact import prompt_of
from langchain_openrouter._sse import SSEDecoder
from langchain_openrouter._stream import StreamState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.messages import AIMessage

    from langchain_openrouter._transport import ApiResponse


def body_of(data: bytes, headers: Mapping[str, str], *, prompt: Any) -> Any:
    """Return the JSON of a 200 body, its id taken from the headers where it has none.

    Raises:
        UpstreamError: It is not JSON; holds what can be read of an answer.
    """
    try:
        body = unwrapped(json_of(data))
    except ValueError:
        body = None
    if body is None:
        raise errors.from_body(
            data.decode("utf-8", "replace"),
            headers=headers,
            partial=partial_of(data),
            prompt=prompt_of(prompt),
        )
    generation_id = headers.get("x-generation-id")
    if isinstance(body, dict) and generation_id and not str_of(body, "id"):
        body = {**body, "id": generation_id}
    return body


def result_of(body: Any, *, info: dict[str, Any] | None = None, prompt: Any = None) -> ChatResult:
    """Return the result of a body.

    Args:
        body: The JSON of the body.
        info: Put into each generation's `generation_info`.
        prompt: The request's messages, which no error message may quote.

    Raises:
        OpenRouterError: The body tells an error, or holds no message; has what came.
    """
    choices = [choice for choice in dicts_of(body, "choices") if said_in(choice) is not None]
    messages = [message_of(body, choice) for choice in choices]
    told = _error_in(body, choices)
    if told is None and not choices:
        told = {"message": "the answer holds no message"}
    if told is not None:
        raise errors.from_body(
            told,
            generation_id=str_of(body, "id"),
            partial=_worth(messages[0]) if messages else None,
            prompt=prompt_of(prompt),
        )
    for message in messages[1:]:
        message.usage_metadata = None  # usage is that of all choices: count it once
    usage = dict_of(body, "usage")
    return ChatResult(
        generations=[
            ChatGeneration(message=message, generation_info=_info(message, info) or None)
            for message in messages
        ],
        llm_output={"token_usage": usage} if usage else {},
    )


def result_of_events(data: bytes, headers: Mapping[str, str], *, prompt: Any) -> ChatResult:
    """Return the result of a stream that came where a whole answer was asked for.

    Raises:
        OpenRouterError: The stream tells an error, or was cut; has what came.
    """
    decoder = SSEDecoder()
    state = StreamState(generation_id=headers.get("x-generation-id"), prompt=prompt)
    chunks = [
        chunk
        for event in (*decoder.feed(data), *decoder.flush())
        for chunk in (() if state.done else state.read(event))
    ]
    chunks.append(state.finish())
    merged = merge_chat_generation_chunks(chunks) or chunks[-1]
    message = message_chunk_to_message(merged.message)
    usage = message.response_metadata.get("token_usage")
    return ChatResult(
        generations=[ChatGeneration(message=message, generation_info=merged.generation_info)],
        llm_output={"token_usage": usage} if usage else {},
    )


def _error_in(body: Any, choices: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what tells of an error: the body, a choice, or a finish reason alone."""
    for source in (body, *choices):
        if errors.has_error(source):
            found: dict[str, Any] = source
            return found
    if any(choice.get("finish_reason") == "error" for choice in choices):
        return {"message": "the provider stopped in mid-answer", "code": 502}
    return None


def _info(message: AIMessage, info: dict[str, Any] | None) -> dict[str, Any]:
    """Return the generation's info: where callbacks look for the finish reason."""
    names = ("finish_reason", "logprobs")
    metadata = message.response_metadata
    return {**(info or {}), **{name: metadata[name] for name in names if name in metadata}}


def to_error(response: ApiResponse, *, prompt: Any) -> errors.OpenRouterError:
    """Return the error of a request that brought no (whole) answer."""
    if response.failure is not None:
        return errors.from_body(failure=response.failure, partial=partial_of(response.body))
    return errors.from_body(
        json_or_text(response.body),
        status=response.status,
        headers=response.headers,
        prompt=prompt_of(prompt),
    )


def partial_of(data: bytes) -> AIMessage | None:
    """Return what can be read of a whole answer that was cut."""
    body = partial_json_of(data)
    choices = dicts_of(body, "choices")
    return _worth(message_of(body, {**choices[0], "finish_reason": "length"})) if choices else None


def _worth(message: AIMessage) -> AIMessage | None:
    """Return the message if anything came in it."""
    came = message.content or message.additional_kwargs
    return message if came or message.tool_calls or message.invalid_tool_calls else None
