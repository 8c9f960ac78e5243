"""Set attributes of pydantic models without validation."""

from __future__ import annotations

set_attribute = object.__setattr__
"""Sets an attribute that pydantic's `__setattr__` would refuse or validate."""
