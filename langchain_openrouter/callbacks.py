"""What calls used and cost, added up: `with get_openrouter_callback() as used: ...`."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.tracers.context import register_configure_hook

from langchain_openrouter import _html
from langchain_openrouter._json import get_dict, get_int, get_number, get_str

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from langchain_core.outputs import LLMResult

_PROVIDER = "openrouter"


@dataclass(slots=True)
class Used:
    """Sums of some calls. Cost in USD; of tokens, `cached` were read from a prompt cache."""

    requests: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float = 0.0

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    def add(self, message: AIMessage) -> None:
        """Add an answer."""
        usage: Any = message.usage_metadata or {}
        self.requests += 1
        self.input_tokens += get_int(usage, "input_tokens") or 0
        self.output_tokens += get_int(usage, "output_tokens") or 0
        self.cached_tokens += get_int(get_dict(usage, "input_token_details"), "cache_read") or 0
        self.reasoning_tokens += get_int(get_dict(usage, "output_token_details"), "reasoning") or 0
        self.cost += get_number(message.response_metadata, "cost") or 0.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose calls are added up apart: served model, provider, and the wire's `user`."""

    model: str
    provider: str = ""
    user: str = ""


class OpenRouterUsage(BaseCallbackHandler):
    """Adds up every answer of OpenRouter's; threads and tasks may share one.

    Attributes:
        total: All calls.
        by: Apart, by `Caller`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = Used()
        self.by: dict[Caller, Used] = {}
        self._users: dict[UUID, str] = {}
        self._lock = threading.Lock()

    @property
    def cost(self) -> float:
        """USD, of all calls."""
        return self.total.cost

    def by_model(self) -> dict[str, Used]:
        """Return the sums of each served model."""
        return self._grouped("model")

    def by_provider(self) -> dict[str, Used]:
        """Return the sums of each provider."""
        return self._grouped("provider")

    def by_user(self) -> dict[str, Used]:
        """Return the sums of each `user` that was sent."""
        return self._grouped("user")

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Remember for whom a call is."""
        del serialized, messages
        user = get_str(kwargs.get("invocation_params"), "user")
        if user:
            with self._lock:
                self._users[run_id] = user

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Add the answers of a call."""
        del kwargs
        with self._lock:
            user = self._users.pop(run_id, "")
            for generation in (one for many in response.generations for one in many):
                message = generation.message if isinstance(generation, ChatGeneration) else None
                if not isinstance(message, AIMessage):
                    continue
                said = message.response_metadata
                if said.get("model_provider") != _PROVIDER:
                    continue
                caller = Caller(
                    get_str(said, "model_name") or "", get_str(said, "provider") or "", user
                )
                self.by.setdefault(caller, Used()).add(message)
                self.total.add(message)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Count a call that failed; what it cost is not known."""
        del error, kwargs
        with self._lock:
            self._users.pop(run_id, None)
            self.total.failed += 1

    def _grouped(self, name: str) -> dict[str, Used]:
        found: dict[str, Used] = {}
        with self._lock:
            for caller, used in self.by.items():
                into = found.setdefault(getattr(caller, name), Used())
                for part in Used.__slots__:
                    setattr(into, part, getattr(into, part) + getattr(used, part))
        return found

    def __repr__(self) -> str:
        """Say the sums in a line."""
        total = self.total
        return (
            f"<{total.requests} requests, {total.input_tokens} + {total.output_tokens} tokens, "
            f"{total.cached_tokens} cached, ${total.cost:.6f}>"
        )

    def _repr_html_(self) -> str:
        head = ("model", "provider", "user", "requests", "in", "cached", "out", "USD")
        keys = sorted(self.by, key=lambda key: (key.model, key.provider, key.user))
        rows = [((key.model, key.provider, key.user), self.by[key]) for key in keys]
        rows.append((("all", "", ""), self.total))
        return _html.table(head, (_cells(names, totals) for names, totals in rows))


def _cells(names: tuple[str, str, str], totals: Used) -> tuple[str, ...]:
    numbers = (totals.requests, totals.input_tokens, totals.cached_tokens, totals.output_tokens)
    return (*names, *map(str, numbers), f"{totals.cost:.6f}")


_current: ContextVar[OpenRouterUsage | None] = ContextVar("openrouter_usage", default=None)
register_configure_hook(_current, inheritable=True)


@contextmanager
def get_openrouter_callback() -> Iterator[OpenRouterUsage]:
    """Add up what is used inside: chains, agents, batches, threads and tasks included.

    Example:
        ```python
        from langchain_openrouter.callbacks import get_openrouter_callback

        with get_openrouter_callback() as used:
            model.invoke("Why is the sky blue?")
        print(used.cost, used.by_provider())
        ```
    """
    used = OpenRouterUsage()
    token = _current.set(used)
    try:
        yield used
    finally:
        _current.reset(token)
