"""What a key must be able to pay before a request runs: the three kinds of 402.

The balance or the request's own estimate, the key's limit, and the budget that the requests hold
while they run. See https://openrouter.ai/docs/api-reference/limits.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_int
from langchain_openrouter.testing.emulator import _catalog
from langchain_openrouter.testing.emulator._accounts import ApiRefusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_openrouter.testing.emulator._accounts import Accounts, Key

__all__ = ["Hold", "Payments"]

_TOP_UP = "https://openrouter.ai/settings/credits"
_NO_CREDITS = f"Insufficient credits. Add more using {_TOP_UP}"
_KEY_LIMIT = "Key limit exceeded ({} limit). Manage it in your settings"
_TOKENS_HELD = 16384  # by a request without `max_tokens`


class Hold:
    """What a running request holds of a key's budget, until it is released."""

    def __init__(self, key: Key, amount: float, lock: threading.Lock) -> None:
        self._key, self._amount, self._lock = key, amount, lock

    def release(self) -> None:
        """Give the budget back; a second time does nothing."""
        with self._lock:
            self._key.held = max(0.0, round(self._key.held - self._amount, 12))
            self._amount = 0.0


class Payments:
    """Checks that keys can pay, and holds their budget for the requests that run.

    Args:
        accounts: Whose clock and keys.
        retry_after: Seconds, sent as Retry-After while running requests hold the budget.
    """

    def __init__(self, accounts: Accounts, retry_after: float = 1.0) -> None:
        self._accounts = accounts
        self.retry_after = retry_after
        self._lock = threading.Lock()

    def require_credit(self, key: Key) -> None:
        """Check that a key can pay for anything.

        Raises:
            ApiRefusal: The account has no credits left, or a limit or a budget is reached.
        """
        if key.credits is not None and key.credits <= 0:
            raise _refusal(_NO_CREDITS, "openrouter_credits", None)
        if key.limit is not None and key.spent_of_limit >= key.limit:
            reset = {"limit_reset": key.limit_reset}
            message = _KEY_LIMIT.format(key.limit_reset or "total")
            raise _refusal(message, "openrouter_key_limit", None, **reset)

        for budget in self._accounts.budgets_of(key):
            if budget["remaining_usd"] <= 0:
                scope = str(budget["scope"]).replace("_", " ")
                raise ApiRefusal(403, f"The budget for this {scope} is exhausted")

    def hold(self, key: Key, body: Mapping[str, Any], endpoint: Mapping[str, Any]) -> Hold:
        """Hold what a request may cost at most, until the caller releases it.

        Raises:
            ApiRefusal: It may cost more than the whole budget, or than running requests leave.
        """
        limits = [value for value in (key.in_flight_budget, key.credits) if value is not None]
        price = _catalog.price_of(endpoint, "completion")
        tokens = get_int(body, "max_completion_tokens") or get_int(body, "max_tokens")
        tokens = _TOKENS_HELD if tokens is None else tokens
        prompt_cost = (
            len(json.dumps(body.get("messages", ""))) // 4 * _catalog.price_of(endpoint, "prompt")
        )
        amount = prompt_cost + tokens * price
        if limits and amount > min(limits):
            affordable = max(0, int((min(limits) - prompt_cost) / price)) if price else 0
            raise _unaffordable(tokens, affordable)

        with self._lock:
            if key.in_flight_budget is not None and key.held + amount > key.in_flight_budget:
                raise self._in_flight()
            key.held += amount
        return Hold(key, amount, self._lock)

    def _in_flight(self) -> ApiRefusal:
        refusal = _refusal(
            "Your running requests hold the budget of this account. Wait and try again",
            "openrouter_in_flight_budget",
            "in_flight_budget_exhausted",
            remedy_hint="Wait for running requests to end, or set a lower max_tokens",
        )

        refusal.headers["retry-after"] = f"{self.retry_after:g}"
        return refusal


def _unaffordable(tokens: int, affordable: int) -> ApiRefusal:
    return _refusal(
        "This request requires more credits, or fewer max_tokens. You requested up to "
        f"{tokens} tokens, but can only afford {affordable}. To increase, visit {_TOP_UP}",
        "openrouter_credits",
        "weight_exceeds_budget",
        remedy_hint="Set a lower max_tokens, shorten the prompt, or add credits",
    )


def _refusal(message: str, limit_source: str, reason: str | None, **fields: Any) -> ApiRefusal:
    metadata = {"error_type": "payment_required", "limit_source": limit_source}
    if reason is not None:
        metadata["reason"] = reason
    return ApiRefusal(402, message, metadata={**metadata, **fields})
