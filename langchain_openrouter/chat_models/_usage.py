"""The `usage` of a response -> LangChain's token counts; the sum of several, in tokens and USD.

See https://openrouter.ai/docs/use-cases/usage-accounting.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from langchain_openrouter._json import get_dict, get_int


def to_usage_metadata(usage: Any) -> UsageMetadata | None:
    """Return LangChain's standard counts of tokens, or None if there are none.

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
    return standard


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
