"""`map_batches`: a model as a step of a pipeline of Ray Data."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any, cast

from langchain_openrouter._current_user import acting
from langchain_openrouter._extras import import_extra
from langchain_openrouter._http.retry_observer import observe_retries
from langchain_openrouter._redaction import redact
from langchain_openrouter.batch._concurrency import ConcurrencyLimit
from langchain_openrouter.batch._feed import tells_cost
from langchain_openrouter.batch._local_engine import CONGESTION
from langchain_openrouter.batch._parquet import to_arrow_column, to_output_type
from langchain_openrouter.batch._plan import build_plan, is_fatal, set_error
from langchain_openrouter.batch._ray_engine import connect
from langchain_openrouter.batch._ray_pace import Ended, Pace
from langchain_openrouter.batch._ray_pacer import Pacer
from langchain_openrouter.batch._ray_payload import pack_plan, to_user, unpack_plan
from langchain_openrouter.batch._requests import PendingRow, describe_output
from langchain_openrouter.batch._row_result import FIELDS, RowResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from langchain_openrouter.errors import OpenRouterError

__all__ = ["map_batches"]

NAMESPACE = "langchain_openrouter"
_ATTEMPTS = 8  # of a row that meets congestion, as of the local engine
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_OF_THE_BATCH = {"key", "index", "request_hash"}
_COLUMNS = tuple(name for name in FIELDS if name not in _OF_THE_BATCH)


def map_batches(  # noqa: PLR0913 - the arguments of a batch
    model: Any,
    *,
    prompt: Any = None,
    schema: Any = None,
    max_cost: float | None = None,
    max_concurrency: int | None = None,
    include_raw: bool = False,
    prefix: str = "",
    name: str | None = None,
) -> type[Any]:
    """Return a class for `Dataset.map_batches` of Ray Data, whose actors call a model for each row.

    The rows keep their columns and get those of a `RowResult`: `output`, `error_type`, `error`,
    `is_retryable`, `cost`, tokens, `provider`, `model`, `generation_id`, `finish_reason` and
    `latency`. With a schema, `output` is a struct. A row that fails has its error; it stops no
    other, unless there is no key or no row has been answered yet where the money ends.

    A named actor in the namespace `langchain_openrouter` holds one budget and one rate for all
    workers: after a 429, all slow down. It lives as long as the returned class.

    Ray Data makes a block again that was lost with a node, or where a task is retried: its rows are
    then sent, and paid, twice, and count twice in `max_cost`. `run(..., engine="ray")` writes each
    row at once instead, and goes on where it ended.

    Args:
        model: As of `run`. The key is read on the workers: see `key_from_env`, `key_from_file`.
        prompt: As of `run`.
        schema: As of `run`.
        max_cost: USD, for all rows that this class is used for. The rows that are not sent then
            have `error_type` "CostLimitError".
        max_concurrency: The highest number of requests at once, of all workers together; None
            takes 128.
        include_raw: Whether there is a column `raw` with the whole message, as JSON.
        prefix: Of the new columns' names, where the data set has a column of the same name.
        name: Of the actor. Steps with one name share its budget and its rate; the first one's
            arguments count.

    Raises:
        ImportError: The extra `ray` is not installed.
        BatchError: A key, or something that cannot be pickled, is in the model, prompt or schema.
        ValueError: An argument is not valid. In a step: a row lacks a column of the prompt, or the
            data set has one of the new columns.

    Example:
        ```python
        labels = batch.map_batches(model, prompt="Classify: {text}", schema=Label, max_cost=5)
        ds.map_batches(labels, batch_size=64, compute=ray.data.ActorPoolStrategy(size=4))
        ```
    """
    ray = connect("`map_batches`")
    plan = build_plan(model, prompt, schema, include_raw=include_raw)
    payload = pack_plan(plan)
    ConcurrencyLimit(max_concurrency)  # refuses what is not valid here, not in the actor

    actor_name = name or f"openrouter-batch-{uuid.uuid4().hex[:12]}"
    actor = (
        ray.remote(Pace)
        .options(
            name=actor_name,
            namespace=NAMESPACE,
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
        )
        .remote(max_cost, max_concurrency)
    )
    columns = tuple(item for item in _COLUMNS if include_raw or item != "raw")
    return _build_step(payload, actor, actor_name, prefix, columns)


def _build_step(
    payload: bytes, actor: Any, actor_name: str, prefix: str, columns: tuple[str, ...]
) -> type[Any]:
    class OpenRouterStep(_Step):
        """Calls a model for each row of a batch."""

        name = actor_name
        """Of the actor that holds budget and rate."""

        def __init__(self) -> None:
            super().__init__(payload, actor, prefix, columns)

        async def __call__(self, batch: Any) -> AsyncIterator[Any]:
            """Yield the batch with its new columns, as a table of pyarrow."""
            yield await self.answer(batch)

        @staticmethod
        def state() -> dict[str, Any]:
            """Return what all workers together have spent, in USD, and how many there are.

            With `requests`, `in_flight`, `limit` and `ended`, the error of rows that are no longer
            sent.
            """
            ray = import_extra("ray", "`map_batches`", "ray")
            return cast("dict[str, Any]", ray.get(actor.state.remote()))

    return OpenRouterStep


class _Step:
    """What an actor of Ray Data does with a batch."""

    def __init__(self, payload: bytes, actor: Any, prefix: str, columns: tuple[str, ...]) -> None:
        self._plan, carried = unpack_plan(payload)
        self._user = None if carried is None else to_user(carried)
        self._pacer = Pacer(actor)
        self._prefix, self._columns = prefix, columns

        schema = None if self._plan.schema is None else describe_output(self._plan.schema)
        is_vector = self._plan.kind == "embeddings"
        self._output_type = to_output_type(schema, is_vector=is_vector)

    async def answer(self, batch: Any) -> Any:
        """Return a batch, of any of Ray's formats, with its new columns.

        Raises:
            ValueError: It has one of them, or lacks a column of the prompt.
            AuthenticationError: The key is missing or refused.
            InsufficientCreditsError: There is no money left for a first row.
        """
        table = _to_table(batch)
        names = {column: f"{self._prefix}{column}" for column in self._columns}
        both = sorted(set(names.values()) & set(table.column_names))
        if both:
            msg = f"the rows have columns of the results, {', '.join(both)}: pass `prefix=`"
            raise ValueError(msg)

        rows = [
            PendingRow(index, index, self._plan.prompt.build(row), "")
            for index, row in enumerate(table.to_pylist())
        ]
        size = self._plan.group_size
        groups = [rows[start : start + size] for start in range(0, len(rows), size)]
        results = [item for group in await self._answer_all(groups) for item in group]
        for column, name in names.items():
            array = to_arrow_column(column, results, self._output_type)
            table = table.append_column(name, array)
        return table

    async def _answer_all(self, groups: list[list[PendingRow]]) -> list[list[RowResult]]:
        tasks = [asyncio.ensure_future(self._answer(group)) for group in groups]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(self, rows: list[PendingRow]) -> list[RowResult]:
        """Return results of rows that go into one request, after congestion has passed."""
        results: list[RowResult] = []

        for attempt in range(_ATTEMPTS):
            ended = await self._pacer.enter()
            if ended is not None:
                return results or [_to_unsent(row, ended) for row in rows]
            results = await self._send(rows, min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt))
            if results[0].error_type not in CONGESTION:
                break
        return results

    async def _send(self, rows: list[PendingRow], wait: float) -> list[RowResult]:
        """Send rows once; tell the pacer what came of it.

        Args:
            rows: They go into one request.
            wait: Seconds after congestion, where the service does not say how long.
        """
        started = time.monotonic()
        cost: float | None = None

        def on_retry(error: OpenRouterError) -> None:
            if type(error).__name__ in CONGESTION:
                self._pacer.on_refusal(started, error.retry_after)

        try:
            results = await self._call(rows, on_retry)
            if any(map(tells_cost, results)):
                cost = sum(result.cost or 0.0 for result in results)
            if results[0].error_type in CONGESTION:
                self._pacer.on_refusal(started, results[0].retry_after or wait)
            else:
                self._pacer.on_answer(results[0].latency or 0.0)
        finally:
            self._pacer.leave(cost)
        return results

    async def _call(self, rows: list[PendingRow], on_retry: Any) -> list[RowResult]:
        try:
            with observe_retries(on_retry):
                if self._user is None:
                    return await self._plan.answer(rows)
                with acting(self._user):
                    return await self._plan.answer(rows)
        except Exception as error:
            if not is_fatal(error) or not self._pacer.has_answers:
                raise
            # What was paid for is not thrown away with the pipeline.
            ended = Ended(type(error).__name__, redact(str(error)))
            self._pacer.end(ended)
            return [_to_failed(row, error) for row in rows]


def _to_failed(row: PendingRow, error: Exception) -> RowResult:
    result = RowResult(row.key, row.index)
    set_error(result, error)
    return result


def _to_unsent(row: PendingRow, ended: Ended) -> RowResult:
    return RowResult(row.key, row.index, None, ended.error_type, ended.error, is_retryable=True)


def _to_table(batch: Any) -> Any:
    """Return a batch of Ray Data, in any of its formats, as a table of pyarrow."""
    block = import_extra("ray.data.block", "`map_batches`", "ray")
    accessor = block.BlockAccessor
    if isinstance(batch, dict):
        return accessor.batch_to_arrow_block(batch)
    return accessor.for_block(batch).to_arrow()
