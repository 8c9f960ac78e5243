"""A warning where a key travels in a place that LangGraph writes down in plain text."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import var_child_runnable_config
from pydantic import SecretStr

from langchain_openrouter._key_object import KeyObject, warn_of_object
from langchain_openrouter._redaction import contains_api_key

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 1000  # characters: no key is longer
_warned = False


def warn_of_keys(place: str, values: Mapping[str, Any] | None) -> None:
    """Warn, once in a process, of a string that looks like a key.

    See https://docs.langchain.com/oss/python/langgraph/persistence: checkpoints hold the
    configuration and its metadata.
    """
    global _warned  # noqa: PLW0603 - once is the point
    if _warned or not values:
        return
    for name, value in values.items():
        if isinstance(value, str) and len(value) <= _LONGEST and contains_api_key(value):
            _warned = True
            msg = (
                f"what looks like a key travels in {place}[{name!r}]: LangGraph writes it into "
                "checkpoints and traces in plain text. Pass `context=` and use "
                "`langchain_openrouter.middleware.PerUserModel`, or `model.for_user(key)`."
            )
            warnings.warn(msg, UserWarning, stacklevel=2)
            return


def warn_in_graph(run_manager: Any) -> None:
    """Warn of a key in what LangGraph hands the run that goes on."""
    config = var_child_runnable_config.get()
    configurable = config.get("configurable") if config else None
    if configurable and "checkpoint_ns" in configurable:
        warn_of_keys("config['configurable']", configurable)
        warn_of_keys("config['metadata']", getattr(run_manager, "metadata", None))


def warn_of_state(state: Any) -> None:
    """Warn of a value of a graph's state that holds a key: a model with one, a `UserKey`, ..."""
    for name, value in dict(state).items():
        secrets = (getattr(value, field, None) for field in ("openai_api_key", "api_key"))
        if isinstance(value, KeyObject) or any(isinstance(key, SecretStr) for key in secrets):
            warn_of_object(type(value).__name__, f"the state of a graph, as {name!r}")
