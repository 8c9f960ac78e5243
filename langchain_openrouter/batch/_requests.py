"""What identifies a row and a batch: keys, hashes of requests, and a description of the model."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from dataclasses import fields as fields_of_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.runnables import RunnableBinding, RunnableParallel, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from langchain_openrouter.batch._fingerprints import hash_work
from langchain_openrouter.chat_models import ChatOpenRouter
from langchain_openrouter.chat_models._private_arguments import PRIVATE_KWARGS, PrivateMapping

if TYPE_CHECKING:
    from langchain_openrouter._resource import ModelResource

Key: TypeAlias = "str | int"
"""What identifies a row: the value of the column `key=`, or its index."""
_HASH_BYTES = 16
_PRIVATE_FIELDS = ("model_kwargs", "extra_body", "default_query")
# Of embeddings and rerank: where a request goes and on whose account, not what it says.
_NOT_IN_REQUEST = {
    "api_key",
    "app_categories",
    "app_title",
    "app_url",
    "base_url",
    "chunk_size",
    "default_headers",
    "http_async_client",
    "http_client",
    "max_retries",
    "model_kwargs",
    "timeout",
}


@dataclass(frozen=True, slots=True)
class PendingRow:
    """A row that is to be sent."""

    key: Key
    index: int
    """Its place in the input, from 0."""
    input: Any
    """What the model is called with."""
    request_hash: str
    """Of the input: the same in each process."""


def row_key(row: Any, index: int, column: str | None) -> Key:
    """Return the key of a row.

    Raises:
        ValueError: It has no key, or one that is neither a text nor a whole number.
    """
    if column is None:
        return index

    key = row.get(column) if isinstance(row, Mapping) else None
    if isinstance(key, float) and key.is_integer():  # of a data frame with gaps
        key = int(key)
    if isinstance(key, str | int) and not isinstance(key, bool):
        return key
    if key is None or (isinstance(key, float) and math.isnan(key)):
        names = row if isinstance(row, Mapping) else ()
        columns = ", ".join(f"`{name}`" for name in names) or "no columns"
        msg = f"row {index} has no key in the column `{column}`"
        msg += "" if column in names else f": there are {columns}"
        raise ValueError(msg)
    is_text = hasattr(key, "hex") or hasattr(key, "isoformat")  # a UUID, a date
    if is_text and not isinstance(key, float | bytes | bytearray):
        return str(key)
    msg = f"row {index} has a key of type {type(key).__name__}: a text or a whole number is needed"
    raise ValueError(msg)


def hash_request(value: Any) -> str:
    """Return a hash of the input of a call, in hexadecimal."""
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
    else:
        try:
            data = json.dumps(value, sort_keys=True, default=_to_plain).encode()
        except TypeError:  # columns that are numbers beside texts, or levels of a data frame
            plain = _with_text_keys(value)
            data = json.dumps(plain, sort_keys=True, default=_to_plain).encode()

    return hashlib.sha256(data).hexdigest()[: 2 * _HASH_BYTES]


def _with_text_keys(value: Any) -> Any:
    """Return a value of JSON whose keys are texts, which can be sorted."""
    if isinstance(value, Mapping):
        return {str(name): _with_text_keys(item) for name, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list | tuple) else value


def _to_plain(value: Any) -> Any:
    """Return what stands for a value in JSON, the same in each process."""
    if isinstance(value, BaseModel):
        fields = value.model_dump(exclude_none=True)
        return {name: item for name, item in fields.items() if name != "id"}
    if isinstance(value, bytes | bytearray):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))

    for convert in ("isoformat", "tolist", "items"):  # a date, an array of numpy, a mapping
        if hasattr(value, convert):
            plain = getattr(value, convert)()
            return dict(plain) if convert == "items" else plain
    return _to_text(value)


def _to_text(value: Any) -> Any:
    """Return the value, the fields, the text or the attributes; the type where there are none."""
    if isinstance(value, Enum | type):
        return value.__qualname__ if isinstance(value, type) else value.value
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields_of_dataclass(value)}

    kind: Any = type(value)
    has_text = kind.__repr__ is not object.__repr__ or kind.__str__ is not object.__str__
    if has_text and " at 0x" not in (text := str(value)):  # Decimal, UUID
        return [kind.__qualname__, text]
    attributes = getattr(value, "__dict__", None)
    if not attributes:
        warnings.warn(
            f"values of type {kind.__qualname__} cannot be compared: a batch that goes on does not "
            "notice where they have changed",
            stacklevel=2,
        )
        return kind.__qualname__
    return [kind.__qualname__, attributes]


# --- the batch --------------------------------------------------------------------------------


def describe_batch(model: Any, prompt: Any, schema: Any, key: str | None) -> dict[str, Any]:
    """Return what must be the same where a batch goes on: by name, as JSON.

    It has neither keys nor addresses: a batch may go on with another account. Values that may be
    secret, of `extra_body` and the like, are in it as a hash.
    """
    return {
        "model": describe_model(model),
        "prompt": prompt.describe(),
        "schema": describe_schema(schema),
        "key": key,
    }


def describe_model(model: Any) -> Any:
    """Return what identifies a model, or a Runnable that ends in one, as JSON."""
    known = _describe_known(model)
    if known is not None:
        return known
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    return {"type": name, "work": [hash_work(model, _describe_known)]}


def _describe_known(model: Any) -> Any:
    """Return what identifies a model of this package, alone or in a chain; else None."""
    if isinstance(model, ChatOpenRouter):
        params = {k: v for k, v in model._default_params.items() if k not in model.model_kwargs}  # noqa: SLF001 - of this package
        return _to_json({**params, **_hashed(model, _PRIVATE_FIELDS)})
    if isinstance(model, RunnableSequence):
        return [describe_model(step) for step in model.steps]
    if isinstance(model, RunnableParallel):
        return {name: describe_model(step) for name, step in model.steps__.items()}
    if isinstance(model, RunnableBinding | RunnableBindingBase):
        bound = describe_model(model.bound)
        kwargs = {name: _hash_private(name, value) for name, value in model.kwargs.items()}
        return {"bound": bound, "kwargs": _to_json(kwargs)} if kwargs else bound

    return _describe_resource_or_structured(model)


def _describe_resource_or_structured(model: Any) -> Any:
    if isinstance(model, type):
        return None

    inner = getattr(model, "_model", None)  # structured output
    if isinstance(inner, ChatOpenRouter):
        name = f"{type(model).__module__}.{type(model).__qualname__}"
        return {"type": name, "model": describe_model(inner)}
    if isinstance(model, BaseModel) and "openrouter_provider" in type(model).model_fields:
        return _describe_resource(model)  # type: ignore[arg-type]
    return None


def _describe_resource(resource: ModelResource) -> dict[str, Any]:
    """Return what identifies embeddings or rerank."""
    fields = type(resource).model_fields
    values = {name: getattr(resource, name) for name in fields if name not in _NOT_IN_REQUEST}
    fields_set = {name: value for name, value in values.items() if value is not None}
    return _to_json({**fields_set, **_hashed(resource, ("model_kwargs",))})  # type: ignore[no-any-return]


def describe_schema(schema: Any) -> Any:
    """Return a schema as JSON."""
    if schema is None or isinstance(schema, Mapping):
        return _to_json(schema)
    from langchain_core.utils.function_calling import (  # noqa: PLC0415 - slow to import
        convert_to_json_schema,
    )

    return _to_json(convert_to_json_schema(schema))


def describe_output(schema: Any) -> Any:
    """Return the schema of outputs as they are written, as JSON: with computed fields."""
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return describe_schema(schema)
    from langchain_core.utils.json_schema import (  # noqa: PLC0415 - slow to import
        dereference_refs,
    )

    try:
        return dereference_refs(schema.model_json_schema(mode="serialization"))
    except PydanticInvalidForJsonSchema:  # of a serializer whose result has no type
        return describe_schema(schema)


def _hashed(model: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Return hashes of fields whose values are not shown."""
    return {name: hash_request(value) for name in names if (value := getattr(model, name, None))}


