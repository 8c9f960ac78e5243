"""A model with bound arguments: provider preferences are merged, private values are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.language_models import chat_models as core
from langchain_core.runnables import RunnableBinding

from langchain_openrouter.chat_models._private_arguments import PRIVATE_KWARGS, hide
from langchain_openrouter.chat_models._request import merge_provider

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

        return self.__class__(
            bound=bound,
            kwargs={**self.kwargs, **prepared},
            config=self.config,
            custom_input_type=self.custom_input_type,
            custom_output_type=self.custom_output_type,
        )


def prepare_bind(model: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Split the arguments of `bind` into those of the model and those of each call.

    Args:
        model: The `ChatOpenRouter` to bind.
        kwargs: The arguments of `bind`.

    Returns:
        The model with the provider preferences merged in, and the arguments that remain to be
        bound, with the values of headers, queries and extra bodies hidden.
    """
    preferences = model.openrouter_provider
    for name in _PROVIDER_KEYWORDS:
        if name in kwargs:
            preferences = merge_provider(preferences, kwargs[name])
    if preferences != model.openrouter_provider:
        model = model.model_copy(update={"openrouter_provider": preferences})

    rest = {name: value for name, value in kwargs.items() if name not in _PROVIDER_KEYWORDS}
    return model, {
        name: hide(value) if name in PRIVATE_KWARGS else value for name, value in rest.items()
    }
