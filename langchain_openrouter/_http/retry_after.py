"""Read how long a failed request asks to wait: seconds, or None for what cannot be read."""

from __future__ import annotations

import email.utils
import math
import time
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_number

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_HEADER_LENGTH = 100  # characters of a Retry-After
_MAX_WAIT = 366 * 86_400.0  # seconds; a longer Retry-After is ignored


def retry_after_of(
    headers: Mapping[str, str],
    availability: dict[str, Any] | None,
    metadata: dict[str, Any],
) -> float | None:
    """Return the seconds to wait: the header's (a number or a date), or the body's."""
    candidates = (
        parse_retry_after(headers.get("retry-after")),
        get_number(availability, "retry_after"),
        get_number(metadata, "retry_after"),
        get_number(metadata, "retry_after_seconds"),
    )

    for candidate in candidates:
        if candidate is not None and candidate <= _MAX_WAIT:
            return max(0.0, candidate)
    return None


def parse_retry_after(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header; None if it cannot be read."""
    value = (retry_after or "")[:_MAX_HEADER_LENGTH]

    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return seconds if math.isfinite(seconds) else None

    try:
        parsed = email.utils.parsedate_tz(value)
        return email.utils.mktime_tz(parsed) - time.time() if parsed else None
    except (ValueError, OverflowError, IndexError, TypeError):  # a date that does not exist
        return None
