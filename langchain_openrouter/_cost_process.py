"""What the ceilings of a process share: its running calls, and the threads that write to stores."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_openrouter._cost_meter import CostMeter
    from langchain_openrouter._http.metering import Call

__all__ = ["LoopProbe", "Process", "process"]

_LOOP_GRACE = 1.0  # seconds in which an event loop answers, or its calls are not awaited


class Process:
    """What the ceilings of this process share."""

    def __init__(self) -> None:
        # Any thread changes it, and it is read from a `copy()`, which none can interrupt. Making
        # the tuples of `list(running.items())` may collect garbage, amid which other threads run.
        self.running: dict[str, Call] = {}
        self.meters: weakref.WeakSet[CostMeter] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._writer: ThreadPoolExecutor | None = None

    def writer(self) -> ThreadPoolExecutor:
        """Return the threads that write to stores; they end before the interpreter does."""
        with self._lock:
            if self._writer is None:
                self._writer = ThreadPoolExecutor(2, thread_name_prefix="openrouter-costs")
            return self._writer

    def reset_after_fork(self) -> None:
        """Forget calls and threads, which stayed in the parent process."""
        self.running, self._lock, self._writer = {}, threading.Lock(), None
        for meter in list(self.meters):
            meter.reset_after_fork()


process = Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=process.reset_after_fork)


class LoopProbe:
    """Finds out whether event loops run: one that is blocked does not answer."""

    def __init__(self) -> None:
        self._probes: dict[Any, tuple[float, threading.Event]] = {}

    def is_stuck(self, loop: Any) -> bool:
        """Tell whether a loop is closed, does not run, or has not answered for a second."""
        if loop.is_closed() or not loop.is_running():
            return True

        if loop not in self._probes:
            answer = threading.Event()
            self._probes[loop] = (time.monotonic(), answer)
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(answer.set)
        since, answer = self._probes[loop]
        if answer.is_set():
            del self._probes[loop]
            return False
        return time.monotonic() - since >= _LOOP_GRACE
