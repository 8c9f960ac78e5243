"""An error of this package as a notebook shows it: what happened, and the lines of the user's."""

from __future__ import annotations

import linecache
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_openrouter._redaction import hide_keys, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

    from langchain_openrouter.errors import OpenRouterError

__all__ = ["error_lines"]

_RED, _GREEN, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[0m"
_FULL = "The full traceback: %tb"
_PACKAGE = str(Path(__file__).parents[1])
_LIBRARIES = tuple(
    {
        path
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if (path := sysconfig.get_path(name))
    }
)


def error_lines(
    error: OpenRouterError, trace: TracebackType | None, shell_folder: str
) -> list[str]:
    """Return the lines that stand for a traceback.

    Args:
        error: What was raised.
        trace: Its traceback, of which only the user's own frames are shown.
        shell_folder: The folder of IPython, whose frames are none of the user's.
    """
    name = type(error).__name__
    lines = [f"{_RED}{name}{_PLAIN}: {hide_keys(printable(str(error), keep=chr(10)))}"]
    lines += [f"  {fact}" for fact in _facts(error)]
    for frame, number in _own_frames(trace, shell_folder):
        lines += _source_lines(frame, number)

    return [*lines, "", _FULL]


def _facts(error: OpenRouterError) -> Iterator[str]:
    """Yield what else helps: whether to try again, what arrived, and the id for support."""
    if error.is_retryable:
        wait = "" if error.retry_after is None else f" after {error.retry_after:g} s"
        yield f"The same request may succeed{wait}."

    if error.partial is not None:
        count = len(error.partial.text)
        yield f"{count:,} characters of the answer arrived: `error.partial`."
    if error.generation_id:
        yield f"Generation: {printable(error.generation_id)[:100]}"


def _own_frames(trace: TracebackType | None, shell_folder: str) -> Iterator[tuple[FrameType, int]]:
    """Yield the frames of cells and of files that are neither Python's nor a library's."""
    for frame, number in traceback.walk_tb(trace):
        path = frame.f_code.co_filename
        is_library = path.startswith((*_LIBRARIES, _PACKAGE, shell_folder, "<frozen"))
        is_installed = "site-packages" in path or "dist-packages" in path
        if not is_library and not is_installed:
            yield frame, number


def _source_lines(frame: FrameType, number: int) -> list[str]:
    """Return where a frame is, and its line."""
    code = frame.f_code
    name = "the cell" if code.co_name == "<module>" else f"{code.co_name}()"
    path = code.co_filename
    where = name if _is_cell(path) else f"{name} in {path}"

    source = linecache.getline(path, number, frame.f_globals).strip()
    head = f"  in {where}, line {number}"
    return [head, f"  {_GREEN}---->{_PLAIN} {hide_keys(printable(source))}"] if source else [head]


def _is_cell(path: str) -> bool:
    return path.startswith("<ipython-input") or "ipykernel_" in path
