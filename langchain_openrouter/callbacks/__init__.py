"""Sum the usage and cost of calls, and set a ceiling for them."""

from __future__ import annotations

from langchain_openrouter.callbacks._cost_limit import CostLimit
from langchain_openrouter.callbacks._totals import UsageKey, UsageTotals
from langchain_openrouter.callbacks._usage import (
    Caller,
    OpenRouterUsage,
    Used,
    get_openrouter_callback,
)

__all__ = [
    "Caller",
    "CostLimit",
    "OpenRouterUsage",
    "UsageKey",
    "UsageTotals",
    "Used",
    "get_openrouter_callback",
]
