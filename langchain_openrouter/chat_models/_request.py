"""The body of a request: the fields of the model, those of the call, and the messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter import wire
from langchain_openrouter._json import get_dicts
from langchain_openrouter._langgraph import resolve_session_id
from langchain_openrouter._provider_preferences import merge_provider
from langchain_openrouter._vocabulary import validate_vocabulary
from langchain_openrouter.chat_models._messages import to_wire_messages
from langchain_openrouter.chat_models._private_arguments import PRIVATE_KWARGS
from langchain_openrouter.chat_models._prompt_caching import apply_prompt_caching
from langchain_openrouter.chat_models._responses_request import (
    NEEDS_STORAGE,
    RESPONSES_ONLY,
    validate_stateless,
)
from langchain_openrouter.chat_models._tools import to_wire_tool
from langchain_openrouter.settings import unknown_argument_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.messages import BaseMessage

WIRE_NAMES = {
    "model_name": "model",
    "openrouter_provider": "provider",
    "request_metadata": "metadata",
    "stop_sequences": "stop",
}
"""Names of arguments -> names on the wire, where they differ."""
FIELD_NAMES = {
    "model": "model_name",
    "provider": "openrouter_provider",
    "metadata": "request_metadata",
}
"""Names on the wire -> names of the model's fields, where they differ."""

# Arguments of a call that are not fields of the body.
_NOT_IN_BODY = {
    "extra_headers",
    "extra_query",
    "extra_body",
    "timeout",
    "deadline",
    "max_retries",
    "stream_usage",
    "ls_structured_output_format",
    "response_cache",
    "router_metadata",
    "relax_tool_choice",
    "use_responses_api",
}
# Arguments that are no fields of the body, and change others.
_DIRECTIVES = {"prompt_caching"}
_MESSAGE_FIELDS = {"messages", "prompt", "input"}  # the messages are an argument of their own
_FIELDS = {*wire.REQUEST_FIELDS, *RESPONSES_ONLY} - _MESSAGE_FIELDS
_RANKS = {name: rank for rank, name in enumerate(wire.REQUEST_FIELDS)}


def build_payload(  # noqa: PLR0913 - where the fields of a body come from
    params: Mapping[str, Any],
    call: Mapping[str, Any],
    messages: Sequence[BaseMessage],
    *,
    extras: Sequence[Mapping[str, Any] | None] = (),
    extra_fields: Mapping[str, Any] | None = None,
    responses: bool = False,
) -> dict[str, Any]:
    """Return the body of a chat request, with no null fields and with the fields in a fixed order.

    Args:
        params: The model's own fields, by wire name.
        call: The call's arguments; None removes a field, `provider` is merged key by key.
        messages: The conversation.
        extras: Merged in last, unchecked.
        extra_fields: Names that are accepted although the API does not document them.
        responses: Whether the body will be that of `POST /responses`: its own fields are accepted
            too, and the messages have what only it takes.

    Raises:
        ValueError: An argument is not known, or a message cannot be sent.
    """
    validate_stateless(call)
    if not responses:
        _refuse_responses_fields({**params, **call})

    body = dict(params)
    for argument, value in call.items():
        if argument in _NOT_IN_BODY or argument in NEEDS_STORAGE:
            continue
        name = WIRE_NAMES.get(argument, argument)
        if name in _MESSAGE_FIELDS:
            msg = f"`{name}` is not accepted: the messages are the first argument of the call"
            raise ValueError(msg)
        if name not in _FIELDS and name not in {*(extra_fields or ()), *_DIRECTIVES}:
            known = [*wire.REQUEST_FIELDS, *WIRE_NAMES, *_NOT_IN_BODY, *_DIRECTIVES]
            raise ValueError(unknown_argument_message(name, known))
        merged = _merge_field(name, body.get(name), validate_vocabulary(name, value), responses)
        body[name] = merged

    for extra in extras:
        for name, value in (extra or {}).items():
            body[name] = _merge_field(name, body.get(name), value, responses)
    for name in PRIVATE_KWARGS:
        if name in body:
            msg = f"`{name}` is no field of the body: pass it to the call, or bind it"
            raise ValueError(msg)

    is_pinned = any(plugin.get("pin_model") for plugin in get_dicts(body, "plugins"))
    body["messages"] = to_wire_messages(messages, with_model=is_pinned, with_items=responses)
    apply_prompt_caching(body, body.pop("prompt_caching", None))
    body["session_id"] = resolve_session_id(body.get("session_id"))
    body["user"] = body.get("user") or None
    names = sorted(body, key=lambda name: _RANKS.get(name, len(_RANKS)))
    return {name: body[name] for name in names if body[name] is not None}


def _refuse_responses_fields(arguments: Mapping[str, Any]) -> None:
    """Refuse fields that chat completions do not have.

    Raises:
        ValueError: One of them is set.
    """
    for name in RESPONSES_ONLY:
        if arguments.get(name) not in (None, False):
            msg = f"`{name}` belongs to the Responses endpoint: pass use_responses_api=True"
            raise ValueError(msg)


def _merge_field(name: str, base: Any, value: Any, responses: bool) -> Any:  # noqa: FBT001 - private
    """Return the value of a field that the call, or an extra body, sets over an earlier value."""
    if name == "provider":
        return merge_provider(base, value)
    if name == "tools" and value is not None:
        # The API refuses an empty list.
        return [to_wire_tool(tool, any_server_tool=responses) for tool in value] or None
    return value
