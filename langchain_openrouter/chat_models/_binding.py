"""A model with bound arguments: provider preferences are merged, private values are hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import chat_models as core
from langchain_core.runnables import RunnableBinding

from langchain_openrouter._provider_preferences import merge_provider
from langchain_openrouter._vocabulary import validate_vocabulary
from langchain_openrouter.chat_models._private_arguments import PRIVATE_KWARGS, hide, reveal
from langchain_openrouter.chat_models._refused_parameters import RELAX

if TYPE_CHECKING:
    _Base = RunnableBinding[Any, Any]
else:  # langchain-core before 1.8 has no separate class for a bound chat model
    _Base = getattr(core, "_ChatModelBinding", RunnableBinding)

_PROVIDER_KEYWORDS = ("provider", "openrouter_provider")


class ChatOpenRouterBinding(_Base):
    """A model with bound arguments, as `ChatOpenRouter.bind` returns it.

    LangChain replaces a bound argument by a later one of the same name. Here provider preferences
    are merged into the model instead, so that a later `bind` cannot weaken a privacy preference.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialize as `RunnableBinding`, which every LangChain installation can load."""
        return [*cls.get_lc_namespace(), "RunnableBinding"]

    def bind(self, **kwargs: Any) -> Any:
        """Bind further arguments.

        Args:
            **kwargs: Arguments of each call; provider preferences are merged into the model's.

        Returns:
            A new binding; this one is unchanged.
        """
        bound, prepared = prepare_bind(self.bound, kwargs)
        return self._copy(bound, {**self.kwargs, **prepared})

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Bind tools beside the bound arguments; see `ChatOpenRouter`.

        Core's binding would pass the call on to the model, and lose what is bound.

        Raises:
            ValueError: A tool or an argument is not known.
        """
        option = {name: self.kwargs[name] for name in ("use_responses_api",) if name in self.kwargs}
        model: Any = self.bound
        bound = model.bind_tools(tools, **{**option, **kwargs})

        replaced = {"tools", "tool_choice", RELAX}
        rest = {name: value for name, value in self.kwargs.items() if name not in replaced}
        return self._copy(bound.bound, {**rest, **bound.kwargs})

    def with_structured_output(self, schema: Any = None, **kwargs: Any) -> Any:
        """Return structured outputs with the bound arguments; see `ChatOpenRouter`.

        Bound tools become `tools=`; a bound tool choice is replaced.

        Raises:
            ValueError: The arguments cannot be combined.
        """
        replaced = {"tool_choice", RELAX}
        bound = {name: value for name, value in self.kwargs.items() if name not in replaced}
        model: Any = self.bound
        structured = model.with_structured_output(schema, **{**bound, **kwargs})
        return structured.with_config(self.config) if self.config else structured

    def for_user(self, key: Any, *, user: Any = None) -> Any:
        """Return this binding on another user's key; see `ChatOpenRouter.for_user`."""
        bound: Any = self.bound
        return self._copy(bound.for_user(key, user=user), self.kwargs)

    def _copy(self, bound: Any, kwargs: Any) -> Any:
        return self.__class__(
            bound=bound,
            kwargs=kwargs,
            config=self.config,
            custom_input_type=self.custom_input_type,
            custom_output_type=self.custom_output_type,
        )


def prepare_bind(model: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Split the arguments of `bind` into those of the model and those of each call.

    Args:
        model: The `ChatOpenRouter` to bind, or what wraps one (`with_retry`).
        kwargs: The arguments of `bind`.

    Returns:
        The model with the provider preferences merged in, and the arguments that remain to be
        bound, with the values of headers, queries and extra bodies hidden.

    Raises:
        ValueError: A name in the provider preferences is misspelled.
    """
    preferences, rest = _take_preferences(kwargs)
    if preferences:
        model = _with_preferences(model, preferences)
    return model, {
        name: hide(value) if name in PRIVATE_KWARGS else value for name, value in rest.items()
    }


def _take_preferences(kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the provider preferences among arguments, `extra_body` included, and the rest."""
    rest = {name: value for name, value in kwargs.items() if name not in _PROVIDER_KEYWORDS}
    preferences = [kwargs[name] for name in _PROVIDER_KEYWORDS if name in kwargs]
    body = reveal(rest.get("extra_body"))
    if isinstance(body, Mapping) and "provider" in body:
        preferences.append(body["provider"])
        rest["extra_body"] = {name: value for name, value in body.items() if name != "provider"}
    return [validate_vocabulary("provider", value) for value in preferences], rest


def _with_preferences(model: Any, preferences: list[Any]) -> Any:
    """Return a model, or what wraps one, with further provider preferences."""
    inner = getattr(model, "bound", None)
    if inner is not None:  # a retry, a fallback, ... around the model
        return model.model_copy(update={"bound": _with_preferences(inner, preferences)})

    merged = model.openrouter_provider
    for further in preferences:
        merged = merge_provider(merged, further)
    return model.model_copy(update={"openrouter_provider": merged})
