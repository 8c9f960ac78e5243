"""The switch of the short cuts: code that only saves time, and has a slower equal beside it.

`OPENROUTER_SHORTCUTS=0` in the environment of the process turns all of them off, for whoever hunts
a fault: if it stays, no short cut is the cause. Each is in a module of its own, which says what it
saves. Chunks, messages, requests and errors are equal with the switch on and off.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

VARIABLE = "OPENROUTER_SHORTCUTS"
_OFF = {"0", "false", "off", "no"}


@dataclass
class Shortcuts:
    """Whether short cuts are taken; read at the start of each call or stream, not during one."""

    enabled: bool = True


shortcuts = Shortcuts(enabled=os.environ.get(VARIABLE, "").strip().lower() not in _OFF)
"""Of this process; the variable is read when the package is imported."""
