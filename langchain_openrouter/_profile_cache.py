"""The user's copy of the model profiles on disk: written by a refresh, read at the first use.

Profiles decide no security, but they decide what is sent: a file that is too large, cannot be
read, has another form, belongs to another user, or came from another service is ignored.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_openrouter._json import get_dict, get_str, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = "model_profiles.json"
_FORMAT = "langchain-openrouter-oauth model profiles 1"
_MAX_BYTES = 16 * 1024 * 1024
_SERVICE = "openrouter.ai"
_DAY, _HOUR = 86_400.0, 3_600.0  # seconds
_CLOCK_SKEW = timedelta(days=1)  # a snapshot from later than this was not taken

_logger = logging.getLogger(__name__)
_refresher: tuple[int, threading.Thread] | None = None
_refresher_lock = threading.Lock()


def path() -> Path:
    """Return the path of the file, in the user's cache folder."""
    from platformdirs import user_cache_path  # noqa: PLC0415 - not needed to import the package

    return user_cache_path("langchain-openrouter") / FILE


def write(models: dict[str, Any], *, base_url: str, taken_on: datetime | None = None) -> Path:
    """Write the profiles, atomically, readable by the user alone.

    Args:
        models: Profiles by slug.
        base_url: The service that listed the models.
        taken_on: When; now by default.

    Returns:
        The path of the file.

    Raises:
        OSError: The folder cannot be written.
    """
    target = path()
    content = {
        "format": _FORMAT,
        "service": service_of(base_url),
        "taken_on": (taken_on or datetime.now(UTC)).isoformat(timespec="seconds"),
        "models": models,
    }

    target.parent.mkdir(parents=True, exist_ok=True)

    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{FILE}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, separators=(",", ":"))
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    return target


def read(*, base_url: str) -> tuple[datetime, dict[str, Any]] | None:
    """Return when the profiles were taken, and the profiles; None if there are none to use.

    Args:
        base_url: The service that models are called at.
    """
    try:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # a pipe at that path must not block
        with open(os.open(path(), flags), "rb") as file:  # noqa: PTH123 - flags
            if not _is_own(os.fstat(file.fileno())):
                return None
            data = file.read(_MAX_BYTES + 1)
        content = parse_json(data) if len(data) <= _MAX_BYTES else None
    except (OSError, ValueError, RuntimeError, RecursionError):
        return None

    models = get_dict(content, "models")
    is_known = get_str(content, "format") == _FORMAT
    if not is_known or not models or get_str(content, "service") != service_of(base_url):
        return None
    taken_on = parse_date(get_str(content, "taken_on"))
    if taken_on is None or taken_on > datetime.now(UTC) + _CLOCK_SKEW:
        return None
    return taken_on, {slug: value for slug, value in models.items() if isinstance(value, dict)}


def parse_date(text: str | None) -> datetime | None:
    """Return a date or time in ISO's form, in UTC unless it says otherwise; None if it is none."""
    try:
        parsed = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def service_of(base_url: str) -> str:
    """Return what distinguishes services: OpenRouter's regions list the same models."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host == _SERVICE or host.endswith(f".{_SERVICE}"):
        return _SERVICE
    return parts.netloc.rpartition("@")[2]


def _is_own(status: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()


def refresh_daily(refresh: Callable[[], Any], *, base_url: str) -> None:
    """Start the thread that refreshes the file when it is a day old; one in each process."""
    global _refresher  # noqa: PLW0603 - one thread, for the one file of a user

    with _refresher_lock:
        if _refresher is not None and _refresher[0] == os.getpid():
            return
        thread = threading.Thread(
            target=_keep_fresh,
            args=(refresh, base_url),
            daemon=True,
            name="openrouter-profiles",
        )
        thread.start()
        _refresher = os.getpid(), thread


def _keep_fresh(refresh: Callable[[], Any], base_url: str) -> None:
    pause = threading.Event()
    while True:
        pause.wait(_refresh_if_old(refresh, base_url))


def _refresh_if_old(refresh: Callable[[], Any], base_url: str) -> float:
    """Refresh a file that is a day old; return the seconds until the next look."""
    stored = read(base_url=base_url)
    age = None if stored is None else (datetime.now(UTC) - stored[0]).total_seconds()
    if age is not None and age < _DAY:
        return max(_DAY - age, 1.0)

    try:
        refresh()
    except Exception:
        _logger.debug("the model profiles were not refreshed", exc_info=True)
        return _HOUR
    return _DAY
