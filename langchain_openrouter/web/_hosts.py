"""The public URL of the app, and which Host headers are allowed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

_HOST = re.compile(r"(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")


class Hosts:
    """The app's public URL.

    Args:
        public_url: The URL as browsers see it; the request's Host is ignored then.
        allowed_hosts: The hosts that a request may name, such as `app.example.org`, with a port
            `localhost:8000`, or with all subdomains `*.example.org`. None: any.

    Raises:
        ValueError: The URL or a host is not valid.
    """

    def __init__(self, public_url: str | None, allowed_hosts: Sequence[str] | None) -> None:
        if isinstance(allowed_hosts, str):
            allowed_hosts = [allowed_hosts]
        self._public_url = None if public_url is None else _validate_public_url(public_url)
        self._allowed = None if allowed_hosts is None else _parse_patterns(allowed_hosts)

    def allows(self, request: Request) -> bool:
        """Tell whether the request's Host is allowed."""
        if self._public_url is not None:
            return True
        host = request.headers.get("host", "").lower()
        if self._allowed is None:
            return not host or _HOST.fullmatch(host) is not None
        if not _HOST.fullmatch(host):
            return False

        name = re.sub(r":[0-9]+$", "", host)
        return any(
            name.endswith(pattern[1:]) if pattern.startswith("*.") else pattern in {host, name}
            for pattern in self._allowed
        )

    def is_https(self, request: Request) -> bool:
        """Tell whether browsers connect to the app over https."""
        if self._public_url is not None:
            return self._public_url.startswith("https:")
        return request.scope.get("scheme") in {"https", "wss"}

    def mount_url(self, request: Request) -> str:
        """Return the URL that the routes are mounted under, as browsers see it."""
        root = request.scope.get("root_path", "")
        if self._public_url is not None:
            return f"{self._public_url}{root}"

        server, port = request.scope.get("server") or ("localhost", None)
        host = request.headers.get("host") or (server if port is None else f"{server}:{port}")
        return f"{request.scope.get('scheme', 'http')}://{host.lower()}{root}"


def _validate_public_url(public_url: str) -> str:
    parts = urlsplit(public_url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        msg = "public_url must be the app's address, as https://app.example.org"
        raise ValueError(msg)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _parse_patterns(hosts: Sequence[str]) -> tuple[str, ...]:
    patterns = tuple(host.strip().lower() for host in hosts)
    if not patterns or not all(_HOST.fullmatch(host.removeprefix("*.")) for host in patterns):
        msg = 'allowed_hosts must name hosts, as ["app.example.org", "*.example.org"], and no URLs'
        raise ValueError(msg)
    return patterns
