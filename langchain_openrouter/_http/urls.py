"""Validate base URLs, and build the URLs of OpenRouter's pages for a key."""

from __future__ import annotations

import hashlib
import ipaddress
import os
from urllib.parse import urlsplit

BASE_URL = "https://openrouter.ai/api/v1"
_API = "/api/v1"
_HOST = "openrouter.ai"
_HTTPS = 443
HTTP_HOSTS = "OPENROUTER_ALLOW_HTTP_HOSTS"
"""The variable that names hosts, separated by commas, that tests reach without TLS."""


def is_loopback(host: str) -> bool:
    """Tell whether the host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def site_url(base_url: str) -> str:
    """Return the site of an API: `https://openrouter.ai` for `https://openrouter.ai/api/v1`.

    The in-region APIs (`eu.openrouter.ai`) have no pages of their own.
    """
    parts = urlsplit(base_url)
    host = _HOST if (parts.hostname or "").endswith(f".{_HOST}") else parts.netloc
    return f"{parts.scheme}://{host}{parts.path.rstrip('/').removesuffix(_API)}"


def key_hash(secret: str) -> str:
    """Return the sha256 of a key, 64 hexadecimal digits: OpenRouter's own public id of it.

    See https://openrouter.ai/docs/use-cases/oauth-pkce.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def settings_url(site: str, hash_: str) -> str:
    """Return the page where a key's owner sees its limit, raises it, and deletes the key."""
    return f"{site}/keys/{hash_}"


def logs_url(site: str, hash_: str) -> str:
    """Return the page where a key's owner sees what it was used for."""
    return f"{site}/logs?api_key_hash={hash_}"


def service_mismatch(key_url: str, base_url: str) -> str | None:
    """Return an error message if a key of one API would be sent to another service, else None.

    The in-region hosts (`eu.openrouter.ai`) and `openrouter.ai` are one service: a key is an
    account's. So are the names of this machine, on one port. Paths are not compared.
    """
    if _service_of(key_url) == _service_of(base_url):
        return None

    home, other = (_address(*_host_and_port(url)) for url in (key_url, base_url))
    return (
        f"this key is for {home} and would be sent to {other}: give the model the `base_url` of "
        f"{home}, or sign the user in at {other}; a key that no sign-in gave says which API it is "
        "for with `UserKey(key, base_url=...)`"
    )


def _service_of(base_url: str) -> tuple[str, int]:
    host, port = _host_and_port(base_url)
    if host.endswith(f".{_HOST}"):
        return _HOST, port
    return ("localhost" if is_loopback(host) else host), port


def _host_and_port(base_url: str) -> tuple[str, int]:
    parts = urlsplit(base_url)
    host = (parts.hostname or "").rstrip(".")
    return host, parts.port or (80 if parts.scheme == "http" else _HTTPS)


def _address(host: str, port: int) -> str:
    return host if port == _HTTPS else f"{host}:{port}"


def validate_base_url(url: str) -> str:
    """Return the URL without a trailing slash.

    The variable `OPENROUTER_ALLOW_HTTP_HOSTS` names further hosts for http, such as the emulator in
    a container. Everyone between this machine and such a host can read the key and the prompts, so
    it is for tests with a key that is worth nothing.

    Raises:
        ValueError: It is neither https nor http on loopback or to a host of that variable, or holds
            a password, a query or a fragment. The URL is not quoted: it may hold a secret.
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""

    if parts.username or parts.password or parts.query or parts.fragment:
        msg = "base_url must not hold a user name, a password, a query or a fragment"
        raise ValueError(msg)
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _takes_http(host))):
        msg = (
            "base_url must be https, or http on loopback: a key would travel in plain text; for "
            f"tests, name the host in {HTTP_HOSTS}"
        )
        raise ValueError(msg)

    return url.strip().rstrip("/")


def _takes_http(host: str) -> bool:
    """Tell whether http may be used: on loopback, and to the hosts that the user names exactly."""
    names = os.environ.get(HTTP_HOSTS, "").split(",")
    host = host.lower()
    if host == _HOST or host.endswith(f".{_HOST}"):  # the live service: a real key
        return False
    return is_loopback(host) or host in {name.strip().lower() for name in names} - {""}
