"""The body of a chat request -> the body of `POST /responses`, as pure functions.

A request is composed in the form of chat completions, whatever endpoint it goes to: fields, marks
of caches and what a model refuses are then dealt with once. This module has the last step.
See https://openrouter.ai/docs/api-reference/responses/overview and `ResponsesRequest` in
https://openrouter.ai/openapi.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter import wire
from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str
from langchain_openrouter.chat_models._foreign_blocks import OmittedBlocks
from langchain_openrouter.chat_models._responses_input import to_input_items

if TYPE_CHECKING:
    from collections.abc import Mapping

# Fields of chat completions that have no effect there, or that follow from other fields.
_IMPLIED = {"usage", "stream_options", "structured_outputs", "logprobs"}
_OF_TEXT = ("response_format", "verbosity")
_OF_REASONING = ("reasoning_effort", "include_reasoning")
_LIMITS = ("max_completion_tokens", "max_tokens")
# Fields of chat completions that the endpoint does not have, and what to do instead.
_UNSUPPORTED = {
    "seed": "leave it out",
    "logit_bias": "leave it out",
    "min_p": "leave it out",
    "top_a": "leave it out",
    "repetition_penalty": "leave it out, or use `frequency_penalty`",
    "prediction": "leave it out",
    "audio": "it answers in text and images",
    "speed": "use `service_tier`",
    "preset": 'name the preset in the model: model="@preset/..."',
    "web_search_options": 'use the tool {"type": "openrouter:web_search"}',
    "x_search_filter": 'use the tool {"type": "openrouter:web_search"}',
}
_ELSEWHERE = "or use Chat Completions (use_responses_api=False)"
STATELESS = "OpenRouter stores no responses: send the whole conversation with each call"
"""Why nothing that was said before can be referred to."""
NEEDS_STORAGE = {
    "previous_response_id": STATELESS,
    "use_previous_response_id": STATELESS,
    "conversation": STATELESS,
    "store": STATELESS,
    "background": "OpenRouter stores no responses, so that none could be fetched later",
}
"""Fields of OpenAI's endpoint that OpenRouter refuses with 400, and why."""

RESPONSES_ONLY = frozenset(wire.RESPONSES_FIELDS) - frozenset(wire.REQUEST_FIELDS) - {"store"}
"""Fields of `POST /responses` that chat completions do not have."""


def validate_stateless(arguments: Mapping[str, Any]) -> None:
    """Refuse what needs stored responses.

    Args:
        arguments: Of a call, or fields of a body; None and False change nothing.

    Raises:
        ValueError: One of them does; the error says why there are none.
    """
    for name, reason in NEEDS_STORAGE.items():
        if arguments.get(name) not in (None, False):
            msg = f"`{name}` is not accepted: {reason}"
            raise ValueError(msg)


