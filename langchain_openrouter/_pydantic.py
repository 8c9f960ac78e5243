"""Copy pydantic models without validation."""

from __future__ import annotations

from typing import Any

set_attribute = object.__setattr__
"""Sets an attribute that pydantic's `__setattr__` would refuse or validate."""


def copy_unvalidated(model: Any, values: dict[str, Any]) -> Any:
    """Return an instance with these values, like `model_construct` without defaults.

    Args:
        model: The original; the copy has its class and its set of fields.
        values: The `__dict__` of the copy: a valid value for each field.
    """
    kind: Any = type(model)
    copy = kind.__new__(kind)
    set_attribute(copy, "__dict__", values)
    set_attribute(copy, "__pydantic_fields_set__", model.__pydantic_fields_set__)
    set_attribute(copy, "__pydantic_extra__", None if model.__pydantic_extra__ is None else {})
    set_attribute(copy, "__pydantic_private__", None)
    return copy
