"""Pages of OpenRouter that belong to a key, and the site that an API belongs to; pure."""

from __future__ import annotations

import hashlib
import ipaddress
from urllib.parse import urlsplit

BASE_URL = "https://openrouter.ai/api/v1"
_API = "/api/v1"
_HOST = "openrouter.ai"


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
