"""The headers of a request: attribution, the user's own, and which of those are refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def encode_header(name: str, value: str) -> str:
    """Return the value as ASCII, other characters percent-encoded as UTF-8.

    Raises:
        ValueError: The name is none, or the value holds a control character, which would start
            another header.
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
# Of one hop and of the framing: a wrong one desynchronizes a shared connection. RFC 9110, 7.6.
_OF_THE_CONNECTION = {
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
    """Return attribution and user headers; the user's win, whatever their case.

    Raises:
        ValueError: A header is not sendable, or would carry a key past `api_key`.

    See https://openrouter.ai/docs/app-attribution.
    """
    headers: dict[str, str] = {}
    ours = {
        "HTTP-Referer": app_url,
        "X-OpenRouter-Title": app_title,
        "X-OpenRouter-Categories": ",".join(app_categories or ()),
    }
    for source in (ours, *users):
        for name, value in (source or {}).items():
            if not value and source is ours:
                continue
            if name.lower() in _CREDENTIALS:
                msg = f"header {name} is not accepted: pass the key as `api_key=`"
                raise ValueError(msg)
            if name.lower() in _OF_THE_CONNECTION:
                msg = f"header {name} is not accepted: the HTTP client sets it"
                raise ValueError(msg)
            for known in [known for known in headers if known.lower() == name.lower()]:
                del headers[known]
            headers[name] = encode_header(name, value or "")
    return headers
