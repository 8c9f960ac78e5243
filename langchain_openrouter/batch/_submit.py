"""`submit` and `asubmit`: rows to OpenRouter's Batch API, at half the price.

See https://openrouter.ai/docs/guides/features/batch-api.
"""

from __future__ import annotations

import asyncio
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_openrouter import errors
from langchain_openrouter._cost_meter import CostMeter
from langchain_openrouter._http.metering import meters_in_context
from langchain_openrouter.batch._batch_api import OpenRouterBatches
from langchain_openrouter.batch._batch_requests import build_requests
from langchain_openrouter.batch._draft import (
    COMPLETION_WINDOW,
    Draft,
    SubmitOptions,
    find_batch_variant,
    hash_description,
    make_handle,
    new_run,
    validate_cost,
    validate_earlier,
)
from langchain_openrouter.batch._handles import BatchHandle
from langchain_openrouter.batch._lock import OutputLock
from langchain_openrouter.batch._plan import build_plan
from langchain_openrouter.batch._requests import (
    PendingRow,
    describe_batch,
    hash_request,
    row_key,
)
from langchain_openrouter.batch._row_index import RowIndex
from langchain_openrouter.batch._rows import open_rows
from langchain_openrouter.batch._spool import Spool
from langchain_openrouter.batch._steps import atake_steps, take_steps
from langchain_openrouter.batch._submission import submission
from langchain_openrouter.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from langchain_openrouter._catalog_types import Models
    from langchain_openrouter.batch._steps import Steps

__all__ = ["asubmit", "submit"]

_MAX_NAMES = 3  # batches that a warning names


def submit(  # noqa: PLR0913 - the arguments of a batch
    model: Any,
    rows: Any,
    *,
    prompt: Any = None,
    schema: Any = None,
    key: str | None = None,
    max_cost: float | None = None,
    handle_path: str | PathLike[str] | None = None,
    resume: BatchHandle | None = None,
    callback_url: str | None = None,
    completion_window: str = COMPLETION_WINDOW,
) -> BatchHandle:
    """Submit rows to OpenRouter's Batch API: half the price, and answers within a day.

    All rows are built and checked before the first is sent, then sent in batches of up to 5,000
    requests. A submission that was cut off, by whatever, goes on with the same call: with a
    `handle_path`, where each batch is written down before and after it is sent; or with `resume`. A
    batch whose creation was not answered is looked for first, so that nothing is paid for twice;
    that can take two minutes. Where batches run that may be it, or another user's, a warning names
    them: `wait` waits for them, their results tell `collect`, and where it was none of them, the
    same call sends the rows. A call whose batches are all there sends nothing.

    Args:
        model: A `ChatOpenRouter`, also bound, or a chain of a prompt, one and a parser; or
            `OpenRouterEmbeddings`. Its slug may end in `:batch` or not.
        rows: As of `run`.
        prompt: As of `run`.
        schema: As of `run`. The method is chosen at once, and a model is asked once: a row whose
            answer does not fit ends in an error.
        key: As of `run`.
        max_cost: USD. Nothing is sent if the rows may cost more, by the listed prices, an
            approximate count of tokens and the model's `max_tokens`, which it needs: a batch
            cannot be stopped once it was submitted.
        handle_path: A file that holds the handle, also while it is submitted.
        resume: The handle of a submission that was cut off: an error's `handle`.
        callback_url: An https URL that OpenRouter calls when a batch has ended.
        completion_window: "24h", the only one there is.

    Raises:
        ModelUnavailableError: The Batch API does not run the model.
        ValueError: It takes something of the model, or of a row, in no batch: what is not text,
            deferred tools, web search, an agent, provider preferences other than `only` and
            `allow_fallbacks`, ... Nothing was sent.
        BatchError: The rows may cost more than `max_cost`, or two have one key.
        BatchChangedError: `handle_path` is of other rows, another model, prompt or schema, or was
            begun with a key of another workspace.
        OpenRouterError: A batch was refused, or its creation was not answered; `error.handle` is
            what there is.

    Example:
        ```python
        from langchain_openrouter.batch import collect, submit, wait

        handle = submit(model, "prompts.jsonl", prompt="Classify: {text}", handle_path="job.json")
        wait(handle, model)
        for row in collect(handle, model):
            print(row.key, row.output, row.cost)
        ```
    """
    options = SubmitOptions(max_cost, callback_url, completion_window)
    job = _Job(model, rows, prompt, schema, key, handle_path, resume)
    with job.locked(), Spool() as spool:
        draft = job.draft(spool)
        models = job.builder.resource(Catalog).models(output_modalities="all")
        return take_steps(job.steps(draft, models, options), job.resource)


