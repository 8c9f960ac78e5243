"""A hash of Runnables, agents and functions that changes with what they do, not with the process.

Of a function it has the code, its defaults, and what it closes over or names as a global, as far as
that is a text, a number, a function or a Runnable: lists that it fills and counters say nothing of
what it does. Of functions of installed LangChain packages it has no code, which an update changes.
It has neither keys nor addresses, timeouts or retries: a batch may go on with others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeAlias

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from pydantic import BaseModel, SecretBytes, SecretStr

Describe: TypeAlias = Callable[[Any], Any]
"""Returns what identifies a model as JSON; None for what is none."""
_DEEPEST = 24
_LIBRARIES = ("langchain", "langgraph")  # prefixes of modules
_NOT_COMPARED = {
    "api_key",
    "base_url",
    "cache",
    "callbacks",
    "checkpointer",
    "client",
    "default_headers",
    "endpoint_url",
    "http_async_client",
    "http_client",
    "max_retries",
    "metadata",
    "rate_limiter",
    "request_timeout",
    "store",
    "tags",
    "timeout",
    "verbose",
}
_SECRET_WORDS = ("api_key", "password", "secret", "token")
_PLAIN = (str, int, float, bool, type(None))


def hash_work(value: Any, describe: Describe) -> str:
    """Return a hash of a Runnable or a function, in hexadecimal."""
    plain = _Walk(describe).plain(value)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


class _Walk:
    """Turns objects into JSON, each once."""

    def __init__(self, describe: Describe) -> None:
        self._describe = describe
        self._open: set[int] = set()

    def plain(self, value: Any) -> Any:
        """Return what stands for a value."""
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, SecretStr | SecretBytes):
            return "secret"
        if id(value) in self._open or len(self._open) > _DEEPEST:
            return "again"

        self._open.add(id(value))
        try:
            return self._object(value)
        finally:
            self._open.discard(id(value))

    def _object(self, value: Any) -> Any:
        known = self._describe(value)
        if known is not None:
            return known
        if isinstance(value, bytes | bytearray):
            return hashlib.sha256(value).hexdigest()
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._collection(value)

        if isinstance(value, type):
            return self._class(value)
        return self._callable(value) or self._fields(value)

    def _collection(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(name): self.plain(item) for name, item in value.items() if _says(name)}
        if isinstance(value, list | tuple):
            return [self.plain(item) for item in value]
        return sorted(json.dumps(self.plain(item), sort_keys=True) for item in value)

    def _class(self, value: type) -> Any:
        schema: Any = None
        if issubclass(value, BaseModel):
            try:
                schema = value.model_json_schema()
            except Exception:  # noqa: BLE001 - of fields that have none
                schema = sorted(value.model_fields)
        return [_name(value), schema]

    def _callable(self, value: Any) -> Any:
        if isinstance(value, partial):
            return [self.plain(part) for part in (value.func, value.args, value.keywords)]
        if isinstance(value, MethodType):
            return [self.plain(value.__func__), self.plain(value.__self__)]
        return self._function(value) if isinstance(value, FunctionType) else None

    def _function(self, function: FunctionType) -> Any:
        code = function.__code__
        is_library = (function.__module__ or "").startswith(_LIBRARIES)
        cells = zip(code.co_freevars, function.__closure__ or (), strict=False)
        around = {name: _content(cell) for name, cell in cells}
        if not is_library:
            names = {name for part in _codes(code) for name in part.co_names}
            around |= {n: function.__globals__[n] for n in names if n in function.__globals__}

        return {
            "name": function.__qualname__ if is_library else "",
            "code": None if is_library else _code(code),
            "defaults": self.plain([function.__defaults__, function.__kwdefaults__]),
            "around": {
                n: self.plain(_only_parts(v)) for n, v in around.items() if _says(n) and _is_work(v)
            },
        }

    def _fields(self, value: Any) -> Any:
        """Return what an object has, of kinds whose fields say what they do."""
        if hasattr(value, "nodes") and hasattr(value, "channels"):  # a graph of LangGraph
            return {name: self._node(node) for name, node in value.nodes.items()}
        if isinstance(value, BaseMessage):
            dumped = value.model_dump(exclude={"id"}, exclude_none=True)
            return [_name(type(value)), self.plain(dumped)]
        if isinstance(value, BaseModel):
            shown = [name for name, field in type(value).model_fields.items() if not field.exclude]
            attributes = {name: getattr(value, name, None) for name in shown}
        elif is_dataclass(value):
            attributes = {field.name: getattr(value, field.name) for field in fields(value)}
        elif isinstance(value, Runnable):
            attributes = {n: v for n, v in vars(value).items() if not n.startswith("_")}
        else:
            attributes = {}

        compared = {name: item for name, item in attributes.items() if _says(name)}
        return [_name(type(value)), {name: self.plain(item) for name, item in compared.items()}]

    def _node(self, node: Any) -> Any:
        writers = [*getattr(node, "writers", ())]
        return [self.plain(getattr(node, "bound", node)), [self.plain(item) for item in writers]]


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _says(name: Any) -> bool:
    """Tell whether a field of this name says what an object does."""
    return name not in _NOT_COMPARED and not any(word in str(name) for word in _SECRET_WORDS)


def _is_work(value: Any) -> bool:
    """Tell whether something that a function reaches says what the function does."""
    if isinstance(value, list | tuple | Mapping):
        return bool(_only_parts(value))
    is_number = isinstance(value, int) and not isinstance(value, bool)  # maybe a counter
    is_known = isinstance(value, (*_PLAIN, bytes, FunctionType, MethodType, partial, Runnable))
    return (is_known or isinstance(value, BaseModel | type)) and not is_number


def _only_parts(value: Any) -> Any:
    """Return a collection without what a function may have put into it."""
    if isinstance(value, Mapping):
        return {n: v for n, v in value.items() if _is_part(v)}
    if isinstance(value, list):
        return [item for item in value if _is_part(item)]
    return value


def _is_part(value: Any) -> bool:
    return isinstance(value, FunctionType | MethodType | partial | Runnable | type)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not set yet
        return None


def _codes(code: CodeType) -> list[CodeType]:
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return [code, *(nested for part in inner for nested in _codes(part))]


def _code(code: CodeType) -> Any:
    """Return what a function does: neither where it stands nor what it is called."""
    constants = [
        _code(part) if isinstance(part, CodeType) else _constant(part) for part in code.co_consts
    ]
    return [code.co_code.hex(), list(code.co_names), constants]


def _constant(value: Any) -> str:
    """Return a constant as text, the same in each process."""
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
