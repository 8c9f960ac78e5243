"""Counting tokens: estimates, without the network and without a tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages.utils import count_tokens_approximately

from langchain_openrouter.chat_models._tools import to_wire_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.messages import BaseMessage


class TokenCountsMixin:
    """The methods of `ChatOpenRouter` that count tokens."""

    if TYPE_CHECKING:
        custom_get_token_ids: Callable[[str], list[int]] | None

    def get_token_ids(self, text: str) -> list[int]:
        """Return the token ids of the `custom_get_token_ids` field.

        Raises:
            NotImplementedError: The field is not set. A slug does not identify a tokenizer.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        msg = "OpenRouter models have tokenizers of their own: pass `custom_get_token_ids=`"
        raise NotImplementedError(msg)

    def get_num_tokens(self, text: str) -> int:
        """Return an estimate, four characters a token, unless `custom_get_token_ids` is set."""
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return (len(text) + 3) // 4

    def get_num_tokens_from_messages(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[Any] | None = None,
        *,
        allow_fetching_images: bool = True,
    ) -> int:
        """Return an estimate, without the network and without a tokenizer.

        Args:
            messages: The conversation.
            tools: Counted too, in any form that `bind_tools` accepts.
            allow_fetching_images: Ignored; no image is fetched.
        """
        del allow_fetching_images
        wire_tools = [to_wire_tool(tool) for tool in tools] if tools else None
        return count_tokens_approximately(messages, tools=wire_tools)  # type: ignore[arg-type]
