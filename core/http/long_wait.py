"""Requests that wait for a long time, such as for the decision of a person.

Meanwhile they hold no slot, no connection to the database and no body. What they wait for sets an
event, mostly on a notification of the database (`core.db.listen`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Hashable
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any, TypeAlias, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from sse_starlette.sse import AppStatus
from starlette.requests import Request

from core.db.engine import TransactionFactory
from core.http.event_stream import wait_for_disconnection
from core.http.request_slots import release_slots

Result = TypeVar("Result")
Work: TypeAlias = Callable[[AsyncSession, list[Any]], Awaitable[Result]]


class WaitEnd(Enum):
    """Why a request waits no longer."""

    NOTIFIED = auto()
    TIMEOUT = auto()
    CLOSED = auto()  # the client has closed the connection
    STOPPED = auto()  # the server stops


class LongWait:
    """The wait of a request. `end` says why it has ended, if it has."""

    def __init__(self, notified: asyncio.Event, seconds: float) -> None:
        self._notified = notified
        self._deadline = asyncio.get_running_loop().time() + seconds
        self.end: WaitEnd | None = None

    async def next(self) -> WaitEnd:
        """Wait until something is notified, or the wait has ended.

        Call it again after a notification that was not the awaited one.
        """
        if self.end is not None:
            return self.end
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._notified.wait()
        except TimeoutError:
            self.end = self.end or WaitEnd.TIMEOUT
        self._notified.clear()
        return self.end or WaitEnd.NOTIFIED

    async def sleep(self, seconds: float) -> None:
        """Let this time pass, unless the wait ends. What was notified meanwhile is noticed next."""
        was_notified, until = False, asyncio.get_running_loop().time() + seconds
        while self.end is None:
            try:
                async with asyncio.timeout_at(min(until, self._deadline)):
                    await self._notified.wait()
            except TimeoutError:
                break
            was_notified = True
            self._notified.clear()
        if was_notified:
            self._notified.set()

    def stop(self, end: WaitEnd) -> None:
        """End the wait, if it has not ended."""
        self.end = self.end or end
        self._notified.set()


_waits: set[LongWait] = set()


@contextmanager
def wait_long(
    request: Request, notified: asyncio.Event, seconds: float
) -> Generator[LongWait, None, None]:
    """Let a request whose body was read wait for at most `seconds`.

    Other requests of the caller run meanwhile, and its closed connection is noticed.
    """
    wait = LongWait(notified, seconds)
    request.state.has_waited = True  # so its duration does not make it a slow request
    release_slots(request)
    disconnection = asyncio.create_task(wait_for_disconnection(request.receive))
    disconnection.add_done_callback(lambda _: wait.stop(WaitEnd.CLOSED))
    _waits.add(wait)
    if AppStatus.should_exit:
        wait.stop(WaitEnd.STOPPED)
    try:
        yield wait
    finally:
        _waits.discard(wait)
        disconnection.cancel()


def end_waits() -> None:
    """End all waits, because the server stops."""
    for wait in list(_waits):
        wait.stop(WaitEnd.STOPPED)


class SharedTransactions:
    """Transactions of requests that were notified of the same thing at the same moment."""

    def __init__(self, transaction: TransactionFactory) -> None:
        self._transaction = transaction
        self._next: dict[Hashable, tuple[list[Any], asyncio.Task[Any]]] = {}

    async def join(self, key: Hashable, item: Any, work: Work[Result]) -> Result:
        """Return what `work` returns for this item and those of others that join at this moment.

        The event loop resumes all that are notified together before it starts the work.
        """
        if key not in self._next:
            self._next[key] = [], asyncio.create_task(self._run(key, work))
        items, task = self._next[key]
        items.append(item)
        return await asyncio.shield(task)

    async def _run(self, key: Hashable, work: Work[Result]) -> Result:
        items, _ = self._next.pop(key)
        async with self._transaction() as session:
            return await work(session, items)
