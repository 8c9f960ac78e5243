"""The request that a reply is rendered for: its body, ids, route and use of the prompt cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_openrouter.testing.emulator._prompt_cache import CacheUse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_openrouter.testing.emulator._routing import Route


@dataclass(frozen=True, slots=True)
class Context:
    """What a response depends on beside its reply."""

    body: Mapping[str, Any]
    """The request's."""
    generation_id: str
    created: int
    """Unix time in seconds."""
    route: Route
    cache_use: CacheUse = field(default_factory=CacheUse)
    is_byok: bool = False
    """Whether it is sent with the provider's key of the account's own."""

    @property
    def streamed(self) -> bool:
        """Whether the request is for events."""
        return self.body.get("stream") is True

    @property
    def model(self) -> str:
        """The slug that is served."""
        return self.route.model

    @property
    def provider(self) -> str:
        """The provider's display name."""
        return self.route.provider
