"""Build the headers of a request: attribution and the user's own, validated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def encode_header(name: str, value: str) -> str:
    """Return the value as ASCII, other characters percent-encoded as UTF-8.

    Raises:
        ValueError: The name is not valid, or the value holds a control character, which could
            start another header.
    """
    value = value.strip()

    if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII):
        msg = f"{name!r} is no name for a header"
        raise ValueError(msg)
    if any(char < " " or char == "\x7f" for char in value):
        msg = f"header {name} must not hold control characters"
        raise ValueError(msg)

    return "".join(char if char.isascii() else quote(char) for char in value)


# Headers that OpenRouter reads under two names: only one is sent.
_FORMER_NAMES = {
    "x-title": "x-openrouter-title",
    "x-openrouter-experimental-metadata": "x-openrouter-metadata",
}
_CREDENTIALS = {"authorization", "cookie", "cookie2"}
_MAX_CACHE_TTL = 86400  # seconds
# Hop-by-hop and framing headers: a wrong one desynchronizes a shared connection. RFC 9110, 7.6.
_CONNECTION_HEADERS = {
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


def request_headers(
    app_url: str | None,
    app_title: str | None,
    app_categories: Sequence[str] | None,
    *users: Mapping[str, str] | None,
) -> dict[str, str]:
    """Return attribution and user headers; a later one replaces one of the same name in any case.

    `X-Title` is a former name of `X-OpenRouter-Title`, and replaces it too.

    Raises:
        ValueError: A header is not valid, holds credentials, or belongs to the HTTP client.

    See https://openrouter.ai/docs/app-attribution.
    """
    attribution = {
        "HTTP-Referer": app_url,
        "X-OpenRouter-Title": app_title,
        "X-OpenRouter-Categories": ",".join(app_categories or ()),
    }
    headers = {name: encode_header(name, value) for name, value in attribution.items() if value}

    for source in users:
        for name, value in (source or {}).items():
            _validate_name(name)
            for known in [known for known in headers if _canonical(known) == _canonical(name)]:
                del headers[known]
            headers[name] = encode_header(name, value or "")
    return headers


def feature_headers(
    *, response_cache: bool | int | None, router_metadata: bool | None
) -> dict[str, str]:
    """Return the headers that turn on features of OpenRouter.

    Args:
        response_cache: Whether an identical request may be answered from OpenRouter's cache; a
            number is how many seconds an answer is kept.
        router_metadata: Whether the answer says how the request was routed.

    Raises:
        ValueError: `response_cache` is a number that is not between 1 and 86400.

    See https://openrouter.ai/docs/features/response-caching and
    https://openrouter.ai/docs/features/router-metadata.
    """
    headers: dict[str, str] = {}
    if response_cache is not None:
        headers["X-OpenRouter-Cache"] = "true" if response_cache else "false"

    if response_cache is not None and not isinstance(response_cache, bool):
        if not 1 <= response_cache <= _MAX_CACHE_TTL:
            msg = f"`response_cache` must be True, False, or 1 to {_MAX_CACHE_TTL} seconds"
            raise ValueError(msg)
        headers["X-OpenRouter-Cache-TTL"] = str(response_cache)

    if router_metadata is not None:
        headers["X-OpenRouter-Metadata"] = "enabled" if router_metadata else "disabled"
    return headers


def _canonical(name: str) -> str:
    """Return a header's name in lower case, the present one for a former name."""
    return _FORMER_NAMES.get(name.lower(), name.lower())


def _validate_name(name: str) -> None:
    """Refuse headers that only this package or the HTTP client may set.

    Raises:
        ValueError: The name is one of theirs.
    """
    if name.lower() in _CREDENTIALS:
        msg = f"header {name} is not accepted: pass the key as `api_key=`"
        raise ValueError(msg)
    if name.lower() in _CONNECTION_HEADERS:
        msg = f"header {name} is not accepted: the HTTP client sets it"
        raise ValueError(msg)
