"""Agents for many users, and what they may spend. Needs the extra `agents`."""

from __future__ import annotations

from langchain_openrouter._extras import naming_extra

with naming_extra("`langchain_openrouter.middleware`", "agents"):
    from langchain_openrouter.middleware._cost_limit import CostLimit
    from langchain_openrouter.middleware._per_user_model import PerUserModel

__all__ = ["CostLimit", "PerUserModel"]
