"""A short cut: the models of all users share what LangChain's tracers are told of a model.

Core serializes a model at its first call, which takes some 140 us, and keeps the result in the
model. It holds a reference to OPENROUTER_API_KEY and no key, so that models which differ in nothing
but the key and the id of the user have the same, but for that id. A handler may change what it is
told, so each call of a copy has one of its own, in some 10 us.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from langchain_core.load.dump import dumpd
from langchain_core.load.serializable import Serializable

from langchain_openrouter._shortcuts import shortcuts
from langchain_openrouter.chat_models._arguments import API_KEY_FIELD

_OWN = "_serialized"
"""Core's name, in the `__dict__` of a model."""
_OF_COPIES = "_serialized_with_key"
"""In the `__dict__` of the model that is copied, which may have no key; no handler is given it."""
_SHARED = "_serialized_of_users"
"""The same, in that of its copies."""
_SHARED_BUT = {API_KEY_FIELD, "user"}


def serialize(model: Any) -> dict[str, Any]:
    """Return what core's `dumpd` makes of a model: at once if it has been made before."""
    values = model.__dict__
    shared: dict[str, Any] | None = values.get(_SHARED) if shortcuts.enabled else None
    if shared is None:
        if _OWN not in values:
            values[_OWN] = dumpd(model)
        return values[_OWN]  # type: ignore[no-any-return]

    dump, user = deepcopy(shared), values.get("user")
    dump["kwargs"].pop("user", None)
    if user is not None:
        dump["kwargs"]["user"] = user
    return dump


def forget(model: Any) -> None:
    """Forget what was made of a model, whose fields have changed."""
    for name in (_OWN, _OF_COPIES, _SHARED):
        model.__dict__.pop(name, None)


def share(model: Any, copy: Any, changed: set[str]) -> None:
    """Give a copy what was made of its model, if that is the same; else nothing.

    Args:
        model: What was copied.
        copy: Has the values of the model's `__dict__`; changed in place.
        changed: The fields in which it differs.
    """
    forget(copy)
    if not shortcuts.enabled or not changed or not changed <= _SHARED_BUT:
        return
    if not getattr(copy, API_KEY_FIELD) or not _is_plain(copy):
        return

    values = model.__dict__
    dump = values.get(_SHARED) or values.get(_OF_COPIES)
    if dump is None:
        dump = values[_OF_COPIES] = dumpd(copy)
    copy.__dict__[_SHARED] = dump


def _is_plain(model: Any) -> bool:
    """Tell whether the class leaves it to core what is told of a model, and hides the key."""
    kind = type(model)
    is_cores = kind.to_json.__module__.startswith("langchain_core.")
    has_own = kind.lc_attributes is not Serializable.lc_attributes
    is_hidden = API_KEY_FIELD in model.lc_secrets
    return kind.is_lc_serializable() and is_cores and not has_own and is_hidden
