"""Repeat periodic tasks at their intervals, when they are due, and after notifications."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from core.clock import now
from core.db.engine import is_outage
from core.db.listen import PostgresListener
from core.traces import trace

OUTAGE_RETRY_DELAY = 1.0  # seconds between two attempts of a task to reach the database
MIN_DELAY = 0.02  # seconds between two runs of a task, however much is due

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PeriodicTask:
    """Work that is repeated every `interval` seconds, and at once after a notification on `topic`.

    `run` may return the time at which it is due earlier than that.
    """

    name: str
    interval: float
    run: Callable[[], Awaitable[datetime | None]]
    topic: str | None = None


class Scheduler:
    """Repeats periodic tasks, each independently of the others.

    All tasks run at the start, so that what became due while no worker was running is done. An
    exception is logged, and the task runs again. A database outage is logged once.
    """

    def __init__(self, tasks: Sequence[PeriodicTask], listener: PostgresListener) -> None:
        self._tasks = tasks
        self._listener = listener
        self._was_reached = False
        self._outage_began: float | None = None  # on the loop's clock

    async def run(self, stop: asyncio.Event) -> None:
        """Repeat the tasks until `stop` is set; those that are running then are completed."""
        async with asyncio.TaskGroup() as group:
            for task in self._tasks:
                group.create_task(self._repeat(task, stop), name=f"periodic task {task.name}")

    async def _repeat(self, task: PeriodicTask, stop: asyncio.Event) -> None:
        subscription = nullcontext(asyncio.Event())
        if task.topic is not None:
            subscription = self._listener.subscribe(task.topic)
        with subscription as notified:
            while not stop.is_set():
                notified.clear()
                delay = await self._run_once(task)
                await wait_for_any((stop, notified), delay)

    async def _run_once(self, task: PeriodicTask) -> float:
        """Run a task, and return after how many seconds it is to run again."""
        began = asyncio.get_running_loop().time()
        try:
            with trace(f"job {task.name}"):
                due_at = await task.run()
        except asyncio.CancelledError:
            if stopped_by_caller():
                raise
            log.exception("The periodic task %s was cancelled from inside.", task.name)
            return task.interval
        except Exception as error:
            if is_outage(error):
                self._begin_outage(error)
                return min(OUTAGE_RETRY_DELAY, task.interval)
            log.exception("The periodic task %s has failed.", task.name)
            return task.interval
        self._end_outage(began)
        if due_at is None:
            return task.interval
        return min(max((due_at - now()).total_seconds(), MIN_DELAY), task.interval)

    def _begin_outage(self, error: Exception) -> None:
        if self._outage_began is None:
            self._outage_began = asyncio.get_running_loop().time()
            what = "has lost" if self._was_reached else "cannot reach"
            log.warning("The worker %s the database: %r", what, error)

    def _end_outage(self, began: float) -> None:
        """Note that a run succeeded; one that began before the outage proves nothing."""
        self._was_reached = True
        if self._outage_began is not None and began > self._outage_began:
            self._outage_began = None
            log.info("The worker has reached the database again.")


def stopped_by_caller() -> bool:
    """Return whether the current task is being cancelled, and not only a part of its work."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def wait_for_any(events: Sequence[asyncio.Event], seconds: float) -> None:
    """Return when one of the events is set, and after so many seconds at the latest."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
