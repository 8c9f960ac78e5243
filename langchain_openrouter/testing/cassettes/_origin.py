"""The first line of a cassette: what it was recorded against; only this package writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = "# Recorded against: "
_LONGEST = 500  # bytes


def origin_of(path: Path) -> str:
    """Return what a cassette was recorded against, without the date.

    Empty where there is no file, or where another program wrote it.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""
    return line.removeprefix(ORIGIN).rpartition(", ")[0] if line.startswith(ORIGIN) else ""
