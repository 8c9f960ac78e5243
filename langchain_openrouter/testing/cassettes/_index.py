"""Which recorded requests match, found by key: each body is read once, not for each exchange.

vcrpy compares a request with every recorded one, and does so three times for an exchange: with
JSON bodies, 30 ms an exchange of 300, and four times that of 1,000. What matches is the same here,
see `_filters`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_openrouter.testing.cassettes._mismatch import pretty, to_bytes
from langchain_openrouter.testing.cassettes._scrubbing import normalize_placeholders

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BodyDigests", "RequestIndex", "normalized_query"]


class BodyDigests:
    """Digests of bodies, equal for equal JSON; each body is read once, and none is kept."""

    def __init__(self) -> None:
        self._by_raw: dict[bytes, bytes] = {}

    def __call__(self, body: Any) -> bytes:
        """Return the digest of a body's JSON in the order of its keys, or of its bytes."""
        data = to_bytes(body)
        raw = hashlib.sha256(data).digest()
        digest = self._by_raw.get(raw)

        if digest is None:
            text = pretty(data).encode("utf-8", "surrogatepass")
            digest = self._by_raw[raw] = hashlib.sha256(text).digest()
        return digest


class RequestIndex:
    """The positions of a cassette's requests, by what is matched.

    Args:
        cassette: vcrpy's; requests that are recorded later are found as well.
        digests: Of bodies.
    """

    def __init__(self, cassette: Any, digests: BodyDigests) -> None:
        self._cassette = cassette
        self._digests = digests
        self._positions: dict[Any, list[int]] = {}
        self._indexed = 0

    def install(self) -> None:
        """Let the cassette find its responses here, in place of `Cassette._responses` of vcrpy."""
        self._cassette._responses = self.responses  # noqa: SLF001 - vcrpy has no other way

    def responses(self, request: Any) -> Iterator[tuple[int, Any]]:
        """Yield the position and the response of each recorded request that matches, in order."""
        data = self._cassette.data
        for position in range(self._indexed, len(data)):
            key = self._key(data[position][0])
            self._positions.setdefault(key, []).append(position)
        self._indexed = len(data)

        request = self._cassette.filter_request(request)
        for position in self._positions.get(self._key(request), ()):
            yield position, data[position][1]

    def _key(self, request: Any) -> tuple[Any, ...]:
        return (
            request.method,
            request.scheme,
            request.host,
            request.port,
            request.path or "/",
            normalized_query(request),
            self._digests(request.body),
        )


def normalized_query(request: Any) -> bytes:
    """Return the query of a request, whatever the order in which its secrets were seen."""
    return normalize_placeholders(urlsplit(request.uri).query.encode())
