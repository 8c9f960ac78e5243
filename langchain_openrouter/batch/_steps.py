"""What sync and async share of submitting, waiting and collecting: steps, and who takes them.

A generator yields requests and pauses and is sent their outcomes; `take_steps` and `atake_steps`
send and wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from langchain_openrouter.errors import OpenRouterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_openrouter.batch._batch_api import OpenRouterBatches

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request: a method of `OpenRouterBatches`, by the name of its sync form."""

    method: str
    arguments: tuple[Any, ...] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait, in seconds."""

    seconds: float


Steps: TypeAlias = Generator["Call | Pause", Any, T]
"""Yields steps, is sent what a call returned, or is raised its error, and returns a T."""


def take_steps(steps: Steps[T], resource: OpenRouterBatches) -> T:
    """Take the steps in this thread; return what the generator returns."""
    outcome: Any = None
    error: OpenRouterError | None = None

    while True:
        try:
            step = steps.send(outcome) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        outcome = error = None
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            continue
        try:
            outcome = getattr(resource, step.method)(*step.arguments, **step.filters)
        except OpenRouterError as failure:
            error = failure


async def atake_steps(steps: Steps[T], resource: OpenRouterBatches) -> T:
    """Take the steps in the running event loop."""
    outcome: Any = None
    error: OpenRouterError | None = None

    while True:
        try:
            step = steps.send(outcome) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        outcome = error = None
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            continue
        try:
            call = getattr(resource, f"a{step.method}")
            outcome = await call(*step.arguments, **step.filters)
        except OpenRouterError as failure:
            error = failure
