"""An HTTP response -> LangChain's result or chunks; a response that is an error is raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from langchain_openrouter._http.error_mapping import contains_error, error_from_response
from langchain_openrouter._http.failures import Failure, to_failure
from langchain_openrouter._http.limits import LimitExceededError
from langchain_openrouter._http.metering import facts_from_body
from langchain_openrouter._http.sse import SSEDecoder
from langchain_openrouter._json import (
    get_dict,
    get_dicts,
    get_str,
    parse_cut_json,
    parse_json,
    parse_json_or_text,
)
from langchain_openrouter.chat_models._chunk_template import to_generation_chunk
from langchain_openrouter.chat_models._parsing import message_or_delta, to_ai_message
from langchain_openrouter.chat_models._streaming import StreamState
from langchain_openrouter.chat_models._usage import tokens_only

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

    from langchain_openrouter._http.stream_events import StreamEvent
    from langchain_openrouter._http.transport import ApiResponse
    from langchain_openrouter.chat_models._endpoints import Endpoint
    from langchain_openrouter.chat_models._message_chunk import OpenRouterMessageChunk


def to_chat_result(
    response: ApiResponse,
    endpoint: Endpoint,
    *,
    with_headers: bool = False,
    without_costs: bool = False,
) -> ChatResult:
    """Return the result of a complete response.

    Args:
        response: With its body; an event stream is accepted too, although none was requested.
        endpoint: Which one answered.
        with_headers: Whether each message's metadata has the response's headers.
        without_costs: Whether `usage_metadata` has tokens only, see `counts_integers`.

    Raises:
        OpenRouterError: The response is an error in any of the API's forms, or cannot be parsed;
            its `partial` is the part of the message that came.
    """
    if response.is_error:
        raise error_from_response(
            parse_json_or_text(response.body),
            status=response.status,
            headers=response.headers,
            failure=response.failure,
            partial=None if response.failure is None else _partial_message(response.body, endpoint),
        )

    if "event-stream" in response.headers.get("content-type", "") and response.body.strip():
        result = _result_from_stream(response, endpoint)
    else:
        body = parse_body(response, endpoint)
        if response.call is not None:
            facts = facts_from_body(body)
            response.call.facts = lambda: facts
        result = result_from_body(body)

    for generation in result.generations:
        if with_headers:
            generation.message.response_metadata["headers"] = dict(response.headers)
        if without_costs:
            message: Any = generation.message
            message.usage_metadata = tokens_only(message.usage_metadata)
    return result


def chunks_of_event(
    state: StreamState, event: StreamEvent, endpoint: Endpoint
) -> list[OpenRouterMessageChunk]:
    """Return the chunks of one event; the final chunk at `[DONE]`, before the body ends.

    Args:
        state: What has come so far; the event is added.
        event: One of `stream_events.iter_events`.
        endpoint: Which one answers.

    Raises:
        OpenRouterError: The event is an error; its `partial` is the message so far.
    """
    if isinstance(event, bytes):
        chunks = state.handle_data(event)
        return [*chunks, state.final_chunk()] if state.saw_done else chunks

    if state.saw_done:  # anything after `[DONE]` is not part of the response
        return []
    if event is None:
        return [state.final_chunk()]
    if isinstance(event, Failure):
        if not state.finished:
            raise state.error(failure=event)
        return [state.final_chunk()]  # after a finish reason nothing but usage can be missing

    to_chat_result(event, endpoint)  # a complete response instead of a stream: an error is raised
    state.saw_done = True
    completion = parse_body(event, endpoint)
    return [*StreamState.handle_event(state, completion), state.final_chunk()]


def parse_body(response: ApiResponse, endpoint: Endpoint) -> Any:
    """Return the JSON of a 200 as a chat completion's, with the id of the headers if it has none.

    Args:
        response: With its body.
        endpoint: Which one answered.

    Raises:
        UpstreamError: The body is not JSON; its `partial` is what can be parsed of a message.
    """
    data = response.body
    try:
        body = endpoint.to_chat_body(parse_json(data))
    except ValueError:
        body = None
    if body is None:
        raise error_from_response(
            data.decode("utf-8", "replace"),
            headers=response.headers,
            partial=_partial_message(data, endpoint),
        )

    generation_id = response.headers.get("x-generation-id")
    if isinstance(body, dict) and generation_id and not get_str(body, "id"):
        body = {**body, "id": generation_id}
    return body


def result_from_body(body: Any, info: dict[str, Any] | None = None) -> ChatResult:
    """Return the result of a body.

    Args:
        body: The JSON of the body.
        info: Put into each generation's `generation_info`.

    Raises:
        OpenRouterError: The body has an error, or no message; its `partial` is the message that
            came.
    """
    choices = [
        choice for choice in get_dicts(body, "choices") if message_or_delta(choice) is not None
    ]
    messages = [to_ai_message(body, choice) for choice in choices]

    error = _find_error(body, choices)
    if error is None and not choices:
        error = {"message": "the answer holds no message"}
    if error is not None:
        raise error_from_response(
            error,
            generation_id=get_str(body, "id"),
            partial=_none_if_empty(messages[0]) if messages else None,
        )

    for message in messages[1:]:
        message.usage_metadata = None  # `usage` is the sum of all choices: count it once
    return ChatResult(
        generations=[
            ChatGeneration(message=message, generation_info=_generation_info(message, info))
            for message in messages
        ],
        llm_output=_llm_output(messages[0], get_dict(body, "usage")),
    )


def _result_from_stream(response: ApiResponse, endpoint: Endpoint) -> ChatResult:
    """Return the result of an event stream that came where a complete response was requested."""
    decoder = SSEDecoder()
    state = endpoint.new_state(response)
    chunks: list[OpenRouterMessageChunk] = []
    try:
        for event in (*decoder.feed(response.body), *decoder.flush()):
            if not state.saw_done:
                chunks += state.handle_data(event)
    except LimitExceededError as error:
        raise state.error(failure=to_failure(error, url="")) from None

    chunks.append(state.final_chunk())
    generations = [to_generation_chunk(chunk) for chunk in chunks]
    merged = merge_chat_generation_chunks(generations) or generations[-1]
    message = message_chunk_to_message(merged.message)
    return ChatResult(
        generations=[ChatGeneration(message=message, generation_info=merged.generation_info)],
        llm_output=_llm_output(message, message.response_metadata.get("token_usage")),
    )


def _llm_output(message: Any, usage: dict[str, Any] | None) -> dict[str, Any]:
    """Return the `llm_output` of a result: usage, model and generation id, each where it came."""
    fields = {
        "token_usage": usage,
        "model_name": message.response_metadata.get("model_name"),
        "id": message.id,
    }
    return {name: value for name, value in fields.items() if value}


def _find_error(body: Any, choices: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the JSON of an error: the body, a choice, or a new one for a finish reason alone."""
    for source in (body, *choices):
        if contains_error(source):
            error: dict[str, Any] = source
            return error

    if any(choice.get("finish_reason") == "error" for choice in choices):
        return {"message": "the provider stopped in mid-answer", "code": 502}
    return None


def _generation_info(message: AIMessage, info: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the `generation_info`, in which callbacks look for the finish reason."""
    names = ("finish_reason", "logprobs")
    metadata = message.response_metadata
    combined = {**(info or {}), **{name: metadata[name] for name in names if name in metadata}}
    return combined or None


def _partial_message(data: bytes, endpoint: Endpoint) -> AIMessage | None:
    """Return the message of a body that was cut, as far as it can be parsed."""
    body = endpoint.to_chat_body(parse_cut_json(data))
    choices = get_dicts(body, "choices")
    if not choices:
        return None
    return _none_if_empty(to_ai_message(body, {**choices[0], "finish_reason": "length"}))


def _none_if_empty(message: AIMessage) -> AIMessage | None:
    has_content = message.content or message.additional_kwargs
    has_calls = message.tool_calls or message.invalid_tool_calls
    return message if has_content or has_calls else None
