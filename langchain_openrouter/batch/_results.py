"""`BatchResult`: what came of a batch, in numbers; its rows are read from disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from langchain_openrouter._extras import import_extra
from langchain_openrouter.batch._row_result import FIELDS, RowResult

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_openrouter.batch._feed import Stopped
    from langchain_openrouter.batch._handles import BatchHandle
    from langchain_openrouter.batch._stats import BatchStats


@dataclass(slots=True)
class BatchResult:
    """What came of a batch. Iterating yields a `RowResult` for each row, in the input's order.

    Rows are read from the part on disk as they are iterated over; without an output they are in
    memory.
    """

    path: Path | None
    """The output; None where the results are in memory."""
    stats: BatchStats = field(repr=False)
    """Counts, tokens and costs, also by provider."""
    stopped: Stopped | None = None
    """Why the batch ended before its last row: "max_cost" or "interrupted"; None at its end."""
    total: int | None = None
    """How many rows the input has; None where it was not read to its end."""
    seconds: float = 0.0
    """How long this run took."""
    spent: float = 0.0
    """What this run and the earlier ones of this batch cost, USD."""
    cost: float = 0.0
    """What this run cost, USD."""
    done: int = 0
    """Rows with an output, those of earlier runs included."""
    failed: int = 0
    """Rows with an error."""
    handle: BatchHandle | None = field(default=None, repr=False)
    """Of batches at OpenRouter that run on after Ctrl-C, for `wait` and `collect`; else None."""
    _part: Any = field(default=None, repr=False)
    _schema: Any = field(default=None, repr=False)

    @property
    def is_complete(self) -> bool:
        """Whether each row has an output or an error."""
        return self.stopped is None

    def __iter__(self) -> Iterator[RowResult]:
        """Yield the results that there are."""
        yield from self._part.results()

    def __len__(self) -> int:
        """Return the number of results that there are."""
        return self.done + self.failed

    def errors(self) -> Iterator[RowResult]:
        """Yield the results that are errors."""
        return (result for result in self if result.is_error)

    def parsed(self) -> Iterator[Any]:
        """Yield each row's output as an instance of the schema, where it is a pydantic class.

        None stands for a row with an error.
        """
        is_class = isinstance(self._schema, type) and issubclass(self._schema, BaseModel)
        for result in self:
            is_object = is_class and result.output is not None
            yield _to_instance(self._schema, result.output) if is_object else result.output

    def to_pandas(self) -> Any:
        """Return the results as a data frame of pandas; with a schema, a column for each field.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = import_extra("pandas", "`to_pandas`")
        records = [_flat_record(result) for result in self]
        return pandas.DataFrame.from_records(records, columns=None if records else FIELDS)

    def __repr__(self) -> str:
        """Show the counts and the cost in one line."""
        total = "" if self.total is None else f" of {self.total:,}"
        parts = [f"{self.done:,}{total} rows done", f"{self.failed:,} failed", f"${self.spent:.6f}"]
        if self.stopped:
            parts.append(f"stopped: {self.stopped}")
        if self.path is not None:
            parts.append(str(self.path))
        return f"<{', '.join(parts)}>"

    def _repr_html_(self) -> str:
        from langchain_openrouter.batch._report import to_html  # noqa: PLC0415 - in notebooks alone

        return to_html(self)


def _to_instance(schema: type[BaseModel], output: Any) -> BaseModel:
    """Return an output as an instance: fields by whichever name they have, computed ones anew."""
    if isinstance(output, dict):
        computed = {c.alias or name for name, c in schema.model_computed_fields.items()}
        names = {field.serialization_alias: name for name, field in schema.model_fields.items()}
        output = {names.get(n, n): value for n, value in output.items() if n not in computed}
    return schema.model_validate(output, by_alias=True, by_name=True)


def _flat_record(result: RowResult) -> dict[str, Any]:
    """Return a result as a row of a table: the fields of an object in place of the object."""
    record = {name: getattr(result, name) for name in FIELDS if name != "raw"}
    if isinstance(result.output, dict):
        del record["output"]
        fields = {
            f"output_{name}" if name in record else name: value
            for name, value in result.output.items()
        }
        record = {"key": record.pop("key"), "index": record.pop("index"), **fields, **record}

    return record
