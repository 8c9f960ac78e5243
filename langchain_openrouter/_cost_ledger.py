"""What a run may spend and has spent: the arithmetic of a cost ceiling, as a value.

Amounts are decimal fractions of a USD: the sum of the costs that the service sent has their last
digit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_openrouter._json import get_dict, get_int, get_number, get_str, parse_json

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["CallSize", "Decision", "LedgerState", "ModelRate", "Reservation", "to_decimal"]

Decision = Literal["begin", "wait", "reached", "too_expensive"]
_ZERO = Decimal(0)
_FREE_CALLS = 3  # after so many calls without a cost a model counts as free
_USUAL_CALLS = 5  # calls of a model by which the cost of others can be told from their size
_DAY = 86_400.0  # seconds


def to_decimal(cost: float | str | None) -> Decimal:
    """Return an amount in USD as written on the wire; none is 0."""
    return _ZERO if cost is None else Decimal(str(cost))


@dataclass(slots=True)
class Reservation:
    """What a running call may cost."""

    amount: Decimal | None
    """USD; None if nothing is known of its model: it may take all that is left."""
    expires_at: float | None = None
    """Seconds since the epoch after which it no longer counts, its process having died."""


class CallSize(NamedTuple):
    """How large a call is, in tokens; roughly."""

    prompt: int = 1
    """1 or more."""
    output: int = 0
    """How many it may write."""

    @property
    def total(self) -> int:
        """Both."""
        return self.prompt + self.output


@dataclass(slots=True)
class ModelRate:
    """What the calls of a model have cost for their size."""

    highest: Decimal = _ZERO
    """USD for each token that a call sends or may write."""
    per_prompt_token: Decimal = _ZERO
    """USD for each token that it sends: counts while few calls are known."""
    calls: int = 0
    most: Decimal = _ZERO
    """The highest cost of one call, USD."""

    @property
    def is_known(self) -> bool:
        """Whether a next call can be foreseen: one free call may have been an exception."""
        return self.highest > 0 or self.calls >= _FREE_CALLS

    def add(self, cost: Decimal, size: CallSize) -> None:
        """Add what a call has cost."""
        self.highest = max(self.highest, cost / size.total)
        self.per_prompt_token = max(self.per_prompt_token, cost / size.prompt)
        self.most = max(self.most, cost)
        self.calls += 1

    def expected(self, size: CallSize) -> Decimal:
        """Return what a call of this size is expected to cost, USD."""
        cost = max(self.most, self.highest * size.total)
        return (
            cost if self.calls >= _USUAL_CALLS else max(cost, self.per_prompt_token * size.prompt)
        )


@dataclass(slots=True)
class LedgerState:
    """The state of one ceiling. Its methods compute; who keeps it locks it."""

    requests: dict[str, int] = field(default_factory=dict)
    """How many calls have been counted, by model."""
    costs: dict[str, Decimal] = field(default_factory=dict)
    """What they cost, by the model that served them."""
    rates: dict[str, ModelRate] = field(default_factory=dict)
    """By the model that was requested."""
    running: dict[str, Reservation] = field(default_factory=dict)

    @property
    def spent(self) -> Decimal:
        """USD, of the calls whose cost is known."""
        return sum(self.costs.values(), _ZERO)

    def expected(self, model: str, size: CallSize) -> Decimal | None:
        """Return what a call is expected to cost, USD; None if nothing is known of its model."""
        rate = self.rates.get(model)
        return rate.expected(size) if rate is not None and rate.is_known else None

    def begin(  # noqa: PLR0913 - what is known of a call
        self,
        call_id: str,
        model: str,
        *,
        max_cost: Decimal,
        size: CallSize,
        estimate: Decimal | None = None,
        ignoring: Collection[str] = (),
        expires_at: float | None = None,
    ) -> Decision:
        """Reserve what a call may cost, if it may begin now.

        Args:
            call_id: Names the call.
            model: The requested model.
            max_cost: The ceiling.
            size: How large the call is.
            estimate: What the call may cost; a call whose estimate does not fit is refused. None
                reserves what calls of the model have cost for their size.
            ignoring: Ids of running calls that cannot be waited for.
            expires_at: Until when the reservation counts.

        Returns:
            "wait" where calls that are running may use up the rest: ask again when one has ended.
        """
        left = max_cost - self.spent
        if left <= 0:
            return "reached"
        if estimate is not None and estimate > left:
            return "too_expensive"

        amounts = [item.amount for name, item in self.running.items() if name not in ignoring]
        if None in amounts:
            return "wait"
        reserved = sum((amount for amount in amounts if amount is not None), _ZERO)
        if reserved >= left or (estimate is not None and reserved + estimate > left):
            return "wait"

        amount = self.expected(model, size) if estimate is None else estimate
        self.running[call_id] = Reservation(amount, expires_at)
        return "begin"

    def end(  # noqa: PLR0913 - what is known of a call
        self,
        call_id: str,
        *,
        requested: str,
        served: str,
        size: CallSize,
        cost: Decimal | None,
        is_open: bool,
    ) -> None:
        """Count a call that has ended; a second time does nothing.

        Args:
            call_id: As for `begin`.
            requested: The requested model.
            served: The model that served the call.
            size: As for `begin`.
            cost: USD; None where it is not known.
            is_open: Whether an unknown cost will be known later, by another `end`.
        """
        if self.running.pop(call_id, None) is None:
            return
        if cost is None:
            if is_open:  # a service that never says a cost counts as free, as `_FREE_CALLS` has it
                self.running[call_id] = Reservation(_ZERO)
                self.rates.setdefault(requested, ModelRate()).calls += 1
            return

        self.requests[served] = self.requests.get(served, 0) + 1
        self.costs[served] = self.costs.get(served, _ZERO) + cost
        self.rates.setdefault(requested, ModelRate()).add(cost, size)

    def release(self, call_ids: Collection[str]) -> None:
        """Let these calls hold nothing any more, though they have not ended."""
        for call_id in call_ids:
            if call_id in self.running:
                self.running[call_id].amount = _ZERO

    def expire(self, now: float) -> None:
        """Let calls of processes that have died hold nothing any more; after a day, forget them."""
        for call_id, item in list(self.running.items()):
            if item.expires_at is None or item.expires_at >= now:
                continue
            if item.amount == _ZERO:
                del self.running[call_id]
            else:
                item.amount, item.expires_at = _ZERO, now + _DAY

    # --- in a shared store ----------------------------------------------------------------

    def to_json(self) -> bytes:
        """Return the state as JSON; amounts are strings, which lose no digit."""
        running = {
            name: [None if item.amount is None else str(item.amount), item.expires_at]
            for name, item in self.running.items()
        }

        fields = {
            "requests": self.requests,
            "costs": {model: str(cost) for model, cost in self.costs.items()},
            "rates": {
                name: [str(rate.highest), str(rate.per_prompt_token), rate.calls, str(rate.most)]
                for name, rate in self.rates.items()
            },
            "running": running,
        }
        return json.dumps(fields, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes | None) -> LedgerState:
        """Return the state that `to_json` wrote; None is a new one.

        Raises:
            ValueError: It is none: its amounts would be lost.
        """
        if data is None:
            return cls()
        values: Any = parse_json(data)
        if not isinstance(values, dict) or not isinstance(values.get("costs"), dict):
            msg = "the entry of a cost limit in the store cannot be read"
            raise ValueError(msg)  # noqa: TRY004 - the data is wrong, not its type

        costs, rates = get_dict(values, "costs") or {}, get_dict(values, "rates") or {}
        running = get_dict(values, "running") or {}
        counts = get_dict(values, "requests") or {}
        return cls(
            {model: get_int(counts, model) or 0 for model in counts},
            {model: to_decimal(get_str(costs, model)) for model in costs},
            {model: _to_rate(rates.get(model)) for model in rates},
            {name: _to_reservation(running.get(name)) for name in running},
        )


def _to_rate(row: Any) -> ModelRate:
    values = row if isinstance(row, list) and len(row) == 4 else ("0", "0", 0, "0")  # noqa: PLR2004
    highest, per_prompt_token, calls, most = values
    return ModelRate(
        to_decimal(highest), to_decimal(per_prompt_token), int(calls), to_decimal(most)
    )


def _to_reservation(row: Any) -> Reservation:
    amount, expires_at = row if isinstance(row, list) and len(row) == 2 else (None, 0)  # noqa: PLR2004
    return Reservation(
        None if amount is None else to_decimal(amount), get_number({"at": expires_at}, "at")
    )
