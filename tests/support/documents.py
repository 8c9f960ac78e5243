"""The README and the pages of the documentation, and what is in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = "README.md"
_SITE = sorted(path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md"))
PAGES = [README, *(page for page in _SITE if "/_" not in page and "/api/" not in page)]


def read(page):
    """Return the text of a page, by its path from the repository's root."""
    return (ROOT / page).read_text(encoding="utf-8")


def fences(page, language):
    """Return the fences of a language on a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", read(page), re.MULTILINE | re.DOTALL)
