"""Warn when an object that holds a key is serialized in plain text."""

from __future__ import annotations

import warnings
from dataclasses import fields
from typing import Any

_warned = False


def warn_of_key_object(name: str, location: str) -> None:
    """Warn, once in a process, of an object that is serialized with its key.

    Args:
        name: The object's type.
        location: Where it is, for the message.
    """
    global _warned  # noqa: PLW0603 - once is the point
    if _warned:
        return

    _warned = True
    msg = (
        f"a {name} is in {location}: LangGraph writes it into checkpoints in plain text, secret "
        "included. Return no key from a node: pass `context=` with "
        "`langchain_openrouter.middleware.PerUserModel`, use `as_user` and "
        "`api_key=current_user`, or keep the user's id, and the key in a `KeyStore`."
    )
    warnings.warn(msg, UserWarning, stacklevel=3)


class KeyObject:
    """Base of dataclasses that hold a key: warns when LangGraph's serializer serializes one.

    The serializer calls `_asdict` where there is one, and else reads the fields of a dataclass.
    Pickle, copies, comparison and `dataclasses.asdict` do not call it.
    """

    __slots__ = ()

    def _asdict(self) -> dict[str, Any]:
        warn_of_key_object(type(self).__name__, "the state of a graph")
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
