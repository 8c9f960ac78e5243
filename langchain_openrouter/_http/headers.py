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


_CREDENTIALS = {"authorization", "cookie", "cookie2"}
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
            for known in [known for known in headers if known.lower() == name.lower()]:
                del headers[known]
            headers[name] = encode_header(name, value or "")
    return headers


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
