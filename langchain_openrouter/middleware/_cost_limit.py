"""`CostLimit`: a ceiling for each run of an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware

from langchain_openrouter._cost_meter import CostMeter
from langchain_openrouter.middleware._graph_channels import add_costs_channel, check_costs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from decimal import Decimal

    from langchain.agents.middleware import ModelRequest, ModelResponse

__all__ = ["CostLimit"]


class CostLimit(AgentMiddleware[Any, Any, Any]):
    """Refuse the calls of an agent's run when what OpenRouter charged has reached a ceiling.

    It counts the complete run, at any position in `middleware=`: the agent's model, and every
    ChatOpenRouter, embeddings and rerank that other middleware, tools and subagents call. See
    `callbacks.CostLimit` for what is counted and how far a ceiling can be exceeded.

    Args:
        max_cost: USD for each run; or a `callbacks.CostLimit`, which counts all runs together, in
            several processes too if it has a store.

    Raises:
        ValueError: It is no amount.
        CostLimitError: In the call: the ceiling is reached.
        RuntimeError: In the call: this LangGraph does not let other middleware be counted.
    """

    def __init__(self, max_cost: float | Decimal | CostMeter) -> None:
        super().__init__()
        self.state_schema = add_costs_channel(meter_factory(max_cost), type(self).state_schema)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Check that the run can be counted."""
        check_costs()
        return handler(request)

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Check like `wrap_model_call`."""
        check_costs()
        return await handler(request)


def meter_factory(max_cost: Any) -> Callable[[], CostMeter]:
    """Return a function that makes the ceiling of a run: a new one for an amount.

    Raises:
        ValueError: It is no amount.
    """
    if isinstance(max_cost, CostMeter):
        return lambda: max_cost
    CostMeter(max_cost)
    return lambda: CostMeter(max_cost)
