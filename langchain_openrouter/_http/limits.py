"""Limits on the size of a response: one mutable value for the process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

_MIB = 1024 * 1024


@dataclass(slots=True)
class ResponseLimits:
    """Upper bounds on the size of one response, in bytes after decompression.

    They protect the process's memory against a broken or hostile server, and are far above what
    OpenRouter sends. Change them in place, `response_limits.body = 2**31`; requests in progress
    keep the bounds they started with.
    """

    body: int = 512 * _MIB
    """A body that is no stream: an answer, an error, vectors."""
    event: int = 128 * _MIB
    """One event of a stream, an image inside it included."""
    stream: int = 1024 * _MIB
    """All events of a stream."""
    comments: int = 4 * _MIB
    """What a stream may send between two events: keep-alive comments and blank lines."""


response_limits = ResponseLimits()


class LimitExceededError(Exception):
    """A response is larger than `ResponseLimits` allows; the rest was not read."""


class StackedEncodingError(Exception):
    """A body is compressed more than once, which can turn a few bytes into gigabytes."""


def limit_exceeded(limit: str, size: int) -> LimitExceededError:
    """Return the error that names the bound."""
    return LimitExceededError(
        f"the response exceeds {size} bytes in its {limit}: raise "
        f"`langchain_openrouter.settings.response_limits.{limit}` if this was expected"
    )


def count_bytes(total: int, chunk: bytes, limit: str, size: int) -> int:
    """Return the new total.

    Raises:
        LimitExceededError: It is above the bound.
    """
    total += len(chunk)
    if total > size:
        raise limit_exceeded(limit, size)
    return total


def refuse_stacked_encodings(response: httpx2.Response) -> None:
    """Refuse a body that was compressed twice: 590 bytes can decompress to 857 MiB.

    Raises:
        StackedEncodingError: It has more than one content encoding.
    """
    codings = [
        coding
        for coding in response.headers.get("content-encoding", "").split(",")
        if coding.strip().lower() not in {"", "identity"}
    ]

    if len(codings) > 1:
        msg = "the response is compressed more than once, which is not accepted"
        raise StackedEncodingError(msg)
