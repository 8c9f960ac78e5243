"""How the body of a response is read: its bytes after decompression, and its headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    import httpx2

__all__ = ["aiter_body", "headers_without_cookies", "iter_body"]


def iter_body(response: httpx2.Response) -> Iterator[bytes]:
    """Return the body's chunks, decompressed, as they come; an open response's are read once."""
    return response.iter_raw() if _is_sent_as_it_is(response) else response.iter_bytes()


def aiter_body(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """Return the body's chunks like `iter_body`."""
    return response.aiter_raw() if _is_sent_as_it_is(response) else response.aiter_bytes()


def _is_sent_as_it_is(response: httpx2.Response) -> bool:
    """Tell whether nothing is to be decompressed, which httpx2 does in a generator of its own."""
    return not response.is_closed and "content-encoding" not in response.headers


def headers_without_cookies(headers: httpx2.Headers) -> dict[str, str]:
    """Return the headers by lower-case name; httpx2 finds out the encoding of each one anew."""
    try:
        pairs = [
            (name.decode("ascii").lower(), value.decode("ascii")) for name, value in headers.raw
        ]
    except UnicodeDecodeError:
        pairs = []

    by_name = dict(pairs)
    if not pairs or len(by_name) < len(pairs):  # httpx2 joins values of one name
        by_name = dict(headers.items())
    by_name.pop("set-cookie", None)
    return by_name