def to_responses_body(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request, with its fields in a fixed order.

    Args:
        payload: The body of a chat request, whose assistant messages may have their
            `output_items`; not changed. Fields that only this endpoint has are kept.

    Warns:
        UserWarning: Something in the messages is not sent; once for all messages.

    Raises:
        ValueError: A field has no equivalent.
    """
    validate_stateless(payload)
    _refuse_unsupported(payload)
    moved = {*_IMPLIED, *_OF_TEXT, *_OF_REASONING, *_LIMITS, "messages", "n", "modalities"}
    body = {name: value for name, value in payload.items() if name not in moved}

    omitted = OmittedBlocks("messages", "OpenRouter's Responses endpoint")
    body["input"] = to_input_items(payload.get("messages") or [], omitted)
    body.update(_to_limits(payload))
    body["text"] = _to_text(payload)
    body["reasoning"] = _to_reasoning(payload, omitted)
    body["modalities"] = payload.get("modalities")
    if get_dicts(payload, "tools"):
        body["tools"] = [_to_flat_tool(tool, omitted) for tool in payload["tools"]]
    body["tool_choice"] = _to_flat_choice(payload.get("tool_choice"))
    body["store"] = False
    omitted.warn()

    ordered = {name: body.pop(name) for name in wire.RESPONSES_FIELDS if name in body}
    return {name: value for name, value in {**ordered, **body}.items() if value is not None}


def _refuse_unsupported(payload: Mapping[str, Any]) -> None:
    """Refuse fields without an equivalent.

    Raises:
        ValueError: There is one; the error says what to do instead.
    """
    for name, advice in _UNSUPPORTED.items():
        if payload.get(name) is not None:
            msg = f"`{name}` is no field of the Responses endpoint: {advice}, {_ELSEWHERE}"
            raise ValueError(msg)

    if payload.get("n") not in (None, 1):
        msg = (
            f"`n` is no field of the Responses endpoint: call it once for each answer, {_ELSEWHERE}"
        )
        raise ValueError(msg)
    if "audio" in (payload.get("modalities") or ()):
        msg = f"the Responses endpoint answers in text and images: leave out audio, {_ELSEWHERE}"
        raise ValueError(msg)


def _to_limits(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limit of tokens, and how many alternatives of each token are sent."""
    values = [payload.get("max_output_tokens"), *(payload.get(name) for name in _LIMITS)]
    limits = {"max_output_tokens": next((v for v in values if v is not None), None)}

    alternatives = payload.get("top_logprobs")
    if payload.get("logprobs") and not alternatives:
        alternatives = 1  # the endpoint has no field that asks for the tokens' own alone
    return {**limits, "top_logprobs": alternatives}


def _to_text(payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return `text`: the format and the verbosity of the answer."""
    text = dict(get_dict(payload, "text") or {})
    response_format = get_dict(payload, "response_format")

    if response_format is not None:
        schema = get_dict(response_format, "json_schema")
        flat = {"type": response_format.get("type"), **schema} if schema else response_format
        text["format"] = dict(flat)
    if payload.get("verbosity") is not None:
        text["verbosity"] = payload["verbosity"]
    return text or None


def _to_reasoning(payload: Mapping[str, Any], omitted: OmittedBlocks) -> dict[str, Any] | None:
    """Return `reasoning`, which cannot be excluded from the answer here."""
    reasoning = get_dict(payload, "reasoning")
    effort, include = payload.get("reasoning_effort"), payload.get("include_reasoning")
    if reasoning is None and effort is None and include is None:
        return None

    merged = dict(reasoning or {})
    if effort is not None:
        merged.setdefault("effort", effort)
    if merged.pop("exclude", None) or include is False:
        omitted.add("reasoning.exclude")
    return merged or None


def _to_flat_tool(tool: Any, omitted: OmittedBlocks) -> Any:
    """Return a tool, with the fields of its function, or of its custom tool, beside its type."""
    if (custom := _nested(tool, "custom")) is not None:
        return _to_flat_custom_tool(tool, custom)
    function = _nested(tool, "function")
    if function is None:
        return tool

    if tool.get("cache_control") is not None:
        omitted.add("cache_control")
    rest = {
        name: value for name, value in tool.items() if name not in {"function", "cache_control"}
    }
    empty = {"type": "object", "properties": {}}
    return {**rest, **function, "parameters": function.get("parameters") or empty}


def _to_flat_custom_tool(tool: dict[str, Any], custom: dict[str, Any]) -> dict[str, Any]:
    """Return a custom tool of chat completions, whose grammar is nested too."""
    flat = {**{name: value for name, value in tool.items() if name != "custom"}, **custom}
    grammar = _nested(flat.get("format"), "grammar")
    return flat if grammar is None else {**flat, "format": {"type": "grammar", **grammar}}


def _to_flat_choice(choice: Any) -> Any:
    """Return a choice of tools, of one or of several that are allowed."""
    allowed = _nested(choice, "allowed_tools") or choice
    if get_str(choice, "type") == "allowed_tools" and get_list(allowed, "tools") is not None:
        tools = [_to_flat_choice(tool) for tool in allowed["tools"]]
        return {**allowed, "type": "allowed_tools", "tools": tools}
    if (custom := _nested(choice, "custom")) is not None:
        return {"type": "custom", "name": custom.get("name")}

    function = get_dict(choice, "function")
    return choice if function is None else {"type": "function", "name": function.get("name")}


def _nested(value: Any, kind: str) -> dict[str, Any] | None:
    """Return the fields of a value of a type that are in a dict of that name, if they are."""
    return get_dict(value, kind) if get_str(value, "type") == kind else None
