"""A model with bound arguments: preferences are merged, what is private shows nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.language_models import chat_models as core
from langchain_core.runnables import RunnableBinding

from langchain_openrouter.chat_models._private_arguments import PRIVATE_KWARGS, hide
from langchain_openrouter.chat_models._request import merge_provider

if TYPE_CHECKING:
    _Base = RunnableBinding[Any, Any]
else:  # langchain-core before 1.8 has no class of its own for a bound chat model
    _Base = getattr(core, "_ChatModelBinding", RunnableBinding)

_PROVIDER_WORDS = ("provider", "openrouter_provider")


class ChatOpenRouterBinding(_Base):
    """What `ChatOpenRouter.bind` returns; `RunnableBinding` but for `bind` itself.

    LangChain replaces a bound argument by a later one of the same name. Provider preferences
    are merged into the model instead, so that privacy that was asked for once stays asked for.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialize as `RunnableBinding`, which any LangChain can load."""
        return [*cls.get_lc_namespace(), "RunnableBinding"]

    def bind(self, **kwargs: Any) -> Any:
        """Bind further arguments."""
        bound, prepared = prepare_bind(self.bound, kwargs)
        return self.__class__(
            bound=bound,
            kwargs={**self.kwargs, **prepared},
            config=self.config,
            custom_input_type=self.custom_input_type,
            custom_output_type=self.custom_output_type,
        )


def prepare_bind(model: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the model with bound provider preferences, and the arguments left to bind."""
    preferences = model.openrouter_provider
    for name in _PROVIDER_WORDS:
        if name in kwargs:
            preferences = merge_provider(preferences, kwargs[name])
    if preferences != model.openrouter_provider:
        model = model.model_copy(update={"openrouter_provider": preferences})

    rest = {name: value for name, value in kwargs.items() if name not in _PROVIDER_WORDS}
    return model, {
        name: hide(value) if name in PRIVATE_KWARGS else value for name, value in rest.items()
    }
