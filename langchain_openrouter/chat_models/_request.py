"""The body of a request: the model's fields, a call's, the messages; a pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_openrouter import wire
from langchain_openrouter._json import get_dicts
from langchain_openrouter.chat_models._messages import to_wire_messages
from langchain_openrouter.chat_models._private_arguments import PRIVATE_KWARGS
from langchain_openrouter.chat_models._tools import to_wire_tool
from langchain_openrouter.settings import unknown_argument_message

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

WIRE_NAMES = {
    "model_name": "model",
    "openrouter_provider": "provider",
    "request_metadata": "metadata",
    "stop_sequences": "stop",
}
"""Our words for fields of the wire, where they differ."""
FIELD_NAMES = {
    "model": "model_name",
    "provider": "openrouter_provider",
    "metadata": "request_metadata",
}
"""The model's fields for fields of the wire, where they differ."""

# Arguments of a call that do not travel in the body.
_CALL_ONLY = {
    "extra_headers",
    "extra_query",
    "extra_body",
    "timeout",
    "max_retries",
    "stream_usage",
    "ls_structured_output_format",
}
_NEVER = {"messages", "prompt"}
_PRIVACY = {"zdr": True, "enforce_distillable_text": True, "data_collection": "deny"}


def build_payload(
    params: Mapping[str, Any],
    call: Mapping[str, Any],
    messages: Sequence[BaseMessage],
    *,
    extras: Sequence[Mapping[str, Any] | None] = (),
    extra_fields: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the body: absent means absent, never null; the order is always the same.

    Args:
        params: The model's own fields, by wire name.
        call: The call's arguments; None takes a field away, `provider` is merged key by key.
        messages: The conversation.
        extras: Merged in last, unchecked.
        extra_fields: Names beyond those of the wire that the user vouches for.

    Raises:
        ValueError: An argument is not known, or a message cannot be sent.
    """
    body = dict(params)
    for given, value in call.items():
        if given in _CALL_ONLY:
            continue
        name = WIRE_NAMES.get(given, given)
        if (name not in wire.REQUEST_FIELDS or name in _NEVER) and name not in (extra_fields or {}):
            raise ValueError(unknown_argument_message(name, [*wire.REQUEST_FIELDS, *WIRE_NAMES]))
        body[name] = _merged(name, body.get(name), value)
    for extra in extras:
        body.update({n: _merged(n, body.get(n), v) for n, v in (extra or {}).items()})
    for name in PRIVATE_KWARGS:
        if name in body:
            msg = f"`{name}` is no field of the body: pass it to the call, or bind it"
            raise ValueError(msg)
    pinned = any(plugin.get("pin_model") for plugin in get_dicts(body, "plugins"))
    body["messages"] = to_wire_messages(messages, with_model=pinned)
    ordered = {name: body.pop(name) for name in wire.REQUEST_FIELDS if name in body}
    return {name: value for name, value in {**ordered, **body}.items() if value is not None}


def merge_provider(base: Any, update: Any) -> Any:
    """Return provider preferences merged key by key; privacy only ever tightens.

    `zdr` and `enforce_distillable_text` stay true and `data_collection` stays "deny" once any of
    the places that set preferences has asked for it; providers to ignore add up. All else: the
    later value wins, as `only`, `order` and `sort` choose within what may serve.

    See https://openrouter.ai/docs/features/provider-routing.
    """
    base = base if isinstance(base, Mapping) else {}
    kept = {name: base[name] for name, strict in _PRIVACY.items() if base.get(name) == strict}
    if update is None:
        return kept or None
    if not isinstance(update, Mapping):
        return update
    merged = {**base, **update, **kept}
    if base.get("ignore") and "ignore" in update:
        merged["ignore"] = list(dict.fromkeys([*base["ignore"], *(update["ignore"] or ())]))
    return merged


def _merged(name: str, ours: Any, value: Any) -> Any:
    """Return what a call's value makes of the model's."""
    if name == "provider":
        return merge_provider(ours, value)
    if name == "tools" and value is not None:
        return [to_wire_tool(tool) for tool in value] or None  # an empty list is refused
    return value
