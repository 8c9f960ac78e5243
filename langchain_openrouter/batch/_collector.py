"""Keep what was there before a batch out of its collections of garbage.

A row leaves nothing to the collector, but rows in flight are many objects, and let it run: every
few hundred rows it looks at all objects of the process, of which LangChain's imports are some
180,000. That is up to an eighth of the CPU time of a row (`make bench-batch` has `run` beside
`arun`). `gc.freeze` takes them out of its sight, see
https://docs.python.org/3/library/gc.html#gc.freeze; what of them becomes garbage meanwhile is
collected after the batch.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from langchain_openrouter._shortcuts import shortcuts

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["earlier_objects_frozen"]


@contextmanager
def earlier_objects_frozen() -> Iterator[None]:
    """Freeze the objects that there are, until the end; not where somebody has frozen some."""
    if gc.get_freeze_count() or not shortcuts.enabled:
        yield
        return

    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
