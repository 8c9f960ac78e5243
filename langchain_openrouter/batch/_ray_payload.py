"""A plan as bytes for Ray's workers, which hold no key.

What is sent to an actor is in Ray's object store, in the tables of its head node and, where it is
spilled, on disks. So a key travels only as a callable that reads it on the worker.
"""

from __future__ import annotations

import io
import os
import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import SecretBytes, SecretStr

from langchain_openrouter._current_user import user_of_key
from langchain_openrouter._extras import import_extra
from langchain_openrouter._http.metering import meters_in_context
from langchain_openrouter._http.run_key import User, user_of_run
from langchain_openrouter._key_object import KeyObject
from langchain_openrouter._redaction import contains_api_key, redact
from langchain_openrouter.errors import BatchError
from langchain_openrouter.settings import EnvironmentKey

if TYPE_CHECKING:
    from langchain_openrouter.batch._plan import RowPlan

_HOW = (
    "Ray keeps what workers get in its object store and tables. Let each worker read the key: set "
    "OPENROUTER_API_KEY where the nodes are started and leave `api_key=` out, or pass "
    "`api_key=key_from_env(name)`, `api_key=key_from_file(path)` or another callable that reads it "
    "there. Do not set it by `runtime_env`, which Ray stores and logs"
)


class Payload(NamedTuple):
    """What a worker needs."""

    plan: RowPlan
    user: tuple[Any, str | None, str | None, bool] | None
    """The callable key, id, base URL and strictness of `as_user`."""


def pack_plan(plan: RowPlan) -> bytes:
    """Return a plan, and the user whose run this is, as bytes.

    Raises:
        BatchError: A key is in them, or something that cannot be pickled; or the caller's context
            has what does not reach other machines: a ceiling or a count of costs, or the user of a
            graph's run.
    """
    ray_cloudpickle = import_extra("ray.cloudpickle", 'engine="ray"', "ray")
    payload = Payload(plan, _portable_user())

    buffer = io.BytesIO()
    try:
        _keyless_pickler(ray_cloudpickle.CloudPickler)(buffer).dump(payload)
    except BatchError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever an object's `__reduce__` raises
        msg = f"the model, prompt or schema cannot be sent to workers: {redact(str(error))}"
        raise BatchError(msg) from None

    data = buffer.getvalue()
    _require_no_key(data)
    return data


def unpack_plan(data: bytes) -> Payload:
    """Return what `pack_plan` was called with."""
    payload: Payload = pickle.loads(data)  # noqa: S301 - of the driver, over Ray's own pickles
    return payload


def _portable_user() -> tuple[Any, str | None, str | None, bool] | None:
    if meters_in_context():
        msg = (
            "a ceiling or a count of costs around the batch does not reach Ray's workers: use "
            "`max_cost=` and the costs of the results"
        )
        raise BatchError(msg)

    user = user_of_run()
    if user is None:
        return None
    if not isinstance(user, User) or not callable(user.key):
        msg = f"the user of this run has a key that would be sent along. {_HOW}, in `as_user` too"
        raise BatchError(msg)
    return user.key, user.user, user.base_url, user.strict


def to_user(carried: tuple[Any, str | None, str | None, bool]) -> User:
    """Return the user that a payload carries."""
    key, user_id, base_url, is_strict = carried
    user = user_of_key(key, user=user_id, strict=is_strict)
    return User(user.key, user.user, base_url, user.strict)


def _keyless_pickler(base: Any) -> Any:
    class KeylessPickler(base):  # type: ignore[misc]
        """Refuses secrets, wherever they are: in fields, closures and globals of callables."""

        def reducer_override(self, value: Any) -> Any:
            if _is_secret(value):
                msg = f"a {type(value).__name__} is in the model, prompt or schema. {_HOW}"
                raise BatchError(msg)
            return super().reducer_override(value)

    return KeylessPickler


def _is_secret(value: Any) -> bool:
    if isinstance(value, EnvironmentKey):  # pickles as "read it there"
        return False
    return isinstance(value, SecretStr | SecretBytes | KeyObject) and bool(value)


def _require_no_key(data: bytes) -> None:
    """Look for keys in plain texts: in headers, defaults of functions and the like.

    Raises:
        BatchError: There is one.
    """
    own = os.environ.get("OPENROUTER_API_KEY", "").strip()

    if contains_api_key(data.decode("latin-1")) or (own and own.encode() in data):
        msg = f"an API key is in the model, prompt or schema. {_HOW}"
        raise BatchError(msg)


def refuse_key_in_environment(options: Any) -> None:
    """Refuse a `runtime_env` with a key.

    Args:
        options: Options of an actor, or None.

    Raises:
        BatchError: One of its variables looks like a key, or is OPENROUTER_API_KEY.
    """
    environment = (options or {}).get("runtime_env") or {}
    variables = dict(environment.get("env_vars") or {})

    if "OPENROUTER_API_KEY" in variables or any(map(contains_api_key, variables.values())):
        msg = f"`runtime_env` has an API key. {_HOW}"
        raise BatchError(msg)
