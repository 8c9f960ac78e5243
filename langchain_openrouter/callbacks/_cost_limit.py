"""`CostLimit`: a ceiling for what runs inside a `with`, or in a run that has it as a callback."""

from __future__ import annotations

from typing import Self

from langchain_core.callbacks import BaseCallbackHandler

from langchain_openrouter._cost_meter import CostMeter
from langchain_openrouter._http.metering import add_meter, remove_meter

__all__ = ["CostLimit"]


class CostLimit(CostMeter, BaseCallbackHandler):
    """Refuse calls when what OpenRouter charged has reached a ceiling.

    As a context manager, sync or async, it counts the calls inside: of chat models, embeddings and
    rerank, in chains, agents, batches, threads and tasks, on whatever key. As a callback
    (`config={"callbacks": [limit]}`) it counts those of the run. Several ceilings all hold.

    Reached, the next call raises `CostLimitError`. Answers of LangChain's cache are free. A stream
    that was left is counted when `GET /generation` knows its cost, which is asked before the next
    call and by `settle`. Calls that run side by side hold what their model's calls have cost for
    their size, and the first one of a model all that is left: others wait meanwhile. So the ceiling
    is exceeded by no more than what running calls cost beyond that.

    The `stream` of a model that was created inside is counted wherever it is read; any other
    generator only while it runs inside.

    Args:
        max_cost: USD.
        before: "estimate" also refuses a call whose estimate does not fit: its prompt and as much
            output as `max_tokens` allows, or 16,384 tokens, at the prices of `GET /models`.
        store: A store of bytes that other processes share, such as `RedisStore`: they count
            together under one `name`. A call of a process that died holds its share for a minute.
        name: The ceiling's name in the store.

    Raises:
        ValueError: An argument is not valid.

    Example:
        ```python
        from langchain_openrouter.callbacks import CostLimit

        with CostLimit(0.50) as limit:
            model.invoke("Why is the sky blue?")
        print(limit.spent, limit.by_model)
        ```
    """

    raise_error = True

    def __enter__(self) -> Self:
        """Count the calls from here on."""
        if self.is_shared:
            self.refresh()
        add_meter(self, self)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop counting; what belongs into a shared store is written."""
        remove_meter(self)
        self.flush()

    async def __aenter__(self) -> Self:
        """Count the calls from here on."""
        if self.is_shared:
            await self.arefresh()
        add_meter(self, self)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Stop counting like `__exit__`."""
        remove_meter(self)
        await self.aflush()
