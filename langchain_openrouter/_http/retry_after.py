"""Read how long a failed request asks to wait: seconds, or None for what cannot be read."""

from __future__ import annotations

import email.utils
import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_number
from langchain_openrouter.errors import InFlightBudgetError, OpenRouterError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_HEADER_LENGTH = 100  # characters of a Retry-After
_MAX_WAIT = 366 * 86_400.0  # seconds; a longer Retry-After is ignored


@dataclass(slots=True)
class RetryLimits:
    """The longest `Retry-After` that is obeyed, in seconds, by kind of error.

    Where the service asks for a longer wait, the error is raised at once, with its `retry_after`.
    Change the limits in place: `retry_limits.in_flight_budget = 30`.
    """

    default: float = 60.0
    in_flight_budget: float = 120.0
    """Of an `InFlightBudgetError`: the budget is free again when the running requests end."""

    def allows(self, error: OpenRouterError) -> bool:
        """Tell whether the wait that an error asks for is short enough to be obeyed."""
        is_in_flight = isinstance(error, InFlightBudgetError)
        return (error.retry_after or 0) <= (self.in_flight_budget if is_in_flight else self.default)


retry_limits = RetryLimits()


def retry_after_of(
    headers: Mapping[str, str],
    availability: dict[str, Any] | None,
    metadata: dict[str, Any],
    error: dict[str, Any] | None = None,
) -> float | None:
    """Return the seconds to wait: the header's (a number or a date), or the body's."""
    candidates = (
        parse_retry_after(headers.get("retry-after")),
        get_number(availability, "retry_after"),
        get_number(metadata, "retry_after"),
        get_number(metadata, "retry_after_seconds"),
        get_number(error, "retry_after"),
        get_number(error, "retry_after_seconds"),
    )

    for candidate in candidates:
        if candidate is not None and candidate <= _MAX_WAIT:
            return max(0.0, candidate)
    return None


def parse_retry_after(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header; None if it cannot be read."""
    value = (retry_after or "")[:_MAX_HEADER_LENGTH]

    if re.fullmatch(r"-?[0-9.]+(?:e[0-9]+)?", value.strip(), re.ASCII | re.IGNORECASE):
        try:
            seconds = float(value)
        except ValueError:
            return None
        return seconds if math.isfinite(seconds) else None

    try:
        parsed = email.utils.parsedate_tz(value)
        return email.utils.mktime_tz(parsed) - time.time() if parsed else None
    except (ValueError, OverflowError, IndexError, TypeError):  # a date that does not exist
        return None
