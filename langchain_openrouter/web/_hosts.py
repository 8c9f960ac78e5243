"""The public URL of the app, and which hosts and origins are allowed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import HTTPConnection

_HOST = re.compile(r"(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


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

    @property
    def public_https(self) -> bool | None:
        """Whether browsers connect to the app over https; None without `public_url`."""
        return None if self._public_url is None else self._public_url.startswith("https:")

    def allows(self, connection: HTTPConnection) -> bool:
        """Tell whether the request's Host is allowed."""
        if self._public_url is not None:
            return True
        host = connection.headers.get("host", "").lower()
        if self._allowed is None:
            return not host or _HOST.fullmatch(host) is not None
        return self._is_allowed(host)

    def allows_origin(self, origin: str, *, host: str | None = None, https: bool = False) -> bool:
        """Tell whether a page of this origin may use the cookies of its visitor.

        It may if it is of `public_url` or of `allowed_hosts`; without either, of the host that the
        request names.

        Args:
            origin: The header Origin, as `https://app.example.org`.
            host: The header Host of the request, if it is known.
            https: Whether the app is on https, where a page on http is refused.

        Raises:
            ValueError: Nothing is known of the app that the origin could be compared with.
        """
        scheme, _, origin_host = origin.lower().partition("://")
        if scheme not in {"http", "https"} or not _HOST.fullmatch(origin_host):
            return False
        if https and scheme != "https":
            return False

        if (
            self._public_url is not None
            and _origin(self._public_url) == f"{scheme}://{origin_host}"
        ):
            return True
        if self._allowed is not None or self._public_url is not None:
            return self._is_allowed(origin_host)
        if host is None:
            msg = "an origin can be checked only with `public_url` or `allowed_hosts`"
            raise ValueError(msg)
        return host.lower().removesuffix(_DEFAULT_PORTS[scheme]) == origin_host

    def _is_allowed(self, host: str) -> bool:
        """Tell whether `allowed_hosts` names a host."""
        if not _HOST.fullmatch(host):
            return False
        name = re.sub(r":[0-9]+$", "", host)
        return any(
            name.endswith(pattern[1:]) if pattern.startswith("*.") else pattern in {host, name}
            for pattern in self._allowed or ()
        )

    def is_https(self, connection: HTTPConnection) -> bool:
        """Tell whether browsers connect to the app over https."""
        if self.public_https is not None:
            return self.public_https
        return connection.scope.get("scheme") in {"https", "wss"}

    def mount_url(self, connection: HTTPConnection) -> str:
        """Return the URL that the routes are mounted under, as browsers see it."""
        root = connection.scope.get("root_path", "")
        if self._public_url is not None:
            return f"{self._public_url}{root}"

        server, port = connection.scope.get("server") or ("localhost", None)
        host = connection.headers.get("host") or (server if port is None else f"{server}:{port}")
        return f"{connection.scope.get('scheme', 'http')}://{host.lower()}{root}"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.removesuffix(_DEFAULT_PORTS[parts.scheme])}"


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