def _hash_private(name: str, value: Any) -> Any:
    if isinstance(value, PrivateMapping) or name in PRIVATE_KWARGS:
        return hash_request(dict(value or {}))
    return value


def _to_json(value: Any) -> Any:
    return json.loads(json.dumps(value, sort_keys=True, default=_to_plain))


def changes_between(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two descriptions, by name; of prompt and schema no text."""
    changes = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if name == "model" and isinstance(old, dict) and isinstance(new, dict):
            changes += _changed_parameters(old, new)
        elif name == "key":
            changes.append(f"`key` was {old!r} and is {new!r}")
        else:
            changes.append(f"`{name}` has changed")

    return changes


def _changed_parameters(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the parameters of a model that differ, with short values."""
    changes = []
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name):
            continue
        values = [_shown(values.get(name)) for values in (old, new)]
        is_short = all(values) and name not in {*_PRIVATE_FIELDS, "kwargs", "bound"}
        text = f" was {values[0]} and is {values[1]}" if is_short else " has changed"
        label = "`model`" if name == "model" else f"the model's `{name}`"
        changes.append(f"{label}{text}")

    return changes


def _shown(value: Any) -> str:
    """Return a short value as text; nothing for a long one."""
    is_short = (
        value is None
        or isinstance(value, bool | int | float)
        or (
            isinstance(value, str) and len(value) < 60  # noqa: PLR2004 - characters: a slug, an effort
        )
    )

    return repr(value) if is_short else ""
