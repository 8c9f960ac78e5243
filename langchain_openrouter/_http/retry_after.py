"""How long a failed request asks to wait: whatever was sent, seconds or nothing."""

from __future__ import annotations

import email.utils
import math
import time
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_number

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_DATE = 100  # characters of a Retry-After
_LONGEST_WAIT = 366 * 86_400.0  # seconds; a longer Retry-After is nonsense


def retry_after_of(
    headers: Mapping[str, str],
    availability: dict[str, Any] | None,
    metadata: dict[str, Any],
) -> float | None:
    """Return the seconds to wait: the header's (a number or a date), or the body's."""
    for candidate in (
        seconds_of(headers.get("retry-after")),
        get_number(availability, "retry_after"),
        get_number(metadata, "retry_after"),
        get_number(metadata, "retry_after_seconds"),
    ):
        if candidate is not None and candidate <= _LONGEST_WAIT:
            return max(0.0, candidate)
    return None


def seconds_of(retry_after: str | None) -> float | None:
    """Return the seconds that a Retry-After header names; None where it is none."""
    value = (retry_after or "")[:_LONGEST_DATE]
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return seconds if math.isfinite(seconds) else None
    try:
        parsed = email.utils.parsedate_tz(value)
        return email.utils.mktime_tz(parsed) - time.time() if parsed else None
    except (ValueError, OverflowError, IndexError, TypeError):  # no calendar has such a date
        return None
