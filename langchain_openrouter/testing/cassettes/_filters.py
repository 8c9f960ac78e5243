"""What is written of an exchange, and which recorded request matches: the functions vcrpy calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from langchain_openrouter._http.urls import BASE_URL, is_loopback
from langchain_openrouter.testing.cassettes._index import normalized_query
from langchain_openrouter.testing.cassettes._mismatch import to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_openrouter.testing.cassettes._index import BodyDigests
    from langchain_openrouter.testing.cassettes._scrubbing import Scrubber

_API = urlsplit(BASE_URL)
API_PATH = _API.path
"""The path that the API's addresses begin with; other paths are pages."""

_REQUEST_HEADERS = {"accept", "content-type", "http-referer", "x-session-id", "x-anthropic-beta"}
_RESPONSE_HEADERS = {"content-type", "x-generation-id", "retry-after", "location", "allow"}
_OPEN_HEADERS = ("x-openrouter-", "x-ratelimit-")


def is_openrouter(host: str) -> bool:
    """Tell whether a host is OpenRouter's."""
    return host == _API.hostname or host.endswith(f".{_API.hostname}")


def scrub_request(request: Any, scrubber: Scrubber) -> Any:
    """Return a request as it is written and matched; None leaves it to the network."""
    parts = urlsplit(request.uri)
    host = parts.hostname or ""
    if not (is_loopback(host) or is_openrouter(host)):
        return None
    if not parts.path.startswith(API_PATH):
        return None  # a page, not the API

    scrubber.headers(request.headers)
    request.uri = scrubber.uri(urlunsplit(parts._replace(scheme=_API.scheme, netloc=_API.netloc)))
    request.headers = _allowed_headers(request.headers, _REQUEST_HEADERS, scrubber)
    body = request.body
    if body:
        request.body = scrubber.body(to_bytes(body), path=parts.path)
    return request


def scrub_response(response: dict[str, Any], scrubber: Scrubber) -> dict[str, Any]:
    """Return a response as it is written."""
    data = to_bytes(response["body"]["string"])
    response["headers"] = _allowed_headers(response["headers"], _RESPONSE_HEADERS, scrubber)
    # vcrpy does not say which request a response is of. Only the sign-in and `POST /keys` return a
    # field `key`, which holds a new key.
    path = "/auth/" if data.lstrip()[:1] == b"{" and b'"key"' in data else ""
    response["body"]["string"] = scrubber.body(data, path=path)
    return response


def _allowed_headers(
    headers: Mapping[str, Any], names: set[str], scrubber: Scrubber
) -> dict[str, Any]:
    allowed: dict[str, Any] = {}
    for name, value in headers.items():
        if name.lower() in names or name.lower().startswith(_OPEN_HEADERS):
            scrub = scrubber.uri if name.lower() == "location" else scrubber.text
            values = value if isinstance(value, list) else [value]
            clean = [scrub(_str(item)) for item in values]
            allowed[name.lower()] = clean if isinstance(value, list) else clean[0]

    return dict(sorted(allowed.items()))


# --- what matches -----------------------------------------------------------------------------


def match_body(request: Any, recorded: Any, digests: BodyDigests) -> None:
    """Match JSON by value and the order of its keys; anything else by bytes."""
    _assert_same(digests(request.body), digests(recorded.body))


def match_query(request: Any, recorded: Any) -> None:
    """Match the query, whatever the order in which its secrets were seen."""
    _assert_same(normalized_query(request), normalized_query(recorded))


def _assert_same(requested: bytes, recorded: bytes) -> None:
    if requested != recorded:  # how a matcher of vcrpy refuses; it shows no message of it
        raise AssertionError


def _str(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
