"""Convert and validate the argument `timeout=`."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Any

import httpx2

CONNECT_TIMEOUT = 10.0  # seconds
_HOUR = 3600.0
_PHASES = ("connect", "read", "write", "pool")
_PAIR = 2


def to_httpx_timeout(timeout: Any) -> httpx2.Timeout:
    """Return httpx2's timeouts: a number is the idle time in seconds, restarted by any byte.

    Args:
        timeout: Seconds; a pair (connect, idle); a `Timeout` of httpx2 or of httpx; None waits
            without limit once connected.

    Raises:
        ValueError: It is none of these, or not above 0.
    """
    if isinstance(timeout, httpx2.Timeout):
        return timeout
    if all(hasattr(timeout, phase) for phase in _PHASES):  # the Timeout of httpx
        return httpx2.Timeout(**{phase: getattr(timeout, phase) for phase in _PHASES})

    if isinstance(timeout, tuple | list):
        if len(timeout) != _PAIR:
            msg = "timeout must be seconds, or a pair of seconds (connect, idle)"
            raise ValueError(msg)
        connect, idle = (None if value is None else _to_seconds(value) for value in timeout)
        return httpx2.Timeout(idle, connect=connect)

    if timeout is None:
        return httpx2.Timeout(None, connect=CONNECT_TIMEOUT)
    return _idle_timeout(_to_seconds(timeout))


@lru_cache(maxsize=64)
def _idle_timeout(seconds: float) -> httpx2.Timeout:
    return httpx2.Timeout(seconds, connect=min(CONNECT_TIMEOUT, seconds))


def validate_timeout(timeout: Any) -> Any:
    """Return the timeout unchanged; warn if it looks like milliseconds.

    Raises:
        ValueError: As `to_httpx_timeout`.
    """
    to_httpx_timeout(timeout)

    if isinstance(timeout, int | float) and timeout > _HOUR:
        warnings.warn(
            f"timeout={timeout:g} is over an hour: timeouts are in seconds here, and in "
            "milliseconds in LangChain's own langchain-openrouter",
            UserWarning,
            stacklevel=2,
        )

    return timeout


def _to_seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"timeout must be a number of seconds, not {type(value).__name__}"
        raise ValueError(msg)  # noqa: TRY004 - pydantic reports ValueErrors
    if not 0 < value < math.inf:
        msg = "timeout must be more than 0 seconds and finite; None waits without end"
        raise ValueError(msg)
    return float(value)
