"""What rows that were paid for together cost each: shares that add up to the whole."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIGITS = 15  # significant decimal digits that a float holds


def split_cost(total: float, weights: Sequence[float]) -> list[float]:
    """Return shares of a cost whose decimals add up to it, to its 15th significant digit.

    Args:
        total: USD, not negative.
        weights: One for each share, not negative; equal shares where all are zero.
    """
    bill = to_decimal(total)
    if not bill.is_finite() or not bill:
        return [total for _ in weights]
    unit = Decimal(1).scaleb(bill.adjusted() - _DIGITS + 1)
    units = int((bill / unit).to_integral_value(ROUND_HALF_EVEN))
    return [float(share * unit) for share in split_count(units, weights)]


def split_count(total: int, weights: Sequence[float]) -> list[int]:
    """Return whole shares of a number that add up to it, as `split_cost`."""
    exact = [Fraction(weight) for weight in weights]
    if not sum(exact):
        exact = [Fraction(1) for _ in weights]
    weight_sum = sum(exact)

    parts = [divmod(total * weight, weight_sum) for weight in exact]
    shares = [int(share) for share, _ in parts]
    largest = sorted(range(len(parts)), key=lambda i: parts[i][1], reverse=True)
    for position in largest[: total - sum(shares)]:
        shares[position] += 1
    return shares


def to_decimal(cost: float) -> Decimal:
    """Return a cost with the digits that it is shown with."""
    return Decimal(repr(cost))
