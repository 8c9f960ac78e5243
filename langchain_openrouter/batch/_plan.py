"""`RowPlan`: how a row becomes a result. The same for each engine, and picklable.

An engine gives `answer` one row after another, or several where the plan takes them together.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from pydantic import BaseModel

from langchain_openrouter import errors
from langchain_openrouter._http.metering import metered
from langchain_openrouter._json import get_str
from langchain_openrouter._redaction import redact
from langchain_openrouter.batch._direct_calls import direct_call
from langchain_openrouter.batch._prompts import Kind, Prompt, build_prompt
from langchain_openrouter.batch._row_costs import RowMeter
from langchain_openrouter.batch._row_result import RowResult
from langchain_openrouter.chat_models import ChatOpenRouter
from langchain_openrouter.embeddings import OpenRouterEmbeddings
from langchain_openrouter.rerank import OpenRouterRerank

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from langchain_openrouter.batch._requests import PendingRow


@dataclass(frozen=True)
class RowPlan:
    """A model, a prompt and a schema, which make a result of a row."""

    model: Any
    """The model as it was passed; where rows are run, `call` is made of it."""
    kind: Kind
    prompt: Prompt
    schema: Any = None
    include_raw: bool = False
    _caller: list[Any] = field(default_factory=list, compare=False, repr=False)

    @property
    def group_size(self) -> int:
        """How many rows go into one request, at most: more than one for embeddings alone."""
        return self.model.chunk_size if self.kind == "embeddings" else 1

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was built, which is built again where it is needed."""
        return {**self.__dict__, "_caller": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore."""
        self.__dict__.update(state)

    @property
    def call(self) -> Callable[[Any], Awaitable[Any]]:
        """What is called with the input of a row; built where rows are run."""
        if not self._caller:
            self._caller.append(self._build_call())
        call: Callable[[Any], Awaitable[Any]] = self._caller[0]
        return call

    def _build_call(self) -> Callable[[Any], Awaitable[Any]]:
        if self.kind == "rerank":
            return partial(_rerank, self.model)
        if self.schema is not None:
            structured = self.model.with_structured_output(self.schema, include_raw=True)
            return structured.ainvoke  # type: ignore[no-any-return]
        return direct_call(self.model) or self.model.ainvoke

    async def answer(self, rows: Sequence[PendingRow]) -> list[RowResult]:
        """Return a result for each row, in order.

        Args:
            rows: At most `group_size` of them.

        Raises:
            AuthenticationError: The key is missing or refused: so would be all other rows.
            InsufficientCreditsError: There is no money left.
            CostLimitError: A ceiling around the batch is reached.
        """
        if self.kind == "embeddings":
            return await _embed(self.model, rows)
        return [await self._answer_one(row) for row in rows]

    async def _answer_one(self, row: PendingRow) -> RowResult:
        result = RowResult(row.key, row.index, request_hash=row.request_hash)
        meter, start = RowMeter(), time.perf_counter()

        with metered(meter):
            try:
                self._read(await self.call(row.input), result)
            except Exception as error:
                if is_fatal(error):
                    raise
                set_error(result, error)
        result.latency = round(time.perf_counter() - start, 4)
        meter.fill(result)
        return result

    def _read(self, answer: Any, result: RowResult) -> None:
        """Write an answer, or what does not fit the schema, into a result."""
        message = find_message(answer)
        if self.schema is None:
            result.output = to_output(answer)
        else:
            result.output = to_output(answer["parsed"])
            if answer["parsing_error"] is not None:
                set_error(result, answer["parsing_error"])

        if message is not None:
            result.finish_reason = get_str(message.response_metadata, "finish_reason")
            if self.include_raw or result.is_error:
                result.raw = message.model_dump(mode="json")


def build_plan(model: Any, prompt: Any, schema: Any, *, include_raw: bool = False) -> RowPlan:
    """Return the plan of a batch.

    Raises:
        TypeError: The model or the prompt is something that cannot be called for a row.
        ValueError: The prompt is no template, or there is a schema and no chat model for it.
    """
    kind = _kind_of(model)
    if schema is not None and not hasattr(model, "with_structured_output"):
        msg = f"`schema` needs a chat model, not {type(model).__name__}: put it into the chain"
        raise ValueError(msg)
    return RowPlan(model, kind, build_prompt(prompt, kind), schema, include_raw)


def _kind_of(model: Any) -> Kind:
    if isinstance(model, OpenRouterEmbeddings):
        return "embeddings"
    if isinstance(model, OpenRouterRerank):
        return "rerank"
    if isinstance(_unbound(model), ChatOpenRouter):
        return "chat"
    if hasattr(model, "nodes") and hasattr(model, "channels"):  # a graph of LangGraph
        return "agent"
    if isinstance(model, Runnable):
        return "runnable"
    hint = f": ChatOpenRouter(model={model!r})" if isinstance(model, str) else ""
    msg = f"a batch needs a model or a Runnable, not {type(model).__name__}{hint}"

    raise TypeError(msg)


def _unbound(model: Any) -> Any:
    """Return the model inside `bind`, `with_retry` and the like."""
    while isinstance(model, Runnable) and hasattr(model, "bound"):
        model = model.bound
    return model


# --- errors -----------------------------------------------------------------------------------


def is_fatal(error: BaseException) -> bool:
    """Tell whether all other rows would meet the same error: no key, or no money."""
    if isinstance(error, errors.AuthenticationError | errors.CostLimitError):
        return True
    return (
        isinstance(error, errors.InsufficientCreditsError)
        and not error.is_retryable
        and error.reason != "weight_exceeds_budget"
    )


def set_error(result: RowResult, error: BaseException) -> None:
    """Write an error into the result of a row."""
    result.error_type = type(error).__name__
    result.error = redact(str(error)) or type(error).__name__
    result.is_retryable = bool(getattr(error, "is_retryable", False))
    if isinstance(error, errors.OpenRouterError):
        result.generation_id = error.generation_id
        result.provider = error.provider
        result.retry_after = error.retry_after

    if isinstance(error, OutputParserException | errors.RefusalError):
        result.is_retryable = False


# --- outputs ----------------------------------------------------------------------------------


def find_message(answer: Any) -> AIMessage | None:
    """Return the message of an answer, where there is one."""
    if isinstance(answer, Mapping):
        answer = answer.get("raw") or (answer.get("messages") or [None])[-1]
    return answer if isinstance(answer, AIMessage) else None


def to_output(answer: Any) -> Any:
    """Return what a call returned as the output of a row, which is JSON.

    A message becomes its text, an object its fields, and the state of an agent its structured
    answer or the text of its last message.
    """
    if isinstance(answer, AIMessage):
        return answer.text
    if isinstance(answer, BaseModel):
        return answer.model_dump(mode="json", by_alias=True)  # the names of its schema
    if isinstance(answer, Mapping):
        return _mapping_to_output(answer)
    return [to_output(item) for item in answer] if isinstance(answer, list | tuple) else answer


def _mapping_to_output(answer: Mapping[Any, Any]) -> Any:
    if "structured_response" in answer:
        return to_output(answer["structured_response"])
    if isinstance(answer.get("messages"), list) and answer["messages"]:
        return to_output(answer["messages"][-1])
    return {str(name): to_output(value) for name, value in answer.items()}


# --- beside chat ------------------------------------------------------------------------------


async def _embed(model: OpenRouterEmbeddings, rows: Sequence[PendingRow]) -> list[RowResult]:
    """Embed rows in one request; where it is refused, each row in one of its own."""
    results = [RowResult(row.key, row.index, request_hash=row.request_hash) for row in rows]
    meter, start = RowMeter(), time.perf_counter()

    with metered(meter):
        try:
            answer = await model.aembed([row.input for row in rows])
        except Exception as error:
            if is_fatal(error):
                raise
            if len(rows) > 1 and not getattr(error, "is_retryable", False):
                return [result for row in rows for result in await _embed(model, [row])]
            for result in results:
                set_error(result, error)
        else:
            for result, vector in zip(results, answer.vectors, strict=True):
                result.output = vector

    meter.fill(*results)
    for result in results:
        result.latency = round(time.perf_counter() - start, 4)
    return results


async def _rerank(model: OpenRouterRerank, row: Any) -> list[dict[str, Any]]:
    """Return the ranking of a row: the documents' indices and scores, best first.

    Raises:
        ValueError: The row has no query or no documents.
    """
    query = row.get("query") if isinstance(row, Mapping) else None
    documents = row.get("documents") if isinstance(row, Mapping) else None
    if not isinstance(query, str) or not isinstance(documents, list | tuple):
        msg = "a row for rerank has `query`, a text, and `documents`, a list"
        raise ValueError(msg)  # noqa: TRY004 - of the row, as a missing column

    ranking = await model.arerank(query, documents)
    return [{"index": item.index, "relevance_score": item.score} for item in ranking.results]
