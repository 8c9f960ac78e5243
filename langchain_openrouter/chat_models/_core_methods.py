"""Which of langchain-core's methods `_unobserved` replaces, and whether they are those it knows.

A new core may do more in them. What a method does shows in the names that it uses, which are
compared at run time with those of the versions that were read; with a core that uses others, or
where a method was replaced (by a subclass, or by a library that traces by patching), nothing is
skipped. `tests/chat_models/test_unobserved.py` compares the complete source.
"""

from __future__ import annotations

import hashlib
from functools import cache
from operator import attrgetter, is_
from types import CodeType, FunctionType
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.callbacks import manager as core_callbacks
from langchain_core.language_models import _utils as core_messages
from langchain_core.language_models import chat_models as core
from langchain_core.language_models.chat_models import BaseChatModel

__all__ = ["are_known", "core_functions", "digest_names", "is_known_core", "remember_methods"]

_PUBLIC = ("invoke", "ainvoke", "stream", "astream", "generate", "agenerate")
_INNER = ("generate_prompt", "agenerate_prompt", "_generate_with_cache", "_agenerate_with_cache")
_ASKED = ("_should_stream", "_streaming_disabled", "_should_use_protocol_streaming")
_TRACED = ("_get_invocation_params", "_get_ls_params", "_get_ls_params_with_defaults")
_STREAMS = ("_stream", "_astream", "_message_chunks", "_amessage_chunks")
_REPLACED = (*_PUBLIC, *_INNER, *_ASKED, "_convert_input")

_methods = attrgetter(
    *_REPLACED,
    *_TRACED,
    "_combine_llm_outputs",
    "_serialized",
    "_generate",
    "_agenerate",
    *_STREAMS,
)
_core_methods = attrgetter(*_REPLACED)
_ON_INSTANCES = frozenset((*_REPLACED, *_TRACED, *_STREAMS, "_combine_llm_outputs"))
_remembered: dict[str, tuple[Any, ...]] = {}

KNOWN: dict[str, tuple[str, ...]] = {
    "invoke": ("ae6a4199d968",),
    "ainvoke": ("fff583f69cef",),
    "stream": ("79ca92a3df3c",),
    "astream": ("c912eb1614fe",),
    "generate": ("8eddad1a84fd",),
    "agenerate": ("0a0025c0b233",),
    "generate_prompt": ("bbaa683ecf42",),
    "agenerate_prompt": ("384caa3c9c2c",),
    "_generate_with_cache": ("d597efaaf231", "274dd0726e86"),
    "_agenerate_with_cache": ("281daea9afc4", "882fbe32b2c4"),
    "_should_stream": ("7c252f4d1caf",),
    "_streaming_disabled": ("d27e95dd34f2",),
    "_should_use_protocol_streaming": ("063952c18fcf",),
    "_convert_input": ("8adbf725c26c",),
    "_get_ls_params_with_defaults": ("49d0ac78e464",),
    "_format_for_tracing": ("1fe355728520",),
    "_gen_info_and_msg_metadata": ("b0a3fdc69549",),
    "generate_from_stream": ("6f5f20d3f5a9",),
    "_generate_response_from_error": ("5b6fefae5cf6",),
    "_format_ls_structured_output": ("a4858358480a",),
    "_normalize_messages": ("56fcc5916e50",),
    "_configure": ("f50a98724df5",),
    "CallbackManager.on_chat_model_start": ("91fcc4b167e9",),
    "AsyncCallbackManager.on_chat_model_start": ("1e7ef735838e",),
}
"""The digests of the names that each function uses, of the versions of core that were read."""


def core_functions() -> dict[str, Any]:
    """Return the functions of core whose work is skipped or done here, by a name for messages."""
    functions: dict[str, Any] = {
        name: BaseChatModel.__dict__.get(name) for name in (*_REPLACED, *_TRACED[2:])
    }

    helpers = ("_format_for_tracing", "_gen_info_and_msg_metadata", "generate_from_stream")
    errors = ("_generate_response_from_error", "_format_ls_structured_output")
    functions.update({name: getattr(core, name, None) for name in (*helpers, *errors)})

    functions["_normalize_messages"] = getattr(core_messages, "_normalize_messages", None)
    functions["_configure"] = getattr(core_callbacks, "_configure", None)
    for manager in (CallbackManager, AsyncCallbackManager):
        start = manager.__dict__.get("on_chat_model_start")
        functions[f"{manager.__name__}.on_chat_model_start"] = start
    return functions


def digest_names(function: Any) -> str:
    """Return a hash of the names and keywords that a function uses, its inner functions' too.

    Equal for all versions of Python, unlike a hash of the byte code. Empty for what is no plain
    function, as one that a tracing library wrapped.
    """
    if type(function) is not FunctionType or hasattr(function, "__wrapped__"):
        return ""
    names = "\n".join(sorted(_names(function.__code__)))
    return hashlib.sha256(names.encode()).hexdigest()[:12]


def _names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for value in code.co_consts:
        if isinstance(value, CodeType):
            names |= _names(value)
        elif isinstance(value, tuple):  # the keywords of calls are among them
            names |= {item for item in value if isinstance(item, str)}
    return names


@cache
def is_known_core() -> bool:
    """Tell whether core's functions use the names that those of the known versions use."""
    return all(digest_names(value) in KNOWN[name] for name, value in core_functions().items())


def remember_methods(model_class: type) -> None:
    """Remember the methods of `ChatOpenRouter`, and core's, as they are now."""
    _remembered["class"], _remembered["core"] = _methods(model_class), _current_core()


def are_known(model: Any) -> bool:
    """Tell whether a model's methods, and core's below them, are those that `_unobserved` knows."""
    return (
        _are_same(_methods(type(model)), _remembered["class"])
        and _are_same(_current_core(), _remembered["core"])
        and _ON_INSTANCES.isdisjoint(model.__dict__)
        and is_known_core()
    )


def _current_core() -> tuple[Any, ...]:
    starts = CallbackManager.on_chat_model_start, AsyncCallbackManager.on_chat_model_start
    return (*_core_methods(BaseChatModel), *starts)


def _are_same(methods: tuple[Any, ...], remembered: tuple[Any, ...]) -> bool:
    """Compare by identity: a method that wrapt has patched is equal to the one it wraps."""
    return all(map(is_, methods, remembered))
