"""Copies of pydantic models at the price of a dict."""

from __future__ import annotations

from typing import Any

set_attribute = object.__setattr__
"""Sets what pydantic's own `__setattr__` would refuse, or check again."""


def copy_unvalidated(model: Any, values: dict[str, Any]) -> Any:
    """Return another instance with these values: `model_construct` without a look at defaults.

    Args:
        model: Its class and its set of fields are shared with the copy.
        values: The `__dict__` of the copy: a value for each field, valid already.
    """
    kind: Any = type(model)
    copy = kind.__new__(kind)
    set_attribute(copy, "__dict__", values)
    set_attribute(copy, "__pydantic_fields_set__", model.__pydantic_fields_set__)
    set_attribute(copy, "__pydantic_extra__", None if model.__pydantic_extra__ is None else {})
    set_attribute(copy, "__pydantic_private__", None)
    return copy
