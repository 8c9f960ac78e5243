"""`Pacer`: a worker's side of `Pace`; each request enters before it is sent, and leaves after."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import deque
from typing import Any

from langchain_openrouter.batch._ray_pace import Ended, Permission, Refusal, Report, Totals

_SILENT_AT_MOST = 1.0  # seconds; the actor takes a worker for dead that says nothing for long


class Pacer:
    """Asks an actor for permission, for all requests of a process together.

    Args:
        actor: The handle of an actor with a `Pace`.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._name = uuid.uuid4().hex
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

        self._waiting: deque[asyncio.Future[Ended | None]] = deque()
        self._in_flight = 0
        self._totals = Totals()
        self._answers: list[tuple[float, int]] = []
        self._refusals: list[tuple[float, float | None]] = []
        self._ended: Ended | None = None
        self._known: dict[str, Totals] = {}
        self._actor_start = ""
        self._sends_totals = False
        self._has_news = False

    @property
    def has_answers(self) -> bool:
        """Whether a request of this process was answered, and told what it cost."""
        return self._totals.settled > 0

    async def enter(self) -> Ended | None:
        """Wait until a request may be sent; return why it may not, if none will be."""
        permitted: asyncio.Future[Ended | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(permitted)
        self._notify()

        return await permitted

    def leave(self, cost: float | None) -> None:
        """Note that a request has ended.

        Args:
            cost: USD; None where it does not tell what one costs, as most errors.
        """
        self._in_flight -= 1
        if cost is not None:
            self._totals = Totals(self._totals.settled + 1, self._totals.spent + cost)
        self._notify()

    def on_answer(self, latency: float) -> None:
        """Note that the service answered; before `leave`."""
        self._answers.append((latency, self._in_flight))

    def on_refusal(self, started: float, retry_after: float | None) -> None:
        """Note that the service refused a request for now.

        Args:
            started: When it was started, by `time.monotonic`.
            retry_after: Seconds that the service asks to wait.
        """
        self._refusals.append((started, retry_after))
        self._notify()

    def end(self, ended: Ended) -> None:
        """Note that no further row of any worker can be answered."""
        self._ended = ended
        self._notify()

    def _notify(self) -> None:
        self._has_news = True
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Exchange messages with the actor as long as there is something to tell or to wait for."""
        try:
            while self._has_news or self._waiting or self._in_flight:
                permission = await self._actor.exchange.remote(self._report())
                self._take(permission)
                await asyncio.sleep(permission.interval)
                await self._wait(permission.wait if self._waiting else _SILENT_AT_MOST)
        except Exception as error:  # noqa: BLE001 - of Ray: the actor is gone for good
            while self._waiting:
                permitted = self._waiting.popleft()
                if not permitted.done():
                    permitted.set_exception(error)

    async def _wait(self, seconds: float) -> None:
        """Wait until there is something to tell, but not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _report(self) -> Report:
        now = time.monotonic()
        self._wake.clear()
        self._has_news = False
        answers, self._answers = tuple(self._answers), []
        refusals, self._refusals = self._refusals, []

        return Report(
            self._name,
            self._in_flight,
            len(self._waiting),
            self._totals,
            answers,
            tuple(Refusal(now - started, wait) for started, wait in refusals),
            self._ended,
            self._actor_start,
            self._known if self._sends_totals else {},
        )

    def _take(self, permission: Permission) -> None:
        self._sends_totals = permission.needs_totals
        if not permission.needs_totals:
            self._actor_start, self._known = permission.actor, permission.totals
        self._ended = permission.ended or self._ended

        for _ in range(permission.count):
            while self._waiting:
                permitted = self._waiting.popleft()
                if not permitted.done():
                    self._in_flight += 1
                    permitted.set_result(None)
                    break
        while permission.ended and self._waiting:
            permitted = self._waiting.popleft()
            if not permitted.done():
                permitted.set_result(permission.ended)
