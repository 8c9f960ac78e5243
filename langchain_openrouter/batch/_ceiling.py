"""What `max_cost` may be."""

from __future__ import annotations

import math
from typing import Any


def validate_max_cost(value: Any) -> float | None:
    """Return a ceiling as a number, USD; None where there is none.

    Raises:
        ValueError: It is no finite number, or below 0.
    """
    if value is None:
        return None

    is_text = isinstance(value, str | bytes | bool)
    try:
        number = math.nan if is_text else float(value)  # a Decimal, a number of numpy
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number < 0:
        msg = f"max_cost must be a number of USD, at least 0, not {value!r}"[:200]
        raise ValueError(msg)
    return number
