"""Arguments of the constructor -> fields: synonyms, settings, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_openrouter import wire
from langchain_openrouter._http.api_key import refuse_management_key, to_secret
from langchain_openrouter._http.deadlines import validate_deadline
from langchain_openrouter._http.timeouts import validate_timeout
from langchain_openrouter._http.urls import validate_base_url
from langchain_openrouter.chat_models._private_arguments import move_private_model_kwargs
from langchain_openrouter.chat_models._request import FIELD_NAMES
from langchain_openrouter.chat_models._responses_request import NEEDS_STORAGE
from langchain_openrouter.settings import (
    EnvironmentUrl,
    OpenRouterSettings,
    resolve_settings,
    unknown_argument_message,
)

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

API_KEY_FIELD = "openai_api_key"

# Further names of arguments -> fields.
_SYNONYMS = {
    "openrouter_api_key": "openai_api_key",
    "openrouter_api_base": "openai_api_base",
    "provider": "openrouter_provider",
    "stop_sequences": "stop",
}
# Fields of `OpenRouterSettings` -> fields of the model.
_SETTINGS = {
    "api_key": "openai_api_key",
    "base_url": "openai_api_base",
    "timeout": "request_timeout",
    "max_retries": "max_retries",
    "app_url": "app_url",
    "app_title": "app_title",
    "app_categories": "app_categories",
    "session_id": "session_id",
}
# Fields of the parent that have no effect on OpenRouter: accepted as None or False, refused with
# any other value. Most are class variables of the model, since a field takes memory in every copy.
_UNSUPPORTED = {
    "organization": "OpenRouter has no organizations on the wire",
    "openai_organization": "OpenRouter has no organizations on the wire",
    "openai_proxy": "set HTTPS_PROXY, or pass `http_client=` and `http_async_client=`",
    "http_socket_options": "pass `http_client=` and `http_async_client=`",
    "tiktoken_model_name": "tokens are counted approximately, with no tokenizer",
    "stream_chunk_timeout": "every byte restarts `timeout=`; `deadline=` limits the total",
    "include": "it belongs to the Responses endpoint: pass it with a call, or bind it",
    "truncation": "it belongs to the Responses endpoint: pass it with a call, or bind it",
    "context_management": "OpenRouter has no such field: see `truncation` and `plugins`",
    **NEEDS_STORAGE,
}

# Fields of the body that no model sets.
_OF_EACH_CALL = {"messages", "prompt", "stream"}
# Arguments of the constructor that `model_copy(update=...)` accepts too -> fields.
FIELDS_OF_COPY = {
    "api_key": "openai_api_key",
    "openrouter_api_key": "openai_api_key",
    "base_url": "openai_api_base",
    "openrouter_api_base": "openai_api_base",
}


def resolve_arguments(values: dict[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Return the values of fields, from arguments and from settings.

    Args:
        values: The arguments of the constructor.
        fields: The fields of the model.

    Raises:
        ValueError: An argument is not known, or has no effect on OpenRouter.
    """
    by_field = _by_field(values, fields)
    if by_field.get(API_KEY_FIELD) is None and API_KEY_FIELD not in values:
        by_field.pop(API_KEY_FIELD, None)  # `api_key=None` leaves it to the environment
    if by_field.get("openai_api_base") is None:
        by_field.pop("openai_api_base", None)

    by_field = move_private_model_kwargs(by_field)
    _check_model_kwargs(by_field, {*fields, *_SYNONYMS, *_SETTINGS, "settings"})
    return resolve_settings(by_field, _SETTINGS)


def _check_model_kwargs(values: Mapping[str, Any], arguments: set[str]) -> None:
    """Refuse names in `model_kwargs` that are arguments of the model, or are set twice.

    Args:
        values: The values of fields.
        arguments: The names of arguments.

    Raises:
        ValueError: There is such a name.
    """
    extra = values.get("model_kwargs")
    for name in extra if isinstance(extra, Mapping) else ():
        field = str(FIELD_NAMES.get(name, name))
        if name in _OF_EACH_CALL:
            msg = f"model_kwargs[{name!r}] is not accepted: it is part of each call"
        elif name not in wire.REQUEST_FIELDS:
            if name not in arguments:
                continue
            msg = f"model_kwargs[{name!r}] is an argument, not a field of the API: pass `{name}=`"
        elif name != "provider" and values.get(field) is not None:
            msg = f"`{field}` is set twice: as an argument and in `model_kwargs`; leave one out"
        else:
            continue

        raise ValueError(msg)


def settings_of(model: Any) -> OpenRouterSettings:
    """Return the settings of a model; the key only if it is no callable."""
    values = {name: getattr(model, field) for name, field in _SETTINGS.items()}
    if callable(values["api_key"]):
        values["api_key"] = None
    return OpenRouterSettings.model_construct(**values)


def _by_field(values: dict[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Return the arguments by the names of their fields, with the key as a secret."""
    by_alias = {field.alias or name: name for name, field in fields.items()}
    known = {*by_alias, *fields, *_SYNONYMS, *_UNSUPPORTED, "settings"}
    by_field: dict[str, Any] = {}
    for argument, value in values.items():
        if argument not in known:
            raise ValueError(unknown_argument_message(argument, known))

        name = _SYNONYMS.get(argument, by_alias.get(argument, argument))
        if value is not None and by_field.get(name) is not None:
            msg = f"`{argument}` and another argument for `{name}` are both set: pass one of them"
            raise ValueError(msg)
        if name not in _UNSUPPORTED:
            by_field[name] = _to_api_key(value) if name == API_KEY_FIELD else value
        elif value not in (None, False):
            msg = f"`{name}` is not an argument of ChatOpenRouter: {_UNSUPPORTED[name]}"
            raise ValueError(msg)
    return by_field


def validate_field(name: str, value: Any) -> Any:
    """Return the value of a field that is assigned or copied in, as the constructor would set it.

    Raises:
        ValueError: The constructor would refuse it.
    """
    if name == API_KEY_FIELD:
        return _to_api_key(value)
    if name == "openai_api_base" and isinstance(value, str) and type(value) is not EnvironmentUrl:
        return validate_base_url(value)
    if name == "request_timeout":
        return validate_timeout(value)

    if name == "deadline":
        return validate_deadline(value)
    return value


def _to_api_key(key: Any) -> Any:
    refuse_management_key(key)
    return to_secret(key)