async def asubmit(  # noqa: PLR0913 - the arguments of a batch
    model: Any,
    rows: Any,
    *,
    prompt: Any = None,
    schema: Any = None,
    key: str | None = None,
    max_cost: float | None = None,
    handle_path: str | PathLike[str] | None = None,
    resume: BatchHandle | None = None,
    callback_url: str | None = None,
    completion_window: str = COMPLETION_WINDOW,
) -> BatchHandle:
    """Submit rows like `submit`, which documents the arguments; rows are read in a thread."""
    options = SubmitOptions(max_cost, callback_url, completion_window)
    job = _Job(model, rows, prompt, schema, key, handle_path, resume)
    with job.locked(), Spool() as spool:
        draft = await asyncio.to_thread(job.draft, spool)
        models = await job.builder.resource(Catalog).amodels(output_modalities="all")
        return await atake_steps(job.steps(draft, models, options), job.resource)


class _Job:
    """A call of `submit`: what it and `asubmit` share."""

    def __init__(  # noqa: PLR0913, PLR0917 - the arguments of `submit`
        self,
        model: Any,
        rows: Any,
        prompt: Any,
        schema: Any,
        key: str | None,
        handle_path: str | PathLike[str] | None,
        resume: BatchHandle | None,
    ) -> None:
        self._path = None if handle_path is None else Path(handle_path)
        if self._path is not None and resume is not None:
            msg = "pass `handle_path` or `resume`, not both"
            raise ValueError(msg)
        refuse_ceilings()
        self._earlier = resume if resume is not None and resume.is_sent else None
        self._plan = build_plan(model, prompt, schema)
        self._rows, self._key = rows, key

        description = describe_batch(model, self._plan.prompt, schema, key)
        self._fingerprint = hash_description(description)
        self.builder = build_requests(self._plan)
        self.resource = self.builder.resource(OpenRouterBatches)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file of the handle, so that one process submits, and read what it says."""
        if self._path is None:
            yield
            return

        lock = OutputLock(self._path.with_name(f"{self._path.name}.lock"))
        lock.acquire()
        try:
            if self._path.exists() and self._path.stat().st_size:
                earlier = BatchHandle.load(self._path)
                self._earlier = earlier if earlier.is_sent else None
            yield
        finally:
            lock.release()

    def draft(self, spool: Spool) -> Draft:
        """Build and check all requests."""
        if self._earlier is not None:
            self.builder = build_requests(self._plan, self._earlier.method)
        draft = Draft(self.builder, new_run(self._earlier), spool)
        for row in self._pending():
            draft.add(row)
        return draft

    def _pending(self) -> Iterator[PendingRow]:
        index = RowIndex()

        for at, row in enumerate(open_rows(self._rows).rows):
            key = row_key(row, at, self._key)
            try:
                value = self._plan.prompt.build(row)
            except ValueError as error:
                msg = f"row {at}: {error}"
                raise ValueError(msg) from error
            request_hash = hash_request(value)
            index.visit(key, at, request_hash)
            yield PendingRow(key, at, value, request_hash)

    def steps(self, draft: Draft, models: Models, options: SubmitOptions) -> Steps[BatchHandle]:
        """Return the steps that submit the requests.

        Raises:
            ModelUnavailableError: The Batch API does not run the model.
            BatchError: They may cost more than allowed, or are not those of the earlier handle.
        """
        variant = find_batch_variant(models, draft.first.model)
        base_url = self.resource.base_url

        handle, estimate = self._earlier, None
        if handle is not None:
            validate_earlier(handle, draft, self._fingerprint, base_url)
        if handle is None or not handle.is_submitted:
            estimate = validate_cost(draft, variant[1], options.max_cost)
        if handle is None:
            handle = make_handle(
                draft,
                variant,
                fingerprint=self._fingerprint,
                estimate=estimate,
                base_url=base_url,
            )
        retries = self.resource.max_retries
        return _warned(submission(draft, handle, options, max_retries=retries, save=self._save))

    def _save(self, handle: BatchHandle) -> None:
        if self._path is not None:
            handle.save(self._path)


def _warned(steps: Steps[BatchHandle]) -> Steps[BatchHandle]:
    """Submit, and warn of what may be another user's."""
    handle = yield from steps
    if handle.candidates:
        ids = ", ".join(handle.candidates[:_MAX_NAMES])
        warnings.warn(
            "the creation of a batch was not answered, and whether it is among those that run will "
            f"show when they have ended ({ids}): `wait` for them and `collect`; if it is not, the "
            "same call of `submit` sends its rows",
            stacklevel=2,
        )

    return handle


def refuse_ceilings() -> None:
    """Check that no cost ceiling is in force, which could neither count a batch nor stop it.

    Raises:
        BatchError: There is one, such as of `CostLimit` or `as_user(max_cost=...)`.
    """
    if any(isinstance(meter, CostMeter) for meter in meters_in_context()):
        msg = (
            "a cost ceiling is in force here, and a batch costs what it does after it was "
            "submitted: submit it outside the ceiling, with max_cost="
        )
        raise errors.BatchError(msg)
