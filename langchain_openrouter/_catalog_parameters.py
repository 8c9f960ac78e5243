"""Which parameters of a call no endpoint of its model supports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_str

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_openrouter._catalog_types import ModelEndpoint
    from langchain_openrouter.chat_models import ChatOpenRouter

# Fields of a request that no endpoint lists as a parameter: OpenRouter handles them itself.
_ROUTING_FIELDS = frozenset(
    [
        "prompt_caching",
        "response_cache",
        "router_metadata",
        "model",
        "models",
        "preset",
        "messages",
        "stream",
        "stream_options",
        "usage",
        "provider",
        "route",
        "plugins",
        "session_id",
        "user",
        "metadata",
        "trace",
        "debug",
        "service_tier",
        "speed",
        "cache_control",
        "prompt_cache_key",
        "prompt_cache_options",
        "modalities",
        "image_config",
        "audio",
        "max_tool_calls",
        "stop_server_tools_when",
        "deferred_tools",
        "x_search_filter",
        "n",
    ]
)
_PARAMETER_ALIASES = {
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_completion_tokens",
    "reasoning_effort": "reasoning",
}


def unsupported_of(
    model: ChatOpenRouter, call: Mapping[str, Any], endpoints: Sequence[ModelEndpoint]
) -> list[str]:
    """Return the names of set parameters that no endpoint supports."""
    supported = {name for endpoint in endpoints for name in endpoint.supported_parameters}
    params = {**model._default_params, **call}  # noqa: SLF001 - by wire name, as it is sent
    if get_str(get_dict(params, "response_format"), "type") == "json_schema":
        params["structured_outputs"] = True

    return [
        name
        for name, value in params.items()
        if value is not None
        and name not in _ROUTING_FIELDS
        and not {name, _PARAMETER_ALIASES.get(name, name)} & supported
    ]
