"""The usage of a response: tokens and cost, with what the prompt cache saved."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_openrouter.testing.emulator import _catalog

if TYPE_CHECKING:
    from langchain_openrouter.testing.emulator._context import Context
    from langchain_openrouter.testing.emulator._replies import Reply

__all__ = ["count_usage"]

_CACHE_READ_FACTOR = 0.1  # of the prompt's price, where a model has no price of its own
_CACHE_WRITE_FACTORS = {"5m": 1.25, "1h": 2.0}


def count_usage(reply: Reply, context: Context) -> dict[str, Any]:
    """Count a token for every four characters, at the prices of the endpoint."""
    output = (reply.text or "") + "".join(call.text for call in reply.tool_calls)
    reasoning_tokens = len(reply.reasoning or "") // 4
    prompt_tokens = len(json.dumps(context.body.get("messages", ""))) // 4 + 1
    completion_tokens = len(output) // 4 + 1 + reasoning_tokens
    cached_tokens = min(context.cache_use.read, prompt_tokens)
    written_tokens = min(context.cache_use.written, prompt_tokens - cached_tokens)

    prompt_cost = _prompt_cost(context, prompt_tokens, cached_tokens, written_tokens)
    completion_cost = completion_tokens * _catalog.price_of(context.route.endpoint, "completion")
    cost = round(prompt_cost + completion_cost, 10)
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "cost": 0.0 if context.is_byok else cost,
        "is_byok": context.is_byok,
        "prompt_tokens_details": {
            "cached_tokens": cached_tokens,
            "cache_write_tokens": written_tokens,
            "audio_tokens": 0,
            "video_tokens": 0,
        },
        "cost_details": {
            "upstream_inference_cost": cost,
            "upstream_inference_prompt_cost": round(prompt_cost, 10),
            "upstream_inference_completions_cost": round(completion_cost, 10),
        },
        "completion_tokens_details": {
            "reasoning_tokens": reasoning_tokens,
            "image_tokens": 0,
            "audio_tokens": 0,
        },
    }
    return {**usage, **reply.usage}


def _prompt_cost(context: Context, tokens: int, cached: int, written: int) -> float:
    """Return what a prompt costs, USD: cached tokens cost less, those that are cached more."""
    endpoint, lifetime = context.route.endpoint, context.cache_use.lifetime
    price = _catalog.price_of(endpoint, "prompt")
    read_price = _catalog.price_of(endpoint, "input_cache_read", price * _CACHE_READ_FACTOR)
    write_price = price * _CACHE_WRITE_FACTORS[lifetime]
    return (tokens - cached - written) * price + cached * read_price + written * write_price
