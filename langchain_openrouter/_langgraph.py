"""The thread id of a LangGraph run, and warnings of keys in what LangGraph stores in plain text."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import var_child_runnable_config
from pydantic import SecretStr

from langchain_openrouter._key_object import KeyObject, warn_of_key_object
from langchain_openrouter._redaction import contains_api_key

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_KEY_LENGTH = 1000  # characters
_warned = False
THREAD = "thread"
"""The `session_id` that stands for the thread of the LangGraph run."""
MAX_SESSION_ID = 256  # characters


def resolve_session_id(session_id: str | None) -> str | None:
    """Return the session id to send: None for an empty one, the thread's for `"thread"`.

    The id of a LangGraph thread is sent as it is, a longer one than the API accepts as its SHA-256.

    Returns:
        None outside a run that has a `thread_id`, where `session_id` is `"thread"`.
    """
    if session_id != THREAD:
        return session_id or None

    config = var_child_runnable_config.get()
    configurable = config.get("configurable") if config else None
    thread_id = (configurable or {}).get("thread_id")
    text = "" if thread_id is None else str(thread_id)
    if len(text) > MAX_SESSION_ID:
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return text or None


def warn_if_key_in(values: Mapping[str, Any] | None, name: str) -> None:
    """Warn, once in a process, of a string that looks like a key.

    Args:
        values: A part of the run's configuration.
        name: The name of that part, for the message.

    See https://docs.langchain.com/oss/python/langgraph/persistence: checkpoints hold the
    configuration and its metadata.
    """
    global _warned  # noqa: PLW0603 - once is the point
    if _warned or not values:
        return

    for key, value in values.items():
        if isinstance(value, str) and len(value) <= _MAX_KEY_LENGTH and contains_api_key(value):
            _warned = True
            msg = (
                f"what looks like a key travels in {name}[{key!r}]: LangGraph writes it into "
                "checkpoints and traces in plain text. Pass `context=` and use "
                "`langchain_openrouter.middleware.PerUserModel`, or `model.for_user(key)`."
            )
            warnings.warn(msg, UserWarning, stacklevel=2)
            return


def warn_if_key_in_run_config(run_manager: Any) -> None:
    """Warn of a key in the configuration or the metadata of a LangGraph run."""
    config = var_child_runnable_config.get()
    configurable = config.get("configurable") if config else None
    if configurable and "checkpoint_ns" in configurable:
        warn_if_key_in(configurable, "config['configurable']")
        warn_if_key_in(getattr(run_manager, "metadata", None), "config['metadata']")


def warn_if_key_in_state(state: Any) -> None:
    """Warn of an object with a key in a graph's state, such as a model or a `UserKey`."""
    for name, value in dict(state).items():
        secrets = (getattr(value, field, None) for field in ("openai_api_key", "api_key"))
        if isinstance(value, KeyObject) or any(isinstance(key, SecretStr) for key in secrets):
            warn_of_key_object(type(value).__name__, f"the state of a graph, as {name!r}")
