"""The `usage` of a response -> LangChain's token counts; the sum of several, in tokens and USD.

See https://openrouter.ai/docs/use-cases/usage-accounting.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages.ai import (
    InputTokenDetails,
    OutputTokenDetails,
    UsageMetadata,
    add_usage,
)

from langchain_openrouter._json import get_dict, get_int, get_number

if TYPE_CHECKING:
    from collections.abc import Iterable

_COSTS = {"total_cost", "input_cost", "output_cost"}
_ROUNDING = 1 + 1e-9  # a sum of decimal fractions may exceed them by a bit


def to_usage_metadata(usage: Any) -> UsageMetadata | None:
    """Return LangChain's standard counts of tokens, with the cost, or None if there are none.

    Args:
        usage: The `usage` of a response; all of it is in the metadata too.
    """
    if not isinstance(usage, dict):
        return None

    prompt, completion = get_int(usage, "prompt_tokens"), get_int(usage, "completion_tokens")
    total = get_int(usage, "total_tokens")
    if prompt is None and completion is None and total is None:
        return None

    standard = UsageMetadata(
        input_tokens=prompt or 0,
        output_tokens=completion or 0,
        total_tokens=total if total is not None else (prompt or 0) + (completion or 0),
    )
    inputs = _token_details(
        get_dict(usage, "prompt_tokens_details"),
        audio="audio_tokens",
        cache_read="cached_tokens",
        cache_creation="cache_write_tokens",
    )
    outputs = _token_details(
        get_dict(usage, "completion_tokens_details"),
        audio="audio_tokens",
        reasoning="reasoning_tokens",
    )
    if inputs:
        standard["input_token_details"] = InputTokenDetails(**inputs)  # type: ignore[typeddict-item]
    if outputs:
        standard["output_token_details"] = OutputTokenDetails(**outputs)  # type: ignore[typeddict-item]
    standard.update(_to_costs(usage))  # type: ignore[typeddict-item]
    return standard


def _to_costs(usage: dict[str, Any]) -> dict[str, float]:
    """Return the charged cost in USD, by the names of `langsmith.schemas.UsageMetadata`.

    Prompt and completion are told apart only where OpenRouter charged them: not for a key of the
    user's own (BYOK) and not for a free answer, whose details say what the provider takes.
    """
    cost = get_number(usage, "cost")
    if cost is None:
        return {}

    details = get_dict(usage, "cost_details")
    prompt = get_number(details, "upstream_inference_prompt_cost")
    completion = get_number(details, "upstream_inference_completions_cost")
    if prompt is None or completion is None or usage.get("is_byok") is True:
        return {"total_cost": float(cost)}
    if prompt + completion > cost * _ROUNDING:
        return {"total_cost": float(cost)}
    return {"total_cost": float(cost), "input_cost": prompt, "output_cost": completion}


def tokens_only(usage: Any) -> Any:
    """Return a `usage_metadata` with tokens only; the costs stay in `response_metadata`."""
    if usage is None:
        return None
    return {name: value for name, value in usage.items() if name not in _COSTS}


def is_cached(usage: Any) -> bool:
    """Tell whether a `usage_metadata` is that of an answer of LangChain's cache.

    LangChain sets the total cost to the integer 0 there, and changes nothing else; ours is a float.
    """
    return isinstance(usage, dict) and type(usage.get("total_cost")) is int


def without_costs_of_cached(result: Any) -> Any:
    """Return a result whose cached answers have no costs but the total of 0."""
    for generation in result.generations:
        usage = getattr(generation.message, "usage_metadata", None)
        if is_cached(usage):
            generation.message.usage_metadata = {**(tokens_only(usage) or {}), "total_cost": 0}
    return result


def sum_costs(usages: Iterable[Any]) -> dict[str, float]:
    """Return the sums of the costs of several `usage_metadata`, to the last digit."""
    sums: dict[str, Decimal] = {}
    for usage in usages:
        for name in _COSTS & usage.keys() if usage else ():
            if (cost := get_number(usage, name)) is not None:
                sums[name] = sums.get(name, Decimal(0)) + Decimal(str(cost))
    return {name: float(cost) for name, cost in sums.items()}


def counts_integers(handlers: Iterable[Any]) -> bool:
    """Tell whether LangChain's usage callback is attached, which adds integers only.

    On a cost it raises ValueError, and counts nothing of that call.
    """
    is_listening = any(isinstance(item, UsageMetadataCallbackHandler) for item in handlers)
    return is_listening and not _core_adds_costs()


@cache
def _core_adds_costs() -> bool:
    """Tell whether this langchain-core adds fractions."""
    usage: Any = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "total_cost": 0.5}
    try:
        add_usage(usage, usage)
    except ValueError:
        return False
    return True


def _token_details(source: Any, **wire_names: str) -> dict[str, int]:
    """Return the counts that are present, by LangChain's names."""
    counts = {name: get_int(source, wire_name) for name, wire_name in wire_names.items()}
    return {name: count for name, count in counts.items() if count is not None}


def sum_usage(outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
    """Return the sum of the usage of several results: tokens and USD, at any depth.

    Args:
        outputs: The `llm_output` of each result.
    """
    total: dict[str, Any] = {}
    for output in outputs:
        _add_usage(total, get_dict(output, "token_usage") or {})
    return total


def _add_usage(total: dict[str, Any], usage: dict[str, Any]) -> None:
    for name, value in usage.items():
        if isinstance(value, dict):
            inner = total.setdefault(name, {})
            if isinstance(inner, dict):
                _add_usage(inner, value)
        elif isinstance(value, bool):
            total[name] = bool(total.get(name)) or value  # as `is_byok`
        elif isinstance(value, int | float):
            before = total.get(name)
            total[name] = value + before if isinstance(before, int | float) else value
